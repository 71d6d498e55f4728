"""`rnn-xp doctor`: what is installed here, and whether its gradients are right."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import available
from rnn_xp.cli.output import Output, table

TOLERANCE = 1e-7
"""Central differences of a step of 1e-5 are right to about 1e-10 in float64."""

STEP = 1e-5

LAYERS = {
    "rnn": rx.RNN(2, 3),
    "gru, reset after": rx.GRU(2, 3),
    "gru, reset before": rx.GRU(2, 3, reset="before"),
    "lstm": rx.LSTM(2, 3),
}

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def doctor(given: Mapping[str, Any]) -> int:
    """Report, check, and fail where a check does."""
    output = Output(json=given.get("json", False))
    report = {"system": system(), "backends": available()}
    for values in report.values():
        for name, value in values.items():
            output.line(f"{name:<22} {short(str(value))}")
        output.line("")
    backend = rx.get_backend(given.get("backend"), device=given.get("device"), dtype="float64")
    errors = {name: gradient_error(layer, backend) for name, layer in LAYERS.items()}
    rows = [[name, f"{error:.1e}", "ok" if error < TOLERANCE else "WRONG"] for name, error in errors.items()]
    output.line(f"gradients on {backend.name}, {backend.device}, against central differences:")
    output.line(table(["cell", "error", ""], rows))
    ok = all(error < TOLERANCE for error in errors.values())
    checked = [
        {"cell": name, "relative_error": error, "ok": error < TOLERANCE} for name, error in errors.items()
    ]
    output.record({"result": {**report, "backend": backend.name, "gradients": checked, "ok": ok}})
    return 0 if ok else 1


def short(reason: str) -> str:
    """Return the first sentence of why a backend cannot be had; anything else as it is."""
    if not reason.startswith('backend "'):
        return reason
    first = reason.partition(": ")[2].split(". ")[0]
    return re.sub(r"^ModuleNotFoundError: .*|^CuPy is not installed", "not installed", first)


def system() -> dict[str, Any]:
    """Return versions, and what decides how fast this machine computes."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    try:
        compat = version("array-api-compat")
    except PackageNotFoundError:
        compat = "not installed"
    return {
        "rnn_xp": rx.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "array-api-compat": compat,
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **{name: os.environ.get(name, "not set") for name in THREADS},
    }


def gradient_error(layer: Any, backend: rx.Backend) -> float:
    """Return the relative error of a layer's gradients, each along a direction drawn at random."""
    rng = np.random.default_rng(0)
    params = tree.map(backend.to_numpy, layer.init(backend, seed=0))
    x = rng.standard_normal((4, 2, 2))
    _, state, _ = layer.forward(*_on(backend, params, x))
    inputs = (params, x, tree.map(lambda leaf: rng.standard_normal(tuple(leaf.shape)), state))
    y, state_T, tape = layer.forward(*_on(backend, *inputs), lengths=[4, 2])
    d_y, d_state_T = tree.map(lambda leaf: rng.standard_normal(tuple(leaf.shape)), (y, state_T))
    exact = layer.backward(*_on(backend, params), tape, *_on(backend, d_y, d_state_T))

    def weighted() -> float:
        y, state_T, _ = layer.forward(*_on(backend, *inputs), lengths=[4, 2])
        pairs = zip(tree.leaves((y, state_T)), tree.leaves((d_y, d_state_T)), strict=True)
        return float(sum(np.sum(backend.to_numpy(value) * d) for value, d in pairs))

    analytic, numeric = [], []
    for leaf, gradient in zip(tree.leaves(inputs), tree.leaves(exact), strict=True):
        old, direction = leaf.copy(), rng.standard_normal(leaf.shape)
        analytic.append(float(np.sum(backend.to_numpy(gradient) * direction)))
        leaf[...] = old + STEP * direction
        above = weighted()
        leaf[...] = old - STEP * direction
        numeric.append((above - weighted()) / (2 * STEP))
        leaf[...] = old
    return float(np.linalg.norm(np.subtract(analytic, numeric)) / np.linalg.norm(numeric))


def _on(backend: rx.Backend, *trees: Any) -> Any:
    """Move trees to the backend."""
    return tree.map(backend.asarray, trees)
