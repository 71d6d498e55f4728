"""Channels of mean 0 and deviation 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp.data.arguments import names
from rnn_xp.data.sequences import check_finite, numbers, valid_steps


class Moments(NamedTuple):
    """What is to be known of the channels of some steps, to scale them; of each channel, (C,)."""

    number: NDArray[np.float64]  # of steps, or the sum of their weights
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, steps: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> Moments:
        """Return those of steps (n, C), n > 0."""
        count = np.full(steps.shape[1], len(steps) if weights is None else weights.sum(), dtype=np.float64)
        with np.errstate(all="ignore"):
            mean = np.average(steps, axis=0, weights=weights)
            variance = np.average((steps - mean) ** 2, axis=0, weights=weights)
        return cls(count, mean, variance, steps.min(axis=0), steps.max(axis=0))

    @classmethod
    def joined(cls, parts: Sequence[Moments]) -> Moments:
        """Return those of the steps of all parts, of which one at least holds some.

        Examples
        --------
        >>> parts = [Moments.of(np.array([[1.0], [3.0]])), Moments.of(np.array([[8.0]]))]
        >>> whole = Moments.joined(parts)
        >>> whole.mean.tolist(), whole.high.tolist()
        ([4.0], [8.0])
        """
        filled = [part for part in parts if part.number.any()]
        if len(filled) == 1:
            return filled[0]
        count, mean, variance, low, high = (np.stack(each) for each in zip(*filled, strict=True))
        with np.errstate(all="ignore"):
            whole = np.average(mean, axis=0, weights=count)
            spread = np.average(variance + (mean - whole) ** 2, axis=0, weights=count)
        return cls(count.sum(axis=0), whole, spread, low.min(axis=0), high.max(axis=0))

    def scaling(self, features: Sequence[str] = ()) -> Scaling:
        """Return the scaling by them, or say which channel allows none; see `fit_scaling`."""
        # The deviation of a constant can be a tiny number instead of 0, by rounding.
        std = np.where(self.low == self.high, 1.0, np.sqrt(self.variance))
        wild = np.flatnonzero(~np.isfinite(self.mean + std) | (std == 0))
        if len(wild):
            name = features[wild[0]] if features else f"channel {wild[0]}"
            way = "underflows; scale them up" if std[wild[0]] == 0 else "overflows; scale them down"
            msg = f"column {name}: the spread of its values {way}, or check them."
            raise ValueError(msg)
        return Scaling(self.mean, std)


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
    features = names("features", features)
    return find_moments(X, lengths, features, weights).scaling(features)


def find_moments(
    X: ArrayLike,
    lengths: ArrayLike | None = None,
    features: Sequence[str] = (),
    weights: NDArray[np.float64] | None = None,
) -> Moments:
    """Return what `fit_scaling` makes its scaling of, from the same arguments."""
    X = numbers("X", X)
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
    return Moments.of(steps, share)
