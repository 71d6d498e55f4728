"""What a unit reads into a text: the characters, coloured by its value after each of them."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rnn_xp import checks
from rnn_xp.plot import style
from rnn_xp.plot.source import Source, duration, levels_of, sequence_of, signal
from rnn_xp.plot.style import Floats

DARK, LIGHT = "#111111", "#ffffff"

COLUMNS = 80
"""Characters in a row of a figure."""


class Text(NamedTuple):
    """Characters with the value of a unit after each of them, and their picture."""

    characters: str
    values: Floats  # (T,)
    unit: int
    name: str  # of the level and the signal: "layer 0: h"
    limit: float  # the value at which colours end; they begin at its negative
    figure: Any = None
    axes: tuple[Any, ...] = ()

    @property
    def colours(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """The characters, and the colour (red, green, blue), each 0 to 255, behind each."""
        for character, value in zip(self.characters, self.values / self.limit, strict=True):
            red, green, blue = (round(255 * part) for part in style.blend(float(value)))
            yield character, (red, green, blue)

    def html(self) -> str:
        """Return the text as HTML, without anything from elsewhere; dark and light pages show it alike."""
        spans = [
            f'<span style="background:#{r:02x}{g:02x}{b:02x};color:{_ink(r, g, b)}" '
            f'title="{value:.3f}">{html.escape(_visible(character))}</span>{_break(character)}'
            for (character, (r, g, b)), value in zip(self.colours, self.values, strict=True)
        ]
        title = html.escape(f"{self.name}, unit {self.unit}")
        start = '<div><div style="font-size:90%">'
        return f'{start}{title}</div><pre style="line-height:1.5">{"".join(spans)}</pre></div>'

    def ansi(self) -> str:
        """Return the text for a terminal of 24 bits of colour."""
        marks = [
            f"\033[48;2;{r};{g};{b}m\033[38;2;{';'.join(map(str, _rgb(_ink(r, g, b))))}m"
            f"{_visible(character)}\033[0m{_break(character)}"
            for character, (r, g, b) in self.colours
        ]
        return "".join(marks)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.html()


def text(
    source: Source,
    *data: Any,
    characters: str,
    unit: int | None = None,
    level: int = 0,
    state: str = "h",
    sequence: int = 0,
    ax: Any = None,
    draw: bool = True,
    **options: Any,
) -> Text:
    """Show a text whose characters are coloured by one unit: blue below 0, orange above.

    After Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks" (2015), who found
    units that follow the place in a line, quotes and brackets.

    Parameters
    ----------
    source : list of Level, or Sequential
        What `rx.probe.look` returned; or a model, followed by what else `look` takes: params, X
    characters : str
        What the tokens of the sequence stand for, one character a step.
    unit : int, optional
        Of the level; by default the one whose value varies most.
    level : int
        Which one of the levels.
    state : str
        A field of the state, "h" or "c", or a gate that the cell keeps: "tanh_c", "f" of an LSTM.
    sequence : int
        Which one of the N sequences.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.
    draw : bool
        False for the object without a figure, which needs no matplotlib.

    Returns
    -------
    Text
        `values` (T,), and the text as `html()`, which a notebook shows by itself, and as `ansi()`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    ModuleNotFoundError
        If there is no matplotlib to draw with.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> vocabulary = rx.data.vocabulary("to be or not to be")
    >>> size = len(vocabulary.characters)
    >>> model = rx.Sequential(rx.layers.Embedding(size, 4), rx.GRU(4, 8), rx.Linear(8, size))
    >>> params = model.init(rx.get_backend("numpy"))
    >>> X = vocabulary.encode("to be")[np.newaxis]
    >>> found = rx.plot.text(model, params, X, characters="to be", unit=3, draw=False)
    >>> found.values.shape, found.html().count("<span")
    ((5,), 5)
    """
    levels = levels_of(source, data, options)
    own = levels[checks.integer("level", level, 0, len(levels) - 1)]
    sequence, values = sequence_of(own, sequence), signal(own, state)
    steps = duration(own, sequence)
    checks.kind("characters", characters, str, "a string")
    if len(characters) != steps:
        msg = f"`characters` must hold one for each of the {steps} steps; got {len(characters)}."
        raise ValueError(msg)
    if unit is None:
        unit = int(values[sequence, :steps].std(axis=0).argmax()) if steps else 0
    unit = checks.integer("unit", unit, 0, values.shape[2] - 1)
    of_unit = values[sequence, :steps, unit]
    limit = float(np.abs(of_unit).max(initial=0.0)) or 1.0
    found = Text(characters, of_unit, unit, f"{own.name}: {state}", limit)
    return _drawn(found, ax) if draw else found


def _visible(character: str) -> str:
    """Return a character as it is shown: the end of a line as a mark, what cannot be printed as a dot."""
    return {"\n": "⏎", "\t": "→"}.get(character, character if character.isprintable() else "·")


def _break(character: str) -> str:
    """Return what follows the end of a line."""
    return "\n" if character == "\n" else ""


def _ink(red: int, green: int, blue: int) -> str:
    """Return the colour of a character that can be read on this one."""
    return DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else LIGHT


def _rgb(colour: str) -> tuple[int, int, int]:
    """Return #rrggbb as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _rows(characters: str, columns: int) -> list[list[int]]:
    """Break a text into rows of places in it: at the ends of lines, and after so many columns."""
    rows: list[list[int]] = [[]]
    for place, character in enumerate(characters):
        if len(rows[-1]) == columns:
            rows.append([])
        rows[-1].append(place)
        if character == "\n":
            rows.append([])
    return rows if rows[-1] or len(rows) == 1 else rows[:-1]


def _drawn(found: Text, ax: Any) -> Text:
    """Draw every character on a cell of its colour."""
    rows, inks = _rows(found.characters, COLUMNS), [_ink(*colour) for _, colour in found.colours]
    figure, (ax, *_) = style.panels(ax, 1, 1, 0.09 * COLUMNS + 1.2, 0.18 * len(rows) + 0.9)
    cells = np.full((len(rows), COLUMNS), np.nan)
    font = {"ha": "center", "va": "center_baseline", "fontsize": 8, "family": "monospace"}
    for y, row in enumerate(rows):
        cells[y, : len(row)] = found.values[row]
        for x, place in enumerate(row):
            ax.text(x, y, _visible(found.characters[place]), color=inks[place], **font)
    colours = {"cmap": style.colour_map("white"), "vmin": -found.limit, "vmax": found.limit}
    image = ax.imshow(cells, aspect="auto", interpolation="nearest", **colours)
    style.frame(ax, f"{found.name}, unit {found.unit}", "", "", grid="")
    ax.set(xticks=(), yticks=())
    for spine in ax.spines.values():
        spine.set_visible(False)
    style.colour_bar(ax, image, "", pad=0.015, fraction=0.03)
    return found._replace(figure=figure, axes=(ax,))
