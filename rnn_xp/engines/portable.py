"""The portable engine: array operations of the standard, one after the other.

What a step touches again and again, views of its places and the transposed matrix, is made once, before
the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rnn_xp.cells import Cell, Pair
from rnn_xp.typing import Array, Namespace


class Stage(NamedTuple):
    """A pair of a cell at work: its rows of the recurrent matrix, and the places of its planes."""

    pair: Pair
    matrix: Array  # the rows of weight_hh that its operand meets
    rows: slice  # these rows, in a (T, G*H, B)
    merged: slice  # those of them whose product is added to a
    bias: Array | None  # b_hh of the others, (rows apart, 1)
    gates: range  # the gates it reads, in (T, G, H, B)
    apart: range  # those of them whose product comes apart
    kept: range  # those of them whose places hold what it keeps
    extra: range  # the places of what it keeps beyond that, in (T, K, H, B)
    vectors: list[Array]  # those it reads, (H, 1)
    own_vectors: range  # their rows in (V, H)


def stages(
    cell: Cell, weight_hh: Array, bias_hh: Array | None, vectors: Array | None, *, xp: Namespace
) -> list[Stage]:
    """Give every pair of the cell its rows and places."""
    H = weight_hh.shape[0] // len(cell.gates)
    result: list[Stage] = []
    row = gate = extra = vector = 0
    for pair in cell.pairs:
        rows = slice(row, row + H * len(pair.operands))
        merged = slice(row, rows.stop - H * len(pair.apart))
        gates = range(gate, gate + len(pair.reads))
        kept = gates[: len(pair.keeps)]
        beyond = range(extra, extra + len(pair.keeps) - len(kept))
        bias = None
        if pair.apart and bias_hh is not None:
            bias = xp.reshape(bias_hh[merged.stop : rows.stop], (rows.stop - merged.stop, 1))
        matrix = weight_hh if len(cell.pairs) == 1 else weight_hh[rows, :]
        apart = gates[len(gates) - len(pair.apart) :]
        own = range(vector, vector + len(pair.vectors))
        columns = [] if vectors is None else [vectors[v, ...][:, None] for v in own]
        result.append(Stage(pair, matrix, rows, merged, bias, gates, apart, kept, beyond, columns, own))
        row, gate, extra, vector = rows.stop, gates.stop, beyond.stop, own.stop
    return result


def forward_step(
    stage: Stage, a: Array, gates: Array, extra: Array, *, xp: Namespace
) -> Callable[[int, Array, Any], Any]:
    """Return ``step(t, operand, s_prev)``, which gives the pair's result.

    It adds the product to a (T, G*H, B), runs the pair and stores what is kept over a, or in extra.
    """
    forward, matrix, bias, apart = stage.pair.forward, stage.matrix, stage.bias, len(stage.apart)
    planes = _planes(gates, stage.gates)
    vectors = stage.vectors
    views = [(a[t, stage.merged, :], own) for t, own in enumerate(planes)]
    places = [own[: len(stage.kept)] for own in planes]
    if stage.extra:
        places = [own + [extra[t, e, ...] for e in stage.extra] for t, own in enumerate(places)]
    count = range(len(stage.pair.keeps))
    size = stage.merged.stop - stage.merged.start
    H = gates.shape[2]

    checked = False

    def step(t: int, operand: Array, s_prev: Any) -> Any:
        nonlocal checked
        block, read = views[t]
        if apart:
            product = matrix @ operand
            block += product[:size, :]
            product = product[size:, :]
            if bias is not None:
                product += bias
            read = read + [product[k * H : (k + 1) * H, :] for k in range(apart)]
        else:
            block += matrix @ operand
        if vectors:
            read = read + vectors
        result, kept = forward(read, s_prev, xp=xp)
        if not checked:
            _check_result(stage.pair, views[t][1], result, kept)
            checked = True
        if kept:
            own = places[t]
            for i in count:  # an index loop: in Python, the cheapest way through one to five planes
                own[i][...] = kept[i]
        return result

    return step


def partials(
    stage: Stage, gates: Array, extra: Array, s_prev: Any, s: Any, part: slice, *, xp: Namespace
) -> list[tuple[Array, ...]]:
    """Return the pair's partial derivatives at every step in `part`; s_prev and s are (steps, H, B)."""
    kept = [gates[part, g, ...] for g in stage.kept] + [extra[part, e, ...] for e in stage.extra]
    planes = stage.pair.partials(kept + stage.vectors, s_prev, s, xp=xp)
    steps = range(part.stop - part.start)
    return list(zip(*[[plane[i, ...] for i in steps] for plane in planes], strict=True))


def backward_step(
    stage: Stage, d_gates: Array, d_a: Array, d_gates_h: Array, d_a_h: Array, d_vectors: Array
) -> Callable[[int, Any, Sequence[Array]], tuple[Array, Any]]:
    """Return ``step(t, d_result, planes)``, which gives the gradients of the operand and of s_prev.

    It stores those of a. d_gates (T, G, H, B) and d_a (T, G*H, B) are one memory, the gradient of the input
    parts; d_gates_h and d_a_h that of the recurrent parts, the same unless a gate keeps them apart; d_vectors
    (T, V, H, B) is every step's share of the gradients of the vectors.
    """
    backward, transposed = stage.pair.backward, stage.matrix.T
    T = d_a.shape[0]
    places = _planes(d_gates, stage.gates)
    separate = d_a_h is not d_a
    count = range(len(stage.gates) + len(stage.apart) + len(stage.own_vectors))
    if separate:
        copies = [(d_a[t, stage.merged, :], d_a_h[t, stage.merged, :]) for t in range(T)]
        places = [own + further for own, further in zip(places, _planes(d_gates_h, stage.apart), strict=True)]
    if stage.own_vectors:
        shares = _planes(d_vectors, stage.own_vectors)
        places = [own + further for own, further in zip(places, shares, strict=True)]

    views = [(d_a_h[t, stage.rows, :], own) for t, own in enumerate(places)]

    def step(t: int, d_result: Any, planes: Sequence[Array]) -> tuple[Array, Any]:
        d_planes, d_direct = backward(d_result, planes)
        block, own = views[t]
        for i in count:
            own[i][...] = d_planes[i]
        if separate:
            source, target = copies[t]
            target[...] = source
        return transposed @ block, d_direct

    return step


def _check_result(pair: Pair, read: Sequence[Array], result: Any, kept: Any) -> None:
    """Refuse what would go wrong in silence: missing planes, or an array of `a` that is written over."""
    if not isinstance(kept, tuple | list) or len(kept) != len(pair.keeps):
        came = len(kept) if isinstance(kept, tuple | list) else type(kept).__name__
        msg = f"a pair's forward must return {len(pair.keeps)} planes to keep, {pair.keeps}; got {came}."
        raise ValueError(msg)
    shape = tuple(read[0].shape)
    for plane in kept:
        if tuple(plane.shape) != shape:
            msg = f"a pair's forward must keep planes (H, B) = {shape}; got {tuple(plane.shape)}."
            raise ValueError(msg)
    lost = [given for given, plane in zip(read, kept, strict=False) if plane is not given]
    returned = [*(result if isinstance(result, tuple) else (result,)), *kept]
    if any(array is given for array in returned for given in lost):
        msg = "a pair's forward must not return an array of `a` that a kept plane replaces: copy it."
        raise ValueError(msg)


def _planes(gates: Array, chosen: Sequence[int]) -> list[list[Array]]:
    """Return the chosen planes of (T, G, H, B) for every step."""
    return [[gates[t, g, ...] for g in chosen] for t in range(gates.shape[0])]
