"""Trainings of a moment, healthy and with a fault planted as a user would plant it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rnn_xp as rx
from rnn_xp import tree

NUMPY = rx.get_backend("numpy")
Run = dict[str, Any]
HEALTHY: dict[str, Callable[[], Run]] = {}
BROKEN: dict[str, tuple[str, Callable[[], Run]]] = {}


def healthy(plant: Callable[[], Run]) -> Callable[[], Run]:
    HEALTHY[plant.__name__] = plant
    return plant


def broken(kind: str) -> Callable[[Callable[[], Run]], Callable[[], Run]]:
    def note(plant: Callable[[], Run]) -> Callable[[], Run]:
        BROKEN[plant.__name__] = kind, plant
        return plant

    return note


# what is to be learnt


def signs(N: int = 400, T: int = 10) -> Run:
    """Is the sum of noise positive?"""
    data = rx.data.sign_of_sum(N, T, seed=1)
    return {"X": data.X, "y": data.y}


def waves(N: int = 300, T: int = 40) -> Run:
    """Which of three frequencies is it?"""
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, N)
    phase = 2 * np.pi * np.array([0.05, 0.1, 0.2])[y, None] * np.arange(T) + rng.uniform(0, 6.3, (N, 1))
    X = np.stack([np.sin(phase), np.cos(phase)], axis=2) + 0.1 * rng.standard_normal((N, T, 2))
    return {"X": X, "y": y}


def cut(X: np.ndarray, shortest: int) -> np.ndarray:
    """Return lengths, and put zeros past them."""
    lengths = np.random.default_rng(3).integers(shortest, X.shape[1] + 1, len(X))
    for row, length in zip(X, lengths, strict=True):
        row[length:] = 0
    return lengths


def decay(N: int = 300, T: int = 20) -> Run:
    """A leaky sum, as a number."""
    X = np.random.default_rng(4).standard_normal((N, T, 2))
    return {"X": X, "y": X[:, :, 0] @ 0.8 ** np.arange(T)[::-1], "loss": "squared_error"}


def regimes(N: int = 150, T: int = 40) -> Run:
    """Which of two means does a smooth series go to now, at each step?"""
    rng = np.random.default_rng(5)
    X, y, now, x = np.zeros((N, T, 2)), np.zeros((N, T), int), rng.integers(0, 2, N), np.zeros((N, 2))
    for t in range(T):
        now = np.where(rng.random(N) < 0.06, 1 - now, now)
        x = 0.7 * x + 0.3 * np.array([[1.5, 0.0], [-1.5, 1.0]])[now] + 0.1 * rng.standard_normal((N, 2))
        X[:, t], y[:, t] = x, now
    return {"X": X, "y": y}


def counts(N: int = 400, T: int = 15) -> Run:
    """Tokens: more of 2 than of 3?"""
    X = np.random.default_rng(6).integers(1, 6, (N, T))
    return {"X": X, "y": ((X == 2).sum(axis=1) > (X == 3).sum(axis=1)).astype(int)}


def cue(T: int, N: int = 300) -> Run:
    """Which of four features was up at the first step?"""
    rng = np.random.default_rng(7)
    y, X = rng.integers(0, 4, N), 0.2 * rng.standard_normal((N, T, 4))
    X[np.arange(N), 0, y] += 1.5
    return {"X": X, "y": y}


def model(data: Run, layer: Any, C: int | None = None, H: int = 24, **options: Any) -> rx.Sequential:
    """Return a model for the data; `layer` is rx.GRU or the like."""
    tokens, per_step = data["X"].ndim == 2, np.ndim(data["y"]) == 2
    recurrent = layer(C or (6 if tokens else data["X"].shape[2]), H, **options)
    K = 1 if data.get("loss") == "squared_error" else int(data["y"].max()) + 1
    first = [rx.Embedding(6, 6)] if tokens else []
    pool = [] if per_step else [rx.LastStep()]
    return rx.Sequential(
        *first, recurrent, *pool, rx.Linear(recurrent.output_size, max(K, 2 - (K == 1 and "loss" in data)))
    )


def train(data: Run, network: rx.Sequential, lr: float = 0.01, **how: Any) -> Run:
    """Train, and return what `diagnose` is to be told."""
    how = {"optimizer": rx.Adam(lr), "clip_norm": 1.0, "epochs": 10, "backend": NUMPY, **how}
    result = rx.fit(network, **data, **how, verbose=False)
    told = {name: how[name] for name in ("optimizer", "clip_norm")}
    return {"model": network, "params": result.params, **data, "history": result.history, **told}


def begin(network: rx.Sequential, change: Callable[[Any], Any]) -> Any:
    """Return weights whose recurrent part, of a layer without depth, was changed."""
    return tuple(
        (change(part[0]),) if isinstance(layer, rx.Recurrent) else part
        for layer, part in zip(network.layers, network.init(NUMPY, 0), strict=True)
    )


# trainings that go well


@healthy
def a_gru_sums() -> Run:
    return train(data := signs(), model(data, rx.GRU))


@healthy
def the_tutorial() -> Run:
    how = {
        "optimizer": rx.SGD(0.01),
        "clip_norm": None,
        "batch_size": 1,
        "shuffle": False,
        "init": "tutorial",
    }
    return train(data := signs(300), model(data, rx.RNN, H=32), **how, epochs=6)


@healthy
def frequencies() -> Run:
    return train(data := waves(), model(data, rx.LSTM))


@healthy
def both_ways_and_deep() -> Run:
    return train(
        data := waves(200, 30), model(data, rx.GRU, H=12, num_layers=2, bidirectional=True), epochs=8
    )


@healthy
def ragged() -> Run:
    data = waves()
    data["lengths"] = cut(data["X"], 12)
    return train(data, model(data, rx.GRU))


@healthy
def a_number() -> Run:
    return train(data := decay(), model(data, rx.GRU), epochs=15, validation=0.2)


@healthy
def each_step() -> Run:
    return train(data := regimes(), model(data, rx.LSTM), epochs=12)


@healthy
def relu() -> Run:
    return train(data := signs(), model(data, rx.RNN, nonlinearity="relu"), lr=0.003, epochs=15)


@healthy
def tokens() -> Run:
    return train(data := counts(), model(data, rx.GRU), epochs=12)


@healthy
def a_cue_in_reach() -> Run:
    return train(data := cue(12), model(data, rx.GRU), epochs=15)


@healthy
def events_that_are_mostly_zero() -> Run:
    X = (np.random.default_rng(8).random((300, 20, 2)) < 0.15).astype(float)
    data = {"X": X, "y": (X[:, :, 0].sum(axis=1) > X[:, :, 1].sum(axis=1)).astype(int)}
    return train(data, model(data, rx.GRU), lr=0.005, epochs=15)


@healthy
def a_third_can_be_known() -> Run:
    rng = np.random.default_rng(9)
    X = rng.standard_normal((500, 12, 2))
    data = {"X": X, "y": 0.25 * X[:, -6:, 0].sum(axis=1) + 0.85 * rng.standard_normal(500)}
    return train(
        {**data, "loss": "squared_error"}, model({**data, "loss": "squared_error"}, rx.GRU, H=8), epochs=6
    )


@healthy
def lengths_that_tell() -> Run:
    lengths = np.random.default_rng(14).integers(2, 13, 300)
    data = {"X": np.ones((300, 12, 1)), "y": (lengths > 6).astype(int), "lengths": lengths}
    return train(data, model(data, rx.GRU), epochs=20)


@healthy
def one_in_ten() -> Run:
    rng = np.random.default_rng(10)
    y = (rng.random(500) < 0.1).astype(int)
    X = 0.5 * rng.standard_normal((500, 15, 2)) + y[:, None, None]
    return train({"X": X, "y": y}, model({"X": X, "y": y}, rx.GRU, H=12), epochs=8)


# trainings that do not


@broken("rate-high")
def a_rate_of_thirty() -> Run:
    return train(data := waves(), model(data, rx.GRU), lr=30.0, epochs=6)


@broken("rate-high")
def a_rate_of_a_third() -> Run:
    return train(data := decay(), model(data, rx.GRU), lr=0.3, epochs=6)


@broken("rate-high")
def leaps_downhill() -> Run:
    return train(data := waves(), model(data, rx.RNN), optimizer=rx.SGD(10.0), epochs=6)


@broken("rate-low")
def a_rate_of_a_millionth() -> Run:
    return train(data := signs(), model(data, rx.LSTM), lr=1e-6)


@broken("rate-low")
def hardly_downhill() -> Run:
    return train(data := decay(), model(data, rx.RNN), optimizer=rx.SGD(1e-5))


@broken("clipping")
def clipped_to_nothing() -> Run:
    return train(data := decay(), model(data, rx.GRU), optimizer=rx.SGD(0.1), clip_norm=1e-3)


@broken("axes")
def time_for_features() -> Run:
    return train({**(data := waves()), "layout": "NCT"}, model(data, rx.GRU, C=40), epochs=5)


@broken("axes")
def time_for_sequences() -> Run:
    return train({**(data := regimes()), "layout": "TNC"}, model(data, rx.GRU), epochs=5)


@broken("axes")
def a_single_step() -> Run:
    return train({**(data := signs()), "layout": "NCT"}, model(data, rx.GRU, C=10), epochs=5)


@broken("constant")
def zeros_for_data() -> Run:
    data = waves()
    return train({**data, "X": np.zeros_like(data["X"])}, model(data, rx.GRU), epochs=5)


@broken("constant")
def one_token() -> Run:
    data = counts()
    return train({**data, "X": np.ones_like(data["X"])}, model(data, rx.GRU), epochs=5)


@broken("padding")
def zeros_without_lengths() -> Run:
    data = waves()
    cut(data["X"], 12)
    return train(data, model(data, rx.GRU), epochs=6)


@broken("padding")
def the_last_value_repeated() -> Run:
    data = waves()
    for row, length in zip(data["X"], cut(data["X"], 12), strict=True):
        row[length:] = row[length - 1]
    return train(data, model(data, rx.LSTM), epochs=6)


@broken("padding")
def tokens_without_lengths() -> Run:
    data = counts()
    cut(data["X"], 5)
    return train(data, model(data, rx.GRU), epochs=6)


@broken("scale")
def large_features() -> Run:
    data = waves()
    return train({**data, "X": data["X"] * 1e4}, model(data, rx.GRU), epochs=6)


@broken("scale")
def air_pressure() -> Run:
    data = decay()
    return train({**data, "X": data["X"] + 1013}, model(data, rx.LSTM), epochs=6)


@broken("scale")
def one_feature_in_micrometres() -> Run:
    data = cue(12)
    data["X"][:, :, 2] *= 1e-6
    return train(data, model(data, rx.GRU), epochs=6)


@broken("target-scale")
def prices() -> Run:
    data = decay()
    return train({**data, "y": 1e4 * data["y"] + 5e4}, model(data, rx.GRU), epochs=6)


@broken("labels")
def shuffled() -> Run:
    data = signs()
    return train(
        {**data, "y": np.random.default_rng(0).permutation(data["y"])}, model(data, rx.GRU, H=8), epochs=6
    )


@broken("labels")
def shuffled_and_learnt_by_heart() -> Run:
    data = waves(160, 20)
    data["y"] = np.random.default_rng(0).permutation(data["y"])
    return train(data, model(data, rx.GRU, H=48), epochs=20, validation=0.25)


@broken("labels")
def all_the_same() -> Run:
    data = waves()
    return train({**data, "y": np.zeros_like(data["y"])}, model(data, rx.GRU), epochs=3)


@broken("imbalance")
def one_in_a_hundred() -> Run:
    rng = np.random.default_rng(11)
    y = np.arange(1000) % 100 == 0
    X = rng.standard_normal((1000, 15, 2)) + 0.3 * y[:, None, None]
    return train({"X": X, "y": y.astype(int)}, model({"X": X, "y": y.astype(int)}, rx.GRU, H=8), epochs=4)


@broken("dead")
def never_on() -> Run:
    network = model(data := signs(), rx.RNN, nonlinearity="relu")
    params = begin(network, lambda own: own._replace(bias_ih=own.bias_ih - 100))
    return train(data, network, params=params, epochs=5)


@broken("symmetric")
def all_alike() -> Run:
    network = model(data := signs(), rx.GRU)
    params = tree.map(lambda leaf: np.full_like(leaf, 0.1), network.init(NUMPY))
    return train(data, network, params=params, epochs=5)


@broken("saturated")
def weights_fifty_times_as_large() -> Run:
    network = model(data := waves(), rx.LSTM)
    params = begin(network, lambda own: tree.map(lambda each: 50 * each, own))
    return train(data, network, params=params, epochs=5)


@broken("saturated")
def a_gate_that_is_shut() -> Run:
    network = model(data := decay(), rx.LSTM)
    shut = np.repeat([30.0, 0.0, 0.0, 0.0], 24).astype(np.float32)
    return train(data, network, params=begin(network, lambda own: own._replace(bias_ih=own.bias_ih - shut)))


@broken("exploding")
def a_spectral_radius_of_three() -> Run:
    network = model(data := cue(80), rx.RNN)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((24, 24)))[0].astype(np.float32)
    params = begin(network, lambda own: own._replace(weight_hh=3 * turn))
    return train(data, network, lr=1e-3, params=params, epochs=3)


@broken("vanishing")
def two_hundred_steps_ago() -> Run:
    return train(data := cue(200, 200), model(data, rx.RNN), epochs=4)


@broken("overfitting")
def few_and_noisy() -> Run:
    rng = np.random.default_rng(12)
    X = rng.standard_normal((60, 12, 2))
    data = {"X": X, "y": X[:, :, 0].mean(axis=1) + rng.standard_normal(60), "loss": "squared_error"}
    return train(data, model(data, rx.GRU, H=48), epochs=50, validation=0.3)


@broken("untrained")
def two_epochs() -> Run:
    return train(data := decay(), model(data, rx.GRU), lr=2e-3, epochs=2)


@broken("underfitting")
def one_unit() -> Run:
    rng = np.random.default_rng(13)
    y = rng.integers(0, 6, 300)
    X = 0.5 * rng.standard_normal((300, 10, 6)) + np.eye(6)[y][:, None, :]
    return train({"X": X, "y": y}, model({"X": X, "y": y}, rx.RNN, H=1), epochs=20)


@broken("not-finite")
def an_outlier() -> Run:
    data = decay()
    data["X"][7], data["y"][7] = 1e25, 1e25
    return train(data, model(data, rx.GRU), nonfinite="skip", epochs=4)
