"""Scores of predictions, as scikit-learn defines them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def accuracy(
    predicted: NDArray[np.generic], y: NDArray[np.generic], weights: NDArray[np.float64] | None
) -> float:
    """Return the share of labels that were predicted, each with its weight."""
    return float(np.average(predicted == y, weights=weights))


def r2(predicted: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64] | None) -> float:
    """Return 1 - residual / variance, averaged over the outputs (N, K); a constant gives 1 if hit, else 0."""
    residual = np.average((y - predicted) ** 2, axis=0, weights=weights)
    variance = np.average((y - np.average(y, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
    constant = variance == 0
    ratio = np.where(
        constant, np.where(residual == 0, 0.0, 1.0), residual / np.where(constant, 1.0, variance)
    )
    return float(np.mean(1.0 - ratio))
