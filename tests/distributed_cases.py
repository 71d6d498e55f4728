"""Trainings that several ranks share, for threads as ranks and for MPI: of every way to take a step."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import by_hand
import numpy as np

import rnn_xp as rx
from rnn_xp import tree

N, T = 23, 13


class Case(NamedTuple):
    """The arguments of a training."""

    model: rx.Sequential
    X: Any
    y: Any
    along: dict[str, Any]  # arguments with a row for each sequence
    options: dict[str, Any]

    def fit(self, **more: Any) -> Any:
        return rx.fit(self.model, self.X, self.y, **self.along, **(self.options | more))


def draws() -> np.random.Generator:
    return np.random.default_rng(0)


def lengths() -> np.ndarray:
    """Return lengths of which one is T, and some are 0."""
    rng = np.random.default_rng(1)
    return rng.permutation(np.r_[T, 0, 0, rng.integers(1, T, N - 3)])


def options(**more: Any) -> dict[str, Any]:
    """Return the options of 200 steps, four an epoch."""
    given = {"optimizer": rx.Adam(0.01), "dtype": "float64", "verbose": False, "seed": 3}
    return {**given, "epochs": 50, "batch_size": 6, **more}


def last(folder: Path) -> Case:
    """Classes, one a sequence: both directions, two levels, dropout, weights, clipped."""
    rng = draws()
    model = rx.Sequential(
        rx.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.3), rx.LastStep(), rx.Linear(8, 3)
    )
    along = {"lengths": lengths(), "weights": rng.uniform(0, 2, N)}
    return Case(model, rng.standard_normal((N, T, 3)), rng.integers(0, 3, N), along, options(clip_norm=0.5))


def steps(folder: Path) -> Case:
    """Classes, one a step, each with a weight."""
    rng = draws()
    model = rx.Sequential(rx.GRU(3, 5, num_layers=2, dropout=0.2), rx.Linear(5, 3))
    along = {"lengths": lengths(), "weights": rng.uniform(0, 2, (N, T))}
    return Case(model, rng.standard_normal((N, T, 3)), rng.integers(0, 3, (N, T)), along, options())


def masked(folder: Path) -> Case:
    """Numbers, one a step, where a mask has holes and rows hold several sequences."""
    rng = draws()
    mask = rng.random((N, T)) < 0.7
    mask[0] = False
    along = {"mask": mask, "reset": rng.random((N, T)) < 0.2}
    model = rx.Sequential(rx.RNN(2, 4), rx.Linear(4, 2))
    given = options(loss="squared_error", schedule=rx.schedules.cosine(200))
    return Case(model, rng.standard_normal((N, T, 2)), rng.standard_normal((N, T, 2)), along, given)


def windows(folder: Path) -> Case:
    """Truncated back-propagation of `steps`: some sequences end before the last window."""
    return steps(folder)._replace(options=options(truncate=(4, 6), epochs=13))


def windows_last(folder: Path) -> Case:
    """Truncated back-propagation where the loss is at the end of each sequence."""
    rng = draws()
    model = rx.Sequential(rx.LSTM(3, 4, dropout=0.0), rx.LastStep(), rx.Dropout(0.2), rx.Linear(4, 3))
    given = options(truncate=(4, 4), epochs=13)
    return Case(model, rng.standard_normal((N, T, 3)), rng.integers(0, 3, N), {"lengths": lengths()}, given)


LANES, LONG = 7, 29
LANE_OPTIONS = {"batch_size": 3, "truncate": (5, 7), "epochs": 12}  # 6 windows of 3 batches


def language_model() -> rx.Sequential:
    return rx.Sequential(rx.Embedding(6, 3), rx.GRU(3, 5, dropout=0.0), rx.Dropout(0.2), rx.Linear(5, 6))


def corpus() -> np.ndarray:
    return draws().integers(0, 6, LANES * LONG + 1)


def text(folder: Path) -> Case:
    """Lanes of a text in memory, with ends of documents."""
    lanes = rx.data.Lanes(corpus(), LANES, reset_at=0)
    return Case(language_model(), lanes, None, {}, options(**LANE_OPTIONS))


def memmap(folder: Path) -> Case:
    """Lanes of a text on a disk."""
    return text(folder)._replace(X=rx.data.Lanes(on_disk(corpus(), folder, "whole"), LANES))


def on_disk(tokens: np.ndarray, folder: Path, name: str) -> np.ndarray:
    """Return a memmap of tokens, whose file is written where it is not there."""
    path = folder / f"{name}.npy"
    if not path.exists():
        part = folder / f"{name}.{np.random.default_rng().integers(2**63)}.npy"
        np.save(part, tokens.astype(np.uint16))
        part.replace(path)
    return np.load(path, mmap_mode="r")


def accumulated(folder: Path) -> Case:
    """Steps of three batches, without shuffling."""
    given = options(batch_size=2, accumulate=3, shuffle=False, optimizer=rx.SGD(0.02, momentum=0.9))
    return last(folder)._replace(options=given)


def bucketed(folder: Path) -> Case:
    """Batches of similar lengths."""
    return last(folder)._replace(options=options(bucket=True, clip_value=0.01))


def words(folder: Path) -> Case:
    """A list of unequal rows of tokens, several labels each."""
    rng = draws()
    rows = [rng.integers(0, 9, n) for n in rng.integers(1, T, N)]
    model = rx.Sequential(rx.Embedding(9, 4), rx.GRU(4, 3, bidirectional=True), rx.MaxPool(), rx.Linear(6, 2))
    given = options(loss="binary_cross_entropy")
    return Case(model, rows, rng.integers(0, 2, (N, 2)).astype(float), {}, given)


def skipped(folder: Path) -> Case:
    """Steps that are left out, since the square of an error overflows."""
    case = masked(folder)
    y = case.y.copy()
    y[5] = 1e200
    return case._replace(y=y, along={}, options=options(loss="squared_error", nonfinite="skip"))


def rolled_back(folder: Path) -> Case:
    """Stretches of 100 steps that are undone, of epochs of 120."""
    rng = draws()
    y = rng.standard_normal((240, 1))
    y[17] = 1e200
    model = rx.Sequential(rx.RNN(2, 3), rx.LastStep(), rx.Linear(3, 1))
    given = options(batch_size=2, epochs=2, loss="squared_error", nonfinite="rollback")
    return Case(model, rng.standard_normal((240, 4, 2)), y, {}, given)


CASES: dict[str, Callable[[Path], Case]] = {
    make.__name__: make
    for make in (
        *(last, steps, masked, windows, windows_last, text, memmap),
        *(accumulated, bucketed, words, skipped, rolled_back),
    )
}


def cuts(count: int, size: int) -> list[int]:
    """Return where the parts of `size` ranks begin, as chance has it, and where the last one ends."""
    inner = np.random.default_rng(size).choice(np.arange(1, count), size - 1, replace=False)
    return [0, *np.sort(inner).tolist(), count]


def part(case: Case, rank: int, size: int, folder: Path) -> Case:
    """Return what a rank has where each has a part of its own."""
    if isinstance(case.X, rx.data.Lanes):
        low, high = cuts(case.X.count, size)[rank : rank + 2]
        tokens = case.X.tokens[low * case.X.steps : high * case.X.steps + 1]
        if isinstance(case.X.tokens.base, np.memmap):
            tokens = on_disk(tokens, folder, f"part{rank}of{size}")
        return case._replace(X=rx.data.Lanes(tokens, high - low, reset_at=case.X.reset_at))
    low, high = cuts(len(case.X), size)[rank : rank + 2]
    own = slice(low, high)
    along = {name: value[own] for name, value in case.along.items()}
    return case._replace(X=case.X[own], y=case.y[own], along=along)


def flat(result: Any) -> np.ndarray:
    """Return all weights."""
    return np.concatenate([np.ravel(leaf) for leaf in tree.leaves(result.params)])


def standing(checkpoint: Path) -> dict[str, int]:
    """Return where in a training a checkpoint stands."""
    header = checkpoint.read_bytes()[:2_000_000].decode("latin-1").replace("\\", "")
    found = {name: re.search(rf'"{name}": ?"?(\d+)', header) for name in ("epoch", "batch", "window")}
    return {name: int(own[1]) for name, own in found.items() if own}


def digest(result: Any) -> str:
    return hashlib.sha256(flat(result).tobytes()).hexdigest()


TIMED = ("seconds", "sequences_per_second")


def table(result: Any) -> np.ndarray:
    """Return what the history says, without what the clock does."""
    return np.array([[own[name] for name in own if name not in TIMED] for own in result.history], float)


def hand(folder: Path) -> Case:
    """What `by_hand` trains."""
    X, y, lengths, weights = by_hand.data()
    model = rx.Sequential(rx.RNN(by_hand.C, by_hand.H), rx.LastStep(), rx.Linear(by_hand.H, by_hand.K))
    like = model.init(rx.get_backend("numpy", dtype="float64"))
    given = {
        "loss": "squared_error",
        "optimizer": rx.SGD(by_hand.LR),
        "batch_size": by_hand.BATCH,
        "epochs": by_hand.EPOCHS,
        "params": tree.unflatten(like, by_hand.start()),
        "shuffle": False,
    }
    return Case(model, X, y, {"lengths": lengths, "weights": weights}, options(**given))
