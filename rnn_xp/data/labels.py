"""What is to be predicted: class names become indices, numbers stay numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp.data.arguments import names
from rnn_xp.data.sequences import plain

Task: TypeAlias = Literal["classification", "regression"] | None
"""What targets are; None: strings and integers are classes, floats are numbers."""


def encode_labels(
    y: ArrayLike, classes: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Turn class names into indices.

    Parameters
    ----------
    y : array of strings, integers or booleans, of any shape
        The class of each sequence, or of each step; integers are names like any other.
    classes : sequence of str, optional
        The known classes, in the order of their indices; by default those of `y`, sorted (as numbers
        where all are integers).

    Returns
    -------
    indices : array of the shape of `y`, int64
    classes : tuple of str

    Raises
    ------
    TypeError
        If `y` holds anything else, or is masked (floats are targets of a regression), or `classes` are no
        strings.
    ValueError
        If `y` is ragged, or holds a class that is not in `classes`, or two of these are the same.

    Examples
    --------
    >>> indices, classes = encode_labels(["b", "a", "b"])
    >>> indices.tolist(), classes
    ([1, 0, 1], ('a', 'b'))
    >>> encode_labels(np.array([10, 9]))[1]
    ('9', '10')
    """
    labels = plain("y", y)
    kinds = (str, (int, np.integer, np.bool_))
    if labels.dtype.kind in "OT" and any(
        all(isinstance(item, kind) for item in labels.flat) for kind in kinds
    ):
        labels = labels.astype(np.str_)
    if labels.dtype.kind not in "biuU":
        msg = f"`y` must hold class names: strings, integers or booleans; got dtype {labels.dtype}."
        raise TypeError(msg)
    distinct, positions = np.unique(labels, return_inverse=True)
    found = [str(name) for name in distinct.tolist()]
    known = tuple(_in_order(found)) if classes is None else names("classes", classes)
    index = {name: place for place, name in enumerate(known)}
    unseen = [name for name in found if name not in index]
    if unseen:
        msg = f"`y` must hold only the known classes {listed(known)}; got {listed(unseen)}."
        raise ValueError(msg)
    return np.array([index[name] for name in found], dtype=np.int64)[positions], known


def targets(y: NDArray[Any], task: Task) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return class indices and the names of the classes, or finite numbers and None."""
    if not are_numbers(y, task):
        return encode_labels(y)
    try:
        numbers = y.astype(np.float64, casting="unsafe" if y.dtype.kind == "U" else "same_kind")
    except (TypeError, ValueError) as error:
        msg = f"the targets of a regression must be numbers; {error}."
        raise ValueError(msg) from error
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        msg = f"the targets must be finite; got {numbers[tuple(bad[0])]} at index {tuple(bad[0].tolist())}."
        raise ValueError(msg)
    return numbers, None


def are_numbers(y: NDArray[Any], task: Task) -> bool:
    """Return whether the targets `y` are numbers, not names of classes."""
    return y.dtype.kind == "f" if task is None else task == "regression"


def _in_order(names: list[str]) -> list[str]:
    """Sort class names, as integers where all of them are."""
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)


def listed(names: Iterable[str]) -> str:
    """Return names as an error message lists them."""
    return ", ".join(map(repr, names))
