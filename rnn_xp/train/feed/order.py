"""In which order an epoch sees the sequences: a function of the seed and the epoch alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHUFFLE = 1  # what a seed is used for besides the weights; 2 is the validation split

POOL = 64
"""Batches among which sequences are sorted by length: enough for little padding, few enough to stay mixed."""

NOISE = 0.1
"""The share of its length that is drawn for a sequence, up or down, before it is sorted: batches differ."""


@dataclass(frozen=True)
class Order:
    """How the order of an epoch is drawn."""

    count: int  # sequences
    size: int  # sequences in a step
    seed: int
    shuffle: bool
    lengths: NDArray[np.int64] | None = None  # (N,): batches are of similar length; None: they are not

    def of(self, epoch: int) -> NDArray[np.int64] | None:
        """Return the sequences in the order of an epoch, counted from 1; None is the order of the data."""
        random = np.random.default_rng([self.seed, epoch, _SHUFFLE]) if self.shuffle else None
        order = None if random is None else random.permutation(self.count)
        if self.lengths is None:
            return order
        order = np.arange(self.count) if order is None else order
        keys = self.lengths.astype(np.float64)
        if random is not None:
            keys *= random.uniform(1.0 - NOISE, 1.0 + NOISE, self.count)
        pool = POOL * self.size
        starts = range(0, self.count, pool)
        order = np.concatenate([self._sorted(order[start : start + pool], keys) for start in starts])
        whole = self.count // self.size  # a batch that is short stays the last one
        batches = order[: whole * self.size].reshape(whole, self.size)
        if random is not None:
            batches = random.permutation(batches)
        return np.concatenate([batches.ravel(), order[whole * self.size :]])

    @staticmethod
    def _sorted(pool: NDArray[np.int64], keys: NDArray[np.float64]) -> NDArray[np.int64]:
        """Sort a pool; of equal ones, the order stays."""
        return pool[np.argsort(keys[pool], kind="stable")]
