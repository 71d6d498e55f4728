"""What a launcher says of the processes that it started: `mpiexec` and `srun` tell by the environment."""

from __future__ import annotations

import os

LAUNCHERS = {
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
    "PMI_SIZE": "PMI_RANK",
    "SLURM_STEP_NUM_TASKS": "SLURM_PROCID",
}
"""The variables of the number of processes, and of this one's: Open MPI's, MPICH's, Slurm's."""


def launched() -> int:
    """Return how many processes were started together; 1 where no launcher says.

    Examples
    --------
    >>> launched()
    1
    """
    counts = [os.environ.get(name, "") for name in LAUNCHERS]
    return max((int(count) for count in counts if count.isdecimal()), default=1)
