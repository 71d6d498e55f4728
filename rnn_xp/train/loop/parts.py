"""What a training is put together from: where batches come from, what judges its steps, what saves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Source(Protocol):
    """Where batches come from: `Batches`, or what cuts them into windows."""

    count: int  # sequences
    batch_size: int

    @property
    def unit(self) -> int: ...  # noqa: D102

    def __len__(self) -> int: ...
    def groups(self, order: NDArray[np.int64] | None, first: int = 0) -> Iterator[Any]: ...  # noqa: D102
    def samples(self, order: NDArray[np.int64] | None, number: int) -> list[NDArray[np.int64]]: ...  # noqa: D102
    def chosen(self, order: NDArray[np.int64] | None, number: int) -> NDArray[np.int64]: ...  # noqa: D102
    def origin(  # noqa: D102
        self, order: NDArray[np.int64] | None, number: int, sample: int, step: int | None
    ) -> tuple[int, int | None]: ...
    def places(self, order: NDArray[np.int64] | None) -> Iterator[tuple[int, int]]: ...  # noqa: D102
    def padding(self, order: NDArray[np.int64] | None) -> float | None: ...  # noqa: D102


class Policy(Protocol):
    """What becomes of the steps of a `Training` that are not finite."""

    every: float  # steps between two looks
    patient: bool  # a look may come at these steps only: it changes what follows
    counts: tuple[str, ...]  # what of a training the history tells

    def begin(self, training: Any) -> None:
        """Note where a training stands, before the steps of an epoch."""

    def note(self, training: Any) -> None:
        """Read what the device has noted, after windows, whose states are then gone."""

    def look(self, training: Any) -> None:
        """Read what the device has noted, and act."""

    def close(self, training: Any) -> None:
        """Look for the last time in an epoch; raise where no step of it is left."""


class Keeper(Protocol):
    """Saves a training now and then."""

    def due(self) -> bool:
        """Whether it is time; asked after every step."""

    def save(self, training: Any) -> None:
        """Write everything; raise where the training shall end."""
