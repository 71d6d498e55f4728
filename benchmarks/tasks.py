"""The README's own command lines over several seeds: what they reach, and how long the whole process takes.

    python benchmarks/tasks.py [--only NAME ...] [--aeon-python PYTHON] [--out benchmarks/results/tasks.json]

JapaneseVowels needs the package aeon: --aeon-python names an interpreter that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import mean
from typing import Any, NamedTuple

from record import ROOT, write


class Task(NamedTuple):
    """A command line of the README, the seeds to run it with, and the mean of a metric that it must reach."""

    options: str
    seeds: range
    metric: str
    at_least: float = 0.0
    at_most: float = float("inf")
    aeon: bool = False


PRACTITIONER = (
    "--cell gru --batch-size 32 --optimizer adam --lr 0.01 --clip-norm 1 --schedule cosine --epochs 20"
)
TASKS = {
    "tutorial": Task("", range(5), "accuracy", at_least=0.88),
    "practitioner": Task(PRACTITIONER, range(5), "accuracy", at_least=0.95),
    "japanese-vowels": Task("--task japanese-vowels", range(5), "accuracy", at_least=0.96, aeon=True),
    "text": Task("--task text", range(1), "bits_per_character", at_most=2.0),
}


def run(task: Task, seed: int, python: str) -> dict[str, Any]:
    """Train in a process of its own; return what it says of itself, and its seconds from start to end."""
    command = [python, "-m", "rnn_xp", "train", *task.options.split(), "--seed", str(seed), "--json"]
    start = time.perf_counter()
    process = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - start
    result = json.loads(process.stdout.splitlines()[-1])["result"]
    metrics = {name: value for name, value in result["metrics"].items() if isinstance(value, float)}
    return {
        "seed": seed,
        "seconds": seconds,
        "train_seconds": result["train_seconds"],
        "last_loss": result["losses"][-1],
        "metrics": metrics,
        **({"sample": result["sample"]} if "sample" in result else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--aeon-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()

    results: dict[str, Any] = {}
    for name in arguments.only:
        task = TASKS[name]
        runs = [
            run(task, seed, arguments.aeon_python if task.aeon else sys.executable) for seed in task.seeds
        ]
        figures = {
            task.metric: mean(each["metrics"][task.metric] for each in runs),
            "highest_last_loss": max(each["last_loss"] for each in runs),
            "seconds": mean(each["seconds"] for each in runs),
        }
        results[name] = {"command": f"rnn-xp train {task.options}".strip(), "mean": figures, "runs": runs}
        reached = figures[task.metric]
        if not task.at_least <= reached <= task.at_most:
            sys.exit(f"{name}: {task.metric} {reached:.4f} misses {task.at_least}..{task.at_most}")
        print(f"{name:16s} " + "  ".join(f"{key} {value:.4f}" for key, value in figures.items()), flush=True)
    write(arguments.out, "tasks", ["rnn_xp", "numpy"], {"tasks": results})


if __name__ == "__main__":
    main()
