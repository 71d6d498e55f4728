"""`rnn-xp train`: from the options to a trained model, and what it can do."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

import rnn_xp as rx
from rnn_xp import data, schedules, tree
from rnn_xp.cli import interrupt, language, scores
from rnn_xp.cli.errors import in_options, naming
from rnn_xp.cli.jobs import APART, Job, load_job
from rnn_xp.cli.models import build_model, build_optimizer
from rnn_xp.cli.output import Output
from rnn_xp.cli.runs import Run
from rnn_xp.cli.settings import Settings, settle
from rnn_xp.optim import Optimizer
from rnn_xp.typing import Tree


def train(given: Mapping[str, Any]) -> int:
    """Train, score, and show the model at work."""
    settings = settle(given)
    output = Output(json=settings.json, quiet=settings.quiet)
    optimizer = build_optimizer(settings)
    run = None if settings.out is None else Run(settings.out)
    backend = open_backend(settings)
    job = load_job(settings)
    with naming(settings.data):
        model = build_model(settings, job, given)
    params = model.init(backend, settings.seed, settings.init)
    introduce(settings, job, model, params, backend, output)
    if run is not None:
        run.open()

    try:
        with naming(settings.data):
            result = fit(settings, job, model, params, optimizer, backend, run, output)
    finally:
        if run is not None:
            run.close()
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
    if run is not None:
        best = f"best of {len(result.history)}" if job.validation or settings.patience else "the last"
        output.note(f"\n{run.directory}: model of epoch {run.kept} ({best}), history.jsonl")
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


def fit(
    settings: Settings,
    job: Job,
    model: rx.Sequential,
    params: Tree,
    optimizer: Optimizer,
    backend: rx.Backend,
    run: Run | None,
    output: Output,
) -> rx.Result:
    """Train; after every epoch first keep it, then tell of it."""
    history: list[dict[str, Any]] = []

    def after(epoch: rx.Epoch) -> None:
        history.append(epoch.record)
        if run is not None:
            run.keep(model, epoch.params, job.about, history, epoch.record["epoch"])
        output.record(epoch.record)

    held = job.validation
    steps = settings.epochs * -(-len(job.train.X) // settings.batch_size)
    try:
        with interrupt.gently(), output.plain_stdout():
            result = rx.fit(
                model,
                job.train.X,
                job.train.y,
                loss=job.about.loss,
                optimizer=optimizer,
                backend=backend,
                lengths=job.train.lengths,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                shuffle=settings.shuffle,
                seed=settings.seed,
                params=params,
                validation=None if held is None else (held.X, held.y, held.lengths),
                patience=settings.patience,
                clip_norm=settings.clip_norm,
                clip_value=settings.clip_value,
                schedule=schedules.cosine(steps) if settings.schedule == "cosine" else None,
                callbacks=[after],
                verbose=not settings.quiet,
            )
    except (KeyboardInterrupt, FloatingPointError) as error:
        if sys.stdout.isatty():
            output.line("")  # leave the live line
        words = str(error) or f"interrupted in epoch {len(history) + 1}."
        raise type(error)(words if run is None else f"{words} {run}") from error
    if run is not None and result.best_epoch != len(history):
        with interrupt.gently():
            run.keep(model, result.params, job.about, history, result.best_epoch)
    return result


def introduce(
    settings: Settings, job: Job, model: rx.Sequential, params: Tree, backend: rx.Backend, output: Output
) -> None:
    """Say what is about to happen."""
    N, T = job.train.X.shape[:2]
    upto = "" if job.train.lengths is None else "up to "
    held = "" if job.validation is None else f", and {len(job.validation.X)} for validation"
    classes = job.about.classes or ()
    if settings.targets is None and are_many(classes, N) and not settings.quiet:
        sys.stderr.write(f"{len(classes)} classes; --targets numbers if these are numbers\n")
    output.note(f"{settings.data or settings.task}: {N} sequences of {upto}{T} steps{held}")
    if job.about.vocabulary is not None:
        known = len(job.about.vocabulary.characters)
        output.note(
            f"{known} different characters in the whole text, whose last tenth is held back to test on"
        )
        output.note(f"an interpolated trigram needs {job.trigram_bits:.3f} bits for each character of it")
    output.note(f"{model!r}: {count(params)} parameters")
    rate = f"{settings.optimizer}({settings.lr:g}), batches of {settings.batch_size}, seed {settings.seed}"
    output.note(f"{job.about.loss}, {rate}; {backend.name} on {backend.device}, {backend.precision}")


def are_many(classes: tuple[str, ...], sequences: int) -> bool:
    """Return whether classes may be meant as numbers: integers, and too many to be names."""
    integers = all(name.removeprefix("-").isdecimal() for name in classes)
    return integers and len(classes) > min(20, max(2, sequences / 2))


def show(settings: Settings, job: Job, model: rx.Sequential, params: Tree, output: Output) -> dict[str, Any]:
    """Let the model do what it learnt, once."""
    if settings.task == "sign-of-sum":
        new = data.sign_of_sum(1, 10, settings.seed + 2 * APART)
        values = new.X[0, :, 0]
        p = float(rx.predict(model, params, new.X, loss=job.about.loss)[0, 0])
        sign = "positive" if values.sum() > 0 else "negative"
        output.line(f"\na new sequence: {' '.join(f'{value:.2f}' for value in values)}")
        output.line(f"its sum is {values.sum():.4f}, {sign}; predicted: {p:.4f} for positive")
        return {"prediction": {"sequence": values.tolist(), "sum": float(values.sum()), "p_positive": p}}
    if job.about.vocabulary is not None:
        prompt = language.start(job.about.vocabulary)
        words = language.sample(
            model, params, job.about.vocabulary, prompt, length=None, temperature=0.7, seed=settings.seed
        )
        text = "".join(language.opening(words, 400))
        output.line(f"\na sample, at temperature 0.7:\n{text}")
        return {"sample": text}
    return {}


def count(params: Tree) -> int:
    """Return how many numbers there are to learn."""
    return sum(math.prod(leaf.shape) for leaf in tree.leaves(params))
