"""Which element is which: what layers put out, numbered through, so that every move is followed exactly.

A graph is read for one batch of example sizes. A tensor that depends on X holds, instead of numbers, the
names of its elements: `Flow.first` + the place in the layer's output (T, N, C). Moving operators move names
as they would move numbers: a transposition, the last step, or a shuffled batch shows in what comes out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp.interop.onnx.reading.file import Node
from rnn_xp.interop.onnx.reading.moves import fits
from rnn_xp.layers import LastStep, Layer, Signal

Host: TypeAlias = NDArray[Any]
Names: TypeAlias = NDArray[Any]  # of int64

BLANK, LOW, OTHER = -1, -2, -3
"""Names of what no layer put out: 0; a number below all others; anything else."""


class OutOfOrderError(ValueError):
    """Steps are not (T, N, C): perhaps X has its axes in another order."""


class Example(NamedTuple):
    """The sizes of a batch, and of each sequence how many steps are valid."""

    T: int
    N: int
    lengths: tuple[int, ...] | None

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether a step is valid, (T, N)."""
        return np.arange(self.T)[:, np.newaxis] < np.asarray(self.ends)

    @property
    def ends(self) -> tuple[int, ...]:
        """Of each sequence the number of valid steps."""
        return self.lengths or (self.T,) * self.N


@dataclass(eq=False)
class Flow:
    """What a layer, or an input, puts out: steps (T, N, C), tokens (T, N), or a vector (N, C)."""

    first: int
    shape: tuple[int, ...]
    made: str  # what it is, in words
    signal: Signal | None = None  # None: no layer reads it
    parent: Flow | None = None
    layer: Layer | None = None
    params: Any = ()
    last: Flow | None = None  # the flow of a LastStep after it, once there is one

    @property
    def all(self) -> Names:
        """The names of all elements, in order."""
        return np.arange(self.first, self.first + int(np.prod(self.shape))).reshape(self.shape)

    def local(self, names: Names) -> tuple[Names, ...]:
        """Return the places (t, n, c), (t, n) or (n, c) of names."""
        return np.unravel_index(names - self.first, self.shape)


class Elements:
    """All flows of a graph, and how many elements its tensors may still hold."""

    def __init__(self, example: Example, room: int) -> None:
        self.example, self.room = example, room
        self.flows: list[Flow] = []

    def hold(self, results: Sequence[Any]) -> None:
        """Count what a node gives: each tensor may fit, and many of them not."""
        self.room -= sum((each.names if isinstance(each, Made) else each).size for each in results)
        if self.room < 0:
            msg = "with it the graph's tensors would hold far more numbers than its file"
            raise ValueError(msg)

    def add(self, shape: tuple[int, ...], made: str, signal: Signal | None = None, **more: Any) -> Flow:
        """Add a flow, and number its elements."""
        fits(*shape)
        first = 0
        if self.flows:
            before = self.flows[-1]
            first = before.first + int(np.prod(before.shape))
        self.flows.append(Flow(first, shape, made, signal, **more))
        return self.flows[-1]

    def apply(self, flow: Flow, layer: Layer, params: Any) -> Flow:
        """Return the flow of a layer that reads another flow."""
        assert flow.signal is not None
        fitted, signal = layer.connect(flow.signal)
        lead = (self.example.N,) if signal.kind == "vector" else (self.example.T, self.example.N)
        shape = (*lead, int(signal.size or 0))
        return self.add(shape, f"what {fitted!r} gives", signal, parent=flow, layer=fitted, params=params)

    def of(self, names: Names) -> list[Flow]:
        """Return the flows that elements come from."""
        real = np.unique(names[names >= 0])
        found: list[Flow] = []
        firsts = [flow.first for flow in self.flows]
        while real.size:
            flow = self.flows[bisect_right(firsts, int(real[0])) - 1]
            found.append(flow)
            real = real[real >= flow.first + int(np.prod(flow.shape))]
        return found

    def owner(self, names: Names) -> Flow:
        """Return the one flow that elements come from, if a layer may read it."""
        flows = self.of(names)
        if len(flows) != 1:
            made = " and ".join(flow.made for flow in flows) or "no layer's output"
            msg = f"it reads {made} in one tensor"
            raise ValueError(msg)
        return flows[0]

    def readable(self, names: Names) -> tuple[Names, Flow]:
        """Return elements and their flow, both those of a LastStep where they are just that."""
        flow = self.owner(names)
        if flow.signal is None:
            msg = f"it reads {flow.made}"
            raise ValueError(msg)
        if flow.signal.kind == "steps" and self.is_last(names, flow):
            if flow.last is None:
                flow.last = self.apply(flow, LastStep(), ())
            return flow.last.all.reshape(names.shape), flow.last
        return names, flow

    def is_last(self, names: Names, flow: Flow) -> bool:
        """Whether elements are, in order, those that a LastStep takes."""
        assert flow.signal is not None
        T, N, C = flow.shape
        if names.size != N * C or (T == 1 and names.ndim == 3):
            return False
        every = flow.all
        last = every[np.asarray(self.example.ends) - 1, np.arange(N)]
        turned = C - flow.signal.reverse
        last = np.concatenate([last[:, :turned], every[0, :, turned:]], axis=1)
        return np.array_equal(names.reshape(N, C), last)

    def in_order(self, names: Names, flow: Flow) -> bool:
        """Whether elements are all the valid ones of a flow, whatever the order of the axes."""
        every, valid = flow.all, np.ones(flow.shape, dtype=bool)
        if len(flow.shape) == 3:
            valid &= self.example.valid[:, :, np.newaxis]
        orders = permutations(range(3)) if len(flow.shape) == 3 else [(0, 1)]
        flat = names.reshape(-1)
        if flat.size != every.size:
            return False
        for order in orders:
            wanted, counts = every.transpose(order).reshape(-1), valid.transpose(order).reshape(-1)
            if np.array_equal(flat[counts], wanted[counts]):
                return True
        return False

    def rows(self, names: Names, flow: Flow) -> Names:
        """Return of rows of features (..., C) which they are, t * N + n or n; OTHER for one of padding."""
        C = flow.shape[-1]
        if names.ndim == 0 or names.shape[-1] != C:
            msg = f"it reads rows of {names.shape[-1:] or 'no'} features where {flow.made} has {C}"
            raise ValueError(msg)
        rows = names.reshape(-1, C)
        starts = rows[:, 0] - flow.first
        real = (rows >= 0).all(axis=1)
        whole = (rows == rows[:, :1] + np.arange(C)).all(axis=1) & (starts % C == 0)
        if not np.array_equal(real, real & whole) or ((rows >= 0).any(axis=1) & ~real).any():
            msg = f"it reads features of {flow.made} apart, or in another order"
            raise ValueError(msg)
        return np.where(real, starts // C, OTHER)


class Made(NamedTuple):
    """A tensor that depends on an input."""

    names: Names


class Call(NamedTuple):
    """A node, and what comes in: arrays of numbers, or `Made`; None is an absent input."""

    elements: Elements
    node: Node
    opset: int
    inputs: Sequence[Any]

    def has(self, place: int) -> bool:
        """Whether there is an input at a place."""
        return len(self.inputs) > place and self.inputs[place] is not None

    def made(self, place: int, why: str = "") -> Names:
        """Return an input that depends on X."""
        value = self.inputs[place]
        if not isinstance(value, Made):
            msg = f"its input {place} is constant{'; ' + why if why else ''}"
            raise ValueError(msg)
        return value.names

    def constant(self, place: int) -> Host:
        """Return an input that does not depend on X."""
        value = self.inputs[place]
        if isinstance(value, Made):
            msg = f"its input {place} depends on what layers give, and is not constant"
            raise ValueError(msg)
        return value  # type: ignore[no-any-return]


def renamed(rows: Names, flow: Flow, lead: tuple[int, ...]) -> Names:
    """Return the names of the rows of a flow, (*lead, C)."""
    C = flow.shape[-1]
    names = np.where(rows[:, np.newaxis] < 0, OTHER, flow.first + rows[:, np.newaxis] * C + np.arange(C))
    return names.reshape(*lead, C)


def moved(names: Names, flow: Flow, to: Flow) -> Names:
    """Return elements of one flow as those of another of the same shape; what is padding is then anything."""
    return np.where(names < 0, OTHER, names - flow.first + to.first)


def marks(values: NDArray[Any]) -> Names:
    """Return numbers as names."""
    return np.where(values == 0, BLANK, np.where(values < -1e30, LOW, OTHER))
