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
NAMES = ("auto", "portable", "cupy")


class Choice(NamedTuple):
    """An engine, its name, and why it is the one."""

    engine: Engine
    name: str
    why: str


def choose(cell: Cell, *, xp: Namespace) -> Choice:
    """Choose cupy for CuPy's arrays and cells that it can compile, else portable; RNN_XP_ENGINE overrides."""
    asked = checks.one_of(VARIABLE, os.environ.get(VARIABLE) or "auto", NAMES)
    name = library(xp)
    if asked == "portable":
        return Choice(Portable(xp), "portable", f"since {VARIABLE} asks for it")
    if asked == "auto" and name != "cupy":
        return Choice(Portable(xp), "portable", f"since {name} has no kernels to compile")
    engine, refused = _compiled(cell, xp)
    if refused is None:
        why = f"since {VARIABLE} asks for it, though {name} has no kernels to compile"
        if name == "cupy":
            why = "since cupy.fuse makes one kernel of what is pointwise in a step, forward and back"
        return Choice(engine, "cupy", why)
    if asked == "cupy":
        msg = f"`{VARIABLE}` must be auto or portable for the cell {cell.name}; got cupy: {refused}"
        raise ValueError(msg)
    return Choice(Portable(xp), "portable", f"since cupy.fuse cannot make one kernel of its cell: {refused}")


@functools.cache
def _compiled(cell: Cell, xp: Namespace) -> tuple[Engine, str | None]:
    """Return the cupy engine, and what stands in its way; to know, it compiles, once for each cell."""
    from rnn_xp.engines.cupy import Cupy, refusal  # here: few need it

    return Cupy(cell, xp), refusal(cell, xp=xp)
