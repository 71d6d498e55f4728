"""How a gradient gets through time: its norm at each distance from the end of a sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.probe import Level

FADED = 1e-3
"""Of the largest norm on the way: below it what a step could teach is lost in what the others teach."""

LEAST = 1e-300
"""What stands for a norm of 0 in a ratio."""


class Flow(NamedTuple):
    """A level's gradient on its way back from the end of a run: medians over the sequences."""

    name: str
    norm: NDArray[np.float64]  # (T,): |dL/d(state)| by distance from the end, over that at the end

    @property
    def growth(self) -> float:
        """The largest norm over that at the end."""
        return float(self.norm.max())

    @property
    def reach(self) -> int:
        """How many steps back the norm is still above `FADED` of the largest on the way."""
        faded = np.flatnonzero(self.norm < FADED * np.maximum.accumulate(self.norm))
        return int(faded[0]) if len(faded) else len(self.norm)


def of(level: Level) -> Flow:
    """Return the flow of a level that was looked into with targets."""
    assert level.gradient is not None
    with np.errstate(over="ignore"):
        square = np.asarray(sum((d.astype(np.float64) ** 2).sum(axis=2) for d in level.gradient.values()))
    N, T = level.valid.shape
    lengths = level.valid.sum(axis=1, keepdims=True)
    distance = np.arange(T)
    steps = np.broadcast_to(distance, (N, T)) if level.reverse else lengths - 1 - distance
    there = distance < lengths
    norm = np.sqrt(np.take_along_axis(square, np.where(there, steps, 0), axis=1))
    reached = norm[:, 0] > 0  # of the others the loss is 0, or none of it gets here
    if not reached.any():
        return Flow(level.name, np.zeros(1))
    relative = np.minimum(norm[reached] / norm[reached, :1], 1 / LEAST)
    there = there[reached]
    longest = int(there.sum(axis=1).max())
    medians = [float(np.median(relative[there[:, d], d])) for d in range(longest)]
    return Flow(level.name, np.nan_to_num(np.array(medians), nan=1 / LEAST))
