"""GRU (Cho et al. 2014); gates r, z, n, and h = (1 - z) n + z h_prev.

Reset after the product, n = tanh(a_n + r (W_hn h_prev + b_hn)), is the form of PyTorch and cuDNN; reset
before it, n = tanh(a_n + W_hn (r h_prev) + b_hn), that of the paper (arXiv:1406.1078 v3). With other
activations, `gate` stands for the sigmoid of r and z, `candidate` for the tanh of n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rnn_xp import checks
from rnn_xp.cells.activations import Activation, Name, inside, resolve_all, slopes
from rnn_xp.cells.base import Cell, Formula, Pair, State, interned, titled
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]
USUAL = ("sigmoid", "tanh")


@dataclass(frozen=True)
class Reset(Formula):
    """The operand of the candidate's product: r h_prev."""

    gate: Activation

    @cached_property
    def function(self) -> Any:
        """The gate's."""
        return self.gate.function

    def forward(self, a: Planes, s_prev: State, *, xp: Namespace) -> tuple[Array, Planes]:
        """Return the operand r h_prev."""
        r = self.function(a[0], xp=xp)
        return r * s_prev.h, (r, *inside(self.gate.clip, a, xp=xp))

    def partials(self, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG002
        """Return the derivatives of the operand by a_r and h_prev."""
        return s_prev.h * slopes((self.gate,), kept, xp=xp)(0), kept[0]

    def backward(self, d_operand: Array, planes: Planes) -> tuple[Planes, tuple[Array]]:
        """Return the gradients of a_r, and of h_prev through r h_prev."""
        return (d_operand * planes[0],), (d_operand * planes[1],)


@dataclass(frozen=True)
class Update(Formula):
    """h = (1 - z) n + z h_prev."""

    gate: Activation
    candidate: Activation

    @cached_property
    def functions(self) -> tuple[Callable[..., Array], ...]:
        """Those of the gates and of the candidate."""
        return self.gate.function, self.candidate.function

    def forward(self, a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
        """Return h = (1 - z) n + z h_prev."""
        gate, candidate = self.functions
        z, n = gate(a[0], xp=xp), candidate(a[1], xp=xp)
        h = n + z * (s_prev.h - n)
        return State(h), (z, n) if self.gate.clip is None else (z, n, *inside(self.gate.clip, a, xp=xp))

    def partials(self, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:  # noqa: ARG002
        """Return the derivatives of h by a_z, a_n and h_prev."""
        z, n = kept[:2]
        slope = slopes((self.gate, self.candidate), kept, xp=xp)
        return (s_prev.h - n) * slope(0), (1.0 - z) * slope(1), z

    def backward(self, d_s: State, planes: Sequence[Array]) -> tuple[Planes, tuple[Array]]:
        """Return the gradients of a_z and a_n, and of h_prev through z h_prev."""
        h_z, h_n, h_h = planes
        return (d_s.h * h_z, d_s.h * h_n), (d_s.h * h_h,)


@dataclass(frozen=True)
class After(Update):
    """The update, with n's recurrent part p_n scaled by r."""

    def forward(self, a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
        """Return h, with n's recurrent part p_n coming apart."""
        a_r, a_z, a_n, p_n = a
        r = self.functions[0](a_r, xp=xp)
        state, (z, n, *through) = Update.forward(self, (a_z, a_n + r * p_n), s_prev, xp=xp)
        if not through:
            return state, (r, z, n, p_n)
        return state, (r, z, n, p_n, *inside(self.gate.clip, (a_r,), xp=xp), *through)

    def partials(self, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:
        """Return those of the update, and the derivatives of n's pre-activation by a_r and p_n."""
        r, z, n, p_n, *through = kept
        update = Update.partials(self, (z, n, *through[1:]), s_prev, s, xp=xp)
        return (*update, p_n * slopes((self.gate,), (r, *through[:1]), xp=xp)(0), r)

    def backward(self, d_s: State, planes: Sequence[Array]) -> tuple[Planes, tuple[Array]]:
        """Return the gradients of a_r, a_z, a_n and p_n, and of h_prev through z h_prev."""
        *update, n_r, n_p = planes
        (d_z, d_n), d_s_prev = Update.backward(self, d_s, update)
        return (d_n * n_r, d_z, d_n, d_n * n_p), d_s_prev


def cell(reset: str = "after", activations: Sequence[Name] = USUAL, *, clip: float | None = None) -> Cell:
    """Return the cell with these activations, their inputs held within -clip .. clip.

    Parameters
    ----------
    reset : {"after", "before"}
    activations : sequence
        Of the gates r and z, and of the candidate n.
    clip : float, optional
    """
    gate, candidate = resolve_all(activations, 2, clip)

    def pair(formula: Any, keeps: tuple[str, ...], gates: tuple[str, ...]) -> Pair:
        through = () if clip is None else tuple(f"{name}_inside" for name in gates)
        return Pair(formula.forward, formula.partials, formula.backward, gates, keeps=keeps + through)

    if checks.one_of("reset", reset, ("after", "before")) == "after":
        after = pair(interned(After, gate, candidate), ("r", "z", "n", "p_n"), ("r", "z", "n"))
        pairs: tuple[Pair, ...] = (after._replace(apart=("n",)),)
    else:
        first = pair(interned(Reset, gate), ("r",), ("r",))
        then = pair(interned(Update, gate, candidate), ("z", "n"), ("z", "n"))
        pairs = first._replace(multiplies=("r", "z")), then._replace(multiplies=("n",))
    name = "gru" if reset == "after" else "gru_reset_before"
    specs = (gate.spec, candidate.spec)
    return Cell(titled(name, activations=None if specs == USUAL else specs, clip=gate.clip), pairs)


AFTER, BEFORE = cell("after"), cell("before")
