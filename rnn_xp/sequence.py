"""The sequence engine: one direction of one layer. It owns time and every matrix product; the cell owns the formula.

Arrays here are feature-first, (T, features, B): the sequential product ``R @ h`` then runs at the speed of the machine, and
every gate of a step is one contiguous block. ``a`` holds the pre-activations (T, G*H, B); each step writes what the
derivative needs over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rnn_xp.cells import Cell, Pair
from rnn_xp.typing import Array, Namespace

TILE = 128
"""Steps whose share of a weight gradient is one product. The shares are added in order: another tile rounds otherwise."""

PART = 16384
"""Elements of a plane over several steps whose partial derivatives are computed at once: few calls, within the cache."""


class Params(NamedTuple):
    """The parameters of one direction of one layer; an absent one is None."""

    weight_ih: Array  # (G*H, D)
    weight_hh: Array  # (G*H, H), or (G*H, P) with a projection
    bias_ih: Array | None = None  # (G*H,)
    bias_hh: Array | None = None  # (G*H,)
    weight_hr: Array | None = None  # (P, H)


class Valid(NamedTuple):
    """Which steps belong to their sequences."""

    mask: Array  # (T, B) bool
    full: int  # the steps before this one are valid in every sequence


class Tape(NamedTuple):
    """What forward keeps for backward."""

    x: Array  # (T, D, B)
    states: tuple[Array, ...]  # a field of the state each, (T + 1, H or P, B), in the order of time
    gates: Array  # (T, G, H, B): what the pairs keep, in the places of the gates they read
    extra: Array  # (T, K, H, B): what they keep beyond that
    operands: tuple[Array, ...]  # (T, H, B) each: what was multiplied in every product after the first


def valid_steps(lengths: Sequence[int] | None, steps: int, like: Array, *, xp: Namespace) -> Valid | None:
    """Return the mask of right-padded sequences on the device of `like`, or None where nothing is padded."""
    if lengths is None or all(length == steps for length in lengths):
        return None
    ends = xp.asarray(list(lengths), dtype=xp.int64, device=like.device)
    times = xp.arange(steps, dtype=xp.int64, device=like.device)
    return Valid(times[:, None] < ends[None, :], min(lengths))


def forward(
    cell: Cell, params: Params, x: Array, s_0: Sequence[Array], *, valid: Valid | None, reverse: bool, xp: Namespace
) -> tuple[Array, Tape]:
    """Run over x (T, D, B), finite in its padding, from the state s_0, (H or P, B) a field.

    Returns
    -------
    h : array (T, H or P, B)
        The output of every step, a view of the tape.
    tape : Tape
    """
    T, _, B = x.shape
    stages = _stages(cell, params, xp=xp)
    H, G = stages[0].H, len(cell.gates)
    projection = params.weight_hr
    new = {"dtype": x.dtype, "device": x.device}

    a = params.weight_ih @ x
    bias = _input_bias(params, stages)
    if bias is not None:
        a += bias
    gates = xp.reshape(a, (T, G, H, B))
    extra = xp.empty((T, stages[-1].extra.stop, H, B), **new)
    operands = tuple(xp.empty((T, H, B), **new) for _ in range(len(stages) - (projection is None)))
    states = tuple(xp.empty((T + 1, *s.shape), **new) for s in s_0)
    for field, s in zip(states, s_0, strict=True):
        field[T if reverse else 0, ...] = s

    s_prev = cell.state(*s_0)
    for t in range(T - 1, -1, -1) if reverse else range(T):
        result: Any = s_prev.h
        for k, stage in enumerate(stages):
            if k:
                operands[k - 1][t, ...] = result
            result, kept = stage.pair.forward(stage.read(a, gates, t, result), s_prev, xp=xp)
            for g, plane in zip(stage.kept, kept, strict=False):
                gates[t, g, ...] = plane
            for e, plane in zip(stage.extra, kept[len(stage.kept) :], strict=True):
                extra[t, e, ...] = plane
        if projection is not None:
            operands[-1][t, ...] = result.h
            result = result._replace(h=projection @ result.h)
        if valid is not None and t >= valid.full:
            keep = valid.mask[t, ...]
            result = cell.state(*[xp.where(keep, new, old) for new, old in zip(result, s_prev, strict=True)])
        slot = t if reverse else t + 1
        for field, value in zip(states, result, strict=True):
            field[slot, ...] = value
        s_prev = result
    return states[0][:T, ...] if reverse else states[0][1:, ...], Tape(x, states, gates, extra, operands)


def backward(
    cell: Cell,
    params: Params,
    tape: Tape,
    d_h: Array,
    d_s_T: Sequence[Array],
    *,
    valid: Valid | None,
    reverse: bool,
    need_d_x: bool,
    xp: Namespace,
) -> tuple[Params, Array | None, list[Array]]:
    """Back-propagate d_h (T, H or P, B), zero in its padding, and d_s_T, the gradients of the last state's fields.

    Returns
    -------
    d_params : Params
        Summed over T and B.
    d_x : array (T, D, B) or None
    d_s_0 : list of arrays, (H or P, B) a field
    """
    T, G, H, B = tape.gates.shape
    stages = _stages(cell, params, xp=xp)
    projection = None if params.weight_hr is None else params.weight_hr.T
    new = {"dtype": d_h.dtype, "device": d_h.device}
    zero = xp.zeros((), **new)

    # the gradients of the input parts, and of the recurrent parts: the same array unless a gate keeps them apart
    d_gates = xp.empty((T, G, H, B), **new)
    d_gates_h = d_gates if not any(stage.pair.apart for stage in stages) else xp.empty((T, G, H, B), **new)
    d_a, d_a_h = xp.reshape(d_gates, (T, G * H, B)), xp.reshape(d_gates_h, (T, G * H, B))
    d_projected = None if projection is None else xp.empty(d_h.shape, **new)

    transposed = [stage.matrix.T for stage in stages]
    d_s = list(d_s_T)
    for part in _parts(T, max(1, PART // max(1, H * B)), reverse):
        planes = [stage.partials(cell, tape, part, reverse, xp=xp) for stage in stages]
        for t in range(part.start, part.stop) if reverse else range(part.stop - 1, part.start - 1, -1):
            d_s[0] = d_s[0] + d_h[t, ...]
            d_prev: list[Array | None] = [None] * len(d_s)
            if valid is not None and t >= valid.full:
                keep = valid.mask[t, ...]
                d_prev = [xp.where(keep, zero, d) for d in d_s]
                d_s = [xp.where(keep, d, zero) for d in d_s]
            if projection is not None:
                d_projected[t, ...] = d_s[0]
                d_s[0] = projection @ d_s[0]
            d_result: Any = cell.state(*d_s)
            for k in range(len(stages) - 1, -1, -1):
                stage = stages[k]
                d_planes, d_direct = stage.pair.backward(d_result, [plane[t - part.start, ...] for plane in planes[k]])
                for g, plane in zip(stage.gates, d_planes, strict=False):
                    d_gates[t, g, ...] = plane
                if d_a_h is not d_a:
                    d_a_h[t, stage.merged, :] = d_a[t, stage.merged, :]
                    for g, plane in zip(stage.apart, d_planes[len(stage.gates) :], strict=True):
                        d_gates_h[t, g, ...] = plane
                d_result = transposed[k] @ d_a_h[t, stage.rows, :]
                d_prev = [_sum(d, direct) for d, direct in zip(d_prev, d_direct, strict=True)]
            d_prev[0] = _sum(d_prev[0], d_result)
            d_s = [zero if d is None else d for d in d_prev]

    d_params = _weight_gradients(params, stages, tape, d_a, d_a_h, d_projected, reverse, xp=xp)
    return d_params, params.weight_ih.T @ d_a if need_d_x else None, d_s


class _Stage(NamedTuple):
    """A pair of the cell at work: its rows of the recurrent matrix, and the places of its planes."""

    pair: Pair
    H: int
    matrix: Array  # the rows of weight_hh that its operand meets
    rows: slice  # these rows, in a
    merged: slice  # those of them whose product is added to a
    bias: Array | None  # b_hh of the others, (rows apart, 1)
    gates: range  # the gates it reads
    apart: range  # those of them whose product comes apart
    kept: range  # those of them whose places hold what it keeps
    extra: range  # the places of what it keeps beyond that

    def read(self, a: Array, gates: Array, t: int, operand: Array) -> list[Array]:
        """Add the recurrent part to a; return the pre-activations, then the parts that come apart."""
        product = self.matrix @ operand
        block = a[t, self.merged, :]
        planes = [gates[t, g, ...] for g in self.gates]
        if not self.apart:
            block += product
            return planes
        block += product[: block.shape[0], :]
        part = product[block.shape[0] :, :]
        if self.bias is not None:
            part += self.bias
        return planes + [part[k * self.H : (k + 1) * self.H, :] for k in range(len(self.apart))]

    def partials(self, cell: Cell, tape: Tape, part: slice, reverse: bool, *, xp: Namespace) -> tuple[Array, ...]:
        """Return the pair's partial derivatives at some steps, (steps, H, B) each."""
        later = slice(part.start + 1, part.stop + 1)
        before, after = (later, part) if reverse else (part, later)
        kept = [tape.gates[part, g, ...] for g in self.kept] + [tape.extra[part, e, ...] for e in self.extra]
        s_prev = cell.state(*[field[before, ...] for field in tape.states])
        s = cell.state(*[field[after, ...] for field in tape.states])
        return self.pair.partials(kept, s_prev, s, xp=xp)


def _stages(cell: Cell, params: Params, *, xp: Namespace) -> list[_Stage]:
    """Give every pair of the cell its rows and places."""
    H = params.weight_ih.shape[0] // len(cell.gates)
    stages: list[_Stage] = []
    row = gate = extra = 0
    for pair in cell.pairs:
        rows = slice(row, row + H * len(pair.reads if pair.multiplies is None else pair.multiplies))
        merged = slice(row, rows.stop - H * len(pair.apart))
        gates = range(gate, gate + len(pair.reads))
        kept = gates[: len(pair.keeps)]
        beyond = range(extra, extra + len(pair.keeps) - len(kept))
        bias = None
        if pair.apart and params.bias_hh is not None:
            bias = xp.reshape(params.bias_hh[merged.stop : rows.stop], (rows.stop - merged.stop, 1))
        apart = gates[len(gates) - len(pair.apart) :]
        stages.append(
            _Stage(pair, H, params.weight_hh[rows, :], rows, merged, bias, gates, apart, kept, beyond)
        )
        row, gate, extra = rows.stop, gates.stop, beyond.stop
    return stages


def _parts(steps: int, size: int, ascending: bool) -> list[slice]:
    """Cut the steps into parts, in the order of time or against it."""
    parts = [slice(start, min(start + size, steps)) for start in range(0, steps, size)]
    return parts if ascending else parts[::-1]


def _input_bias(params: Params, stages: Sequence[_Stage]) -> Array | None:
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


def _weight_gradients(
    params: Params,
    stages: Sequence[_Stage],
    tape: Tape,
    d_a: Array,
    d_a_h: Array,
    d_projected: Array | None,
    reverse: bool,
    *,
    xp: Namespace,
) -> Params:
    """Return the gradients of the weights: a product for every tile of steps, added in the order of time."""
    T = d_a.shape[0]
    h = tape.states[0]
    total: list[Any] = [None] * 5
    for tile in _parts(T, TILE, True) or [slice(0, 0)]:
        before = slice(tile.start + 1, tile.stop + 1) if reverse else tile
        operands = [h[before, ...], *[operand[tile, ...] for operand in tape.operands]]
        d_x_side = _columns(d_a[tile, ...], xp=xp)
        d_h_side = d_x_side if d_a_h is d_a else _columns(d_a_h[tile, ...], xp=xp)
        d_hh = [
            d_h_side[stage.rows, :] @ _columns(operand, xp=xp).T for stage, operand in zip(stages, operands, strict=False)
        ]
        parts = [
            d_x_side @ _columns(tape.x[tile, ...], xp=xp).T,
            d_hh[0] if len(d_hh) == 1 else xp.concat(d_hh, axis=0),
            None if params.bias_ih is None else xp.sum(d_x_side, axis=1),
            None if params.bias_hh is None or d_a_h is d_a else xp.sum(d_h_side, axis=1),
            None if d_projected is None else _columns(d_projected[tile, ...], xp=xp) @ _columns(operands[-1], xp=xp).T,
        ]
        total = parts if tile.start == 0 else [_sum(sum_, part) for sum_, part in zip(total, parts, strict=True)]
    if params.bias_hh is not None and d_a_h is d_a:
        total[3] = xp.asarray(total[2], copy=True)
    return Params(*total)


def _columns(a: Array, *, xp: Namespace) -> Array:
    """Return a (T, N, B) as (N, T*B)."""
    T, N, B = a.shape
    columns: Array = xp.reshape(xp.permute_dims(a, (1, 0, 2)), (N, T * B))
    return columns


def _sum(a: Array | None, b: Array | None) -> Array | None:
    """Add where None is zero."""
    if a is None or b is None:
        return b if a is None else a
    return a + b
