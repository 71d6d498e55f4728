"""Lanes of a corpus as batches: their windows are read when they are needed, and the corpus never whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import Backend
from rnn_xp.data.lanes import Lanes
from rnn_xp.model import Loss, Sequential
from rnn_xp.train.feed.batches import Batch, chosen
from rnn_xp.train.feed.division import ALONE, Division, Order, Piece
from rnn_xp.train.feed.windows import Group, Window, count_windows
from rnn_xp.typing import Array, Tree


def check(model: Sequential, loss: Loss) -> None:
    """Refuse a model or a loss that is not made for predicting the next token."""
    if model.intake.kind != "tokens" or not model.per_step or not loss.classes:
        must = "`model` must take tokens and give an output a step, and `loss` be 'cross_entropy', for Lanes"
        msg = f"{must}; got {model!r}."
        raise ValueError(msg)


class LaneGroup(Group):
    """Lanes that go through their windows together: `count` in all processes, those of `pieces` in this."""

    def __init__(
        self, count: int, pieces: Sequence[tuple[Piece, NDArray[np.int64]]], source: LaneWindows
    ) -> None:
        self.count, self.pieces, self.source = count, pieces, source
        self.shape = (source.lanes.steps, source.k1, source.k2)

    def total(self, i: int) -> float:
        """Return the number of the losses of a window."""
        own = self.window(i)
        return float((own.end - own.begin) * self.count)

    def counts_from(self, i: int) -> bool:
        """Return whether there are so many windows."""
        return i < len(self)

    def cut(self, i: int, states: Sequence[Tree] | None) -> tuple[Batch, ...]:
        """Return what a step takes of the lanes for a window, from the states at its first step."""
        own, backend, source = self.window(i), self.source.backend, self.source
        batches = []
        for number, (piece, lanes) in enumerate(self.pieces):
            x, target = source.lanes.window(own.start, own.end, lanes)
            source.check(x, target)
            begins = source.lanes.resets(own.start, own.end, lanes)
            batches.append(
                Batch(
                    backend.asarray(x),
                    backend.asarray(target),
                    self._weights(own, len(lanes), self.total(i)),
                    None,
                    self.total(i),
                    None if begins is None else backend.asarray(begins),
                    sample=backend.asarray(piece.sample) if source.division.apart else piece.sample,
                    time=own.start,
                    state_0=None if states is None else states[number],
                    carry=own.carry or None,
                    slot=piece.slot,
                )
            )
        return tuple(batches)

    def _weights(self, own: Window, count: int, total: float) -> Array:
        """Return what the losses of a window count for, (T, N)."""
        xp, backend = self.source.backend.xp, self.source.backend
        share: Array = xp.zeros((own.end - own.start, count), dtype=backend.dtype, device=backend.device)
        share[own.begin - own.start :, :] = 1.0 / total
        return share


class LaneWindows:
    """Lanes, so many to a step, in windows; `count` of them in all processes."""

    def __init__(
        self,
        lanes: Lanes,
        model: Sequential,
        backend: Backend,
        truncate: tuple[int, int],
        batch_size: int,
        accumulate: int,
        *,
        division: Division = ALONE,
        count: int | None = None,
    ) -> None:
        self.lanes, self.model, self.backend = lanes, model, backend
        self.k1, self.k2 = truncate
        self.batch_size, self.size = batch_size, batch_size * accumulate
        self.division, self.count = division, count or lanes.count

    def __len__(self) -> int:
        """Return the number of groups of lanes."""
        return -(-self.count // self.size)

    def groups(self, order: Order, first: int = 0) -> Iterator[LaneGroup]:
        """Return the lanes that go through their windows together, from the group `first` on."""
        own = self.division.own(order)
        lanes = np.arange(self.lanes.count) if own.order is None else own.order
        for number in range(first, len(self)):
            group = self._group(number)
            pieces = [
                (piece, lanes[piece.part]) for piece in self.division.pieces(group, self.batch_size, own)
            ]
            yield LaneGroup(group.stop - group.start, pieces, self)

    @property
    def unit(self) -> int:
        """How many sequences, at most, run together in one process."""
        return self.division.blocks or self.batch_size

    def chosen(self, order: Order, number: int) -> NDArray[np.int64]:
        """Return the lanes of a group."""
        return chosen(order, number, self.size, self.count)

    def samples(self, order: Order, number: int) -> list[NDArray[np.int64]]:
        """Return the places in a group of the lanes of each batch of this process."""
        pieces = self.division.pieces(self._group(number), self.batch_size, self.division.own(order))
        return [piece.samples for piece in pieces]

    def origin(self, order: Order, number: int, sample: int, step: int | None) -> tuple[int, int | None]:
        """Return the lane and the step that one of a group is."""
        return int(self.chosen(order, number)[sample]) - self.division.first, step

    def places(self, order: Order) -> Iterator[tuple[int, int]]:  # noqa: ARG002
        """Return the numbers of the group and the window of each step."""
        windows = range(count_windows(self.lanes.steps, self.k1))
        return ((number, i) for number in range(len(self)) for i in windows)

    def padding(self, order: Order) -> None:
        """Return nothing: no lane ends before the others."""

    def _group(self, number: int) -> slice:
        """Return where in an order the lanes of a group lie."""
        return slice(number * self.size, min((number + 1) * self.size, self.count))

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
