"""What tells one training from another: its arguments, as JSON values, and digests of its data."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from numbers import Real
from typing import Any

import numpy as np

from rnn_xp.data.lanes import Lanes
from rnn_xp.distributed import Communicator, together
from rnn_xp.distributed.agree import gather
from rnn_xp.optim import Optimizer
from rnn_xp.schedules import Schedule
from rnn_xp.train.feed.prepare import Prepared
from rnn_xp.train.options import Given, factor

STEPS = (0, 1, 2, 5, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Of a schedule, a function that nothing can be seen of but its values, these are compared."""


ENDS = 65_536
"""Of a lane that only one rank has, so many tokens at its beginning and at its end are compared."""


def digest(arrays: Iterable[Any]) -> str:
    """Return the SHA-256, in hexadecimal, of host arrays or None: contents, shapes and dtypes."""
    total = sha256()
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


def of_sequences(data: Prepared, ranks: Communicator) -> str:
    """Return a digest of the sequences of all ranks, whatever rank has which."""

    def parts(n: int) -> Iterator[Any]:
        end = len(data.x) if data.lengths is None else int(data.lengths[n])
        steps = data.per_step
        for array, long in ((data.x, True), (data.target, steps), (data.weight, steps), (data.reset, True)):
            yield None if array is None else array[:end, n] if long else array[n]

    return _of_all(data.x.shape[1], parts, ranks)


def of_lanes(lanes: Lanes, ranks: Communicator) -> str:
    """Return a digest of the lanes of all ranks, whatever rank has which: of the ends of each."""

    def parts(n: int) -> Iterator[Any]:
        own = lanes.tokens[n * lanes.steps : (n + 1) * lanes.steps]
        yield np.array([lanes.steps, -1 if lanes.reset_at is None else lanes.reset_at])
        yield own[:ENDS]
        yield own[-ENDS:]

    return _of_all(lanes.count, parts, ranks)


def _of_all(count: int, parts: Callable[[int], Iterator[Any]], ranks: Communicator) -> str:
    """Return the sum of the digests of all, which the place of each among all enters."""
    first = int(gather(ranks, [count])[: ranks.rank, 0].sum())
    total = np.zeros(8, dtype=np.int64)
    for n in range(count):
        own = sha256(f"{first + n};{digest(parts(n))}".encode()).digest()
        total = (total + np.frombuffer(own, dtype="<u4")) % 2**32
    ranks.sum(total)
    return "".join(f"{word % 2**32:08x}" for word in total.tolist())


def of_call(given: Given) -> dict[str, Any]:
    """Return what `fit` was asked for, but for its data, as JSON values by the names of its arguments."""
    same = (
        "epochs",
        "batch_size",
        "accumulate",
        "shuffle",
        "bucket",
        "seed",
        "patience",
        "sharded",
        "blocks",
    )
    return {
        **{name: getattr(given, name) for name in (*same, "clip_norm", "clip_value", "nonfinite")},
        "loss": given.loss_name,
        "model": given.model.config(),
        "optimizer": of_optimizer(given.optimizer),
        "schedule": of_schedule(given.schedule),
        "truncate": None if given.truncate is None else list(given.truncate),
    }


def check_calls(given: Given, dtype: str, ranks: Communicator) -> None:
    """Refuse calls of `fit` that are not the same on every rank: they would wait for each other."""
    if ranks.size == 1:
        return
    held = given.validation
    others = {
        "checkpoint": given.checkpoint is None,
        "resume": given.resume,
        "validation": float(held) if isinstance(held, Real) else type(held).__name__,
        "dtype": dtype,
    }
    with together(ranks):
        said = {**of_call(given), **others}
    told = gather(ranks, [zlib.crc32(json.dumps(value, default=str).encode()) for value in said.values()])
    for name, values in zip(said, told.T, strict=True):
        other = np.flatnonzero(values != values[0])
        if len(other):
            msg = f"`{name}` must be the same on every rank; got another on rank {other[0]} than on rank 0."
            raise ValueError(msg)


def of_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the kind of an optimiser and, as far as they can be told, its options."""
    fields = dataclasses.asdict(optimizer) if dataclasses.is_dataclass(optimizer) else {"lr": optimizer.lr}
    return {"type": type(optimizer).__name__, **json.loads(json.dumps(fields, default=str))}


def of_schedule(schedule: Schedule | None) -> list[float] | None:
    """Return some of its values."""
    return None if schedule is None else [factor(schedule, step) for step in STEPS]
