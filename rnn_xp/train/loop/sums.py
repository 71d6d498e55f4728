"""What an epoch adds up, and what a training can go back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rnn_xp.typing import Array


@dataclass(slots=True)
class Sums:
    """What an epoch has added up; loss and norm may be of the device, on which no step writes to them."""

    loss: Any = 0.0  # the mean so far, float64: a sum of large losses or weights could overflow
    norm: Any = 0.0
    total: float = 0.0  # of the weights of the losses
    steps: int = 0

    def add(self, loss: Any, norm: Any, total: float) -> None:
        """Add a step's."""
        self.total += total
        self.steps += 1
        self.loss = self.loss + (loss - self.loss) * (total / self.total)
        self.norm = self.norm + norm

    @property
    def means(self) -> tuple[float, float]:
        """The mean loss and the mean norm; to read them is to wait for the device."""
        return float(self.loss), float(self.norm) / self.steps


class Snapshot(NamedTuple):
    """What a training can go back to."""

    flat: Array  # a copy of the weights
    state: Any  # of the optimiser, to which no step writes
    sums: Sums
