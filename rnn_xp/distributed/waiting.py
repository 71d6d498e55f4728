"""Waiting for other processes, though not for ever: one of them may have died."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

PATIENT = 200
"""Times that is asked at once; then the pauses between grow to `LONGEST`."""

LONGEST = 1e-3
"""Seconds."""


def until(done: Callable[[], Any], what: str, timeout: float, abort: Callable[[str], NoReturn]) -> None:
    """Ask until it is so; abort where that takes more than `timeout` seconds."""
    deadline, asked, pause = time.monotonic() + timeout, 0, 0.0
    while not done():
        asked += 1
        if asked > PATIENT:
            pause = min(pause + 1e-5, LONGEST)
            if time.monotonic() > deadline:
                abort(
                    f"waited {timeout:g} s for the other ranks in a {what}; one of them has ended, "
                    "or is slower than `timeout` allows"
                )
        time.sleep(pause)
