"""What the tests of training share: data, a small classifier, and an optimiser that can be read and told."""

from __future__ import annotations

from typing import Any

import numpy as np

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import get_backend

NUMPY = get_backend("numpy", dtype="float64")
LENGTHS = [5, 2, 7, 1, 4, 6, 3]
N, T = len(LENGTHS), 7


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def classifier(per_step: bool = False) -> rx.Sequential:
    return rx.Sequential(
        rx.GRU(2, 3, bidirectional=True), *([] if per_step else [rx.LastStep()]), rx.Linear(6, 3)
    )


def train(model: rx.Sequential, X: Any, y: Any, **options: Any) -> Any:
    return rx.fit(model, X, y, **{"backend": NUMPY, "optimizer": rx.SGD(0.1), "verbose": False, **options})


def log_softmax(y: np.ndarray) -> np.ndarray:
    return y - np.log(np.exp(y).sum(axis=-1, keepdims=True))


def assert_near(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    """Compare trees; absolute, since all numbers here are of the order of 1."""
    for p, q in zip(tree.leaves(a), tree.leaves(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=0, atol=tolerance)


class Recorder:
    """An optimiser that notes every gradient, and puts the weights where it is told to."""

    lr = 0.25

    def __init__(self, plan: tuple[float, ...] = ()) -> None:
        self.seen: list[np.ndarray] = []
        self.rates: list[float | None] = []
        self.plan = plan

    def init(self, params: Any, *, xp: Any) -> Any:
        return ()

    def update(self, params: Any, grads: Any, state: Any, lr: Any = None, *, xp: Any) -> tuple[Any, Any]:
        self.seen.append(np.array(grads))
        self.rates.append(lr)
        step = len(self.seen) - 1
        return (np.full_like(params, self.plan[step]) if self.plan else params), state


X, CLASSES = draw(N, T, 2), np.arange(N) % 3

SCALE = rx.Sequential(rx.LastStep(), rx.Linear(1, 1, bias=False))
"""y = w x with one weight; where w = 0 and x = 1 the gradient of (y - i)^2 is -2 i: it tells the sample i."""
START = SCALE.init(NUMPY)
START[1].weight[...] = 0.0
