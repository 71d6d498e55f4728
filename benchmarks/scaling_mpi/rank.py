"""What a rank runs: a job, which is the only argument, as JSON. Rank 0 writes what was measured, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import rnn_xp as rx  # noqa: E402
from rnn_xp.distributed import Communicator  # noqa: E402
from scaling_mpi.timed import Timed  # noqa: E402

CLASSES = 10


def fit(job: dict[str, Any], ranks: Communicator | None) -> dict[str, Any]:
    """Train; return seconds a step, epoch by epoch, the first left out, and what of them were sums."""
    if ranks is None:
        return {"step": train(job, None)}
    usual = train(job, Timed(ranks, meet=False))
    timed = Timed(ranks, meet=True)  # tells waiting from the sum, and makes a step a little longer
    met = np.array(train(job, timed))
    own = np.array([(each.meeting, each.summing) for each in timed.gradients()[job["steps"] :]])
    means = own.reshape(len(met), job["steps"], 2).mean(axis=1).ravel()
    waiting, summing = together(ranks, means).mean(axis=1).reshape(-1, 2).T
    parts = {"computing": met - waiting - summing, "waiting": waiting, "sum": summing}
    result = {"step": usual, **{name: float(np.median(seconds)) for name, seconds in parts.items()}}
    return {**result, "bytes": timed.gradients()[0].bytes}


def train(job: dict[str, Any], ranks: Timed | None) -> list[float]:
    """Return the mean seconds of a step of every epoch but the first."""
    T, D, batch, steps = (job[name] for name in ("T", "D", "batch", "steps"))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((steps * batch, T, D), dtype=np.float32)
    y = rng.integers(0, CLASSES, steps * batch)
    if ranks is not None and job["sharded"]:
        own = slice(ranks.rank * len(X) // ranks.size, (ranks.rank + 1) * len(X) // ranks.size)
        X, y = X[own], y[own]
    result = rx.fit(
        rx.Sequential(rx.LSTM(D, job["H"]), rx.LastStep(), rx.Linear(job["H"], CLASSES)),
        X,
        y,
        backend="numpy",
        dtype="float32",
        batch_size=batch,
        epochs=1 + job["epochs"],
        optimizer=rx.Adam(0.001),
        verbose=False,
        distributed=ranks,
        sharded=job["sharded"],
    )
    return [epoch["seconds"] / steps for epoch in result.history[1:]]


def batches(job: dict[str, Any], _: Communicator | None) -> dict[str, Any]:
    """Return the seconds of a step of one process, for every batch."""
    return {"step": {batch: median(train({**job, "batch": batch}, None)) for batch in job["batches"]}}


def sums(job: dict[str, Any], ranks: Communicator | None) -> dict[str, Any]:
    """Return the seconds of sums by size: as a training asks for them, and as MPI's own call that blocks."""
    from mpi4py import MPI

    assert ranks is not None
    world = MPI.COMM_WORLD
    ways = {"asked": ranks.sum, "blocking": lambda array: world.Allreduce(MPI.IN_PLACE, array)}
    rows = []
    for size in job["sizes"]:
        array = np.zeros(size // 4, np.float32)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(job["repetitions"]):
            for way, call in ways.items():
                world.Barrier()
                begun = perf_counter()
                call(array)
                seconds[way].append(perf_counter() - begun)
        own = [median(each) for each in seconds.values()]
        slowest = together(ranks, own).max(axis=1)
        rows.append({"bytes": size, **dict(zip(ways, slowest.tolist(), strict=True))})
    return {"rows": rows, "add": add(max(job["sizes"]), job["repetitions"])}


def add(size: int, repetitions: int) -> float:
    """Return the seconds of a byte of adding an array to another in place."""
    a, b = np.zeros(size // 4, np.float32), np.zeros(size // 4, np.float32)
    seconds = []
    for _ in range(repetitions):
        begun = perf_counter()
        np.add(a, b, out=a)
        seconds.append(perf_counter() - begun)
    return median(seconds) / size


def together(ranks: Communicator, numbers: Any) -> NDArray[np.float64]:
    """Return the numbers of all ranks, (how many, ranks)."""
    table = np.zeros((len(numbers), ranks.size))
    table[:, ranks.rank] = numbers
    ranks.sum(table)
    return table


JOBS = {"fit": fit, "batches": batches, "sums": sums}


def main() -> None:
    job = json.loads(sys.argv[1])
    ranks = rx.distributed.MPI() if job["distributed"] else None
    result = JOBS[job["job"]](job, ranks)
    if ranks is None or ranks.rank == 0:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
