"""GRU (Cho et al. 2014); gates r, z, n, and h = (1 - z) n + z h_prev.

Reset after the product, n = tanh(a_n + r (W_hn h_prev + b_hn)), is the form of PyTorch and cuDNN; reset before it,
n = tanh(a_n + W_hn (r h_prev) + b_hn), that of the paper (arXiv:1406.1078 v3).
"""

from __future__ import annotations

from typing import Any

from rnn_xp.cells.base import Cell, Pair, State
from rnn_xp.functional import sigmoid
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]


def after_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
    """Return h, with n's recurrent part p_n coming apart."""
    a_r, a_z, a_n, p_n = a
    r = sigmoid(a_r, xp=xp)
    state, (z, n) = update_forward((a_z, a_n + r * p_n), s_prev, xp=xp)
    return state, (r, z, n, p_n)


def after_backward(d_s: State, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> tuple[Planes, Any]:
    """Return the gradients of a_r, a_z, a_n and p_n, and of h_prev through z h_prev."""
    r, z, n, p_n = kept
    (d_z, d_n), d_s_prev = update_backward(d_s, (z, n), s_prev, s, xp=xp)
    d_r = d_n * p_n * r * (1.0 - r)
    return (d_r, d_z, d_n, d_n * r), d_s_prev


def reset_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[Array, Planes]:
    """Return the operand r h_prev."""
    r = sigmoid(a[0], xp=xp)
    return r * s_prev.h, (r,)


def reset_backward(d_operand: Array, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> tuple[Planes, Any]:  # noqa: ARG001
    """Return the gradients of a_r, and of h_prev through r h_prev."""
    (r,) = kept
    d = d_operand * r
    return (d * s_prev.h * (1.0 - r),), (d,)


def update_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
    """Return h = (1 - z) n + z h_prev."""
    z, n = sigmoid(a[0], xp=xp), xp.tanh(a[1])
    return State(n + z * (s_prev.h - n)), (z, n)


def update_backward(d_s: State, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> tuple[Planes, Any]:  # noqa: ARG001
    """Return the gradients of a_z and a_n, and of h_prev through z h_prev."""
    z, n = kept
    d_h_prev = d_s.h * z
    d_z = d_h_prev * (s_prev.h - n) * (1.0 - z)
    d_n = (d_s.h - d_h_prev) * (1.0 - n * n)
    return (d_z, d_n), (d_h_prev,)


AFTER = Cell(
    "gru", (Pair(after_forward, after_backward, reads=("r", "z", "n"), apart=("n",), keeps=("r", "z", "n", "p_n")),)
)
BEFORE = Cell(
    "gru_reset_before",
    (
        Pair(reset_forward, reset_backward, reads=("r",), multiplies=("r", "z"), keeps=("r",)),
        Pair(update_forward, update_backward, reads=("z", "n"), multiplies=("n",), keeps=("z", "n")),
    ),
)
