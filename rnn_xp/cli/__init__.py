"""The command line, `rnn-xp`. This file is light: whatever takes time is imported where Ctrl-C is heard."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from rnn_xp.cli import interrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 unread."""
    with interrupt.at_once():
        _prepare_streams()
        from rnn_xp.cli.program import run

        return run(argv)


def _prepare_streams() -> None:
    """Let a closed stream swallow what is written, and one that lacks a character show a replacement."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
