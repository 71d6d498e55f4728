"""Time: one direction of one layer, forward and back.

Every matrix product is here or in the engine; the cell owns the formula. Arrays are feature-first,
(T, features, B): the sequential product ``R @ h`` then runs at the speed of the machine, and every gate of a
step is one contiguous block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rnn_xp.cells import Cell
from rnn_xp.engines import portable as engine
from rnn_xp.typing import Array, Namespace

TILE = 128
"""Steps whose share of a weight gradient is one product; the shares are added in the order of time."""

PART = 16384
"""Elements of a plane, over several steps, whose partial derivatives are computed at once, in the cache."""


class Params(NamedTuple):
    """The parameters of one direction of one layer; an absent one is None."""

    weight_ih: Array  # (G*H, D)
    weight_hh: Array  # (G*H, H), or (G*H, P) with a projection
    bias_ih: Array | None = None  # (G*H,)
    bias_hh: Array | None = None  # (G*H,)
    weight_hr: Array | None = None  # (P, H)
    vectors: Array | None = None  # (V, H), the cell's parameters of a number for each unit


class Valid(NamedTuple):
    """Which steps belong to their sequences."""

    mask: Array  # (T, B) bool
    full: int  # the steps before this one are valid in every sequence


def valid_steps(lengths: Sequence[int] | None, steps: int, like: Array, *, xp: Namespace) -> Valid | None:
    """Return the mask of right-padded sequences on the device of `like`, or None where nothing is padded."""
    if lengths is None or all(length == steps for length in lengths):
        return None
    ends = xp.asarray(list(lengths), dtype=xp.int64, device=like.device)
    times = xp.arange(steps, dtype=xp.int64, device=like.device)
    return Valid(times[:, None] < ends[None, :], min(lengths))


class Run:
    """One direction of one layer on sequences of one shape: its memory, and the views that every step needs.

    It is the tape: `backward` reads what the last `forward` left. A new one for every forward makes forward,
    forward, backward, backward right; a training loop, which goes forward and back in turn, may use one again
    and again, as long as the arrays in `params` are the same ones.

    Parameters
    ----------
    cell : Cell
    params : Params
    steps, batch : int
    dtype, device
        Those of the arrays to come.
    reverse : bool
        Whether it runs against time.
    """

    def __init__(
        self,
        cell: Cell,
        params: Params,
        steps: int,
        batch: int,
        *,
        dtype: Any,
        device: Any,
        reverse: bool,
        xp: Namespace,
    ) -> None:
        self.cell, self.params, self.reverse, self.xp = cell, params, reverse, xp
        self.new = {"dtype": dtype, "device": device}
        G, H = len(cell.gates), params.weight_ih.shape[0] // len(cell.gates)
        P = params.weight_hh.shape[1]
        self.T, self.B, self.H = steps, batch, H
        self.x: Any = None
        self.stages = engine.stages(cell, params.weight_hh, params.bias_hh, params.vectors, xp=xp)
        # the pre-activations, and then, in their places, what the pairs keep; and what they keep beyond that
        self.gates = self._empty(steps, G, H, batch)
        self.extra = self._empty(steps, self.stages[-1].extra.stop, H, batch)
        # the state before, between and after the steps; and the operands of every product after the first
        sizes = (P, *[H] * (len(cell.state._fields) - 1))
        self.states = [self._empty(steps + 1, size, batch) for size in sizes]
        further = len(self.stages) - (params.weight_hr is None)
        self.operands = [self._empty(steps, H, batch) for _ in range(further)]
        self._a = xp.reshape(self.gates, (steps, G * H, batch))
        self._first, *self._others = [
            engine.forward_step(s, self._a, self.gates, self.extra, xp=xp) for s in self.stages
        ]
        self._slots = [[field[t, ...] for field in self.states] for t in range(steps + 1)]
        self.zeros = [xp.zeros_like(place) for place in self._slots[0]]
        self._tiles = _parts(steps, TILE, True) or [slice(0, 0)]
        times = range(steps - 1, -1, -1) if reverse else range(steps)
        self._order = [(t, self._slots[t if reverse else t + 1]) for t in times]  # and the state's place
        self._gradients: _Gradients | None = None

    def _empty(self, *shape: int) -> Array:
        return self.xp.empty(shape, **self.new)  # type: ignore[no-any-return]

    def forward(self, x: Array, s_0: Sequence[Array] | None, valid: Valid | None) -> Array:
        """Run over x (T, D, B), finite in its padding, from the state s_0, (H or P, B) a field; None is zero.

        Returns
        -------
        h : array (T, H or P, B)
            The output of every step, a view of this run's memory.
        """
        xp, cell, slots, reverse = self.xp, self.cell, self._slots, self.reverse
        first, others = self._first, self._others
        projection = self.params.weight_hr
        self.x = x
        self._a[...] = self.params.weight_ih @ x
        bias = _input_bias(self.params, self.stages)
        if bias is not None:
            self._a += bias
        s_prev = cell.state(*(self.zeros if s_0 is None else s_0))
        fields = range(len(s_prev))
        for i in fields:
            slots[self.T if reverse else 0][i][...] = s_prev[i]

        full = self.T if valid is None else valid.full
        for t, after in self._order:
            result = first(t, s_prev.h, s_prev)
            if others:
                for step, operand in zip(others, self.operands, strict=False):
                    operand[t, ...] = result
                    result = step(t, result, s_prev)
            if projection is not None:
                self.operands[-1][t, ...] = result.h
                result = result._replace(h=projection @ result.h)
            if t >= full:
                keep = valid.mask[t, ...]  # type: ignore[union-attr]
                result = cell.state(*[xp.where(keep, result[i], s_prev[i]) for i in fields])
            for i in fields:
                after[i][...] = result[i]
            s_prev = result
        return self.states[0][: self.T, ...] if reverse else self.states[0][1:, ...]

    def last(self) -> list[Array]:
        """Return the state after the last step, (H or P, B) a field: views."""
        return self._slots[0 if self.reverse else self.T]

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
        d_s_0 : list of arrays, (H or P, B) a field
        """
        xp, cell, reverse = self.xp, self.cell, self.reverse
        if self._gradients is None:
            self._gradients = _Gradients(self)
        own = self._gradients
        projection = None if self.params.weight_hr is None else self.params.weight_hr.T
        full = self.T if valid is None else valid.full
        d_s: list[Any] = list(d_s_T)
        others = range(1, len(d_s))
        new_state: Any = tuple.__new__  # a NamedTuple, at half the price of calling its class
        for part, s_prev, s in own.parts:
            partials = [
                engine.partials(stage, self.gates, self.extra, s_prev, s, part, xp=xp)
                for stage in self.stages
            ]
            last_partials = partials[-1]
            before = list(zip(own.before, partials[-2::-1], strict=True)) if own.before else ()
            for t in range(part.start, part.stop) if reverse else range(part.stop - 1, part.start - 1, -1):
                if d_h is not None:
                    d_s[0] = d_s[0] + d_h[t, ...]
                d_prev = None
                if t >= full:
                    keep = valid.mask[t, ...]  # type: ignore[union-attr]
                    d_prev = [xp.where(keep, own.zero, d) for d in d_s]
                    d_s = [xp.where(keep, d, own.zero) for d in d_s]
                if projection is not None:
                    own.projected[t, ...] = d_s[0]
                    d_s[0] = projection @ d_s[0]
                i = t - part.start
                d_result, direct = own.last(t, new_state(cell.state, d_s), last_partials[i])
                d_s = list(direct) if d_prev is None else _sums(d_prev, direct)
                for step, planes in before:
                    d_result, direct = step(t, d_result, planes[i])
                    d_s = _sums(d_s, direct)
                d_s[0] = d_result if d_s[0] is None else d_s[0] + d_result
                for i in others:
                    d_s[i] = self.zeros[i] if d_s[i] is None else d_s[i]
        d_x = self.params.weight_ih.T @ own.a if need_d_x else None
        return self._weight_gradients(own), d_x, d_s

    def _weight_gradients(self, own: _Gradients) -> Params:
        """Return the gradients of the weights: a product for every tile, added in the order of time."""
        xp, params, projected = self.xp, self.params, own.projected
        total: list[Any] = []
        for tile in self._tiles:
            before = slice(tile.start + 1, tile.stop + 1) if self.reverse else tile
            steps = [self.states[0][before, ...], *[o[tile, ...] for o in self.operands]]
            operands = [_columns(o, xp=xp).T for o in steps]
            d_a = _columns(own.a[tile, ...], xp=xp)
            ones = own.ones[: d_a.shape[1]]
            d_a_h = d_a if own.a_h is own.a else _columns(own.a_h[tile, ...], xp=xp)
            if len(self.stages) == 1:
                d_hh = d_a_h @ operands[0]
            else:
                blocks = [d_a_h[stage.rows, :] @ o for stage, o in zip(self.stages, operands, strict=False)]
                d_hh = xp.concat(blocks, axis=0)
            parts = (
                d_a @ _columns(self.x[tile, ...], xp=xp).T,
                d_hh,
                None if params.bias_ih is None else d_a @ ones,
                None if params.bias_hh is None else d_a_h @ ones,
                None if params.weight_hr is None else _columns(projected[tile, ...], xp=xp) @ operands[-1],
                None if params.vectors is None else _columns(own.vectors[tile, ...], xp=xp) @ ones,
            )
            total = _sums(total, parts) if total else list(parts)
        if params.vectors is not None:
            total[-1] = xp.reshape(total[-1], params.vectors.shape)
        return Params(*total)


class _Gradients:
    """The memory of a run's way back."""

    def __init__(self, run: Run) -> None:
        xp = run.xp
        T, G, H, B = run.gates.shape
        gates = xp.empty_like(run.gates)  # the gradients of the input parts
        self.a = xp.reshape(gates, (T, G * H, B))
        gates_h, self.a_h = gates, self.a  # of the recurrent parts: the same unless a gate keeps them apart
        if any(stage.apart for stage in run.stages):
            gates_h = xp.empty_like(gates)
            self.a_h = xp.reshape(gates_h, (T, G * H, B))
        self.projected = xp.empty_like(run.states[0][1:, ...])  # of what the projection gives
        vectors = run._empty(T, len(run.cell.vectors), H, B)  # every step's share of their gradients
        self.vectors = xp.reshape(vectors, (T, vectors.shape[1] * H, B))
        *before, self.last = [
            engine.backward_step(stage, gates, self.a, gates_h, self.a_h, vectors) for stage in run.stages
        ]
        self.before = before[::-1]
        self.zero = xp.zeros((), dtype=gates.dtype, device=gates.device)
        self.ones = xp.ones((min(T, TILE) * B,), dtype=gates.dtype, device=gates.device)
        # the parts in the order of going back, with the states before and after each of their steps
        size = max(1, PART // max(1, H * B))
        self.parts = [(part, *_states_around(run, part)) for part in _parts(T, size, run.reverse)]


def _states_around(run: Run, part: slice) -> tuple[Any, Any]:
    """Return the states before and after the steps in `part`, fields (steps, H or P, B)."""
    later = slice(part.start + 1, part.stop + 1)
    before, after = (later, part) if run.reverse else (part, later)
    s_prev, s = ([field[steps, ...] for field in run.states] for steps in (before, after))
    return run.cell.state(*s_prev), run.cell.state(*s)


def _parts(steps: int, size: int, ascending: bool) -> list[slice]:
    """Cut the steps into parts, in the order of time or against it."""
    parts = [slice(start, min(start + size, steps)) for start in range(0, steps, size)]
    return parts if ascending else parts[::-1]


def _input_bias(params: Params, stages: Sequence[engine.Stage]) -> Array | None:
    """Return b_ih, with b_hh added where the recurrent part does not come apart, as (G*H, 1)."""
    if params.bias_ih is None:
        return None
    if params.bias_hh is None:
        return params.bias_ih[:, None]
    bias = params.bias_ih + params.bias_hh
    for stage in stages:
        apart = slice(stage.merged.stop, stage.rows.stop)
        bias[apart] = params.bias_ih[apart]
    return bias[:, None]


def _columns(a: Array, *, xp: Namespace) -> Array:
    """Return a (T, N, B) as (N, T*B)."""
    T, N, B = a.shape
    if B == 1:
        return xp.reshape(a, (T, N)).T  # type: ignore[no-any-return]
    return xp.reshape(xp.permute_dims(a, (1, 0, 2)), (N, T * B))  # type: ignore[no-any-return]


def _sums(one: Sequence[Array | None], other: Sequence[Array | None]) -> list[Any]:
    """Add part by part; None is zero."""
    pairs = zip(one, other, strict=True)
    return [b if a is None else a if b is None else a + b for a, b in pairs]
