"""What a caller says besides x: which steps are valid, where sequences begin, what is drawn and kept."""

from __future__ import annotations

from typing import Any

from rnn_xp import checks
from rnn_xp.random import Rng
from rnn_xp.sequence import Valid, valid_steps
from rnn_xp.typing import Array, Namespace


def valid_of(lengths: Any, mask: Any, x: Array, axes: int, *, xp: Namespace) -> Valid | None:
    """Return the valid steps of x, (T, B, ...) of so many axes, from lengths (B,) or a mask (T, B)."""
    if lengths is None and mask is None:
        return None
    if lengths is not None and mask is not None:
        msg = "`mask` must be None where `lengths` are given: both say which steps are valid; got both."
        raise ValueError(msg)
    steps, batch = _time("lengths" if mask is None else "mask", x, axes)
    if mask is None:
        return valid_steps(checks.lengths(lengths, batch, steps), steps, x, xp=xp)
    own = _flags("mask", mask, steps, batch, x, xp=xp)
    count = xp.astype(own, xp.int64)
    return Valid(own, 0, xp.cumulative_sum(count, axis=0) - count)


def reset_of(reset: Any, x: Array, axes: int, *, xp: Namespace) -> Array | None:
    """Return before which steps of x, (T, B, ...) of so many axes, new sequences begin, (T, B)."""
    if reset is None:
        return None
    return _flags("reset", reset, *_time("reset", x, axes), x, xp=xp)


def recompute_of(recompute: Any) -> int | bool | None:
    """Return True, a number of bytes, or None."""
    if recompute is None or isinstance(recompute, bool):
        return recompute or None
    return checks.integer("recompute", recompute)


def key(rng: Any) -> Rng:
    """Return the key of the dropout masks, which may come as a plain tuple."""
    if not isinstance(rng, tuple) or not 2 <= len(rng) <= len(Rng._fields):
        msg = f"`rng` must be a rnn_xp.Rng(seed, step); got {rng!r}."
        raise TypeError(msg)
    return Rng(*rng)


def _time(name: str, x: Array, axes: int) -> tuple[int, int]:
    """Return T and B."""
    if x.ndim != axes:
        msg = f"`{name}` must be None unless `x` has a time axis, and so {axes} axes; got {x.ndim}."
        raise ValueError(msg)
    return x.shape[0], x.shape[1]


def _flags(name: str, value: Any, steps: int, batch: int, like: Array, *, xp: Namespace) -> Array:
    """Return booleans (T, B) on the device of `like`."""
    try:
        array: Array = xp.asarray(value, device=like.device)
        kind = str(array.dtype)
    except (TypeError, ValueError) as error:
        msg = f"`{name}` must be booleans of shape (T, B); got what is no array: {error}."
        raise TypeError(msg) from None
    if "bool" not in kind:
        msg = f"`{name}` must be booleans of shape (T, B); got dtype {kind}."
        raise TypeError(msg)
    checks.shape(name, array, "T, B", (steps, batch))
    return array
