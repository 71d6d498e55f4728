"""What tells one training from another: its arguments, as JSON values, and digests of its data."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from rnn_xp.optim import Optimizer
from rnn_xp.schedules import Schedule
from rnn_xp.train.feed.prepare import Prepared
from rnn_xp.train.options import factor

STEPS = (0, 1, 2, 5, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Of a schedule, a function that nothing can be seen of but its values, these are compared."""


def digest(arrays: Iterable[Any]) -> str:
    """Return the SHA-256, in hexadecimal, of host arrays or None: contents, shapes and dtypes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(b"None;" if array is None else f"{array.dtype.str} {array.shape};".encode())
        if array is not None:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def of_data(data: Prepared) -> dict[str, str]:
    """Return the digests of a prepared data set by the names of what the user gave."""
    parts = {
        "X": data.x,
        "y": data.target,
        "weights": data.weight,
        "lengths": data.lengths,
        "reset": data.reset,
    }
    return {name: digest([array]) for name, array in parts.items()}


def of_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the kind of an optimiser and, as far as they can be told, its options."""
    fields = dataclasses.asdict(optimizer) if dataclasses.is_dataclass(optimizer) else {"lr": optimizer.lr}
    return {"type": type(optimizer).__name__, **json.loads(json.dumps(fields, default=str))}


def of_schedule(schedule: Schedule | None) -> list[float] | None:
    """Return some of its values."""
    return None if schedule is None else [factor(schedule, step) for step in STEPS]
