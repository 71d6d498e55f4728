"""Speed on a CPU: layers, jobs, streaming, memory and scaling, beside PyTorch, JAX and ONNX Runtime.

    python benchmarks/cpu.py --out benchmarks/results/cpu.json [--aeon-python PYTHON]

Every contender computes in a process of its own, for the whole run, and all are asked in turns, so that no
thread of one waits on a core that another needs. Before anything is timed, the answers are compared. It needs
NumPy and array-api-compat; who else is installed, takes part: torch, jax, onnxruntime with onnx;
threadpoolctl tells which kernels NumPy's BLAS runs, and tqdm draws a bar. JapaneseVowels needs the package
aeon: --aeon-python names an interpreter that has it. At full size it takes some 20 minutes.

Exit code 0: all was measured that could be; 1: an answer was wrong, or something failed, and the record says
what; 2: wrong usage; 130: interrupted. `python benchmarks/report.py` makes tables and pictures of the record.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

try:
    import array_api_compat  # noqa: F401
    import numpy  # noqa: F401
except ImportError as error:
    sys.exit(f"cpu.py cannot begin: {error}. Install what it needs: pip install numpy array-api-compat")

from cpu_speed import criteria, grid, jobs, memory, scaling, streaming, threads  # noqa: E402
from cpu_speed.contenders import Roster  # noqa: E402
from cpu_speed.session import Session  # noqa: E402
from cpu_speed.sizes import TINY, Sizes  # noqa: E402
from cpu_speed.vowels import MADE_UP  # noqa: E402
from gpu.session import UnsavedError  # noqa: E402
from record import header, unfit  # noqa: E402

PARTS: dict[str, Callable[[Session, dict[str, Any]], None]] = {
    "grid": grid.run,
    "jobs": jobs.run,
    "streaming": streaming.run,
    "memory": memory.run,
    "scaling": scaling.run,
    "threads": threads.run,
}

PACKAGES = ["rnn_xp", "numpy", "torch", "jax", "onnxruntime"]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    made.add_argument("--out", required=True, type=Path, metavar="FILE", help="the JSON record to write")
    made.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (all)")
    made.add_argument(
        "--seconds", type=float, default=6, help="for the turns of one point, or 5 turns (%(default)s)"
    )
    made.add_argument(
        "--aeon-python", default=sys.executable, metavar="PYTHON", help="an interpreter that has aeon"
    )
    made.add_argument("--dry-run", action="store_true", help="run all of it with tiny sizes, in seconds")
    return made


def main(given: Sequence[str] | None = None) -> int:
    """Measure what is asked for; return the exit code."""
    own = parser()
    arguments = own.parse_args(given)
    if what := unfit(arguments.out):
        own.error(f"--out {what}; got {arguments.out}")
    if not 0 < arguments.seconds < math.inf:
        own.error(f"--seconds must be above 0 and finite; got {arguments.seconds}")
    try:
        return measured(arguments)
    except UnsavedError as error:
        print(error, file=sys.stderr)
        return 1


def measured(arguments: argparse.Namespace) -> int:
    """Run the parts one after the other; return the exit code."""
    sizes = TINY if arguments.dry_run else Sizes()
    seconds = 0.0 if arguments.dry_run else arguments.seconds
    settings = {"parts": arguments.parts, "seconds": seconds, "sizes": sizes.told()}
    aeon_python = MADE_UP if arguments.dry_run else arguments.aeon_python
    record = {**header("cpu", PACKAGES), "dry_run": arguments.dry_run, "settings": settings}
    with Roster() as roster, tempfile.TemporaryDirectory() as folder:
        session = Session(arguments.out, record, roster, Path(folder), sizes, seconds, aeon_python)
        try:
            for name, part in PARTS.items():
                if name in arguments.parts:
                    session.run(name, part)
        except KeyboardInterrupt:
            session.save()
            told = "holds what was measured, and is marked as incomplete"
            print(f"interrupted: {arguments.out} {told}", file=sys.stderr)
            return 130
        return finished(session)


def finished(session: Session) -> int:
    """Mark the record as complete, say what it shows, and return the exit code."""
    record = session.record
    record["criteria"] = criteria.of(record)
    record["complete"] = True
    session.save()
    for name, why in record["absent"].items():
        print(f"absent: {name}: {why}")
    for each in record["criteria"]:
        print(criteria.told(each))
    for failure in record["failures"]:
        print(f"FAILED {failure}")
    print(f"record: {session.path}")
    return 1 if record["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
