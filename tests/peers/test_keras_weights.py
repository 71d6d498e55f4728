"""A hundred random models: Keras' weights taken, answered with, and given back bit for bit.

Keras multiplies float64 in float32 on every backend but TensorFlow, whose rule is taken here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.interop.keras import from_weights, save, to_weights
from rnn_xp.interop.parity import compare, of_keras

pytest.importorskip("h5py")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Keras multiply float64 in float64."""
    with wide_products():
        yield


@contextlib.contextmanager
def wide_products() -> Iterator[None]:
    """Let Keras multiply float64 in float64, as on TensorFlow."""
    from keras.src.backend.common import dtypes

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
        yield


def random_recurrent(random: np.random.Generator, size: int) -> Any:
    """Return a recurrent layer of any cell, depth, direction, activation and bias."""
    kind, hidden = str(random.choice(["RNN", "GRU", "LSTM"])), int(random.integers(2, 9))
    options: dict[str, Any] = {
        "num_layers": int(random.integers(1, 4)),
        "bidirectional": bool(random.integers(2)),
        "bias": [True, "input", False][random.integers(3)],
    }
    if kind == "RNN":
        options["nonlinearity"] = str(random.choice(["tanh", "relu", "softsign"]))
    if kind == "GRU":
        options["reset"] = str(random.choice(["after", "before"]))
        if options["reset"] == "after" and options["bias"] == "input":  # Keras has two
            options["bias"] = True
    if kind == "LSTM" and random.integers(2):
        options["activations"] = (("hard_sigmoid", 1 / 6, 0.5), "softsign", "softsign")
    return getattr(rx, kind)(size, hidden, **options)


def random_model(seed: int) -> Any:
    """Return a model of one to three recurrent layers, perhaps within others, over tokens or numbers."""
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 6))
    layers: list[Any] = [rx.Embedding(7, size)] if random.integers(2) else []
    for _ in range(random.integers(1, 4)):
        layer = random_recurrent(random, size)
        form = random.integers(4)
        if form == 0:
            back = rx.Linear(layer.output_size, size, bias=bool(random.integers(2)))
            layers.append(rx.Residual(rx.Sequential(layer, rx.Dropout(0.1), back)))
            continue
        layers.append(rx.Sequential(layer, rx.Dropout(0.1)) if form == 1 else layer)
        size = layer.output_size
    if random.integers(2):  # Keras has a last step in recurrent layers only
        layers += [rx.GRU(size, 3, bidirectional=bool(random.integers(2))), rx.LastStep()]
        size = layers[-2].output_size
    layers += [rx.Linear(size, int(random.integers(1, 5)), bool(random.integers(2)))]
    return rx.Sequential(*layers)


def parts(model: Any) -> Iterator[Any]:
    """Yield the layers with weights, in order."""
    if isinstance(model, rx.Residual):
        yield from parts(model.layer)
    elif model.layers:
        for layer in model.layers:
            yield from parts(layer)
    elif tree.leaves(model.spec()):
        yield model


def recurrent_of(layer: Any, last: bool, dtype: str) -> list[Any]:
    """Return Keras' layers, one a depth, the last one with or without its steps."""
    named = {"RNN": "SimpleRNN"}.get(type(layer).__name__, type(layer).__name__)
    options: dict[str, Any] = {"use_bias": bool(layer.bias), "dtype": dtype}
    if named == "SimpleRNN":
        options["activation"] = layer.nonlinearity
    if named == "GRU":
        options["reset_after"] = layer.reset == "after"
    if named == "LSTM" and layer.activations[1] != "tanh":
        options |= {"activation": "softsign", "recurrent_activation": "hard_sigmoid"}
    made = []
    for depth in range(layer.num_layers):
        steps = not last or depth < layer.num_layers - 1
        one = getattr(keras.layers, named)(layer.hidden_size, return_sequences=steps, **options)
        made.append(keras.layers.Bidirectional(one, dtype=dtype) if layer.bidirectional else one)
    return made


def row_of(layers: Any, dtype: str) -> list[Any]:
    """Return Keras' layers and our Residuals of a row of ours."""
    made: list[Any] = []
    for i, layer in enumerate(layers):
        if isinstance(layer, rx.Recurrent):
            last = i + 1 < len(layers) and isinstance(layers[i + 1], rx.LastStep)
            made += recurrent_of(layer, last, dtype)
        elif isinstance(layer, rx.Linear):
            made.append(keras.layers.Dense(layer.output_size, use_bias=layer.bias, dtype=dtype))
        elif isinstance(layer, rx.Embedding):
            made.append(keras.layers.Embedding(layer.num_tokens, layer.size, dtype=dtype))
        elif isinstance(layer, rx.Dropout):
            made.append(keras.layers.Dropout(layer.rate, dtype=dtype))
        elif layer.layers:
            made.append(keras.Sequential(row_of(layer.layers, dtype)))
        elif not isinstance(layer, rx.LastStep):
            made.append(layer)
    return made


def keras_of(model: Any, dtype: str) -> Any:
    """Return Keras' model of the same layers: functional where there is a way around, else Sequential."""
    tokens = model.intake.kind == "tokens"
    x = keras.Input((None,) if tokens else (None, model.intake.size), dtype="int32" if tokens else dtype)
    row = row_of(model.layers, dtype)
    if not any(isinstance(layer, rx.Residual) for layer in row):
        return keras.Sequential([x, *row])
    y = x
    for layer in row:
        if isinstance(layer, rx.Residual):
            around = y
            for each in row_of(layer.layer.layers, dtype):
                y = each(y)
            y = keras.layers.Add(dtype=dtype)([around, y])
        else:
            y = layer(y)
    return keras.Model(x, y)


def assert_bits(actual: Any, expected: Any) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (e.dtype, e.shape, e.tobytes())


def drawn(weights: list[Any], seed: int) -> list[Any]:
    """Return weights of about Keras' scale, biases that are not 0 among them, each with a -0.0."""
    random = np.random.default_rng(seed)
    made = [(0.4 * random.standard_normal(each.shape)).astype(each.dtype) for each in weights]
    for each in made:
        each.reshape(-1)[-1] = -0.0
    return made


def check(seed: int, dtype: str, directory: Path) -> float:
    """Take a random model's weights and give them back; return the largest difference of outputs."""
    model, backend = random_model(seed), rx.get_backend("numpy", dtype=dtype)
    theirs = keras_of(model, dtype)
    theirs.set_weights(drawn(theirs.get_weights(), seed))
    weights = theirs.get_weights()

    params = from_weights(model, weights, backend)
    assert_bits(to_weights(model, params), weights)
    theirs.save_weights(directory / "theirs.weights.h5")
    params = from_weights(model, directory / "theirs.weights.h5", backend)
    assert_bits(to_weights(model, params), weights)

    save(directory / "ours.weights.h5", model, params)
    theirs.set_weights([np.zeros_like(each) for each in weights])
    theirs.load_weights(directory / "ours.weights.h5")
    assert_bits(theirs.get_weights(), weights)

    masks = (False,) if model.intake.kind == "tokens" else (False, True)  # without mask_zero none goes on
    options = {"sequences": 6, "steps": 8, "seed": seed}
    return max(compare(model, params, of_keras(theirs), lengths=mask, **options) for mask in masks)


@pytest.mark.parametrize("seed", range(100))
def test_a_random_model_there_and_back(seed: int, tmp_path: Path) -> None:
    dtype = ("float32", "float64")[seed % 2]
    assert check(seed, dtype, tmp_path) <= TOLERANCES[dtype]


def test_the_models_are_of_every_kind() -> None:
    models = [random_model(seed) for seed in range(100)]
    layers = [layer for model in models for layer in parts(model)]
    recurrent = [layer for layer in layers if isinstance(layer, rx.Recurrent)]
    assert {type(layer) for layer in layers} == {rx.Embedding, rx.RNN, rx.GRU, rx.LSTM, rx.Linear}
    options = {"num_layers": (1, 2, 3), "bidirectional": (True, False), "bias": (True, "input", False)}
    for name, choices in options.items():
        seen = {(type(each), getattr(each, name)) for each in recurrent}
        assert seen == {(kind, choice) for kind in (rx.RNN, rx.GRU, rx.LSTM) for choice in choices}
    assert {each.reset for each in recurrent if isinstance(each, rx.GRU)} == {"after", "before"}
    assert any(isinstance(layer, rx.Residual) for model in models for layer in model.layers)


def test_a_mask_made_by_keras_is_our_lengths() -> None:
    model = rx.Sequential(rx.Embedding(7, 3), rx.LSTM(3, 4, 2, bidirectional=True), rx.LastStep())
    layers = keras.layers
    theirs = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(7, 3, mask_zero=True),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(4)),
        ]
    )
    params = from_weights(model, theirs.get_weights(), "numpy")
    x = np.array([[3, 1, 2, 6], [5, 4, 0, 0], [1, 0, 0, 0]])
    y = model.forward(params, x.T, lengths=[4, 2, 1])[0]
    np.testing.assert_allclose(y, theirs.predict(x, verbose=0), rtol=0, atol=1e-6)


def test_a_trained_model_keeps_its_optimizer_to_itself(tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)])
    theirs.compile(optimizer="adam", loss="mse", metrics=["mae"])
    theirs.fit(np.ones((4, 5, 3), "float32"), np.ones((4, 2), "float32"), verbose=0)
    theirs.save_weights(tmp_path / "model.weights.h5")
    model = rx.Sequential(rx.LSTM(3, 4), rx.LastStep(), rx.Linear(4, 2))
    params = from_weights(model, tmp_path / "model.weights.h5", "numpy")
    assert_bits(to_weights(model, params), theirs.get_weights())


def test_two_biases_are_one_in_keras() -> None:
    model = rx.Sequential(rx.LSTM(3, 4), rx.GRU(4, 3, reset="before"), rx.RNN(3, 2))
    params = model.init(rx.get_backend("numpy", dtype="float64"), seed=1)
    theirs = keras_of(model, "float64")
    theirs.set_weights(to_weights(model, params))
    assert compare(model, params, of_keras(theirs)) < 1e-12


def test_the_differences_that_are_told_of_are_there() -> None:
    layer = rx.LSTM(3, 4)
    theirs = keras.layers.LSTM(4, return_sequences=True)
    theirs.build((None, None, 3))
    params = from_weights(layer, theirs.get_weights(), "numpy")
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype("float32")
    ours, repeated = layer.forward(params, x, lengths=[5, 2])[0], of_keras(theirs)(x, np.array([5, 2]))
    assert not ours[2:, 1].any()
    np.testing.assert_array_equal(repeated[2:, 1], repeated[[1, 1, 1], 1])
    hard = rx.LSTM(3, 4, activations=("hard_sigmoid", "tanh", "tanh"))
    theirs = keras.layers.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid")
    theirs.build((None, None, 3))
    params = from_weights(hard, theirs.get_weights(), "numpy")
    assert compare(hard, params, of_keras(theirs)) > 1e-3
