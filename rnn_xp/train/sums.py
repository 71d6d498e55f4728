"""What an epoch adds up, and what a training can go back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rnn_xp.typing import Array

_IN_ONE_SUM = 256  # losses


@dataclass(slots=True)
class Sums:
    """What an epoch has added up; losses and norms may be of the device, on which no step writes to them."""

    loss: Any = 0.0
    losses: tuple[Any, ...] = ()  # sums that are full: one float32 would stop counting in a long epoch
    norm: Any = 0.0
    total: float = 0.0  # of the weights of the losses
    steps: int = 0

    def add(self, loss: Any, norm: Any, total: float) -> None:
        """Add a step's."""
        self.loss = self.loss + (loss if total == 1.0 else loss * total)
        self.norm = self.norm + norm
        self.total += total
        self.steps += 1
        if self.steps % _IN_ONE_SUM == 0:
            self.losses, self.loss = (*self.losses, self.loss), 0.0

    @property
    def means(self) -> tuple[float, float]:
        """The mean loss and the mean norm; to read them is to wait for the device."""
        return sum(map(float, (*self.losses, self.loss))) / self.total, float(self.norm) / self.steps


class Snapshot(NamedTuple):
    """What a training can go back to."""

    flat: Array  # a copy of the weights
    state: Any  # of the optimiser, to which no step writes
    sums: Sums
