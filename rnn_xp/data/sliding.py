"""A series as windows and what follows them, with nothing of the future in the past."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks
from rnn_xp.data.sequences import numbers


def sliding_windows(
    series: ArrayLike, length: int, horizon: int, stride: int = 1
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return windows of a series, and the steps that follow each.

    Parameters
    ----------
    series : array of shape (T, C), or (T,) for a single channel
    length : int
        Steps of a window.
    horizon : int
        Steps that follow it.
    stride : int
        Steps from the beginning of a window to that of the next.

    Returns
    -------
    X : array of shape (N, length, C)
    y : array of shape (N, horizon, C)
        Both are read-only views: windows that overlap share their memory. N is the number of windows that
        fit whole, with what follows them.

    Raises
    ------
    TypeError
        If `series` does not hold real numbers, or another argument is no integer.
    ValueError
        If `series` has another shape, or not one window and its horizon.

    Examples
    --------
    >>> X, y = sliding_windows([0, 1, 2, 3, 4], length=2, horizon=1)
    >>> X[:, :, 0].tolist(), y[:, :, 0].tolist()
    ([[0, 1], [1, 2], [2, 3]], [[2], [3], [4]])
    """
    channels = as_channels("series", series)
    length, horizon = checks.integer("length", length), checks.integer("horizon", horizon)
    stride, whole = checks.integer("stride", stride), length + horizon
    if len(channels) < whole:
        msg = f"`series` must have at least length + horizon = {whole} steps; got {len(channels)}."
        raise ValueError(msg)
    views = sliding_window_view(channels, whole, axis=0)[::stride].transpose(0, 2, 1)
    return views[:, :length], views[:, length:]


def split_series(series: ArrayLike, held: float, length: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cut a series in time: what to train on, and what to test on.

    Parameters
    ----------
    series : array of shape (T, ...)
    held : int or float
        Steps to hold back, or a share of them below 1, rounded.
    length : int
        Steps of a window.

    Returns
    -------
    train, test : views of the series
        `test` begins with the last `length` steps of `train`: the first window in it, and only that much, is
        known by then, and everything that is to be forecast in it comes after `train`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the part before has no whole window.

    Examples
    --------
    >>> train, test = split_series([0, 1, 2, 3, 4, 5], held=2, length=3)
    >>> train.tolist(), test.tolist()
    ([0, 1, 2, 3], [1, 2, 3, 4, 5])
    """
    array = numbers("series", series)
    length = checks.integer("length", length)
    if array.ndim == 0:
        msg = "`series` must have shape (T, ...); got ()."
        raise ValueError(msg)
    if isinstance(held, float | np.floating):
        share = checks.number("held", held, high=1.0, open_low=True)
        held = max(1, round(share * len(array)))
    held = checks.integer("held", held)
    cut = len(array) - held
    if cut < length:
        msg = f"`held` must leave at least length = {length} of {len(array)} steps before it; got {held}."
        raise ValueError(msg)
    return array[:cut], array[cut - length :]


def as_channels(name: str, series: ArrayLike) -> NDArray[Any]:
    """Return a series (T, C); (T,) is a single channel."""
    array = numbers(name, series)
    if array.ndim not in (1, 2):
        msg = f"`{name}` must have shape (T, C), or (T,) for a single channel; got {array.shape}."
        raise ValueError(msg)
    return array[:, np.newaxis] if array.ndim == 1 else array
