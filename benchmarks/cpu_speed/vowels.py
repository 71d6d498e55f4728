"""The data of JapaneseVowels, and the network's first weights, in a file that every program reads.

    python -m cpu_speed.vowels FILE

needs aeon, whose wheel has the data; it is asked to in a process of an interpreter that has it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import rnn_xp as rx
from cpu_speed.contenders import FailedError, environment

SETTINGS = {"batch": 16, "hidden": 64, "rate": 0.005}
"""Those of `rnn-xp train --task japanese-vowels`, without its dropout, whose masks no other library draws."""

MADE_UP = "made up"
"""In the place of an interpreter: sequences like them, for a dry run."""


def write(file: Path, python: str) -> None:
    """Write the file, by an interpreter that has aeon."""
    if python == MADE_UP:
        store(file, made_up())
        return
    command = [python, "-m", "cpu_speed.vowels", str(file)]
    try:
        process = subprocess.run(
            command, env=environment("rnn_xp", 1), capture_output=True, text=True, check=False
        )
    except OSError as error:
        msg = f"{python} cannot be run: {error.strerror}. See --aeon-python."
        raise FailedError(msg) from error
    if process.returncode:
        why = process.stderr.strip().splitlines()[-1]
        msg = f"{why} Name an interpreter that has aeon: --aeon-python."
        raise FailedError(msg)


def store(file: Path, train: rx.data.Dataset) -> None:
    """Store scaled sequences in an order of chance, and the weights of a GRU both ways and a linear layer."""
    assert train.y is not None
    assert train.lengths is not None
    rng = np.random.default_rng(0)
    order = rng.permutation(len(train.X))
    scaling = rx.data.fit_scaling(train.X.swapaxes(0, 1), train.lengths, train.features)
    X = scaling.apply(train.X)
    X *= (np.arange(X.shape[1]) < train.lengths[:, None])[:, :, None]
    D, H, classes = X.shape[2], SETTINGS["hidden"], int(train.y.max()) + 1

    def uniform(size: float, *shape: int) -> Any:
        return rng.uniform(-(size**-0.5), size**-0.5, shape)

    weights: dict[str, Any] = {}
    for way in ("", "_reverse"):
        for name, shape in {"ih": (3 * H, D), "hh": (3 * H, H)}.items():
            weights[f"gru.weight_{name}_l0{way}"] = uniform(H, *shape)
            weights[f"gru.bias_{name}_l0{way}"] = uniform(H, 3 * H)
    weights["linear.weight"] = uniform(2 * H, classes, 2 * H)
    weights["linear.bias"] = uniform(2 * H, classes)
    np.savez(file, X=X[order], y=train.y[order], lengths=train.lengths[order], **weights)


def made_up() -> rx.data.Dataset:
    """Return sequences of unequal length."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 6, 20)
    X = rng.standard_normal((20, 5, 3)) * (np.arange(5) < lengths[:, None])[:, :, None]
    return rx.data.Dataset(X, rng.integers(0, 3, 20), lengths, features=("a", "b", "c"))


if __name__ == "__main__":
    try:
        store(Path(sys.argv[1]), rx.data.japanese_vowels()[0])
    except ValueError as error:
        sys.exit(str(error))
