"""MPI by mpi4py: calls that are asked again and again, so that a process that died is not waited for."""

from __future__ import annotations

import sys
import time
from typing import Any, NoReturn

import numpy as np

from rnn_xp import checks
from rnn_xp.backend import backend_of, to_numpy
from rnn_xp.distributed.launched import launched
from rnn_xp.distributed.waiting import until


class MPI:
    """The processes that `mpiexec`, Slurm or a Kubernetes operator started together.

    Arrays of a device go over pinned memory of the host: the MPI that pip installs knows no device.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        Those that take part; all of them without it.
    timeout : float
        Seconds after which a process no longer waits for the others, but ends all of them.

    Raises
    ------
    ModuleNotFoundError
        If mpi4py, or the MPI that it needs, is not there.
    RuntimeError
        If the processes were started by another MPI's ``mpiexec``, so that each is alone.

    Examples
    --------
    .. code-block:: python

        result = rx.fit(model, X, y, distributed=rx.distributed.MPI(timeout=60))
    """

    def __init__(self, comm: Any = None, timeout: float = 300.0) -> None:
        self.timeout = checks.number("timeout", timeout, open_low=True)
        self._mpi = _library()
        if comm is not None and not isinstance(comm, self._mpi.Comm):
            msg = f"`comm` must be a communicator of mpi4py, such as MPI.COMM_WORLD; got {comm!r}."
            raise TypeError(msg)
        self._comm = self._mpi.COMM_WORLD if comm is None else comm
        self.rank, self.size = int(self._comm.rank), int(self._comm.size)
        if comm is None and self.size == 1 and launched() > 1:
            must = f"mpiexec must be of the MPI that mpi4py loads, {self._mpi.Get_library_version()[:30]!r}"
            msg = f"{must}; got {launched()} processes, each of which is alone in it."
            raise RuntimeError(msg)
        self._pinned: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank {self.rank} of {self.size})"

    def sum(self, array: Any) -> None:
        """Put the sum over all processes in the place of an array."""
        host = self._host(array)
        self._wait(self._comm.Iallreduce(self._mpi.IN_PLACE, host), "sum")
        self._back(host, array)

    def broadcast(self, array: Any, root: int = 0) -> None:
        """Put what the process `root` has in the place of an array."""
        host = self._host(array)
        self._wait(self._comm.Ibcast(host, root), "broadcast")
        self._back(host, array)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self._wait(self._comm.Ibarrier(), "barrier")

    def abort(self, message: str) -> NoReturn:
        """End all processes, with a line that names this one."""
        sys.stderr.write(f"rnn_xp: rank {self.rank} of {self.size}: {message}\n")
        sys.stderr.flush()
        time.sleep(0.2)  # for mpiexec to pass the line on: it ends the job at once
        self._comm.Abort(1)
        raise SystemExit(1)  # Abort does not return

    def _wait(self, request: Any, what: str) -> None:
        """Ask until the request is done."""
        until(request.Test, what, self.timeout, self.abort)

    def _host(self, array: Any) -> Any:
        """Return an array of the host with the same contents; NumPy's own is itself."""
        if isinstance(array, np.ndarray):
            return array
        if not hasattr(array, "get"):
            return np.array(to_numpy(array))
        key = (tuple(array.shape), str(array.dtype))
        if key not in self._pinned:
            cupyx = checks.optional("cupyx", "cuda13", "MPI of arrays on a GPU")
            self._pinned[key] = cupyx.empty_pinned(array.shape, array.dtype)
        return array.get(out=self._pinned[key])

    @staticmethod
    def _back(host: Any, array: Any) -> None:
        """Write what was received where it belongs."""
        if host is array:
            return
        if hasattr(array, "set"):
            array.set(host)
        else:
            array[...] = backend_of(array).asarray(host)


def _library() -> Any:
    """Return mpi4py's module, with the MPI that it loads."""
    try:
        return checks.optional("mpi4py.MPI", "mpi", 'distributed="mpi"')
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        msg = (
            f'distributed="mpi" needs an MPI, which mpi4py does not find ({first}): {checks.install("mpi")}.'
        )
        raise ModuleNotFoundError(msg, name="mpi4py") from None
