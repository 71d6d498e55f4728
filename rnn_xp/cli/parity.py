"""Whether an exported file answers as its model does: it is run where it belongs, in a Python of its own."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import rnn_xp as rx
from rnn_xp.cli import interrupt
from rnn_xp.cli.runs import About
from rnn_xp.model import LOSSES
from rnn_xp.typing import Tree

Host = NDArray[Any]

SEQUENCES, STEPS = 20, 24

PATIENCE = 300.0
"""Seconds until a file that gives no answer is given up."""

RUN = """
import importlib, runpy, sys
import numpy as np
given = np.load("given.npz")
X, lengths = given["X"], given["lengths"]
predict = runpy.run_path(sys.argv[1])["predict"]
if len(sys.argv) > 3:  # sequences of one length: one at a time
    answers = [predict(x[None, :end])[0] for x, end in zip(X, lengths)]
else:
    answers = list(predict(X, lengths))
version = importlib.import_module(sys.argv[2]).__version__
np.savez("answers.npz", *answers, version=version)
"""


class Verdict(NamedTuple):
    """How far the answers are from those of the model; or why that is not known."""

    difference: float | None
    tolerance: float
    words: str

    @property
    def is_too_far(self) -> bool:
        """Whether the file is wrong."""
        return self.difference is not None and not self.difference <= self.tolerance


class Runtime(NamedTuple):
    """What runs an exported file."""

    module: str
    name: str
    tolerance: float  # of outputs of about 1
    padded: bool = True  # whether it takes lengths
    must_run: bool = False  # whether a file that it cannot run is wrong; others lack this or that operator


def check(
    folder: Path,
    code: str,
    runtime: Runtime,
    model: rx.Sequential,
    params: Tree,
    about: About,
    *,
    layout: str = "NTC",
) -> Verdict:
    """Compare the answers to random sequences; `code`, in the folder of the file, has a function predict."""
    if find_spec(runtime.module) is None:
        words = f"not checked: {runtime.module} is not installed: pip install {runtime.module}"
        return Verdict(None, 0.0, words)
    X, lengths = _sequences(model, about)
    scaled = X if about.scaling is None else about.scaling.apply(X)
    outputs = rx.predict(model, params, scaled, lengths=lengths, loss=about.loss)
    steps = outputs.ndim == 3
    expected = [own[:end] if steps else own for own, end in zip(outputs, lengths, strict=True)]
    np.savez(folder / "given.npz", X=_in_layout(X, layout), lengths=lengths)
    (folder / "run.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-c", RUN, "run.py", runtime.module, *["one"] * (not runtime.padded)]
    why = _failure(command, folder)
    if why is not None:
        words = f"{runtime.name} cannot run it: {why}"
        if runtime.must_run:
            return Verdict(math.inf, 0.0, words)
        return Verdict(None, 0.0, f"not checked: {words}")
    with np.load(folder / "answers.npz") as found:
        version = str(found["version"])
        answers = [found[f"arr_{i}"] for i in range(SEQUENCES)]
    gaps = [_gap(own, other[: len(own)]) for own, other in zip(expected, answers, strict=True)]
    difference = float(np.max(gaps))
    what = "outputs" if LOSSES[about.loss].activation is None else "probabilities"
    same = all(
        own.tobytes() == other[: len(own)].tobytes() for own, other in zip(expected, answers, strict=True)
    )
    how_far = "0, every bit the same, in" if same else f"{difference:.1e}, the largest difference of"
    words = f"{how_far} {what} on {SEQUENCES} random sequences"
    scale = max(1.0, float(max(np.max(np.abs(own), initial=0) for own in expected)))
    return Verdict(difference, runtime.tolerance * scale, f"{words}, {runtime.name} {version}")


def _failure(command: list[str], folder: Path) -> str | None:
    """Run a command, and return why it failed, if it did; it ends when we do, and leaves nothing behind."""
    where: dict[str, Any] = {"cwd": folder, "env": {**os.environ, "TMPDIR": str(folder)}}
    with (
        subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, **where) as process,
        interrupt.undoing(process.kill),
    ):
        try:
            _, told = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return f"it gives no answer within {PATIENCE:g} seconds"
        finally:
            process.kill()
    return (told.strip().splitlines() or ["it failed"])[-1] if process.returncode else None


def _sequences(model: rx.Sequential, about: About) -> tuple[Host, Host]:
    """Draw sequences of unequal length, (N, T, C) like those of the training, or tokens (N, T)."""
    rng = np.random.default_rng(0)
    kind, size, _ = model.intake
    lengths = rng.integers(1, STEPS + 1, SEQUENCES)
    if kind == "tokens":
        return rng.integers(0, size or 1, (SEQUENCES, STEPS)), lengths
    X = rng.standard_normal((SEQUENCES, STEPS, size or 1))
    return (X if about.scaling is None else X * about.scaling.std + about.scaling.mean), lengths


def _in_layout(X: Host, layout: str) -> Host:
    """Return X (N, T, C) or tokens (N, T) with its axes in the order of `layout`."""
    axes = "NTC"[: X.ndim]
    return X.transpose([axes.index(axis) for axis in layout if axis in axes])


def _gap(own: Host, other: Host) -> float:
    """Return the largest difference; infinity where something is not finite, or missing."""
    if own.shape != other.shape or not np.isfinite(other).all():
        return float("inf")
    return float(np.max(np.abs(own.astype(np.float64) - other), initial=0.0))
