"""LSTM (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000); gates i, f, g, o as in PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from rnn_xp.cells.base import Cell, Pair
from rnn_xp.functional import sigmoid
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]


class State(NamedTuple):
    """The output h and the memory c."""

    h: Array
    c: Array


def forward(a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
    """Return c = f c_prev + i g and h = o tanh(c)."""
    i, f, g, o = sigmoid(a[0], xp=xp), sigmoid(a[1], xp=xp), xp.tanh(a[2]), sigmoid(a[3], xp=xp)
    c = f * s_prev.c + i * g
    tanh_c = xp.tanh(c)
    return State(o * tanh_c, c), (i, f, g, o, tanh_c)


def partials(kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG001
    """Return dh/dc, dh/da_o, and the derivatives of c by a_i, a_f, a_g and c_prev."""
    i, f, g, o, tanh_c = kept
    return (
        o * (1.0 - tanh_c * tanh_c),
        tanh_c * o * (1.0 - o),
        g * i * (1.0 - i),
        s_prev.c * f * (1.0 - f),
        i * (1.0 - g * g),
        f,
    )


def backward(d_s: State, planes: Planes) -> tuple[Planes, tuple[None, Array]]:
    """Return the gradients of the four pre-activations, and of c_prev."""
    h_c, h_o, c_i, c_f, c_g, c_c = planes
    d_c = d_s.c + d_s.h * h_c
    return (d_c * c_i, d_c * c_f, d_c * c_g, d_s.h * h_o), (None, d_c * c_c)


LSTM = Cell(
    "lstm",
    (Pair(forward, partials, backward, reads=("i", "f", "g", "o"), keeps=("i", "f", "g", "o", "tanh_c")),),
    state=State,
    projectable=True,
)
