"""Which engine runs a cell, and why."""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

from rnn_xp import checks
from rnn_xp.backend.namespaces import library
from rnn_xp.cells import Cell
from rnn_xp.engines.base import Engine
from rnn_xp.engines.portable import Portable
from rnn_xp.typing import Namespace

VARIABLE = "RNN_XP_ENGINE"
NAMES = ("auto", "portable", "numpy", "cupy")


class Choice(NamedTuple):
    """An engine, its name, and why it is the one."""

    engine: Engine
    name: str
    why: str


def choose(cell: Cell, *, xp: Namespace) -> Choice:
    """Choose the engine made for the library, for cells that it can compile, else portable.

    RNN_XP_ENGINE overrides.
    """
    asked = checks.one_of(VARIABLE, os.environ.get(VARIABLE) or "auto", NAMES)
    own = library(xp)
    name = asked if asked != "auto" else own if own in COMPILERS else "portable"
    if name == "portable":
        why = f"{VARIABLE} asks for it" if asked == name else f"{own} has no engine of its own"
        return Choice(Portable(xp), name, f"since {why}")
    if name == "numpy" != own:
        msg = f"`{VARIABLE}` must be auto or portable for arrays of {own}; got numpy, for NumPy's arrays."
        raise ValueError(msg)
    engine, refused = COMPILERS[name](cell, xp)
    if refused is None:
        why = WHY[name]
        if name != own:
            why = f"{VARIABLE} asks for it, though the arrays are those of {own}"
        return Choice(engine, name, f"since {why}")
    if asked == name:
        msg = f"`{VARIABLE}` must be auto or portable for the cell {cell.name}; got {name}: {refused}"
        raise ValueError(msg)
    return Choice(Portable(xp), "portable", f"since {WHY_NOT[name]}: {refused}")


@functools.cache
def _numpy(cell: Cell, xp: Namespace) -> tuple[Engine, str | None]:
    """Return the numpy engine, and what stands in its way; to know, it traces, once for each cell."""
    from rnn_xp.engines.numpy import Numpy, refusal  # here: NumPy has been loaded

    return Numpy(cell, xp), refusal(cell, xp=xp)


@functools.cache
def _cupy(cell: Cell, xp: Namespace) -> tuple[Engine, str | None]:
    """Return the cupy engine, and what stands in its way; to know, it compiles, once for each cell."""
    from rnn_xp.engines.cupy import Cupy, refusal  # here: few need it

    return Cupy(cell, xp), refusal(cell, xp=xp)


COMPILERS = {"numpy": _numpy, "cupy": _cupy}

WHY = {
    "numpy": "what is pointwise in a step becomes ufunc calls that write in place",
    "cupy": "cupy.fuse makes one kernel of what is pointwise in a step, forward and back",
}

WHY_NOT = {
    "numpy": "its cell cannot be traced",
    "cupy": "cupy.fuse cannot make one kernel of its cell",
}
