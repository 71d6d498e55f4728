"""fit against finite differences and loops over sequences without padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from rnn_xp import tree
from rnn_xp.backend import Backend


def differences(f: Callable[[], float], params: Any, eps: float = 1e-5) -> list[np.ndarray]:
    """Return central differences of f by every component of the parameters, which f reads."""
    result = []
    for leaf in tree.leaves(params):
        d = np.zeros_like(leaf)
        for place in np.ndindex(*leaf.shape):
            old = leaf[place]
            leaf[place] = old + eps
            above = f()
            leaf[place] = old - eps
            d[place] = (above - f()) / (2 * eps)
            leaf[place] = old
        result.append(d)
    return result


@pytest.mark.parametrize("per_step", [False, True])
def test_a_step_of_sgd_goes_down_the_gradient_of_the_masked_loss(per_step: bool) -> None:
    model = classifier(per_step)
    X, start = draw(N, T, 2), model.init(NUMPY, seed=1)
    y = np.random.default_rng(1).integers(0, 3, (N, T) if per_step else N)
    weights = np.linspace(0.5, 2.0, N)

    def loss() -> float:
        """Sum over sequences without padding, one at a time."""
        total = count = 0.0
        for i, length in enumerate(LENGTHS):
            out = model.forward(start, X[i, :length, None, :])[0]
            losses = -log_softmax(out.reshape(-1, 3))[
                np.arange(length if per_step else 1), y[i, ...].flat[:length]
            ]
            total += weights[i] * losses.sum()
            count += weights[i] * len(losses)
        return total / count

    result = train(
        model, X, y, params=start, lengths=LENGTHS, weights=weights, epochs=1, batch_size=N, shuffle=False
    )
    assert result.history[0]["loss"] == pytest.approx(loss(), abs=1e-12)
    gradient = differences(loss, start)
    norm = np.sqrt(sum((d**2).sum() for d in gradient))
    assert result.history[0]["gradient_norm"] == pytest.approx(norm, rel=1e-7)
    for after, before, d in zip(tree.leaves(result.params), tree.leaves(start), gradient, strict=True):
        np.testing.assert_allclose(after, before - 0.1 * d, rtol=0, atol=1e-9)


@pytest.mark.parametrize("per_step", [False, True])
def test_trimmed_batches_train_as_untrimmed_ones(per_step: bool) -> None:
    """Also: sums of losses over batches, not means of means."""
    model = classifier(per_step)
    X, start = draw(N, T, 2), model.init(NUMPY, seed=1)
    y = np.random.default_rng(1).integers(0, 3, (N, T) if per_step else N)
    result = train(model, X, y, params=start, lengths=LENGTHS, epochs=2, batch_size=2, shuffle=False)

    params, mask = start, np.arange(T) < np.array(LENGTHS)[:, None]
    for epoch in range(2):
        total = count = 0.0
        for first in range(0, N, 2):
            part = slice(first, first + 2)
            out, _, tape = model.forward(params, X[part].swapaxes(0, 1), lengths=LENGTHS[part])
            share = (mask[part] if per_step else np.ones_like(y[part])).T.astype(float)
            hot = np.eye(3)[y[part].T]
            total += -(log_softmax(out) * hot * share[..., None]).sum()
            count += share.sum()
            d_y = (np.exp(log_softmax(out)) - hot) * share[..., None] / share.sum()
            gradient = model.backward(params, tape, d_y)[0]
            params = tree.map(lambda p, g: p - 0.1 * g, params, gradient)
        assert result.history[epoch]["loss"] == pytest.approx(total / count, abs=1e-12)
    assert_near(result.params, params)


@pytest.mark.parametrize("per_step", [False, True])
def test_padding_is_no_matter(per_step: bool) -> None:
    model, X = classifier(per_step), draw(N, T, 2)
    y = np.random.default_rng(1).integers(0, 3, (N, T) if per_step else N)
    expected = train(model, X, y, lengths=LENGTHS, batch_size=3, epochs=2, validation=(X, y, LENGTHS))
    wide, far = np.full((N, T + 4, 2), np.nan), np.full((N, T + 4), 99)
    for i, length in enumerate(LENGTHS):
        wide[i, :length] = X[i, :length]
        if per_step:
            far[i, :length] = y[i, :length]
    y = far if per_step else y
    result = train(model, wide, y, lengths=LENGTHS, batch_size=3, epochs=2, validation=(wide, y, LENGTHS))
    assert_near(result.params, expected.params)
    for name in ("loss", "val_loss", "val_accuracy"):
        assert [r[name] for r in result.history] == pytest.approx([r[name] for r in expected.history])


def test_a_list_of_unequal_sequences_is_padded() -> None:
    model, X, y = classifier(), draw(N, T, 2), np.arange(N) % 3
    rows = [X[i, :length] for i, length in enumerate(LENGTHS)]
    padded = train(model, X, y, lengths=LENGTHS)
    listed = train(model, rows, y)
    assert_near(listed.params, padded.params, 0.0)
    np.testing.assert_array_equal(
        rx.predict(model, listed.params, rows), rx.predict(model, padded.params, X, lengths=LENGTHS)
    )
    assert rx.evaluate(model, listed.params, rows, y) == rx.evaluate(
        model, padded.params, X, y, lengths=LENGTHS
    )


@pytest.mark.parametrize("layout", ["TNC", "NCT"])
def test_layouts_are_equal(layout: str) -> None:
    axes = {"TNC": (1, 0, 2), "NCT": (0, 2, 1)}[layout]
    model, X, y = classifier(per_step=True), draw(N, T, 2), draw(N, T, 3, seed=1)
    options = {"loss": "squared_error", "lengths": LENGTHS}
    expected = train(model, X, y, **options)
    turned, targets = X.transpose(axes), y.transpose(axes)
    result = train(model, turned, targets, layout=layout, **options)
    assert_near(result.params, expected.params)
    assert_near(
        rx.predict(model, expected.params, turned, layout=layout, lengths=LENGTHS),
        rx.predict(model, expected.params, X, lengths=LENGTHS),
    )
    scores = rx.evaluate(model, expected.params, turned, targets, layout=layout, **options)
    assert scores == pytest.approx(rx.evaluate(model, expected.params, X, y, **options))


def test_weights_a_step_have_the_layout_too() -> None:
    model, X = classifier(per_step=True), draw(N, T, 2)
    y, weights = np.random.default_rng(1).integers(0, 3, (N, T)), np.linspace(0.1, 1, N * T).reshape(N, T)
    start = model.init(NUMPY)
    by_sequence = train(model, X, y, params=start, weights=weights, epochs=1, batch_size=N)
    losses = -np.take_along_axis(log_softmax(rx.predict(model, start, X)), y[..., None], axis=2)[..., 0]
    assert by_sequence.history[0]["loss"] == pytest.approx(
        (losses * weights).sum() / weights.sum(), abs=1e-12
    )
    by_time = train(
        model, X.swapaxes(0, 1), y.T, layout="TNC", params=start, weights=weights.T, epochs=1, batch_size=N
    )
    assert_near(by_time.params, by_sequence.params)


def test_every_backend_trains_alike(backend: Backend) -> None:
    model = rx.Sequential(rx.LSTM(2, 3, num_layers=2, dropout=0.5), rx.MeanPool(), rx.Linear(3, 3))
    X, y = draw(N, T, 2), np.arange(N) % 3
    options: dict[str, Any] = {"lengths": LENGTHS, "optimizer": rx.Adam(0.1), "clip_norm": 0.1, "epochs": 2}
    expected = train(model, X, y, batch_size=3, validation=0.3, **options)
    result = train(model, X, y, batch_size=3, validation=0.3, backend=backend, **options)
    assert_near(tree.map(backend.to_numpy, result.params), expected.params)
    np.testing.assert_allclose(
        rx.predict(model, result.params, X, lengths=LENGTHS),
        rx.predict(model, expected.params, X, lengths=LENGTHS),
        rtol=0,
        atol=1e-12,
    )
