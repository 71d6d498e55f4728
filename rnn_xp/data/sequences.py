"""Sequences of unequal length as one padded array: layout, lengths, masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks

Layout: TypeAlias = Literal["NTC", "TNC", "NCT"]
"""The order of the axes of data: N sequences, T steps, C channels."""

_TO_TIME_MAJOR = {"NTC": (1, 0, 2), "TNC": (0, 1, 2), "NCT": (2, 0, 1)}
LAYOUTS = tuple(_TO_TIME_MAJOR)
_TOKENS_TO_TIME_MAJOR = {"NTC": (1, 0), "TNC": (0, 1)}
_LARGEST = np.iinfo(np.int64).max


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
        If `sequences` cannot be iterated over, or one does not hold real numbers.
    ValueError
        If there are no sequences, they differ in their number of channels, or a token is beyond int64.

    Examples
    --------
    >>> X, lengths = pad([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]])
    >>> X.shape, lengths.tolist(), X[0].tolist()
    ((2, 2, 2), [1, 2], [[1.0, 2.0], [0.0, 0.0]])
    """
    if not isinstance(sequences, Iterable):
        msg = f"`sequences` must be a list of arrays (T_i, C); got {sequences!r}."
        raise TypeError(msg)
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
    for index, (row, array) in enumerate(zip(X, arrays, strict=True)):
        if tokens and array.size and array.max() > _LARGEST:
            msg = f"`sequences[{index}]` must hold tokens of at most 63 bits; got {array.max()}."
            raise ValueError(msg)
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
    """Return the mask (T, N) of the steps that belong to a sequence; `lengths` (N,) are None where all do.

    Raises
    ------
    TypeError, ValueError
        If the numbers are no integers of at least 0, or `lengths` not `batch` of them in 0..T.

    Examples
    --------
    >>> valid_steps(2, 3, [0, 1, 2]).astype(int).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    steps, batch = checks.integer("steps", steps, 0), checks.integer("batch", batch, 0)
    if lengths is None:
        return np.ones((steps, batch), dtype=np.bool_)
    return np.arange(steps)[:, np.newaxis] < np.array(checks.lengths(lengths, batch, steps), dtype=np.int64)


def compact(X: ArrayLike, mask: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Move the valid steps of each sequence to its front, in their order, whatever the pattern of `mask`.

    Parameters
    ----------
    X : array of shape (N, T, ...), of any dtype
    mask : boolean array of shape (N, T)
        Which steps are valid.

    Returns
    -------
    X : array of shape (N, T', ...)
        A copy, zero past each sequence's end; T' is the length of the longest.
    lengths : array of shape (N,), int64

    Raises
    ------
    TypeError, ValueError
        If `mask` does not hold True and False, or the shapes do not belong together.

    Examples
    --------
    >>> X, lengths = compact([[1, 2, 3], [4, 5, 6]], np.array([[True, False, True], [False, True, False]]))
    >>> X.tolist(), lengths.tolist()
    ([[1, 3], [5, 0]], [2, 1])
    """
    array, valid = plain("X", X), _mask(mask)
    if array.shape[:2] != valid.shape:
        msg = f"`X` must have shape (N, T, ...) with the mask's N, T = {valid.shape}; got {array.shape}."
        raise ValueError(msg)
    lengths = valid.sum(axis=1, dtype=np.int64)
    front = _front(lengths)
    moved = np.zeros(front.shape + array.shape[2:], dtype=array.dtype)
    moved[front] = array[valid]  # both go row by row, and in a row by time
    return moved, lengths


def scatter(Y: ArrayLike, mask: ArrayLike) -> NDArray[Any]:
    """Undo `compact`: put the steps at the front of each sequence back where `mask` (N, T) is True.

    Parameters
    ----------
    Y : array of shape (N, T', ...), of any dtype
        T' is at least the largest number of valid steps in a row of `mask`; what follows them is ignored.
    mask : boolean array of shape (N, T)

    Returns
    -------
    array of shape (N, T, ...)
        A copy, zero where `mask` is False.

    Raises
    ------
    TypeError, ValueError
        If `mask` does not hold True and False, or the shapes do not belong together.

    Examples
    --------
    >>> scatter([[1, 3], [5, 0]], np.array([[True, False, True], [False, True, False]])).tolist()
    [[1, 0, 3], [0, 5, 0]]
    """
    array, valid = plain("Y", Y), _mask(mask)
    front = _front(valid.sum(axis=1))
    N, longest = front.shape
    if array.ndim < 2 or len(array) != N or array.shape[1] < longest:
        msg = f"`Y` must have shape (N, T', ...) with N = {N} and T' >= {longest}; got {array.shape}."
        raise ValueError(msg)
    spread = np.zeros(valid.shape + array.shape[2:], dtype=array.dtype)
    spread[valid] = array[:, :longest][front]
    return spread


def check_finite(name: str, X: ArrayLike, lengths: ArrayLike | None = None) -> None:
    """Refuse NaN and infinity in the valid steps of `X` (T, N, C) or (T, N); padding may hold anything.

    Raises
    ------
    TypeError
        If `X` does not hold real numbers.
    ValueError
        If it has other axes; or with the place of the first such value, in the order of samples, then steps,
        then features.
    """
    X = numbers(name, X)
    if X.ndim not in (2, 3):
        msg = f"`{name}` must have shape (T, N, C) or (T, N); got {X.shape}."
        raise ValueError(msg)
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


def _mask(value: ArrayLike) -> NDArray[np.bool_]:
    """Return `value` as a mask (N, T)."""
    mask = plain("mask", value)
    if mask.dtype != np.bool_:
        msg = f"`mask` must hold True and False; got dtype {mask.dtype}. From numbers: mask != 0."
        raise TypeError(msg)
    if mask.ndim != 2:
        msg = f"`mask` must have shape (N, T); got {mask.shape}."
        raise ValueError(msg)
    return mask


def _front(lengths: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the mask (N, T') of the first `lengths` (N,) steps; T' is the largest."""
    return np.arange(lengths.max(initial=0)) < lengths[:, np.newaxis]
