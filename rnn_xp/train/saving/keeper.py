"""Saving a training now and then, and when it is asked to end."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rnn_xp.atomic import PathLike
from rnn_xp.backend import to_numpy
from rnn_xp.distributed import together
from rnn_xp.distributed.agree import gather
from rnn_xp.train.loop.result import Result
from rnn_xp.train.loop.total import Total
from rnn_xp.train.loop.training import Training
from rnn_xp.train.options import Given
from rnn_xp.train.saving import fingerprint, resume
from rnn_xp.train.saving.signals import Noted, noted


class Checkpoint:
    """The file of a training, written every so many seconds.

    Parameters
    ----------
    path : str or path
    every : float
        Seconds.
    arguments : mapping
        What the training must be asked for again; JSON values.
    extra : mapping
        What else the file holds.
    noted : Noted
        Whether a signal came.
    total : Total
        By which the ranks tell each other that it is time, or that a signal came: they save in one step.
    """

    def __init__(
        self,
        path: PathLike,
        every: float,
        arguments: Mapping[str, Any],
        extra: Mapping[str, Any],
        noted: Noted,
        total: Total,
    ) -> None:
        self.path, self.every, self.arguments, self.extra, self.noted = path, every, arguments, extra, noted
        self._file = Path(path).absolute()  # a callback may go to another directory
        self._last = time.monotonic()
        self._total, self._ranks = total, total.ranks
        total.asks = self.asks

    def asks(self) -> bool:
        """Whether it is time, by the clock of the first rank, or a signal came to this one."""
        timely = self._ranks.rank == 0 and time.monotonic() - self._last >= self.every
        return self.noted.number is not None or timely

    def due(self) -> bool:
        """Whether any rank asks for it."""
        return self.asks() if self._ranks.size == 1 else self._total.asked

    def save(self, training: Training) -> None:
        """Write everything, the first rank for all; raise where a signal came to any."""
        packed = resume.pack(training)
        with together(self._ranks):
            try:
                if self._ranks.rank == 0:
                    resume.write(self._file, packed, self.arguments, self.extra)
            except OSError as error:  # in the words that the caller has for it
                raise OSError(error.errno, error.strerror, os.fspath(self.path)) from error
        self._last = time.monotonic()
        number = self.noted.number or 0
        if self._ranks.size > 1:
            number = int(gather(self._ranks, [number]).max())
        if number:  # else one that came in the meantime is told with the next step
            self.noted.number = number
            raise self.error(training)

    def error(self, training: Training) -> BaseException:
        """Return what to raise for the signal that came."""
        where = "after the last epoch" if training.finished else f"in epoch {training.epoch}"
        path = os.fspath(self.path)
        return self.noted.error(f"{where}; {path!s} holds everything: resume=True goes on from there.")


def run(training: Training, given: Given, of_data: Mapping[str, Any]) -> Result:
    """Train from the checkpoint or from the beginning, and keep a checkpoint."""
    assert given.checkpoint is not None
    arguments = _arguments(training, given, of_data)
    if given.resume:
        resume.read(given.checkpoint, training, arguments)
        if training.finished:
            return training.result()
    with noted() as signals:
        total = training.stepper.total
        own = Checkpoint(given.checkpoint, given.save_every, arguments, given.extra, signals, total)
        training.plan = replace(training.plan, keeper=own)
        own.save(training)  # what cannot be written to is found now
        result = training.run()
    if signals.number is not None:  # it came after the last save
        raise own.error(training)
    return result


def _arguments(training: Training, given: Given, of_data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a training must be asked for again."""
    backend = training.stepper.backend
    return {
        **fingerprint.of_call(given),
        "params": fingerprint.digest([to_numpy(training.stepper.flat)]),
        "backend": backend.name,
        "dtype": backend.precision,
        **of_data,
    }
