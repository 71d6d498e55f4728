"""Targets and weights: checked in the user's layout, then time-major and in the precision of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.data.sequences import check_finite, pad, plain
from rnn_xp.model import Loss, Sequential

Host = NDArray[Any]


def unequal(value: Any) -> bool:
    """Return whether `value` is a list whose items differ in shape."""
    if not isinstance(value, list | tuple):
        return False
    try:
        return len({np.shape(item) for item in value}) > 1
    except ValueError:  # an item is ragged itself
        return False


def target(model: Sequential, y: Any, loss: Loss, layout: str, valid: NDArray[np.bool_], dtype: str) -> Host:
    """Return targets (N,), (N, K), (T, N) or (T, N, K); 0 in the padding."""
    K = model.output_size
    if y is None:
        msg = "`y` must hold the targets; got None."
        raise TypeError(msg)
    if loss.classes and K == 1:
        must = "`model` must have an output for each class, at least 2, for the loss 'cross_entropy'"
        msg = f"{must}; got 1. Yes or no from one output: loss='binary_cross_entropy'."
        raise ValueError(msg)
    array = plain("y", y, "Pad them: rx.data.pad(y)[0].")
    if array.dtype.kind not in "biuf":
        msg = f"`y` must hold numbers; got dtype {array.dtype}. For class names: rx.data.encode_labels(y)."
        raise TypeError(msg)
    if loss.classes and array.dtype.kind not in "iu":
        msg = f"`y` must hold integer classes 0..K-1 with K = {K} for this loss; got dtype {array.dtype}."
        raise TypeError(msg)
    axes = layout if model.per_step else "NC"
    single = not loss.classes and K == 1 and array.ndim == len(axes) - 1
    axes = axes.replace("C", "" if loss.classes or single else "K")
    array = _time_major("y", array, axes, layout, valid, K)
    counted = valid if model.per_step else np.ones(array.shape[:1], dtype=np.bool_)
    if loss.classes:
        check_range("y", "classes in 0..K-1, the outputs of the model, with K", array[counted], K)
        return converted("y", array, np.int64, counted)
    array = converted("y", array, dtype, counted)
    if loss.activation is not None and (array.min() < 0 or array.max() > 1):
        msg = f"`y` must lie in 0..1 for this loss; got {array.min():g}..{array.max():g}."
        raise ValueError(msg)
    return array[..., np.newaxis] if single else array


def padded_targets(y: Any, lengths: Sequence[int]) -> Any:
    """Pad a list of targets a step, for the sequences of a list with those lengths."""
    array, own = pad(y)
    for index, (has, must) in enumerate(zip(own.tolist(), lengths, strict=False)):
        if has != must:
            msg = f"`y` must have as many steps as `X`, {must} at index {index}; got {has}."
            raise ValueError(msg)
    return array


def weight(weights: Any, layout: str, valid: NDArray[np.bool_], per_step: bool) -> Host:
    """Return weights (N,), or (T, N) where the model gives an output a step; 0 in the padding."""
    given = plain("weights", weights)
    if given.dtype.kind not in "biuf":
        msg = f"`weights` must hold numbers; got dtype {given.dtype}."
        raise TypeError(msg)
    array = given.astype(np.float64)
    bad = np.argwhere(~(np.isfinite(array) & (array >= 0)))
    if len(bad):
        place = tuple(bad[0].tolist())
        where = place[0] if len(place) == 1 else place
        msg = f"`weights` must be finite and not negative; got {array[place]} at index {where}."
        raise ValueError(msg)
    a_step = per_step and array.ndim != 1
    array = _time_major("weights", array, layout.replace("C", "") if a_step else "N", layout, valid)
    return np.ascontiguousarray(np.where(valid, array, 0.0)) if per_step else array


def converted(name: str, array: Host, dtype: Any, valid: NDArray[np.bool_]) -> Host:
    """Return `array` (T, N, ...), or (N, ...), in `dtype`, finite where valid and 0 in the padding."""
    with np.errstate(all="ignore"):  # padding may hold anything
        result = array.astype(dtype, order="C")  # time-major in memory too: batches are cut from it
    result[~valid] = 0
    bad = ~np.isfinite(result)
    if not bad.any():
        return result
    axes: tuple[str, ...] = ("sample", "feature")
    if valid.ndim == 2:
        axes = ("sample", "step", "feature")
        array, bad = array.swapaxes(0, 1), bad.swapaxes(0, 1)
    place = tuple(np.argwhere(bad)[0].tolist())
    where = ", ".join(f"{axis} {index}" for axis, index in zip(axes, place, strict=False))
    if np.isfinite(array[place]):
        msg = f"`{name}` holds {array[place]} at {where}, beyond {dtype}; dtype='float64' holds it."
        raise ValueError(msg)
    if valid.ndim == 2:
        check_finite(name, result)
    msg = f"`{name}` holds {array[place]} at {where}; every target must be finite."
    raise ValueError(msg)


def check_range(name: str, what: str, array: Host, size: int | None) -> None:
    """Refuse integers beyond 0..size - 1."""
    if size is not None and array.size and (array.min() < 0 or array.max() >= size):
        msg = f"`{name}` must hold {what} = {size}; got {array.min()}..{array.max()}."
        raise ValueError(msg)


def _time_major(
    name: str, array: Host, axes: str, layout: str, valid: NDArray[np.bool_], K: int | None = None
) -> Host:
    """Check the shape of an array with those axes, and put T first, then N, then K."""
    T, N = valid.shape
    sizes = {"N": N, "T": T, "K": K}
    other = {"NTC": "TNC", "TNC": "NTC"}.get(layout)
    swapped = other and "T" not in axes and T != N and array.shape[:1] == (T,)
    hint = f"It would fit layout={other!r}." if swapped else ""
    checks.shape(name, array, ", ".join(axes), [sizes[axis] for axis in axes], hint)
    return array.transpose([axes.index(axis) for axis in "TNK" if axis in axes])
