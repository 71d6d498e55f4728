"""How good predictions are, on the host: what is averaged is what the mask keeps, and nothing broadcasts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks


def accuracy(predicted: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the share of labels that were predicted.

    Parameters
    ----------
    predicted, target : arrays of one shape
        Class indices or names; not probabilities.
    mask : array of bool, optional
        Which entries count; its shape is that of the others, or the beginning of it.

    Raises
    ------
    TypeError
        If the labels are floats, or the mask is not boolean.
    ValueError
        If the shapes differ, or nothing is left to count.

    Examples
    --------
    >>> accuracy([0, 1, 2, 2], [0, 1, 1, 0])
    0.5
    >>> accuracy([0, 1, 2, 2], [0, 1, 1, 0], mask=[True, True, True, False])
    0.6666666666666666
    """
    guess, truth = _kept(predicted, target, mask, kinds="biuU", what="labels: integers, booleans or strings")
    return float(np.mean(guess == truth))


def confusion_matrix(
    predicted: ArrayLike, target: ArrayLike, num_classes: int, mask: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Count how often each class was taken for each.

    Parameters
    ----------
    predicted, target : integer arrays of one shape
        Class indices in 0..num_classes - 1.
    num_classes : int
    mask : array of bool, optional
        Which entries count, as in `accuracy`.

    Returns
    -------
    array of shape (num_classes, num_classes)
        Row: the true class; column: the predicted one.

    Raises
    ------
    TypeError, ValueError
        As `accuracy`; also if an index is out of range.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 0, 1], num_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    size = checks.integer("num_classes", num_classes)
    guess, truth = _kept(predicted, target, mask, kinds="iu", what="class indices, which are integers")
    for name, indices in (("predicted", guess), ("target", truth)):
        bad = indices[(indices < 0) | (indices >= size)]
        if len(bad):
            msg = f"`{name}` must hold class indices in 0..{size - 1}; got {bad[0]}."
            raise ValueError(msg)
    pairs = truth.astype(np.int64) * size + guess.astype(np.int64)
    counts: NDArray[np.int64] = np.bincount(pairs, minlength=size * size).reshape(size, size)
    return counts


def precision_recall(confusion: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the precision and the recall of each class.

    Parameters
    ----------
    confusion : array of shape (K, K)
        Rows are true classes, columns predicted ones.

    Returns
    -------
    precision : array of shape (K,)
        Of those taken for the class, the share that is; 0 where none was taken for it.
    recall : array of shape (K,)
        Of those in the class, the share that was found; 0 where there is none.

    Raises
    ------
    ValueError
        If `confusion` is not square.

    Examples
    --------
    >>> precision, recall = precision_recall([[2, 0], [1, 0]])
    >>> precision.round(3).tolist(), recall.tolist()
    ([0.667, 0.0], [1.0, 0.0])
    """
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        msg = f"`confusion` must have shape (K, K); got {counts.shape}."
        raise ValueError(msg)
    hits = counts.diagonal()
    taken, true = counts.sum(axis=0), counts.sum(axis=1)
    return hits / np.where(taken > 0, taken, 1.0), hits / np.where(true > 0, true, 1.0)


def mean_absolute_error(predicted: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the mean of ``|predicted - target|`` over all that the mask keeps.

    Parameters
    ----------
    predicted, target : arrays of numbers, of one shape
    mask : array of bool, optional
        Which entries count, as in `accuracy`; for outputs (N, T, K) a mask (N, T) keeps or drops whole steps.

    Raises
    ------
    TypeError, ValueError
        As `accuracy`, for arrays that do not hold numbers.

    Examples
    --------
    >>> mean_absolute_error([1.0, 2.0], [2.0, 5.0])
    2.0
    """
    guess, truth = _kept(predicted, target, mask, kinds="biuf", what="numbers")
    return float(np.mean(np.abs(guess.astype(np.float64) - truth.astype(np.float64))))


def _kept(
    predicted: ArrayLike, target: ArrayLike, mask: ArrayLike | None, *, kinds: str, what: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the entries of both arrays that count, in one dimension."""
    guess, truth = np.asarray(predicted), np.asarray(target)
    for name, array in (("predicted", guess), ("target", truth)):
        if array.dtype.kind not in kinds:
            msg = f"`{name}` must hold {what}; got dtype {array.dtype}."
            raise TypeError(msg)
    if guess.shape != truth.shape:
        msg = f"`predicted` must have the shape of `target`, {truth.shape}; got {guess.shape}."
        raise ValueError(msg)
    if mask is not None:
        keep = np.asarray(mask)
        if keep.dtype != np.bool_:
            msg = f"`mask` must hold booleans; got dtype {keep.dtype}."
            raise TypeError(msg)
        if keep.shape != truth.shape[: keep.ndim]:
            msg = f"`mask` must have the shape of `target`, {truth.shape}, or begin it; got {keep.shape}."
            raise ValueError(msg)
        guess, truth = guess[keep], truth[keep]
    if truth.size == 0:
        msg = "`target` must hold at least one entry that counts; got none."
        raise ValueError(msg)
    return guess.ravel(), truth.ravel()
