"""What a run shows while it trains: one line an epoch, and a live one in between where somebody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO


class Progress:
    """Writes to a stream: a line for each epoch, and on a terminal a line that is rewritten within it.

    Parameters
    ----------
    epochs, batches : int
        How many there will be; batches in an epoch.
    stream : text file, optional
        Standard output by default. Silent where `enabled` is False.
    """

    def __init__(
        self, epochs: int, batches: int, *, enabled: bool = True, stream: TextIO | None = None
    ) -> None:
        self._stream = stream or sys.stdout
        self._epochs, self._batches = epochs, batches
        self._enabled = enabled
        self.live = enabled and self._stream.isatty()
        self._start = self._shown = time.perf_counter()
        self._begun = 0.0

    def resume(self, epoch: int, done: float) -> None:
        """Begin within a run: before so many batches of an epoch."""
        self._begun = (epoch - 1) * self._batches + done

    def due(self) -> bool:
        """Whether a reader would welcome a new live line: at most five in a second."""
        return self.live and time.perf_counter() - self._shown > 0.2

    def batch(
        self, epoch: int, done: int, loss: float, rate: float, window: tuple[int, int] | None = None
    ) -> None:
        """Rewrite the live line; in a batch of several windows, after so many of them."""
        self._shown = time.perf_counter()
        finished: float = (epoch - 1) * self._batches + done
        place = f"batch {done}/{self._batches}"
        if window is not None:
            finished += window[0] / window[1] - 1
            place += f" window {window[0]}/{window[1]}"
        left = (self._shown - self._start) / (finished - self._begun)
        left *= self._epochs * self._batches - finished
        parts = [f"epoch {epoch}/{self._epochs}", place, f"loss {loss:.4f}"]
        parts += [f"{rate:.0f} sequences/s", *_left(left)]
        self._stream.write("\r\033[K" + "  ".join(parts))
        self._stream.flush()

    def epoch(self, record: Mapping[str, Any], note: str = "") -> None:
        """Write the line of an epoch."""
        if not self._enabled:
            return
        width = len(str(self._epochs))
        parts = [f"epoch {record['epoch']:{width}d}/{self._epochs}", f"loss {record['loss']:.4f}"]
        parts += [f"{name} {record[name]:.4f}" for name in record if name.startswith("val_")]
        parts.append(f"gradient {record['gradient_norm']:.3g}")
        parts.append(f"{record['sequences_per_second']:.0f} sequences/s")
        if "padding" in record:
            parts.append(f"padding {record['padding']:.0%}")
        parts += [f"{name} {record[name]}" for name in ("skipped", "rollbacks") if record.get(name)]
        total = time.perf_counter() - self._start
        if record["epoch"] == self._epochs:
            since = "in all" if self._begun == 0 else "since it went on"
            parts.append(f"{total:.1f} s {since}" if total < 60 else f"{_duration(total)} {since}")
        else:
            done = record["epoch"] - self._begun / self._batches
            if done > 0:  # 0: it went on after this epoch's last step
                parts += _left(total / done * (self._epochs - record["epoch"]))
        if note:
            parts.append(note)
        self._stream.write(("\r\033[K" if self.live else "") + "  ".join(parts) + "\n")
        self._stream.flush()


def _left(seconds: float) -> list[str]:
    """Say how long it will take, unless that is no time."""
    return [f"{_duration(seconds)} left"] if seconds >= 1 else []


def _duration(seconds: float) -> str:
    """Write seconds as 42 s, 3:07 or 1:02:03."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
