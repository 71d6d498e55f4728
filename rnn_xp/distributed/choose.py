"""From what a user says to the communicator of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnn_xp.distributed.communicator import Alone, Communicator
from rnn_xp.distributed.mpi import MPI
from rnn_xp.distributed.nccl import NCCL

KINDS: dict[str, Callable[[], Communicator]] = {"mpi": MPI, "nccl": NCCL}


def get_communicator(distributed: Any) -> Communicator:
    """Return the communicator that `distributed` names or is; None is a process alone.

    Parameters
    ----------
    distributed : {"mpi", "nccl"}, Communicator, mpi4py.MPI.Comm or None

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    ModuleNotFoundError
        If what it names is not installed.

    Examples
    --------
    >>> get_communicator(None).size
    1
    """
    if distributed is None:
        return Alone()
    if isinstance(distributed, Communicator):
        return distributed
    if isinstance(distributed, str):
        if distributed not in KINDS:
            msg = f"`distributed` must be 'mpi', 'nccl' or a communicator; got {distributed!r}."
            raise ValueError(msg)
        return KINDS[distributed]()
    if hasattr(distributed, "Iallreduce"):
        return MPI(distributed)
    msg = f"`distributed` must be 'mpi', 'nccl' or a communicator; got {type(distributed).__name__}."
    raise TypeError(msg)
