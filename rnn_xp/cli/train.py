"""`rnn-xp train`: from the options to a trained model, and what it can do."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import rnn_xp as rx
from rnn_xp import CheckpointError
from rnn_xp.cli import recall, scores, targets
from rnn_xp.cli.directory import Directory
from rnn_xp.cli.errors import UsageError, in_options, naming
from rnn_xp.cli.fitting import fit
from rnn_xp.cli.jobs import load_job
from rnn_xp.cli.models import build_model
from rnn_xp.cli.output import Output
from rnn_xp.cli.report import count, introduce, show
from rnn_xp.cli.settings import Settings, settle

BESIDE_RESUME = ("json", "quiet", "save_every", "recompute")
"""The options that change nothing of what is trained."""

MOVED = ("data", "test")
"""The files that may lie elsewhere when a training goes on; those it learns from must hold the same."""


def train(given: Mapping[str, Any]) -> int:
    """Train, or go on with a training that was interrupted."""
    if "resume" in given:
        return resume(given)
    settings = settle(given)
    with nullcontext() if settings.out is None else Directory(settings.out) as directory:
        return run(settings, directory, given)


def resume(given: Mapping[str, Any]) -> int:
    """Go on with the training in a directory, as if it had never been interrupted."""
    beside = {name: value for name, value in given.items() if name != "resume"}
    for name in beside:
        if name not in BESIDE_RESUME + MOVED:
            msg = (
                f"argument --{name.replace('_', '-')}: not here: --resume goes on with what the run was told."
            )
            raise UsageError(msg)
    with Directory(given["resume"], resumed=True) as directory:
        try:
            told = recall.told(directory.checkpoint)
            for name in MOVED:
                if name in beside and name not in told:
                    msg = f"argument --{name}: not here: the run in {directory.path} was told of none."
                    raise UsageError(msg)
            told |= {"out": given["resume"], **beside}
            return run(settle(told), directory, told)
        except CheckpointError as error:
            raise directory.not_whole(error) from error


def run(settings: Settings, directory: Directory | None, given: Mapping[str, Any]) -> int:
    """Train, score, and show the model at work."""
    output = Output(json=settings.json, quiet=settings.quiet)
    backend = open_backend(settings)
    try:
        job = load_job(settings)
    except FileNotFoundError as error:
        if directory is None or not directory.resumed:
            raise
        if not directory.is_complete():
            error.add_note("--data and --test say where files are now.")
            raise
        output.line(f"{directory.path}: this training is finished; {error.filename} is not there to score it")
        return 0
    with naming(settings.data):
        model = build_model(settings, job, given)
        job = targets.fit(job, model.per_step)
    params = model.init(backend, settings.seed, settings.init)
    introduce(settings, job, model, params, backend, output)
    with naming(settings.data):
        result = fit(settings, job, model, params, backend, directory, output, given)
    with naming(settings.test):
        metrics = {} if job.test is None else scores.score(model, result.params, job.about, job.test)
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
        "parameters": count(params),
        "train_seconds": result.train_seconds,
        "best_epoch": result.best_epoch,
        "losses": [record["loss"] for record in result.history],
        "metrics": metrics,
        **shown,
    }
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
