"""Pointwise functions and losses against closed forms and Python's own arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support import ACROSS, EXACT, assert_close

from rnn_xp import functional
from rnn_xp.backend import Backend
from rnn_xp.cells.activations import ACTIVATIONS, inside, resolve, slopes
from rnn_xp.model import LOSSES


def test_sigmoid(backend: Backend) -> None:
    values = [-1000.0, -30.0, -1.5, 0.0, 0.25, 1.0, 1000.0]
    expected = [0.0, *[1.0 / (1.0 + math.exp(-value)) for value in values[1:]]]
    with np.errstate(all="raise"):
        y = functional.sigmoid(backend.asarray(values), xp=backend.xp)
    assert_close(y, backend.asarray(expected), ACROSS)


def test_softmax(backend: Backend) -> None:
    rows = [[1.0, 2.0, 3.5], [-1000.0, 0.0, 1000.0], [1e6, 1e6, 1e6]]
    total = sum(math.exp(value) for value in rows[0])
    expected = [[math.exp(value) / total for value in rows[0]], [0.0, 0.0, 1.0], [1 / 3, 1 / 3, 1 / 3]]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        p = functional.softmax(backend.asarray(rows), xp=backend.xp)
    assert_close(p, backend.asarray(expected), ACROSS)


def test_one_hot(backend: Backend) -> None:
    hot = functional.one_hot(backend.asarray([[2, 0], [1, 3]]), 3, xp=backend.xp)
    expected = [[[False, False, True], [True, False, False]], [[False, True, False], [False, False, False]]]
    assert_close(hot, backend.asarray(expected), EXACT)


LOG_2 = math.log(2.0)
KNOWN = {  # outputs, target, loss, gradient
    "cross_entropy": [
        ([0.0, 0.0], 1, LOG_2, [0.5, -0.5]),
        ([math.log(3.0), 0.0], 0, math.log(4 / 3), [-0.25, 0.25]),
        ([1000.0, -1000.0], 0, 0.0, [0.0, 0.0]),
        ([1000.0, -1000.0], 1, 2000.0, [1.0, -1.0]),
        ([0.0, -math.inf], 0, 0.0, [0.0, 0.0]),
    ],
    "binary_cross_entropy": [
        ([0.0, 0.0], [0.0, 1.0], LOG_2, [0.25, -0.25]),
        ([math.log(3.0), 0.0], [1.0, 0.5], (math.log(4 / 3) + LOG_2) / 2, [-0.125, 0.0]),
        ([1000.0, -1000.0], [1.0, 0.0], 0.0, [0.0, 0.0]),
        ([1000.0, -1000.0], [0.0, 1.0], 1000.0, [0.5, -0.5]),
    ],
    "squared_error": [
        ([1.0, 5.0], [3.0, 5.0], 2.0, [-2.0, 0.0]),
        ([0.5, -1.0], [0.0, 1.0], 2.125, [0.5, -2.0]),
    ],
    "huber": [
        ([0.5, 0.0], [0.0, 0.0], 0.0625, [0.25, 0.0]),
        ([-3.0, 1.0], [0.0, 0.0], 1.5, [-0.5, 0.5]),
        ([1000.0, -0.25], [0.0, 0.25], 499.8125, [0.5, -0.25]),
    ],
}


@pytest.mark.parametrize(
    ("name", "row"),
    [(name, row) for name, rows in KNOWN.items() for row in rows],
    ids=lambda value: str(value)[:40],
)
def test_losses_in_closed_form(name: str, row: Any, backend: Backend) -> None:
    y, target, loss, d_y = row
    xp = backend.xp
    y, target = backend.asarray([[y]]), backend.asarray([[target]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        losses, kept = LOSSES[name].forward(y, target, xp=xp)
        answer = LOSSES[name].backward(backend.asarray([[1.0]]), kept, target, xp=xp)
        twice = LOSSES[name].backward(backend.asarray([[2.0]]), kept, target, xp=xp)
    assert_close(losses, backend.asarray([[loss]]), ACROSS)
    assert_close(answer, backend.asarray([[d_y]]), ACROSS)
    assert_close(twice, 2.0 * answer, EXACT)


def test_every_forward_has_its_backward() -> None:
    names = {name for name in vars(functional) if name.endswith(("_forward", "_backward"))}
    stems = {name.removesuffix("_forward") for name in names if name.endswith("_forward")}
    assert (
        stems
        == {name.removesuffix("_backward") for name in names if name.endswith("_backward")}
        == set(LOSSES)
    )
    for stem in stems:
        assert LOSSES[stem].forward is getattr(functional, f"{stem}_forward")
        assert LOSSES[stem].backward is getattr(functional, f"{stem}_backward")
    assert set(KNOWN) == set(LOSSES)


def test_probabilities_belong_to_the_losses() -> None:
    assert LOSSES["cross_entropy"].activation is functional.softmax
    assert LOSSES["binary_cross_entropy"].activation is functional.sigmoid
    assert [name for name in LOSSES if LOSSES[name].classes] == ["cross_entropy"]
    assert LOSSES["squared_error"].activation is None
    assert LOSSES["huber"].activation is None


ACTIVATED = {  # a formula, and its usual constants
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), ()),
    "tanh": (math.tanh, ()),
    "relu": (lambda x: max(x, 0.0), ()),
    "affine": (lambda x, alpha, beta: alpha * x + beta, (1.0, 0.0)),
    "leaky_relu": (lambda x, alpha: x if x > 0 else alpha * x, (0.01,)),
    "thresholded_relu": (lambda x, alpha: x if x > alpha else 0.0, (1.0,)),
    "scaled_tanh": (lambda x, alpha, beta: alpha * math.tanh(beta * x), (1.0, 1.0)),
    "hard_sigmoid": (lambda x, alpha, beta: max(0.0, min(1.0, alpha * x + beta)), (0.2, 0.5)),
    "elu": (lambda x, alpha: x if x > 0 else alpha * math.expm1(x), (1.0,)),
    "softsign": (lambda x: x / (1 + abs(x)), ()),
    "softplus": (lambda x: math.log1p(math.exp(x)), ()),
}


@pytest.mark.parametrize("clip", [None, 1.75])
@pytest.mark.parametrize("given", [0, 1, 2])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_in_closed_form(name: str, given: int, clip: float | None, backend: Backend) -> None:
    """With the first constants given and the others as usual."""
    formula, usual = ACTIVATED[name]
    own = (0.75, 1.5)[: min(given, len(usual))]
    constants = (*own, *usual[len(own) :])
    activation = resolve("activation", (name, *own), clip)
    values = [-30.0, -2.5, -1.5, -0.5, 0.0, 0.5, 0.875, 1.25, 1.875, 3.0, 30.0]
    inner = [value if clip is None else max(-clip, min(clip, value)) for value in values]
    y = activation(backend.asarray(values), xp=backend.xp)
    assert_close(y, backend.asarray([formula(value, *constants) for value in inner]), ACROSS)
    assert activation.spec == (name if constants == usual else (name, *constants))


@pytest.mark.parametrize("clip", [None, 1.75])
@pytest.mark.parametrize("constants", [(), (0.75, 1.5)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_of_activations(name: str, constants: tuple[float, ...], clip: float | None) -> None:
    """By the value, as a cell's derivative has them; on both sides of every kink."""
    formula, usual = ACTIVATED[name]
    own = constants[: len(usual)]
    activation = resolve("activation", (name, *own), clip)
    step, x = 1e-5, np.array([-4.0, -2.1, -1.25, -0.5, -0.25, 0.25, 0.5, 0.875, 1.25, 2.1, 4.0])

    def function(value: float) -> float:
        inner = value if clip is None else max(-clip, min(clip, value))
        return formula(inner, *own, *usual[len(own) :])

    expected = [(function(value + step) - function(value - step)) / (2 * step) for value in x]
    kept = [activation(x, xp=np), *inside(clip, [x], xp=np)]
    np.testing.assert_allclose(slopes([activation], kept, xp=np)(0), expected, rtol=0, atol=1e-8)


def test_every_activation_has_a_formula() -> None:
    assert set(ACTIVATED) == set(ACTIVATIONS)
