"""What `rnn-xp doctor` says of training with several processes: MPI and NCCL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from rnn_xp import checks
from rnn_xp.cli.doctor_machine import Line
from rnn_xp.distributed import NCCL, Alone
from rnn_xp.verify.machine import installed

PROBE = """
import ctypes, json
from mpi4py import MPI

knows = getattr(ctypes.CDLL(MPI.__file__), "MPIX_Query_cuda_support", None)  # found in the MPI that it loads
name, version = MPI.get_vendor()
print(json.dumps([f"{name} {'.'.join(map(str, version))}", None if knows is None else bool(knows())]))
"""
"""Asks MPI for its name, and whether it knows CUDA; in a process of its own, for it may end it."""

CUDA = {True: "knows CUDA", False: "knows no CUDA", None: "does not say whether it knows CUDA"}


def ranks(cupy: str) -> Iterator[Line]:
    """Look at MPI and NCCL; `cupy` is why its backend cannot be had, or "available"."""
    yield _mpi()
    yield _nccl() if cupy.startswith("available") else Line("NCCL", "none, without CuPy and a GPU")


def _mpi() -> Line:
    """Start an MPI of one process."""
    version = installed("mpi4py")
    if version is None:
        return Line("MPI", "no mpi4py")
    try:
        answer = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=30, check=True
        )
        library, cuda = json.loads(answer.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        return Line("MPI", f"mpi4py {version}", f"it cannot start MPI: {last}", checks.install("mpi"))
    except (subprocess.TimeoutExpired, OSError, ValueError, LookupError) as error:
        return Line("MPI", f"mpi4py {version}", f"MPI does not answer: {error}", checks.install("mpi"))
    over = "" if cuda else "; arrays of a GPU go over memory of the host"
    return Line("MPI", f"mpi4py {version}, {library}, {CUDA[cuda]}{over}")


def _nccl() -> Line:
    """Start an NCCL of one process."""
    try:
        NCCL(Alone())
    except ModuleNotFoundError as error:
        return Line("NCCL", "none", str(error))
    except Exception as error:  # CuPy has its own kinds
        return Line("NCCL", "unusable", f"{type(error).__name__}: {error}")
    number = int(sys.modules["cupy"].cuda.nccl.get_version())
    return Line("NCCL", f"{number // 10000}.{number % 10000 // 100}.{number % 100}")
