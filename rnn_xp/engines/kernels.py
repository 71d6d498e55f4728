"""A step's pointwise part as one function of flat planes, to be compiled into a kernel, or traced into calls.

Each builder returns ``f(*planes)``: all that the step reads, and then the places that it writes, in the order
that the builder's docstring names. The formula is the cell's; nothing of it stands here.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rnn_xp.cells import Cell
from rnn_xp.engines.base import Plan
from rnn_xp.typing import Namespace


class NotPointwiseError(Exception):
    """A function cannot be compiled; the cause says why."""


class Kernel(NamedTuple):
    """A function of planes, as many as it takes."""

    run: Callable[..., None]
    planes: int


def state_read(cell: Cell, fields: Sequence[Any]) -> Sequence[Any]:
    """Return the fields that the cell's functions may read: of a projectable cell, all but h."""
    return fields[1:] if cell.projectable else fields


def forward_kernel(cell: Cell, plan: Plan, bias: bool, *, xp: Namespace) -> Kernel:
    """Return f(a, a of later pairs, products, bias, vectors, s_prev; places kept, places of the result)."""
    pair = plan.pair
    later = [g for g in plan.merged if g not in plan.gates]
    of_a = [*plan.gates, *later]
    sizes = {
        "a": len(of_a),
        "products": len(plan.operands),
        "bias": len(plan.apart) if bias else 0,
        "vectors": len(plan.vectors),
        "s_prev": _fields_read(cell),
        "kept": len(pair.keeps),
        "result": len(cell.state._fields) if plan.last else 1,
    }

    def run(*planes: Any) -> None:
        given = _groups(sizes, planes)
        a = dict(zip(of_a, given["a"], strict=True))
        count = len(plan.merged)
        products, apart = dict(zip(plan.merged, given["products"], strict=False)), given["products"][count:]
        if bias:
            apart = [part + b for part, b in zip(apart, given["bias"], strict=True)]
        read = [a[g] + products[g] if g in products else a[g] for g in plan.gates]
        result, kept = pair.forward([*read, *apart, *given["vectors"]], _state(cell, given["s_prev"]), xp=xp)
        _write([a[g] for g in later], [a[g] + products[g] for g in later])
        _write(given["kept"], kept)
        _write(given["result"], result if isinstance(result, tuple) else (result,))

    return Kernel(run, sum(sizes.values()))


def backward_kernel(
    cell: Cell, plan: Plan, terms: Sequence[int], reads: Sequence[bool], separate: bool, *, xp: Namespace
) -> Kernel:
    """Return f(terms of d_result, kept, vectors, s_prev, s; places of d_a, of its copy, of d_s_prev).

    `terms` says how many arrays each field of d_result is the sum of; `reads`, which fields of s_prev the
    pair reads by itself; `separate`, whether the recurrent parts have gradients of their own.
    """
    pair = plan.pair
    sizes = {
        "terms": sum(terms),
        "kept": len(pair.keeps),
        "vectors": len(plan.vectors),
        "s_prev": _fields_read(cell),
        "s": _fields_read(cell),
        "d_a": len(plan.gates) + len(plan.apart) + len(plan.vectors),
        "copy": len(plan.gates) - len(plan.apart) if separate else 0,
        "d_s_prev": sum(reads),
    }

    def run(*planes: Any) -> None:
        given = _groups(sizes, planes)
        sums = _sums(terms, given["terms"])
        s_prev, s = _state(cell, given["s_prev"]), _state(cell, given["s"])
        slopes = pair.partials([*given["kept"], *given["vectors"]], s_prev, s, xp=xp)
        _write_back(given, reads, *pair.backward(cell.state(*sums) if plan.last else sums[0], slopes))

    return Kernel(run, sum(sizes.values()))


def slopes_kernel(cell: Cell, plan: Plan, count: int, *, xp: Namespace) -> Kernel:
    """Return f(kept, vectors, s_prev, s; places of the partial derivatives), of which there are `count`."""
    sizes = {
        "kept": len(plan.pair.keeps),
        "vectors": len(plan.vectors),
        "s_prev": _fields_read(cell),
        "s": _fields_read(cell),
        "slopes": count,
    }

    def run(*planes: Any) -> None:
        given = _groups(sizes, planes)
        s_prev, s = _state(cell, given["s_prev"]), _state(cell, given["s"])
        _write(given["slopes"], plan.pair.partials([*given["kept"], *given["vectors"]], s_prev, s, xp=xp))

    return Kernel(run, sum(sizes.values()))


def chain_kernel(cell: Cell, plan: Plan, count: int, reads: Sequence[bool], separate: bool) -> Kernel:
    """Return f(d_result, partial derivatives; places of d_a, of its copy, of d_s_prev)."""
    sizes = {
        "d_result": len(cell.state._fields) if plan.last else 1,
        "slopes": count,
        "d_a": len(plan.gates) + len(plan.apart) + len(plan.vectors),
        "copy": len(plan.gates) - len(plan.apart) if separate else 0,
        "d_s_prev": sum(reads),
    }

    def run(*planes: Any) -> None:
        given = _groups(sizes, planes)
        d_result = cell.state(*given["d_result"]) if plan.last else given["d_result"][0]
        _write_back(given, reads, *plan.pair.backward(d_result, tuple(given["slopes"])))

    return Kernel(run, sum(sizes.values()))


def hold_kernel(fields: int, *, xp: Namespace) -> Kernel:
    """Return f(keep, s_prev; s), which puts s_prev back into s where not keep."""

    def run(keep: Any, *planes: Any) -> None:
        for old, new in zip(planes[:fields], planes[fields:], strict=True):
            new[...] = xp.where(keep, new, old)

    return Kernel(run, 1 + 2 * fields)


def release_kernel(terms: Sequence[int], *, xp: Namespace) -> Kernel:
    """Return f(keep, terms of d_s; d_s where keep, d_s where not keep), zero elsewhere."""
    sizes = {"terms": sum(terms), "through": len(terms), "past": len(terms)}

    def run(keep: Any, *planes: Any) -> None:
        given = _groups(sizes, planes)
        sums = _sums(terms, given["terms"])
        _write(given["through"], [xp.where(keep, d, 0.0) for d in sums])
        _write(given["past"], [xp.where(keep, 0.0, d) for d in sums])

    return Kernel(run, 1 + sum(sizes.values()))


def _groups(sizes: Mapping[str, int], planes: Iterable[Any]) -> dict[str, list[Any]]:
    """Cut the planes into groups of these sizes."""
    rest = iter(planes)
    return {name: list(islice(rest, size)) for name, size in sizes.items()}


def _sums(terms: Sequence[int], planes: Iterable[Any]) -> list[Any]:
    """Add up so many planes, and so many of the next."""
    rest = iter(planes)
    return [functools.reduce(operator.add, islice(rest, count)) for count in terms]


def _fields_read(cell: Cell) -> int:
    """Return how many fields of a state the cell may read."""
    return len(state_read(cell, cell.state._fields))


def _state(cell: Cell, fields: Sequence[Any]) -> Any:
    """Return a state of the fields read; the h of a projectable cell is None."""
    return cell.state(None, *fields) if cell.projectable else cell.state(*fields)


def _write(places: Sequence[Any], values: Sequence[Any]) -> None:
    """Store every value in its place."""
    for place, value in zip(places, values, strict=True):
        place[...] = value


def _write_back(
    given: Mapping[str, list[Any]], reads: Sequence[bool], d_a: Sequence[Any], d_s_prev: Sequence[Any]
) -> None:
    """Store what a pair's backward gave."""
    _write(given["d_a"], d_a)
    _write(given["copy"], d_a[: len(given["copy"])])
    _write(given["d_s_prev"], [d for d, own in zip(d_s_prev, reads, strict=True) if own])
