"""One direction of one layer: forward through time, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rnn_xp.sequence.back import Back, Tile, sums
from rnn_xp.sequence.params import Noise, Params, Valid
from rnn_xp.sequence.workspace import Workspace
from rnn_xp.typing import Array

QUIET = Noise()


class Sums(NamedTuple):
    """What the parts of a way back add up to; None: nothing yet."""

    weights: Sequence[Any] | None = None  # as `Back.share` gives them
    start: list[Array] | None = None  # of the state that resets put in, (P or H, B) a field


class Run(Workspace):
    """One direction of one layer on sequences of one batch size; constructed as a `Workspace`.

    It is the tape: `backward` reads what the last `forward` left. A new one for every forward makes forward,
    forward, backward, backward right; a training loop, which goes forward and back in turn, may use one again
    and again, as long as the arrays in `params` are the same ones.
    """

    n = 0  # steps of the last forward
    _back: Back | None = None  # made when it is needed
    _begins = True  # whether the last forward began at the start of sequences

    def forward(
        self,
        x: Array,
        s_0: Sequence[Array] | None,
        valid: Valid | None,
        reset: Array | None = None,
        noise: Noise = QUIET,
    ) -> Array:
        """Run over x (n, D, B), finite in its padding, from the state s_0, (H or P, B) a field.

        Parameters
        ----------
        s_0 : sequence of arrays, optional
            Where it is None, sequences begin: at zero, or as it is learnt.
        valid : Valid, optional
        reset : array (n, B) of bool, optional
            Before which steps, in the order of the run, a new sequence begins.
        noise : Noise

        Returns
        -------
        h : array (n, H or P, B)
            The output of every step, a view of this run's memory.
        """
        self.n = n = x.shape[0]
        self.place_x[:n, ...] = x
        self.load_weight()
        first = self.slots[n if self.reverse else 0]
        self._begins = s_0 is None
        for place, value in zip(first, self.start() if s_0 is None else s_0, strict=True):
            place[...] = value
        if self.between is not None:
            self.between.reset, self.between.noise = reset, noise

        full = n if valid is None else valid.full
        steps = self.steps
        multiply, weight = self.engine.multiply, self.weight
        for own, x_part, a in self.parts(n):
            multiply(weight, x_part, a)
            for t in own:
                for step in steps:
                    step(t)
                if t >= full:
                    self.hold(t, valid.mask[t, ...])  # type: ignore[union-attr]
        return self.states[0][:n, ...] if self.reverse else self.states[0][1 : n + 1, ...]

    def last(self) -> list[Array]:
        """Return the state after the last step, (H or P, B) a field: views."""
        return list(self.slots[0 if self.reverse else self.n])

    def at(self, i: int) -> list[Array]:
        """Return the state after i of the steps, (H or P, B) a field: views; not of a run against time."""
        return list(self.slots[i])

    def backward(
        self, d_h: Array | None, d_s_T: Sequence[Array], valid: Valid | None, need_d_x: bool
    ) -> tuple[Params, Array | None, list[Any]]:
        """Back-propagate d_h (n, H or P, B), zero in its padding, and d_s_T, the last state's gradients.

        A d_h of None is zero.

        Returns
        -------
        d_params : Params
            Summed over T and B.
        d_x : array (n, D, B) or None
        d_s_0 : list of arrays, (H or P, B) a field, perhaps of this run's memory
        """
        d_x = self.empty(self.n, self.params.weight_ih.shape[1], self.B) if need_d_x else None
        total, d_s = self.back(d_h, d_s_T, valid, d_x, Sums())
        return self.gradients(total, d_s, self._begins), d_x, d_s

    def back(
        self, d_h: Array | None, d_s_T: Sequence[Array], valid: Valid | None, d_x: Array | None, total: Sums
    ) -> tuple[Sums, list[Any]]:
        """Do the work of `backward`, and write d_x; return the sums, to which this adds, and d_s_0."""
        engine, between, n = self.engine, self.between, self.n
        if self._back is None:
            self._back = Back(self)
        own = self._back
        projection = None if self.params.weight_hr is None else self.params.weight_hr.T
        full = n if valid is None else valid.full
        d_s: list[Any] = list(d_s_T)
        others = range(1, len(d_s))
        last, before, plus, home = own.last, own.before, engine.plus, own.home
        weights, d_start = total
        for tile in own.tiles(self, n):
            for number, part, moves in tile.parts:
                for begin in own.begin:
                    begin(number)
                steps = range(part.start, part.stop)
                for t in steps if self.reverse else steps[::-1]:
                    if d_h is not None:
                        d_s[0] = plus(d_s[0], d_h[t, ...], home)
                    d_past = None
                    if t >= full:
                        d_s, d_past = own.release(t, valid.mask[t, ...], d_s)  # type: ignore[union-attr]
                    if between is not None:
                        d_s, d_kept = between.leave_back(t, d_s)
                        if d_kept is not None:
                            d_past = d_kept if d_past is None else sums(d_past, d_kept)
                    if projection is not None:
                        d_h_t = own.projected[t - part.start, ...]
                        d_h_t[...] = engine.value(d_s[0])
                        d_s[0] = projection @ d_h_t
                    d_result, direct = last(t, d_s)
                    d_s = list(direct) if d_past is None else sums(d_past, direct)
                    for step in before:
                        d_result, direct = step(t, (d_result,))
                        d_s = sums(d_s, direct)
                    if between is not None:
                        d_result = between.operand_back(d_result)
                    d_s[0] = d_result if d_s[0] is None else plus(d_s[0], d_result, home)
                    for k in others:
                        d_s[k] = self.zeros[k] if d_s[k] is None else d_s[k]
                    if between is not None:
                        d_s, d_start = between.enter_back(t, d_s, d_start)
                for place, source in moves:
                    place[...] = source
            if d_x is not None:
                d_x[tile.steps, ...] = self._input_gradient(tile)
            share = own.share(self, tile)
            weights = share if weights is None else sums(weights, share)
        return Sums(weights, d_start), [engine.value(d) for d in d_s]

    def gradients(self, total: Sums, d_s_0: Sequence[Array], begins: bool) -> Params:
        """Return sums as the gradients of the parameters; d_s_0 is a learnt state's where the run begins."""
        assert self._back is not None
        assert total.weights is not None
        d_params = self._back.gradients(self.params, total.weights)
        if self.params.state_0 is None:
            return d_params
        parts = [part for part in (d_s_0 if begins else None, total.start) if part is not None]
        whole = [sum(fields[1:], fields[0]) for fields in zip(*parts, strict=True)] or self.zeros
        d_state = type(self.params.state_0)(*[self.xp.sum(field, axis=1) for field in whole])
        return d_params._replace(state_0=d_state)

    def _input_gradient(self, tile: Tile) -> Array:
        """Return d_x of the steps of a tile, (n, D, B)."""
        D, steps = self.params.weight_ih.shape[1], tile.steps.stop - tile.steps.start
        d_x = self.xp.reshape(self.params.weight_ih.T @ tile.columns["a"], (D, steps, self.B))
        return self.xp.permute_dims(d_x, (1, 0, 2))  # type: ignore[no-any-return]
