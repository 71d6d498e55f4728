"""What becomes of steps whose loss, gradient or result is not finite: stop, skip them, or roll back."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np

from rnn_xp.distributed.agree import gather, tell
from rnn_xp.train.faults.nonfinite import describe
from rnn_xp.train.faults.place import Place
from rnn_xp.train.feed.batches import Batch
from rnn_xp.train.feed.windows import Group
from rnn_xp.train.loop.step import READINGS
from rnn_xp.train.loop.training import Training

LOOK = READINGS
"""Steps after which `stop` looks, at the latest: a long epoch is not trained to its end for nothing."""

STRETCH = 100
"""Steps that `rollback` undoes together."""

ROLLBACKS = 3
"""Rollbacks in a row that are an error."""

_WAY_OUT = "Lower the learning rate, or clip the gradient (`clip_norm`)."


class Stop:
    """The first bad step ends the training; it and those after it never reach the weights."""

    every: float = LOOK
    patient = False
    counts: tuple[str, ...] = ()

    def begin(self, training: Training) -> None:
        """Note nothing."""

    def look(self, training: Training) -> None:
        """Raise where a step was not finite, and name it."""
        bad = training.stepper.first_bad()
        training.since = 0
        if bad is not None:
            msg = f"{_place(training, bad)}. {_WAY_OUT}"
            raise FloatingPointError(msg)

    def note(self, training: Training) -> None:
        """Look."""
        self.look(training)

    def close(self, training: Training) -> None:
        """Look."""
        self.look(training)


class Skip:
    """The stepper waits for each step, and leaves out a bad one."""

    every: float = math.inf
    patient = False
    counts: tuple[str, ...] = ("skipped",)

    def begin(self, training: Training) -> None:
        """Note nothing."""

    def note(self, training: Training) -> None:
        """Find nothing: the stepper has seen to it."""

    def look(self, training: Training) -> None:
        """Find nothing: the stepper has seen to it."""

    def close(self, training: Training) -> None:
        """Raise where every step of the epoch was left out."""
        if training.sums.steps == 0:
            msg = f"every step was skipped: {_place(training, training.stepper.steps - 1)}. {_WAY_OUT}"
            raise FloatingPointError(msg)


class Rollback:
    """Where a step of a stretch was bad, the whole stretch is undone, and the next batches follow.

    So did Chowdhery et al., "PaLM", 2022, section 5.1, with the batches around a spike.
    """

    every: float = STRETCH
    patient = True
    counts: tuple[str, ...] = ("rollbacks",)
    _noted = ""  # the place of this stretch's bad step, if already known
    _undone = ""  # that of the last stretch that was undone

    def begin(self, training: Training) -> None:
        """Take the epoch's first snapshot."""
        if training.snapshot is None:
            training.take_snapshot()

    def note(self, training: Training) -> None:
        """Name a bad step by the states that its windows began at; nothing else changes."""
        bad = training.stepper.first_bad()
        if bad is not None and not self._noted:
            self._noted = _place(training, bad)

    def look(self, training: Training) -> None:
        """Go back, or take a new snapshot."""
        bad = training.stepper.first_bad()
        training.since = 0
        if bad is None:
            training.in_a_row = 0
            training.take_snapshot()
            return
        training.in_a_row += 1
        training.rollbacks += 1
        self._undone = self._noted or _place(training, bad)  # now: its weights and states are about to go
        self._noted = ""
        if training.in_a_row == ROLLBACKS:
            msg = f"{ROLLBACKS} rollbacks in a row: {self._undone}. {_WAY_OUT}"
            raise FloatingPointError(msg)
        training.go_back()

    def close(self, training: Training) -> None:
        """Look at the last stretch; raise where nothing of the epoch is left."""
        if training.since:
            self.look(training)
        if training.sums.steps == 0:
            place = f": {self._undone}" if self._undone else ""  # not known where it was before a pause
            msg = f"every step was undone by a rollback{place}. {_WAY_OUT}"
            raise FloatingPointError(msg)


POLICIES: dict[str, type[Stop] | type[Skip] | type[Rollback]] = {
    "stop": Stop,
    "skip": Skip,
    "rollback": Rollback,
}


def _place(training: Training, bad: int) -> str:
    """Say which step of this epoch was not finite, and what in it."""
    source, stepper, order = training.plan.source, training.stepper, training.order
    number = bad - (stepper.steps - training.taken)
    batch, window = next(islice(source.places(order), number, None))
    group = next(iter(source.groups(order, batch)))
    place = f"batch {batch + 1} of {len(source)}"
    if isinstance(group, Group):
        place += f", window {window + 1} of {len(group)}"
        batches = group.cut(window, training.held)
    else:
        batches = group.cut()
    what = _of_all(training, _what(training, bad, batches, batch))
    return (
        f"the loss, its gradient or the step stopped being finite in epoch {training.epoch}, at {place}; "
        f"it never reached the weights: {what}"
    )


def _what(training: Training, bad: int, batches: tuple[Batch, ...], number: int) -> Place | None:
    """Compute a step again, and return what in it was not finite, by the place in the user's data."""
    stepper, order = training.stepper, training.order
    place = None
    for batch in batches:
        place = describe(
            *(stepper.model, stepper.params, stepper.loss, batch.x, batch.target, batch.share),
            *(stepper.context(batch, bad), batch.state_0),
        )
        if not place.finite:  # where all are, the step itself was too large
            break
    if place is None or place.sample is None:
        return place
    step = None if place.step is None else batch.time + place.step
    row, step = training.plan.source.origin(order, number, batch.place(place.sample), step)
    return place._replace(sample=row, step=step)


def _of_all(training: Training, place: Place | None) -> str:
    """Return, in words, the place that the first rank with a bad one found, or the one with most to add."""
    ranks = training.stepper.total.ranks
    if ranks.size == 1:
        return str(place)
    badness = -1.0 if place is None else place.squares if place.finite else math.inf
    first = int(np.argmax(gather(ranks, [badness])))
    return tell(ranks, f"on rank {ranks.rank} of {ranks.size}, {place}", first)
