"""The options of fit: order, seeds, clipping, stopping, callbacks, and numbers that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from training import (
    NUMPY,
    SCALE,
    START,
    N,
    Recorder,
    T,
    assert_near,
    classifier,
    draw,
    train,
)

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import get_backend


def order_of_training(count: int, **options: Any) -> list[int]:
    recorder = Recorder()
    y = np.arange(count, dtype=float)
    options = {"optimizer": recorder, "loss": "squared_error", "params": START, "batch_size": 1, **options}
    train(SCALE, np.ones((count, 1, 1)), y, **options)
    return [round(float(gradient[0]) / -2) for gradient in recorder.seen]


# --- order, seeds, options


def test_an_epoch_sees_every_sequence_once_in_an_order_of_its_own() -> None:
    order = order_of_training(8, epochs=2, seed=3)
    assert sorted(order[:8]) == sorted(order[8:]) == list(range(8))
    assert order[:8] != order[8:]
    assert order_of_training(8, epochs=1, seed=3) == order[:8]
    assert order_of_training(8, epochs=1, seed=4) != order[:8]
    assert order_of_training(8, epochs=2, shuffle=False) == [*range(8), *range(8)]


def test_the_split_holds_back_its_share_by_the_seed() -> None:
    orders = [order_of_training(8, epochs=2, validation=0.25, seed=seed) for seed in (0, 0, 1)]
    assert orders[0] == orders[1]
    trained = [set(order) for order in orders]
    assert [len(part) for part in trained] == [6, 6, 6]
    assert sorted(orders[0][:6]) == sorted(orders[0][6:])
    assert trained[0] != trained[2]
    assert len(set(order_of_training(8, epochs=1, validation=0.01))) == 7


def test_a_seed_is_the_whole_of_a_run() -> None:
    model = rx.Sequential(
        rx.LSTM(2, 3, num_layers=2, dropout=0.5), rx.LastStep(), rx.Dropout(0.5), rx.Linear(3, 3)
    )
    X, y = draw(N, T, 2), np.arange(N) % 3
    runs = [train(model, X, y, seed=seed, batch_size=2).params for seed in (0, 0, 1)]
    assert_near(runs[0], runs[1], 0.0)
    assert not np.allclose(runs[0][0][0].weight_hh, runs[2][0][0].weight_hh)
    start = model.init(NUMPY)
    dropped = [train(model, X, y, params=start, seed=seed, shuffle=False).params for seed in (0, 1)]
    assert not np.allclose(dropped[0][0][0].weight_hh, dropped[1][0][0].weight_hh)


def test_training_goes_on_from_given_weights_which_stay_as_they_are() -> None:
    model, X, y = classifier(), draw(N, T, 2), np.arange(N) % 3
    start = model.init(NUMPY)
    kept = tree.map(np.array, start)
    whole = train(model, X, y, params=start, shuffle=False, epochs=3)
    half = train(model, X, y, params=start, shuffle=False, epochs=1)
    assert_near(train(model, X, y, params=half.params, shuffle=False, epochs=2).params, whole.params, 0.0)
    assert_near(start, kept, 0.0)


@pytest.mark.parametrize("name", ["clip_norm", "clip_value"])
def test_gradients_are_clipped(name: str) -> None:
    recorder = Recorder()
    options = {"optimizer": recorder, "loss": "squared_error", "params": START, "shuffle": False, name: 3.0}
    result = train(SCALE, np.ones((3, 1, 1)), np.array([1.0, 2.0, -5.0]), batch_size=1, epochs=1, **options)
    np.testing.assert_allclose(np.ravel(recorder.seen), [-2.0, -3.0, 3.0], rtol=1e-5)
    assert result.history[0]["gradient_norm"] == pytest.approx((2 + 4 + 10) / 3)  # before clipping


def test_a_schedule_scales_the_rate_of_every_step() -> None:
    recorder = Recorder()
    options = {
        "optimizer": recorder,
        "loss": "squared_error",
        "params": START,
        "schedule": lambda step: 0.5**step,
    }
    result = train(SCALE, np.ones((2, 1, 1)), np.ones(2), batch_size=1, epochs=2, **options)
    assert recorder.rates == [0.25, 0.125, 0.0625, 0.03125]
    assert [record["lr"] for record in result.history] == [0.25, 0.0625]


def test_defaults_are_float32_and_adam() -> None:
    model, X, y = classifier(), draw(N, T, 2), np.arange(N) % 3
    result = rx.fit(model, X, y, backend="numpy", verbose=False)
    same = rx.fit(model, X, y, backend="numpy", verbose=False, optimizer=rx.Adam(1e-3), dtype="float32")
    assert len(result.history) == 10
    assert {leaf.dtype for leaf in tree.leaves(result.params)} == {np.dtype("float32")}
    assert_near(result.params, same.params, 0.0)


def test_what_the_history_says() -> None:
    model, X, y = classifier(), draw(N, T, 2), np.arange(N) % 3
    result = train(model, X, y, epochs=3, validation=(X, y))
    for number, record in enumerate(result.history, 1):
        assert list(record) == [
            *("epoch", "loss", "gradient_norm", "lr", "seconds", "sequences_per_second"),
            *("val_loss", "val_accuracy"),
        ]
        assert record["epoch"] == number
        assert record["sequences_per_second"] == pytest.approx(N / record["seconds"])
        assert all(type(value) in (int, float) for value in record.values())
    assert result.train_seconds == pytest.approx(sum(record["seconds"] for record in result.history))


# --- stopping


def planned(plan: tuple[float, ...], **options: Any) -> Any:
    """Train with the weight at plan[epoch - 1] after each epoch; the validation loss is (weight - 1)^2."""
    one = np.ones((1, 1, 1))
    options = {"validation": (one, [1.0]), **options}
    return train(
        SCALE,
        one,
        [1.0],
        loss="squared_error",
        optimizer=Recorder(plan),
        params=START,
        epochs=len(plan),
        **options,
    )


def test_the_best_epoch_is_kept() -> None:
    result = planned((0.5, 0.9, 1.4, 0.89))
    history = [(record["val_loss"], record["val_mean_absolute_error"]) for record in result.history]
    expected = [(0.25, 0.5), (0.01, 0.1), (0.16, 0.4), (0.0121, 0.11)]
    assert history == [pytest.approx(pair) for pair in expected]
    assert (result.best_epoch, float(result.params[1].weight[0, 0])) == (2, 0.9)
    assert planned((0.5, 0.75, 1.25)).best_epoch == 2  # of equal ones the first


def test_patience_stops_after_so_many_epochs_without_a_better_one() -> None:
    result = planned((0.5, 0.9, 1.4, 0.8, 1.0), patience=2)
    assert [record["epoch"] for record in result.history] == [1, 2, 3, 4]
    assert (result.best_epoch, float(result.params[1].weight[0, 0])) == (2, 0.9)
    assert len(planned((0.5, 0.4, 0.9, 0.8, 1.0), patience=2).history) == 5


def test_patience_without_validation_looks_at_the_loss() -> None:
    """The loss of an epoch is that before its steps: weights 0, 0.5, 0.2, 0.3."""
    result = planned((0.5, 0.2, 0.3, 1.0), patience=2, validation=None)
    assert [record["loss"] for record in result.history] == pytest.approx([1.0, 0.25, 0.64, 0.49])
    assert (result.best_epoch, float(result.params[1].weight[0, 0])) == (2, 0.2)


def test_without_validation_the_last_epoch_is_returned() -> None:
    result = planned((0.5, 0.9, 1.4), validation=None)
    assert (result.best_epoch, float(result.params[1].weight[0, 0])) == (3, 1.4)


def test_callbacks_are_told_everything_and_may_end_the_training() -> None:
    told: list[rx.Epoch] = []

    def callback(epoch: rx.Epoch) -> Any:
        told.append(epoch)
        weight = float(epoch.params[1].weight[0, 0])
        epoch.params[1].weight[...] = np.nan  # a copy
        return np.True_ if weight >= 1.4 else [None, False, 0, ""][len(told) % 4]

    result = planned((0.5, 0.9, 1.4, 0.8), callbacks=[callback])
    assert [epoch.record for epoch in told] == result.history
    assert [epoch.best for epoch in told] == [True, True, False]
    assert float(result.params[1].weight[0, 0]) == 0.9


def test_a_callback_alone() -> None:
    assert len(planned((0.5, 0.9, 1.4), callbacks=lambda epoch: epoch.record["epoch"] == 2).history) == 2


# --- validation


def test_weights_count_in_the_validation_loss() -> None:
    """Of held back sequences as of a set of its own; w = 0 there, so that the loss of y is y^2."""
    X, y, weights = np.ones((4, 1, 1)), np.arange(1.0, 5.0), np.array([1.0, 2.0, 4.0, 8.0])
    options = {"loss": "squared_error", "optimizer": Recorder(), "params": START, "epochs": 1}

    def val_loss(validation: Any, **more: Any) -> float:
        return float(train(SCALE, X, y, validation=validation, **more, **options).history[0]["val_loss"])

    whole = (X, y, None, weights)
    assert val_loss(whole) == val_loss(list(whole)) == pytest.approx((1 + 8 + 36 + 128) / 15)
    assert val_loss((X, y)) == pytest.approx(7.5)
    seen = train(SCALE, X, y, validation=0.5, weights=weights, batch_size=1, shuffle=False, **options)
    trained = [
        i for i in range(4) if any(abs(g[0] + 2 * y[i]) < 1e-9 for g in options["optimizer"].seen[-2:])
    ]
    held = [i for i in range(4) if i not in trained]
    assert len(held) == 2
    expected = sum(weights[i] * y[i] ** 2 for i in held) / sum(weights[i] for i in held)
    assert seen.history[0]["val_loss"] == pytest.approx(expected)


@pytest.mark.parametrize("layout", ["NTC", "TNC"])
def test_a_data_set_as_validation(layout: str) -> None:
    """Its X is (N, T, C) whatever the layout of the training data."""
    X, y, lengths = draw(N, T, 2), np.arange(N) % 3, np.array([5, 2, 7, 1, 4, 6, 3])
    turned = X if layout == "NTC" else X.swapaxes(0, 1)
    held = rx.data.Dataset(X, y, lengths, ("a", "b", "c"), ("u", "v"))
    result = train(classifier(), turned, y, layout=layout, validation=held, epochs=1)
    scores = rx.evaluate(classifier(), result.params, X, y, lengths=lengths)
    assert result.history[0]["val_loss"] == pytest.approx(scores["loss"], abs=1e-12)


def test_a_validation_loss_that_is_not_finite_is_told(recwarn: pytest.WarningsRecorder) -> None:
    held = (np.full((1, 1, 1), 1e200), [1.0])
    with pytest.raises(FloatingPointError, match="the validation loss is inf after epoch 2"):
        planned((0.0, 0.5, 0.2), validation=held)
    assert not recwarn.list


def test_a_list_of_targets_a_step_is_padded_as_its_sequences_are() -> None:
    model, lengths = classifier(per_step=True), [3, 1, 2]
    X, start = [draw(length, 2, seed=length) for length in lengths], model.init(NUMPY)
    y = [np.arange(length) % 3 for length in lengths]
    padded = np.zeros((3, 3), dtype=int)
    for row, labels in zip(padded, y, strict=True):
        row[: len(labels)] = labels
    expected = train(model, rx.data.pad(X)[0], padded, lengths=lengths, params=start, epochs=1)
    assert_near(train(model, X, y, params=start, epochs=1).params, expected.params, 0.0)


# --- numbers that are none


@pytest.mark.parametrize("loud", [False, True])
def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_batch(
    loud: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_xp.train.loop.progress.Progress.due", lambda self: loud)
    X, y = np.ones((6, 1, 1)), np.zeros(6)
    X[4] = 1e200  # its square overflows
    start = tree.map(np.ones_like, START)
    kept: list[Any] = []
    message = (
        r"stopped being finite in epoch 1, at batch 3 of 3; .*Lower the learning rate, or clip the gradient"
    )
    with pytest.raises(FloatingPointError, match=message):
        train(
            SCALE,
            X,
            y,
            params=start,
            loss="squared_error",
            batch_size=2,
            shuffle=False,
            callbacks=[kept.append],
        )
    assert kept == []


def test_a_wild_rate_is_told_and_no_epoch_before_it_has_other_than_numbers() -> None:
    model = rx.Sequential(rx.RNN(2, 4, nonlinearity="relu"), rx.LastStep(), rx.Linear(4, 1))
    single, kept = get_backend("numpy"), []
    options = {"optimizer": rx.SGD(1e12), "backend": single, "callbacks": [kept.append], "epochs": 20}
    with pytest.raises(FloatingPointError, match=r"stopped being finite in epoch 2, at batch 1 of 1;"):
        train(model, draw(N, T, 2), draw(N), loss="squared_error", **options)
    assert len(kept) == 1
    assert all(np.isfinite(leaf).all() for leaf in tree.leaves(kept[0].params))


def test_a_bad_step_and_all_after_it_leave_weights_and_optimiser_alone() -> None:
    from rnn_xp.model import LOSSES
    from rnn_xp.train.feed.batches import Batches
    from rnn_xp.train.feed.prepare import prepare
    from rnn_xp.train.loop.step import Stepper

    X, loss = np.array([1.0, 1e200, 1.0]).reshape(3, 1, 1), LOSSES["squared_error"]
    data = prepare(SCALE, X, np.zeros(3), loss=loss, dtype="float64")
    options: dict[str, Any] = {"seed": 0, "schedule": None, "clip_norm": 1.0, "clip_value": None}
    stepper = Stepper(SCALE, tree.map(np.ones_like, START), loss, rx.Adam(0.5), NUMPY, **options)
    weights = []
    with np.errstate(all="ignore"):
        for batch in Batches(data, NUMPY, 1).in_order(None):
            stepper.step(batch)
            weights.append(float(stepper.params[1].weight[0, 0]))
    assert weights == pytest.approx([0.5, 0.5, 0.5])
    assert stepper.first_bad() == 1


def test_a_bad_step_is_found_in_an_epoch_of_more_steps_than_the_stepper_remembers() -> None:
    X = np.ones((1200, 1, 1))
    X[50] = 1e200
    options = {"params": tree.map(np.ones_like, START), "batch_size": 1, "shuffle": False}
    with pytest.raises(FloatingPointError, match="in epoch 1, at batch 51 of 1200"):
        train(SCALE, X, np.zeros(1200), loss="squared_error", **options)


def test_a_batch_that_counts_for_nothing_moves_nothing() -> None:
    """With momentum, a step with a gradient of 0 would still move the weights."""
    model = rx.Sequential(rx.LastStep(), rx.Linear(1, 1))
    X, y = np.ones((4, 2, 1)), np.full((4, 1), 3.0)
    options = {
        "loss": "squared_error",
        "optimizer": rx.SGD(0.1, momentum=0.9),
        "backend": "numpy",
        "epochs": 1,
    }
    options |= {"batch_size": 2, "shuffle": False, "verbose": False, "dtype": "float64"}
    whole = rx.fit(model, X, y, weights=[1.0, 1.0, 0.0, 0.0], **options)
    half = rx.fit(model, X[:2], y[:2], **options)
    np.testing.assert_array_equal(whole.params[1].weight, half.params[1].weight)


def test_out_of_memory_says_what_would_fit() -> None:
    class Greedy(rx.SGD):
        def update(self, *args: Any, **options: Any) -> Any:
            msg = "Unable to allocate 9 EiB"
            raise MemoryError(msg)

    words = r"out of memory \(Unable to allocate 9 EiB\): a batch of 3 sequences of 7 steps takes about"
    with pytest.raises(MemoryError, match=words):
        train(classifier(), draw(N, T, 2), np.arange(N) % 3, optimizer=Greedy(0.1), batch_size=3)
