"""Whole trainings through `fit`, 500 steps each, against PyTorch's (torch_answers/make_trajectories.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_answers.trajectories import (
    BATCH_SIZE,
    EPOCHS,
    KEPT,
    LENGTHS,
    OPTIMIZERS,
    PROBLEMS,
    STEPS,
    D,
    H,
    K,
    Problem,
    X,
)

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.train.loop.step import Stepper

ANSWERS = np.load(Path(__file__).parent / "torch_answers" / "trajectories.npz")
OURS = {
    "sgd": rx.SGD(0.02, momentum=0.9),
    "rmsprop": rx.RMSprop(0.002),
    "adam": rx.Adam(0.005),
    "adamw": rx.AdamW(0.01, beta1=0.8, beta2=0.99, weight_decay=0.1),
}
END = 1e-10  # after 500 steps; from weights one part in 1e15 off, PyTorch ends within 1e-13


def flat(params: Any) -> np.ndarray:
    """Return all weights in one row, in PyTorch's order, which is the tree's."""
    return np.concatenate([np.ravel(leaf) for leaf in tree.leaves(params)])


def trained(problem: Problem, optimizer: str, dtype: str, steps: list[tuple[float, float]]) -> np.ndarray:
    """Train with `fit`, which fills `steps`; return the weights after the epochs in KEPT."""
    layer: Any = getattr(rx, problem.layer)(D, H, **problem.options)
    model = rx.Sequential(layer, rx.LastStep(), rx.Linear(layer.output_size, K))
    X_padded = X.copy()
    for sample, length in enumerate(LENGTHS):
        X_padded[sample, length:] = np.nan
    rows = []

    def keep(epoch: rx.Epoch) -> None:
        if epoch.record["epoch"] in KEPT:
            rows.append(flat(epoch.params))

    first = model.init(rx.get_backend("numpy", dtype=dtype))
    result = rx.fit(
        model,
        X_padded,
        problem.target,
        loss=problem.loss,
        optimizer=OURS[optimizer],
        dtype=dtype,
        lengths=LENGTHS,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        shuffle=False,
        params=tree.unflatten(first, problem.weights),
        clip_norm=problem.clip_norm,
        callbacks=keep,
        verbose=False,
    )
    np.testing.assert_array_equal(flat(result.params), rows[-1])
    means = np.array([loss for loss, _ in steps]).reshape(EPOCHS, -1)
    sizes = np.minimum(BATCH_SIZE, len(X) - BATCH_SIZE * np.arange(means.shape[1]))
    told = [record["loss"] for record in result.history]
    np.testing.assert_allclose(told, means @ sizes / len(X), rtol=1e-6 if dtype == "float32" else 1e-12)
    return np.stack(rows)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Fill with loss and norm of every step that is made."""
    noted: list[tuple[float, float]] = []
    move = Stepper.move

    def noting(self: Stepper) -> Any:
        loss, norm = move(self)  # type: ignore[misc]
        noted.append((float(loss), float(norm)))
        return loss, norm

    monkeypatch.setattr(Stepper, "move", noting)
    return noted


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of a row relative to its norm."""
    assert actual.shape == expected.shape
    return max(np.linalg.norm(a - e) / np.linalg.norm(e) for a, e in zip(actual, expected, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_500_steps_equal_pytorchs(name: str, optimizer: str, steps: Any) -> None:
    weights = trained(PROBLEMS[name], optimizer, "float64", steps)
    losses, norms, expected = (
        ANSWERS[f"{name}.{optimizer}.{kind}"] for kind in ("losses", "norms", "weights")
    )
    assert weights.dtype == np.float64
    assert len(steps) == STEPS == 500
    assert error(weights, expected) <= END
    np.testing.assert_allclose([loss for loss, _ in steps], losses, rtol=END)
    np.testing.assert_allclose([norm for _, norm in steps], norms, rtol=END)
    assert np.linalg.norm(expected[-1] - flat(PROBLEMS[name].weights)) > 0.5, "nothing has moved"


@pytest.mark.parametrize(("name", "optimizer"), [("gru", "adam"), ("rnn", "sgd")])
def test_float32_stays_near(name: str, optimizer: str, steps: Any) -> None:
    """500 roundings of 6e-8, which add up as a walk does, and grow a little."""
    weights = trained(PROBLEMS[name], optimizer, "float32", steps)
    assert weights.dtype == np.float32
    assert error(weights, ANSWERS[f"{name}.{optimizer}.weights"]) <= 1e-5


def test_some_gradients_are_clipped_and_some_are_not() -> None:
    for name, problem in PROBLEMS.items():
        if problem.clip_norm is not None:
            norms = np.concatenate([ANSWERS[f"{name}.{optimizer}.norms"] for optimizer in OPTIMIZERS])
            assert 0.1 < (norms > problem.clip_norm).mean() < 0.9
