"""Elman RNN (Elman 1990): h = f(a); one gate, a."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rnn_xp.cells.activations import Activation, Name, inside, resolve
from rnn_xp.cells.base import Cell, Formula, Pair, State, interned, titled
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]


@dataclass(frozen=True)
class Elman(Formula):
    """h = f(a)."""

    f: Activation

    @cached_property
    def function(self) -> Any:
        """The activation."""
        return self.f.function

    def forward(self, a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:  # noqa: ARG002
        """Return h = f(a)."""
        h = self.function(a[0], xp=xp)
        return State(h), () if self.f.clip is None else inside(self.f.clip, a, xp=xp)

    def partials(self, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG002
        """Return dh/da."""
        slope = self.f.slope(s.h, *self.f.constants, xp=xp)
        return (slope * kept[0],) if kept else (slope,)

    def backward(self, d_s: State, planes: Planes) -> tuple[Planes, tuple[None]]:
        """Return d_a = d_h dh/da."""
        return (d_s.h * planes[0],), (None,)


def cell(nonlinearity: Name = "tanh", *, clip: float | None = None) -> Cell:
    """Return the cell with that activation, its input held within -clip .. clip."""
    f = resolve("nonlinearity", nonlinearity, clip)
    formula = interned(Elman, f)
    pair = Pair(
        formula.forward,
        formula.partials,
        formula.backward,
        reads=("a",),
        keeps=() if f.clip is None else ("a_inside",),
    )
    constants = None if f.spec == f.name else f.constants
    return Cell(titled(f"rnn_{f.name}", constants=constants, clip=f.clip), (pair,))


TANH, RELU = cell("tanh"), cell("relu")
