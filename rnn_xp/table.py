"""Numbers for people: rows under a header."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write rows under a header: the first column to the left, numbers to the right.

    Examples
    --------
    >>> for line in table(["class", "recall"], [["a", 0.5], ["long", 1.0]]).splitlines():
    ...     print(line)
    class  recall
    a       0.500
    long    1.000
    """
    cells = [
        [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in (header, *rows)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *rest in cells:
        aligned = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *aligned]).rstrip())
    return "\n".join(lines)
