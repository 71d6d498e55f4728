"""Elman RNN (Elman 1990): h = f(a) with f = tanh or relu; one gate, a."""

from __future__ import annotations

from rnn_xp.cells.base import Cell, Pair, State
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]


def tanh_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:  # noqa: ARG001
    """Return h = tanh(a)."""
    return State(xp.tanh(a[0])), ()


def tanh_partials(kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG001
    """Return dh/da = 1 - h^2."""
    return (1.0 - s.h * s.h,)


def relu_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:  # noqa: ARG001
    """Return h = max(a, 0)."""
    return State(xp.maximum(a[0], xp.zeros_like(a[0]))), ()


def relu_partials(kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG001
    """Return dh/da: 1 where h > 0, else 0."""
    return (xp.astype(s.h > 0.0, s.h.dtype),)


def backward(d_s: State, planes: Planes) -> tuple[Planes, tuple[None]]:
    """Return d_a = d_h dh/da."""
    return (d_s.h * planes[0],), (None,)


TANH = Cell("rnn_tanh", (Pair(tanh_forward, tanh_partials, backward, reads=("a",)),))
RELU = Cell("rnn_relu", (Pair(relu_forward, relu_partials, backward, reads=("a",)),))
