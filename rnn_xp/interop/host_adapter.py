"""What the adapters of every library ask of a model, so that the property suite can run it on host arrays."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rnn_xp import checks

FLOATS = ("float16", "float32", "float64")


def features(size: Any) -> int:
    """Return the features of x, which not every model tells: a graph may have a letter for them."""
    if size is None or isinstance(size, str):
        msg = f"`model` must tell the features of x; got {size!r}. Give them: input_size=3, say."
        raise TypeError(msg)
    return checks.integer("input_size", size)


def floating(dtype: str, way_out: str, dtypes: Collection[str] = FLOATS) -> str:
    """Return the dtype of a model if host arrays have it."""
    if dtype not in dtypes:
        msg = f"`model` must compute in one of {', '.join(dtypes)}; got {dtype}. {way_out}"
        raise TypeError(msg)
    return dtype
