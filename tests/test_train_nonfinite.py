"""What becomes of steps that are not finite: stop, skip, rollback."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from training import NUMPY, SCALE, START, train

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.train import policy

ONES = tree.map(np.ones_like, START)


def column(*bad: int, count: int) -> np.ndarray:
    """Return sequences of one step, 0.1 + i / 10, of which the square of some overflows."""
    X = (0.1 + np.arange(count) / 10).reshape(count, 1, 1)
    X[list(bad)] = 1e200
    return X


def run(X: np.ndarray, **options: Any) -> Any:
    """Train y = w x to give 0, a sequence a step, with an optimiser that has a state."""
    given = {"optimizer": rx.Adam(0.1), "params": ONES, "batch_size": 1, "shuffle": False, "epochs": 1}
    return train(SCALE, X, np.zeros(len(X)), loss="squared_error", **given | options)


def adam(steps: list[float], w: float = 1.0) -> float:
    """Return the weight after steps of Adam on (w x)^2 by a loop of its own."""
    m = v = 0.0
    for t, x in enumerate(steps, 1):
        g = 2 * w * x * x
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


def weight(result: Any) -> float:
    return float(result.params[1].weight[0, 0])


def test_the_loop_of_these_tests_is_that_of_fit() -> None:
    X = column(count=9)
    assert weight(run(X)) == pytest.approx(adam(list(X.ravel())), abs=1e-13)


def test_skip_leaves_out_a_step_of_weights_and_optimiser_alike() -> None:
    X = column(2, 5, count=9)
    result = run(X, nonfinite="skip")
    good = [x for x in X.ravel() if x < 1e9]
    assert weight(result) == pytest.approx(adam(good), abs=1e-13)
    (record,) = result.history
    assert record["skipped"] == 2
    losses = [(adam(good[:i]) * x) ** 2 for i, x in enumerate(good)]
    assert record["loss"] == pytest.approx(np.mean(losses), abs=1e-13)


def test_an_epoch_of_which_every_step_was_skipped_is_an_error() -> None:
    message = (
        r"every step was skipped: .* in epoch 1, at batch 3 of 3; it never reached the weights: .*sample 2"
    )
    with pytest.raises(FloatingPointError, match=message):
        run(column(0, 1, 2, count=3), nonfinite="skip")


def test_rollback_undoes_the_stretch_and_goes_on_with_the_next_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy.Rollback, "every", 3)
    X = column(4, 10, count=11)  # stretches 0-2, 3-5, 6-8, 9-10, of which the second and the last are undone
    result = run(X, nonfinite="rollback")
    good = list(X.ravel()[[0, 1, 2, 6, 7, 8]])
    assert weight(result) == pytest.approx(adam(good), abs=1e-13)
    (record,) = result.history
    assert record["rollbacks"] == 2
    losses = [(adam(good[:i]) * x) ** 2 for i, x in enumerate(good)]
    assert record["loss"] == pytest.approx(np.mean(losses), abs=1e-13)


def test_a_stretch_is_of_100_steps() -> None:
    X = column(150, count=250) / 100
    X[150] = 1e200
    kept = list(X.ravel()[:100]) + list(X.ravel()[200:])
    assert weight(run(X, nonfinite="rollback")) == pytest.approx(adam(kept), abs=1e-12)


def test_three_rollbacks_in_a_row_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy.Rollback, "every", 3)
    assert run(column(1, 4, 10, count=14), nonfinite="rollback").history[0]["rollbacks"] == 3
    message = r"3 rollbacks in a row: .* in epoch 1, at batch 9 of 14; .*sample 8"
    with pytest.raises(FloatingPointError, match=message):
        run(column(1, 4, 8, count=14), nonfinite="rollback")
    result = run(column(4, 6, count=11), nonfinite="rollback")  # twice to the same snapshot
    good = list(column(count=11).ravel()[[0, 1, 2, 9, 10]])
    losses = [(adam(good[:i]) * x) ** 2 for i, x in enumerate(good)]
    assert result.history[0]["loss"] == pytest.approx(np.mean(losses), abs=1e-13)
    twice = run(column(1, count=6), nonfinite="rollback", epochs=4)  # one in every epoch, never in a row
    assert [record["rollbacks"] for record in twice.history] == [1, 1, 1, 1]


def test_an_epoch_of_which_nothing_is_left_is_an_error() -> None:
    message = r"every step was undone by a rollback: .* in epoch 1, at batch 2 of 3; .*sample 1"
    with pytest.raises(FloatingPointError, match=message):
        run(column(1, count=3), nonfinite="rollback")


def test_stop_names_the_row_of_the_data_in_the_order_of_training() -> None:
    X = column(6, count=9)
    for options in (
        {"shuffle": True},
        {"batch_size": 2, "accumulate": 2},
        {"shuffle": True, "batch_size": 4},
    ):
        with pytest.raises(FloatingPointError, match=r"sample 6\b"):
            run(X, **options)
    words = set()
    for seed in range(5):  # where a share is held back, too; 6 may be of it
        with pytest.raises(FloatingPointError, match=r"sample 6\b|the validation loss is inf") as caught:
            run(X, validation=0.3, seed=seed)
        words.add(str(caught.value)[:8])
    assert len(words) == 2


def test_a_batch_that_weighs_nothing_does_not_count_in_the_place() -> None:
    weights = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    with pytest.raises(FloatingPointError, match="at batch 4 of 5; "):
        run(column(3, count=5), weights=weights)


def test_the_state_of_a_skipped_window_begins_anew() -> None:
    """A model that adds up its inputs, in windows of one step: the third one's loss overflows."""
    rnn = rx.RNN(1, 1, bias=False, nonlinearity="relu")
    model = rx.Sequential(rnn, rx.Linear(1, 1, bias=False))
    params = tree.map(np.ones_like, model.init(NUMPY))
    X = np.array([[1.0], [2.0], [1e200], [4.0], [5.0]])[None]
    options = {"loss": "squared_error", "params": params, "optimizer": rx.SGD(0.0), "epochs": 1}
    result = train(model, X, np.zeros((1, 5)), truncate=1, nonfinite="skip", **options)
    assert result.history[0]["skipped"] == 1
    assert result.history[0]["loss"] == pytest.approx(np.mean([1.0, 9.0, 16.0, 81.0]))


def test_a_window_is_named() -> None:
    model = rx.Sequential(rx.RNN(1, 1, bias=False, nonlinearity="relu"), rx.Linear(1, 1, bias=False))
    params = tree.map(np.ones_like, model.init(NUMPY))
    X = np.ones((2, 9, 1))
    X[1, 7] = 1e200
    options = {"loss": "squared_error", "params": params, "optimizer": rx.SGD(0.0), "shuffle": False}
    message = r"at batch 1 of 1, window 3 of 3; it never reached the weights: .* at step 7 of sample 1"
    with pytest.raises(FloatingPointError, match=message):
        train(model, X, np.zeros((2, 9)), truncate=(3, 4), **options)


def test_a_window_is_named_by_the_state_that_it_began_at() -> None:
    """The state grows at each step: it overflows in the fourth window, whose inputs are harmless."""
    model = rx.Sequential(rx.RNN(1, 1, bias=False, nonlinearity="relu"), rx.Linear(1, 1, bias=False))
    params = tree.map(np.ones_like, model.init(NUMPY))
    params[0][0].weight_hh[...] = 1e55
    params[1].weight[...] = 1e-300
    X = np.zeros((1, 15, 1))
    X[0, 0] = 1e-290
    options = {"loss": "huber", "params": params, "optimizer": rx.SGD(0.0)}
    with pytest.raises(FloatingPointError, match=r"window 4 of 5; .*RNN.* at step 11 of sample 0"):
        train(model, X, np.zeros((1, 15)), truncate=(3, 3), **options)


def test_what_nonfinite_may_be() -> None:
    with pytest.raises(
        ValueError, match="`nonfinite` must be one of 'stop', 'skip', 'rollback'; got 'raise'"
    ):
        run(column(count=2), nonfinite="raise")
