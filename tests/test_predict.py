"""Losses, predictions and scores against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from training import (
    LENGTHS,
    NUMPY,
    N,
    T,
    assert_near,
    classifier,
    draw,
    log_softmax,
    train,
)

import rnn_xp as rx
from rnn_xp.backend import get_backend


def test_multi_label_targets_have_the_mean_over_their_outputs() -> None:
    """Also with targets between 0 and 1."""
    model, X = classifier(), draw(N, T, 2)
    y, start = np.random.default_rng(2).random((N, 3)), model.init(NUMPY)
    y[:2] = [[0, 1, 1], [1, 0, 0]]
    result = train(model, X, y, loss="binary_cross_entropy", params=start, epochs=1, batch_size=N)
    p = rx.predict(model, start, X, loss="binary_cross_entropy")
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-rx.predict(model, start, X))), rtol=1e-14)
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert result.history[0]["loss"] == pytest.approx(expected, abs=1e-12)
    scores = rx.evaluate(model, start, X, y, loss="binary_cross_entropy")
    assert scores == pytest.approx({"loss": expected, "accuracy": ((p > 0.5) == (y > 0.5)).mean()})


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("per_step", [False, True])
def test_regression(loss: str, per_step: bool) -> None:
    model = rx.Sequential(rx.RNN(2, 4), *([] if per_step else [rx.MaxPool()]), rx.Linear(4, 1))
    X, start = draw(N, T, 2), model.init(NUMPY)
    y = 2 * draw(N, T, seed=1) if per_step else 2 * draw(N, seed=1)
    e = rx.predict(model, start, X, lengths=LENGTHS)[..., 0] - y
    e = e[np.arange(T) < np.array(LENGTHS)[:, None]] if per_step else e
    losses = e**2 if loss == "squared_error" else np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5)
    scores = rx.evaluate(model, start, X, y, loss=loss, lengths=LENGTHS)
    assert scores == pytest.approx({"loss": losses.mean(), "mean_absolute_error": abs(e).mean()})
    results = [
        train(model, X, targets, loss=loss, params=start, lengths=LENGTHS, batch_size=N, epochs=30)
        for targets in (y, y[..., None])
    ]
    assert results[0].history[0]["loss"] == pytest.approx(losses.mean(), abs=1e-12)
    assert results[0].history[-1]["loss"] < 0.9 * losses.mean()
    assert_near(results[0].params, results[1].params, 0.0)


@pytest.mark.parametrize("layout", ["NTC", "TNC"])
def test_tokens_with_a_target_a_step(layout: str) -> None:
    """The next token of 0 1 2 0 1 2 ... is soon known for certain."""
    model = rx.Sequential(rx.Embedding(3, 4), rx.LSTM(4, 8), rx.Linear(8, 3))
    tokens = np.array([[0, 1, 2, 0, 1, 2, 0], [2, 0, 1, 2, 0, 9, -1]])
    X, y, lengths = tokens[:, :-1], (tokens[:, :-1] + 1) % 3, [6, 5]
    turn = np.transpose if layout == "TNC" else np.asarray
    result = train(
        model,
        turn(X),
        turn(y),
        layout=layout,
        lengths=lengths,
        optimizer=rx.Adam(0.1),
        epochs=40,
        batch_size=1,
    )
    scores = rx.evaluate(model, result.params, turn(X), turn(y), layout=layout, lengths=lengths)
    assert scores["accuracy"] == 1.0
    assert scores["confusion"] == [[4, 0, 0], [0, 4, 0], [0, 0, 3]]
    p = rx.predict(model, result.params, turn(X), layout=layout, lengths=lengths, loss="cross_entropy")
    assert p.shape == (2, 6, 3)
    assert not p[1, 5].any()
    np.testing.assert_allclose(p[0].sum(axis=1), 1.0, rtol=1e-12)


def test_scores_of_classes() -> None:
    model = rx.Sequential(rx.LastStep(), rx.Linear(2, 2, bias=False))
    params = model.init(NUMPY)
    params[1].weight[...] = np.eye(2)  # the class is the larger feature
    X = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]], [[3.0, 1.0]]])
    scores = rx.evaluate(model, params, X, [0, 1, 0, 0])
    assert scores.pop("loss") == pytest.approx(np.log1p(np.exp([-1.0, -1.0, 1.0, -2.0])).mean())
    assert scores.pop("recall") == pytest.approx([2 / 3, 1.0])
    assert scores == {"accuracy": 0.75, "confusion": [[2, 1], [0, 1]], "precision": [1.0, 0.5]}


def test_predictions_do_not_depend_on_the_batch() -> None:
    model, X = classifier(per_step=True), draw(N, T, 2)
    params = model.init(NUMPY)
    whole = rx.predict(model, params, X, lengths=LENGTHS)
    assert_near(rx.predict(model, params, X, lengths=LENGTHS, batch_size=2), whole)
    for i, length in enumerate(LENGTHS):
        assert_near(model.forward(params, X[i, :length, None, :])[0][:, 0], whole[i, :length])
        assert not whole[i, length:].any()
    single = rx.predict(model, model.init(get_backend("numpy")), X)
    assert single.dtype == np.float32


def test_probabilities_are_those_of_the_softmax() -> None:
    model, X = classifier(), draw(N, T, 2)
    params = model.init(NUMPY)
    outputs = rx.predict(model, params, X)
    np.testing.assert_allclose(
        rx.predict(model, params, X, loss="cross_entropy"), np.exp(log_softmax(outputs)), rtol=1e-13
    )
    np.testing.assert_array_equal(rx.predict(model, params, X, loss="huber"), outputs)


@pytest.mark.parametrize("per_step", [False, True])
def test_weights_count_in_the_loss_alone(per_step: bool) -> None:
    """Against the mean of the losses of single sequences, or steps, each as often as it weighs."""
    model, X = classifier(per_step), draw(N, T, 2)
    params, shape = model.init(NUMPY), (N, T) if per_step else (N,)
    y = np.random.default_rng(3).integers(0, 3, shape)
    weights = np.random.default_rng(4).integers(0, 3, shape)
    losses = -np.take_along_axis(log_softmax(rx.predict(model, params, X)), y[..., None], -1)[..., 0]
    scores = rx.evaluate(model, params, X, y, weights=weights)
    assert scores.pop("loss") == pytest.approx(np.repeat(losses.ravel(), weights.ravel()).mean())
    plain = rx.evaluate(model, params, X, y)
    assert plain.pop("loss") == pytest.approx(losses.mean())
    assert scores == plain


@pytest.mark.parametrize("layout", ["NTC", "TNC", "NCT"])
def test_predictions_are_ntk_whatever_the_layout(layout: str) -> None:
    model, X = classifier(per_step=True), draw(5, T, 2)
    params = model.init(NUMPY)
    outputs = rx.predict(model, params, X.transpose(["NTC".index(axis) for axis in layout]), layout=layout)
    np.testing.assert_array_equal(outputs, rx.predict(model, params, X))
    assert outputs.shape == (5, T, 3)


def test_a_list_of_one_channel() -> None:
    model = rx.Sequential(rx.LastStep(), rx.Linear(1, 1))
    params = model.init(NUMPY)
    equal, unequal = [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [4.0]]
    expected = rx.predict(model, params, np.array(equal)[..., None])
    for X in (equal, unequal, tuple(np.array(x) for x in equal)):
        np.testing.assert_array_equal(rx.predict(model, params, X), expected)
    train(model, equal, [0.0, 1.0], loss="huber", epochs=1)
    with pytest.raises(ValueError, match=r"A single channel needs an axis: X\[..., np.newaxis\]"):
        rx.predict(model, params, equal, layout="TNC")
