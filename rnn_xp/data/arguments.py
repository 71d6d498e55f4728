"""Text, names and paths as arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


def text(name: str, value: Any) -> str:
    """Return `value` if it is a string."""
    if not isinstance(value, str):
        msg = f"`{name}` must be a string; got {value!r}."
        raise TypeError(msg)
    return value


def names(name: str, value: Any) -> tuple[str, ...]:
    """Return `value`, different strings in some order, as a tuple; one string alone is no list of them."""
    must = f"`{name}` must be a sequence of strings"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        msg = f"{must}; got {value!r}."
        raise TypeError(msg)
    result = tuple(value)
    wrong = [item for item in result if not isinstance(item, str)]
    if wrong:
        msg = f"{must}; got {wrong[0]!r} among them."
        raise TypeError(msg)
    again = [item for item in result if result.count(item) > 1] if len(set(result)) < len(result) else []
    if again:
        msg = f"`{name}` must be different strings; got {again[0]!r} twice."
        raise ValueError(msg)
    return result


def path(name: str, value: Any) -> str:
    """Return `value`, a path, as a string."""
    try:
        result = os.fspath(value)
    except TypeError:
        result = b""
    if not isinstance(result, str):
        msg = f"`{name}` must be a path, as text or a pathlib.Path; got {value!r}."
        raise TypeError(msg)
    return result
