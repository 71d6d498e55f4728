"""Pointwise functions and losses against closed forms and Python's own arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support import ACROSS, EXACT, assert_close

from rnn_xp import functional
from rnn_xp.backend import Backend
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
