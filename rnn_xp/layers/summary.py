"""What a model is made of, as a table: layers, what flows out of them, parameters, bytes."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from rnn_xp import checks, tree
from rnn_xp.table import table

HEADER = ("layer", "out", "parameters", "bytes")

COPIES = 4
"""Of every weight a step with Adam holds four numbers: itself, its gradient, and two moments."""

SIZES = {"float32": 4, "float64": 8}


class Summarised:
    """What can be summed up: every layer."""

    def summary(self, T: int | None = None, B: int | None = None, *, dtype: str = "float32") -> str:
        """Return a table: the layers, the shapes that flow out of them, their parameters and bytes.

        Parameters
        ----------
        T, B : int, optional
            Steps and sequences of a batch; the last line then tells what a training step takes.
        dtype : {"float32", "float64"}

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.

        Examples
        --------
        >>> import rnn_xp as rx
        >>> print(rx.Sequential(rx.GRU(3, 8), rx.LastStep(), rx.Linear(8, 2)).summary(T=50, B=32))
        layer                 out  parameters    bytes
        GRU(3, 8)     (50, 32, 8)         312  1.25 kB
        LastStep()        (32, 8)           0      0 B
        Linear(8, 2)      (32, 2)          18     72 B
        total                             330  1.32 kB
        a training step with Adam takes 5.28 kB for the weights, and about 282 kB for the way back
        """
        steps = None if T is None else checks.integer("T", T)
        batch = None if B is None else checks.integer("B", B)
        size = SIZES[checks.one_of("dtype", dtype, SIZES)]
        cells = [_texts(row, size) for row in _rows(self, steps, batch)]
        return "\n".join([table(HEADER, cells), _memory(self, steps, batch, size)])

    def _repr_html_(self) -> str:
        """Return the summary as a notebook shows it: in the colours of the page, self-contained."""
        size = SIZES["float32"]
        rows = _rows(self, None, None)
        body = "".join(_line("td", _texts(row, size), row.depth, ruled=row is rows[-1]) for row in rows)
        head = f"<thead>{_line('th', HEADER, 0, ruled=True)}</thead>"
        whole = f'<table style="border-collapse:collapse">{head}<tbody>{body}</tbody></table>'
        return f"{whole}<div>{html.escape(_memory(self, None, None, size))}</div>"


class Row(NamedTuple):
    """A layer of a model."""

    depth: int  # how many layers of the table it is within
    name: str
    out: str  # the shape of what flows out
    parameters: int


def _rows(model: Any, T: int | None, B: int | None) -> list[Row]:
    """Return a row for each layer, and the last one, of all."""
    rows = _within(model.layers or (model,), model.intake, T, B, 0)
    return [*rows, Row(0, "total", "", count(model))]


def _within(layers: tuple[Any, ...], signal: Any, T: int | None, B: int | None, depth: int) -> Iterator[Row]:
    """Yield layers that follow one another, each with those that it is made of."""
    for layer in layers:
        inner = layer.layers or ((layer.layer,) if hasattr(layer, "layer") else ())
        out = layer.connect(signal)[1]
        yield Row(depth, type(layer).__name__ if inner else repr(layer), _shape(out, T, B), count(layer))
        yield from _within(inner, signal, T, B, depth + 1)
        signal = out


def count(layer: Any) -> int:
    """Return how many numbers there are to learn."""
    return sum(math.prod(spec.shape) for spec in tree.leaves(layer.spec()))


def _shape(signal: Any, T: int | None, B: int | None) -> str:
    """Write the shape of what flows, in numbers as far as they are known."""
    lead = [B] if signal.kind == "vector" else [T, B]
    letters = ["B"] if signal.kind == "vector" else ["T", "B"]
    if signal.kind != "tokens":
        lead, letters = [*lead, signal.size], [*letters, "D"]
    parts = [name if size is None else str(size) for name, size in zip(letters, lead, strict=True)]
    return f"({', '.join(parts)})"


def _texts(row: Row, size: int) -> tuple[str, str, str, str]:
    """Write the cells of a row."""
    return "  " * row.depth + row.name, row.out, f"{row.parameters:,}", _bytes(row.parameters * size)


def _memory(model: Any, T: int | None, B: int | None, size: int) -> str:
    """Say what a step of training takes, as far as (T, B) tells."""
    weights = f"a training step with Adam takes {_bytes(COPIES * size * count(model))} for the weights"
    kept = "" if T is None or B is None else f"about {_bytes(model.kept_bytes(T, B, size))} "
    return f"{weights}, and {kept or 'what T and B ask '}for the way back"


def _bytes(number: int) -> str:
    """Write bytes for people.

    Examples
    --------
    >>> _bytes(12), _bytes(1500), _bytes(2_340_000_000)
    ('12 B', '1.5 kB', '2.34 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= 0.9995 * scale:  # else it would be written as 1e+03 of the next unit
            return f"{number / scale:.3g} {unit}"
    return f"{number} B"


def _line(tag: str, cells: tuple[str, ...], depth: int, *, ruled: bool) -> str:
    """Return a row of the table; its first cell stands to the left, further in where it is within others."""
    written = []
    for place, cell in enumerate(cells):
        left, side = (0.8, "right") if place else (0.5 + 1.5 * depth, "left")
        style = f"padding:0.2em 0.8em 0.2em {left}em;text-align:{side};" + "border-top:1px solid;" * ruled
        written.append(f'<{tag} style="{style}">{html.escape(cell.strip())}</{tag}>')
    return f"<tr>{''.join(written)}</tr>"
