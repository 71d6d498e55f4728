"""`rnn-xp train`: from the options to a trained model, and what it can do."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import rnn_xp as rx
from rnn_xp import CheckpointError, tree
from rnn_xp.backend import backend_of
from rnn_xp.cli import recall, scores, shards, targets
from rnn_xp.cli.directory import Directory
from rnn_xp.cli.errors import UsageError, in_options, naming
from rnn_xp.cli.fitting import fit
from rnn_xp.cli.job import Job
from rnn_xp.cli.jobs import load_job
from rnn_xp.cli.models import build_model
from rnn_xp.cli.output import Output
from rnn_xp.cli.ranks import file_of, is_cut, refuse_cut, together
from rnn_xp.cli.report import count, introduce, show
from rnn_xp.cli.runs import scaling_from_json
from rnn_xp.cli.settings import Settings, as_options, settle
from rnn_xp.data import Scaling
from rnn_xp.distributed import Alone, Communicator
from rnn_xp.distributed.agree import tell

BESIDE_RESUME = ("json", "quiet", "save_every", "recompute", "distributed", "timeout")
"""The options that change nothing of what is trained."""

MOVED = ("data", "test")
"""The files that may lie elsewhere when a training goes on; those it learns from must hold the same."""

Scalings = tuple[Scaling | None, Scaling | None]


def train(given: Mapping[str, Any]) -> int:
    """Train, or go on with a training that was interrupted."""
    if "resume" in given:
        return resume(given)
    ranks = given.get("distributed") or Alone()
    with together(ranks):
        settings = settle(given)
    if settings.out is None:
        return run(settings, None, given)
    with entered(Directory(settings.out, writes=ranks.rank == 0), ranks) as directory:
        return run(settings, directory, given)


def resume(given: Mapping[str, Any]) -> int:
    """Go on with the training in a directory, as if it had never been interrupted."""
    ranks = given.get("distributed") or Alone()
    beside = {name: value for name, value in given.items() if name != "resume"}
    with together(ranks):
        for name in beside:
            if name not in BESIDE_RESUME + MOVED:
                option = name.replace("_", "-")
                msg = f"argument --{option}: not here: --resume goes on with what the run was told."
                raise UsageError(msg)
    with entered(Directory(given["resume"], resumed=True, writes=ranks.rank == 0), ranks) as directory:
        try:
            told, scalings = recalled(directory, ranks)
            with together(ranks):
                for name in MOVED:
                    if name in beside and name not in told:
                        msg = f"argument --{name}: not here: the run in {directory.path} was told of none."
                        raise UsageError(msg)
                told |= {"out": given["resume"], **beside}
                refuse_cut(told)
                settings = replace(settle(told), scalings=scalings)
            return run(settings, directory, told)
        except CheckpointError as error:
            raise directory.not_whole(error) from error


def recalled(directory: Directory, ranks: Communicator) -> tuple[dict[str, Any], Scalings]:
    """Return what the training was told, and how it scaled, as the first rank reads it."""
    told: dict[str, Any] = {}
    scalings: list[Any] = []
    with together(ranks):
        if directory.writes:
            told, scalings = recall.told(directory.checkpoint), recall.scalings(directory.checkpoint)
    options, scalings = json.loads(tell(ranks, json.dumps([as_options(told), scalings])))
    inputs, outputs = map(scaling_from_json, scalings)
    return told or recall.parsed(options, directory.checkpoint.name), (inputs, outputs)


@contextmanager
def entered(directory: Directory, ranks: Communicator) -> Iterator[Directory]:
    """Enter a directory, or have all ranks stop."""
    with ExitStack() as stack:
        with together(ranks):
            stack.enter_context(directory)
        yield directory


def run(settings: Settings, directory: Directory | None, given: Mapping[str, Any]) -> int:
    """Train, score, and show the model at work."""
    output, ranks = Output(json=settings.json, quiet=settings.quiet), settings.ranks
    with together(ranks):
        backend = open_backend(settings)
    try:
        job = load_job(settings)
    except FileNotFoundError as error:
        if directory is None or not directory.resumed:
            raise
        if not any(shards.everyone(ranks, directory.writes and directory.is_complete())):
            error.add_note("--data and --test say where files are now.")
            raise
        missing = error.filename or settings.data
        output.line(f"{directory.path}: this training is finished; {missing} is not there to score it")
        return 0
    with together(ranks), naming(settings.own_data):
        model = build_model(settings, job, given)
    job = targets.fit(job, model.per_step, settings)
    params = model.init(backend, settings.seed, settings.init)
    introduce(settings, job, model, params, backend, output)
    result = fit(settings, job, model, params, backend, directory, output, given)
    metrics = {}
    if job.test is not None:
        apart = is_cut(settings.test or settings.data)  # of a text, each rank holds back a tenth of its own
        source = None if settings.test is None else file_of(settings.test, ranks)
        metrics = scores.score(model, result.params, job.about, job.test, ranks, apart=apart, source=source)
    with together(ranks):
        return conclude(settings, job, model, result, metrics, directory, output)


def conclude(
    settings: Settings,
    job: Job,
    model: rx.Sequential,
    result: rx.Result,
    metrics: dict[str, Any],
    directory: Directory | None,
    output: Output,
) -> int:
    """Tell what came of it; the first rank does."""
    if settings.ranks.rank > 0:
        return 0
    backend = backend_of(tree.leaves(result.params)[0])
    if job.trigram_bits is not None:
        metrics["trigram_bits_per_character"] = job.trigram_bits
    if metrics:
        output.line(f"\ntest  {scores.in_words(metrics)}")
    if "confusion" in metrics:
        output.line("\n" + scores.per_class(metrics, job.about))
    shown = show(settings, job, model, result.params, output)
    summary = {
        "task": settings.task,
        "seed": settings.seed,
        "backend": backend.name,
        "device": str(backend.device),
        "dtype": backend.precision,
        "parameters": count(result.params),
        "train_seconds": result.train_seconds,
        "best_epoch": result.best_epoch,
        "losses": [record["loss"] for record in result.history],
        "metrics": metrics,
        **shown,
    }
    if settings.distributed is not None:
        summary["ranks"] = settings.ranks.size
    if job.about.target_scaling is not None:
        summary["target_scaling"] = job.about.to_json()["target_scaling"]
    if directory is not None:
        best = f"best of {len(result.history)}" if job.validation or settings.patience else "the last"
        output.note(f"\n{directory.path}: model of epoch {directory.kept} ({best}), history.jsonl")
    output.record({"result": summary})
    return 0


class Calm(logging.Formatter):
    """Says shortly what is as it should be: nobody asked for CuPy, and it is not installed."""

    def __init__(self, *, asked: bool) -> None:
        super().__init__()
        self.asked = asked

    def format(self, record: logging.LogRecord) -> str:
        """Write a record of the library."""
        words = record.getMessage()
        if not self.asked and "CuPy is not installed" in words:
            return "backend: numpy (no CuPy here)"
        return in_options(words)


def open_backend(settings: Settings) -> rx.Backend:
    """Return the backend; where it was left to rnn_xp, let it say what it chose and why."""
    log, handler = logging.getLogger("rnn_xp"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(Calm(asked=bool(settings.backend or os.environ.get("RNN_XP_BACKEND"))))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.WARNING if settings.quiet else logging.INFO)
    try:
        return rx.get_backend(settings.backend, device=settings.device, dtype=settings.dtype)
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
