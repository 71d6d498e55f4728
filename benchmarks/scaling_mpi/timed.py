"""A communicator that times its sums."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple, NoReturn

from rnn_xp.distributed import Communicator


class Sum(NamedTuple):
    """Seconds of one sum, as a rank saw them."""

    bytes: int
    meeting: float  # until all ranks were there; 0 where none met before it
    summing: float


class Timed:
    """Another communicator whose sums are timed; where ranks `meet` first, waiting is told from the sum."""

    def __init__(self, inner: Communicator, *, meet: bool) -> None:
        self.rank, self.size = inner.rank, inner.size
        self.sums: list[Sum] = []
        self._inner, self._meet = inner, meet

    def sum(self, array: Any) -> None:
        begun = perf_counter()
        if self._meet:
            self._inner.barrier()
        met = perf_counter()
        self._inner.sum(array)
        self.sums.append(Sum(array.nbytes, met - begun if self._meet else 0.0, perf_counter() - met))

    def broadcast(self, array: Any, root: int = 0) -> None:
        self._inner.broadcast(array, root)

    def barrier(self) -> None:
        self._inner.barrier()

    def abort(self, message: str) -> NoReturn:
        self._inner.abort(message)

    def gradients(self) -> list[Sum]:
        """Return the sums of gradients: the largest."""
        largest = max(each.bytes for each in self.sums)
        return [each for each in self.sums if each.bytes == largest]
