"""Trees: order, names, round trips, and the refusal of trees that do not match."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_xp import tree


class Params(NamedTuple):
    weight: Any
    bias: Any = None


trees = st.recursive(
    st.none() | st.integers(),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.lists(parts, max_size=3).map(tuple)
        | st.dictionaries(st.text("abc", min_size=1), parts, max_size=3)
        | st.builds(Params, parts, parts)
    ),
    max_leaves=12,
)


def test_leaves_come_in_order_with_their_paths() -> None:
    params = {"lstm": (Params(1, 2), Params(3)), "head": [4, None]}
    assert tree.named_leaves(params) == [
        ("lstm.0.weight", 1),
        ("lstm.0.bias", 2),
        ("lstm.1.weight", 3),
        ("head.0", 4),
    ]
    assert tree.leaves(params) == [1, 2, 3, 4]


def test_a_lone_leaf_has_the_prefix_as_its_path() -> None:
    assert tree.named_leaves(5, "h") == [("h", 5)]
    assert tree.named_leaves((5, 6), "h") == [("h.0", 5), ("h.1", 6)]


@pytest.mark.parametrize("empty", [None, (), [], {}, (None, [None], {})])
def test_absent_parts_have_no_leaves_and_stay(empty: Any) -> None:
    assert tree.leaves(empty) == []
    assert tree.unflatten(empty, []) == empty
    assert tree.map(str, empty) == empty


@given(trees)
def test_unflatten_is_the_inverse_of_leaves(example: Any) -> None:
    assert identical(tree.unflatten(example, tree.leaves(example)), example)


@given(trees)
def test_map_keeps_structure_and_types(example: Any) -> None:
    mapped = tree.map(lambda a, b: 10 * a + b, example, example)
    assert [name for name, _ in tree.named_leaves(mapped)] == [name for name, _ in tree.named_leaves(example)]
    assert tree.leaves(mapped) == [11 * leaf for leaf in tree.leaves(example)]
    assert identical(tree.unflatten(mapped, tree.leaves(example)), example)


def test_namedtuples_come_back_as_themselves() -> None:
    doubled = tree.map(lambda leaf: 2 * leaf, [Params(1, (2, 3))])
    assert doubled == [Params(2, (4, 6))]
    assert type(doubled[0]) is Params


def test_dictionaries_keep_their_keys_as_they_are() -> None:
    assert tree.unflatten({1: "a", "1": "b"}, [5, 6]) == {1: 5, "1": 6}


@pytest.mark.parametrize("values", [[], [1], [1, 2, 3]])
def test_unflatten_refuses_another_number_of_values(values: list[int]) -> None:
    with pytest.raises(
        ValueError, match=rf"`values` must hold one value for each of the 2 leaves .*; got {len(values)}\."
    ):
        tree.unflatten(Params(0, 0), values)


@pytest.mark.parametrize(
    "other",
    [Params(1), (1, 2), {"bias": 1, "weight": 2}, Params(1, (2,)), None],
    ids=lambda other: repr(other),
)
def test_map_refuses_trees_of_another_structure(other: Any) -> None:
    with pytest.raises(
        ValueError, match=r"trees must have one structure, here with the leaves \['weight', 'bias'\]; got"
    ):
        tree.map(lambda a, b: a + b, Params(1, 2), other)


def identical(a: Any, b: Any) -> bool:
    """Compare types too: a NamedTuple equals a tuple of the same parts."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(identical, a, b))
    return bool(a == b)
