"""A user's arrays, some sequences at a time: those of one process, or as many as memory holds of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_xp.distributed import Communicator

STREAMED = 2**26
"""Bytes of an array on disk, a `numpy.memmap`, that are read at once."""


def parts(X: Any, layout: str, ranks: Communicator, *, apart: bool = False) -> list[slice | None]:
    """Return which sequences of X this process takes, one part after the other; None are all of them.

    Where each process has an X of its own, they are `apart`, and it takes all.
    """
    on_disk = isinstance(X, np.memmap)
    shared = ranks.size > 1 and not apart
    if not shared and not on_disk:
        return [None]
    count = len(X) if isinstance(X, Sequence) else np.shape(X)[_axis(layout)]
    low, high = 0, count
    if shared:
        low, high = (count * rank // ranks.size for rank in (ranks.rank, ranks.rank + 1))
    size = max(1, STREAMED * count // max(1, X.nbytes)) if on_disk else max(1, high - low)
    return [slice(start, min(start + size, high)) for start in range(low, high, size)]


def take(given: Mapping[str, Any], layout: str, rows: slice | None, *, per_step: bool) -> dict[str, Any]:
    """Return the arguments by name, those that hold sequences without the others."""
    if rows is None:
        return dict(given)
    own: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or isinstance(value, Sequence):
            own[name] = value if value is None else value[rows]
            continue
        array = np.asarray(value) if not isinstance(value, np.ndarray) else value
        timed = name in ("X", "mask", "reset") or (per_step and array.ndim > 1)
        own[name] = array[:, rows] if timed and _axis(layout) == 1 else array[rows]
    return own


def _axis(layout: str) -> int:
    """Return the axis of the sequences."""
    return layout.replace("C", "").index("N")
