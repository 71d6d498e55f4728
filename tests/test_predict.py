"""Losses, predictions and scores against closed forms."""

from __future__ import annotations

import importlib
import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support import MAKERS
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

PREDICT = importlib.import_module("rnn_xp.train.predict")  # the name in the package is the function's


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


# Long sequences, masks and resets.


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cell", MAKERS)
def test_chunks_change_no_bit(cell: str, padded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model's recurrent layers; what a library makes of a product of more rows is its own affair."""
    lengths = LENGTHS if padded else None
    for head in ([], [rx.LastStep()]):
        model = rx.Sequential(MAKERS[cell](2, 5, 2), *head)
        params, X = model.init(NUMPY), draw(N, T, 2)
        y = model.forward(params, X.swapaxes(0, 1), lengths=lengths)[0]
        whole = y if head else y.swapaxes(0, 1)
        for chunk in (1, 3, 7, 1024):
            monkeypatch.setattr(PREDICT, "CHUNK", chunk)
            predicted = rx.predict(model, params, X, lengths=lengths)
            assert predicted.tobytes() == np.ascontiguousarray(whole).tobytes()


@pytest.mark.parametrize(
    "options",
    [{"zoneout": 0.3}, {"learn_state": True}, {"layer_norm": True}, {"proj_size": 2, "zoneout": (0.1, 0.5)}],
)
@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_of_every_option(options: Any, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn where a model is used; a sequence of no steps keeps what it began with."""
    model = rx.Sequential(rx.LSTM(2, 5, 2, **options))
    params, X, lengths = model.init(NUMPY), draw(N, T, 2), [*LENGTHS[:-1], 0]
    whole = model.forward(params, X.swapaxes(0, 1), lengths=lengths)[0].swapaxes(0, 1)
    monkeypatch.setattr(PREDICT, "CHUNK", chunk)
    np.testing.assert_array_equal(rx.predict(model, params, X, lengths=lengths), whole)


@pytest.mark.parametrize("per_step", [False, True])
def test_chunks_of_a_classifier(per_step: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = rx.Sequential(
        rx.Linear(2, 3), rx.LSTM(3, 4), *([] if per_step else [rx.LastStep()]), rx.Linear(4, 3)
    )
    params, X, lengths = model.init(NUMPY), draw(N, T, 2), [*LENGTHS[:-1], 0]
    y = np.random.default_rng(3).integers(0, 3, (N, T) if per_step else N)
    whole = rx.predict(model, params, X, lengths=lengths, loss="cross_entropy")
    scores = rx.evaluate(model, params, X, y, lengths=lengths)
    monkeypatch.setattr(PREDICT, "CHUNK", 2)
    assert_near(rx.predict(model, params, X, lengths=lengths, loss="cross_entropy", batch_size=3), whole)
    chunked = rx.evaluate(model, params, X, y, lengths=lengths)
    assert chunked.pop("loss") == pytest.approx(scores.pop("loss"), rel=1e-12)
    assert chunked == scores


@pytest.mark.parametrize(
    "layers",
    [
        (rx.GRU(2, 3, reverse=True),),
        (rx.GRU(2, 3, bidirectional=True), rx.LastStep()),
        (rx.GRU(2, 3), rx.MaxPool()),
    ],
)
def test_what_needs_whole_sequences_is_not_cut(layers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, X = rx.Sequential(*layers), draw(N, T, 2)
    params = model.init(NUMPY)
    whole = rx.predict(model, params, X, lengths=LENGTHS)
    monkeypatch.setattr(PREDICT, "CHUNK", 2)
    np.testing.assert_array_equal(rx.predict(model, params, X, lengths=LENGTHS), whole)


MASKS = {
    "right": np.arange(T) < np.array(LENGTHS)[:, None],
    "left": np.arange(T)[::-1] < np.array(LENGTHS)[:, None],
    "interior": np.random.default_rng(5).random((N, T)) < 0.6,
    "all": np.ones((N, T), dtype=bool),
}


@pytest.mark.parametrize("layout", ["NTC", "TNC", "NCT"])
@pytest.mark.parametrize("name", MASKS)
def test_a_mask_leaves_out_steps(name: str, layout: str) -> None:
    """Each row by itself, of its valid steps alone; what is not valid may hold anything."""
    mask = MASKS[name]
    X = np.where(mask[..., None], draw(N, T, 2), np.nan)
    turned = X.transpose(["NTC".index(axis) for axis in layout])
    given = {"layout": layout, "mask": mask.T if layout == "TNC" else mask}
    for per_step in (False, True):
        model = classifier(per_step)
        params = model.init(NUMPY)
        outputs = rx.predict(model, params, turned, **given)
        assert outputs.shape == ((N, T, 3) if per_step else (N, 3))
        for x, own, y in zip(X, mask, outputs, strict=True):
            if own.any():
                expected = model.forward(params, x[own][:, None])[0]
                assert_near(y[own] if per_step else y, expected[:, 0] if per_step else expected[0])
            assert not per_step or not y[~own].any()


def test_scores_under_a_mask() -> None:
    model, X, mask = classifier(per_step=True), draw(N, T, 2), MASKS["interior"]
    params, y = model.init(NUMPY), np.random.default_rng(3).integers(0, 3, (N, T))
    outputs = rx.predict(model, params, X, mask=mask)
    losses = -np.take_along_axis(log_softmax(outputs), y[..., None], -1)[..., 0]
    scores = rx.evaluate(model, params, X, y, mask=mask)
    assert scores["loss"] == pytest.approx(losses[mask].mean(), rel=1e-12)
    assert scores["accuracy"] == np.mean(outputs.argmax(-1)[mask] == y[mask])


@pytest.mark.parametrize("chunk", [2, 1024])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_reset_begins_a_new_sequence(
    bidirectional: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against every piece between two resets by itself."""
    monkeypatch.setattr(PREDICT, "CHUNK", chunk)
    size = 3 * (1 + bidirectional)
    model = rx.Sequential(rx.LSTM(2, 3, 2, bidirectional=bidirectional), rx.Linear(size, 2))
    params, X = model.init(NUMPY), draw(N, T, 2)
    reset = np.random.default_rng(6).random((N, T)) < 0.3
    outputs = rx.predict(model, params, X, reset=reset, lengths=LENGTHS)
    y = rx.evaluate(model, params, X, np.zeros((N, T, 2)), loss="squared_error", reset=reset, lengths=LENGTHS)
    assert y["loss"] == pytest.approx(np.mean(outputs[MASKS["right"]] ** 2), rel=1e-12)
    for x, length, begins, own in zip(X, LENGTHS, reset, outputs, strict=True):
        cuts = [0, *(np.flatnonzero(begins[1:length]) + 1), length]
        for start, stop in pairwise(cuts):
            assert_near(own[start:stop], model.forward(params, x[start:stop, None])[0][:, 0])


def test_answers_of_one_batch_outlive_the_next() -> None:
    """Buffers are used again from batch to batch, and a model may end in its own memory."""
    X = draw(6, T, 2)
    for layers in (
        [rx.GRU(2, 3), rx.LastStep()],
        [rx.GRU(2, 3)],
        [rx.GRU(2, 3), rx.LastStep(), rx.Dropout(0.5)],
    ):
        model = rx.Sequential(*layers)
        params = model.init(NUMPY)
        predicted = rx.predict(model, params, X, batch_size=2)
        for start in (0, 2, 4):
            own = slice(start, start + 2)
            np.testing.assert_array_equal(predicted[own], rx.predict(model, params, X[own]))


def peak(function: Any, *arguments: Any, **options: Any) -> int:
    """Return the bytes that a call takes at most."""
    tracemalloc.start()
    try:
        function(*arguments, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_steps() -> None:
    """What is left is the copy of X, and of the outputs: 8 bytes and V a step."""
    model = rx.Sequential(rx.Embedding(50, 8), rx.LSTM(8, 16), rx.Linear(16, 50))
    params = model.init(NUMPY)
    tokens = np.random.default_rng(0).integers(0, 50, (1, 32 * 1024))
    short = peak(rx.evaluate, model, params, tokens[:, : 4 * 1024], tokens[:, : 4 * 1024])
    long = peak(rx.evaluate, model, params, tokens, tokens)
    assert long - short < 28 * 1024 * 80  # one float64 of V = 50 would be 400 bytes a step
    model = rx.Sequential(rx.Embedding(50, 8), rx.LSTM(8, 16), rx.LastStep())
    params = model.init(NUMPY)
    short = peak(rx.predict, model, params, tokens[:, : 4 * 1024])
    assert peak(rx.predict, model, params, tokens) - short < 28 * 1024 * 40


def test_memory_of_both_directions_grows_with_the_root_of_the_steps() -> None:
    """They need whole sequences; a run keeps 2 * 6 * 16 numbers of a step."""
    model = rx.Sequential(rx.Embedding(5, 8), rx.LSTM(8, 16, bidirectional=True), rx.LastStep())
    params = model.init(NUMPY)
    tokens = np.random.default_rng(0).integers(0, 5, (1, 32 * 1024))
    short = peak(rx.predict, model, params, tokens[:, : 4 * 1024])
    assert peak(rx.predict, model, params, tokens) - short < 28 * 1024 * 8 * 64


def test_reset_is_for_outputs_a_step() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="`reset` must be None where the model gives one output a sequence"):
        rx.predict(model, model.init(NUMPY), draw(N, T, 2), reset=np.zeros((N, T), dtype=bool))


def test_parameters_may_be_shared() -> None:
    """By both directions, or by layers: each run has buffers of its own."""
    backend, X = get_backend("numpy"), np.random.default_rng(0).standard_normal((3, 30, 4))
    for layer in (rx.GRU(4, 4, bidirectional=True), rx.GRU(4, 4, 2)):
        model = rx.Sequential(layer)
        own = layer.init(backend)[0]
        params = ((own, own),)
        y = model.forward(params, backend.asarray(X.swapaxes(0, 1)))[0]
        np.testing.assert_array_equal(rx.predict(model, params, X), y.swapaxes(0, 1))
