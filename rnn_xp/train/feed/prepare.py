"""From a user's arrays to what a training step takes: checked once, time-major, zero in the padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.data.sequences import compact, numbers, pad, plain, to_time_major, valid_steps
from rnn_xp.model import Loss, Sequential
from rnn_xp.train.feed import targets

Host = NDArray[Any]


class Prepared(NamedTuple):
    """A data set on the host; N sequences."""

    x: Host  # (T, N, D), or tokens (T, N)
    target: Host | None  # (N,), (N, K), (T, N) or (T, N, K)
    weight: Host | None  # (N,) or (T, N); None: all 1
    lengths: NDArray[np.int64] | None  # (N,)
    per_step: bool  # whether target and weight have a time axis
    reset: NDArray[np.bool_] | None = None  # (T, N): where a new sequence begins, if anywhere past step 0
    rows: NDArray[np.int64] | None = None  # (N,): which sequences of the user's they are; None: all of them
    moved: NDArray[np.bool_] | None = None  # the user's mask (T, N) where its steps moved to the front

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Which steps are valid, (T, N); None: all."""
        return None if self.lengths is None else valid_steps(len(self.x), len(self.lengths), self.lengths)

    @property
    def counts(self) -> NDArray[np.float64]:
        """What every sequence counts for, (N,): the sum of its weights."""
        T, N = self.x.shape[:2]
        if self.weight is not None:
            return self.weight.sum(axis=0) if self.per_step else self.weight
        if not self.per_step:
            return np.ones(N)
        return np.full(N, float(T)) if self.lengths is None else self.lengths.astype(np.float64)

    def origin(self, column: int, step: int | None) -> tuple[int, int | None]:
        """Return which of the user's sequences, and of its steps, a step of a sequence is."""
        row = column if self.rows is None else int(self.rows[column])
        if step is None or self.moved is None:
            return row, step
        steps = np.flatnonzero(self.moved[:, column])
        return row, int(steps[step]) if step < len(steps) else None

    def take(self, index: NDArray[np.int64] | slice) -> Prepared:
        """Return the sequences `index`, in that order; those of a slice without a copy."""
        axis = 1 if self.per_step else 0
        rows = np.arange(self.x.shape[1]) if self.rows is None else self.rows

        def one(array: Host | None, along: int) -> Host | None:
            return None if array is None else array[(slice(None), index) if along else index]

        return Prepared(
            self.x[:, index],
            one(self.target, axis),
            one(self.weight, axis),
            one(self.lengths, 0),
            self.per_step,
            one(self.reset, 1),
            rows[index],
            one(self.moved, 1),
        )


def prepare(
    model: Sequential,
    X: Any,
    y: Any = None,
    *,
    loss: Loss | None = None,
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    weights: Any = None,
    dtype: str = "float32",
    empty: bool = False,
) -> Prepared:
    """Check X, y and what goes with them against the model and each other; see `fit` for what they may be.

    A part of a data set may be `empty`. With a mask, the valid steps of each sequence move to its front:
    `rx.data.scatter` puts outputs back.
    """
    if targets.unequal(X):
        for name, value in (("lengths", lengths), ("mask", mask)):
            if value is not None:
                msg = f"`{name}` must be None where `X` is a list of unequal sequences, which has its own."
                raise ValueError(msg)
        if layout != "NTC":
            msg = f"`layout` must be 'NTC' where `X` is a list of sequences (T_i, C); got {layout!r}."
            raise ValueError(msg)
        X, lengths = pad(X)
        if model.per_step and targets.unequal(y):
            y = targets.padded_targets(y, lengths.tolist())
    elif isinstance(X, list | tuple) and layout == "NTC":
        X = numbers("X", X)
        if X.ndim == 2 and X.dtype.kind == "f":  # sequences (T,) are a channel, as where they are unequal
            X = X[:, :, np.newaxis]
    x = to_time_major("X", X, layout)
    T, N = x.shape[:2]
    if (N == 0 and not empty) or T == 0:
        msg = f"`X` must hold at least one sequence of at least one step; got T = {T}, N = {N}."
        raise ValueError(msg)
    ends = None if lengths is None else np.array(checks.lengths(lengths, N, T), dtype=np.int64)
    if ends is not None and (ends == T).all():
        ends = None
    valid = valid_steps(T, N, ends) if mask is None else _mask(mask, lengths, T, N, layout)
    begins = None if reset is None else _reset(reset, model, valid, layout)
    _check_features(model, x, valid, layout)
    x = targets.converted("X", x, np.int64 if x.ndim == 2 else dtype, valid)
    target = None if loss is None else targets.target(model, y, loss, layout, valid, dtype)
    weight = None if weights is None else targets.weight(weights, layout, valid, model.per_step)
    data = Prepared(x, target, weight, ends, model.per_step, begins)
    return data if mask is None else _at_the_front(data, valid)


def _mask(mask: Any, lengths: Any, T: int, N: int, layout: str) -> NDArray[np.bool_]:
    """Return the mask of the valid steps, (T, N)."""
    if lengths is not None:
        msg = "`mask` must be None where `lengths` are given: either says which steps are valid."
        raise ValueError(msg)
    return _flags("mask", mask, T, N, layout)


def _reset(reset: Any, model: Sequential, valid: NDArray[np.bool_], layout: str) -> NDArray[np.bool_] | None:
    """Return where new sequences begin, (T, N), at steps that are valid; None where rows are one each."""
    if not model.per_step:
        msg = "`reset` must be None where the model gives one output a sequence, not one a step."
        raise ValueError(msg)
    T, N = valid.shape
    begins = _flags("reset", reset, T, N, layout)
    number = np.cumsum(begins, axis=0)  # of the sequence that a step belongs to
    before = np.maximum.accumulate(np.where(valid, number, -1), axis=0)  # of the last valid step so far
    begins[1:] = valid[1:] & (before[:-1] >= 0) & (number[1:] > before[:-1])
    begins[0] = False
    return begins if begins.any() else None


def _flags(name: str, value: Any, T: int, N: int, layout: str) -> NDArray[np.bool_]:
    """Return booleans (N, T), in the order of `layout`, as (T, N) of their own memory."""
    array = plain(name, value)
    if array.dtype != np.bool_:
        msg = f"`{name}` must hold True and False; got dtype {array.dtype}. From numbers: {name} != 0."
        raise TypeError(msg)
    axes = layout.replace("C", "")
    checks.shape(name, array, ", ".join(axes), [{"N": N, "T": T}[axis] for axis in axes])
    return np.array(array if axes == "TN" else array.T, order="C")


def _at_the_front(data: Prepared, valid: NDArray[np.bool_]) -> Prepared:
    """Move the valid steps of each sequence to its front, and leave out what is valid in none."""
    lengths = valid.sum(axis=0, dtype=np.int64)

    def one(array: Host) -> Host:
        moved = compact(array.swapaxes(0, 1), valid.T)[0]
        return np.ascontiguousarray(moved.swapaxes(0, 1))

    if not lengths.any():
        msg = "`mask` must be True somewhere; got no valid step."
        raise ValueError(msg)
    steps: dict[str, Any] = {"x": one(data.x)}
    if data.reset is not None:
        steps["reset"] = one(data.reset)
    if data.per_step:
        named = {"target": data.target, "weight": data.weight}
        steps |= {name: one(array) for name, array in named.items() if array is not None}
    ends = None if (lengths == len(steps["x"])).all() else lengths
    return data._replace(**steps, lengths=ends, moved=valid)


def _check_features(model: Sequential, x: Host, valid: NDArray[np.bool_], layout: str) -> None:
    """Refuse an X whose last axis is not what the first layer takes, and say which layout would fit."""
    kind, size, _ = model.intake
    if kind == "tokens":
        if x.ndim != 2:
            came = f"{x.dtype} with three axes"
            msg = f"`X` must be integer tokens (N, T) for a model that begins with an Embedding; got {came}."
            raise TypeError(msg)
        targets.check_range("X", "tokens in 0..V-1 with V", x[valid], size)
        return
    if x.ndim == 2:
        msg = f"`X` must have three axes ({layout}) for a model that takes features; got integers with two."
        raise ValueError(msg)
    if size is not None and x.shape[2] != size:
        T, N, C = x.shape
        axes = {"N": N, "T": T, "C": C}
        others = [other for other in ("NTC", "TNC", "NCT") if axes[layout[other.index("C")]] == size]
        hint = f" Its shape would fit layout={others[0]!r}." if others else ""
        shape = tuple(axes[letter] for letter in layout)
        msg = f"`X` must have C = {size} features in layout {layout!r}; got {shape}, so C = {C}.{hint}"
        raise ValueError(msg)
