"""NCCL through CuPy: sums of arrays that stay on their GPUs. MPI brings the processes together."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_xp import checks
from rnn_xp.distributed.mpi import MPI


class NCCL(MPI):
    """The processes that MPI started, each with a GPU of its own.

    Arrays of the host go over MPI, as what the ranks agree on does.

    Parameters
    ----------
    comm, timeout
        As `MPI` takes them.
    cupy : module, optional
        CuPy, or what stands in for it.

    Raises
    ------
    ModuleNotFoundError
        If CuPy, or its NCCL, is not there.
    """

    def __init__(self, comm: Any = None, timeout: float = 300.0, *, cupy: Any = None) -> None:
        super().__init__(comm, timeout)
        self._cupy = cupy or checks.optional("cupy", "cuda13", 'distributed="nccl"')
        library = self._cupy.cuda.nccl
        if not library.available:
            must = 'distributed="nccl" needs NCCL, which CuPy does not find'
            msg = f'{must}: pip install "nvidia-nccl-cu13>=2.27.7". Without it: distributed="mpi".'
            raise ModuleNotFoundError(msg, name="nccl")
        self._library = library
        self._types = {
            "float32": library.NCCL_FLOAT32,
            "float64": library.NCCL_FLOAT64,
            "int64": library.NCCL_INT64,
        }
        identifier = library.get_unique_id() if self.rank == 0 else None
        self._nccl = library.NcclCommunicator(self.size, self._comm.bcast(identifier), self.rank)

    def sum(self, array: Any) -> None:
        """Put the sum over all processes in the place of an array."""
        if isinstance(array, np.ndarray):
            super().sum(array)
            return
        place, count, kind, stream = self._place(array)
        self._nccl.allReduce(place, place, count, kind, self._library.NCCL_SUM, stream.ptr)
        self._finish(stream, "sum")

    def broadcast(self, array: Any, root: int = 0) -> None:
        """Put what the process `root` has in the place of an array."""
        if isinstance(array, np.ndarray):
            super().broadcast(array, root)
            return
        place, count, kind, stream = self._place(array)
        self._nccl.broadcast(place, place, count, kind, root, stream.ptr)
        self._finish(stream, "broadcast")

    def _place(self, array: Any) -> tuple[int, int, int, Any]:
        """Return where an array lies, how much it holds, of what, and the stream that it is computed on."""
        stream = self._cupy.cuda.get_current_stream()
        return array.data.ptr, array.size, self._types[str(array.dtype)], stream

    def _finish(self, stream: Any, what: str) -> None:
        """Wait for the device, though not for a process that died: a stream would, for ever."""
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        self._until(lambda: event.done, what)
