"""Batches: a data set that lies on the device whole is cut there, and nothing moves for a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import Backend
from rnn_xp.sequence import Valid
from rnn_xp.train.prepare import Prepared
from rnn_xp.typing import Array, Namespace

RESIDENT = 0.5
"""Of a device's free memory, what a data set may take to lie there; states and gradients need the rest."""


class Batch(NamedTuple):
    """What one step takes; on the device, all but `total`."""

    x: Array
    target: Array
    share: Array
    valid: Valid | None
    total: float  # the sum of the weights


class Batches:
    """A prepared data set, cut into batches in a given order.

    What the host must know of a batch, its longest sequence and the sum of its weights, it knows already.
    """

    def __init__(self, data: Prepared, backend: Backend, batch_size: int) -> None:
        self.data, self.backend, self.batch_size = data, backend, batch_size
        self.count: int = data.x.shape[1]
        self.resident = _fits(data, backend)
        self._counts = data.counts
        self._in_file_order: list[Batch] = []
        host = _Parts(data.x, data.target, data.weight, data.lengths, data.per_step)
        self._parts = host.move(backend) if self.resident else host
        self._times = backend.xp.arange(len(data.x), dtype=backend.xp.int64, device=backend.device)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self.count // self.batch_size)

    def in_order(self, order: NDArray[np.int64] | None) -> Iterator[Batch]:
        """Return the batches of the sequences in `order`, moved as a whole; None is the order of the data."""
        if order is None and self.resident:  # parts of what lies there: cut once
            self._in_file_order = self._in_file_order or list(self._cut(None, None))
            return iter(self._in_file_order)
        return self._cut(order, self.backend.asarray(order) if self.resident else None)

    def _cut(self, order: NDArray[np.int64] | None, index: Any) -> Iterator[Batch]:
        """Return the batches of an order; index is the order on the device."""
        return (self._batch(start, order, index) for start in range(0, self.count, self.batch_size))

    def _batch(self, start: int, order: NDArray[np.int64] | None, index: Any) -> Batch:
        """Cut one batch, no longer than its longest sequence."""
        part = slice(start, min(start + self.batch_size, self.count))
        chosen = part if order is None else order[part]
        steps = full = len(self.data.x)
        if self.data.lengths is not None:
            ends = self.data.lengths[chosen]
            steps, full = max(1, int(ends.max())), int(ends.min())
        total = float(self._counts[chosen].sum())
        if self.resident:
            parts = self._parts.cut(part if index is None else index[part], steps, xp=self.backend.xp)
        else:
            parts = self._parts.cut(chosen, steps, xp=np).move(self.backend)
        valid = None
        if full < steps:
            valid = Valid(self._times[:steps, None] < parts.lengths[None, :], full)
        return Batch(parts.x, parts.target, self._share(parts, valid, total), valid, total)

    def _share(self, parts: _Parts, valid: Valid | None, total: float) -> Array:
        """Return what each loss of a batch counts for; 0 where all weigh nothing."""
        xp, dtype = self.backend.xp, self.backend.dtype
        whole = total or 1.0
        if parts.weight is not None:
            return xp.astype(parts.weight / whole, dtype, copy=False)  # type: ignore[no-any-return]
        if parts.per_step and valid is not None:
            return xp.astype(valid.mask, dtype) * (1.0 / whole)  # type: ignore[no-any-return]
        shape = tuple(parts.x.shape[:2]) if parts.per_step else (parts.x.shape[1],)
        return xp.full(shape, 1.0 / whole, dtype=dtype, device=self.backend.device)  # type: ignore[no-any-return]


class _Parts(NamedTuple):
    """The arrays of a data set or of a batch, as in Prepared: NumPy's, or the backend's."""

    x: Any
    target: Any
    weight: Any
    lengths: Any
    per_step: bool

    def move(self, backend: Backend) -> _Parts:
        """Return them on the device."""
        x, target, lengths = (
            None if array is None else backend.asarray(array) for array in (self.x, self.target, self.lengths)
        )
        # as wide as on the host: a share is rounded once
        weight = None if self.weight is None else backend.asarray(self.weight, backend.xp.float64)
        return _Parts(x, target, weight, lengths, self.per_step)

    def cut(self, chosen: Any, steps: int, *, xp: Namespace) -> _Parts:
        """Return so many steps of the sequences `chosen`, a slice or an index."""

        def one(array: Any, time: bool) -> Any:
            if array is None:
                return None
            array = array[:steps, ...] if time else array
            if not isinstance(chosen, slice):
                return xp.take(array, chosen, axis=1 if time else 0)
            return array[:, chosen, ...] if time else array[chosen, ...]

        per_step = self.per_step
        x, target, weight = one(self.x, True), one(self.target, per_step), one(self.weight, per_step)
        return _Parts(x, target, weight, one(self.lengths, False), per_step)


def _fits(data: Prepared, backend: Backend) -> bool:
    """Return whether the whole data set may lie on the device; say in one log line where it may not."""
    free = backend.free_memory
    size = sum(part.nbytes for part in data[:4] if part is not None)
    if free is None or size <= RESIDENT * free:
        return True
    import logging  # here: it costs as much as the rest of this package

    log = logging.getLogger("rnn_xp")
    log.info(
        "the data set (%.3g MB) stays on the host, and its batches are moved one at a time: "
        "it may take %d%% of the %.3g MB that are free on device %s",
        size / 1e6,
        100 * RESIDENT,
        free / 1e6,
        backend.device,
    )
    return False
