"""One direction of one layer: forward through time, and back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from rnn_xp.sequence.back import Back, Tile, sums
from rnn_xp.sequence.params import Params, Valid
from rnn_xp.sequence.workspace import Workspace
from rnn_xp.typing import Array


class Run(Workspace):
    """One direction of one layer on sequences of one shape; constructed as a `Workspace`.

    It is the tape: `backward` reads what the last `forward` left. A new one for every forward makes forward,
    forward, backward, backward right; a training loop, which goes forward and back in turn, may use one again
    and again, as long as the arrays in `params` are the same ones.
    """

    _back: Back | None = None  # made when it is needed

    def forward(self, x: Array, s_0: Sequence[Array] | None, valid: Valid | None) -> Array:
        """Run over x (T, D, B), finite in its padding, from the state s_0, (H or P, B) a field; None is zero.

        Returns
        -------
        h : array (T, H or P, B)
            The output of every step, a view of this run's memory.
        """
        self.place_x[...] = x
        self.load_weight()
        first = self.slots[self.T if self.reverse else 0]
        for place, value in zip(first, self.zeros if s_0 is None else s_0, strict=True):
            place[...] = value

        full = self.T if valid is None else valid.full
        steps = self.steps
        multiply, weight = self.engine.multiply, self.weight
        for own, x_part, a in self.parts:
            multiply(weight, x_part, a)
            for t in own:
                for step in steps:
                    step(t)
                if t >= full:
                    self.hold(t, valid.mask[t, ...])  # type: ignore[union-attr]
        return self.memory.s.h  # type: ignore[no-any-return]

    def backward(
        self, d_h: Array | None, d_s_T: Sequence[Array], valid: Valid | None, need_d_x: bool
    ) -> tuple[Params, Array | None, list[Any]]:
        """Back-propagate d_h (T, H or P, B), zero in its padding, and d_s_T, the last state's gradients.

        A d_h of None is zero.

        Returns
        -------
        d_params : Params
            Summed over T and B.
        d_x : array (T, D, B) or None
        d_s_0 : list of arrays, (H or P, B) a field, perhaps of this run's memory
        """
        engine = self.engine
        if self._back is None:
            self._back = Back(self)
        own = self._back
        projection = None if self.params.weight_hr is None else self.params.weight_hr.T
        full = self.T if valid is None else valid.full
        d_s: list[Any] = list(d_s_T)
        others = range(1, len(d_s))
        last, before, plus, home = own.last, own.before, engine.plus, own.home
        d_x = self.empty(self.T, self.params.weight_ih.shape[1], self.B) if need_d_x else None
        total: Any = None
        number = itertools.count()
        for tile in own.tiles:
            for part, moves in tile.parts:
                i = next(number)
                for begin in own.begin:
                    begin(i)
                steps = range(part.start, part.stop)
                for t in steps if self.reverse else steps[::-1]:
                    if d_h is not None:
                        d_s[0] = plus(d_s[0], d_h[t, ...], home)
                    d_past = None
                    if t >= full:
                        d_s, d_past = own.release(t, valid.mask[t, ...], d_s)  # type: ignore[union-attr]
                    if projection is not None:
                        d_h_t = own.projected[t - part.start, ...]
                        d_h_t[...] = engine.value(d_s[0])
                        d_s[0] = projection @ d_h_t
                    d_result, direct = last(t, d_s)
                    d_s = list(direct) if d_past is None else sums(d_past, direct)
                    for step in before:
                        d_result, direct = step(t, (d_result,))
                        d_s = sums(d_s, direct)
                    d_s[0] = d_result if d_s[0] is None else plus(d_s[0], d_result, home)
                    for k in others:
                        d_s[k] = self.zeros[k] if d_s[k] is None else d_s[k]
                for place, source in moves:
                    place[...] = source
            if d_x is not None:
                d_x[tile.steps, ...] = self._input_gradient(tile)
            share = own.share(self, tile)
            total = share if total is None else sums(total, share)
        return own.gradients(self.params, total), d_x, [engine.value(d) for d in d_s]

    def _input_gradient(self, tile: Tile) -> Array:
        """Return d_x of the steps of a tile, (n, D, B)."""
        D, steps = self.params.weight_ih.shape[1], tile.steps.stop - tile.steps.start
        d_x = self.xp.reshape(self.params.weight_ih.T @ tile.columns["a"], (D, steps, self.B))
        return self.xp.permute_dims(d_x, (1, 0, 2))  # type: ignore[no-any-return]
