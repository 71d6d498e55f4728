"""The cupy engine: a step is one product and one kernel, compiled by `cupy.fuse` from the cell's functions.

On the arrays of other libraries the same functions run as they are: slower than the portable engine, with the
same numbers. So they are tested where there is no GPU.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rnn_xp.cells import Cell
from rnn_xp.engines import kernels
from rnn_xp.engines.base import (
    Backward,
    Forward,
    Gradients,
    Memory,
    Plan,
    Stage,
    blocks,
    kept_places,
    places_in,
    planes,
    plans,
    rows,
)
from rnn_xp.engines.fuse import compiled, product
from rnn_xp.engines.kernels import Kernel, NotPointwiseError
from rnn_xp.engines.rehearsal import rehearse
from rnn_xp.typing import Array, Namespace


class Sum:
    """A gradient as the arrays that it is the sum of: the next kernel adds them up."""

    def __init__(self, *terms: Array) -> None:
        self.terms = terms

    def __add__(self, other: Any) -> Sum:
        return Sum(*self.terms, *terms(other))


def terms(d: Any) -> tuple[Array, ...]:
    """Return the arrays that a gradient is the sum of."""
    return d.terms if isinstance(d, Sum) else (d,)


class Cupy:
    """Runs a cell's functions as compiled kernels."""

    part = sys.maxsize  # nothing is computed ahead

    def __init__(self, cell: Cell, xp: Namespace) -> None:
        self.cell, self.xp = cell, xp
        self.product = product(xp)

    def forward_step(
        self,
        stage: Stage,
        memory: Memory,
        operand: Array,
        outs: Sequence[Array],
    ) -> Forward:
        """Gather every step's planes once; a step is then two calls."""
        plan, matrix, bias, vectors = stage
        T, _, H, B = memory.gates.shape
        products = self._empty(memory.a, (matrix.shape[0], B))
        later = [g for g in plan.merged if g not in plan.gates]
        shared = [*blocks(products, H), *([] if bias is None else blocks(bias, H)), *vectors]
        a = planes(memory.gates, [*plan.gates, *later])
        kept = kept_places(plan, memory)
        kernel = _forward(self.cell, plan, bias is not None, self.xp).run
        before = kernels.state_read(self.cell, memory.s_prev)
        given = [(*a[t], *shared, *_at(before, t), *kept[t], *_at(outs, t)) for t in range(T)]
        operands = [operand[t, ...] for t in range(T)]
        multiply = self.product

        def step(t: int) -> None:
            multiply(matrix, operands[t], products)
            kernel(*given[t])

        return step

    def hold(self, s_prev: Sequence[Any], s: Sequence[Any]) -> Callable[[int, Array], None]:
        """Choose for all fields of one shape at once."""
        groups = [(own, _hold(len(own), self.xp).run) for own in _of_one_shape(s_prev[0])] if s_prev else []

        def hold(t: int, keep: Array) -> None:
            for own, kernel in groups:
                kernel(keep, *[s_prev[t][i] for i in own], *[s[t][i] for i in own])

        return hold

    def backward_step(
        self,
        stage: Stage,
        memory: Memory,
        d: Gradients,
        parts: Sequence[slice],
        d_result: Sequence[Array],  # noqa: ARG002
        d_operand: Array,
    ) -> tuple[Callable[[int], None], Backward]:
        """Do all of a step in one kernel; what it gives are terms of what the next one takes."""
        plan, matrix, _, vectors = stage
        H, B = d.gates.shape[2:]
        separate = d.a_h is not d.a
        reads = rehearse(self.cell, plan, xp=self.xp).reads
        around = [kernels.state_read(self.cell, state) for state in (memory.s_prev, memory.s)]
        fields = [field for state in around for field in state]
        merged = [g for g in plan.gates if g not in plan.apart] if separate else []
        groups = (  # the places of d_a, and those of the copy that gates apart make necessary
            *(planes(d.gates, plan.gates), planes(d.gates_h, plan.apart)),
            *(planes(d.vectors, plan.vectors), planes(d.gates_h, merged)),
        )
        kept = kept_places(plan, memory)
        given = [
            (*kept[t], *vectors, *_at(fields, t), *[p for own in groups for p in own[i]])
            for t, i in enumerate(places_in(parts))
        ]
        gradients = [d.a_h[i, rows(plan.operands, H), :] for i in places_in(parts)]
        transposed = matrix.T
        # in turns, so that no kernel writes what it reads
        direct = [[self._empty(d.a, (H, B)) if own else None for own in reads] for _ in range(2)]
        multiply = self.product
        made: dict[tuple[int, ...], Callable[..., None]] = {}  # kernels, by the terms that they add up

        def begin(i: int) -> None:
            """Compute nothing ahead."""

        def step(t: int, d_result: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
            sums = [terms(each) for each in d_result]
            counts = tuple(map(len, sums))
            if counts not in made:
                made[counts] = _backward(self.cell, plan, counts, reads, separate, self.xp).run
            own = direct[t % 2]
            places = [d for d in own if d is not None]
            made[counts](*[term for each in sums for term in each], *given[t], *places)
            multiply(transposed, gradients[t], d_operand)
            return Sum(d_operand), [None if d is None else Sum(d) for d in own]

        return begin, step

    def release(self, fields: Sequence[Array]) -> Callable[[int, Array, Sequence[Any]], tuple[Any, Any]]:
        """Choose for all fields of one shape at once."""
        through, past = ([[self._like(field) for field in fields] for _ in range(2)] for _ in range(2))
        groups = _of_one_shape(fields)

        def release(t: int, keep: Array, d_s: Sequence[Any]) -> tuple[Any, Any]:
            outs = through[t % 2], past[t % 2]
            for own in groups:
                sums = [terms(d_s[i]) for i in own]
                places = [out[i] for out in outs for i in own]
                run = _release(tuple(map(len, sums)), self.xp).run
                run(keep, *[term for each in sums for term in each], *places)
            return [Sum(d) for d in outs[0]], [Sum(d) for d in outs[1]]

        return release

    def multiply(self, matrix: Array, x: Array, out: Array) -> None:
        """Multiply, and copy."""
        out[...] = matrix @ x

    def plus(self, d: Any, more: Any, out: Array) -> Any:  # noqa: ARG002
        """Leave the addition to the next kernel."""
        return Sum(*terms(d), *terms(more))

    def value(self, d: Any) -> Array:
        """Add the terms up."""
        first, *others = terms(d)
        total: Array = functools.reduce(operator.add, others, first)
        return total

    def _like(self, array: Array) -> Array:
        """Return memory of the same shape."""
        return self._empty(array, tuple(array.shape))

    def _empty(self, like: Array, shape: tuple[int, ...]) -> Array:
        """Return memory beside `like`."""
        memory: Array = self.xp.empty(shape, dtype=like.dtype, device=like.device)
        return memory


def refusal(cell: Cell, *, xp: Namespace) -> str | None:
    """Return None where each pair of the cell becomes one kernel, else what stands in the way."""
    try:
        for plan in plans(cell):
            counts = (1,) * (len(cell.state._fields) if plan.last else 1)
            separate = any(other.apart for other in plans(cell))
            for run, count in (
                _forward(cell, plan, True, xp),
                _backward(cell, plan, counts, rehearse(cell, plan, xp=xp).reads, separate, xp),
            ):
                run(*[xp.full((1, 1), 0.5, dtype=xp.float32) for _ in range(count)])
                if getattr(run, "new_fusion", None) is not None:  # CuPy went its second way without a word
                    return "it takes several"
    except NotPointwiseError as error:
        return f"{type(error.__cause__).__name__}: {error.__cause__}"
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:  # of the cell, and not of the device
        return f"{type(error).__name__}: {error}"
    return None


# one object for one kernel: what `fuse` has compiled stays with it


@functools.cache
def _forward(cell: Cell, plan: Plan, bias: bool, xp: Namespace) -> Kernel:
    return compiled(kernels.forward_kernel, f"{cell.name}_forward", cell, plan, bias, xp=xp)


@functools.cache
def _backward(
    cell: Cell, plan: Plan, counts: tuple[int, ...], reads: tuple[bool, ...], separate: bool, xp: Namespace
) -> Kernel:
    return compiled(
        kernels.backward_kernel, f"{cell.name}_backward", cell, plan, counts, reads, separate, xp=xp
    )


@functools.cache
def _hold(fields: int, xp: Namespace) -> Kernel:
    return compiled(kernels.hold_kernel, "hold", fields, xp=xp)


@functools.cache
def _release(counts: tuple[int, ...], xp: Namespace) -> Kernel:
    return compiled(kernels.release_kernel, "release", counts, xp=xp)


def _of_one_shape(fields: Sequence[Array]) -> list[list[int]]:
    """Group the fields that may stand in one kernel: it would broadcast h of another size in silence."""
    shapes = [tuple(field.shape) for field in fields]
    return [[i for i, shape in enumerate(shapes) if shape == own] for own in dict.fromkeys(shapes)]


def _at(fields: Sequence[Array], t: int) -> list[Array]:
    """Return the planes of step t."""
    return [field[t, ...] for field in fields]
