"""As much of mpi4py and of CuPy's NCCL as the communicators use, for threads of one process. Stand-ins."""

from __future__ import annotations

import ctypes
import sys
import types
from typing import Any

import numpy as np
import pytest
from ranks import Meeting


class Request:
    """A call that the others have not made yet, or, where it never ends, will not make."""

    def __init__(self, ends: Any) -> None:
        self._ends, self.asked = ends, 0

    def Test(self) -> bool:  # noqa: N802
        self.asked += 1
        if self.asked < 3 or self._ends is None:
            return False
        self._ends()
        return True


class Comm:
    """mpi4py's communicator, of a thread; without a meeting the other ranks are dead."""

    def __init__(self, rank: int = 0, size: int = 1, meeting: Meeting | None = None) -> None:
        self.rank, self.size, self._meeting = rank, size, meeting
        self.aborted: list[int] = []

    def Iallreduce(self, place: str, array: np.ndarray) -> Request:  # noqa: N802
        assert place == "in place"
        return self._request(array, lambda told: np.sum(told, axis=0, dtype=array.dtype))

    def Ibcast(self, array: np.ndarray, root: int) -> Request:  # noqa: N802
        return self._request(array, lambda told: told[root])

    def Ibarrier(self) -> Request:  # noqa: N802
        return self._request(np.zeros(0), lambda told: told[0])

    def Abort(self, status: int) -> None:  # noqa: N802
        self.aborted.append(status)

    def _request(self, array: np.ndarray, of: Any) -> Request:
        assert type(array) is np.ndarray
        assert array.flags.c_contiguous
        if self._meeting is None:
            return Request(None)

        def end() -> None:
            array[...] = of(self._meeting.meet(self.rank, array.copy()))

        return Request(end)


def install(monkeypatch: pytest.MonkeyPatch, world: Comm) -> None:
    """Have `import mpi4py.MPI` give this."""
    package, module = types.ModuleType("mpi4py"), types.ModuleType("mpi4py.MPI")
    vars(module).update(Comm=Comm, IN_PLACE="in place", COMM_WORLD=world)
    package.MPI = module
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", module)


# CuPy, whose arrays lie in memory of the host, and NCCL, whose sums a meeting of threads does.

STREAM = 42
"""The address of the stream that arrays are computed on."""


class OnDevice:
    """An array as CuPy's are: with an address, and copied to the host when asked for."""

    def __init__(self, values: Any) -> None:
        self._own = np.array(values)
        self.shape, self.dtype, self.size = self._own.shape, self._own.dtype, self._own.size
        self.data = types.SimpleNamespace(ptr=self._own.ctypes.data)

    def get(self, out: np.ndarray) -> np.ndarray:
        out[...] = self._own
        return out

    def set(self, values: np.ndarray) -> None:
        self._own[...] = values


KINDS = {7: np.float32, 8: np.float64, 4: np.int64}


class NcclCommunicator:
    """Sums and broadcasts at addresses, as `cupy.cuda.nccl` names them."""

    def __init__(self, size: int, identifier: tuple[int, ...], rank: int) -> None:
        self._meeting, self._rank = MEETINGS[identifier], rank
        assert self._meeting.size == size

    def allReduce(self, source: int, place: int, count: int, kind: int, operator: int, stream: int) -> None:  # noqa: N802
        assert (operator, stream, source) == (0, STREAM, place)
        array = at(place, count, kind)
        told = self._meeting.meet(self._rank, array.copy())
        array[...] = np.sum(told, axis=0, dtype=array.dtype)

    def broadcast(self, source: int, place: int, count: int, kind: int, root: int, stream: int) -> None:
        assert (stream, source) == (STREAM, place)
        array = at(place, count, kind)
        array[...] = self._meeting.meet(self._rank, array.copy())[root]


MEETINGS: dict[tuple[int, ...], Meeting] = {}


def at(place: int, count: int, kind: int) -> np.ndarray:
    """Return the array at an address."""
    dtype = np.dtype(KINDS[kind])
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(place), dtype=dtype)


class Event:
    """One that is reached when it has been asked for some times, or never."""

    ends = True

    def __init__(self, *, disable_timing: bool) -> None:
        assert disable_timing
        self._asked = 0

    def record(self, stream: Any) -> None:
        assert stream.ptr == STREAM

    @property
    def done(self) -> bool:
        self._asked += 1
        return self.ends and self._asked > 3


class EndlessEvent(Event):
    ends = False


def cupy(size: int, *, available: bool = True, event: type[Event] = Event) -> Any:
    """Return CuPy, with an NCCL that brings together so many ranks."""
    identifier = (-3, len(MEETINGS))
    MEETINGS[identifier] = Meeting(size)
    nccl = types.SimpleNamespace(
        available=available,
        NCCL_FLOAT32=7,
        NCCL_FLOAT64=8,
        NCCL_INT64=4,
        NCCL_SUM=0,
        get_unique_id=lambda: identifier,
        NcclCommunicator=NcclCommunicator,
    )
    stream = types.SimpleNamespace(ptr=STREAM)
    return types.SimpleNamespace(
        cuda=types.SimpleNamespace(nccl=nccl, Event=event, get_current_stream=lambda: stream)
    )
