"""Ctrl-C: where nothing can be lost it ends the program at once; while something is kept it is an exception.

An exception alone would not do: one that rises inside the import system or a destructor is swallowed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

_to_undo: list[Callable[[], None]] = []


def leave(*_: Any) -> NoReturn:
    """Say so in a line, undo what is to be undone, and end."""
    for undo in _to_undo:
        undo()
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
def undoing(undo: Callable[[], None]) -> Iterator[None]:
    """Call a function, which raises nothing, when Ctrl-C ends the program at once."""
    _to_undo.append(undo)
    try:
        yield
    finally:
        _to_undo.remove(undo)


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
