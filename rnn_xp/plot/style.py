"""How pictures look: colours that every eye can tell apart, and axes that stand back behind their data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks

Floats: TypeAlias = NDArray[np.float64]

INK, FAINT, GRID, BLANK = "#222222", "#707070", "#e4e4e4", "#c8c8c8"

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
"""Of lines, in order: those of Okabe and Ito (2008)."""

LOW, MIDDLE, HIGH = (0.13, 0.40, 0.67), (0.97, 0.97, 0.97), (0.84, 0.37, 0.0)
"""Blue, white and orange: what is below 0, 0, and above."""


def blend(value: float) -> tuple[float, float, float]:
    """Return the colour (red, green, blue), each 0 to 1, of a value from -1 to 1; what is beyond is cut off.

    Examples
    --------
    >>> blend(0.0) == MIDDLE, blend(-7.0) == LOW
    (True, True)
    """
    end, share = (LOW, -value) if value < 0 else (HIGH, value)
    share = min(share, 1.0)
    red, green, blue = (m + share * (e - m) for m, e in zip(MIDDLE, end, strict=True))
    return red, green, blue


def colour_map(bad: str) -> Any:
    """Return `blend` as matplotlib has it, and the colour of what is no number."""
    colors = checks.optional("matplotlib.colors", "plot", "rx.plot")
    return colors.LinearSegmentedColormap.from_list("rnn_xp", [LOW, MIDDLE, HIGH]).with_extremes(bad=bad)


def panels(ax: Any, count: int, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """Return a figure and the axes of its panels, so many inches each; or the axes that are given."""
    if ax is not None:
        base = checks.optional("matplotlib.axes", "plot", "rx.plot").Axes
        axes = list(np.ravel(ax))
        for each in axes:
            checks.kind("ax", each, base, "matplotlib Axes, or several")
        return axes[0].figure, axes
    figures = checks.optional("matplotlib.figure", "plot", "rx.plot")
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = figures.Figure((width * columns, height * rows), layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.03, hspace=0.03)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in grid[count:]:
        unused.remove()
    return figure, grid[:count]


def columns_of(rows: Sequence[str]) -> int:
    """Return how many panels stand side by side: as many as the longest row has; of single ones, three."""
    longest = max(rows.count(row) for row in rows)
    return longest if longest > 1 else 3


def frame(ax: Any, title: str, x: str, y: str, grid: str = "y") -> None:
    """Write what the axes mean; draw them faintly, with a grid along "x", "y", "both" or none, ""."""
    ax.set_facecolor("white")
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK, pad=8, linespacing=1.7)
    ax.set_xlabel(x, fontsize=9, color=INK)
    ax.set_ylabel(y, fontsize=9, color=INK)
    ax.tick_params(labelsize=8, colors=FAINT, labelcolor=INK, which="both", length=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(axis=grid, color=GRID, linewidth=0.8)


def whole_numbers(axis: Any) -> None:
    """Let an axis have ticks at whole numbers alone."""
    ticker = checks.optional("matplotlib.ticker", "plot", "rx.plot")
    axis.set_major_locator(ticker.MaxNLocator(8, integer=True, min_n_ticks=1, steps=(1, 2, 5, 10)))


def logarithmic(ax: Any) -> None:
    """Let the y axis be logarithmic, with plain numbers along it."""
    ticker = checks.optional("matplotlib.ticker", "plot", "rx.plot")

    class Plain(ticker.LogFormatter):  # type: ignore[name-defined, misc]
        def __call__(self, value: float, position: Any = None) -> str:
            return f"{value:g}" if super().__call__(value, position) else ""

    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(Plain())
    ax.yaxis.set_minor_formatter(Plain(minor_thresholds=(1.5, 0.5)))


def colour_bar(ax: Any, image: Any, label: str, **more: Any) -> None:
    """Say which colour is which value."""
    bar = ax.figure.colorbar(image, ax=ax, **more)
    bar.set_label(label, fontsize=9, color=INK, rotation=0)
    bar.ax.tick_params(labelsize=8, labelcolor=INK, colors=FAINT)
    bar.outline.set_visible(False)


def legend(ax: Any, **more: Any) -> None:
    """Say which line is which, where there are several."""
    options = {"fontsize": 8, "frameon": False, "labelcolor": INK, "handlelength": 2.4}
    ax.legend(**{**options, **more})


def png(figure: Any) -> bytes:
    """Return a figure as a PNG file; nothing is shown."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def shown(figure: Any) -> bytes | None:
    """Return what a notebook shows of a picture: a PNG file, unless pyplot shows the figure itself."""
    if figure is None or figure.canvas.manager is not None:
        return None
    return png(figure)
