"""A run: its record, its contenders, and what it says meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from gpu.session import UnsavedError, told
from record import store

from cpu_speed.contenders import FailedError, Roster
from cpu_speed.sizes import Sizes

Item = TypeVar("Item")


class Session:
    """The record of a run, saved after every part.

    Parameters
    ----------
    path : Path
        Of the record.
    record : dict
        What the record begins with.
    roster : Roster
    folder : Path
        For what processes tell each other.
    sizes : Sizes
    seconds : float
        For the turns of one point.
    aeon_python : str
        An interpreter that has aeon.
    """

    def __init__(
        self,
        path: Path,
        record: dict[str, Any],
        roster: Roster,
        folder: Path,
        sizes: Sizes,
        seconds: float,
        aeon_python: str,
    ) -> None:
        self.path, self.roster, self.folder, self.sizes = path, roster, folder, sizes
        self.seconds, self.aeon_python = seconds, aeon_python
        self.record: dict[str, Any] = {**record, "complete": False, "failures": [], "left_out": {}}
        self.part = ""

    def run(self, part: str, work: Callable[[Session, dict[str, Any]], None]) -> None:
        """Let a part fill its place in the record; a crash of it is a failure."""
        self.part, start = part, time.monotonic()
        results: dict[str, Any] = {}
        self.record[part] = results
        self.say(f"== {part}")
        try:
            work(self, results)
        except FailedError as error:
            self.fail(str(error))
        except Exception as error:  # the other parts must still be measured
            self.fail(told(error))
        results["took_s"] = time.monotonic() - start
        self.save()

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, with a bar where tqdm is installed."""
        items = list(items)
        try:
            from tqdm import tqdm
        except ImportError:
            yield from items
        else:
            yield from tqdm(items, self.part, leave=False, smoothing=0, disable=None)  # None: off a terminal

    def attempt(self, what: str, work: Callable[[], None]) -> None:
        """Do one point; what a contender fails at is recorded, and the next point may do."""
        try:
            work()
        except FailedError as error:
            self.fail(f"{what}: {error}")

    def fail(self, what: str) -> None:
        """Record a failure."""
        self.record["failures"].append(f"{self.part}: {what}")
        self.say(f"FAILED: {what}")

    def leave_out(self, name: str, why: str) -> None:
        """Record what is not measured, and why."""
        self.record["left_out"][name] = why
        self.say(f"left out: {name}: {why}")

    def say(self, text: str) -> None:
        """Write a line."""
        try:
            from tqdm import tqdm
        except ImportError:
            print(text, flush=True)
        else:
            tqdm.write(text)

    def save(self) -> None:
        """Write the record as it is now."""
        self.record |= {"contenders": self.roster.facts, "absent": self.roster.absent}
        try:
            store(self.path, self.record)
        except OSError as error:
            msg = f"{self.path} cannot be written: {error.strerror or error}. A record there is older."
            raise UnsavedError(msg) from error
