"""Who computes what of a step, where several processes share it or its sequences run in fixed blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Order = NDArray[np.int64] | None


class Piece(NamedTuple):
    """Sequences of a step that run together in this process."""

    part: slice  # of this process' own order
    sample: Any  # the place in the step of the first one; where they are not neighbours, (B,): of each
    slot: int = 0  # of the buffer that their gradient is written to

    @property
    def samples(self) -> NDArray[np.int64]:
        """The place of each in the step, (B,)."""
        if isinstance(self.sample, int):
            return np.arange(self.sample, self.sample + self.part.stop - self.part.start)
        places: NDArray[np.int64] = self.sample
        return places


class Own(NamedTuple):
    """The sequences of an epoch that this process has, in their order."""

    order: Order  # by their numbers in this process' data; None: as they lie there
    places: NDArray[np.int64] | None = None  # in the order of all; None: it has all of them


@dataclass(frozen=True)
class Division:
    """How a step is divided.

    Where every process has all data, a batch is cut into as many parts as there are processes, or, in blocks,
    into blocks of so many sequences, each of which is one process' whole. Where each has data of its own, it
    takes those of its sequences that the batch holds.
    """

    rank: int = 0
    size: int = 1
    blocks: int | None = None
    bounds: tuple[int, ...] | None = None  # of the ranks' own sequences, (ranks + 1); None: each has all

    @property
    def apart(self) -> bool:
        """Whether each process has data of its own."""
        return self.bounds is not None

    @property
    def first(self) -> int:
        """The number, among all, of the first sequence that this process has."""
        return 0 if self.bounds is None else self.bounds[self.rank]

    def own(self, order: Order) -> Own:
        """Return which of an epoch's sequences this process has."""
        if self.bounds is None:
            return Own(order)
        low, high = self.bounds[self.rank : self.rank + 2]
        if order is None:
            return Own(None, np.arange(low, high))
        places = np.flatnonzero((order >= low) & (order < high))
        return Own(order[places] - low, places)

    def pieces(self, group: slice, batch_size: int, own: Own) -> Iterator[Piece]:
        """Yield what runs here of a step, the sequences `group` of the order, in batches of `batch_size`."""
        if self is ALONE and group.stop - group.start <= batch_size:  # soonest: a step may be one sequence
            yield Piece(group, 0)
            return
        unit = self.blocks or batch_size
        starts = range(group.start, group.stop, unit)
        for number, start in enumerate(starts):
            stop = min(start + unit, group.stop)
            if own.places is not None:
                start, stop = np.searchsorted(own.places, (start, stop)).tolist()
                sample: Any = own.places[start:stop] - group.start
            else:
                if self.blocks is None:
                    count = stop - start
                    start, stop = (start + count * rank // self.size for rank in (self.rank, self.rank + 1))
                elif number * self.size // len(starts) != self.rank:
                    continue
                sample = start - group.start
            if start < stop:
                yield Piece(slice(start, stop), sample, number if self.blocks else 0)


ALONE = Division()
