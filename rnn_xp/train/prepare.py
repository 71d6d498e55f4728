"""From a user's arrays to what a training step takes: checked once, time-major, zero in the padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.backend import Backend
from rnn_xp.data.sequences import check_finite, pad, to_time_major, valid_steps
from rnn_xp.layers import Recurrent
from rnn_xp.model import Loss, Sequential
from rnn_xp.sequence import Valid
from rnn_xp.sequence import valid_steps as device_valid_steps
from rnn_xp.typing import Array, Namespace

Host = NDArray[Any]


class Prepared(NamedTuple):
    """A data set on the host; N sequences."""

    x: Host  # (T, N, D), or tokens (T, N)
    target: Host | None  # (N,), (N, K), (T, N) or (T, N, K)
    weight: Host | None  # (N,) or (T, N); None: all 1
    lengths: NDArray[np.int64] | None  # (N,)
    per_step: bool  # whether target and weight have a time axis

    def take(self, index: NDArray[np.int64]) -> Prepared:
        """Return the sequences `index`, in that order."""
        axis = 1 if self.per_step else 0

        def one(array: Host | None, along: int) -> Host | None:
            return None if array is None else np.take(array, index, axis=along)

        lengths = None if self.lengths is None else self.lengths[index]
        return Prepared(self.x[:, index], one(self.target, axis), one(self.weight, axis), lengths, self.per_step)


def prepare(
    model: Sequential,
    X: Any,
    y: Any = None,
    *,
    loss: Loss | None = None,
    layout: str = "NTC",
    lengths: Any = None,
    weights: Any = None,
    dtype: str = "float32",
) -> Prepared:
    """Check X, y, lengths and weights against the model and each other; see `fit` for what they may be."""
    if isinstance(X, list | tuple) and any(np.ndim(x) and np.shape(x) != np.shape(X[0]) for x in X):
        if lengths is not None:
            msg = "`lengths` must be None where `X` is a list of unequal sequences, which has its own; got both."
            raise ValueError(msg)
        if layout != "NTC":
            msg = f"`layout` must be 'NTC' where `X` is a list of unequal sequences (T_i, C); got {layout!r}."
            raise ValueError(msg)
        X, lengths = pad(X)
    x = to_time_major("X", X, layout)
    T, N = x.shape[:2]
    if N == 0 or T == 0:
        msg = f"`X` must hold at least one sequence of at least one step; got T = {T}, N = {N}."
        raise ValueError(msg)
    _check_features(model, x, layout)
    ends = None if lengths is None else np.array(checks.lengths(lengths, N, T), dtype=np.int64)
    check_finite("X", x, ends)
    mask = None if ends is None or (ends == T).all() else valid_steps(T, N, ends)
    target = None if y is None or loss is None else _target(model, y, loss, layout, N, T, ends, dtype)
    weight = None if weights is None else _weights(weights, N, T, layout, model.per_step)
    x = x.astype(np.int64 if x.ndim == 2 else dtype)
    if mask is not None:
        x = _blank(x, mask)
        target = _blank(target, mask) if target is not None and model.per_step else target
    return Prepared(x, target, weight, None if mask is None else ends, model.per_step)


class Batch(NamedTuple):
    """What one step takes; on the device, all but `total`."""

    x: Array
    target: Array
    share: Array
    valid: Valid | None
    total: float  # the sum of the weights


class Batches:
    """A prepared data set on the device, cut into batches in a given order."""

    def __init__(self, data: Prepared, backend: Backend, batch_size: int) -> None:
        self.data, self.backend, self.batch_size = data, backend, batch_size
        self.x, self.target = backend.asarray(data.x), backend.asarray(data.target)
        self.count = data.x.shape[1]
        self._equal: dict[tuple[int, ...], Array] = {}

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self.count // self.batch_size)

    def in_order(self, order: NDArray[np.int64] | None) -> Any:
        """Yield the batches of the sequences in `order`; None is the order of the data."""
        xp, data = self.backend.xp, self.data
        x, target, lengths, weight = self.x, self.target, data.lengths, data.weight
        axis = 1 if data.per_step else 0
        if order is not None:
            index = self.backend.asarray(order)
            x, target = xp.take(x, index, axis=1), xp.take(target, index, axis=axis)
            lengths = None if lengths is None else lengths[order]
            weight = None if weight is None else np.take(weight, order, axis=axis)
        for start in range(0, self.count, self.batch_size):
            yield self._batch(x, target, lengths, weight, slice(start, min(start + self.batch_size, self.count)), xp=xp)

    def _batch(
        self, x: Array, target: Array, lengths: Host | None, weight: Host | None, part: slice, *, xp: Namespace
    ) -> Batch:
        """Cut one batch, no longer than its longest sequence."""
        steps, valid = x.shape[0], None
        if lengths is not None:
            ends = lengths[part].tolist()
            steps = max(1, *ends)
            x = x[:steps, ...]
            valid = device_valid_steps(ends, steps, x, xp=xp)
        per_step = self.data.per_step
        x = x[:, part, ...]
        target = target[:steps, part, ...] if per_step else target[part, ...]
        shape = (steps, part.stop - part.start) if per_step else (part.stop - part.start,)
        if weight is None and (valid is None or not per_step):
            total = float(np.prod(shape))
            if shape not in self._equal:
                self._equal[shape] = xp.full(shape, 1.0 / total, dtype=self.backend.dtype, device=self.backend.device)
            return Batch(x, target, self._equal[shape], valid, total)
        if weight is None:
            host = np.ones(shape)
        else:
            host = weight[:steps, part] if per_step else weight[part]
        if per_step and valid is not None and lengths is not None:
            host = host * valid_steps(steps, shape[1], lengths[part])
        total = float(host.sum())
        share = self.backend.asarray(host / total if total else np.zeros(shape))
        return Batch(x, target, share, valid, total)


def _check_features(model: Sequential, x: Host, layout: str) -> None:
    """Refuse an X whose last axis is not what the first layer takes, and say which layout would fit."""
    if model.takes_tokens:
        tokens = model.layers[0].num_tokens  # type: ignore[attr-defined]
        if x.ndim != 2:
            msg = f"`X` must be integer tokens (N, T) for a model that begins with an Embedding; got {x.dtype} {x.shape}."
            raise TypeError(msg)
        if x.min() < 0 or x.max() >= tokens:
            msg = f"`X` must hold tokens in 0..V-1 with V = {tokens}; got {x.min()}..{x.max()}."
            raise ValueError(msg)
        return
    if x.ndim == 2:
        msg = f"`X` must have three axes ({layout}) for a model that takes features; got integers with two."
        raise ValueError(msg)
    sizes = [layer.input_size for layer in model.layers if isinstance(layer, Recurrent)]
    first = model.layers[0]
    size = getattr(first, "input_size", sizes[0] if sizes else x.shape[2])
    if x.shape[2] != size:
        T, N, C = x.shape
        axes = {"N": N, "T": T, "C": C}
        others = [other for other in ("NTC", "TNC", "NCT") if axes[layout[other.index("C")]] == size and other != layout]
        hint = f" Its shape would fit layout={others[0]!r}." if others else ""
        shape = tuple(axes[letter] for letter in layout)
        msg = f"`X` must have C = {size} features in layout {layout!r}; got {shape}, so C = {C}.{hint}"
        raise ValueError(msg)


def _target(
    model: Sequential, y: Any, loss: Loss, layout: str, N: int, T: int, ends: NDArray[np.int64] | None, dtype: str
) -> Host:
    """Check targets, and return them time-major where there is one a step."""
    array = np.asarray(y)
    if array.dtype.kind not in "biuf":
        msg = f"`y` must hold numbers; got dtype {array.dtype}. For names of classes: rx.data.encode_labels(y)."
        raise TypeError(msg)
    K = model.output_size
    if model.per_step:
        if layout == "NCT" and array.ndim == 3:
            array = array.swapaxes(1, 2)
        array = array if layout == "TNC" else array.swapaxes(0, 1) if array.ndim > 1 else array
    lead, letters = ((T, N), "T, N") if model.per_step else ((N,), "N")
    if loss.classes:
        if array.dtype.kind not in "iu":
            msg = f"`y` must hold integer classes 0..K-1 with K = {K} for this loss; got dtype {array.dtype}."
            raise TypeError(msg)
        checks.shape("y", array, letters, lead)
        valid = array if ends is None or not model.per_step else array[valid_steps(T, N, ends)]
        if valid.size and (valid.min() < 0 or valid.max() >= K):
            msg = f"`y` must hold classes in 0..K-1 with K = {K}, the outputs of the model; got {valid.min()}..{valid.max()}."
            raise ValueError(msg)
        return array.astype(np.int64)
    if array.ndim == len(lead) and K == 1:
        array = array[..., np.newaxis]
    checks.shape("y", array, f"{letters}, K", (*lead, K))
    check_finite("y", array if model.per_step else array[np.newaxis], ends if model.per_step else None)
    if loss.activation is not None and array.size and (np.nanmin(array) < 0 or np.nanmax(array) > 1):
        msg = f"`y` must lie in 0..1 for this loss; got {array.min():g}..{array.max():g}."
        raise ValueError(msg)
    return array.astype(dtype)


def _weights(weights: Any, N: int, T: int, layout: str, per_step: bool) -> Host:
    """Check weights (N,), or one a step, and return them as (N,) or (T, N)."""
    array = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(array).all() or (array < 0).any() or not array.any():
        msg = "`weights` must be finite, not negative and not all 0; got others."
        raise ValueError(msg)
    if not per_step or array.ndim == 1:
        checks.shape("weights", array, "N", (N,))
        return np.broadcast_to(array, (T, N)) if per_step else array
    array = array if layout == "TNC" else array.T
    checks.shape("weights", array, "T, N", (T, N))
    return array


def _blank(array: Host, mask: NDArray[np.bool_]) -> Host:
    """Return `array` (T, N, ...) with 0 in the padding."""
    blanked: Host = np.where(mask.reshape(mask.shape + (1,) * (array.ndim - 2)), array, 0).astype(array.dtype)
    return blanked

