"""The scaling of a training part in which some series count for more than others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rnn_xp.data import Scaling, fit_scaling, valid_steps


def weighted_scaling(
    X: NDArray[np.float64], lengths: NDArray[np.int64] | None, weights: NDArray[np.float64] | None
) -> Scaling:
    """Return mean and deviation of each channel of `X` (N, T, C); a series of weight 2 counts twice."""
    if weights is not None:  # what counts for nothing is not there
        counts = weights > 0
        X, weights = X[counts], weights[counts]
        lengths = None if lengths is None else lengths[counts]
    scaling = fit_scaling(X.swapaxes(0, 1), lengths)
    if weights is None or (weights == weights[0]).all():
        return scaling
    valid = valid_steps(X.shape[1], len(X), lengths).T
    steps, share = X[valid], np.broadcast_to(weights[:, np.newaxis], valid.shape)[valid]
    mean = np.average(steps, axis=0, weights=share)
    std = np.sqrt(np.average((steps - mean) ** 2, axis=0, weights=share))
    constant = steps.max(axis=0) == steps.min(axis=0)
    return Scaling(mean, np.where(constant, 1.0, std))
