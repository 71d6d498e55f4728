"""Truncated back-propagation through time: the windows of a batch, and what each takes of it.

Windows end at k1, 2 * k1, ... and at T. A window's loss is that of the steps since the previous window's end;
its run begins k2 steps before its own end, at a state that is a constant. A model with one output a sequence
has its loss at the sequence's last valid step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.train.feed.batches import Batch, Batches, Lot
from rnn_xp.train.feed.division import Order
from rnn_xp.typing import Array, Namespace, Tree


class Window(NamedTuple):
    """Steps of a batch."""

    start: int  # the run's first step
    begin: int  # the first step whose loss counts
    end: int  # past the last step of both
    carry: int  # the steps of the run before the next window's first; 0: that begins where the sequences do


def window(i: int, steps: int, k1: int, k2: int) -> Window:
    """Return the window i, from 0, of a batch of so many steps.

    Examples
    --------
    >>> [tuple(window(i, 7, 2, 3)) for i in range(4)]
    [(0, 0, 2, 1), (1, 2, 4, 2), (3, 4, 6, 1), (4, 6, 7, 0)]
    """
    end = min((i + 1) * k1, steps)
    start, after = (max(0, own - k2) for own in (end, min(end + k1, steps)))
    return Window(start, i * k1, end, after - start)


def count_windows(steps: int, k1: int) -> int:
    """Return the number of windows of a batch of so many steps."""
    return -(-steps // k1)


class Group:
    """The batches of a step, which have one length, to be cut into windows, each of some weight."""

    def __init__(
        self, lot: Lot, shape: tuple[int, int, int], weights: NDArray[np.float64], *, xp: Namespace
    ) -> None:
        self.lot, self.shape, self.weights, self.xp = lot, shape, weights, xp
        self._last = int(np.flatnonzero(weights).max(initial=-1)) + 1  # past the last window that counts

    def __len__(self) -> int:
        """Return the number of windows."""
        return count_windows(*self.shape[:2])

    def window(self, i: int) -> Window:
        """Return a window, from 0."""
        return window(i, *self.shape)

    def total(self, i: int) -> float:
        """Return the sum of the weights of a window's losses."""
        return self.lot.total if len(self) == 1 else float(self.weights[i])

    def counts_from(self, i: int) -> bool:
        """Return whether anything counts in a window or those after it."""
        return i < self._last

    @cached_property
    def parts(self) -> tuple[Batch, ...]:
        """The batches, with all their steps."""
        return self.lot.cut()

    def cut(self, i: int, states: Sequence[Tree] | None) -> tuple[Batch, ...]:
        """Return what a step takes of the batches for a window, from the states at its first step."""
        own, total = self.window(i), self.total(i)
        return tuple(
            self._part(part, own, own.end, total, state)._replace(
                target=self._target(part, own), share=self._share(part, own, total)
            )
            for part, state in self._with(states)
        )

    def lead(self, i: int, states: Sequence[Tree] | None) -> tuple[Batch, ...]:
        """Return the steps between a window's first one and the next window's."""
        own = self.window(i)
        return tuple(
            self._part(part, own, own.start + own.carry, 0.0, state) for part, state in self._with(states)
        )

    def _with(self, states: Sequence[Tree] | None) -> Iterator[tuple[Batch, Tree | None]]:
        """Return each batch with its state."""
        return zip(self.parts, [None] * len(self.parts) if states is None else states, strict=True)

    def _part(self, part: Batch, window: Window, end: int, total: float, state: Tree | None) -> Batch:
        """Return the steps of a batch from a window's start to `end`, with its own target and share."""
        own = slice(window.start, end)
        valid = None if part.valid is None else part.valid.cut(own)
        return part._replace(
            x=part.x[own, ...],
            valid=None if valid is None or valid.full == end - window.start else valid,
            total=total,
            reset=None if part.reset is None else part.reset[own, :],
            time=window.start,
            state_0=state,
            carry=window.carry or None,
        )

    def _target(self, part: Batch, window: Window) -> Array:
        """Return the targets of a window."""
        return part.target[window.start : window.end, ...] if part.share.ndim == 2 else part.target

    def _share(self, part: Batch, window: Window, total: float) -> Array:
        """Return what the losses of a window count for: 0 where they are another's."""
        xp, share = self.xp, part.share
        start, begin, end, _ = window
        if share.ndim == 2:
            share = share[start:end, :]
            if begin > start:
                zeros = xp.zeros_like(share[: begin - start, :])
                share = xp.concat([zeros, share[begin - start :, :]], axis=0)
        elif part.ends is not None and len(self) > 1:
            here = part.ends <= end
            if begin > 0:  # a sequence of no steps has its loss in the first window
                here = here & (part.ends > begin)
            share = xp.where(here, share, xp.zeros_like(share))
        return share if total == part.total else share * (part.total / (total or 1.0))


class Windows:
    """Batches whose steps are windows of them, and whose `whole` knows of windows of k1 steps."""

    def __init__(self, batches: Batches, k1: int, k2: int) -> None:
        self.batches, self.k1, self.k2 = batches, k1, k2
        self.count, self.batch_size, self.unit = batches.count, batches.batch_size, batches.unit

    def __len__(self) -> int:
        """Return the number of groups of batches in an epoch."""
        return len(self.batches)

    def groups(self, order: Order, first: int = 0) -> Iterator[Group]:
        """Return the batches that go through their windows together, from the group `first` on."""
        xp = self.batches.backend.xp
        for number, lot in enumerate(self.batches.groups(order, first), first):
            steps, weights = self._weights(order, number)
            yield Group(lot, (steps, self.k1, self.k2), weights, xp=xp)

    def chosen(self, order: Order, number: int) -> NDArray[np.int64]:
        """Return the sequences of a group."""
        return self.batches.chosen(order, number)

    def samples(self, order: Order, number: int) -> list[NDArray[np.int64]]:
        """Return the places in a group of the sequences of each batch of this process."""
        return self.batches.samples(order, number)

    def origin(self, order: Order, number: int, sample: int, step: int | None) -> tuple[int, int | None]:
        """Return which of the user's sequences, and of its steps, one of a group is."""
        return self.batches.origin(order, number, sample, step)

    def places(self, order: Order) -> Iterator[tuple[int, int]]:
        """Return the numbers of the group and the window of each step that counts."""
        for number in range(len(self)):
            weights = self._weights(order, number)[1]
            yield from ((number, int(i)) for i in np.flatnonzero(weights))

    def padding(self, order: Order) -> float | None:
        """Return the share of the steps in an epoch's batches that are padding; None without lengths."""
        return self.batches.padding(order)

    def _weights(self, order: Order, number: int) -> tuple[int, NDArray[np.float64]]:
        """Return the steps of a group, and the sum of the weights in each window of it."""
        data, whole, chosen = self.batches.data, self.batches.whole, self.batches.chosen(order, number)
        T, k1 = len(data.x), self.k1
        lengths = np.full(len(chosen), T) if whole.lengths is None else whole.lengths[chosen]
        steps = max(1, int(lengths.max()))
        count = count_windows(steps, k1)
        weights: NDArray[np.float64]
        if not data.per_step:
            last = (np.maximum(lengths, 1) - 1) // k1
            weights = np.bincount(last, whole.counts[chosen], count).astype(np.float64)
        elif whole.windows is not None:
            weights = whole.windows[:count, chosen].sum(axis=1)
        else:
            starts = k1 * np.arange(count)[:, np.newaxis]
            weights = np.clip(lengths - starts, 0, k1).sum(axis=1).astype(np.float64)
        return steps, weights
