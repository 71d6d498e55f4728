"""What a run is given besides its sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rnn_xp.typing import Array, Namespace


class Params(NamedTuple):
    """The parameters of one direction of one layer; an absent one is None."""

    weight_ih: Array  # (G*H, D)
    weight_hh: Array  # (G*H, H), or (G*H, P) with a projection
    bias_ih: Array | None = None  # (G*H,)
    bias_hh: Array | None = None  # (G*H,)
    weight_hr: Array | None = None  # (P, H)
    vectors: Array | None = None  # (V, H), the cell's parameters of a number for each unit
    state_0: Any = None  # the cell's state of (P or H,), (H,): where sequences begin, if that is learnt


class Valid(NamedTuple):
    """Which steps belong to their sequences."""

    mask: Array  # (T, B) bool
    full: int  # the steps before this one are valid in every sequence
    times: Array | None = None  # (T, B) int64, how many of its own steps stand before each; None: t

    def cut(self, steps: slice) -> Valid:
        """Return what a run over these steps alone needs."""
        full = min(max(self.full - steps.start, 0), steps.stop - steps.start)
        return Valid(self.mask[steps, :], full, None if self.times is None else self.times[steps, :])


class Noise(NamedTuple):
    """What happens to the state of a run on its way from step to step; None: nothing."""

    drop: Array | None = None  # (P or H, B): what h is multiplied by where W_hh meets it
    keep: tuple[Any, ...] | None = None  # of each field what stays of it: (T, P or H, B) bool, or a share

    def cut(self, steps: slice) -> Noise:
        """Return what a run over these steps alone needs."""
        if self.keep is None:
            return self
        keep = tuple(each if isinstance(each, float) else each[steps, ...] for each in self.keep)
        return self._replace(keep=keep)


def valid_steps(lengths: Sequence[int] | None, steps: int, like: Array, *, xp: Namespace) -> Valid | None:
    """Return the mask of right-padded sequences on the device of `like`, or None where nothing is padded."""
    if lengths is None or all(length == steps for length in lengths):
        return None
    ends = xp.asarray(list(lengths), dtype=xp.int64, device=like.device)
    times = xp.arange(steps, dtype=xp.int64, device=like.device)
    return Valid(times[:, None] < ends[None, :], min(lengths))
