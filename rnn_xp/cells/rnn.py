"""Elman RNN (Elman 1990): h = f(a) with f = tanh or relu; one gate, a."""

from __future__ import annotations

from typing import Any

from rnn_xp.cells.base import Cell, Pair, State
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]


def tanh_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:  # noqa: ARG001
    """Return h = tanh(a)."""
    return State(xp.tanh(a[0])), ()


def tanh_backward(d_s: State, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> tuple[Planes, Any]:  # noqa: ARG001
    """Return d_a = d_h (1 - h^2)."""
    return (d_s.h * (1.0 - s.h * s.h),), (None,)


def relu_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:  # noqa: ARG001
    """Return h = max(a, 0)."""
    return State(xp.maximum(a[0], xp.zeros_like(a[0]))), ()


def relu_backward(d_s: State, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> tuple[Planes, Any]:  # noqa: ARG001
    """Return d_a = d_h where h > 0, else 0."""
    return (xp.where(s.h > 0.0, d_s.h, xp.zeros_like(d_s.h)),), (None,)


TANH = Cell("rnn_tanh", (Pair(tanh_forward, tanh_backward, reads=("a",)),))
RELU = Cell("rnn_relu", (Pair(relu_forward, relu_backward, reads=("a",)),))
