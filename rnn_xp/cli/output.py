"""What a command writes: plain lines, or JSON lines with everything else on standard error."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import AbstractContextManager, redirect_stdout
from typing import Any, TextIO


class Output:
    """Where a command writes.

    Parameters
    ----------
    json : bool
        Whether standard output takes JSON lines alone.
    quiet : bool
        Whether notes are dropped.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json, self.quiet = json, quiet
        self._stdout = sys.stdout
        self._plain: TextIO = sys.stderr if json else sys.stdout

    def note(self, text: str) -> None:
        """Write a line that --quiet drops."""
        if not self.quiet:
            self.line(text)

    def line(self, text: str) -> None:
        """Write a line for people."""
        self._plain.write(text + "\n")
        self._plain.flush()

    def record(self, record: Mapping[str, Any]) -> None:
        """Write a line for programs, where they were promised some."""
        if self.json:
            self._stdout.write(json_line(record))
            self._stdout.flush()

    def plain_stdout(self) -> AbstractContextManager[Any]:
        """Let what others write to standard output go where `line` goes."""
        return redirect_stdout(self._plain)


def printable(text: str) -> str:
    r"""Replace what a terminal would take for a command: names in files may be anybody's.

    Examples
    --------
    >>> printable("a\x1b[2Jb\n")
    'a?[2Jb?'
    """
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else "?" for c in text)


def json_line(record: Mapping[str, Any]) -> str:
    """Write a record as one line of strict JSON, which knows no infinity: it becomes null."""
    return json.dumps(_strict(record), ensure_ascii=True, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
