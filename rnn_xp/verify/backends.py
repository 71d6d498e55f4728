"""Parity: two backends, one seed, the same numbers: forward, backward and a whole training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import Backend, get_backend
from rnn_xp.layers import LastStep, Layer, Linear
from rnn_xp.model import Sequential
from rnn_xp.optim import Adam
from rnn_xp.random import Rng
from rnn_xp.train.fit import fit
from rnn_xp.typing import Tree
from rnn_xp.verify.problems import Problem, check_layer, problem
from rnn_xp.verify.report import FAILED, SKIPPED, Finding, Report, measured

LIMIT = 100.0
"""Of an error over sqrt(T), in eps; in training, of that over sqrt(steps) too."""

SEQUENCES, BATCH, CLASSES = 40, 8, 3


def parity(
    layer: Layer,
    backend: str | Backend,
    other: str | Backend = "numpy",
    *,
    dtype: str = "float64",
    params: Tree | None = None,
    x: Any = None,
    lengths: Sequence[int] | None = None,
    steps: int = 100,
    seed: int = 0,
) -> Report:
    """Compare a layer or model on two backends, from the same weights, data and random bits.

    Parameters
    ----------
    layer : Layer
        One of rnn_xp's, or a `Sequential`; its dropout is on.
    backend, other : str or Backend
        Names, or backends of that dtype.
    dtype : {"float64", "float32"}
    params, x, lengths : optional
        As `layer.forward` takes them, drawn by default.
    steps : int
        Of a training by Adam with clipping, a batch of 8 each, rounded up to epochs of 5; 0 leaves it out.
    seed : int

    Returns
    -------
    Report
        A finding for every tensor: the error max|a - b| / max|b| in eps, and in `detail` that of the norms.
        The limit is 100 sqrt(T) eps; for the losses and weights of a training, sqrt(steps) as much.

    Raises
    ------
    TypeError, ValueError, BackendError
        Where an argument is not as described.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> report = parity(rx.GRU(2, 3), "array_api_strict", steps=5)
    >>> report.passed, report.findings[0].subject
    (True, 'y')
    """
    check_layer(layer)
    dtype = checks.one_of("dtype", dtype, ("float64", "float32"))
    steps, seed = checks.integer("steps", steps, 0), checks.integer("seed", seed, 0, 2**32 - 1)
    pair = [get_backend(each, dtype=dtype) for each in (backend, other)]
    if pair[0].name == pair[1].name and pair[0].device == pair[1].device:
        msg = f"`other` must be another library or device than `backend`; got {pair[0].name} twice."
        raise ValueError(msg)
    generator = np.random.default_rng(seed)
    rng = Rng(seed, 0)
    given = problem(layer, params, x, None, lengths, rng, generator).rounded(dtype)
    names = f"{pair[0].name} ({pair[0].device}) and {pair[1].name} ({pair[1].device})"
    limit = LIMIT * math.sqrt(max(1, given.steps))
    one, two = (_answers(layer, given, each) for each in pair)
    findings = _compare("forward and backward", one, two, limit, dtype)
    if steps:
        one, two = (_training(layer, given, each, steps, seed) for each in pair)
        findings += _compare(f"{steps} training steps", one, two, limit * math.sqrt(steps), dtype)
    return Report(f"parity of {layer!r} on {names}, {dtype}", tuple(findings))


def _answers(layer: Layer, given: Problem, backend: Backend) -> Tree:
    """Return all that forward and backward give, on the host."""

    def own(value: Tree) -> Tree:
        return tree.map(backend.asarray, value)

    params = own(given.params)
    y, state_T, tape = layer.forward(params, own(given.x), own(given.state_0), given.lengths, given.rng)
    d_params, d_x, d_state_0 = layer.backward(params, tape, own(given.d_y), own(given.d_state_T))
    answers = {"y": y, "state_T": state_T, "d_params": d_params, "d_x": d_x, "d_state_0": d_state_0}
    return tree.map(backend.to_numpy, answers)


def _training(layer: Layer, given: Problem, backend: Backend, steps: int, seed: int) -> Tree:
    """Return the losses of the epochs and the weights after a training as users run it."""
    model = _classifier(layer)
    rng = np.random.default_rng(seed)
    T = max(1, given.steps)
    x = given.x
    if given.tokens:
        X: Any = rng.integers(0, int(x.max(initial=0)) + 1, (SEQUENCES, T))
    else:
        X = rng.standard_normal((SEQUENCES, T, x.shape[-1]))
    lengths = rng.integers(1, T + 1, SEQUENCES)
    result = fit(
        model,
        X,
        rng.integers(0, CLASSES, SEQUENCES),
        lengths=lengths,
        optimizer=Adam(0.01),
        clip_norm=1.0,
        batch_size=BATCH,
        epochs=math.ceil(steps * BATCH / SEQUENCES),
        backend=backend,
        seed=seed,
        verbose=False,
    )
    losses = np.asarray([record["loss"] for record in result.history])
    return {"losses": losses, "weights": tree.map(backend.to_numpy, result.params)}


def _classifier(layer: Layer) -> Sequential:
    """Return a model that ends in a choice of classes."""
    model = Sequential(layer)
    parts = [layer, LastStep()] if model.per_step else [layer]
    size = model.output_size
    if size is None:
        msg = f"`layer` must tell how many outputs it has; got {layer!r}: end a Sequential in Linear."
        raise ValueError(msg)
    return Sequential(*parts, Linear(size, CLASSES))


def _compare(check: str, one: Tree, other: Tree, limit: float, dtype: str) -> list[Finding]:
    """Return a finding for each tensor."""
    eps = float(np.finfo(dtype).eps)
    findings = []
    for (name, a), (_, b) in zip(tree.named_leaves(one), tree.named_leaves(other), strict=True):
        if not b.size:
            continue
        if not np.all(np.isfinite(b)):
            findings.append(Finding(check, name, FAILED, detail="it is not finite"))
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        gap, scale = float(np.max(np.abs(a - b))), float(np.max(np.abs(b)))
        if not scale and not gap:
            findings.append(Finding(check, name, SKIPPED, detail="it is zero on both sides"))
            continue
        error = gap / (scale * eps) if scale else math.inf
        size = float(np.linalg.norm(b))
        relative = float(np.linalg.norm(a - b)) / size if size else gap
        findings.append(measured(check, name, error, limit, "eps", f"norm-relative {relative:.2g}"))
    return findings
