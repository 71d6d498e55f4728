"""Kill trainings at random moments, go on with them, and compare what comes of it with a run left in peace.

    python benchmarks/kills.py [--kills 200] [--seed 0] [--jobs 2] [--out FILE]

Every training is a process of `rnn-xp train`, which SIGKILL ends at a moment drawn from its whole life: while
Python starts, data load, steps are taken or files are written. After every kill each file that is there must
be readable; what goes on must leave no temporary file, and at its end the model has the SHA-256 of one whose
training was never interrupted. The exit code is 1 where anything of this fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from record import write

import rnn_xp as rx

FILES = ("checkpoint.safetensors", "history.jsonl", "model.safetensors")
IN_A_ROW = 5
"""Kills of one training, at most, before it is let to its end."""

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(rx.__file__).parents[1]),
    "OMP_NUM_THREADS": "1",  # so many threads, so many processes: they would wait for one another
    "OPENBLAS_NUM_THREADS": "1",
}

TRAININGS = {
    "float32, shuffled, validation": (
        "--data ../data.npz --validation 0.2 --batch-size 8 --dropout 0.2 --hidden-size 32 --epochs 30 "
        "--schedule cosine --bucket --dtype float32"
    ),
    "float64, zoneout, every step": (
        "--data ../steps.npz --cell lstm --zoneout 0.1 --hidden-size 24 --batch-size 16 --accumulate 2 "
        "--epochs 25 --dtype float64"
    ),
    "truncated, float32": (
        "--data ../steps.npz --truncate 7,11 --batch-size 32 --hidden-size 24 --epochs 25 --dtype float32"
    ),
    "truncated, float64": (
        "--data ../steps.npz --cell lstm --truncate 5 --batch-size 64 --hidden-size 24 --epochs 20 "
        "--dtype float64 --optimizer sgd --lr 0.05 --momentum 0.9"
    ),
    "lanes, float32": (
        "--task text --data ../text --lanes 8 --window 16 --hidden-size 32 --embedding-size 8 --epochs 8 "
        "--dropout 0.1 --dtype float32"
    ),
    "lanes, float64": (
        "--task text --data ../text --lanes 4 --truncate 20,50 --hidden-size 24 --embedding-size 8 "
        "--epochs 5 --validation 0.1 --dtype float64"
    ),
}


def main() -> int:
    """Kill so often as was asked for; tell of it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), arguments.kills, arguments.seed)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(soak.in_peace, TRAININGS))
            list(pool.map(soak.work, range(arguments.jobs)))
    summary = soak.summary() | {"seed": arguments.seed, "seconds": round(time.monotonic() - begun, 1)}
    say("\n" + json.dumps(summary, indent=2) + "\n")
    write(arguments.out, "kills", ["rnn_xp", "numpy"], summary)
    return 1 if summary["failures"] or summary["kills"] < arguments.kills else 0


class Soak:
    """Trainings in a folder, and what became of them."""

    def __init__(self, folder: Path, kills: int, seed: int) -> None:
        self.folder, self.kills, self.seed = folder, kills, seed
        self.expected: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.killed: Counter[str] = Counter()  # by training
        self.moments: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.failures: list[str] = []
        self._lock = Lock()
        self._numbers = iter(range(10**9))
        write_data(folder)

    def in_peace(self, name: str) -> None:
        """Train without an interruption, and remember the model and the time that it took."""
        place = self.folder / f"peace-{list(TRAININGS).index(name)}"
        place.mkdir()
        begun = time.monotonic()
        process = start(place, name)
        err = process.communicate()[1]
        self.seconds[name] = time.monotonic() - begun
        if process.returncode:
            raise RuntimeError(f"{name}: {err}")
        self.expected[name] = digest(place / "run")
        say(f"{name}: {self.seconds[name]:.1f} s\n")

    def work(self, worker: int) -> None:
        """Begin one training after the other until there were kills enough."""
        moments = random.Random(f"{self.seed} {worker}")
        while self.left() > 0:
            with self._lock:
                number = next(self._numbers)
            self.life(number, list(TRAININGS)[number % len(TRAININGS)], moments)

    def left(self) -> int:
        """Return how many kills are still to come."""
        return self.kills - self.killed.total()

    def life(self, number: int, name: str, moments: random.Random) -> None:
        """Begin a training, kill it again and again, and let it come to its end."""
        place = self.folder / f"life-{number}"
        place.mkdir()
        for _ in range(IN_A_ROW):
            process = start(place, name)
            try:
                process.wait(timeout=moments.uniform(0.0, self.seconds[name]))
                break
            except subprocess.TimeoutExpired:
                process.kill()
            if process.wait() != -signal.SIGKILL:  # it ended just before
                break
            self.after_a_kill(name, place / "run")
        process = start(place, name)
        err = process.communicate()[1]
        with self._lock:
            self.ended[name] += 1
        left = sorted(os.listdir(place / "run"))
        if process.returncode:
            self.fail(f"{name}: exit code {process.returncode}: {err}")
        elif left != sorted(FILES):
            self.fail(f"{name}: in the end there are {left}")
        elif digest(place / "run") != self.expected[name]:
            self.fail(f"{name}: the model is another one")

    def after_a_kill(self, name: str, run: Path) -> None:
        """Look at what is left: every file must be whole."""
        names = os.listdir(run) if run.exists() else []
        for file in set(names) & {FILES[0], FILES[2]}:
            try:
                rx.read_extra(run / file)
            except Exception as error:
                self.fail(f"{name}: {file} after a kill: {error!r}")
        if any(file.endswith(".tmp") for file in names):
            moment = "while a file was written"
        else:
            moment = "between two files" if FILES[0] in names else "before the first checkpoint"
        with self._lock:
            self.moments[moment] += 1
            self.killed[name] += 1
        say(f"\r{self.killed.total()} of {self.kills} kills, {self.ended.total()} ends")

    def fail(self, words: str) -> None:
        """Remember what went wrong."""
        with self._lock:
            self.failures.append(words)
        say(f"\n{words}\n")

    def summary(self) -> dict[str, Any]:
        """Return all that is to be told."""
        trainings = {
            name: {
                "seconds": round(self.seconds[name], 2),
                "kills": self.killed[name],
                "ends": self.ended[name],
                "sha256": self.expected[name],
            }
            for name in TRAININGS
        }
        return {
            "kills": self.killed.total(),
            "moments": dict(self.moments),
            "ends": self.ended.total(),
            "failures": self.failures,
            "trainings": trainings,
        }


def table(record: dict[str, Any]) -> list[str]:
    """Return the README's lines."""
    writing = sum(count for moment, count in record["moments"].items() if moment.startswith("while"))
    failures = len(record["failures"])
    outcome = "every one ended with the bytes of the model of a training that nobody killed; no file was "
    outcome += "unreadable, and none was left over."
    if failures:
        outcome = f"{failures} failed."
    kinds = f"{len(record['trainings'])} kinds (both precisions; shuffled, bucketed, accumulated, truncated"
    return [
        f"Trainings of {kinds}, in lanes) were killed {record['kills']} times with SIGKILL, {writing} times "
        f"while a file was being written, and resumed: {outcome}"
    ]


def start(place: Path, name: str) -> subprocess.Popen[str]:
    """Begin a training in `place`, or go on with it, from the folder above, where it has a checkpoint."""
    resumed = (place / "run" / FILES[0]).exists()
    options = ["--resume", f"{place.name}/run"] if resumed else [*TRAININGS[name].split(), "--out", "run"]
    return subprocess.Popen(
        [sys.executable, "-m", "rnn_xp", "train", *options, "--save-every", "0.004"],
        cwd=place.parent if resumed else place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def say(text: str) -> None:
    """Write it now."""
    sys.stdout.write(text)
    sys.stdout.flush()


def digest(run: Path) -> str:
    """Return the SHA-256 of a model."""
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def write_data(folder: Path) -> None:
    """Write the files that trainings read."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((160, 24, 3))
    np.savez(folder / "data.npz", X=X, y=(X[:, 0, 0] > 0).astype(int), lengths=rng.integers(1, 25, 160))
    np.savez(folder / "steps.npz", X=X, y=(X[:, :, 0].cumsum(axis=1) > 0).astype(int))
    words = rng.choice(["the", "cat", "sat", "on", "a", "mat", "rat"], 2500)
    (folder / "text").write_text(" ".join(words))


if __name__ == "__main__":
    sys.exit(main())
