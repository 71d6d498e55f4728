"""The numpy engine: a step is one product and a few ufunc calls that write in place, traced from the cell."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
    places_in,
    plans,
    rows,
)
from rnn_xp.engines.portable import Portable
from rnn_xp.engines.program import FLAGS, SCRATCH, Place, Program, Source, bind, lay_out
from rnn_xp.engines.rehearsal import rehearse
from rnn_xp.engines.trace import Trace, record
from rnn_xp.typing import Array, Namespace


class Numpy(Portable):
    """Runs a cell's functions as the calls they are made of; what is rare, as the portable engine does."""

    def __init__(self, cell: Cell, xp: Namespace) -> None:
        super().__init__(xp)
        self.cell = cell

    def forward_step(self, stage: Stage, memory: Memory, operand: Array, outs: Sequence[Array]) -> Forward:
        """Bind every step's calls to its planes once."""
        plan, _, bias, vectors = stage
        matrix: Any = stage.matrix  # of NumPy
        T, _, H, B = memory.gates.shape
        xp = self.xp
        products = xp.empty((matrix.shape[0], B), dtype=matrix.dtype)
        sources = {
            **_memory(memory, range(T)),
            "product": Source(xp.reshape(products, (len(plan.operands), H, B))),
            **_fields("bias", [] if bias is None else blocks(bias, H)),
            **_fields("vector", vectors),
            **_fields("out", outs, range(T)),
        }
        own = _forward(self.cell, plan, bias is not None, self.xp)
        calls = _bound(own, sources, sources["product"].array, T, xp=xp)
        operands = [operand[t, ...] for t in range(T)]
        dot = matrix.dot  # the method: NumPy's function looks at its arguments first

        def step(t: int) -> None:
            dot(operands[t], products)
            for function, arguments in calls[t]:
                function(*arguments)

        return step

    def backward_step(
        self,
        stage: Stage,
        memory: Memory,
        d: Gradients,
        parts: Sequence[slice],
        d_result: Sequence[Array],
        d_operand: Array,
    ) -> tuple[Callable[[int], None], Backward]:
        """Compute the partial derivatives of a part's steps at once; a step writes in place."""
        xp = self.xp
        plan, _, _, vectors = stage
        matrix: Any = stage.matrix
        T, H, B = memory.gates.shape[0], *d.gates.shape[2:]
        partials, chain, count, reads = _backward(self.cell, plan, d.a_h is not d.a, self.xp)
        lengths = [part.stop - part.start for part in parts]
        slopes = xp.empty((max(lengths, default=0), count, H, B), dtype=d.a.dtype)
        fixed = _fields("vector", vectors)
        starts = [slice(0, length) for length in lengths]
        whole = {**_memory(memory, parts), "slopes": Source(slopes, starts)}
        begins = _bound(partials, whole | fixed, slopes, len(parts), starts, xp=xp)

        own = places_in(parts)
        direct = xp.empty((len(reads), H, B), dtype=d.a.dtype)
        sources = {
            **_memory(memory, range(T)),
            "slopes": Source(slopes, own),
            **_fields("d_result", d_result),
            "d_a": Source(d.gates, own),
            "d_a_h": Source(d.gates_h, own),
            "d_vectors": Source(d.vectors, own),
            "direct": Source(direct),
        }
        calls = _bound(chain, sources | fixed, direct, T, xp=xp)
        block = rows(plan.operands, H)
        gradients = [d.a_h[i, block, :] for i in own]
        dot = matrix.T.dot
        homes = list(enumerate(d_result))
        answer = [
            None if not read else d_result[k] if _in_place(plan, k) else direct[k, ...]
            for k, read in enumerate(reads)
        ]

        def begin(i: int) -> None:
            for function, arguments in begins[i]:
                function(*arguments)

        def step(t: int, given: Sequence[Any]) -> tuple[Array, Sequence[Any]]:
            for k, home in homes:
                if given[k] is not home:
                    home[...] = given[k]
            for function, arguments in calls[t]:
                function(*arguments)
            dot(gradients[t], d_operand)
            return d_operand, answer

        return begin, step

    def multiply(self, matrix: Any, x: Array, out: Array) -> None:
        """Multiply in place; step by step, so that the numbers of a step do not depend on T."""
        if x.shape[0] == 1:
            matrix.dot(x[0, ...], out[0, ...])
        else:
            self.xp.matmul(matrix, x, out)

    def plus(self, d: Any, more: Array, out: Array) -> Array:
        """Add in place."""
        return self.xp.add(d, more, out)  # type: ignore[no-any-return]


class Back(NamedTuple):
    """The way back of a pair."""

    partials: Program
    chain: Program
    slopes: int  # planes of partial derivatives that are not kept planes
    reads: tuple[bool, ...]  # the fields of s_prev that get gradients of their own


def refusal(cell: Cell, *, xp: Namespace) -> str | None:
    """Return None where each pair of the cell can be traced, else what stands in the way."""
    try:
        for plan in plans(cell):
            _forward(cell, plan, True, xp)
            _backward(cell, plan, any(other.apart for other in plans(cell)), xp)
    except kernels.NotPointwiseError as error:
        return f"{type(error.__cause__).__name__}: {error.__cause__}"
    except Exception as error:  # whatever a cell may raise
        return f"{type(error).__name__}: {error}"
    return None


@functools.cache
def _forward(cell: Cell, plan: Plan, bias: bool, xp: Namespace) -> Program:
    later = [g for g in plan.merged if g not in plan.gates]
    results = len(cell.state._fields) if plan.last else 1
    places = [
        *[Place("a", g) for g in (*plan.gates, *later)],
        *[Place("product", k) for k in range(len(plan.operands))],
        *[Place(f"bias{k}", 0) for k in range(len(plan.apart) if bias else 0)],
        *_given(cell, plan, "s_prev"),
        *_kept(plan),
        *[Place(f"out{k}", 0) for k in range(results)],
    ]
    writes = len(later) + len(plan.pair.keeps) + results
    return lay_out(_traced(kernels.forward_kernel(cell, plan, bias, xp=xp), writes), places)


@functools.cache
def _backward(cell: Cell, plan: Plan, separate: bool, xp: Namespace) -> Back:
    reads, count = rehearse(cell, plan, xp=xp)
    given = [*_kept(plan), *_given(cell, plan, "s_prev", "s")]
    partials = _traced(kernels.slopes_kernel(cell, plan, count, xp=xp), count)
    slopes: list[Place] = []
    planes = 0
    for _, value in partials.stores:
        kept = isinstance(value, int) and value < len(given)  # a partial derivative that is there already
        slopes.append(given[value] if kept else Place("slopes", planes))  # type: ignore[index]
        planes += not kept
    merged = [g for g in plan.gates if g not in plan.apart] if separate else []
    places = [
        *[Place(f"d_result{k}", 0) for k in range(len(cell.state._fields) if plan.last else 1)],
        *slopes,
        *[Place("d_a", g) for g in plan.gates],
        *[Place("d_a_h", g) for g in plan.apart],
        *[Place("d_vectors", v) for v in plan.vectors],
        *[Place("d_a_h", g) for g in merged],
        *[
            Place(f"d_result{k}", 0) if _in_place(plan, k) else Place("direct", k)
            for k, read in enumerate(reads)
            if read
        ],
    ]
    writes = len(plan.gates) + len(plan.apart) + len(plan.vectors) + len(merged) + sum(reads)
    chain = _traced(kernels.chain_kernel(cell, plan, count, reads, separate), writes)
    return Back(lay_out(partials, [*given, *slopes]), lay_out(chain, places), planes, reads)


def _traced(kernel: kernels.Kernel, writes: int) -> Trace:
    """Trace a kernel that writes so many planes, and see that the cell's functions write none besides."""
    result = record(kernel)
    if len(result.stores) != writes:
        raise kernels.NotPointwiseError from TypeError("a function writes to a plane that it is given")
    return result


def _in_place(plan: Plan, field: int) -> bool:
    """Say whether the gradient of a field of s_prev replaces that of s; h's does not: a product joins it."""
    return plan.last and field > 0


def _given(cell: Cell, plan: Plan, *states: str) -> list[Place]:
    """Return the places of the pair's vectors and of the fields that it may read."""
    fields = kernels.state_read(cell, range(len(cell.state._fields)))
    return [
        *[Place(f"vector{k}", 0) for k in range(len(plan.vectors))],
        *[Place(f"{state}{field}", 0) for state in states for field in fields],
    ]


def _kept(plan: Plan) -> list[Place]:
    return [*[Place("a", g) for g in plan.kept], *[Place("extra", e) for e in plan.extra]]


def _memory(memory: Memory, parts: Sequence[Any]) -> dict[str, Source]:
    """Return the arrays of a run, of which each call sees a step or a part."""
    return {
        "a": Source(memory.gates, parts),
        "extra": Source(memory.extra, parts),
        **_fields("s_prev", memory.s_prev, parts),
        **_fields("s", memory.s, parts),
    }


def _fields(name: str, arrays: Sequence[Array], parts: Sequence[Any] | None = None) -> dict[str, Source]:
    """Return arrays (T, H, B) or (H, B) of one plane each."""
    return {f"{name}{k}": Source(each[..., None, :, :], parts) for k, each in enumerate(arrays)}


def _bound(
    own: Program,
    sources: dict[str, Source],
    like: Array,
    steps: int,
    parts: Sequence[Any] | None = None,
    *,
    xp: Namespace,
) -> list[list[Any]]:
    """Bind a program to its arrays, with memory for what lies between; `like` is (planes, H, B) or a part."""
    for name, count, dtype in ((SCRATCH, own.scratch, like.dtype), (FLAGS, own.flags, xp.bool)):
        planes = xp.empty((*like.shape[:-3], count, *like.shape[-2:]), dtype=dtype)
        sources = {**sources, name: Source(planes, parts)}
    return bind(own, sources, like.dtype, steps)
