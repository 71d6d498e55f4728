"""A run of the check: its record, its clock, and what it says meanwhile."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from record import ROOT, store

Item = TypeVar("Item")


class UnsavedError(Exception):
    """The record could not be written: there is no sense in measuring on."""


class Session:
    """The record of a run, saved at every step of it, and the time that is left.

    Parameters
    ----------
    path : Path
        Of the record.
    record : dict
        What the record begins with.
    budget : float
        Seconds for everything.
    """

    def __init__(self, path: Path, record: dict[str, Any], budget: float) -> None:
        self.path = path
        self.record: dict[str, Any] = {**record, "complete": False, "failures": [], "left_out": {}}
        self.part = ""
        self._end = self._part_end = time.monotonic() + budget

    @property
    def left(self) -> float:
        """Seconds for everything that is to come."""
        return self._end - time.monotonic()

    @property
    def part_left(self) -> float:
        """Seconds for the rest of this part."""
        return self._part_end - time.monotonic()

    def run(self, part: str, share: float, work: Callable[[dict[str, Any]], None]) -> None:
        """Let a part fill its place in the record, in its share of the time; a crash of it is a failure."""
        self.part, start = part, time.monotonic()
        self._part_end = start + share * max(0.0, self.left)
        results: dict[str, Any] = {}
        self.record[part] = results
        self.say(f"== {part}, {max(0.0, self.part_left):.0f} s at most")
        try:
            work(results)
        except UnsavedError:
            raise
        except Exception as error:  # the other parts must still be measured
            traceback.print_exc()
            self.fail(told(error))
        results["took_s"] = time.monotonic() - start
        self.save()

    def while_time_lasts(self, items: Iterable[Item], name: Callable[[Item], str] = str) -> Iterator[Item]:
        """Yield items as long as there is time for one like the longest; name those that are left out."""
        waiting = list(items)
        longest = 0.0
        while waiting and self.part_left > longest:
            start = time.monotonic()
            yield waiting.pop(0)
            longest = max(longest, time.monotonic() - start)
            self.save()
        if waiting:
            self.leave_out([name(item) for item in waiting])

    def leave_out(self, names: list[str]) -> None:
        """Record what there was no time for."""
        self.record["left_out"].setdefault(self.part, []).extend(names)
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        self.say(f"left out for want of time: {shown}")

    def fail(self, what: str) -> None:
        """Record a failure."""
        self.record["failures"].append(f"{self.part}: {what}")
        self.say(f"FAILED: {what}")

    def say(self, text: str) -> None:
        """Write a line with the time that is left."""
        print(f"[{max(0.0, self.left):4.0f} s left] {text}", flush=True)

    def save(self) -> None:
        """Write the record as it is now."""
        try:
            store(self.path, self.record)
        except OSError as error:
            msg = f"{self.path} cannot be written: {error.strerror or error}. A record there is older."
            raise UnsavedError(msg) from error


def told(error: BaseException) -> str:
    """Write an error in one line: what, and where in this checkout."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT)]
    where = f" ({Path(own[-1].filename).relative_to(ROOT).as_posix()}:{own[-1].lineno})" if own else ""
    message = " ".join(str(error).replace(str(ROOT), ".").split())
    return f"{type(error).__name__}: {message[:500]}{where}"
