"""What a run shows while it trains: one line an epoch, and a live one in between where somebody watches."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, TextIO

from rnn_xp.distributed.launched import launched


class Moment(NamedTuple):
    """Where a training is within an epoch."""

    epoch: int
    place: str  # "batch 3/10"
    share: float  # of the batches of the epoch
    done: float  # batches, of all epochs
    loss: float  # mean of the epoch so far
    gradient: float  # its norm, likewise
    rate: float  # sequences in a second
    left: float  # seconds


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
        self.live = enabled and self._stream.isatty() and launched() == 1
        self._start = self._shown = time.perf_counter()
        self._begun = 0.0

    def resume(self, epoch: int, done: float) -> None:
        """Begin within a run: before so many batches of an epoch."""
        self._begun = (epoch - 1) * self._batches + done

    def due(self) -> bool:
        """Whether a reader would welcome a new live line: at most five in a second."""
        return self.live and time.perf_counter() - self._shown > 0.2

    def batch(
        self,
        epoch: int,
        done: int,
        loss: float,
        rate: float,
        window: tuple[int, int] | None = None,
        gradient: float = math.nan,
    ) -> None:
        """Renew what is live; in a batch of several windows, after so many of them."""
        self._shown = time.perf_counter()
        within: float = done
        place = f"batch {done}/{self._batches}"
        if window is not None:
            within += window[0] / window[1] - 1
            place += f" window {window[0]}/{window[1]}"
        finished = (epoch - 1) * self._batches + within
        left = (self._shown - self._start) / (finished - self._begun)
        left *= self._epochs * self._batches - finished
        share = within / self._batches
        self.show(Moment(epoch, place, share, finished, loss, gradient, rate, left))

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
        if record["epoch"] == self._epochs:
            parts.append(self._total())
        else:
            done = record["epoch"] - self._begun / self._batches
            if done > 0:  # 0: it went on after this epoch's last step
                taken = time.perf_counter() - self._start
                parts += left_in_words(taken / done * (self._epochs - record["epoch"]))
        if note:
            parts.append(note)
        self.line("  ".join(parts), last=record["epoch"] == self._epochs)

    def stopped(self, why: str) -> None:
        """Write why there are no more epochs, though there could be."""
        if self._enabled:
            self.line(f"stopped: {why}  {self._total()}", last=True)

    def show(self, now: Moment) -> None:
        """Rewrite the live line."""
        parts = [f"epoch {now.epoch}/{self._epochs}", now.place, f"loss {now.loss:.4f}"]
        parts += [f"{now.rate:.0f} sequences/s", *left_in_words(now.left)]
        self._stream.write("\r\033[K" + "  ".join(parts))
        self._stream.flush()

    def line(self, text: str, *, last: bool) -> None:  # noqa: ARG002
        """Write a line that stays, in the place of the live one; `last`: nothing follows."""
        self._stream.write(("\r\033[K" if self.live else "") + text + "\n")
        self._stream.flush()

    def _total(self) -> str:
        """Say how long it took."""
        total = time.perf_counter() - self._start
        since = "in all" if self._begun == 0 else "since it went on"
        return f"{total:.1f} s {since}" if total < 60 else f"{_duration(total)} {since}"


def choose(epochs: int, batches: int, *, enabled: bool) -> Progress:
    """Return what suits where standard output goes: a notebook, a terminal, a file.

    In a notebook that is a bar of tqdm, in a terminal one of rich, if these are installed.
    """
    if enabled and _in_notebook() and find_spec("tqdm"):
        from rnn_xp.train.loop.progress_notebook import Bar

        return Bar(epochs, batches)
    if enabled and _is_terminal(sys.stdout) and find_spec("rich"):
        from rnn_xp.train.loop.progress_terminal import Live

        return Live(epochs, batches)
    return Progress(epochs, batches, enabled=enabled)


def _in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal of the system's that can rewrite a line."""
    try:
        dumb = os.environ.get("TERM") == "dumb" or launched() > 1  # mpiexec has a terminal for each process
        return os.isatty(stream.fileno()) and not dumb
    except (AttributeError, OSError, ValueError):  # it is no file of the system's
        return False


def left_in_words(seconds: float) -> list[str]:
    """Say how long it will take, unless that is no time."""
    return [f"{_duration(seconds)} left"] if seconds >= 1 else []


def _duration(seconds: float) -> str:
    """Write seconds as 42 s, 3:07 or 1:02:03."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
