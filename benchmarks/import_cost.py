"""What `import rnn_xp` costs beside `import numpy`: fresh processes, in turns.

"rnn_xp" imports numpy and the package, as a program does; "all of rnn_xp" uses every public name besides, so
that nothing that loads on first use stays hidden.

    python benchmarks/import_cost.py [--out benchmarks/results/import_cost.json]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

from record import ROOT, summary, write

PROGRAMS = {
    "numpy": "import numpy",
    "rnn_xp": "import numpy, rnn_xp",
    "all of rnn_xp": "import numpy, rnn_xp; [getattr(rnn_xp, name) for name in rnn_xp.__all__]",
}
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def measure(program: str, bytecode: str) -> float:
    """Return the seconds that `program` takes in a new process; compiled files are in `bytecode`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", TIMED.format(program)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()

    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as bytecode:
        for program in PROGRAMS.values():
            measure(program, bytecode)  # compiles
        for _ in range(arguments.repetitions):
            for name, program in PROGRAMS.items():
                seconds[name].append(measure(program, bytecode))
    results = summary(seconds, "numpy")
    print(f"{'':14s} {'median ms':>10s} {'ratio':>7s}")
    for name in PROGRAMS:
        print(f"{name:14s} {1000 * results['medians'][name]:10.1f} {results['ratios'][name]:7.3f}")
    results["repetitions"] = arguments.repetitions
    write(arguments.out, "import_cost", ["rnn_xp", "numpy"], results)


if __name__ == "__main__":
    main()
