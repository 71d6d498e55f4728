"""GRU (Cho et al. 2014); gates r, z, n, and h = (1 - z) n + z h_prev.

Reset after the product, n = tanh(a_n + r (W_hn h_prev + b_hn)), is the form of PyTorch and cuDNN; reset
before it, n = tanh(a_n + W_hn (r h_prev) + b_hn), that of the paper (arXiv:1406.1078 v3).
"""

from __future__ import annotations

from collections.abc import Sequence

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


def after_partials(kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:
    """Return those of the update, and the derivatives of n's pre-activation by a_r and p_n."""
    r, z, n, p_n = kept
    return (*update_partials((z, n), s_prev, s, xp=xp), p_n * r * (1.0 - r), r)


def after_backward(d_s: State, planes: Planes) -> tuple[Planes, tuple[Array]]:
    """Return the gradients of a_r, a_z, a_n and p_n, and of h_prev through z h_prev."""
    *update, n_r, n_p = planes
    (d_z, d_n), d_s_prev = update_backward(d_s, update)
    return (d_n * n_r, d_z, d_n, d_n * n_p), d_s_prev


def reset_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[Array, Planes]:
    """Return the operand r h_prev."""
    r = sigmoid(a[0], xp=xp)
    return r * s_prev.h, (r,)


def reset_partials(kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG001
    """Return the derivatives of the operand by a_r and h_prev."""
    (r,) = kept
    return s_prev.h * r * (1.0 - r), r


def reset_backward(d_operand: Array, planes: Planes) -> tuple[Planes, tuple[Array]]:
    """Return the gradients of a_r, and of h_prev through r h_prev."""
    return (d_operand * planes[0],), (d_operand * planes[1],)


def update_forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
    """Return h = (1 - z) n + z h_prev."""
    z, n = sigmoid(a[0], xp=xp), xp.tanh(a[1])
    return State(n + z * (s_prev.h - n)), (z, n)


def update_partials(kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG001
    """Return the derivatives of h by a_z, a_n and h_prev."""
    z, n = kept
    return (s_prev.h - n) * z * (1.0 - z), (1.0 - z) * (1.0 - n * n), z


def update_backward(d_s: State, planes: Sequence[Array]) -> tuple[Planes, tuple[Array]]:
    """Return the gradients of a_z and a_n, and of h_prev through z h_prev."""
    h_z, h_n, h_h = planes
    return (d_s.h * h_z, d_s.h * h_n), (d_s.h * h_h,)


AFTER = Cell(
    "gru",
    (
        Pair(
            after_forward,
            after_partials,
            after_backward,
            reads=("r", "z", "n"),
            apart=("n",),
            keeps=("r", "z", "n", "p_n"),
        ),
    ),
)
BEFORE = Cell(
    "gru_reset_before",
    (
        Pair(
            reset_forward, reset_partials, reset_backward, reads=("r",), multiplies=("r", "z"), keeps=("r",)
        ),
        Pair(
            update_forward,
            update_partials,
            update_backward,
            reads=("z", "n"),
            multiplies=("n",),
            keeps=("z", "n"),
        ),
    ),
)
