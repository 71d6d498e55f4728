"""`rnn-xp verify`: every check of the package on this machine, and a certificate of what was found."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rnn_xp as rx
from rnn_xp.checkpoint import atomic_write
from rnn_xp.cli.errors import DONE, FAILED, UsageError
from rnn_xp.cli.output import Output, json_line
from rnn_xp.verify.certificates import certificate
from rnn_xp.verify.digits import namespace


def verify(given: Mapping[str, Any]) -> int:
    """Check, write the certificate, and fail where a check does."""
    output = Output(json=given.get("json", False))
    path = Path(given["out"])
    _check_place(path)
    try:
        with namespace():  # what it needs, before the minutes that it takes
            pass
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from None
    backend = rx.get_backend(given.get("backend"), device=given.get("device"), dtype="float64")
    live = _Live()
    made = certificate(backend, count=given["count"], seed=given["seed"], progress=live.show)
    live.clear()
    try:
        atomic_write(path, json_line(made.json()).encode())
        atomic_write(path.with_suffix(".txt"), f"{made}\n".encode())
    finally:  # what took minutes is told, also where it cannot be written
        output.line(str(made))
        output.record({"result": made.json()})
    output.line(f"\nwritten: {path} and {path.with_suffix('.txt')}")
    return DONE if made.passed else FAILED


def _check_place(path: Path) -> None:
    """Refuse a place that cannot be written to."""
    if path.suffix != ".json":
        msg = f"`out` must be the name of a .json file; got {str(path)!r}. The table goes beside it, as .txt."
        raise UsageError(msg)
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        msg = f"`out` must be in a directory that can be written to; got {str(path)!r}."
        raise UsageError(msg)


class _Live:
    """What is being checked: a line that is rewritten where somebody watches, else one for each section."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._section, self._start, self._shown = "", 0.0, 0.0

    def show(self, section: str, done: int, total: int) -> None:
        """Tell how far a section is."""
        now = time.perf_counter()
        if section != self._section:
            self._section, self._start, self._shown = section, now, 0.0
            if not self._live:
                sys.stderr.write(f"checking: {section}\n")
        if not self._live or now - self._shown < 0.2:
            return
        self._shown = now
        left = f"  {(now - self._start) / done * (total - done):.0f} s left" if done else ""
        sys.stderr.write(f"\r\033[Kchecking: {section}  {done}/{total}{left}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line empty."""
        if self._live:
            sys.stderr.write("\r\033[K")
