"""The best answer that is the same for every sequence: what a model gives that reads nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Host = NDArray[Any]

RARE = 1e-7
"""Least frequency: that of a class that is not there has a logarithm too."""


def constant_outputs(loss: str, target: Host, weight: Host, K: int) -> Host:
    """Return the outputs (n, K) of that answer for targets (n,) or (n, K).

    Examples
    --------
    >>> outputs = constant_outputs("cross_entropy", np.array([0, 1, 1, 1]), np.ones(4), 2)
    >>> np.exp(outputs[0]).round(2)
    array([0.25, 0.75])
    """
    if loss == "cross_entropy":
        frequency = np.bincount(target, weight, K) / weight.sum()
        answer = np.log(np.maximum(frequency, RARE))
    elif loss == "binary_cross_entropy":
        mean = np.clip(np.average(target, axis=0, weights=weight), RARE, 1 - RARE)
        answer = np.log(mean) - np.log1p(-mean)
    elif loss == "huber":
        answer = _balance(target.astype(np.float64), weight)
    else:
        answer = np.average(target, axis=0, weights=weight)
    return np.broadcast_to(answer, (len(target), K)).astype(np.float64)


def _balance(target: Host, weight: Host) -> Host:
    """Return where the slopes of the Huber loss of all targets (n, K) add up to 0, by bisection."""
    low, high = target.min(axis=0), target.max(axis=0)
    for _ in range(100):
        middle = (low + high) / 2
        rises = np.average(np.clip(middle - target, -1, 1), axis=0, weights=weight) > 0
        low, high = np.where(rises, low, middle), np.where(rises, middle, high)
    best: Host = (low + high) / 2
    return best
