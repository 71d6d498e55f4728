"""Time: one direction of one layer, forward and back.

Every matrix product is here or in the engine; the cell owns the formula. Arrays are feature-first,
(T, features, B): the sequential product ``R @ h`` then runs at the speed of the machine, and every gate of a
step is one contiguous block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rnn_xp.cells import Cell
from rnn_xp.engines import Gradients, Memory, Stage, choose, rows, stages
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
        self.T, self.B, self.H = steps, batch, H
        self.x: Any = None
        self.stages = stages(cell, params.weight_hh, params.bias_hh, params.vectors)
        self.engine = engine = choose(cell, xp=xp).engine
        gates = self._empty(steps, G, H, batch)
        # the state before, between and after the steps; and the operands of every product after the first
        sizes = (params.weight_hh.shape[1], *[H] * (len(cell.state._fields) - 1))
        self.states = [self._empty(steps + 1, size, batch) for size in sizes]
        projected = params.weight_hr is not None
        self.operands = [self._empty(steps, H, batch) for _ in range(len(self.stages) - 1 + projected)]
        before, after = ([field[own, ...] for field in self.states] for own in _around(steps, reverse))
        self.memory = Memory(
            xp.reshape(gates, (steps, G * H, batch)),
            gates,
            self._empty(steps, self.stages[-1].plan.extra.stop, H, batch),
            cell.state(*before),
            cell.state(*after),
        )
        self._slots = [cell.state(*[field[t, ...] for field in self.states]) for t in range(steps + 1)]
        self.zeros = [xp.zeros_like(place) for place in self._slots[0]]
        s_prev, s = (self._slots[own] for own in _around(steps, reverse))
        outs: Any = [[(o[t, ...],) for t in range(steps)] for o in self.operands]
        if projected:
            outs[-1] = [(*out, *state[1:]) for out, state in zip(outs[-1], s, strict=True)]
        else:
            outs.append(s)
        operands = [[state.h for state in s_prev], *[[out[0] for out in own] for own in outs[:-1]]]
        self._steps = [
            engine.forward_step(stage, self.memory, operand, s_prev, out)
            for stage, operand, out in zip(self.stages, operands, outs, strict=True)
        ]
        self._s, self._outs = s, outs[-1]
        self._hold = engine.hold(s_prev, s)
        self._tiles = _parts(steps, TILE, True) or [slice(0, 0)]
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
        a, projection = self.memory.a, self.params.weight_hr
        self.x = x
        a[...] = self.params.weight_ih @ x
        bias = _input_bias(self.params, self.stages, self.H)
        if bias is not None:
            a += bias
        first = self._slots[self.T if self.reverse else 0]
        for place, value in zip(first, self.zeros if s_0 is None else s_0, strict=True):
            place[...] = value

        full = self.T if valid is None else valid.full
        steps = self._steps
        for t in range(self.T - 1, -1, -1) if self.reverse else range(self.T):
            for step in steps:
                step(t)
            if projection is not None:
                self._s[t].h[...] = projection @ self._outs[t][0]
            if t >= full:
                self._hold(t, valid.mask[t, ...])  # type: ignore[union-attr]
        return self.memory.s.h  # type: ignore[no-any-return]

    def last(self) -> list[Array]:
        """Return the state after the last step, (H or P, B) a field: views."""
        return list(self._slots[0 if self.reverse else self.T])

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
        state, engine = self.cell.state, self.engine
        if self._gradients is None:
            self._gradients = _Gradients(self)
        own = self._gradients
        projection = None if self.params.weight_hr is None else self.params.weight_hr.T
        full = self.T if valid is None else valid.full
        d_s: list[Any] = list(d_s_T)
        others = range(1, len(d_s))
        new_state: Any = tuple.__new__  # a NamedTuple, at half the price of calling its class
        last, before = own.last, own.before
        for i, part in enumerate(own.parts):
            for begin in own.begin:
                begin(i)
            steps = range(part.start, part.stop)
            for t in steps if self.reverse else steps[::-1]:
                if d_h is not None:
                    d_s[0] = d_s[0] + d_h[t, ...]
                d_past = None
                if t >= full:
                    d_s, d_past = own.release(t, valid.mask[t, ...], d_s)  # type: ignore[union-attr]
                if projection is not None:
                    own.projected[t, ...] = engine.value(d_s[0])
                    d_s[0] = projection @ own.projected[t, ...]
                d_result, direct = last(t, new_state(state, d_s))
                d_s = list(direct) if d_past is None else _sums(d_past, direct)
                for step in before:
                    d_result, direct = step(t, d_result)
                    d_s = _sums(d_s, direct)
                d_s[0] = d_result if d_s[0] is None else d_s[0] + d_result
                for k in others:
                    d_s[k] = self.zeros[k] if d_s[k] is None else d_s[k]
        d_s = [engine.value(d) for d in d_s]
        d_x = self.params.weight_ih.T @ own.d.a if need_d_x else None
        return self._weight_gradients(own), d_x, d_s

    def _weight_gradients(self, own: _Gradients) -> Params:
        """Return the gradients of the weights: a product for every tile, added in the order of time."""
        xp, params, projected = self.xp, self.params, own.projected
        total: list[Any] = []
        for tile in self._tiles:
            before = slice(tile.start + 1, tile.stop + 1) if self.reverse else tile
            steps = [self.states[0][before, ...], *[o[tile, ...] for o in self.operands]]
            operands = [_columns(o, xp=xp).T for o in steps]
            d_a = _columns(own.d.a[tile, ...], xp=xp)
            ones = own.ones[: d_a.shape[1]]
            d_a_h = d_a if own.d.a_h is own.d.a else _columns(own.d.a_h[tile, ...], xp=xp)
            if len(self.stages) == 1:
                d_hh = d_a_h @ operands[0]
            else:
                own_rows = [rows(stage.plan.operands, self.H) for stage in self.stages]
                blocks = [d_a_h[r, :] @ o for r, o in zip(own_rows, operands, strict=False)]
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
    """The memory of a run's way back, and its steps."""

    def __init__(self, run: Run) -> None:
        xp, engine = run.xp, run.engine
        T, G, H, B = run.memory.gates.shape
        gates = xp.empty_like(run.memory.gates)
        gates_h, apart = gates, any(stage.plan.apart for stage in run.stages)
        a = a_h = xp.reshape(gates, (T, G * H, B))
        if apart:
            gates_h = xp.empty_like(gates)
            a_h = xp.reshape(gates_h, (T, G * H, B))
        vectors = run._empty(T, len(run.cell.vectors), H, B)
        self.d = Gradients(a, gates, a_h, gates_h, vectors)
        self.vectors = xp.reshape(vectors, (T, vectors.shape[1] * H, B))
        self.projected = xp.empty_like(run.memory.s.h)  # of what the projection gives
        self.ones = xp.ones((min(T, TILE) * B,), **run.new)
        self.parts = _parts(T, max(1, PART // max(1, H * B)), run.reverse)  # in the order of going back
        begins, steps = zip(
            *[engine.backward_step(stage, run.memory, self.d, self.parts) for stage in run.stages],
            strict=True,
        )
        self.begin = begins
        *before, self.last = steps
        self.before = before[::-1]
        self.release = engine.release(run.zeros)


def _around(steps: int, reverse: bool) -> tuple[slice, slice]:
    """Return the places of the states before and after the steps."""
    earlier, later = slice(0, steps), slice(1, steps + 1)
    return (later, earlier) if reverse else (earlier, later)


def _parts(steps: int, size: int, ascending: bool) -> list[slice]:
    """Cut the steps into parts, in the order of time or against it."""
    parts = [slice(start, min(start + size, steps)) for start in range(0, steps, size)]
    return parts if ascending else parts[::-1]


def _input_bias(params: Params, stages: Sequence[Stage], H: int) -> Array | None:
    """Return b_ih, with b_hh added where the recurrent part does not come apart, as (G*H, 1)."""
    if params.bias_ih is None:
        return None
    if params.bias_hh is None:
        return params.bias_ih[:, None]
    bias = params.bias_ih + params.bias_hh
    for stage in stages:
        apart = rows(stage.plan.apart, H)
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
