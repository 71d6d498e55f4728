"""Threads: what a second BLAS thread brings to whole trainings, and costs where another program runs too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tutorial as program

import rnn_xp as rx
from cpu_speed.session import Session
from cpu_speed.turns import Turn, in_turns

BUSY_TURNS = 3
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"

WHAT = (
    "Seconds of a training by rnn_xp with 1 and with 2 BLAS threads, in turns. alone: nothing else runs. "
    "busy: other programs keep all cores but one busy."
)


def run(session: Session, results: dict[str, Any]) -> None:
    """Measure small and large trainings with one thread and with two, in turns."""
    sizes = session.sizes
    data, file = rx.data.sign_of_sum(sizes.sequences, seed=0), session.folder / "threads.npz"
    np.savez(file, X=data.X, y=data.y, **program.draw_weights(0)._asdict())
    spec: dict[str, Any] = {"file": str(file), "epochs": max(1, sizes.epochs // 5)}
    jobs = {"the tutorial's job: RNN, T 10, B 1, D 1, H 32": ("tutorial", spec, "float32")}
    for shape, steps in sizes.fits:
        jobs[f"fit: LSTM, {shape}"] = ("fit", {**shape._asdict(), "steps": steps}, "fit")
    results["what"] = WHAT
    rows = results["points"] = []
    there = {threads: session.roster.call(["rnn_xp"], threads)["rnn_xp"] for threads in sizes.threads}
    for label, (job, spec, call) in session.each(jobs.items()):
        turns = {}
        for threads, contender in there.items():
            contender.ask("forget")
            contender.ask("prepare", job=job, spec=spec)
            turns[threads] = Turn(contender, call)
        row: dict[str, Any] = {"job": label, "alone": in_turns(turns, 0, sizes.repetitions, drop=1)}
        with busy(cores() - 1):
            row["busy"] = in_turns(turns, 0, min(BUSY_TURNS, sizes.repetitions))
        rows.append(row)
        for state in ("alone", "busy"):
            told = ", ".join(f"{threads}: {own['seconds']:.3f}" for threads, own in row[state].items())
            session.say(f"{label}, {state}: s by threads: {told}")


def cores() -> int:
    """Return how many cores there are for us."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
