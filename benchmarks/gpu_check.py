"""Settle on a CUDA machine what cannot be settled without one: tests, parity, training, times beside cuDNN's.

    python benchmarks/gpu_check.py --out record.json

It needs NumPy, CuPy, array-api-compat and pytest, and PyTorch with CUDA for the comparison with cuDNN; rnn_xp
is taken from this checkout. It ends within --budget seconds. Exit code 0: all tests and comparisons passed;
1: one failed, was left out for want of time, or there is no GPU; 2: wrong usage; 130: interrupted. The record
is there in any case, as far as it came, but where there is no GPU.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

try:
    import array_api_compat  # noqa: F401
    import numpy  # noqa: F401
except ImportError as error:
    sys.exit(f"gpu_check cannot begin: {error}. Install what it needs: pip install numpy array-api-compat")

from gpu import distributed, memory, parity, products, suite, timings, training  # noqa: E402
from gpu.check import TINY, Check, Sizes  # noqa: E402
from gpu.device import CudaDevice, HostDevice, known  # noqa: E402
from gpu.session import Session, UnsavedError  # noqa: E402
from record import header, sources_hash, unfit  # noqa: E402

import rnn_xp as rx  # noqa: E402
from rnn_xp import checks  # noqa: E402
from rnn_xp.engines.choose import NAMES, VARIABLE  # noqa: E402


class Part(NamedTuple):
    """A part of the check."""

    run: Callable[[Check, dict[str, Any]], None]
    share: float  # of the time that is left when it begins
    proof: bool  # whether leaving out some of it leaves something unproved


PARTS = {
    "tests": Part(suite.run, 0.5, True),
    "parity": Part(parity.run, 0.5, True),
    "training": Part(training.run, 0.5, True),
    "distributed": Part(distributed.run, 0.3, True),
    "products": Part(products.run, 0.3, False),
    "memory": Part(memory.run, 0.3, False),
    "timings": Part(timings.run, 1.0, False),
}
"""In the order of importance, in which they run."""

PACKAGES = ["rnn_xp", "numpy", "array-api-compat", "pytest", "torch"]

ENVIRONMENT = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "CUPY_ACCELERATORS",
    "CUPY_CUDA_PER_THREAD_DEFAULT_STREAM",
    "CUPY_GPU_MEMORY_LIMIT",
    "CUPY_TF32",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "RNN_XP_BACKEND",
    "RNN_XP_ENGINE",
    "RNN_XP_TF32",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""The variables that change what is measured."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    made.add_argument("--out", required=True, type=Path, metavar="FILE", help="the JSON record to write")
    made.add_argument(
        "--budget", type=float, default=480, metavar="SECONDS", help="for everything (%(default)s)"
    )
    made.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to do (all)")
    made.add_argument("--commit", help="the commit of this checkout, where git cannot tell")
    dry = "run all of it with tiny sizes on the CPU, with array_api_strict in the place of CuPy"
    made.add_argument("--dry-run", action="store_true", help=dry)
    return made


def main(given: Sequence[str] | None = None) -> int:
    """Check what is asked for and do it; return the exit code."""
    own = parser()
    arguments = own.parse_args(given)
    if what := unfit(arguments.out):
        own.error(f"--out {what}; got {arguments.out}")
    if not 0 < arguments.budget < math.inf:
        own.error(f"--budget must be above 0 and finite; got {arguments.budget}")
    try:
        checks.one_of(VARIABLE, os.environ.get(VARIABLE) or "auto", NAMES)
    except ValueError as error:
        own.error(str(error))

    try:
        device, where = opened(arguments.dry_run)
        return checked(arguments, device, where)
    except (rx.BackendError, UnsavedError) as error:
        print(error, file=sys.stderr)
        return 1


def checked(arguments: argparse.Namespace, device: HostDevice, where: tuple[str, str | None]) -> int:
    """Run the parts one after the other; return the exit code."""
    sizes = TINY if arguments.dry_run else Sizes()
    record = {
        **header("gpu_check", PACKAGES, arguments.commit),
        "sources_hash": sources_hash(),
        "dry_run": arguments.dry_run,
        "device": device.facts(),
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
        "packages": known(lambda: {each.name: each.version for each in metadata.distributions()}),
        "settings": {"budget": arguments.budget, "parts": arguments.parts, "sizes": sizes.told()},
    }
    session = Session(arguments.out, record, arguments.budget)
    for name, fact in session.record["device"].items():
        print(f"{name:20s} {fact}")
    check = Check(session, device, *where, sizes, arguments.dry_run)
    session.save()
    try:
        for name, part in PARTS.items():
            if name in arguments.parts:
                session.run(name, part.share, partial(part.run, check))
    except KeyboardInterrupt:
        session.save()
        print(
            f"interrupted: {arguments.out} holds what was measured, and is marked as incomplete",
            file=sys.stderr,
        )
        return 130
    return finished(session)


def opened(dry_run: bool) -> tuple[HostDevice, tuple[str, str | None]]:
    """Return the device, and the name and device of its backend."""
    where = ("array_api_strict", "device1") if dry_run else ("cupy", None)
    rx.get_backend(where[0], device=where[1])
    return HostDevice() if dry_run else CudaDevice(import_module("cupy")), where


def finished(session: Session) -> int:
    """Mark the record as complete, say what it shows, and return the exit code."""
    record = session.record
    record["took_s"] = record["settings"]["budget"] - session.left
    record["complete"] = True
    session.save()
    unproved = [name for name in record["left_out"] if PARTS[name].proof]
    for name in record["left_out"]:
        print(f"left out for want of time, of {name}: {len(record['left_out'][name])}")
    for failure in record["failures"]:
        print(f"FAILED {failure}")
    if unproved:
        print(f"not all of {', '.join(unproved)} could run: give it more time with --budget")
    good = not record["failures"] and not unproved
    print(f"{'passed' if good else 'NOT passed'} in {record['took_s']:.0f} s; record: {session.path}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
