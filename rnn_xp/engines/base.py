"""What an engine is: how the pairs of a cell are run at one step of time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from rnn_xp.cells import Cell, Pair
from rnn_xp.typing import Array

Forward: TypeAlias = Callable[[int], None]
"""step(t): run a pair at step t, and store what it keeps and what it gives."""

Backward: TypeAlias = Callable[[int, Sequence[Any]], tuple[Any, Sequence[Any]]]
"""step(t, d_result): store the gradients of a; return those of the operand and of the fields of s_prev.

`d_result` has one for every field of the new state; for a pair that another follows, the operand's.
"""


class Plan(NamedTuple):
    """Which planes of a run are a pair's: places along the second axis of (T, places, H, B)."""

    pair: Pair
    last: bool  # whether it gives the new state
    operands: range  # the gates that its operand is multiplied for
    merged: range  # those of them whose product is added to a
    gates: range  # the gates it reads
    apart: range  # those of them whose product comes apart
    kept: range  # those of them whose places hold what it keeps
    extra: range  # the places of what it keeps beyond that
    vectors: range  # of the vectors it reads


class Stage(NamedTuple):
    """A pair at work."""

    plan: Plan
    matrix: Array  # the rows of weight_hh that its operand meets
    bias: Array | None  # b_hh of the gates apart, (rows, 1)
    vectors: list[Array]  # (H, 1)


class Memory(NamedTuple):
    """What a run writes on its way through time, whole."""

    a: Array  # (T, G*H, B): the pre-activations, and then, in their places, what is kept
    gates: Array  # (T, G, H, B), the same memory
    extra: Array  # (T, K, H, B): what is kept beyond that
    s_prev: Any  # a state of (T, H or P, B): before each step
    s: Any  # and after it


class Gradients(NamedTuple):
    """What a run writes on its way back: the n steps of a part, in the order of time."""

    a: Array  # (n, G*H, B): the gradients of the input parts
    gates: Array  # (n, G, H, B), the same memory
    a_h: Array  # of the recurrent parts: the same two, unless a gate keeps them apart
    gates_h: Array
    vectors: Array  # (n, V, H, B): every step's share of the gradients of the vectors


class Engine(Protocol):
    """How pairs are run. What a step touches again and again is made once, before the loop."""

    part: int  # elements of a plane, over the steps between two calls of begin

    def forward_step(
        self,
        stage: Stage,
        memory: Memory,
        operand: Array,
        outs: Sequence[Array],
    ) -> Forward:
        """Return step(t): multiply operand[t], add, run the pair, and store what it gives in each out[t]."""

    def hold(self, s_prev: Sequence[Any], s: Sequence[Any]) -> Callable[[int, Array], None]:
        """Return hold(t, keep), which puts s_prev[t] back into s[t] where not keep (B,)."""

    def backward_step(
        self,
        stage: Stage,
        memory: Memory,
        d: Gradients,
        parts: Sequence[slice],
        d_result: Sequence[Array],
        d_operand: Array,
    ) -> tuple[Callable[[int], None], Backward]:
        """Return begin(i), to be called before the steps of parts[i], and step(t, d_result).

        `d_result` and `d_operand` are memory that an engine may use for what a step takes and gives.
        """

    def release(self, fields: Sequence[Array]) -> Callable[[int, Array, Sequence[Any]], tuple[Any, Any]]:
        """Return release(t, keep, d_s): the gradients that go through step t, and those that go past it."""

    def multiply(self, matrix: Array, x: Array, out: Array) -> None:
        """Store the products of the matrix and every step of x (T, D, B) in out."""

    def plus(self, d: Any, more: Any, out: Array) -> Any:
        """Return the sum of two gradients, perhaps in out, which may be one of them."""

    def value(self, d: Any) -> Array:
        """Return a gradient that steps gave or took as an array."""


@functools.cache
def plans(cell: Cell) -> tuple[Plan, ...]:
    """Give every pair of the cell its places."""
    result: list[Plan] = []
    operand = gate = extra = vector = 0
    for pair in cell.pairs:
        operands = range(operand, operand + len(pair.operands))
        gates = range(gate, gate + len(pair.reads))
        kept = gates[: len(pair.keeps)]
        plan = Plan(
            pair,
            pair is cell.pairs[-1],
            operands,
            operands[: len(operands) - len(pair.apart)],
            gates,
            gates[len(gates) - len(pair.apart) :],
            kept,
            range(extra, extra + len(pair.keeps) - len(kept)),
            range(vector, vector + len(pair.vectors)),
        )
        result.append(plan)
        operand, gate, extra, vector = operands.stop, gates.stop, plan.extra.stop, plan.vectors.stop
    return tuple(result)


def extra_planes(cell: Cell) -> int:
    """Return how many planes of (T, K, H, B) a run needs beside the gates."""
    return plans(cell)[-1].extra.stop


def stages(cell: Cell, weight_hh: Array, bias_hh: Array | None, vectors: Array | None) -> list[Stage]:
    """Give every pair of the cell its parameters."""
    H = weight_hh.shape[0] // len(cell.gates)
    result = []
    for plan in plans(cell):
        matrix = weight_hh if len(cell.pairs) == 1 else weight_hh[rows(plan.operands, H), :]
        bias = None if bias_hh is None or not plan.apart else bias_hh[rows(plan.apart, H)][:, None]
        columns = [] if vectors is None else [vectors[v, ...][:, None] for v in plan.vectors]
        result.append(Stage(plan, matrix, bias, columns))
    return result


def places_in(parts: Sequence[slice]) -> list[int]:
    """Return the place of every step, by t, in its part."""
    own = {t: i for part in parts for i, t in enumerate(range(part.start, part.stop))}
    return [own[t] for t in range(len(own))]


def rows(gates: range, H: int) -> slice:
    """Return the rows of these gates in (T, G*H, B)."""
    return slice(H * gates.start, H * gates.stop)


def planes(gates: Array, chosen: Sequence[int]) -> list[list[Array]]:
    """Return the chosen planes of (T, G, H, B) for every step."""
    return [[gates[t, g, ...] for g in chosen] for t in range(gates.shape[0])]


def kept_places(plan: Plan, memory: Memory) -> list[list[Array]]:
    """Return the planes that the pair keeps, for every step."""
    own, further = planes(memory.gates, plan.kept), planes(memory.extra, plan.extra)
    return [one + other for one, other in zip(own, further, strict=True)]


def blocks(array: Array, H: int) -> list[Array]:
    """Cut (n*H, B) into n planes."""
    return [array[start : start + H, :] for start in range(0, array.shape[0], H)]
