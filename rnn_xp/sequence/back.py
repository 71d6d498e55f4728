"""The way back of a run: the memory that its steps write, and the weight gradients.

What a step writes lives as long as a part, a few steps that fit in the cache; from there it goes into a
tile, (features, steps * B), whose share of the weight gradients is one product. So this memory does not grow
with T.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rnn_xp.engines import Gradients, rows
from rnn_xp.sequence.params import Params
from rnn_xp.sequence.workspace import Workspace, cut
from rnn_xp.typing import Array, Namespace

TILE = 1024
"""Columns of a tile; a step has B."""


class Move(NamedTuple):
    """A copy to be made."""

    place: Array
    source: Array


class Part(NamedTuple):
    """Steps that are worked on together."""

    number: int  # by which the engine knows it
    steps: slice
    moves: list[Move]  # of what they write, into the tile


class Tile(NamedTuple):
    """Steps whose share of the weight gradients is one product."""

    steps: slice
    parts: list[Part]  # in the order of going back
    moves: list[Move]  # of what the products met, into the tile
    columns: dict[str, Array]  # (features, steps * B): what the steps wrote, by name
    operands: list[Array]  # (steps * B, features): what the products met
    x: Array  # (steps * B, D), with 1 for the bias


class Back:
    """The memory of a run's way back, and its steps."""

    def __init__(self, run: Workspace) -> None:
        xp, B, H = run.xp, run.B, run.H
        size = max(1, min(run.T, TILE // max(1, B)))
        part = min(size, run.part)
        self.xp, self._ones = xp, xp.ones((size * B,), **run.new)
        G, V, separate = len(run.cell.gates), len(run.cell.vectors), any(s.plan.apart for s in run.stages)
        gates, vectors = run.empty(part, G, H, B), run.empty(part, V, H, B)
        a = xp.reshape(gates, (part, G * H, B))
        gates_h, a_h = gates, a
        if separate:
            gates_h = run.empty(part, G, H, B)
            a_h = xp.reshape(gates_h, (part, G * H, B))
        self.d = Gradients(a, gates, a_h, gates_h, vectors)
        self.projected = run.empty(part, *run.zeros[0].shape)  # of what the projection gives
        written = {"a": a}
        if separate:
            written["a_h"] = a_h
        if V:
            written["vectors"] = xp.reshape(vectors, (part, V * H, B))
        if run.params.weight_hr is not None:
            written["projected"] = self.projected
        self._size, self._part, self._written = size, part, written
        self._met = [run.operand, *run.operands]
        self._memory, self._met_memory = (
            [run.empty(size * array.shape[1] * B) for array in arrays]
            for arrays in (written.values(), self._met)
        )
        parts = [
            each
            for tile in cut(slice(0, run.T), size, run.reverse) or [slice(0, 0)]
            for each in cut(tile, part, run.reverse)
        ]
        self._numbers = {each.start: number for number, each in enumerate(parts)}
        self._whole = self._tiles(run, run.T)

        # the gradient of a pair's result stands where that of the next pair's operand is put
        operands = [xp.empty_like(run.zeros[0]), *[run.empty(H, B) for _ in run.operands]]
        self.home = operands[0]
        results: list[Any] = [(operand,) for operand in operands[1:]]
        others = [xp.empty_like(field) for field in run.zeros[1:]]
        if len(operands) == len(run.stages):
            results.append((self.home, *others))
        else:  # a projection stands between
            results[-1] = (*results[-1], *others)
        begins, backs = zip(
            *[
                run.engine.backward_step(stage, run.memory, self.d, parts, result, operand)
                for stage, result, operand in zip(run.stages, results, operands, strict=False)
            ],
            strict=True,
        )
        self.begin = begins
        *before, self.last = backs
        self.before = before[::-1]
        self.release = run.engine.release(run.zeros)

    def tiles(self, run: Workspace, steps: int) -> list[Tile]:
        """Return the tiles of the first steps, in the order of going back; they share memory."""
        return self._whole if steps == run.T else self._tiles(run, steps)

    def _tiles(self, run: Workspace, steps: int) -> list[Tile]:
        return [
            self._tile(run, own) for own in cut(slice(0, steps), self._size, run.reverse) or [slice(0, 0)]
        ]

    def _tile(self, run: Workspace, steps: slice) -> Tile:
        """Return these steps with the views that they need."""
        xp, B, n = run.xp, run.B, steps.stop - steps.start
        own = [
            _columns(flat, array.shape[1], n, B, xp=xp)
            for flat, array in zip(self._memory, self._written.values(), strict=True)
        ]
        parts = []
        for each in cut(steps, self._part, run.reverse):
            place, count = slice(each.start - steps.start, each.stop - steps.start), each.stop - each.start
            moves = [
                Move(columns[:, place, :], _turned(array[:count, ...], xp=xp))
                for (columns, _), array in zip(own, self._written.values(), strict=True)
            ]
            parts.append(Part(self._numbers[each.start], each, moves))
        places = [
            _columns(flat, array.shape[1], n, B, xp=xp)
            for flat, array in zip(self._met_memory, self._met, strict=True)
        ]
        moves = [
            Move(place, _turned(array[steps, ...], xp=xp))
            for (place, _), array in zip(places, self._met, strict=True)
        ]
        x = xp.reshape(run.x[steps, ...], (n * B, run.x.shape[2]))
        columns = {name: whole for name, (_, whole) in zip(self._written, own, strict=True)}
        return Tile(steps, parts, moves, columns, [whole.T for _, whole in places], x)

    def share(self, run: Workspace, tile: Tile) -> tuple[Array | None, ...]:
        """Return what a tile adds to the gradients of (W_ih b_ih), W_hh, b_hh, W_hr and the vectors."""
        params, columns, operands = run.params, tile.columns, tile.operands
        for place, source in tile.moves:
            place[...] = source
        d_a = columns["a"]
        d_a_h, ones = columns.get("a_h", d_a), self._ones[: d_a.shape[1]]
        if len(run.stages) == 1:
            d_hh = d_a_h @ operands[0]
        else:
            own_rows = [rows(stage.plan.operands, run.H) for stage in run.stages]
            parts = [d_a_h[r, :] @ o for r, o in zip(own_rows, operands, strict=False)]
            d_hh = self.xp.concat(parts, axis=0)
        return (
            d_a @ tile.x,
            d_hh,
            None if params.bias_hh is None or d_a_h is d_a else d_a_h @ ones,
            None if params.weight_hr is None else columns["projected"] @ operands[-1],
            None if params.vectors is None else columns["vectors"] @ ones,
        )

    def gradients(self, params: Params, total: Sequence[Any]) -> Params:
        """Return the shares' sum as the gradients of the parameters."""
        d_ih, d_hh, d_bias_hh, d_hr, d_vectors = total
        if params.vectors is not None:
            d_vectors = self.xp.reshape(d_vectors, params.vectors.shape)
        if params.bias_ih is None:
            return Params(d_ih, d_hh, None, None, d_hr, d_vectors)
        D, d_bias_ih = params.weight_ih.shape[1], d_ih[:, -1]
        if params.bias_hh is not None and d_bias_hh is None:
            d_bias_hh = self.xp.asarray(d_bias_ih, copy=True)
        return Params(d_ih[:, :D], d_hh, d_bias_ih, d_bias_hh, d_hr, d_vectors)


def _columns(flat: Array, N: int, steps: int, B: int, *, xp: Namespace) -> tuple[Array, Array]:
    """Return memory as (N, steps, B) and as (N, steps * B); of single columns, as the steps have them."""
    flat = flat[: N * steps * B]
    if B == 1:
        own = xp.reshape(flat, (steps, N))
        return own.T[:, :, None], own.T
    return xp.reshape(flat, (N, steps, B)), xp.reshape(flat, (N, steps * B))


def _turned(array: Array, *, xp: Namespace) -> Array:
    """Return steps (n, N, B) as (N, n, B)."""
    return xp.permute_dims(array, (1, 0, 2))  # type: ignore[no-any-return]


def sums(one: Sequence[Array | None], other: Sequence[Array | None]) -> list[Any]:
    """Add part by part; None is zero."""
    pairs = zip(one, other, strict=True)
    return [b if a is None else a if b is None else a + b for a, b in pairs]
