"""Batches: a data set that lies on the device whole is cut there, and nothing moves for a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import Backend
from rnn_xp.sequence import Valid
from rnn_xp.train.feed.division import ALONE, Division, Order, Own, Piece
from rnn_xp.train.feed.prepare import Prepared
from rnn_xp.train.feed.whole import Whole
from rnn_xp.typing import Array, Namespace, Tree

RESIDENT = 0.5
"""Of a device's free memory, what a data set may take to lie there; states and gradients need the rest."""


class Batch(NamedTuple):
    """What one step takes, or a part of it whose gradients are added to the others'; arrays of the device."""

    x: Array
    target: Array
    share: Array
    valid: Valid | None
    total: float  # the sum of the weights of the step
    reset: Array | None = None  # (T, B), where new sequences begin
    ends: Array | None = None  # (B,), the valid steps of each sequence; None: all
    sample: Any = 0  # of the step's sequences, the place of the first; (B,), where they are not neighbours
    time: int = 0  # steps of the sequences before the first
    state_0: Tree | None = None  # that they go on from
    carry: int | None = None  # the state after so many steps is wanted
    slot: int = 0  # of the buffer that the gradient is written to

    @property
    def apart(self) -> bool:
        """Whether its sequences are those that this process has of a step, however many."""
        return not isinstance(self.sample, int)

    def place(self, sample: int) -> int:
        """Return the place in the step of one of the sequences."""
        return int(self.sample[sample]) if self.apart else self.sample + sample


class Lot(NamedTuple):
    """A step's sequences, cut into batches when they are asked for."""

    total: float  # the sum of the weights of the step, in all processes
    cut: Callable[[], tuple[Batch, ...]]  # those that run in this one


class Batches:
    """A prepared data set, cut into batches in a given order, of which each step takes `accumulate`.

    What the host must know of a batch, its longest sequence and the sum of its weights, it knows already.
    Where `division` has each process hold data of its own, `whole` is what all know of all.
    """

    def __init__(
        self,
        data: Prepared,
        backend: Backend,
        batch_size: int,
        accumulate: int = 1,
        *,
        even: bool = False,
        division: Division = ALONE,
        whole: Whole | None = None,
    ) -> None:
        self.data, self.backend, self.batch_size, self.accumulate = data, backend, batch_size, accumulate
        self.size = batch_size * accumulate
        self.division, self.whole = division, whole or Whole.of(data)
        self._even = even  # whether the batches of a step are all as long as its longest sequence
        self.count = len(self.whole.counts)
        self.resident = _fits(data, backend)
        self._in_file_order: list[Lot] = []
        host = _Parts(data.x, data.target, data.weight, data.lengths, data.reset, data.per_step)
        self._parts = host.move(backend) if self.resident else host
        self._times = backend.xp.arange(len(data.x), dtype=backend.xp.int64, device=backend.device)

    def __len__(self) -> int:
        """Return the number of steps in an epoch."""
        return -(-self.count // self.size)

    def in_order(self, order: Order, first: int = 0) -> Iterator[Batch]:
        """Return the batches of this process in `order`, from the step `first` on."""
        lots = self.groups(order, first)
        return (batch for lot in lots for batch in lot.cut())

    def groups(self, order: Order, first: int = 0) -> Iterator[Lot]:
        """Return the batches of each step, from the step `first` on.

        The order is moved as a whole; None is that of the data.
        """
        if order is None and self.resident:  # parts of what lies there: cut once
            if not self._in_file_order:
                lots = self._lots(None, 0)
                self._in_file_order = [Lot(lot.total, cache(lot.cut)) for lot in lots]
            return islice(self._in_file_order, first, None)
        return self._lots(order, first)

    @property
    def unit(self) -> int:
        """How many sequences, at most, run together in one process."""
        return self.division.blocks or self.batch_size

    def chosen(self, order: Order, number: int) -> NDArray[np.int64]:
        """Return which sequences the step `number` takes."""
        return chosen(order, number, self.size, self.count)

    def samples(self, order: Order, number: int) -> list[NDArray[np.int64]]:
        """Return the places in the step `number` of the sequences of each batch of this process."""
        pieces = self.division.pieces(self._group(number), self.batch_size, self.division.own(order))
        return [piece.samples for piece in pieces]

    def origin(self, order: Order, number: int, sample: int, step: int | None) -> tuple[int, int | None]:
        """Return which of the user's sequences, and of its steps, one of the step `number` is."""
        return self.data.origin(int(self.chosen(order, number)[sample]) - self.division.first, step)

    def places(self, order: Order) -> Iterator[tuple[int, int]]:
        """Return the number of each step that counts, and 0: its only window."""
        counts = self.whole.counts
        return ((i, 0) for i in range(len(self)) if counts[self.chosen(order, i)].sum() != 0)

    def padding(self, order: Order) -> float | None:
        """Return the share of the steps in an epoch's batches that are padding; None without lengths."""
        if self.whole.lengths is None:
            return None
        lengths = self.whole.lengths if order is None else self.whole.lengths[order]
        starts = np.arange(0, self.count, self.size if self._even else self.batch_size)
        sizes = np.diff(starts, append=self.count)
        computed = np.maximum(np.maximum.reduceat(lengths, starts), 1) @ sizes
        return float(1 - lengths.sum() / computed)

    def _group(self, number: int) -> slice:
        """Return where in an order the sequences of a step lie."""
        return slice(number * self.size, min((number + 1) * self.size, self.count))

    def _lots(self, order: Order, first: int) -> Iterator[Lot]:
        """Return the steps of an order."""
        own = self.division.own(order)
        index = None if own.order is None or not self.resident else self.backend.asarray(own.order)
        return (self._lot(number, order, own, index) for number in range(first, len(self)))

    def _lot(self, number: int, order: Order, own: Own, index: Any) -> Lot:
        """Return a step; index is the order of what this process has, on the device."""
        group = self._group(number)
        total = float(self.whole.counts[group if order is None else order[group]].sum())
        return Lot(total, partial(self._cut, group, order, own, index, total))

    def _cut(self, group: slice, order: Order, own: Own, index: Any, total: float) -> tuple[Batch, ...]:
        """Cut the batches of a step."""
        longest = None
        if self._even and self.whole.lengths is not None:
            longest = int(self.whole.lengths[group if order is None else order[group]].max())
        pieces = self.division.pieces(group, self.batch_size, own)
        return tuple(self._batch(piece, own, index, total, longest) for piece in pieces)

    def _batch(self, piece: Piece, own: Own, index: Any, total: float, longest: int | None) -> Batch:
        """Cut one batch, no longer than its longest sequence, or as long as the step's."""
        part = piece.part
        chosen = part if own.order is None else own.order[part]
        steps = full = len(self.data.x)
        if self.data.lengths is not None:
            lengths = self.data.lengths[chosen]
            full, steps = int(lengths.min()), max(1, int(lengths.max()) if longest is None else longest)
        if self.resident:
            parts = self._parts.cut(part if index is None else index[part], steps, xp=self.backend.xp)
        else:
            parts = self._parts.cut(chosen, steps, xp=np).move(self.backend)
        valid = None
        if full < steps:
            valid = Valid(self._times[:steps, None] < parts.lengths[None, :], full)
        share = self._share(parts, valid, total)
        sample = self.backend.asarray(piece.sample) if self.division.apart else piece.sample
        x, target, _, ends, reset, _ = parts
        return Batch(x, target, share, valid, total, reset, ends, sample, slot=piece.slot)

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


def chosen(order: Order, number: int, size: int, count: int) -> NDArray[np.int64]:
    """Return which of `count` sequences in an order the step `number` takes, each step `size` of them."""
    part = slice(number * size, min((number + 1) * size, count))
    return np.arange(part.start, part.stop) if order is None else order[part]


class _Parts(NamedTuple):
    """The arrays of a data set or of a batch, as in Prepared: NumPy's, or the backend's."""

    x: Any
    target: Any
    weight: Any
    lengths: Any
    reset: Any
    per_step: bool

    def move(self, backend: Backend) -> _Parts:
        """Return them on the device."""

        def one(array: Any, dtype: Any = None) -> Any:
            return None if array is None else backend.asarray(array, dtype)

        # weights as wide as on the host: a share is rounded once
        return _Parts(
            one(self.x),
            one(self.target),
            one(self.weight, backend.xp.float64),
            one(self.lengths),
            one(self.reset),
            self.per_step,
        )

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
        return _Parts(
            one(self.x, True),
            one(self.target, per_step),
            one(self.weight, per_step),
            one(self.lengths, False),
            one(self.reset, True),
            per_step,
        )


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
