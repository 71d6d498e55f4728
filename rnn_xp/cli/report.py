"""What `rnn-xp train` says before, and what the model does after: in words, and for programs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import rnn_xp as rx
from rnn_xp import data, tree
from rnn_xp.cli import language, targets
from rnn_xp.cli.job import Job
from rnn_xp.cli.jobs import APART
from rnn_xp.cli.output import Output
from rnn_xp.cli.ranks import is_cut
from rnn_xp.cli.settings import Settings
from rnn_xp.data import Lanes
from rnn_xp.typing import Tree


def introduce(
    settings: Settings, job: Job, model: rx.Sequential, params: Tree, backend: rx.Backend, output: Output
) -> None:
    """Say what is about to happen."""
    if not settings.quiet:
        for warning in _warnings(settings, job):
            sys.stderr.write(f"warning: {warning}\n")
    output.note(f"{settings.data or settings.task}: {_amount(job)}")
    if job.about.vocabulary is not None:
        known = len(job.about.vocabulary.characters)
        output.note(
            f"{known} different characters in the whole text, whose last tenth is held back to test on"
        )
    if job.trigram_bits is not None:
        output.note(f"an interpolated trigram needs {job.trigram_bits:.3f} bits for each character of it")
    output.note(f"{model!r}: {count(params)} parameters")
    together = settings.lanes or settings.batch_size
    rate = f"{settings.optimizer}({settings.lr:g}), batches of {together}, seed {settings.seed}"
    output.note(f"{job.about.loss}, {rate}; {backend.name} on {backend.device}, {backend.precision}")
    if settings.distributed is not None:
        output.note(_ranks(settings))
    if job.about.target_scaling is not None:
        output.note(targets.in_words(job.about.target_scaling, job.about.loss))


def _warnings(settings: Settings, job: Job) -> Iterator[str]:
    """Yield what may not be meant so."""
    classes, scaling = job.about.classes or (), job.about.target_scaling
    unsaid = settings.targets is None and settings.loss is None
    if unsaid and classes and settings.parts.size == 1 and are_many(classes, job.targets.size):
        yield (
            f"the {len(classes)} different whole numbers in the targets are taken for names of classes; "
            "--targets numbers, if they are amounts"
        )
    if scaling is not None and job.targets.ndim == 1 and settings.parts.size == 1:
        values = np.unique(job.targets)
        if len(values) == 1:
            yield f"all targets are {values[0]:g}: there is nothing to tell apart"
        elif unsaid and (values == np.rint(values)).all() and len(values) <= most_names(job.targets.size):
            yield (
                f"the {len(values)} different whole numbers in the targets are taken for amounts; "
                "--targets classes, if they are names of classes"
            )
    if scaling is not None and targets.is_coarse(scaling, job.about.dtype):
        yield (
            f"the targets differ by little, for {job.about.dtype}, beside their mean: "
            "--dtype float64 tells them apart"
        )


def _ranks(settings: Settings) -> str:
    """Say how many train together, and what each has of the data."""
    ranks = settings.ranks
    if ranks.size == 1:
        return "1 rank; a launcher starts more of them: mpiexec -n 4 rnn-xp train --distributed mpi ..."
    return f"{ranks.size} ranks, each with {'a part of' if is_cut(settings.data) else 'all'} the data"


def _amount(job: Job) -> str:
    """Say how much there is to learn from."""
    N, T = job.shape
    if isinstance(job.train, Lanes):
        held = f", and {job.held} steps for validation" if job.held else ""
        return f"{N} lanes of {T} steps{held}"
    upto = "" if job.train.lengths is None else "up to "
    held = f", and {job.held} for validation" if job.held else ""
    return f"{N} sequences of {upto}{T} steps{held}"


def are_many(classes: tuple[str, ...], labels: int) -> bool:
    """Return whether classes may be meant as numbers: integers, and too many to be names."""
    integers = all(name.removeprefix("-").isdecimal() for name in classes)
    return integers and len(classes) > most_names(labels)


def most_names(labels: int) -> float:
    """Return how many different whole numbers may be names of classes, among so many labels."""
    return min(20, max(3, labels / 4))


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
