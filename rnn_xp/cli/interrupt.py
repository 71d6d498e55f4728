"""Ctrl-C: where nothing can be lost it ends the program at once; while something is kept it is an exception.

An exception alone would not do: one that rises inside the import system or a destructor is swallowed.
SIGTERM and SIGHUP end the program at once anyway; where they are heard, what is to be undone is undone first.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NoReturn

ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has one

_to_undo: list[Callable[[], None]] = []
_silent: list[bool] = []


def leave(number: int, *_: Any) -> NoReturn:
    """Undo what is to be undone, the last thing first, say so where no other process does, and end."""
    for undo in reversed(_to_undo):
        undo()
    word = b"interrupted" if number == signal.SIGINT else b"terminated"
    if not _silent:
        with suppress(OSError):
            os.write(2, b"rnn-xp: error: " + word + b".\n")
    os._exit(128 + number)


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
    """Call a function, which raises nothing, when a signal that is heard ends the program at once."""
    _to_undo.append(undo)
    try:
        yield
    finally:
        _to_undo.remove(undo)


@contextmanager
def silently() -> Iterator[None]:
    """Leave it to another process to say that a signal came."""
    _silent.append(True)
    try:
        yield
    finally:
        _silent.pop()


@contextmanager
def hearing() -> Iterator[None]:
    """Let SIGTERM and SIGHUP, too, undo what is to be undone before they end the program."""
    with ExitStack() as stack:
        for number in ENDS:
            stack.enter_context(_handler(leave, instead_of=signal.SIG_DFL, number=number))
        yield


@contextmanager
def _handler(handler: Any, instead_of: Any, number: int = signal.SIGINT) -> Iterator[None]:
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(number) is not instead_of:
        yield
        return
    signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, instead_of)
