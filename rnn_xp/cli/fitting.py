"""The training itself: `rx.fit` with the options of the command line, and what is kept of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import rnn_xp as rx
from rnn_xp import schedules
from rnn_xp.cli import interrupt, targets
from rnn_xp.cli.directory import Directory
from rnn_xp.cli.errors import naming
from rnn_xp.cli.job import Job
from rnn_xp.cli.models import build_optimizer
from rnn_xp.cli.output import Output
from rnn_xp.cli.ranks import is_cut, together
from rnn_xp.cli.runs import About, scaling_to_json
from rnn_xp.cli.settings import Settings, as_options
from rnn_xp.data import Lanes
from rnn_xp.typing import Tree

AS_THEY_ARE = (
    *("epochs", "shuffle", "seed", "patience", "clip_norm", "clip_value"),
    *("accumulate", "bucket", "recompute", "nonfinite", "distributed", "blocks"),
)
"""Settings that are arguments of `rx.fit`."""


def fit(
    settings: Settings,
    job: Job,
    model: rx.Sequential,
    params: Tree,
    backend: rx.Backend,
    directory: Directory | None,
    output: Output,
    given: Mapping[str, Any],
) -> rx.Result:
    """Train, on scaled targets; after every epoch first keep a model in their units, then tell of it."""
    epochs: list[int] = []
    scaling = job.about.target_scaling
    job = targets.scale_job(job, model.per_step)

    def after(epoch: rx.Epoch) -> None:
        epochs.append(epoch.record["epoch"])
        if directory is not None:
            directory.keep(model, targets.fold(epoch.params, scaling), job.about, epoch.record)
        output.record(epoch.record)

    X, y, lengths = (job.train, None, None) if isinstance(job.train, Lanes) else job.train[:3]
    ranks = settings.ranks
    with interrupt.gently() if directory is not None or ranks.size == 1 else nullcontext():
        try:
            with output.plain_stdout(), together(ranks), naming(settings.own_data):
                result = rx.fit(
                    model,
                    X,
                    y,
                    lengths=lengths,
                    loss=job.about.loss,
                    optimizer=build_optimizer(settings),
                    schedule=_schedule(settings, job, model),
                    backend=backend,
                    params=params,
                    validation=None if job.validation is None else job.validation[:3],
                    sharded=is_cut(settings.data),
                    batch_size=settings.lanes or settings.batch_size,
                    truncate=_windows(settings),
                    callbacks=after,
                    verbose=not settings.quiet,
                    **{name: getattr(settings, name) for name in AS_THEY_ARE},
                    **_saving(settings, job.about, backend, directory, given),
                )
            result = result._replace(params=targets.fold(result.params, scaling))
            if directory is not None:
                if directory.resumed and not epochs:
                    output.note(f"{directory.path}: this training is finished")
                with together(ranks):
                    directory.complete(model, result.params, job.about, result.history, result.best_epoch)
        except (KeyboardInterrupt, SystemExit, FloatingPointError, MemoryError, OSError) as error:
            if sys.stdout.isatty():
                output.line("")  # leave the live line
            if directory is not None and directory.writes:
                again = isinstance(error, FloatingPointError) or (  # it would end in the same way
                    isinstance(error, MemoryError) and bool(settings.recompute)
                )
                more = " --recompute" if isinstance(error, MemoryError) else ""
                if settings.distributed is not None:
                    more += f" --distributed {type(settings.distributed).__name__.lower()}"
                error.add_note(directory.state(goes_on=not again, more=more))
            elif isinstance(error, KeyboardInterrupt):
                error.args = (f"interrupted in epoch {len(epochs) + 1}.",)
            raise
    return result


def _windows(settings: Settings) -> tuple[int, int] | None:
    """Return what is truncated, and how: lanes always are."""
    if settings.truncate is None and settings.lanes is not None:
        return settings.window, settings.window
    return settings.truncate


def _schedule(settings: Settings, job: Job, model: rx.Sequential) -> schedules.Schedule | None:
    """Return the schedule, over all steps of the weights, or more where lengths decide how many."""
    if settings.schedule != "cosine":
        return None
    sequences, T = job.shape
    batch_size = settings.lanes or settings.batch_size
    batches = -(-sequences // (batch_size * settings.accumulate))
    windows = 1
    truncated = _windows(settings)
    if truncated is not None and (model.per_step or job.is_ragged):
        windows = -(-T // truncated[0])
    return schedules.cosine(settings.epochs * batches * windows)


def _saving(
    settings: Settings,
    about: About,
    backend: rx.Backend,
    directory: Directory | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what `fit` must know to save everything, and to go on."""
    if directory is None:
        return {}
    extra: dict[str, Any] = {}
    if is_cut(settings.data):  # fitted on as many ranks as go on, they could be others by rounding
        extra = {"scalings": [scaling_to_json(each) for each in (about.scaling, about.target_scaling)]}
    told = {**given, "backend": backend.name}
    if settings.ranks.size > 1:
        told.pop("device", None)  # it is the first rank's
    return {
        "checkpoint": directory.checkpoint,
        "save_every": settings.save_every,
        "resume": directory.resumed,
        "extra": {"options": as_options(told), **extra},
    }
