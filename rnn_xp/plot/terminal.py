"""The history of a training as text, where there is no screen to draw on."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_xp import checks
from rnn_xp.plot.history import History, Panel, history, panels
from rnn_xp.plot.style import Floats

TICKS = 4


def terminal(source: Any, *, width: int = 80, height: int = 14, color: bool = False) -> str:
    """Return a chart of a training for a terminal: a panel below the other, of block characters.

    Numbers that are not finite have no place in it; where there are no others, a line says so.

    Parameters
    ----------
    source : Result, Epoch, list of dict, or path
        As `rx.plot.history` takes it.
    width, height : int
        Columns of the terminal, at least 40, and lines of each panel, at least 8.
    color : bool
        Whether to write the escape sequences of colours; without them, no control character but the end of
        a line is written.

    Returns
    -------
    str

    Raises
    ------
    TypeError, ValueError, FileNotFoundError, CheckpointError
        As `rx.plot.history` does.
    ModuleNotFoundError
        If there is no plotext to draw with.
    """
    found = history(source, draw=False)
    width, height = checks.integer("width", width, 40), checks.integer("height", height, 8)
    checks.boolean("color", color)
    figure = checks.optional("plotext", "ui", "rx.plot.terminal").figure
    return "\n".join(_chart(figure, found, panel, width, height, color) for panel in panels(found))


def _chart(figure: Any, found: History, panel: Panel, width: int, height: int, color: bool) -> str:
    """Draw a panel on plotext's one figure, and leave that empty."""
    lines = {label: found.series[name] for name, label in panel.lines.items()}
    if not np.isfinite(list(lines.values())).any():
        return f"{panel.title}: no finite number in {len(found.epochs)} epochs"
    log = panel.is_logarithmic(lines.values())
    figure.clear()
    figure.theme("default" if color else "colorless")
    figure.canvas("default")
    figure.plot_size(width, height)
    heights = [np.log10(values) if log else values for values in lines.values()]
    for label, values, marker in zip(lines, heights, ("braille", "•"), strict=False):
        there = np.isfinite(values)
        signal = figure.signal(found.epochs[there].tolist(), values[there].tolist(), marker=marker).lines()
        figure.draw(signal.label(label) if len(lines) > 1 else signal)
    finite = np.concatenate(heights)[np.isfinite(np.concatenate(heights))]
    _ticks(figure.ruler("y"), np.linspace(finite.min(), finite.max(), TICKS), log)
    epochs = np.unique(np.linspace(found.epochs[0], found.epochs[-1], TICKS).round())
    _ticks(figure.ruler("x"), epochs, log=False)
    figure.title(panel.title).label("epoch", "x")
    chart: str = figure.build().string(colorless=not color)
    figure.clear()
    return chart


def _ticks(ruler: Any, places: Floats, log: bool) -> None:
    """Write numbers along an axis."""
    values = 10**places if log else places
    ruler.ticks(places.tolist(), [f"{value:.3g}" for value in values])
