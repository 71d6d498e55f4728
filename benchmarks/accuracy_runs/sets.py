"""The data sets, as they lie in the wheel of aeon, and what a step of each sees."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

import rnn_xp as rx


class Task(NamedTuple):
    """What is told apart, and how many samples in a row are one step's input: chosen by `choice`."""

    title: str
    frame: int


TASKS = {
    "JapaneseVowels": Task("nine speakers", 2),
    "BasicMotions": Task("four motions", 2),
    "ItalyPowerDemand": Task("two seasons", 2),
    "GunPoint": Task("drawn or pointed", 6),
    "PickupGestureWiimoteZ": Task("ten gestures", 8),
    "ACSF1": Task("ten kinds of appliance", 20),
}


class Recipe(NamedTuple):
    """How every set is learnt, by both libraries: chosen by `choice`."""

    cell: str = "GRU"
    hidden: int = 64
    pool: str = "MaxPool"
    dropout: float = 0.2
    lr: float = 0.01
    batch_size: int = 16
    steps: int = 400

    def epochs(self, sequences: int) -> int:
        """Return how often so many sequences are gone through, for about the same number of steps."""
        return max(1, round(self.steps / -(-sequences // self.batch_size)))


def read(name: str) -> tuple[rx.data.Dataset, rx.data.Dataset]:
    """Return the archive's training and test part."""
    folder = Path(str(resources.files("aeon"))) / "datasets" / "data" / name
    return rx.data.load(folder / f"{name}_TRAIN.ts"), rx.data.load(folder / f"{name}_TEST.ts")


def framed(data: rx.data.Dataset, size: int) -> rx.data.Dataset:
    """Put so many samples into one step, the last step of a sequence filled up with zeros."""
    N, T, C = data.X.shape
    steps = -(-T // size)
    X = np.zeros((N, steps * size, C))
    X[:, :T] = data.X
    lengths = None if data.lengths is None else -(-data.lengths // size)
    return data._replace(X=X.reshape(N, steps, size * C), lengths=lengths, features=())


def scaled(train: rx.data.Dataset, test: rx.data.Dataset) -> tuple[rx.data.Dataset, rx.data.Dataset]:
    """Shift and divide the channels of both by what the training part says."""
    scaling = rx.data.fit_scaling(train.X.swapaxes(0, 1), train.lengths)
    return train._replace(X=scaling.apply(train.X)), test._replace(X=scaling.apply(test.X))


def part(data: rx.data.Dataset, rows: np.ndarray) -> rx.data.Dataset:
    """Return some of the sequences."""
    lengths = None if data.lengths is None else data.lengths[rows]
    assert data.y is not None
    return data._replace(X=data.X[rows], y=data.y[rows], lengths=lengths)
