"""Ctrl-C: where nothing can be lost it ends the program at once; while something is kept it is an exception.

An exception alone would not do: one that rises inside the import system or a destructor is swallowed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn


def leave(*_: Any) -> NoReturn:
    """Say so in a line, and end."""
    with suppress(OSError):
        os.write(2, b"rnn-xp: error: interrupted.\n")
    os._exit(130)


@contextmanager
def at_once() -> Iterator[None]:
    """Let Ctrl-C end the program at once; where the caller ignores it, or handles it, so it stays."""
    with _handler(leave, instead_of=signal.default_int_handler):
        yield


@contextmanager
def gently() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, as there is something to finish."""
    with _handler(signal.default_int_handler, instead_of=leave):
        yield


@contextmanager
def _handler(handler: Any, instead_of: Any) -> Iterator[None]:
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not instead_of:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, instead_of)
