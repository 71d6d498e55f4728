"""Trees of arrays: nested tuples, NamedTuples, lists and dicts, in which None is an absent part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rnn_xp.typing import Tree

_NODES = (tuple, list, dict)


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves of `tree`, in order.

    Examples
    --------
    >>> leaves({"a": (1, None), "b": [2, 3]})
    [1, 2, 3]
    """
    if not isinstance(tree, _NODES):
        return [] if tree is None else [tree]
    found: list[Any] = []
    for part in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(part, _NODES):
            found += leaves(part)
        elif part is not None:
            found.append(part)
    return found


def paths(tree: Tree) -> list[tuple[Any, ...]]:
    """Return, for each leaf in order, the keys and positions that lead to it.

    Examples
    --------
    >>> paths(({"weight": 1, "bias": None}, 2))
    [(0, 'weight'), (1,)]
    """
    if tree is None:
        return []
    if not isinstance(tree, _NODES):
        return [()]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [(key, *path) for key, part in items for path in paths(part)]


def named_leaves(tree: Tree, prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of `tree` with their dotted paths: field names, keys and positions.

    Examples
    --------
    >>> named_leaves(({"weight": 1, "bias": None}, 2))
    [('0.weight', 1), ('1', 2)]
    """
    if tree is None:
        return []
    items = _items(tree)
    if items is None:
        return [(prefix, tree)]
    start = f"{prefix}." if prefix else ""
    return [pair for name, part in items for pair in named_leaves(part, start + name)]


def map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `function` to the leaves of trees of one structure.

    Examples
    --------
    >>> map(lambda a, b: a + b, (1, [2, None]), (10, [20, None]))
    (11, [22, None])
    """
    if hasattr(tree, "dtype"):  # one array is the commonest tree: what a training step maps over
        return function(tree, *others)
    named = [named_leaves(each) for each in (tree, *others)]
    names, *others_names = ([name for name, _ in pairs] for pairs in named)
    for came in others_names:
        if came != names:
            msg = f"trees must have one structure, here with the leaves {names}; got the leaves {came}."
            raise ValueError(msg)
    rows = zip(*([leaf for _, leaf in pairs] for pairs in named), strict=True)
    return unflatten(tree, [function(*row) for row in rows])


def unflatten(like: Tree, values: Sequence[Any]) -> Tree:
    """Build a tree of the structure of `like` from its leaves in order."""
    count = len(leaves(like))
    if len(values) != count:
        msg = f"`values` must hold one value for each of the {count} leaves of `like`; got {len(values)}."
        raise ValueError(msg)
    return _rebuild(like, iter(values))


def _rebuild(like: Tree, values: Iterator[Any]) -> Tree:
    if like is None:
        return None
    items = _items(like)
    if items is None:
        return next(values)
    parts = [_rebuild(part, values) for _, part in items]
    if isinstance(like, dict):
        return dict(zip(like, parts, strict=True))
    return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)


def _items(tree: Tree) -> list[tuple[str, Any]] | None:
    """Return the named parts of an inner node, or None for a leaf."""
    if isinstance(tree, dict):
        return [(str(key), part) for key, part in tree.items()]
    if hasattr(tree, "_fields"):
        return list(zip(tree._fields, tree, strict=True))
    if isinstance(tree, tuple | list):
        return [(str(index), part) for index, part in enumerate(tree)]
    return None
