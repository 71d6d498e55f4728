"""What is drawn for a recurrent layer while it trains: dropout between its layers, and within its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnn_xp.random import Rng, keep_mask
from rnn_xp.sequence import Noise, Valid
from rnn_xp.typing import Array, Namespace


def between_layers(
    rng: Rng | None,
    rate: float,
    same: bool,
    shape: tuple[int, int, int],
    valid: Valid | None,
    *,
    device: Any,
    xp: Namespace,
) -> Array | None:
    """Return which units (T, N, B) stay between two layers; None: all."""
    if rng is None or not rate:
        return None
    times = None if valid is None else valid.times
    return keep_mask(rng, rate, shape, times=times, same=same, device=device, xp=xp)


def within_run(
    rng: Rng | None,
    dropout: float,
    zoneout: Sequence[float],
    sizes: Sequence[int],
    steps: int,
    batch: int,
    valid: Valid | None,
    *,
    xp: Namespace,
    dtype: Any,
    device: Any,
) -> Noise:
    """Return what happens to the state of a run; without a key, what is to be expected of it.

    Parameters
    ----------
    dropout : float
        Of h where W_hh meets it.
    zoneout : sequence of float
        For every field of the state.
    sizes : sequence of int
        Units of every field.
    """
    drop: Array | None = None
    keep: tuple[Any, ...] | None = None
    if rng is not None and dropout:
        stay = keep_mask(rng, dropout, (steps, sizes[0], batch), same=True, device=device, xp=xp)
        drop = xp.astype(stay[0, ...], dtype) * (1.0 / (1.0 - dropout))
    if any(zoneout):
        keep = tuple(zoneout)
    if any(zoneout) and rng is not None:
        first, times = rng.further(bool(dropout)), None if valid is None else valid.times
        keep = tuple(
            ~keep_mask(first.further(k), rate, (steps, size, batch), times=times, device=device, xp=xp)
            for k, (rate, size) in enumerate(zip(zoneout, sizes, strict=True))
        )
    return Noise(drop, keep)
