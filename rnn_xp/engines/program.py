"""A traced function as calls that write in place: every value gets a place, neighbours become one call.

What an RNN's step becomes, where `a` are its pre-activations and `out` is the new h:

    add a0 product0 -> a0
    tanh a0 -> out00

And the beginning of an LSTM's, whose gates are i, f, g, o:

    add a0:4 product0:4 -> a0:4
    multiply 0.5 a0:2 -> a0:2
    multiply 0.5 a3 -> a3
    tanh a0:4 -> a0:4
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_xp.engines.trace import Constant, Operation, Trace, Value, store
from rnn_xp.typing import Array

SCRATCH, FLAGS = "scratch", "flags"


class Place(NamedTuple):
    """A plane of an array (..., planes, H, B)."""

    array: str
    plane: int


class Call(NamedTuple):
    """function(*operands, out)."""

    function: Callable[..., Any]
    operands: tuple[Place | Constant, ...]
    out: Place
    planes: int = 1  # so many calls in one: the places are the first ones of so many neighbours ...
    shared: tuple[bool, ...] = ()  # ... but for operands that all of them share


class Program(NamedTuple):
    """What a step calls, and how many planes it needs besides its arguments."""

    calls: list[Call]
    scratch: int
    flags: int


class Source(NamedTuple):
    """An array, and which part of it each step sees; None: all of it, every time."""

    array: Array
    parts: Sequence[Any] | None = None


def lay_out(trace: Trace, places: Sequence[Place]) -> Program:
    """Lay a traced function out; `places` are those of its arguments, one perhaps of several of them."""
    calls = _merged(_placed(trace, places))
    used: dict[str, int] = defaultdict(int)
    for call in calls:
        used[call.out.array] = max(used[call.out.array], call.out.plane + call.planes)
    return Program(calls, used[SCRATCH], used[FLAGS])


def bind(program: Program, sources: Mapping[str, Source], dtype: Any, steps: int) -> list[list[Any]]:
    """Return, for each of the steps, its calls as (function, arguments) on the arrays themselves."""
    numbers: dict[tuple[Place | Constant, Any], int] = {}  # of the views, by place and planes
    calls = []
    for function, operands, out, planes, shared in program.calls:
        spans = [1 if own else planes for own in shared] if planes > 1 else [0] * len(operands)
        views = zip((*operands, out), (*spans, planes if planes > 1 else 0), strict=True)
        calls.append((function, [numbers.setdefault(view, len(numbers)) for view in views]))
    fixed: list[Any] = []
    moving = []
    for n, (place, span) in enumerate(numbers):
        if isinstance(place, Constant):
            fixed.append(np.asarray(place.value, dtype=np.bool_ if isinstance(place.value, bool) else dtype))
            continue
        array, parts = sources[place.array]
        own = slice(place.plane, place.plane + span) if span else place.plane
        fixed.append(array[own, ...] if parts is None else None)
        if parts is not None:
            moving.append((n, array, parts, own))
    result = []
    for i in range(steps):
        seen = fixed.copy()
        for n, array, parts, own in moving:
            seen[n] = array[parts[i], own, ...]
        result.append([(function, tuple([seen[n] for n in chosen])) for function, chosen in calls])
    return result


def _placed(trace: Trace, places: Sequence[Place]) -> list[Call]:
    """Give every value a place, that of its result where nothing read later stands there.

    It is register allocation, from the last operation back, since the places of the results are known first.
    An operation may write where it reads: lives that only touch do not collide.
    """
    first = len(places)  # the number of the first operation's value
    operations, stores = _alive(trace, places)
    end = len(operations)
    last: dict[Value, int] = {}  # when a value is read last
    for k, operation in enumerate(operations):
        last.update(dict.fromkeys(operation.operands, k))
    last.update({value: end for _, value in stores})
    at: dict[Value, Place] = dict(enumerate(places))
    taken: dict[Place, list[tuple[int, int]]] = defaultdict(list)  # from and up to which operation
    for i, place in enumerate(places):
        if i in last:
            taken[place].append((-1, last[i]))

    def take(value: int, place: Place) -> bool:
        birth, death = value - first, last[value]
        if any(birth < other and start < death for start, other in taken[place]):
            return False
        at[value] = place
        taken[place].append((birth, death))
        return True

    late = [
        (value, place)
        for place, value in ((places[target], value) for target, value in stores)
        if not take(value, place)
    ]
    for k in range(end - 1, -1, -1):
        value, flag = first + k, operations[k].flag
        plane = 0
        while value not in at and not take(value, Place(FLAGS if flag else SCRATCH, plane)):
            plane += 1
        for u in operations[k].operands:  # one that is read here for the last time may stand here before
            if isinstance(u, Constant) or u in at or last[u] != k or operations[u - first].flag != flag:
                continue
            if take(u, at[value]):
                break
    calls = [
        Call(function, tuple(v if isinstance(v, Constant) else at[v] for v in operands), at[first + k])
        for k, (function, operands, _) in enumerate(operations)
    ]
    return calls + [Call(store, (at[value],), place) for value, place in late]


def _alive(trace: Trace, places: Sequence[Place]) -> tuple[list[Operation], list[tuple[int, int]]]:
    """Leave out what nobody reads (dead code), and let every store be of an operation of its own."""
    first = len(places)
    operations, stores = list(trace.operations), []
    seen: set[Value] = set()
    for target, value in trace.stores:
        if isinstance(value, int) and value < first and places[value] == places[target]:
            continue
        if isinstance(value, Constant) or value < first or value in seen or operations[value - first].flag:
            operations.append(Operation(store, (value,), False))
            value = first + len(operations) - 1
        seen.add(value)
        stores.append((target, value))
    needed = {value for _, value in stores}
    for k in range(len(operations) - 1, -1, -1):
        if first + k in needed:
            needed.update(v for v in operations[k].operands if isinstance(v, int))
    names: dict[Value, int] = {i: i for i in range(first)}
    kept: list[Operation] = []
    for k, (function, operands, flag) in enumerate(operations):
        if first + k in needed:
            names[first + k] = first + len(kept)
            renamed = tuple(v if isinstance(v, Constant) else names[v] for v in operands)
            kept.append(Operation(function, renamed, flag))
    return kept, [(target, names[value]) for target, value in stores]


def _merged(calls: Sequence[Call]) -> list[Call]:
    """Order the calls so that those that do the same to neighbouring planes come together, as one.

    It is list scheduling: of the calls that wait for nothing, one is taken whose neighbours wait no more.
    """
    waits = [{i for i in range(k) if _depends(calls[i], calls[k])} for k in range(len(calls))]
    for own in waits:  # on what it waits for they wait as well
        own.update(*[waits[i] for i in own])
    left = list(range(len(calls)))
    result = []
    while left:
        ready = [k for k in left if not waits[k].intersection(left)]
        k = next((k for k in ready if _all_ready(calls, k, left, ready, waits)), ready[0])
        chosen = _neighbours(calls, k, ready)
        head = calls[chosen[0]]
        if len(chosen) > 1:
            shared = _like(head, calls[chosen[1]]) or ()
            head = head._replace(planes=len(chosen), shared=shared)
        result.append(head)
        left = [j for j in left if j not in chosen]
    return result


def _all_ready(
    calls: Sequence[Call], k: int, left: Sequence[int], ready: Sequence[int], waits: Sequence[set[int]]
) -> bool:
    """Say whether all that could be one call with k are ready."""
    others = [j for j in left if k not in waits[j]]
    return set(_neighbours(calls, k, others)).issubset(ready)


def _depends(early: Call, late: Call) -> bool:
    """Say whether one must come before the other."""
    return early.out == late.out or early.out in late.operands or late.out in early.operands


def _neighbours(calls: Sequence[Call], k: int, ready: Sequence[int]) -> list[int]:
    """Return k and those that may be one call with it, by their planes."""
    like = {j: _like(calls[k], calls[j]) for j in ready}
    plane = calls[k].out.plane
    for shared in dict.fromkeys(like.values()):
        alike = [j for j, own in like.items() if own == shared is not None]
        near = {calls[j].out.plane: j for j in alike[::-1]} | {plane: k}  # the first one of a plane
        low, high = plane, plane
        while low - 1 in near:
            low -= 1
        while high + 1 in near:
            high += 1
        if low < high:
            return [near[i] for i in range(low, high + 1)]
    return [k]


def _like(one: Call, other: Call) -> tuple[bool, ...] | None:
    """Say of each operand whether two calls share it, where all else that they touch is shifted alike."""
    shift = other.out.plane - one.out.plane
    if one.function is not other.function or one.out.array != other.out.array or not shift:
        return None
    shared = []
    for own, its in zip(one.operands, other.operands, strict=True):
        shared.append(own == its)
        if own == its or (isinstance(own, Place) and its == Place(own.array, own.plane + shift)):
            continue
        return None
    return tuple(shared)
