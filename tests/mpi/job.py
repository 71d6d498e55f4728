"""Jobs of several processes, started by the mpiexec beside this Python, or by the host's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
LIMIT = 300.0
"""Seconds after which a job is taken to hang."""


def is_openmpi() -> bool:
    """Return whether it is Open MPI's mpiexec; else it is MPICH's."""
    assert MPIEXEC, "there is no mpiexec"
    told = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True, env=environment())
    return "Open MPI" in told.stdout


def environment() -> dict[str, str]:
    """Return what the processes find: one thread each, and the modules of the tests."""
    before = os.environ.get("PYTHONPATH")
    own = {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE), *([before] if before else [])]),
        "PYTHONFAULTHANDLER": "1",
    }
    return {**os.environ, **own}


def command(
    size: int, program: str, said: dict[str, Any], flags: Sequence[str] = (), inside: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs a program of this folder on `size` ranks, `inside` of another command."""
    more = ["--oversubscribe"] if is_openmpi() and not flags else list(flags)
    python = [sys.executable, str(HERE / "programs" / f"{program}.py"), json.dumps(said)]
    return [*inside, str(MPIEXEC), *more, "-n", str(size), *python]


class Done(NamedTuple):
    """A job that has ended."""

    status: int
    told: str  # by all ranks, and by mpiexec


class Job:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[str], told: Path) -> None:
        self.process, self._told = process, told

    @property
    def told(self) -> str:
        """What all ranks and mpiexec have written so far."""
        return self._told.read_text(errors="replace")

    def until(self, so: Callable[[], Any], seconds: float = LIMIT) -> None:
        """Wait until something is so, while the job goes on."""
        deadline = time.monotonic() + seconds
        while not so():
            assert self.process.poll() is None, f"the job has ended:\n{self.told}"
            assert time.monotonic() < deadline, f"it does not come:\n{self.told}"
            time.sleep(0.01)

    def end(self, seconds: float = LIMIT) -> Done:
        """Wait for its end."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {seconds:g} s:\n{self.told}") from None
        return Done(status, " ".join(self.told.split()))  # mpiexec breaks its lines


@contextmanager
def started(
    size: int,
    program: str,
    folder: Path,
    *,
    flags: Sequence[str] = (),
    inside: Sequence[str] = (),
    **said: Any,
) -> Iterator[Job]:
    """Start a job, which is told the folder and what else is said, in JSON; it ends with the block."""
    told = folder / f"told{time.monotonic_ns()}"
    given = {"folder": str(folder), **said}
    with (
        told.open("w") as file,
        subprocess.Popen(
            command(size, program, given, flags, inside),
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            cwd=folder,
        ) as process,
    ):
        try:
            yield Job(process, told)
        finally:
            process.kill()


def run(size: int, program: str, folder: Path, **said: Any) -> Done:
    """Run a job to its end."""
    with started(size, program, folder, **said) as job:
        return job.end()


def succeed(size: int, program: str, folder: Path, **said: Any) -> None:
    """Run a job that must succeed."""
    done = run(size, program, folder, **said)
    assert done.status == 0, done.told
