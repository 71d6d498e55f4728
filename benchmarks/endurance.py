"""What very long sequences cost: peak memory, seconds and bits, each figure in a process of its own (Linux).

    python benchmarks/endurance.py [--only NAME ...] [--quick] [--out benchmarks/results/endurance.json]

recomputing  one training step on one sequence of 1,000,000 steps (64 units, loss at the last step), by
             recomputing BPTT, beside plain BPTT on 20,000 steps
truncated    truncated BPTT over 10^3 to 10^6 steps of a corpus on disk
streaming    resident memory over 10^7 steps of `model.stream`
bits         the gradients of recomputing and plain BPTT, bit by bit

Memory is the peak of all that the process ever held, Python and NumPy and its data included (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import ROOT, write

import rnn_xp as rx
from rnn_xp import tree

CELLS = {"gru": rx.GRU, "lstm": rx.LSTM}
FEATURES, UNITS = 8, 64
K1, K2 = 100, 200  # the windows of truncated BPTT
MB = 1e6


def memory(field: str) -> float:
    """Return what the system says of this process, in MB: VmHWM, VmRSS, RssFile."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / MB
    raise KeyError(field)


def apart(part: str, **options: Any) -> Any:
    """Return what a part of this file answers in a process of its own, on one thread."""
    command = [sys.executable, __file__, "--part", part, json.dumps(options)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(process.stdout)


def classifier(cell: str) -> rx.Sequential:
    """Return a network that answers once, after the last step."""
    return rx.Sequential(CELLS[cell](FEATURES, UNITS), rx.LastStep(), rx.Linear(UNITS, 2))


def sequence(steps: int) -> NDArray[np.float32]:
    """Return one sequence (1, T, D)."""
    return np.random.default_rng(0).standard_normal((1, steps, FEATURES), dtype=np.float32)


def train(cell: str, steps: int, recompute: bool, epochs: int) -> dict[str, Any]:
    """Take so many training steps on one sequence; return the seconds of each, and the memory."""
    X, held = sequence(steps), memory("VmHWM")
    result = rx.fit(
        classifier(cell), X, [1], epochs=epochs, recompute=recompute, backend="numpy", verbose=False
    )
    seconds = [epoch["seconds"] for epoch in result.history]
    return {"seconds": seconds, "peak": memory("VmHWM"), "before": held, "data": X.nbytes / MB}


def truncate(steps: int, folder: str) -> dict[str, Any]:
    """Train on a corpus of so many steps that lies on disk, one lane, for an epoch."""
    path = Path(folder, "corpus.npy")
    np.save(path, np.random.default_rng(0).integers(0, 50, steps + 1, dtype=np.uint8))
    lanes = rx.data.Lanes(np.load(path, mmap_mode="r"), 1)
    model = rx.Sequential(rx.layers.Embedding(50, FEATURES), rx.GRU(FEATURES, UNITS), rx.Linear(UNITS, 50))
    result = rx.fit(model, lanes, None, truncate=(K1, K2), epochs=1, backend="numpy", verbose=False)
    seconds = result.history[0]["seconds"]
    return {"steps": steps, "peak": memory("VmHWM"), "mapped": memory("RssFile"), "seconds": seconds}


def stream(steps: int) -> dict[str, Any]:
    """Follow a live feed; return the resident memory at a hundred moments."""
    model = rx.Sequential(rx.GRU(FEATURES, 16), rx.Linear(16, 2))
    backend = rx.get_backend("numpy")
    feed = model.stream(model.init(backend, seed=0))
    readings = [backend.asarray(reading) for reading in sequence(64)[0][:, np.newaxis]]
    resident = np.empty(100)
    start = time.perf_counter()
    for moment in range(100):
        for step in range(steps // 100):
            y = feed.step(readings[step % 64])
        resident[moment] = memory("VmRSS")
    assert np.isfinite(y).all()
    return {"steps": steps, "resident": resident.tolist(), "seconds": time.perf_counter() - start}


def compare(cell: str, steps: int, recompute: bool | int) -> dict[str, Any]:
    """Return how many numbers of outputs, states and gradients differ between the two ways."""
    backend = rx.get_backend("numpy", dtype="float32")
    model = classifier(cell)
    params = model.init(backend, seed=0)
    x = sequence(steps).swapaxes(0, 1)
    found = []
    for way in (None, recompute):
        y, state_T, tape = model.forward(params, x, recompute=way)
        found.append([y, *tree.leaves(state_T), *tree.leaves(model.backward(params, tape, y - 1.0))])
    pairs = [[np.ascontiguousarray(a).view(np.uint32) for a in pair] for pair in zip(*found, strict=True)]
    differ, size = sum(int((a != b).sum()) for a, b in pairs), sum(a.size for a, _ in pairs)
    return {"cell": cell, "steps": steps, "recompute": recompute, "differ": differ, "of": size}


def recomputing(long: int, short: int, repetitions: int) -> dict[str, Any]:
    """Take turns: a long sequence recomputed, a short one recomputed, a short one plain."""
    results = {}
    for cell in CELLS:
        ways = {"long": (long, True, 1), "short": (short, True, 4), "plain": (short, False, 4)}
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for _ in range(repetitions):
            for way, (steps, recompute, epochs) in ways.items():
                runs[way].append(apart("train", cell=cell, steps=steps, recompute=recompute, epochs=epochs))
        each = {
            way: median(median(run["seconds"][1:] or run["seconds"]) for run in runs[way]) / steps
            for way, (steps, _, _) in ways.items()
        }
        results[cell] = {
            "steps": {way: steps for way, (steps, _, _) in ways.items()},
            "peak_mb": max(run["peak"] for run in runs["long"]),
            "plain_peak_mb": max(run["peak"] for run in runs["plain"]),
            "microseconds_a_step": {way: 1e6 * value for way, value in each.items()},
            "ratio": each["long"] / each["plain"],
            "ratio_at_the_same_length": each["short"] / each["plain"],
            "runs": runs,
        }
        print(f"{cell}: {long:,} steps, " + told(results[cell]), flush=True)
    return {"features": FEATURES, "units": UNITS, "dtype": "float32", "cells": results}


def told(result: dict[str, Any]) -> str:
    """Return memory and time of recomputing BPTT in words."""
    took, plain = result["microseconds_a_step"]["long"], result["steps"]["plain"]
    return (
        f"peak {result['peak_mb']:.0f} MB, {took:.1f} us a step, {result['ratio']:.2f} x plain at {plain:,}, "
        f"where it takes {result['ratio_at_the_same_length']:.2f} x"
    )


def truncated(lengths: list[int]) -> dict[str, Any]:
    """Train over corpora of these lengths."""
    runs = []
    for steps in lengths:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(apart("truncate", steps=steps, folder=folder))
        print(f"truncated, {steps:9,} steps: peak {runs[-1]['peak']:.1f} MB", flush=True)
    peaks = [run["peak"] for run in runs]
    return {"k1": K1, "k2": K2, "units": UNITS, "growth_mb": peaks[-1] - peaks[0], "runs": runs}


def streaming(steps: int) -> dict[str, Any]:
    """Compare the first tenth of a long stream with the last."""
    result = apart("stream", steps=steps)
    first, last = mean(result["resident"][:10]), mean(result["resident"][-10:])
    print(
        f"streaming, {steps:,} steps: {first:.2f} MB in the first tenth, {last:.2f} MB in the last",
        flush=True,
    )
    return {**result, "first_tenth_mb": first, "last_tenth_mb": last}


def bits(lengths: list[int]) -> dict[str, Any]:
    """Compare gradients over cells, lengths, and what may be kept."""
    runs = [
        apart("compare", cell=cell, steps=steps, recompute=recompute)
        for cell in CELLS
        for steps in lengths
        for recompute in (True, 5_000_000)
    ]
    differ = sum(run["differ"] for run in runs)
    print(f"bits: {differ} of {sum(run['of'] for run in runs):,} numbers differ", flush=True)
    return {"differ": differ, "runs": runs}


PARTS = {"train": train, "truncate": truncate, "stream": stream, "compare": compare}
QUICK = {
    "recomputing": {"long": 3000, "short": 500, "repetitions": 1},
    "truncated": {"lengths": [500, 1000]},
    "streaming": {"steps": 2000},
    "bits": {"lengths": [300]},
}
FULL = {
    "recomputing": {"long": 1_000_000, "short": 20_000, "repetitions": 3},
    "truncated": {"lengths": [1000, 10_000, 100_000, 1_000_000]},
    "streaming": {"steps": 10_000_000},
    "bits": {"lengths": [1, 1000, 20_000]},
}
MEASURES = {"recomputing": recomputing, "truncated": truncated, "streaming": streaming, "bits": bits}


def table(record: dict[str, Any]) -> list[str]:
    """Return the lines of the README's table."""
    lines = ["| what | memory of the whole process | time |", "|---|---|---|"]
    units = record["recomputing"]["units"]
    for cell, own in record["recomputing"]["cells"].items():
        took, steps = own["microseconds_a_step"]["long"], own["steps"]
        lines.append(
            f"| {cell.upper()}, {units} units: one training step on {steps['long']:,} steps, recomputing "
            f"BPTT | peak {own['peak_mb']:.0f} MB "
            f"| {took:.0f} µs a step, {own['ratio']:.2f} times plain BPTT at {steps['plain']:,} |"
        )
    k1, k2 = record["truncated"]["k1"], record["truncated"]["k2"]
    for run in record["truncated"]["runs"]:
        took = 1e6 * run["seconds"] / run["steps"]
        what = f"truncated BPTT ({k1}, {k2}), {run['steps']:,} steps"
        lines.append(f"| {what} | peak {run['peak']:.0f} MB | {took:.0f} µs a step |")
    feed = record["streaming"]
    first, last = feed["first_tenth_mb"], feed["last_tenth_mb"]
    lines.append(
        f"| streaming, {feed['steps']:,} steps "
        f"| {first:.1f} MB in the first tenth, {last:.1f} MB in the last "
        f"| {1e6 * feed['seconds'] / feed['steps']:.1f} µs a step |"
    )
    compared = sum(run["of"] for run in record["bits"]["runs"])
    return [
        *lines,
        "",
        f"Of the {compared:,} numbers of outputs, states and gradients compared between recomputing and "
        f"plain BPTT, {record['bits']['differ'] or 'none'} differ in a bit.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, in seconds")
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    parser.add_argument("--part", nargs=2, metavar=("PART", "OPTIONS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, options = arguments.part
        print(json.dumps(PARTS[name](**json.loads(options))))
        return
    sizes = QUICK if arguments.quick else FULL
    results = {name: MEASURES[name](**sizes[name]) for name in arguments.only}
    write(arguments.out, "endurance", ["rnn_xp", "numpy"], {"quick": arguments.quick, **results})


if __name__ == "__main__":
    main()
