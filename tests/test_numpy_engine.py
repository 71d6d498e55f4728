"""The numpy engine: what it makes of functions of planes, and of the cells of whole layers.

The answers are those of the functions themselves on copies, or of the portable engine, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ACROSS, EXACT, MAKERS, assert_close, both_engines

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.engines.kernels import Kernel
from rnn_xp.engines.portable import Portable
from rnn_xp.engines.program import FLAGS, SCRATCH, Place, Program, Source, bind, lay_out
from rnn_xp.engines.trace import record

QUICK = settings(derandomize=True, deadline=None, database=None)

# functions of planes, drawn

EXACTLY: dict[str, Callable[..., Any]] = {  # these round alike wherever a number stands
    "add": lambda x, y, c: x + y,
    "subtract": lambda x, y, c: x - y,
    "multiply": lambda x, y, c: x * y,
    "divide": lambda x, y, c: x / (1.0 + abs(y)),
    "negate": lambda x, y, c: -x,
    "scale": lambda x, y, c: 0.5 * x,
    "from one": lambda x, y, c: 1 - x,
    "zero": lambda x, y, c: x * -0.0,
    "fill": lambda x, y, c: np.full_like(x, 0.7),
    "clear": lambda x, y, c: np.zeros_like(x),
    "maximum": lambda x, y, c: np.maximum(x, np.zeros_like(y)),
    "minimum": lambda x, y, c: np.minimum(x, y),
    "where": lambda x, y, c: np.where(c, x, y),
    "slope": lambda x, y, c: c.astype(x.dtype),
    "copy": lambda x, y, c: x.astype(x.dtype),
}
ROUNDED = {"tanh": lambda x, y, c: np.tanh(x), "exp": lambda x, y, c: np.exp(-abs(x))}
CONDITIONS: dict[str, Callable[..., Any]] = {
    "above": lambda x, y, c: x > 0.1,
    "both": lambda x, y, c: (x <= y) & c,
    "either": lambda x, y, c: (x > y) | ~c | False,
    "sum": lambda x, y, c: c + (x > 0),
}


def functions(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Draw what a function does: (an operation, its operands, counted from the last one, on how many)."""
    some = st.integers(0, 9)
    return st.lists(
        st.tuples(st.sampled_from([*names, *CONDITIONS]), some, some, st.integers(1, 4)), max_size=9
    )


def apply(recipe: Sequence[Any], planes: Sequence[Any]) -> list[Any]:
    """Return the planes, and all that the recipe computes of them; conditions too."""
    values, conditions = list(planes), [planes[0] > 0.5]
    for name, i, j, count in recipe:
        x, y = values[-1 - i % len(values)], values[-1 - j % len(values)]
        if name in CONDITIONS:
            conditions.append(CONDITIONS[name](x, y, conditions[-1]))
            continue
        operation = {**EXACTLY, **ROUNDED}[name]
        neighbours = [values[(len(values) - 1 - i + k) % len(values)] for k in range(count)]
        values += [operation(each, y, conditions[-1]) for each in neighbours]
    return values + conditions


def traced(
    function: Callable[..., Sequence[Any]], arguments: Sequence[Place], targets: Sequence[Place]
) -> Program:
    """Return the program that stores what the function gives in the targets."""

    def kernel(*planes: Any) -> None:
        values = function(*planes[: len(arguments)])
        for place, value in zip(planes[len(arguments) :], values, strict=True):
            place[...] = value

    return lay_out(record(Kernel(kernel, len(arguments) + len(targets))), [*arguments, *targets])


STACKS = {"p": 5, "q": 2}
PLANES = [Place(name, k) for name, count in STACKS.items() for k in range(count)]
HERE = st.sampled_from(PLANES)


@pytest.mark.parametrize("whole", [False, True])  # several steps at once
@pytest.mark.parametrize("size", [(3, 4), (5, 1), (1, 1)])
@given(
    recipe=st.data(),
    arguments=st.lists(HERE, min_size=1, max_size=6),
    targets=st.lists(st.tuples(HERE, st.integers(0, 30)), max_size=7, unique_by=lambda each: each[0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(QUICK, max_examples=60)
def test_a_program_stores_what_the_function_gives(
    whole: bool, size: tuple[int, int], recipe: Any, arguments: Any, targets: Any, dtype: Any
) -> None:
    drawn = recipe.draw(functions([*EXACTLY, *([] if size == (1, 1) else ROUNDED)]))
    places = [*arguments, Place("vector", 0)]

    def function(*planes: Any) -> list[Any]:
        values = apply(drawn, planes)
        return [values[-1 - k % len(values)] for _, k in targets]

    own = traced(function, places, [place for place, _ in targets])
    random, T = np.random.RandomState(len(drawn)), 5
    arrays = {name: random.standard_normal((T, n, *size)).astype(dtype) for name, n in STACKS.items()}
    vector = random.standard_normal((1, size[0], 1)).astype(dtype)
    parts: list[Any] = [slice(0, 2), slice(2, 5)] if whole else list(range(T))
    expected = {name: array.copy() for name, array in arrays.items()}
    for part in parts:
        given_planes = [arrays[p.array][part, p.plane].copy() for p in arguments]
        for (place, _), value in zip(targets, function(*given_planes, vector[0]), strict=True):
            expected[place.array][part, place.plane] = value
    lead = (3,) if whole else ()
    starts = [slice(0, 2), slice(0, 3)] if whole else None
    sources = {name: Source(array, parts) for name, array in arrays.items()}
    sources["vector"] = Source(vector)
    sources[SCRATCH] = Source(np.full((*lead, own.scratch, *size), np.nan, dtype), starts)
    sources[FLAGS] = Source(np.ones((*lead, own.flags, *size), np.bool_), starts)
    for calls in bind(own, sources, dtype, len(parts)):
        for call, operands in calls:
            call(*operands)
    assert_close(arrays, expected, EXACT)


# neighbours become one call

P = [Place("p", k) for k in range(6)]
OUT = [Place("out", k) for k in range(6)]


def twice(x: Any) -> Any:
    h = np.tanh(x)
    return h, np.tanh(h)


MERGED = {  # the function, its arguments, its targets, and how many planes each call takes
    "neighbours": (lambda *x: [np.tanh(each) for each in x], P[:4], OUT[:4], [4]),
    "in place": (lambda *x: [np.tanh(each) for each in x], P[:4], P[:4], [4]),
    "a gap": (lambda *x: [np.tanh(each) for each in x], [P[0], P[1], P[3]], [OUT[0], OUT[1], OUT[3]], [2, 1]),
    "crosswise": (lambda x, y: [np.tanh(x), np.tanh(y)], P[:2], OUT[1::-1], [1, 1]),
    "another function": (lambda x, y: [np.tanh(x), np.exp(y)], P[:2], OUT[:2], [1, 1]),
    "shared": (lambda x, y, z: [x * z, y * z], [*P[:2], P[5]], OUT[:2], [2]),
    "a number shared": (lambda x, y: [x * 2.0, y * 2.0], P[:2], OUT[:2], [2]),
    "numbers": (lambda x, y: [x * 2.0, y * 3.0], P[:2], OUT[:2], [1, 1]),
    "zeros of two signs": (lambda x, y: [x * 0.0, y * -0.0], P[:2], OUT[:2], [1, 1]),
    "one after the other": (lambda x: list(twice(x)), P[:1], OUT[:2], [1, 1]),
    "chains": (lambda x, y: [1.0 - np.tanh(x), 1.0 - np.tanh(y)], P[:2], OUT[:2], [2, 2]),
    "a swap": (lambda x, y: [y, x], P[:2], P[:2], [1, 1, 1]),
    "what is there": (lambda x, y: [x, y], P[:2], P[:2], []),
    "what nobody reads": (lambda x, y: [x + y, np.exp(x)][:1], P[:2], OUT[:1], [1]),
    "one value twice": (lambda x, y: [x + y] * 2, P[:2], OUT[:2], [1, 1]),
}


@pytest.mark.parametrize("name", MERGED)
def test_neighbours_become_one_call(name: str) -> None:
    function, arguments, targets, planes = MERGED[name]
    assert [call.planes for call in traced(function, arguments, targets).calls] == planes


# whole layers


class One(NamedTuple):
    h: Any


class Two(NamedTuple):
    h: Any
    c: Any


def number(value: Any, like: Any) -> Any:
    """Return a condition as 1 and 0, and numbers as they are."""
    return value.astype(like.dtype) if value.dtype == np.bool_ else value


@st.composite
def layers(draw: Any) -> rx.Recurrent:
    """Draw a layer of a cell whose functions are any: the chain rule is not asked for."""
    gates = draw(st.integers(1, 3))
    apart, vectors, keeps = draw(st.integers(0, 1)), draw(st.integers(0, 1)), draw(st.integers(1, 4))
    state, projectable = draw(st.sampled_from([One, Two])), draw(st.booleans())
    slopes, reads = draw(st.integers(1, 4)), draw(st.lists(st.booleans(), min_size=2, max_size=2))
    recipes = [draw(functions([*EXACTLY, *more])) for more in (ROUNDED, (), ())]
    chosen = draw(st.lists(st.integers(0, 20), min_size=24, max_size=24))
    fields = len(state._fields)

    def some(recipe: Any, planes: Sequence[Any], count: int, start: int) -> list[Any]:
        """Return so many of what the recipe computes."""
        values = apply(recipe, planes)
        return [values[-1 - k % (len(values) - len(planes))] for k in chosen[start : start + count]]

    def own_fields(state: Any) -> list[Any]:
        return list(state[1:] if projectable else state)

    def forward(a: Any, s_prev: Any, *, xp: Any) -> Any:
        first, *others = a[: gates + apart]
        planes = [first + a[-1] if vectors else first, *others, *own_fields(s_prev)]
        h, *given_back = [number(each, first) for each in some(recipes[0], planes, fields + keeps, 0)]
        return state(xp.tanh(h), *given_back[: fields - 1]), tuple(given_back[fields - 1 :])

    def partials(kept: Any, s_prev: Any, s: Any, *, xp: Any) -> Any:
        planes = [*kept[:keeps], *own_fields(s_prev), *own_fields(s)]
        if vectors:
            planes[0] = planes[0] * kept[-1]
        values = apply(recipes[1], planes)
        return tuple(number(values[-1 - k % len(values)], kept[0]) for k in chosen[6 : 6 + slopes])

    def backward(d_s: Any, planes: Any) -> Any:
        d = some(recipes[2], [*d_s, *planes], gates + apart + vectors + fields, 10)
        d = [number(each, planes[0]) for each in d]
        direct = [each if own else None for each, own in zip(d[:fields], reads, strict=False)]
        return tuple(d[fields:]), (None, *direct[1:]) if projectable else tuple(direct)

    pair = rx.Pair(
        forward,
        partials,
        backward,
        reads=tuple("abc"[:gates]),
        apart=tuple("abc"[:gates][gates - apart :]),
        keeps=tuple("pqrs"[:keeps]),
        vectors=("v",) if vectors else (),
    )
    size = draw(st.sampled_from([1, 2, 5]))
    return rx.Recurrent(
        rx.Cell("drawn", (pair,), state=state, projectable=projectable),
        3,
        size,
        draw(st.integers(1, 2)),
        bias=draw(st.sampled_from([True, "input", False])),
        reverse=draw(st.booleans()),
        proj_size=size - 1 if projectable and draw(st.booleans()) else 0,
    )


@given(
    layer=layers(),
    T=st.sampled_from([0, 1, 2, 7]),
    B=st.sampled_from([1, 3]),
    padded=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    tile=st.sampled_from([4, 1024]),
)
@settings(QUICK, max_examples=120)
def test_any_cell_has_the_portable_engines_numbers(
    layer: Any, T: int, B: int, padded: bool, dtype: str, tile: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr("rnn_xp.sequence.back.TILE", tile)
        patch.setattr(Portable, "part", 8 if tile == 4 else Portable.part)
        lengths = [T, T // 2, 0][:B] if padded else None
        portable, numpy = both_engines(layer, patch, T, B, dtype, lengths=lengths)
    for (path, a), (_, e) in zip(tree.named_leaves(numpy), tree.named_leaves(portable), strict=True):
        np.testing.assert_array_equal(a, e, err_msg=path)


@pytest.mark.parametrize("maker", MAKERS)
def test_tiles_and_parts_do_not_change_the_numbers(maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = MAKERS[maker](3, 5, num_layers=2, bidirectional=True)
    whole = both_engines(layer, monkeypatch, 9, 2, "float64", lengths=[9, 4])
    monkeypatch.setattr("rnn_xp.sequence.back.TILE", 8)
    monkeypatch.setattr(Portable, "part", 20)
    cut = both_engines(layer, monkeypatch, 9, 2, "float64", lengths=[9, 4])
    assert_close(cut[1], cut[0], EXACT)
    assert_close(cut[1], whole[1], ACROSS)
