"""SIGINT and SIGTERM while something can be kept: the first is noted, a second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(SystemExit):
    """SIGTERM came: the exit status is 143."""

    def __init__(self, message: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Noted:
    """The signal that came, if any."""

    number: int | None = None

    def error(self, kept: str) -> BaseException:
        """Return what to raise for it, with the words what was kept."""
        if self.number == signal.SIGTERM:
            return Terminated(f"terminated {kept}")
        return KeyboardInterrupt(f"interrupted {kept}")


@contextmanager
def noted() -> Iterator[Noted]:
    """Note the first signal; where the caller handles or ignores one, or in another thread, that stays so."""
    own = Noted()
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def note(number: int, _: Any) -> None:
        own.number = number
        restore()

    if threading.current_thread() is threading.main_thread():
        for number, default in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            if signal.getsignal(number) is default:
                before[number] = signal.signal(number, note)
    try:
        yield own
    finally:
        restore()
