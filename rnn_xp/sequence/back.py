"""The way back of a run: the memory that its steps write, and the weight gradients.

What a step writes lives as long as a part, a few steps that fit in the cache; from there it goes into a tile,
(features, steps * B), whose share of the weight gradients is one product. So the memory does not grow with T.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnn_xp.engines import Gradients, rows
from rnn_xp.sequence.params import Params
from rnn_xp.sequence.workspace import Workspace, cut
from rnn_xp.typing import Array

TILE = 1024
"""Columns of a tile; a step has B."""


class Back:
    """The memory of a run's way back, and its steps."""

    def __init__(self, run: Workspace) -> None:
        xp, engine, T, B, H = run.xp, run.engine, run.T, run.B, run.H
        self.xp, self.B = xp, B
        tile = max(1, min(T, TILE // max(1, B)))
        part = min(tile, run.part)
        # in the order of going back
        tiles = cut(slice(0, T), tile, run.reverse) or [slice(0, 0)]
        self.tiles = [(own, cut(own, part, run.reverse)) for own in tiles]
        G, V, separate = len(run.cell.gates), len(run.cell.vectors), any(s.plan.apart for s in run.stages)
        gates, vectors = run.empty(part, G, H, B), run.empty(part, V, H, B)
        a = xp.reshape(gates, (part, G * H, B))
        gates_h, a_h = gates, a
        if separate:
            gates_h = run.empty(part, G, H, B)
            a_h = xp.reshape(gates_h, (part, G * H, B))
        self.d = Gradients(a, gates, a_h, gates_h, vectors)
        self.projected = run.empty(part, *run.zeros[0].shape)  # of what the projection gives
        self._parts = {"a": a, "vectors": xp.reshape(vectors, (part, V * H, B))}
        if separate:
            self._parts["a_h"] = a_h
        if run.params.weight_hr is not None:
            self._parts["projected"] = self.projected
        inputs = {f"operand {i}": array for i, array in enumerate([run.states[0], *run.operands])}
        self._tiles = {
            name: run.empty(tile, array.shape[1]) if B == 1 else run.empty(array.shape[1], tile, B)
            for name, array in {**self._parts, **inputs}.items()
        }
        self._ones = xp.ones((tile * B,), **run.new)

        # the gradient of a pair's result stands where that of the next pair's operand is put
        operands = [xp.empty_like(run.zeros[0]), *[run.empty(H, B) for _ in run.operands]]
        self.home = operands[0]
        results: list[Any] = [(operand,) for operand in operands[1:]]
        others = [xp.empty_like(field) for field in run.zeros[1:]]
        if len(operands) == len(run.stages):
            results.append((self.home, *others))
        else:  # a projection stands between
            results[-1] = (*results[-1], *others)
        steps = [part for _, parts in self.tiles for part in parts]
        begins, backs = zip(
            *[
                engine.backward_step(stage, run.memory, self.d, steps, result, operand)
                for stage, result, operand in zip(run.stages, results, operands, strict=False)
            ],
            strict=True,
        )
        self.begin = begins
        *before, self.last = backs
        self.before = before[::-1]
        self.release = engine.release(run.zeros)

    def gather(self, tile: slice, part: slice) -> None:
        """Move what the steps of a part have written into the tile."""
        place = slice(part.start - tile.start, part.stop - tile.start)
        for name, array in self._parts.items():
            self._put(name, place, array[: part.stop - part.start, ...])

    def _put(self, name: str, place: slice, array: Array) -> None:
        """Copy steps (n, N, B) into the tile."""
        if self.B == 1:
            self._tiles[name][place, ...] = array[:, :, 0]
        else:
            self._tiles[name][:, place, :] = self.xp.permute_dims(array, (1, 0, 2))

    def _columns(self, name: str, steps: int) -> Array:
        """Return the tile as (N, steps * B)."""
        own = self._tiles[name]
        if self.B == 1:
            return own[:steps, :].T
        return self.xp.reshape(own[:, :steps, :], (own.shape[0], steps * self.B))  # type: ignore[no-any-return]

    def share(self, run: Workspace, tile: slice) -> tuple[Array | None, ...]:
        """Return what a tile adds to the gradients of (W_ih b_ih), W_hh, b_hh, W_hr and the vectors."""
        steps, xp, params = tile.stop - tile.start, self.xp, run.params
        before = slice(tile.start + 1, tile.stop + 1) if run.reverse else tile
        for i, array in enumerate([run.states[0][before, ...], *[o[tile, ...] for o in run.operands]]):
            self._put(f"operand {i}", slice(0, steps), array)
        operands = [self._columns(f"operand {i}", steps).T for i in range(1 + len(run.operands))]
        d_a, ones = self._columns("a", steps), self._ones[: steps * run.B]
        d_a_h = self._columns("a_h", steps) if "a_h" in self._parts else d_a
        if len(run.stages) == 1:
            d_hh = d_a_h @ operands[0]
        else:
            own_rows = [rows(stage.plan.operands, run.H) for stage in run.stages]
            d_hh = xp.concat([d_a_h[r, :] @ o for r, o in zip(own_rows, operands, strict=False)], axis=0)
        x = run.x[tile, ...]
        return (
            d_a @ xp.reshape(x, (steps * run.B, x.shape[2])),
            d_hh,
            None if params.bias_hh is None or d_a_h is d_a else d_a_h @ ones,
            None if params.weight_hr is None else self._columns("projected", steps) @ operands[-1],
            None if params.vectors is None else self._columns("vectors", steps) @ ones,
        )

    def input_gradient(self, weight_ih: Array, tile: slice) -> Array:
        """Return d_x of the steps of a tile, (n, D, B)."""
        steps = tile.stop - tile.start
        d_x = self.xp.reshape(weight_ih.T @ self._columns("a", steps), (weight_ih.shape[1], steps, self.B))
        return self.xp.permute_dims(d_x, (1, 0, 2))  # type: ignore[no-any-return]

    def gradients(self, params: Params, total: Sequence[Any]) -> Params:
        """Return the shares' sum as the gradients of the parameters."""
        xp = self.xp
        d_ih, d_hh, d_bias_hh, d_hr, d_vectors = total
        d_bias_ih = None if params.bias_ih is None else d_ih[:, -1]
        if params.bias_hh is not None and d_bias_hh is None:
            d_bias_hh = xp.asarray(d_bias_ih, copy=True)
        if params.vectors is not None:
            d_vectors = xp.reshape(d_vectors, params.vectors.shape)
        return Params(d_ih[:, : params.weight_ih.shape[1]], d_hh, d_bias_ih, d_bias_hh, d_hr, d_vectors)


def sums(one: Sequence[Array | None], other: Sequence[Array | None]) -> list[Any]:
    """Add part by part; None is zero."""
    pairs = zip(one, other, strict=True)
    return [b if a is None else a if b is None else a + b for a, b in pairs]
