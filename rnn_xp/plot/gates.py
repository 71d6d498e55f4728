"""Whether gates still move: how their values spread, and how many stand at their bounds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_xp import checks
from rnn_xp.plot import style
from rnn_xp.plot.source import Source, levels_of, signal
from rnn_xp.plot.style import Floats
from rnn_xp.probe import Level

BINS = 40


class Gate(NamedTuple):
    """How the values of a gate, or of a bounded state, are spread over all units and valid steps."""

    level: str
    name: str
    edges: Floats  # (bins + 1,), from bound to bound
    shares: Floats  # (bins,), of the values in each bin
    low: float  # the share of the values near the lower bound
    high: float  # and near the upper one


class Gates(NamedTuple):
    """The gates of all levels, and their picture."""

    gates: tuple[Gate, ...]
    margin: float  # what "near" means, as a share of the range
    figure: Any = None
    axes: tuple[Any, ...] = ()

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows."""
        return style.shown(self.figure)


def gates(
    source: Source, *data: Any, margin: float = 0.1, ax: Any = None, draw: bool = True, **options: Any
) -> Gates:
    """Show how saturated the gates are: a histogram for each, and the share of values near its bounds.

    Near a bound an activation is flat, and hardly any gradient comes through. A forget gate near 1 remembers
    by that; a candidate that is always near -1 or 1 learns nothing any more. With the margin of 0.1 that is
    the saturation of Karpathy, Johnson and Fei-Fei (2015): a gate below 0.1 or above 0.9. `rx.diagnose` looks
    for a fault, not for a habit, and counts only what is within 0.02, where the slope is nearly gone.

    Parameters
    ----------
    source : list of Level, or Sequential
        What `rx.probe.look` returned; or a model, followed by what else `look` takes: params, X, lengths=...
    margin : float
        How far from a bound is near it, as a share of the range, below 0.5.
    ax : matplotlib Axes, or several, optional
        Where to draw the panels, in order; a new figure by default.
    draw : bool
        False for the numbers alone, which need no matplotlib.

    Returns
    -------
    Gates
        `gates`: one for each gate and each state with bounds, level by level.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or no gate has bounds.
    ModuleNotFoundError
        If there is no matplotlib to draw with.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> model = rx.Sequential(rx.LSTM(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> params = model.init(rx.get_backend("numpy"))
    >>> found = rx.plot.gates(model, params, np.ones((3, 5, 1)), draw=False)
    >>> [(gate.name, gate.low, gate.high) for gate in found.gates[:2]]
    [('i', 0.0, 0.0), ('f', 0.0, 0.0)]
    """
    levels = levels_of(source, data, options)
    margin = checks.number("margin", margin, high=0.5, open_low=True)
    found = Gates(tuple(_gate(level, name, margin) for level in levels for name in _bounded(level)), margin)
    if not found.gates:
        msg = f"`source` must have gates with bounds; got {levels[0].layer!r}, whose activations have none."
        raise ValueError(msg)
    return _drawn(found, ax) if draw else found


def _bounded(level: Level) -> list[str]:
    """Return the names of its gates that have bounds; of a cell without such gates, of its states."""
    return [name for name in level.gates if name in level.bounds] or [
        name for name in level.states if name in level.bounds
    ]


def _gate(level: Level, name: str, margin: float) -> Gate:
    """Count the values of a gate at the valid steps."""
    low, high = level.bounds[name]
    values = signal(level, name)[level.valid]
    near, edges = margin * (high - low), np.linspace(low, high, BINS + 1)
    count = max(values.size, 1)
    shares = np.histogram(values, edges)[0] / count
    below, above = np.sum(values < low + near), np.sum(values > high - near)
    return Gate(level.name, name, edges, shares, float(below / count), float(above / count))


def _drawn(found: Gates, ax: Any) -> Gates:
    """Draw a panel for each gate, a row for each level."""
    rows = [gate.level for gate in found.gates]
    figure, axes = style.panels(ax, len(rows), style.columns_of(rows), 2.5, 2.6)
    for i, (each, gate) in enumerate(zip(axes, found.gates, strict=False)):
        low, high = gate.edges[0], gate.edges[-1]
        near, first = found.margin * (high - low), i == rows.index(gate.level)
        top = 1.25 * max(gate.shares.max(), 2 / BINS)
        each.bar(gate.edges[:-1], gate.shares, np.diff(gate.edges), align="edge", color=style.COLOURS[0])
        for start, place, share, side in (
            (low, 0.02, gate.low, "left"),
            (high - near, 0.98, gate.high, "right"),
        ):
            each.axvspan(start, start + near, color=style.COLOURS[4], alpha=0.3, linewidth=0, zorder=0)
            told = "<1%" if 0 < share < 0.005 else f"{share:.0%}"
            where = {"transform": each.transAxes, "ha": side, "va": "top"}
            each.text(place, 0.99, told, **where, fontsize=9, color=style.INK)
        title = f"{gate.level}\n{gate.name}" if first else gate.name
        style.frame(each, title, "value", "share of values" if first else "")
        each.set(xlim=(low, high), ylim=(0, top), xticks=(low, (low + high) / 2, high))
        each.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return found._replace(figure=figure, axes=tuple(axes))
