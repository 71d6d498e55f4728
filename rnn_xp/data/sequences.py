"""Sequences of unequal length as one padded array: layout, lengths, scaling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks

Layout: TypeAlias = Literal["NTC", "TNC", "NCT"]
"""The order of the axes of data: N sequences, T steps, C channels."""

_TO_TIME_MAJOR = {"NTC": (1, 0, 2), "TNC": (0, 1, 2), "NCT": (2, 0, 1)}
_TOKENS_TO_TIME_MAJOR = {"NTC": (1, 0), "TNC": (0, 1)}


class Dataset(NamedTuple):
    """Sequences with what is to be predicted for them.

    Attributes
    ----------
    X : array of shape (N, T, C), float64, or (N, T), int64
        N sequences of at most T steps and C channels, zero past each sequence's end; or tokens.
    y : array of shape (N,), (N, T) or (N, K), or None
        Class indices (int64) or numbers (float64), for each sequence or for each step; None: not known.
    lengths : array of shape (N,), int64, or None
        Steps of each sequence; None: all have T.
    classes : tuple of str, or None
        The names that class indices stand for; None: `y` holds numbers.
    features : tuple of str
        The names of the channels; empty for tokens.
    """

    X: NDArray[Any]
    y: NDArray[Any] | None = None
    lengths: NDArray[np.int64] | None = None
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] = ()


def with_features(dataset: Dataset, features: Sequence[str]) -> Dataset:
    """Return `dataset` with its channels in the order of `features`, those of a trained model.

    Raises
    ------
    ValueError
        If its channels have other names.

    Examples
    --------
    >>> test = Dataset(np.array([[[1.0, 2.0]]]), features=("b", "a"))
    >>> with_features(test, ("a", "b")).X.tolist()
    [[[2.0, 1.0]]]
    """
    if sorted(dataset.features) != sorted(features):
        must, came = (", ".join(map(repr, names)) or "none" for names in (features, dataset.features))
        msg = f"`dataset` must hold the features {must}; got {came}."
        raise ValueError(msg)
    if dataset.features == tuple(features):
        return dataset
    order = [dataset.features.index(name) for name in features]
    return dataset._replace(X=dataset.X[..., order], features=tuple(features))


class Scaling(NamedTuple):
    """Mean and standard deviation of each channel, both of shape (C,)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def apply(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return `X`, channels last, with each channel shifted and divided: (X - mean) / std."""
        if X.ndim == 0 or X.shape[-1] != len(self.mean):
            msg = f"`X` must have shape (..., C) with C = {len(self.mean)}, as in training; got {X.shape}."
            raise ValueError(msg)
        scaled: NDArray[np.float64] = (X - self.mean) / self.std
        return scaled


def pad(sequences: Iterable[ArrayLike]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Put sequences of unequal length into one array, zero past each end.

    Parameters
    ----------
    sequences : iterable of arrays of shape (T_i, C) or (T_i,)
        One-dimensional sequences are tokens where all hold integers, otherwise a single channel.

    Returns
    -------
    X : array of shape (N, T, C), float64, or (N, T), int64 for tokens
    lengths : array of shape (N,), int64

    Raises
    ------
    TypeError
        If a sequence does not hold real numbers.
    ValueError
        If there are no sequences, or they differ in their number of channels.

    Examples
    --------
    >>> X, lengths = pad([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]])
    >>> X.shape, lengths.tolist(), X[0].tolist()
    ((2, 2, 2), [1, 2], [[1.0, 2.0], [0.0, 0.0]])
    """
    arrays = [numbers(f"sequences[{index}]", sequence) for index, sequence in enumerate(sequences)]
    if not arrays:
        msg = "`sequences` must hold at least one sequence; got none."
        raise ValueError(msg)
    first = arrays[0]
    for index, array in enumerate(arrays):
        if array.ndim not in (1, 2) or array.ndim != first.ndim or array.shape[1:] != first.shape[1:]:
            msg = (
                "`sequences` must all have shape (T_i, C) with one C, or all (T_i,); "
                f"got {first.shape} at index 0 and {array.shape} at index {index}."
            )
            raise ValueError(msg)
    tokens = first.ndim == 1 and all(array.dtype.kind in "iu" for array in arrays)
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    shape = (len(arrays), int(lengths.max()), *first.shape[1:])
    X = np.zeros(shape, dtype=np.int64 if tokens else np.float64)
    for row, array in zip(X, arrays, strict=True):
        row[: len(array)] = array
    return (X if tokens or X.ndim == 3 else X[:, :, np.newaxis]), lengths


def to_time_major(name: str, X: ArrayLike, layout: str) -> NDArray[Any]:
    """Return a time-major view of `X`: (T, N, C), or (T, N) for tokens.

    Parameters
    ----------
    name : str
        What errors call `X`.
    X : array of three axes in the order of `layout`, or integers (tokens) of two
    layout : {"NTC", "TNC", "NCT"}
        The order of the axes; tokens have no C, so theirs is the order that "NTC" or "TNC" gives to N and T.

    Raises
    ------
    TypeError
        If `X` does not hold real numbers, or is a masked array.
    ValueError
        If `layout` is unknown, or `X` has another number of axes.

    Examples
    --------
    >>> to_time_major("X", np.zeros((5, 3, 7)), "NCT").shape
    (7, 5, 3)
    """
    checks.one_of("layout", layout, _TO_TIME_MAJOR)
    array = numbers(name, X)
    if array.ndim == 3:
        return array.transpose(_TO_TIME_MAJOR[layout])
    if array.ndim != 2 or array.dtype.kind not in "iu":
        msg = (
            f"`{name}` must have three axes, {', '.join(layout)} (`layout`), or be integer tokens with two; "
            f"got {array.dtype} of shape {array.shape}. A single channel needs an axis: X[..., np.newaxis]."
        )
        raise ValueError(msg)
    if layout not in _TOKENS_TO_TIME_MAJOR:
        msg = f'`layout` must be "NTC" or "TNC" for tokens, which have no channels; got {layout!r}.'
        raise ValueError(msg)
    return array.transpose(_TOKENS_TO_TIME_MAJOR[layout])


def valid_steps(steps: int, batch: int, lengths: ArrayLike | None) -> NDArray[np.bool_]:
    """Return the mask (T, N) of the steps that belong to a sequence.

    Examples
    --------
    >>> valid_steps(2, 3, [0, 1, 2]).astype(int).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    if lengths is None:
        return np.ones((steps, batch), dtype=np.bool_)
    return np.arange(steps)[:, np.newaxis] < np.array(checks.lengths(lengths, batch, steps), dtype=np.int64)


def check_finite(name: str, X: NDArray[Any], lengths: ArrayLike | None = None) -> None:
    """Refuse NaN and infinity in the valid steps of `X` (T, N, C) or (T, N); padding may hold anything.

    Raises
    ------
    ValueError
        With the place of the first such value, in the order of samples, then steps, then features.
    """
    bad = ~np.isfinite(X)
    if not bad.any():
        return
    bad &= valid_steps(X.shape[0], X.shape[1], lengths).reshape(X.shape[:2] + (1,) * (X.ndim - 2))
    places = np.argwhere(bad.swapaxes(0, 1))
    if len(places):
        sample, step, *feature = places[0].tolist()
        where = f"sample {sample}, step {step}" + "".join(f", feature {index}" for index in feature)
        msg = (
            f"`{name}` holds {X[step, sample, *feature]} at {where}; every valid step must be finite "
            f"({len(places)} value(s) are not). Fill them or drop the sample; only padding may hold anything."
        )
        raise ValueError(msg)


def fit_scaling(X: NDArray[Any], lengths: ArrayLike | None = None, features: Sequence[str] = ()) -> Scaling:
    """Return the mean and the (population) standard deviation of each channel of `X` (T, N, C).

    Only valid steps count. A channel that never changes gets the standard deviation 1, so that it becomes 0.

    Raises
    ------
    ValueError
        If `X` has other axes, no valid step, or values so large that their spread overflows; the channel is
        then called by its name in `features`, if they are given.

    Examples
    --------
    >>> fit_scaling(np.array([[[1.0]], [[3.0]], [[99.0]]]), lengths=[2])
    Scaling(mean=array([2.]), std=array([1.]))
    """
    if X.ndim != 3:
        msg = f"`X` must have shape (T, N, C); got {X.shape}."
        raise ValueError(msg)
    steps = X[valid_steps(X.shape[0], X.shape[1], lengths)].astype(np.float64)
    if len(steps) == 0:
        msg = f"`X` must hold at least one valid step to fit a scaling; got shape {X.shape} with none."
        raise ValueError(msg)
    # The deviation of a constant can be a tiny number instead of 0, by rounding.
    constant = steps.max(axis=0) == steps.min(axis=0)
    with np.errstate(all="ignore"):
        scaling = Scaling(steps.mean(axis=0), np.where(constant, 1.0, steps.std(axis=0)))
    wild = np.flatnonzero(~np.isfinite(scaling.mean + scaling.std))
    if len(wild):
        name = features[wild[0]] if features else f"channel {wild[0]}"
        msg = f"column {name}: the spread of its values overflows; scale them down, or check them."
        raise ValueError(msg)
    return scaling


def plain(name: str, value: ArrayLike, hint: str = "") -> NDArray[Any]:
    """Return `value` as an array, which has no mask to lose."""
    parts = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        msg = f"`{name}` must be a plain array; got a masked one. Fill it, and pass `lengths`."
        raise TypeError(msg)
    try:
        return np.asarray(value)
    except ValueError as error:
        msg = f"`{name}` must be an array; got rows of unequal length.{' ' + hint if hint else ''}"
        raise ValueError(msg) from error


def numbers(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as an array of real numbers."""
    array = plain(name, value)
    if array.dtype.kind not in "biuf":
        msg = f"`{name}` must hold real numbers; got dtype {array.dtype}."
        raise TypeError(msg)
    return array
