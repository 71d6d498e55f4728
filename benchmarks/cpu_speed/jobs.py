"""Whole jobs, the tutorial's and JapaneseVowels: loops in a process that is warm, and whole processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import tutorial as program

import rnn_xp as rx
from cpu_speed import vowels
from cpu_speed.contenders import KINDS, FailedError, environment
from cpu_speed.session import Session
from cpu_speed.turns import Turn, in_turns

TUTORIAL = {
    "tutorial's program": ("numpy", "program"),
    "rnn_xp": ("rnn_xp", "float32"),
    "rnn_xp float64": ("rnn_xp", "float64"),
    "rnn_xp_avx2": ("rnn_xp_avx2", "float32"),
    "torch": ("torch", "loop"),
    "jax, a jitted step a sequence": ("jax", "step"),
    "jax, a jitted scan an epoch": ("jax", "scan"),
}
VOWELS = {
    "rnn_xp": ("rnn_xp", "float32"),
    "rnn_xp_avx2": ("rnn_xp_avx2", "float32"),
    "torch": ("torch", "float32"),
}
"""Who does the job, by which of its calls."""

EXACT = 1e-9  # of the losses in float64, relative to the first
CLOSE = {"tutorial": 1e-3, "vowels": 1e-2}  # in float32; the longer, the further roundings grow


class Program:
    """A whole process for every turn, from start to last loss; it is asked as a contender is."""

    def __init__(self, name: str, job: str, call: str, spec: dict[str, Any]) -> None:
        module = [sys.executable, "-m", "cpu_speed.program", KINDS[name].library]
        self._command, self._environment = [*module, job, call, json.dumps(spec)], environment(name, 1)
        self._losses: list[float] = []

    def ask(self, do: str, **_: Any) -> Any:
        """Run it, or tell the losses of the last run."""
        if do == "result":
            return self._losses
        with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
            start, cpu = time.perf_counter(), children()
            process = subprocess.run(
                self._command,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                check=False,
            )
            seconds, cpu = time.perf_counter() - start, children() - cpu
            told.seek(0)
            if process.returncode:
                msg = f"{' '.join(self._command[1:5])} ended with exit code {process.returncode}: "
                raise FailedError(msg + " ".join(told.read().split())[-300:])
        self._losses = json.loads(process.stdout.splitlines()[-1])
        return {"seconds": seconds, "cpu": cpu}


def children() -> float:
    """Return the seconds of CPU that ended processes have used."""
    times = os.times()
    return times.children_user + times.children_system


def run(session: Session, results: dict[str, Any]) -> None:
    """Measure both jobs."""
    sizes = session.sizes
    data = rx.data.sign_of_sum(sizes.sequences, seed=0)
    file = session.folder / "tutorial.npz"
    np.savez(file, X=data.X, y=data.y, **program.draw_weights(0)._asdict())
    spec = {"file": str(file), "epochs": sizes.epochs}
    results["tutorial"] = measured(session, "tutorial", TUTORIAL, spec)

    try:
        vowels.write(session.folder / "vowels.npz", session.aeon_python)
    except FailedError as error:
        session.leave_out("JapaneseVowels", str(error))
        return
    spec = {"file": str(session.folder / "vowels.npz"), "epochs": sizes.vowels_epochs, **vowels.SETTINGS}
    results["vowels"] = measured(session, "vowels", VOWELS, spec)
    results["vowels"]["exact"] = exact(session)


def measured(
    session: Session, job: str, who: dict[str, tuple[str, str]], spec: dict[str, Any]
) -> dict[str, Any]:
    """Return the times of the loops alone and of whole processes, and the losses."""
    there = session.roster.call({name: None for name, _ in who.values()})
    who = {label: (name, call) for label, (name, call) in who.items() if name in there}
    for contender in there.values():
        contender.ask("forget")
        contender.ask("prepare", job=job, spec=spec)
    found: dict[str, Any] = {"spec": {name: value for name, value in spec.items() if name != "file"}}
    turns: dict[str, dict[str, Turn]] = {
        "loops": {label: Turn(there[name], call) for label, (name, call) in who.items()},
        "processes": {
            label: Turn(Program(name, job, call, spec), call) for label, (name, call) in who.items()
        },
    }
    for kind, own in turns.items():
        found[kind] = in_turns(own, 0, session.sizes.repetitions, drop=1)  # the first one fills caches
        losses = {label: turn.contender.ask("result", call=turn.call) for label, turn in own.items()}
        compare(losses, CLOSE[job], f"{job}, {kind}")
        told = ", ".join(f"{label} {times['seconds']:.3f}" for label, times in found[kind].items())
        session.say(f"{job}, {kind}: s: {told}")
    found["losses"] = losses
    found["difference"] = {
        label: difference(own, losses["rnn_xp"]) for label, own in losses.items() if label != "rnn_xp"
    }
    return found


def exact(session: Session) -> float | None:
    """Return how far the losses of JapaneseVowels are from PyTorch's in float64, where they must be equal."""
    there = session.roster.call(("rnn_xp", "torch"))
    if "torch" not in there:
        return None
    losses = {}
    for name, contender in there.items():
        contender.ask("block", call="float64")
        losses[name] = contender.ask("result", call="float64")
    compare(losses, EXACT, "vowels, float64")
    return difference(losses["torch"], losses["rnn_xp"])


def compare(losses: dict[str, list[float]], limit: float, what: str) -> None:
    """Raise where it is not the same job."""
    for label, own in losses.items():
        gap = difference(own, losses["rnn_xp"])
        if not gap <= limit:
            told = f"{gap:.1e} of the first (limit {limit:g})"
            msg = f"{what}: the losses of {label} differ from rnn_xp's by {told}"
            raise FailedError(msg)


def difference(losses: list[float], expected: list[float]) -> float:
    """Return the largest difference of an epoch's losses, relative to the first."""
    return float(np.max(np.abs(np.subtract(losses, expected))) / expected[0])
