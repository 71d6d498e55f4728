"""What becomes of steps that are not finite: stop, skip, rollback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import NUMPY, SCALE, START, train

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.train.loop import policy

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


def test_a_rollback_names_the_place_by_the_weights_of_the_bad_step() -> None:
    """w x with squared error: the first step, of 1e30, sends w from 1 to -2e60, at which 1e100 overflows."""
    X = np.array([1e30, 1.0, 1e100, 1.0]).reshape(4, 1, 1)
    words = []
    for nonfinite in ("stop", "rollback"):
        with pytest.raises(FloatingPointError) as caught:
            run(X, nonfinite=nonfinite, optimizer=rx.SGD(1.0))
        words.append(str(caught.value))
    place = words[0].partition("weights: ")[2]
    assert "sample 2" in place
    assert words[1] == f"every step was undone by a rollback: {words[0]}"


def test_a_rollback_names_a_window_by_the_state_that_it_began_at() -> None:
    """The state grows at each step and overflows in the fourth window; another batch follows."""
    model = rx.Sequential(rx.RNN(1, 1, bias=False, nonlinearity="relu"), rx.Linear(1, 1, bias=False))
    params = tree.map(np.ones_like, model.init(NUMPY))
    params[0][0].weight_hh[...] = 1e55
    params[1].weight[...] = 1e-300
    X = np.zeros((2, 15, 1))
    X[0, 0] = 1e-290
    options = {"loss": "huber", "params": params, "optimizer": rx.SGD(0.0), "batch_size": 1, "shuffle": False}
    message = r"undone by a rollback: .* batch 1 of 2, window 4 of 5; .*RNN.* at step 11 of sample 0"
    with pytest.raises(FloatingPointError, match=message):
        train(model, X, np.zeros((2, 15)), truncate=(3, 3), nonfinite="rollback", **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False, "batch_size": 3},
        {"truncate": (2, 3)},
        {"truncate": 2, "accumulate": 2, "bucket": True},
        {"nonfinite": "rollback", "layout": "TNC"},
    ],
    ids=str,
)
def test_with_a_mask_the_step_is_the_one_of_the_data(options: dict[str, Any]) -> None:
    """The target of step 6 of sample 4, its third valid one, is too large to be squared."""
    mask = np.random.default_rng(0).random((6, 9)) < 0.6
    mask[4] = [False, True, False, False, True, False, True, True, False]
    X, y = np.ones((6, 9, 1)), np.zeros((6, 9))
    y[4, 6] = 1e200
    model = rx.Sequential(rx.RNN(1, 2), rx.Linear(2, 1))
    if options.get("layout") == "TNC":
        X, y, mask = X.swapaxes(0, 1), y.T, mask.T
    given = {"loss": "squared_error", "mask": mask, "batch_size": 2, **options}
    with pytest.raises(FloatingPointError, match=r"at step 6 of sample 4\b"):
        train(model, X, y, **given)
    if "layout" not in options:  # where a part of the sequences is held back, too
        held = [
            seed for seed in range(6) if _held_back(model, X, y, {**given, "validation": 0.3, "seed": seed})
        ]
        assert 0 < len(held) < 6


def _held_back(model: Any, X: np.ndarray, y: np.ndarray, options: dict[str, Any]) -> bool:
    """Train, and say whether it was the validation that failed."""
    with pytest.raises(
        FloatingPointError, match=r"at step 6 of sample 4\b|the validation loss is inf"
    ) as caught:
        train(model, X, y, **options)
    return str(caught.value).startswith("the validation loss")


def test_a_bad_batch_is_computed_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    describe = policy.describe
    monkeypatch.setattr(policy, "describe", lambda *given: calls.append(len(given[3])) or describe(*given))
    with pytest.raises(FloatingPointError, match="sample 4"):
        run(column(4, count=8), batch_size=2, accumulate=4)
    assert calls == [1, 1, 1]  # the two before it in the step, and itself


@pytest.mark.parametrize("nonfinite", ["stop", "skip", "rollback"])
def test_the_loss_of_an_epoch_of_finite_steps_is_finite(nonfinite: str) -> None:
    """In float32, of which the largest is 3.4e38: losses of 6.4e37, and weights of 1e38."""
    big = np.float32(8e18)
    given = {"backend": "numpy", "dtype": "float32", "nonfinite": nonfinite, "optimizer": rx.SGD(0.0)}
    given |= {"loss": "squared_error", "epochs": 1, "batch_size": 1, "verbose": False}
    X = np.ones((30, 1, 1))
    params = tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), START)
    for options in ({}, {"weights": np.full(30, 1e38)}, {"weights": np.linspace(1e300, 1e299, 30)}):
        result = rx.fit(SCALE, X, np.full(30, big), params=params, **given, **options)
        assert result.history[0]["loss"] == pytest.approx(float(big) ** 2, rel=1e-6)


def test_weights_that_are_no_numbers_are_refused_at_the_start() -> None:
    params = tree.map(np.ones_like, START)
    params[1].weight[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"`params` must be finite; got nan in 1\.weight, at index \(0, 0\)"):
        run(column(count=2), params=params)


@pytest.mark.parametrize(
    ("value", "error"),
    [("a", TypeError), (None, TypeError), (np.nan, ValueError), (np.inf, ValueError), ("1", TypeError)],
)
def test_what_a_schedule_may_return(value: Any, error: type[Exception], tmp_path: Path) -> None:
    def schedule(step: int) -> Any:
        return 1.0 if step < 2 else value

    message = rf"`schedule` must return a finite number for every step; got {value!r} for step 2\."
    with pytest.raises(error, match=message):
        run(column(count=4), schedule=schedule)
    with pytest.raises(error, match=message):
        run(column(count=4), schedule=schedule, checkpoint=tmp_path / "a")


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
