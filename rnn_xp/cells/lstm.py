"""LSTM (Hochreiter & Schmidhuber 1997, forget gate of Gers et al. 2000); gates i, f, g, o as in PyTorch.

Peepholes (Gers, Schraudolph & Schmidhuber 2002) let i and f see c_prev and o see c, each unit its own. Where
the gates are coupled, f = 1 - i, and there is no gate f (`input_forget` of the ONNX operator).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    peepholes: bool = False
    coupled: bool = False

    def forward(self, a: Planes, s_prev: State, *, xp: Namespace) -> tuple[State, Planes]:
        """Return c = f c_prev + i g and h = o output(c)."""
        gate, c_prev = self.gate, s_prev.c
        G = 3 if self.coupled else 4
        a_i, *a_f, a_g, a_o = a[:G]
        if self.peepholes:
            p_i, *p_f, p_o = a[G:]
            a_i = a_i + p_i * c_prev
            a_f = [each + p * c_prev for each, p in zip(a_f, p_f, strict=True)]
        i, g = gate(a_i, xp=xp), self.candidate(a_g, xp=xp)
        f = gate(a_f[0], xp=xp) if a_f else 1.0 - i
        c = f * c_prev + i * g
        if self.peepholes:
            a_o = a_o + p_o * c
        o, y = gate(a_o, xp=xp), self.output(c, xp=xp)
        values = (i, f, g, o, y) if a_f else (i, g, o, y)
        return State(o * y, c), values + inside(gate.clip, (a_i, *a_f, a_g, a_o, c), xp=xp)

    def partials(self, kept: Planes, s_prev: State, s: State, *, xp: Namespace) -> Planes:
        """Return dh/dc, dh/da_o, dc/dc_prev and the derivatives of c by a_i, a_f, a_g; c_prev and c for p."""
        forget = () if self.coupled else (self.gate,)
        functions = (self.gate, *forget, self.candidate, self.gate, self.output)
        n = len(functions)
        p = kept[len(kept) - n + 2 :] if self.peepholes else ()
        kept = kept[: len(kept) - len(p)]
        i, *f, g, o, y = kept[:n]
        i_a, *f_a, g_a, o_a, y_c = slopes(functions, kept, xp=xp)
        h_c, h_o = o * y_c, y * o_a
        if f:
            c_c, c_a = f[0], [g * i_a, s_prev.c * f_a[0], i * g_a]
        else:
            c_c, c_a = 1.0 - i, [(g - s_prev.c) * i_a, i * g_a]
        if not p:
            return (h_c, h_o, c_c, *c_a)
        *p_c, p_o = p
        for d, each in zip(c_a, p_c, strict=False):
            c_c = c_c + d * each
        return (h_c + h_o * p_o, h_o, c_c, *c_a, s_prev.c, s.c)

    def backward(self, d_s: State, planes: Planes) -> tuple[Planes, tuple[None, Array]]:
        """Return the gradients of the pre-activations and the peepholes, and of c_prev."""
        if self.peepholes:
            *planes, c_prev, c = planes  # type: ignore[assignment]
        h_c, h_o, c_c, *c_a = planes
        d_c = d_s.c + d_s.h * h_c
        d_a = (*[d_c * each for each in c_a], d_s.h * h_o)
        if self.peepholes:
            d_a = (*d_a, *[d * c_prev for d in d_a[: len(c_a) - 1]], d_a[-1] * c)
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
        The inputs of all activations are held within -clip .. clip.
    """
    gate, candidate, output = resolve_all(activations, 3, clip)
    checks.boolean("peepholes", peepholes)
    checks.boolean("coupled", coupled)
    formula = interned(Memory, gate, candidate, output, peepholes, coupled)
    gates = ("i", "g", "o") if coupled else ("i", "f", "g", "o")
    keeps = (*gates, "tanh_c")
    pair = Pair(
        formula.forward,
        formula.partials,
        formula.backward,
        reads=gates,
        keeps=keeps if clip is None else keeps + tuple(f"{name}_inside" for name in keeps),
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
