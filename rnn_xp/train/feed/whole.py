"""What every process knows of all sequences, those of the other processes too."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.distributed.agree import gather, joined
from rnn_xp.distributed.communicator import Communicator
from rnn_xp.train.feed.prepare import Prepared


class Whole(NamedTuple):
    """All sequences of a training, N of them in all processes together."""

    counts: NDArray[np.float64]  # (N,): the sum of each one's weights
    lengths: NDArray[np.int64] | None  # (N,); None: all as long as the longest
    windows: NDArray[np.float64] | None = None  # (windows, N): weights of losses a step, where any are given

    @classmethod
    def of(cls, data: Prepared, k1: int | None = None) -> Whole:
        """Return what is to be known of a data set, whose windows have k1 steps."""
        windows = None
        if k1 is not None and data.per_step and data.weight is not None:
            windows = np.add.reduceat(data.weight, np.arange(0, len(data.x), k1), axis=0)
        return cls(data.counts, data.lengths, windows)

    def joined(self, ranks: Communicator) -> Whole:
        """Return it of the data of all processes, which must be `aligned`, rank by rank."""
        lengths = None if self.lengths is None else joined(ranks, self.lengths)
        windows = None if self.windows is None else joined(ranks, np.ascontiguousarray(self.windows.T)).T
        return Whole(joined(ranks, self.counts), lengths, windows)


def aligned(data: Prepared, ranks: Communicator) -> Prepared:
    """Return the data of this process as long as the longest sequence of all, with lengths where any has."""
    T, N = data.x.shape[:2]
    told = gather(ranks, [T, data.lengths is not None, data.weight is not None])
    longest, short = int(told[:, 0].max()), bool(told[:, 1].any() or (told[:, 0] != told[0, 0]).any())

    def longer(array: Any) -> Any:
        if array is None or longest == T:
            return array
        return np.pad(array, [(0, longest - T), *[(0, 0)] * (array.ndim - 1)])

    weight = data.weight
    if weight is None and told[:, 2].any():  # of ranks without weights, all count alike
        weight = np.ones((T, N) if data.per_step else N)
        if data.per_step and data.mask is not None:
            weight[~data.mask] = 0.0
    return data._replace(
        x=longer(data.x),
        target=longer(data.target) if data.per_step else data.target,
        weight=longer(weight) if data.per_step else weight,
        lengths=np.full(N, T) if short and data.lengths is None else data.lengths,
        reset=longer(data.reset),
        moved=longer(data.moved),
    )
