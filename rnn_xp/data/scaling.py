"""Channels of mean 0 and deviation 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp.data.arguments import names
from rnn_xp.data.sequences import check_finite, numbers, valid_steps


class Scaling(NamedTuple):
    """Mean and standard deviation of each channel, both of shape (C,)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @property
    def is_usable(self) -> bool:
        """Whether it makes numbers of numbers, as one from a file may not."""
        return bool(np.isfinite(self).all() and (self.std > 0).all())

    def apply(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return `X` (..., C) with each channel shifted and divided: (X - mean) / std.

        Raises
        ------
        TypeError
            If `X` does not hold real numbers.
        ValueError
            If it has another number of channels.
        """
        X = numbers("X", X)
        if X.ndim == 0 or X.shape[-1] != len(self.mean):
            msg = f"`X` must have shape (..., C) with C = {len(self.mean)}, as in training; got {X.shape}."
            raise ValueError(msg)
        scaled: NDArray[np.float64] = (X - self.mean) / self.std
        return scaled


def fit_scaling(
    X: ArrayLike,
    lengths: ArrayLike | None = None,
    features: Sequence[str] = (),
    weights: NDArray[np.float64] | None = None,
) -> Scaling:
    """Return the mean and the (population) standard deviation of each channel of `X` (T, N, C).

    Only valid steps count, each as much as its sequence's weight in `weights` (N,): 2 is as if it were there
    twice, 0 as if it were not there. A channel that never changes gets the standard deviation 1, so that it
    becomes 0.

    Raises
    ------
    TypeError
        If `X` does not hold real numbers.
    ValueError
        If it has other axes, no valid step, a valid value that is not finite, or values so large that their
        spread overflows; the channel is then called by its name in `features`, if they are given.

    Examples
    --------
    >>> fit_scaling(np.array([[[1.0]], [[3.0]], [[99.0]]]), lengths=[2])
    Scaling(mean=array([2.]), std=array([1.]))
    """
    X, features = numbers("X", X), names("features", features)
    if X.ndim != 3 or (features and len(features) != X.shape[2]):
        named = f" with C = {len(features)}, as many as there are `features`" if features else ""
        msg = f"`X` must have shape (T, N, C){named}; got {X.shape}."
        raise ValueError(msg)
    valid = valid_steps(X.shape[0], X.shape[1], lengths)
    share = None
    if weights is not None:
        valid &= weights > 0
        share = np.broadcast_to(weights, valid.shape)[valid]
        share = None if (share == share[:1]).all() else share
    steps = X[valid].astype(np.float64)
    if len(steps) == 0:
        msg = f"`X` must hold at least one valid step to fit a scaling; got shape {X.shape} with none."
        raise ValueError(msg)
    check_finite("X", X, lengths)
    # The deviation of a constant can be a tiny number instead of 0, by rounding.
    constant = steps.max(axis=0) == steps.min(axis=0)
    with np.errstate(all="ignore"):
        mean = np.average(steps, axis=0, weights=share)
        std = np.sqrt(np.average((steps - mean) ** 2, axis=0, weights=share))
        scaling = Scaling(mean, np.where(constant, 1.0, std))
    wild = np.flatnonzero(~np.isfinite(scaling.mean + scaling.std) | (scaling.std == 0))
    if len(wild):
        name = features[wild[0]] if features else f"channel {wild[0]}"
        way = "underflows; scale them up" if scaling.std[wild[0]] == 0 else "overflows; scale them down"
        msg = f"column {name}: the spread of its values {way}, or check them."
        raise ValueError(msg)
    return scaling
