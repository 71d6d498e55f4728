"""This package, as its own training loop runs it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import tutorial as program

import rnn_xp as rx
from cpu_speed.job import PARAMETERS, Job, drawn, stored
from rnn_xp.layers import Context
from rnn_xp.sequence import Params


def start() -> dict[str, Any]:
    """Say which instructions NumPy knows of, and what its BLAS is; the environment has set its threads."""
    simd = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return {"rnn_xp": rx.__version__, "numpy": np.__version__, "simd": simd, "blas": blas()}


def blas() -> dict[str, Any] | None:
    """Say what threadpoolctl knows of the BLAS that NumPy has loaded; None where it is not installed."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    kept = ("internal_api", "version", "architecture", "num_threads", "threading_layer")
    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return {name: found[0].get(name) for name in kept} if found else None


def layer(cell: str, T: int, B: int, D: int, H: int) -> Job:
    """Run a layer forward, and forward and back, in the memory of the call before, as `fit` does."""
    a = drawn(cell, T, B, D, H)
    layer, params = getattr(rx, cell)(D, H), (Params(*(a[name] for name in PARAMETERS)),)
    xp = rx.get_backend("numpy").xp
    context = Context(xp, memory={}, states=False)

    def train() -> Any:
        y, _, kept = layer.run(params, a["x"], None, context)
        return y, layer.run_back(params, kept, a["d_y"], None, False, xp=xp)[0]

    def inference() -> Any:
        return layer.run(params, a["x"], None, context)[0]

    def answers() -> dict[str, Any]:
        _, (gradients,) = train()
        return {"y": inference(), **{name: getattr(gradients, name) for name in PARAMETERS}}

    return Job({"train": train, "inference": inference}, answers)


def stream(D: int, H: int, steps: int) -> Job:
    """Run one step of an LSTM through `model.stream`."""
    a = drawn("LSTM", steps, 1, D, H)
    model = rx.Sequential(rx.LSTM(D, H))
    stream = model.stream(((Params(*(a[name] for name in PARAMETERS)),),), batch_size=1)
    step, one = stream.step, a["x"][0]

    def answers() -> dict[str, Any]:
        return {"y": np.stack([np.array(step(x)) for x in a["x"]])}

    return Job({"step": lambda: step(one)}, answers)


def tutorial(file: str, epochs: int) -> Job:
    """Do the tutorial's job through `fit`."""
    data = stored(file)
    weights = program.Weights(*(data[name] for name in program.Weights._fields))
    run = partial(program.train_rnn_xp, data["X"], data["y"], weights, epochs)
    return Job({dtype: partial(run, dtype) for dtype in ("float32", "float64")})


def vowels(file: str, epochs: int, batch: int, hidden: int, rate: float) -> Job:
    """Tell speakers apart: a GRU both ways, the mean of its outputs, Adam, cosine, clipped gradients."""
    data = stored(file)
    X, y, lengths = (data[name] for name in ("X", "y", "lengths"))
    model = rx.Sequential(
        rx.GRU(X.shape[2], hidden, bidirectional=True),
        rx.MeanPool(),
        rx.Linear(2 * hidden, len(data["linear.weight"])),
    )

    def run(dtype: str) -> list[float]:
        backend = rx.get_backend("numpy", dtype=dtype)
        parts = {
            prefix: {name.removeprefix(prefix): data[name] for name in data if name.startswith(prefix)}
            for prefix in ("gru.", "linear.")
        }
        take = rx.interop.torch.from_state_dict
        params = (
            take(model.layers[0], parts["gru."], backend),
            (),
            take(model.layers[2], parts["linear."], backend),
        )
        result = rx.fit(
            model,
            X,
            y,
            lengths=lengths,
            optimizer=rx.Adam(rate),
            schedule=rx.schedules.cosine(epochs * -(-len(X) // batch)),
            clip_norm=1.0,
            backend=backend,
            epochs=epochs,
            batch_size=batch,
            shuffle=False,
            params=params,
            verbose=False,
        )
        return [each["loss"] for each in result.history]

    return Job({dtype: partial(run, dtype) for dtype in ("float32", "float64")})


def fit(T: int, B: int, D: int, H: int, steps: int) -> Job:
    """Train an LSTM for so many steps of a batch."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((steps * B, T, D))
    y = (X.sum(axis=(1, 2)) > 0).astype(np.int64)
    model = rx.Sequential(rx.LSTM(D, H), rx.LastStep(), rx.Linear(H, 2))

    def run() -> list[float]:
        result = rx.fit(
            model, X, y, backend="numpy", batch_size=B, epochs=1, optimizer=rx.Adam(0.01), verbose=False
        )
        return [each["loss"] for each in result.history]

    return Job({"fit": run})


def sgemm(size: int) -> Job:
    """Multiply two square matrices in float32."""
    a = np.random.default_rng(0).random((size, size), dtype=np.float32)
    out = np.empty_like(a)
    return Job({"sgemm": lambda: np.matmul(a, a, out=out)})


JOBS = {
    "layer": layer,
    "stream": stream,
    "tutorial": tutorial,
    "vowels": vowels,
    "fit": fit,
    "sgemm": sgemm,
}
