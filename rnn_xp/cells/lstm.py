"""LSTM (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000); gates i, f, g, o as in PyTorch.

Peepholes (Gers, Schraudolph & Schmidhuber 2002) let i and f see c_prev and o see c, each unit its own. Where
the gates are coupled, f = 1 - i, and there is no gate f (`input_forget` of the ONNX operator).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from rnn_xp import checks
from rnn_xp.cells.activations import Activation, Name, inside, resolve_all, slopes
from rnn_xp.cells.base import Cell, Formula, Pair, interned, titled
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]
USUAL = ("sigmoid", "tanh", "tanh")


class State(NamedTuple):
    """The output h and the memory c."""

    h: Array
    c: Array


@dataclass(frozen=True)
class Memory(Formula):
    """c = f c_prev + i g and h = o output(c)."""

    gate: Activation
    candidate: Activation
    output: Activation
    peepholes: bool
    coupled: bool

    @cached_property
    def functions(self) -> tuple[Callable[..., Array], ...]:
        """Those of the gates, of the candidate and of the output."""
        return self.gate.function, self.candidate.function, self.output.function

    def forward(self, a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
        """Return c = f c_prev + i g and h = o output(c)."""
        gate, candidate, output = self.functions
        c_prev = s_prev.c
        if self.coupled:
            a_i, a_g, a_o, *p = a
        else:
            a_i, a_f, a_g, a_o, *p = a
        if p:
            a_i = a_i + p[0] * c_prev
            if not self.coupled:
                a_f = a_f + p[1] * c_prev
        i, g = gate(a_i, xp=xp), candidate(a_g, xp=xp)
        f = 1.0 - i if self.coupled else gate(a_f, xp=xp)
        c = f * c_prev + i * g
        if p:
            a_o = a_o + p[-1] * c
        o, y = gate(a_o, xp=xp), output(c, xp=xp)
        kept: Planes = (i, g, o, y) if self.coupled else (i, f, g, o, y)
        if self.gate.clip is not None:
            x = (a_i, a_g, a_o) if self.coupled else (a_i, a_f, a_g, a_o)
            kept = kept + inside(self.gate.clip, x, xp=xp)
        return State(o * y, c), kept

    def partials(self, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:
        """Return dh/dc, dh/da_o, dc/dc_prev and the derivatives of c by a_i, a_f, a_g; c_prev and c for p."""
        forget = () if self.coupled else (self.gate,)
        slope = slopes((self.gate, *forget, self.candidate, self.gate, self.output), kept, xp=xp)
        if self.coupled:
            i, g, o, y = kept[:4]
            c_c, c_a = 1.0 - i, ((g - s_prev.c) * slope(0), i * slope(1))
        else:
            i, f, g, o, y = kept[:5]
            c_c, c_a = f, (g * slope(0), s_prev.c * slope(1), i * slope(2))  # type: ignore[assignment]
        n = len(c_a) + 2
        h_c, h_o = o * slope(n - 1), y * slope(n - 2)
        if not self.peepholes:
            return (h_c, h_o, c_c, *c_a)
        *p, p_o = kept[-len(c_a) :]
        for d, each in zip(c_a, p, strict=False):
            c_c = c_c + d * each
        return (h_c + h_o * p_o, h_o, c_c, *c_a, s_prev.c, s.c)

    def backward(self, d_s: State, planes: Planes) -> tuple[Planes, tuple[None, Array]]:
        """Return the gradients of the pre-activations and the peepholes, and of c_prev."""
        if self.peepholes:
            *planes, c_prev, c = planes  # type: ignore[assignment]
        h_c, h_o, c_c, *c_a = planes
        d_c = d_s.c + d_s.h * h_c
        d_o = d_s.h * h_o
        if self.coupled:
            d_a: Planes = (d_c * c_a[0], d_c * c_a[1], d_o)
        else:
            d_a = (d_c * c_a[0], d_c * c_a[1], d_c * c_a[2], d_o)
        if self.peepholes:
            d_a = (*d_a, *[d * c_prev for d in d_a[:-2]], d_o * c)
        return d_a, (None, d_c * c_c)


def cell(
    activations: Sequence[Name] = USUAL,
    *,
    peepholes: bool = False,
    coupled: bool = False,
    clip: float | None = None,
) -> Cell:
    """Return the cell with these options.

    Parameters
    ----------
    activations : sequence
        Of the gates i, f, o; of the candidate g; and of the output, between c and h.
    peepholes, coupled : bool
    clip : float, optional
        The inputs of the gates' and the candidate's activations are held within -clip .. clip; c is not, as
        in ONNX Runtime.
    """
    gate, candidate, output = resolve_all(activations, 3, clip)
    output = output._replace(clip=None)
    peepholes = bool(checks.one_of("peepholes", peepholes, (True, False)))
    coupled = bool(checks.one_of("coupled", coupled, (True, False)))
    formula = interned(Memory, gate, candidate, output, peepholes, coupled)
    gates = ("i", "g", "o") if coupled else ("i", "f", "g", "o")
    keeps = (*gates, "tanh_c")
    pair = Pair(
        formula.forward,
        formula.partials,
        formula.backward,
        reads=gates,
        keeps=keeps if clip is None else keeps + tuple(f"{name}_inside" for name in gates),
        vectors=tuple(f"p_{name}" for name in gates if name != "g") if peepholes else (),
    )
    specs = (gate.spec, candidate.spec, output.spec)
    name = titled(
        "lstm",
        activations=None if specs == USUAL else specs,
        peepholes=peepholes or None,
        coupled=coupled or None,
        clip=gate.clip,
    )
    return Cell(name, (pair,), state=State, projectable=True)


LSTM = cell()
