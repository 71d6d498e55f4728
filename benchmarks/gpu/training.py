"""Training: a hundred steps of `fit` on the device and on NumPy, loss by loss."""

from __future__ import annotations

from typing import Any

import numpy as np

import rnn_xp as rx
from gpu.check import DTYPES, Check
from gpu.session import told

LIMITS = {"float32": 1e-3, "float64": 1e-10}
"""Of every loss, relative to the first one: a hundred steps of Adam amplify the roundings of the first."""

CELLS = {"rnn": rx.RNN, "gru": rx.GRU, "lstm": rx.LSTM}


def run(check: Check, results: dict[str, Any]) -> None:
    """Train each cell on both."""
    results["limits"] = LIMITS
    rows = results["trainings"] = []
    cases = [(cell, dtype) for dtype in DTYPES for cell in CELLS]
    for cell, dtype in check.session.while_time_lasts(cases, ", ".join):
        try:
            row = compare(check, cell, dtype)
        except Exception as error:  # the next cell may work
            check.session.fail(f"{cell}, {dtype}: {told(error)}")
            continue
        rows.append(row)
        if not row["passed"]:
            check.session.fail(f"{cell}, {dtype}: losses differ by {row['difference']:.1e}")
        check.session.say(f"training {cell}, {dtype}: losses differ by {row['difference']:.1e} at most")


def compare(check: Check, cell: str, dtype: str) -> dict[str, Any]:
    """Return what the losses of both differ by."""
    T, B, D, H = check.sizes.training_shape
    rng = np.random.default_rng(0)
    X, lengths = rng.standard_normal((B, T, D)), rng.integers(1, T + 1, B)
    X[np.arange(T) >= lengths[:, np.newaxis]] = 0
    y = (X.sum(axis=(1, 2)) > 0).astype(np.int64)
    model = rx.Sequential(CELLS[cell](D, H), rx.LastStep(), rx.Linear(H, 2))
    seconds, losses = {}, {}
    for name, backend in (("numpy", rx.get_backend("numpy", dtype=dtype)), ("device", check.open(dtype))):
        result = rx.fit(
            model,
            X,
            y,
            lengths=lengths,
            batch_size=B,  # an epoch is a step, and its loss is known
            epochs=check.sizes.training_steps,
            optimizer=rx.Adam(0.01),
            clip_norm=1.0,
            backend=backend,
            verbose=False,
        )
        losses[name] = np.asarray([record["loss"] for record in result.history])
        seconds[name] = result.train_seconds
    gaps = np.abs(losses["device"] - losses["numpy"]) / losses["numpy"][0]
    row = {"cell": cell, "dtype": dtype, "steps": len(gaps), "seconds": seconds}
    row |= {"first_loss": float(losses["numpy"][0]), "last_loss": float(losses["numpy"][-1])}
    row["difference"] = float(np.max(gaps))
    row["passed"] = bool(row["difference"] <= LIMITS[dtype])  # a NaN is below nothing
    return row
