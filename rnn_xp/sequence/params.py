"""What a run is given besides its sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rnn_xp.typing import Array, Namespace


class Params(NamedTuple):
    """The parameters of one direction of one layer; an absent one is None."""

    weight_ih: Array  # (G*H, D)
    weight_hh: Array  # (G*H, H), or (G*H, P) with a projection
    bias_ih: Array | None = None  # (G*H,)
    bias_hh: Array | None = None  # (G*H,)
    weight_hr: Array | None = None  # (P, H)
    vectors: Array | None = None  # (V, H), the cell's parameters of a number for each unit


class Valid(NamedTuple):
    """Which steps belong to their sequences."""

    mask: Array  # (T, B) bool
    full: int  # the steps before this one are valid in every sequence


def valid_steps(lengths: Sequence[int] | None, steps: int, like: Array, *, xp: Namespace) -> Valid | None:
    """Return the mask of right-padded sequences on the device of `like`, or None where nothing is padded."""
    if lengths is None or all(length == steps for length in lengths):
        return None
    ends = xp.asarray(list(lengths), dtype=xp.int64, device=like.device)
    times = xp.arange(steps, dtype=xp.int64, device=like.device)
    return Valid(times[:, None] < ends[None, :], min(lengths))
