"""Threads as ranks: what a training asks of MPI, in one process.

A stand-in. Nothing here goes from one process to another, which is what tests/mpi shows; but the calls of all
ranks are compared, which MPI does not do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

PATIENCE = 20.0
"""Seconds that a rank waits for the others: more than any of them computes."""


class GoneError(Exception):
    """Another rank has ended, or makes no call: under MPI this one would wait for ever."""


class Meeting:
    """Where threads wait for each other, and see what each has brought."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.calls = 0  # that all have made
        self._changed = threading.Condition()
        self._brought: dict[int, Any] = {}
        self._last: list[Any] = []
        self._ended = False

    def meet(self, rank: int, what: Any) -> list[Any]:
        """Return what every rank brings to this call."""
        with self._changed:
            call = self.calls
            self._brought[rank] = what
            if len(self._brought) == self.size:
                self._last = [self._brought.pop(own) for own in range(self.size)]
                self.calls += 1
                self._changed.notify_all()
            self._changed.wait_for(lambda: self.calls > call or self._ended, PATIENCE)
            if self.calls == call:
                msg = f"rank {rank} waits in call {call + 1}, and not all of the others do"
                raise GoneError(msg)
            return self._last  # the next call is over only when this rank has made it

    def end(self) -> None:
        """Have those that wait, and those that will, know that a rank is no more there."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Rank:
    """A communicator of `rnn_xp.distributed`, one for each thread."""

    def __init__(self, meeting: Meeting, rank: int, dies: Callable[[], bool] = bool) -> None:
        self.rank, self.size = rank, meeting.size
        self.made: list[tuple[str, Any, Any]] = []  # calls: what, shape, dtype
        self._meeting, self._dies = meeting, dies

    def sum(self, array: Any) -> None:
        array[...] = np.sum(self._meet("sum", array), axis=0, dtype=array.dtype)

    def broadcast(self, array: Any, root: int = 0) -> None:
        array[...] = self._meet(f"broadcast from {root}", array)[root]

    def barrier(self) -> None:
        self._meet("barrier", np.zeros(0))

    def abort(self, message: str) -> NoReturn:
        self._meeting.end()
        raise SystemExit(message)

    def _meet(self, what: str, array: Any) -> list[Any]:
        """Return the arrays of all ranks, which make the same call."""
        if self._dies():
            msg = f"rank {self.rank} is killed"
            raise GoneError(msg)
        call = (what, array.shape, str(array.dtype))
        assert array.flags.c_contiguous, call
        self.made.append(call)
        told = self._meeting.meet(self.rank, (call, array.copy()))
        assert [own for own, _ in told] == [call] * self.size
        return [own for _, own in told]


def outcomes(
    size: int, call: Callable[[Rank], Any], *, dies: tuple[int, Callable[[], bool]] | None = None
) -> list[Any | BaseException]:
    """Return what `call` gives on each of `size` ranks, or the error that it raises there.

    `dies` is the number of a rank, and what it asks before each call of the communicator: whether to end
    without a word.
    """
    meeting = Meeting(size)
    results: list[Any] = [None] * size

    def run(rank: int) -> None:
        own = Rank(meeting, rank, dies[1] if dies and dies[0] == rank else bool)
        try:
            results[rank] = call(own)
        except BaseException as error:
            results[rank] = error
        finally:
            meeting.end()

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def together(size: int, call: Callable[[Rank], Any]) -> list[Any]:
    """Return what `call` gives on each of `size` ranks."""
    results = outcomes(size, call)
    errors = [own for own in results if isinstance(own, BaseException)]
    for error in sorted(errors, key=lambda own: isinstance(own, GoneError)):  # the cause, not what came of it
        raise error
    return results
