"""The training loop: all that changes while a model is trained, and what moves it on from wherever it is."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import to_numpy
from rnn_xp.distributed import Communicator, RankError, together
from rnn_xp.distributed.agree import gather
from rnn_xp.train.faults.memory import explain
from rnn_xp.train.feed.batches import Batch
from rnn_xp.train.feed.order import Order
from rnn_xp.train.feed.windows import Group
from rnn_xp.train.loop.parts import Keeper, Policy, Source
from rnn_xp.train.loop.progress import Progress
from rnn_xp.train.loop.result import Epoch, Result
from rnn_xp.train.loop.step import Stepper
from rnn_xp.train.loop.sums import Snapshot, Sums
from rnn_xp.typing import Array, Tree


@dataclass(frozen=True)
class Plan:
    """What of a training does not change."""

    source: Source
    order: Order
    epochs: int
    policy: Policy
    progress: Progress
    score: Callable[[Tree], dict[str, float]] | None = None  # of the validation set
    patience: int | None = None
    callbacks: Sequence[Callable[[Epoch], Any]] = ()
    keeper: Keeper | None = None


@dataclass
class Training:
    """A training somewhere on its way: what changes is a field, or a part of the stepper."""

    plan: Plan
    stepper: Stepper
    # what comes next
    epoch: int = 1
    batch: int = 0
    window: int = 0
    carried: list[Tree] | None = None  # the states at the window's first step; None: where sequences begin
    # of this epoch
    taken: int = 0  # steps, whatever became of them
    sums: Sums = field(default_factory=Sums)
    skipped: int = 0
    rollbacks: int = 0
    seconds: float = 0.0
    # of the policy
    since: int = 0  # steps since the last look
    in_a_row: int = 0  # rollbacks
    snapshot: Snapshot | None = None
    # of the epochs before
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best: Array | None = None  # flat weights
    finished: bool = False
    # that follow from the rest
    order: NDArray[np.int64] | None = field(default=None, repr=False)
    held: list[Tree] | None = field(
        default=None, repr=False
    )  # the states of the first step that was not finite

    def run(self) -> Result:
        """Go on to the end."""
        plan = self.plan
        plan.progress.resume(self.epoch, self.batch)
        while not self.finished:
            self.order = plan.order.of(self.epoch)
            self._begun = time.perf_counter() - self.seconds
            with np.errstate(all="ignore"):  # of overflow the policy tells what matters, and where
                plan.policy.begin(self)
                self._rest_of_epoch()
                plan.policy.close(self)
                loss, norm = self.sums.means
            self.seconds = time.perf_counter() - self._begun
            self._close_epoch(self._record(loss, norm))
            if plan.keeper is not None:
                plan.keeper.save(self)
        return self.result()

    def result(self) -> Result:
        """Return what a training that has finished gives."""
        seconds = sum(record["seconds"] for record in self.history)
        if self.best is not None:
            return Result(self.stepper.tree(self.best), self.history, self.best_epoch, seconds)
        return Result(self.stepper.snapshot(), self.history, len(self.history), seconds)

    @property
    def ranks(self) -> Communicator:
        """The processes that train together."""
        return self.stepper.total.ranks

    @property
    def keeps_best(self) -> bool:
        """Whether the best epoch's weights are the result, not the last one's."""
        return self.plan.score is not None or self.plan.patience is not None

    def _rest_of_epoch(self) -> None:
        """Take the steps that are left."""
        watched = self.plan.keeper is not None or self.plan.progress.live
        for group in self.plan.source.groups(self.order, self.batch):
            if isinstance(group, Group):
                self._through_windows(group, watched)
            elif group.total != 0.0:  # momentum must not move the weights for what counts nothing
                self._step(group.cut, group.total)
            self.batch += 1
            self.window, self.carried = 0, None
            if watched:
                self._pause()

    def _through_windows(self, group: Group, watched: bool) -> None:
        """Step through the windows that are left of some batches."""
        self.held = None
        while group.counts_from(self.window):
            total, carry = group.total(self.window), group.window(self.window).carry
            if total != 0.0:
                self.held = self.stepper.held(self.held, self.carried)
                cut = partial(group.cut, self.window, self.carried)
                if not carry:
                    self.carried = None
                self._step(cut, total, bool(carry))
            elif carry:
                self.carried = self.stepper.carry(group.lead(self.window, self.carried))
            self.window += 1
            if watched and group.counts_from(self.window):  # else the position is the next batch's
                self._pause((self.window, len(group)))
        self.plan.policy.note(self)

    def _step(self, cut: Callable[[], tuple[Batch, ...]], total: float, carry: bool = False) -> None:
        """Take a step, and carry on the states that it leaves."""
        batches: tuple[Batch, ...] = ()
        answer: tuple[Array, Array] | None = None
        failed: Exception | None = None
        try:
            batches = cut()
            self.stepper.gradients(*batches)
        except Exception as error:
            failed = error
        if failed is None:
            try:
                answer = self.stepper.move()
            except RankError:
                raise
            except Exception as error:  # the others learn of it in their next step
                failed = error
        if isinstance(failed, MemoryError) and batches:
            failed = self._out_of_memory(failed, batches)
            failed.__suppress_context__ = True
        if failed is not None:
            self.stepper.total.fail(failed)
        self.taken += 1
        self.since += 1
        if answer is None:
            self.skipped += 1
        else:
            xp, (loss, norm) = self.stepper.xp, answer
            if self.stepper.narrow:
                loss, norm = xp.astype(loss, xp.float64), xp.astype(norm, xp.float64)
            self.sums.add(loss, norm, total)
        if carry:  # from a step that was left out, nothing is known to be finite
            self.carried = None if answer is None else self.stepper.left
        if self.since >= self.plan.policy.every:
            self.plan.policy.look(self)

    def _pause(self, window: tuple[int, int] | None = None) -> None:
        """Show the live line and save, where it is time to."""
        progress, keeper = self.plan.progress, self.plan.keeper
        if self.sums.steps and progress.due():  # at most five times a second: to read is to wait
            if not self.plan.policy.patient and self.ranks.size == 1:  # others look when all do
                self.plan.policy.look(self)
            done = self.batch + (window is not None)
            count, begun = self.plan.source.count, time.perf_counter() - self._begun
            rate = min(done * math.ceil(count / len(self.plan.source)), count) / begun
            loss, norm = self.sums.means
            progress.batch(self.epoch, done, loss, rate, window, norm)
        if keeper is not None and keeper.due():
            if not self.plan.policy.patient:
                self.plan.policy.look(self)  # what is not finite is not worth keeping
            self.seconds = time.perf_counter() - self._begun
            keeper.save(self)

    def _record(self, loss: float, norm: float) -> dict[str, Any]:
        """Return what the history says of this epoch."""
        plan, stepper = self.plan, self.stepper
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "loss": loss,
            "gradient_norm": norm,
            "lr": stepper.lr(stepper.steps - self.taken),
            "seconds": self.seconds,
            "sequences_per_second": plan.source.count / self.seconds,
        }
        padding = plan.source.padding(self.order)
        record |= {} if padding is None else {"padding": padding}
        record |= {name: getattr(self, name) for name in plan.policy.counts}
        if plan.score is not None:
            with np.errstate(all="ignore"):
                scores = plan.score(stepper.params)
            if not math.isfinite(scores["loss"]):
                told = f"the validation loss is {scores['loss']} after epoch {self.epoch}"
                msg = f"{told}. Lower the learning rate."
                raise FloatingPointError(msg)
            record |= {f"val_{name}": value for name, value in scores.items() if isinstance(value, float)}
        return record

    def _close_epoch(self, record: dict[str, Any]) -> None:
        """Note the epoch, tell of it, and go to the next one."""
        plan, history = self.plan, self.history
        score = record.get("val_loss", record["loss"])
        best = history[self.best_epoch - 1] if self.best_epoch else None
        improved = best is None or score < best.get("val_loss", best["loss"])
        history.append(record)
        if improved:
            self.best_epoch = self.epoch
            if self.keeps_best:
                self.best = self.stepper.xp.asarray(self.stepper.flat, copy=True)
        plan.progress.epoch(record, "best" if self.keeps_best and improved else "")
        asked = self._asked(improved)
        waited = plan.patience is not None and self.epoch - self.best_epoch >= plan.patience
        self.finished = asked or waited or self.epoch == plan.epochs
        if self.finished and self.epoch < plan.epochs:
            which = "loss" if plan.score is None else "validation loss"
            waits = f"no better {which} for {plan.patience} epoch{'s' * (plan.patience != 1)}"
            plan.progress.stopped(waits if waited else "a callback asked for it")
        self.epoch += 1
        self.batch = self.window = self.taken = self.skipped = self.rollbacks = self.since = 0
        self.carried = self.snapshot = None
        self.sums, self.seconds = Sums(), 0.0

    def _asked(self, improved: bool) -> bool:
        """Call the callbacks, in the first process alone; return whether one asks for the end."""
        asked: list[bool] = []
        with together(self.ranks):
            if self.ranks.rank == 0:
                asked = [bool(callback(self._told(improved))) for callback in self.plan.callbacks]
        if self.ranks.size == 1:
            return any(asked)
        told = gather(self.ranks, [any(asked), zlib.crc32(to_numpy(self.stepper.flat).tobytes())])
        other = np.flatnonzero(told[:, 1] != told[0, 1])
        if len(other):
            msg = (
                f"the weights of rank {other[0]} became others than those of rank 0 in epoch {self.epoch}: "
                "are their machines and libraries the same?"
            )
            raise RankError(msg, int(other[0]))
        return bool(told[0, 0])

    def _told(self, improved: bool) -> Epoch:
        """Return what a callback is told: copies, in which it may write."""
        history = [dict(record) for record in self.history]
        return Epoch(dict(self.history[-1]), self.stepper.snapshot(), improved, history)

    def take_snapshot(self) -> None:
        """Note what to go back to."""
        flat = self.stepper.xp.asarray(self.stepper.flat, copy=True)
        self.snapshot = Snapshot(flat, self.stepper.state, replace(self.sums))

    def go_back(self) -> None:
        """Undo the steps since the snapshot; the next ones are on other batches."""
        assert self.snapshot is not None
        self.stepper.flat[...], self.stepper.state = self.snapshot.flat, self.snapshot.state
        self.stepper.mark(None)
        self.sums, self.carried = replace(self.snapshot.sums), None

    def _out_of_memory(self, error: MemoryError, batches: tuple[Batch, ...]) -> MemoryError:
        """Return the error that says what would fit."""
        stepper, source = self.stepper, self.plan.source
        stepper.forget()
        steps = max(batch.x.shape[0] for batch in batches)
        size = min(source.batch_size, source.count)
        return explain(
            error,
            stepper.model,
            steps,
            size,
            np.dtype(stepper.backend.precision).itemsize,
            lambda: stepper.backend.free_memory,
            count=source.count,
            recompute=stepper.recomputes,
        )
