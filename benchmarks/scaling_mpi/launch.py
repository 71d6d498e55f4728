"""Start a job on ranks by `mpiexec`, or in one process without it, and read what it measured."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

RANK = Path(__file__).resolve().parent / "rank.py"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MORE_THAN_CORES = {
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # Open MPI 5
    "OMPI_MCA_rmaps_base_oversubscribe": "1",  # Open MPI 4
}


def run(job: dict[str, Any], mpiexec: str, *, ranks: int = 0, threads: int = 1) -> dict[str, Any]:
    """Return what a job measured on so many ranks; 0 is a process alone, without MPI.

    `elsewhere` is how many cores other programs kept busy meanwhile; None where the system does not say.
    """
    command = [sys.executable, str(RANK), json.dumps({**job, "distributed": ranks > 0})]
    if ranks:
        command = [mpiexec, "-n", str(ranks), *command]
    before = busy()
    begun = perf_counter()
    result = subprocess.run(command, env=environment(ranks, threads), capture_output=True, text=True)
    wall, after = perf_counter() - begun, busy()
    if result.returncode:
        msg = (
            f"{job['job']} on {ranks or 'no'} ranks ended with {result.returncode}:\n{result.stderr[-4000:]}"
        )
        raise RuntimeError(msg)
    measured: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    elsewhere = None if before is None or after is None else max(0.0, (after - before) / wall)
    return {**measured, "elsewhere": elsewhere}


def environment(ranks: int, threads: int) -> dict[str, str]:
    """Return this process's environment, with so many BLAS threads and nothing else said to BLAS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_"))}
    more = MORE_THAN_CORES if ranks > cores() else {}
    return {**kept, **dict.fromkeys(THREADS, str(threads)), **more}


def cores() -> int:
    """Return how many cores there are for us."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy() -> float | None:
    """Return the seconds that all cores have been busy with what is not ours; None without /proc."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    user, nice, system, _, _, *interrupts = map(int, path.read_text().splitlines()[0].split()[1:9])
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ours = sum(each.ru_utime + each.ru_stime for each in own)
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK") - ours
