"""Lanes of a corpus as batches: their windows are read when they are needed, and the corpus never whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import Backend
from rnn_xp.data.lanes import Lanes
from rnn_xp.model import Loss, Sequential
from rnn_xp.train.feed.batches import Batch, chosen
from rnn_xp.train.feed.windows import Group, Window, count_windows
from rnn_xp.typing import Array, Tree


def check(model: Sequential, loss: Loss) -> None:
    """Refuse a model or a loss that is not made for predicting the next token."""
    if model.intake.kind != "tokens" or not model.per_step or not loss.classes:
        must = "`model` must take tokens and give an output a step, and `loss` be 'cross_entropy', for Lanes"
        msg = f"{must}; got {model!r}."
        raise ValueError(msg)


class LaneGroup(Group):
    """Lanes that go through their windows together."""

    def __init__(self, lanes: Lanes, parts: Sequence[NDArray[np.int64]], source: LaneWindows) -> None:
        self.lanes, self.lots, self.source = lanes, parts, source
        self.shape = (lanes.steps, source.k1, source.k2)
        self.count = sum(map(len, parts))

    def total(self, i: int) -> float:
        """Return the number of the losses of a window."""
        own = self.window(i)
        return float((own.end - own.begin) * self.count)

    def counts_from(self, i: int) -> bool:
        """Return whether there are so many windows."""
        return i < len(self)

    def cut(self, i: int, states: Sequence[Tree] | None) -> tuple[Batch, ...]:
        """Return what a step takes of the lanes for a window, from the states at its first step."""
        own, backend = self.window(i), self.source.backend
        x, target = self.lanes.window(own.start, own.end)
        self.source.check(x, target)
        begins = self.lanes.resets(own.start, own.end)
        batches, sample = [], 0
        for number, lot in enumerate(self.lots):
            batches.append(
                Batch(
                    backend.asarray(x[:, lot]),
                    backend.asarray(target[:, lot]),
                    self._weights(own, len(lot), self.total(i)),
                    None,
                    self.total(i),
                    None if begins is None else backend.asarray(begins[:, lot]),
                    sample=sample,
                    time=own.start,
                    state_0=None if states is None else states[number],
                    carry=own.carry or None,
                )
            )
            sample += len(lot)
        return tuple(batches)

    def _weights(self, own: Window, count: int, total: float) -> Array:
        """Return what the losses of a window count for, (T, N)."""
        xp, backend = self.source.backend.xp, self.source.backend
        share: Array = xp.zeros((own.end - own.start, count), dtype=backend.dtype, device=backend.device)
        share[own.begin - own.start :, :] = 1.0 / total
        return share


class LaneWindows:
    """Lanes, so many to a step, in windows."""

    def __init__(
        self,
        lanes: Lanes,
        model: Sequential,
        backend: Backend,
        k1: int,
        k2: int,
        batch_size: int,
        accumulate: int,
    ) -> None:
        self.lanes, self.backend, self.k1, self.k2 = lanes, backend, k1, k2
        self.batch_size, self.size = batch_size, batch_size * accumulate
        self.count, self.model = lanes.count, model

    def __len__(self) -> int:
        """Return the number of groups of lanes."""
        return -(-self.count // self.size)

    def groups(self, order: NDArray[np.int64] | None, first: int = 0) -> Iterator[LaneGroup]:
        """Return the lanes that go through their windows together, from the group `first` on."""
        for number in range(first, len(self)):
            own = self.chosen(order, number)
            lots = [own[i : i + self.batch_size] for i in range(0, len(own), self.batch_size)]
            yield LaneGroup(self.lanes, lots, self)

    def chosen(self, order: NDArray[np.int64] | None, number: int) -> NDArray[np.int64]:
        """Return the lanes of a group."""
        return chosen(order, number, self.size, self.count)

    def origin(
        self, order: NDArray[np.int64] | None, number: int, sample: int, step: int | None
    ) -> tuple[int, int | None]:
        """Return the lane and the step that one of a group is."""
        return int(self.chosen(order, number)[sample]), step

    def places(self, order: NDArray[np.int64] | None) -> Iterator[tuple[int, int]]:  # noqa: ARG002
        """Return the numbers of the group and the window of each step."""
        windows = range(count_windows(self.lanes.steps, self.k1))
        return ((number, i) for number in range(len(self)) for i in windows)

    def padding(self, order: NDArray[np.int64] | None) -> None:
        """Return nothing: no lane ends before the others."""

    def check(self, x: NDArray[np.int64], target: NDArray[np.int64]) -> None:
        """Refuse tokens that the model does not know."""
        for name, tokens, size in (
            ("tokens", x, self.model.intake.size),
            ("targets", target, self.model.output_size),
        ):
            if size is not None and (tokens.min() < 0 or tokens.max() >= size):
                must = f"`X` must hold {name} in 0..V-1 with V = {size}"
                msg = f"{must}; got {tokens.min()}..{tokens.max()}."
                raise ValueError(msg)
