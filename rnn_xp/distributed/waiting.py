"""Waiting for other processes, though not for ever: one of them may have died."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NoReturn

PATIENT = 200
"""Times that is asked at once; then the pauses between grow to `LONGEST`."""

LONGEST = 1e-4
"""Seconds; a process that waits keeps a core busy for a tenth of the time."""

_give_way: Callable[[], Any] = getattr(os, "sched_yield", lambda: time.sleep(0))
"""To a process that shares the core; on Linux a sleep of 0 seconds takes 50 µs and more."""


def until(done: Callable[[], Any], what: str, timeout: float, abort: Callable[[str], NoReturn]) -> None:
    """Ask until it is so; abort where that takes more than `timeout` seconds."""
    deadline, asked, pause = time.monotonic() + timeout, 0, 0.0
    while not done():
        asked += 1
        if asked <= PATIENT:
            _give_way()
            continue
        if time.monotonic() > deadline:
            abort(
                f"waited {timeout:g} s for the other ranks in a {what}; one of them has ended, "
                "or is slower than `timeout` allows"
            )
        pause = min(pause + 1e-5, LONGEST)
        time.sleep(pause)
