"""Labels, numbers and weights: checked, one for each series."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.data.sequences import plain
from rnn_xp.estimators.base import of_sklearn
from rnn_xp.estimators.inputs import Series
from rnn_xp.estimators.size import check_size


def read_labels(name: str, y: Any, series: Series, layout: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes, sorted, and the index of the class of each series."""
    array = _column(_given(name, y))
    if array.ndim != 1:
        msg = f"`y` must hold one label for each series, (N,); got {array.shape}."
        raise ValueError(msg)
    _check_count("y", array, series, layout)
    if array.dtype.kind == "f":
        _check_finite(array)
        if (array != np.floor(array)).any():
            must = "`y` must hold labels: strings, integers or whole numbers"
            msg = f"Unknown label type: {must}; got {array.dtype}. For numbers there is RNNRegressor."
            raise ValueError(msg)
    elif array.dtype.kind == "O" and len({isinstance(item, str) for item in array}) > 1:
        msg = "`y` must hold labels of one kind; got strings and others."
        raise TypeError(msg)
    elif array.dtype.kind == "c":
        msg = f"Complex data not supported: `y` must hold labels; got dtype {array.dtype}."
        raise ValueError(msg)
    classes, indices = np.unique(array, return_inverse=True)
    if len(classes) < 2:
        msg = f"`y` must hold at least 2 classes; got 1 class, {classes.tolist()[0]!r}."
        raise ValueError(msg)
    return classes, indices.astype(np.int64)


def read_numbers(name: str, y: Any, series: Series, layout: str) -> NDArray[np.float64]:
    """Return finite numbers (N,) or (N, K)."""
    array = _given(name, y)
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        msg = f"`y` must have shape (N,) or (N, K); got {array.shape}."
        raise ValueError(msg)
    _check_count("y", array, series, layout)
    if array.dtype.kind not in "biufO":
        msg = f"`y` must hold real numbers; got dtype {array.dtype}."
        raise ValueError(msg)
    try:
        numbers = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        msg = f"`y` must hold real numbers: {error}."
        raise type(error)(msg) from None
    _check_finite(numbers)
    check_size("y", numbers, "(n, k)" if numbers.ndim == 2 else "(n,)")
    return numbers


def read_weights(value: Any, series: Series, layout: str) -> NDArray[np.float64] | None:
    """Return what each series counts for, (N,)."""
    if value is None:
        return None
    weights = plain("sample_weight", value)
    if weights.dtype.kind not in "biuf" or weights.ndim != 1:
        came = f"{weights.dtype} of shape {weights.shape}"
        msg = f"`sample_weight` must be numbers of shape (N,); Sample weights must be 1D array; got {came}."
        raise ValueError(msg)
    _check_count("sample_weight", weights, series, layout)
    if not np.isfinite(weights).all() or (weights < 0).any():
        bad = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        msg = f"`sample_weight` must be finite and not negative; got {weights[bad]} at index {bad}."
        raise ValueError(msg)
    if not weights.any():
        msg = "Sample weights must contain at least one non-zero number: `sample_weight` is 0 everywhere."
        raise ValueError(msg)
    weights = weights.astype(np.float64)
    check_size("sample_weight", weights, "(n,)")
    return weights


def class_weights(
    given: Any, classes: NDArray[Any], labels: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """Return what each series counts for by its class, (N,); None: all alike.

    "balanced" is scikit-learn's rule, N / (K * those in the class), each series counted with its weight.
    """
    if given is None:
        return None
    if isinstance(given, str) and given == "balanced":
        share = np.bincount(labels, weights, minlength=len(classes))
        each = np.divide(share.sum() / len(classes), share, where=share > 0, out=np.zeros(len(classes)))
        return np.take(each, labels)
    if not isinstance(given, Mapping):
        msg = f"`class_weight` must be None, 'balanced' or a mapping from label to weight; got {given!r}."
        raise ValueError(msg)
    names = classes.tolist()
    unknown, missing = [key for key in given if key not in names], [c for c in names if c not in given]
    if unknown and missing:  # a class that a fold lacks is no mistake; one that has no weight then is
        msg = f"`class_weight` must hold the labels of `y`: {missing[0]!r} has no weight; got {unknown[0]!r}."
        raise ValueError(msg)
    each = np.array([given.get(name, 1.0) for name in names], dtype=np.float64)
    if not np.isfinite(each).all() or (each < 0).any() or not each.any():
        msg = f"`class_weight` must hold finite numbers of at least 0, not all 0; got {dict(given)}."
        raise ValueError(msg)
    return np.take(each, labels)


def _given(name: str, y: Any) -> NDArray[Any]:
    """Return targets as an array; None is scikit-learn's word for none."""
    if y is None:
        msg = f"{name} requires y to be passed, but the target y is None."
        raise ValueError(msg)
    return plain("y", y)


def _column(array: NDArray[Any]) -> NDArray[Any]:
    """Return (N, 1) as (N,), with scikit-learn's warning."""
    if array.ndim != 2 or array.shape[1] != 1:
        return array
    category = of_sklearn("DataConversionWarning", UserWarning)
    told = "A column-vector y was passed when a 1d array was expected: pass y.ravel()."
    warnings.warn(told, category, stacklevel=4)
    return array[:, 0]


def _check_count(name: str, array: NDArray[Any], series: Series, layout: str) -> None:
    """Refuse another number of targets than of series, and say which layout would fit."""
    N, T, C = series.X.shape
    if len(array) == N:
        return
    fits = {"NTC": {"TNC": T}, "NCT": {"TNC": C}, "TNC": {"NTC": T, "NCT": T}}[layout]
    other = [each for each, count in fits.items() if count == len(array)]
    hint = f" The shape of X would fit layout={other[0]!r}." if other and series.columns is None else ""
    msg = f"`{name}` must have one entry for each of the N = {N} series of `X`; got {len(array)}.{hint}"
    raise ValueError(msg)


def _check_finite(array: NDArray[Any]) -> None:
    """Refuse NaN and infinity."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = tuple(bad[0].tolist())
        msg = f"Input y contains NaN or infinity: `y` holds {array[place]} at index {place}."
        raise ValueError(msg)
