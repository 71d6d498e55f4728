"""What a linear map of a few averages of X tells of y: a bar for a network, and where X tells it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.train.feed.prepare import Prepared

Host = NDArray[Any]

ROWS = 2000
"""Targets that it is fitted to: a share of the variance is then known to some percent."""

FOLDS = 5
"""Each fifth is told from the other four."""

MOST = 600
"""Averages that a fit takes: more than that take seconds."""

SQUARED = 6
"""Features of which products are taken too: they tell of energy, frequency and company."""

RIDGES = (0.01, 0.3, 10.0)
"""What is added to the diagonal of the correlations, the best of them."""


class Readout(NamedTuple):
    """What is explained of targets by sequences that the map was not fitted to."""

    share: float  # of the variance, by all of the steps
    bins: tuple[tuple[int, int], ...]  # [from, to) steps before the target
    shares: tuple[float, ...]  # by each of the bins alone


def read(data: Prepared, loss: str, K: int) -> Readout:
    """Fit the map: for targets of sequences from their ends, for those of steps from the steps."""
    rows, steps = _rows(data)
    target = data.target
    assert target is not None
    y = indicators(loss, target[steps, rows] if data.per_step else target[rows], K)
    fold = rows % FOLDS
    bins = _bins(len(data.x))
    x = _scaled(data.x)
    parts = [_averages(x, rows, steps, *each) for each in bins]
    shares = tuple(_explained(part, y, fold) for part in parts)
    own = np.concatenate(parts, axis=1)
    if own.shape[1] > MOST:  # those bins that tell most alone
        best = np.argsort(shares)[::-1][: max(1, MOST // parts[0].shape[1])]
        own = np.concatenate([parts[i] for i in best], axis=1)
    return Readout(max(_explained(own, y, fold), *shares), tuple(bins), shares)


def indicators(loss: str, target: Host, K: int) -> Host:
    """Return targets as numbers (n, K): of classes, 1 for the true one."""
    if loss == "cross_entropy":
        return np.eye(K)[target]
    return target.astype(np.float64).reshape(len(target), -1)


def share(target: Host, answer: Host) -> float:
    """Return the share of the variance of `target` (n, K) that `answer` explains; 0 where there is none."""
    variance = float(((target - target.mean(axis=0)) ** 2).sum())
    with np.errstate(over="ignore"):
        error = float(((target - answer.astype(np.float64)) ** 2).sum())
    return 1 - error / variance if variance > 0 else 0.0


def _rows(data: Prepared) -> tuple[Host, Host]:
    """Return the sequence and the step of each target that is looked at."""
    T, N = data.x.shape[:2]
    ends = np.full(N, T) if data.lengths is None else data.lengths
    if data.per_step:
        valid = np.arange(T)[:, np.newaxis] < ends
        steps, rows = np.nonzero(valid)
    else:
        rows, steps = np.flatnonzero(ends > 0), ends[ends > 0] - 1
    chosen = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    return rows[chosen], steps[chosen]


def _bins(T: int) -> list[tuple[int, int]]:
    """Return how far back each average reaches: 0, 1, 2-3, 4-7, ... steps."""
    edges = [0, 1]
    while edges[-1] < T:
        edges.append(min(2 * edges[-1], T))
    return list(pairwise(edges))


def _scaled(x: Host) -> Host:
    """Return features with mean 0 and variance 1, of which products can be taken; tokens as they are."""
    if x.ndim == 2:
        return x
    x = x.astype(np.float64)
    x -= x.mean(axis=(0, 1))
    size = np.abs(x).max(axis=(0, 1))
    x /= np.where(size > 0, size, 1)
    deviation = x.std(axis=(0, 1))
    return x / np.where(deviation > 0, deviation, 1)


def _averages(x: Host, rows: Host, steps: Host, low: int, high: int) -> Host:
    """Return the averages (n, F) over the steps from `low` to `high` before each target; 0 where none are."""
    if x.ndim == 2:
        x = (x[:, :, np.newaxis] == np.arange(min(int(x.max()) + 1, MOST))).astype(np.float32)
    elif x.shape[2] <= SQUARED:
        i, j = np.triu_indices(x.shape[2])
        x_prev = np.concatenate([np.zeros_like(x[:1]), x[:-1]])
        x = np.concatenate([x, x[:, :, i] * x[:, :, j], x_prev * x], axis=2)
    total = np.zeros((len(rows), x.shape[2]))
    count = np.zeros((len(rows), 1))
    for lag in range(low, high):
        there = steps >= lag
        total[there] += x[steps[there] - lag, rows[there]]
        count[there] += 1
    return total / np.maximum(count, 1)


def _explained(X: Host, y: Host, fold: Host) -> float:
    """Return the share of the variance of y that is explained, each fold by the others."""
    X = X - X.mean(axis=0)
    X = X / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    answers = [np.zeros(y.shape) for _ in RIDGES]
    for held in range(FOLDS):
        test = fold == held
        train = ~test
        if not test.any() or not train.any():
            return 0.0
        mean = y[train].mean(axis=0)
        square = X[train].T @ X[train] / train.sum()
        product = X[train].T @ (y[train] - mean) / train.sum()
        for answer, ridge in zip(answers, RIDGES, strict=True):
            weight = np.linalg.solve(square + ridge * np.eye(len(square)), product)
            answer[test] = X[test] @ weight + mean
    return max(share(y, answer) for answer in answers)
