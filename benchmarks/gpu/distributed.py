"""NCCL: a training of one process whose sums go through it gives the weights of one without it."""

from __future__ import annotations

from typing import Any

import numpy as np

import rnn_xp as rx
from gpu.check import DTYPES, Check
from gpu.session import told
from rnn_xp.distributed import NCCL, Alone, Communicator

BLOCKS = 16


def run(check: Check, results: dict[str, Any]) -> None:
    """Train with and without it: bit for bit the same, as a sum of one is that one."""
    rows = results["trainings"] = []
    for dtype in check.session.while_time_lasts(list(DTYPES), str):
        try:
            row = compare(check, dtype)
        except Exception as error:  # NCCL may not be there
            check.session.fail(f"distributed, {dtype}: {told(error)}")
            continue
        rows.append(row)
        if not row["passed"]:
            check.session.fail(f"distributed, {dtype}: weights differ by {row['difference']:.1e}")
        check.session.say(
            f"distributed {row['communicator']}, {dtype}: weights differ by {row['difference']:.1e}"
        )


def compare(check: Check, dtype: str) -> dict[str, Any]:
    """Return what the weights of both differ by."""
    T, B, D, H = check.sizes.training_shape
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((B, T, D)), rng.integers(0, 2, B)
    model = rx.Sequential(rx.LSTM(D, H), rx.LastStep(), rx.Linear(H, 2))
    ranks: Communicator = Alone() if check.dry_run else NCCL(Alone())
    weights = []
    for distributed in (None, ranks):
        backend = check.open(dtype)
        options = {"blocks": BLOCKS, "batch_size": B, "epochs": check.sizes.training_steps, "verbose": False}
        result = rx.fit(model, X, y, **options, backend=backend, distributed=distributed)
        leaves = [backend.to_numpy(leaf).ravel() for layer in result.params for leaf in _leaves(layer)]
        weights.append(np.concatenate(leaves))
    row = {"communicator": repr(ranks), "dtype": dtype, "steps": check.sizes.training_steps}
    row["difference"] = float(np.abs(weights[1] - weights[0]).max())
    return row | {"passed": weights[0].tobytes() == weights[1].tobytes()}


def _leaves(params: Any) -> list[Any]:
    """Return the arrays of a layer's parameters."""
    if isinstance(params, tuple):
        return [leaf for part in params if part is not None for leaf in _leaves(part)]
    return [params]
