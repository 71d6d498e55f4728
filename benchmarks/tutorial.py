"""The tutorial's job, done by its own program, by rnn_xp and by PyTorch, in turns on one core.

1000 sequences of 10 normal numbers: is their sum positive? A tanh RNN of 32 units, gradient descent after
every sequence, in file order. All start from the same weights, so that their losses must agree.

    python benchmarks/tutorial.py [--out benchmarks/results/tutorial.json]
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # one core for everybody; read when numpy loads

import argparse  # noqa: E402
import importlib.util  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from typing import NamedTuple  # noqa: E402

import numpy as np  # noqa: E402
from record import summary, write  # noqa: E402

import rnn_xp as rx  # noqa: E402

HIDDEN, RATE = 32, 0.01


class Weights(NamedTuple):
    """The tutorial's parameters, in its form: biases are columns."""

    Wxh: np.ndarray
    Whh: np.ndarray
    Why: np.ndarray
    bh: np.ndarray
    by: np.ndarray


def draw_weights(seed: int) -> Weights:
    """Draw standard normal numbers times sqrt(1 / fan-in); biases are 0."""
    rng = np.random.default_rng(seed)
    return Weights(
        rng.standard_normal((HIDDEN, 1)) * np.sqrt(1 / 1),
        rng.standard_normal((HIDDEN, HIDDEN)) * np.sqrt(1 / HIDDEN),
        rng.standard_normal((1, HIDDEN)) * np.sqrt(1 / HIDDEN),
        np.zeros((HIDDEN, 1)),
        np.zeros((1, 1)),
    )


# --- the tutorial's program, with its mistakes corrected: column vectors, one np.dot per product


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -250, 250)))


def forward(w: Weights, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability, and the states of all steps side by side; the first is 0."""
    hs = np.zeros((HIDDEN, len(x) + 1))
    for t in range(len(x)):
        x_t = x[t].reshape(-1, 1)
        h_prev = hs[:, t].reshape(-1, 1)
        hs[:, t + 1] = np.tanh(np.dot(w.Wxh, x_t) + np.dot(w.Whh, h_prev) + w.bh).ravel()
    return sigmoid(np.dot(w.Why, hs[:, -1].reshape(-1, 1)) + w.by), hs


def backward(w: Weights, x: np.ndarray, hs: np.ndarray, error: np.ndarray) -> Weights:
    """Return the gradients of the cross-entropy; `error` is p - y."""
    dWxh, dWhh, dbh = np.zeros_like(w.Wxh), np.zeros_like(w.Whh), np.zeros_like(w.bh)
    dh = np.dot(w.Why.T, error)
    for t in reversed(range(len(x))):
        h, h_prev = hs[:, t + 1].reshape(-1, 1), hs[:, t].reshape(-1, 1)
        da = (1 - h**2) * dh
        dWxh += np.dot(da, x[t].reshape(1, -1))
        dWhh += np.dot(da, h_prev.T)
        dbh += da
        dh = np.dot(w.Whh.T, da)
    return Weights(dWxh, dWhh, np.dot(error, hs[:, -1].reshape(1, -1)), dbh, error)


def train_tutorial(X: np.ndarray, y: np.ndarray, weights: Weights, epochs: int) -> list[float]:
    """Return the average loss of every epoch."""
    w = Weights(*(array.copy() for array in weights))
    losses = []
    for _ in range(epochs):
        total = 0.0
        for x, label in zip(X, y, strict=True):
            p, hs = forward(w, x)
            total += -np.log(p if label else 1 - p).item()
            for array, gradient in zip(w, backward(w, x, hs, p - label), strict=True):
                array -= RATE * gradient
        losses.append(total / len(X))
    return losses


# --- the others


def train_rnn_xp(X: np.ndarray, y: np.ndarray, weights: Weights, epochs: int, dtype: str) -> list[float]:
    """Return the average loss of every epoch."""
    model = rx.Sequential(rx.RNN(1, HIDDEN, bias="input"), rx.LastStep(), rx.Linear(HIDDEN, 1))
    (recurrent,), last, linear = model.init(rx.get_backend("numpy", dtype=dtype))
    params = (
        (recurrent._replace(weight_ih=weights.Wxh, weight_hh=weights.Whh, bias_ih=weights.bh[:, 0]),),
        last,
        linear._replace(weight=weights.Why, bias=weights.by[:, 0]),
    )
    result = rx.fit(
        model,
        X,
        y,
        loss="binary_cross_entropy",
        optimizer=rx.SGD(RATE),
        backend="numpy",
        dtype=dtype,
        epochs=epochs,
        batch_size=1,
        shuffle=False,
        params=params,
        verbose=False,
    )
    return [record["loss"] for record in result.history]


def train_pytorch(X: np.ndarray, y: np.ndarray, weights: Weights, epochs: int) -> list[float]:
    """Return the average loss of every epoch; float32, PyTorch's default. Its second bias stays 0."""
    import torch

    torch.set_num_threads(1)
    rnn, linear = torch.nn.RNN(1, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, 1)
    start = {
        rnn.weight_ih_l0: weights.Wxh,
        rnn.weight_hh_l0: weights.Whh,
        rnn.bias_ih_l0: weights.bh[:, 0],
        rnn.bias_hh_l0: np.zeros(HIDDEN),
        linear.weight: weights.Why,
        linear.bias: weights.by[:, 0],
    }
    with torch.no_grad():
        for parameter, array in start.items():
            parameter.copy_(torch.from_numpy(array))
    rnn.bias_hh_l0.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in start if p.requires_grad], lr=RATE)
    criterion = torch.nn.BCEWithLogitsLoss()
    x_all, y_all = torch.from_numpy(X).float(), torch.from_numpy(y).float().reshape(-1, 1, 1)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for x, label in zip(x_all, y_all, strict=True):
            optimizer.zero_grad()
            h, _ = rnn(x[None])
            loss = criterion(linear(h[:, -1]), label)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(X))
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()

    dataset = rx.data.sign_of_sum(arguments.sequences, seed=arguments.seed)
    assert dataset.y is not None
    job = (dataset.X, dataset.y, draw_weights(arguments.seed), arguments.epochs)
    programs: dict[str, Callable[[], list[float]]] = {
        "tutorial's program": partial(train_tutorial, *job),
        "rnn_xp float64": partial(train_rnn_xp, *job, "float64"),
        "rnn_xp float32": partial(train_rnn_xp, *job, "float32"),
    }
    if importlib.util.find_spec("torch"):
        programs["PyTorch nn.RNN"] = partial(train_pytorch, *job)

    seconds: dict[str, list[float]] = {name: [] for name in programs}
    losses: dict[str, list[float]] = {}
    for _ in range(arguments.repetitions):
        for name, program in programs.items():
            start = time.perf_counter()
            losses[name] = program()
            seconds[name].append(time.perf_counter() - start)
    np.testing.assert_allclose(
        losses["rnn_xp float64"], losses["tutorial's program"], rtol=0, atol=1e-9, err_msg="not the same job"
    )

    results = summary(seconds, "tutorial's program")
    print(f"{'':20s} {'median s':>9s} {'ratio':>7s} {'loss of the last epoch':>23s}")
    for name in programs:
        median, ratio = results["medians"][name], results["ratios"][name]
        print(f"{name:20s} {median:9.3f} {ratio:7.2f} {losses[name][-1]:23.12f}")
    settings = {key: value for key, value in vars(arguments).items() if key != "out"}
    final = {name: values[-1] for name, values in losses.items()}
    write(
        arguments.out,
        "tutorial",
        ["rnn_xp", "numpy", "torch"],
        {"settings": settings, "final_loss": final, **results},
    )


if __name__ == "__main__":
    main()
