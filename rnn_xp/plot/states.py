"""What a layer remembers: its state, units by steps, of one sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_xp.plot import style
from rnn_xp.plot.source import Source, duration, levels_of, sequence_of, signal
from rnn_xp.plot.style import Floats
from rnn_xp.probe import Level


class States(NamedTuple):
    """The states of L levels in one sequence, and their picture."""

    names: tuple[str, ...]  # of the levels
    values: tuple[Floats, ...]  # of each, (H or P, T): units by the steps of the sequence; nan where masked
    limits: tuple[float, ...]  # of each, the value at which colours end; they begin at its negative
    figure: Any = None
    axes: tuple[Any, ...] = ()

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows."""
        return style.shown(self.figure)


def states(
    source: Source,
    *data: Any,
    sequence: int = 0,
    state: str = "h",
    ax: Any = None,
    draw: bool = True,
    **options: Any,
) -> States:
    """Show the hidden state of one sequence as a heat map, units by time steps, a panel for each level.

    Parameters
    ----------
    source : list of Level, or Sequential
        What `rx.probe.look` returned; or a model, followed by what else `look` takes: params, X, lengths=...
    sequence : int
        Which one of the N sequences.
    state : str
        A field of the state, "h" or an LSTM's "c"; or a gate that the cell keeps.
    ax : matplotlib Axes, or several, optional
        Where to draw the panels, in order; a new figure by default.
    draw : bool
        False for the numbers alone, which need no matplotlib.

    Returns
    -------
    States
        `values`: for each level an array (H, T), or (P, T), with the steps up to the sequence's last one.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    ModuleNotFoundError
        If there is no matplotlib to draw with.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> params = model.init(rx.get_backend("numpy"))
    >>> found = rx.plot.states(model, params, np.ones((3, 5, 1)), lengths=[4, 5, 2], draw=False)
    >>> found.values[0].shape
    (8, 4)
    """
    levels = levels_of(source, data, options)
    values = tuple(_values(level, sequence_of(level, sequence), state) for level in levels)
    limits = tuple(_limit(level, state, each) for level, each in zip(levels, values, strict=True))
    found = States(tuple(level.name for level in levels), values, limits)
    return _drawn(found, sequence, state, ax) if draw else found


def _values(level: Level, sequence: int, state: str) -> Floats:
    """Return (H, T) up to the sequence's last step."""
    steps = slice(0, duration(level, sequence))
    own = signal(level, state)[sequence, steps].T
    return np.where(level.valid[sequence, steps], own, np.nan)


def _limit(level: Level, state: str, values: Floats) -> float:
    """Return the largest magnitude that there can be; where that is not known, that there is."""
    if state in level.bounds:
        return max(map(abs, level.bounds[state]))
    return float(np.nanmax(np.abs(values), initial=0.0)) or 1.0


def _drawn(found: States, sequence: int, state: str, ax: Any) -> States:
    """Draw a panel for each level."""
    figure, axes = style.panels(ax, len(found.names), 1, 8.0, 3.2)
    for each, name, values, limit in zip(axes, found.names, found.values, found.limits, strict=False):
        H, T = values.shape
        colours = {"cmap": style.colour_map(style.BLANK), "vmin": -limit, "vmax": limit}
        extent = (-0.5, max(T, 1) - 0.5, H - 0.5, -0.5)
        image = each.imshow(values, aspect="auto", interpolation="nearest", extent=extent, **colours)
        style.frame(each, f"{name}: {state} of sequence {sequence}", "time step t", "unit", grid="")
        style.whole_numbers(each.xaxis)
        style.whole_numbers(each.yaxis)
        style.colour_bar(each, image, state, pad=0.015, fraction=0.04)
    return found._replace(figure=figure, axes=tuple(axes))
