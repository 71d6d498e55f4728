"""Series as they come, in an array, a table or a list, as one array with lengths."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.data import check_finite, pad, to_time_major
from rnn_xp.data.sequences import plain
from rnn_xp.estimators.size import check_size

_LAYOUTS = ("NTC", "NCT", "TNC")


class Series(NamedTuple):
    """N series on the host."""

    X: NDArray[np.float64]  # (N, T, C)
    lengths: NDArray[np.int64] | None  # (N,); None: all have T steps
    columns: int | None  # of a table (N, T), whose columns are a single channel's steps

    @property
    def features(self) -> int:
        """What scikit-learn calls the features: columns of a table, else channels."""
        return self.X.shape[2] if self.columns is None else self.columns


def read(X: Any, layout: str) -> Series:
    """Check `X` and put it into one array; padding is 0."""
    checks.one_of("layout", layout, _LAYOUTS)
    if hasattr(X, "toarray"):
        msg = "`X` must be dense; got sparse data: X.toarray() makes a dense array of it."
        raise TypeError(msg)
    if are_several(X):
        return _from_list(X, layout)
    array = _real("X", plain("X", X, "A list of unequal series must be one of arrays (T_i, C)."))
    if array.ndim not in (2, 3):
        must = f"`X` must have three axes, {', '.join(layout)} (`layout`), or two, (N, T), for one channel"
        msg = f"{must}; got {array.shape}. Reshape your data: one series is X[np.newaxis]."
        raise ValueError(msg)
    columns = array.shape[1] if array.ndim == 2 else None
    if array.ndim == 2:
        array, layout = array[:, :, np.newaxis], "NTC"
    for axis, what in ((layout.index("N"), "sample"), (array.ndim - 1, "feature"), (1, "feature")):
        if array.shape[axis] == 0:
            shape = array.shape if columns is None else array.shape[:2]
            msg = f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required."
            raise ValueError(msg)
    return Series(_finite(to_time_major("X", array, layout), None), None, columns)


def are_several(X: Any) -> bool:
    """Return whether it is a list of arrays: a series each. Lists of lists of numbers are an array."""
    return isinstance(X, list | tuple) and bool(X) and all(getattr(item, "ndim", 0) > 0 for item in X)


def check_alike(estimator: Any, series: Series) -> None:
    """Refuse series with other features than those of `fit`; scikit-learn's words for a table."""
    name, fitted = type(estimator).__name__, estimator.n_features_in_
    C = estimator.model_.intake.size
    if series.columns is not None and fitted not in (C, series.columns):  # it was fitted on a table
        msg = f"X has {series.columns} features, but {name} is expecting {fitted} features as input."
        raise ValueError(msg)
    N, T, came = series.X.shape
    if came != C:
        sizes = {"N": N, "T": T, "C": came}
        shape = tuple(sizes[axis] for axis in estimator.layout)
        others = [other for other in _LAYOUTS if sizes[estimator.layout[other.index("C")]] == C]
        hint = f" Its shape would fit layout={others[0]!r}." if others and series.columns is None else ""
        msg = (
            f"`X` must have C = {C} channels, as in `fit`; got {came} in {estimator.layout} = {shape}.{hint}"
        )
        raise ValueError(msg)


def _from_list(X: Any, layout: str) -> Series:
    """Return series (T_i, C) or (T_i,) of a list; (C, T_i) where the layout is NCT."""
    if layout == "TNC":
        msg = "`layout` must be 'NTC' or 'NCT' where `X` is a list of series; got 'TNC'."
        raise ValueError(msg)
    arrays = [_real(f"X[{index}]", plain(f"X[{index}]", item)) for index, item in enumerate(X)]
    kept, other = (1, 0) if layout == "NTC" else (0, 1)
    if all(array.ndim == 2 for array in arrays):
        if len({array.shape[kept] for array in arrays}) > 1:
            alike = len({array.shape[other] for array in arrays}) == 1
            hint = f" Their shapes would fit layout={('NCT', 'NTC')[other]!r}." if alike else ""
            axes = "(T_i, C)" if layout == "NTC" else "(C, T_i)"
            wrong = next(i for i, array in enumerate(arrays) if array.shape[kept] != arrays[0].shape[kept])
            must = f"`X` must be a list of series {axes} with one C"
            msg = f"{must}; got {arrays[0].shape} and, at index {wrong}, {arrays[wrong].shape}.{hint}"
            raise ValueError(msg)
        arrays = [array.T for array in arrays] if layout == "NCT" else arrays
    padded, lengths = pad([array.astype(np.float64) for array in arrays])
    if 0 in padded.shape:
        msg = f"`X` must hold at least one step of one channel; got {padded.shape}."
        raise ValueError(msg)
    ends = None if (lengths == padded.shape[1]).all() else lengths
    return Series(_finite(padded.swapaxes(0, 1), ends), ends, None)


def _finite(X: NDArray[Any], lengths: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Return `X` (T, N, C) as (N, T, C), without NaN and infinity in its valid steps."""
    try:
        check_finite("X", X, lengths)
    except ValueError as error:
        msg = f"Input X contains NaN or infinity: {error}"
        raise ValueError(msg) from None
    X = np.ascontiguousarray(X.swapaxes(0, 1), dtype=np.float64)
    check_size("X", X, "(n, t, c)")
    return X


def _real(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return real numbers; objects that are some are converted."""
    if array.dtype.kind == "c":
        msg = f"Complex data not supported: `{name}` must hold real numbers; got dtype {array.dtype}."
        raise ValueError(msg)
    if array.dtype.kind == "O":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError) as error:
            msg = f"`{name}` must hold real numbers: {error}."
            raise type(error)(msg) from None
    if array.dtype.kind not in "biuf":
        msg = f"`{name}` must hold real numbers; got dtype {array.dtype}."
        raise ValueError(msg)
    return array


def column_names(X: Any) -> NDArray[np.object_] | None:
    """Return the names of a data frame's columns, if all are strings."""
    columns = getattr(X, "columns", None)
    if columns is None:
        return None
    names = np.asarray(columns, dtype=object)
    return names if names.size and all(isinstance(name, str) for name in names) else None


def check_names(estimator: Any, X: Any) -> None:
    """Compare the names of a data frame's columns with those of `fit`, in scikit-learn's words."""
    name, came = type(estimator).__name__, column_names(X)
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None and came is None:
        return
    if fitted is None or came is None:
        has = "X has feature names" if fitted is None else "X does not have valid feature names"
        was = "without" if fitted is None else "with"
        warnings.warn(f"{has}, but {name} was fitted {was} feature names", UserWarning, stacklevel=4)
        return
    if list(fitted) == list(came):
        return
    told = ["The feature names should match those that were passed during fit."]
    unseen, missing = sorted(set(came) - set(fitted)), sorted(set(fitted) - set(came))
    for what, names in (("unseen at fit time", unseen), ("seen at fit time, yet now missing", missing)):
        if names:
            told += [f"Feature names {what}:", *(f"- {each}" for each in names)]
    if not unseen and not missing:
        told.append("Feature names must be in the same order as they were in fit.")
    raise ValueError("\n".join(told) + "\n")
