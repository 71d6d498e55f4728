"""The one array-API namespace of given arrays."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from rnn_xp.typing import Namespace


def namespace(**arrays: Any) -> Namespace:
    """Return the one array-API namespace of all `arrays`.

    Parameters
    ----------
    arrays
        Arrays by the names that errors should use; a value may also be a list of arrays, a tree's leaves.

    Returns
    -------
    Namespace
        numpy itself for NumPy arrays, else the namespace that array-api-compat gives.

    Raises
    ------
    TypeError
        Where something is not an array, or where the arrays come from several libraries.

    Examples
    --------
    >>> namespace(params=[np.ones((2, 3)), np.ones(2)], x=np.ones((5, 1, 3))).__name__
    'numpy'
    """
    for value in arrays.values():
        for leaf in value if type(value) is list else (value,):
            if type(leaf) is not np.ndarray:
                return _any_namespace(arrays)
    return np


def home(name: str, value: Any) -> Namespace:
    """Return the namespace that the one array `value` belongs to."""
    if not has_own_rules(value):
        if isinstance(value, np.ndarray | np.generic):
            return np
        try:
            return importlib.import_module("array_api_compat").array_namespace(value)
        except TypeError:
            pass
    msg = f"`{name}` must be an array; got {kind(value)}. Convert it: `backend.asarray(...)`."
    raise TypeError(msg)


def has_own_rules(value: Any) -> bool:
    """Tell the NumPy subclasses that do not compute as plain arrays do."""
    return isinstance(value, np.ma.MaskedArray | np.matrix)


def kind(value: Any) -> str:
    """Name the type of `value` and its library: torch.Tensor, list."""
    library = type(value).__module__.partition(".")[0]
    return f"{library}.{type(value).__name__}".removeprefix("builtins.")


def library(xp: Namespace) -> str:
    """Name the library behind a namespace."""
    return str(xp.__name__).removeprefix("array_api_compat.")


def _any_namespace(arrays: dict[str, Any]) -> Namespace:
    """Find the namespace of arrays that are not all plain NumPy arrays, with one look for each type."""
    homes: dict[type, Namespace] = {}
    owners: dict[str, str] = {}
    for name, value in arrays.items():
        for index, leaf in enumerate(value if type(value) is list else (value,)):
            if type(leaf) not in homes:
                xp = home(f"{name}[{index}]" if type(value) is list else name, leaf)
                homes[type(leaf)] = xp
                owners.setdefault(library(xp), name)
    if len(owners) > 1:
        came = " and ".join(f"{owner} (`{name}`)" for owner, name in owners.items())
        msg = (
            f"all arrays must belong to one library; got {came}. Nothing is copied implicitly: "
            "bring a host array over with `backend.asarray(...)`, another with its own `to_numpy` first."
        )
        raise TypeError(msg)
    return next(iter(homes.values()))
