"""NCCL through CuPy: sums of arrays that stay on their GPUs; another communicator finds the processes."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np

from rnn_xp import checks
from rnn_xp.distributed.agree import tell, together
from rnn_xp.distributed.communicator import Communicator
from rnn_xp.distributed.mpi import MPI
from rnn_xp.distributed.waiting import until


class NCCL:
    """Processes that have a GPU each.

    Parameters
    ----------
    host : Communicator, optional
        How they find each other, and what arrays of the host go over; `MPI` without it. A single process
        needs none: ``rx.distributed.Alone()``.
    timeout : float
        Seconds, as in `MPI`.
    cupy : module, optional
        CuPy, or what stands in for it.

    Raises
    ------
    ModuleNotFoundError
        If CuPy or its NCCL is not there.
    """

    def __init__(self, host: Communicator | None = None, *, timeout: float = 300.0, cupy: Any = None) -> None:
        self.timeout = checks.number("timeout", timeout, open_low=True)
        self._host = MPI(timeout=timeout) if host is None else host
        self.rank, self.size = self._host.rank, self._host.size
        with together(self._host):
            self._cupy = cupy or checks.optional("cupy", "cuda13", 'distributed="nccl"')
            library = self._library = self._cupy.cuda.nccl
            if not library.available:
                must = 'distributed="nccl" needs NCCL, which CuPy does not find'
                msg = f'{must}: pip install "nvidia-nccl-cu13>=2.27.7". Without it: distributed="mpi".'
                raise ModuleNotFoundError(msg, name="nccl")
            self._types = {
                "float32": library.NCCL_FLOAT32,
                "float64": library.NCCL_FLOAT64,
                "int64": library.NCCL_INT64,
            }
            own = json.dumps(library.get_unique_id()) if self.rank == 0 else ""
        identifier = tuple(json.loads(tell(self._host, own)))
        self._nccl = library.NcclCommunicator(self.size, identifier, self.rank)

    def __repr__(self) -> str:
        return f"NCCL(rank {self.rank} of {self.size})"

    def sum(self, array: Any) -> None:
        """Put the sum over all processes in the place of an array."""
        if isinstance(array, np.ndarray):
            self._host.sum(array)
            return
        place, count, kind, stream = self._place(array)
        self._nccl.allReduce(place, place, count, kind, self._library.NCCL_SUM, stream.ptr)
        self._finish(stream, "sum")

    def broadcast(self, array: Any, root: int = 0) -> None:
        """Put what the process `root` has in the place of an array."""
        if isinstance(array, np.ndarray):
            self._host.broadcast(array, root)
            return
        place, count, kind, stream = self._place(array)
        self._nccl.broadcast(place, place, count, kind, root, stream.ptr)
        self._finish(stream, "broadcast")

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self._host.barrier()

    def abort(self, message: str) -> NoReturn:
        """End all processes, with a line that names this one."""
        self._host.abort(message)

    def _place(self, array: Any) -> tuple[int, int, int, Any]:
        """Return where an array lies, how much it holds, of what, and the stream that it is computed on."""
        stream = self._cupy.cuda.get_current_stream()
        return array.data.ptr, array.size, self._types[str(array.dtype)], stream

    def _finish(self, stream: Any, what: str) -> None:
        """Wait for the device, though not for a process that died: a stream would, for ever."""
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        until(lambda: event.done, what, self.timeout, self.abort)
