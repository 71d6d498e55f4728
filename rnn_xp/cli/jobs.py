"""From the options to data, checked, split and scaled."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

from rnn_xp import data
from rnn_xp.cli import shards
from rnn_xp.cli.errors import UsageError, naming
from rnn_xp.cli.job import Job
from rnn_xp.cli.output import printable
from rnn_xp.cli.ranks import file_of, together
from rnn_xp.cli.runs import About
from rnn_xp.cli.settings import Settings
from rnn_xp.cli.texts import load_text
from rnn_xp.data import Dataset, Scaling
from rnn_xp.distributed.agree import gather

APART = 2**32
"""Seeds are smaller: `seed + APART` draws other data than any seed does."""


def load_job(settings: Settings) -> Job:
    """Load the data of a task, hold back the validation part, and scale everything as the rest asks for."""
    about = About(
        settings.task,
        settings.seed,
        settings.loss or "cross_entropy",
        **{name: getattr(settings, name) for name in ("dtype", "layout", "id", "time", "target")},
    )
    ranks, parts = settings.ranks, settings.parts
    if settings.task == "text":
        return load_text(settings, about)
    with together(ranks):
        train, test = _load_sequences(settings)
    train = shards.alike(train, settings.own_data or "", parts, lambda: _read(settings, per_step=True))
    with together(ranks):
        about = replace(about, classes=train.classes, features=train.features, loss=_loss(settings, train))
        if settings.test is not None:
            test = _read_test(settings, train)
    validation, held = None, 0
    if settings.validation is not None:
        share, seed = settings.validation, settings.seed
        train, validation, held = shards.hold_back(train, share, seed, parts, ranks)
    if settings.task in ("data", "japanese-vowels") and train.X.ndim == 3:
        source = settings.own_data or settings.task
        with together(ranks):
            _check_finite(train, source)
        scaling = settings.scalings[0]
        if scaling is None:
            steps = (train.X.swapaxes(0, 1), train.lengths, train.features)
            scaling = shards.fit_scaling(*steps, source, parts, ranks)
        about = replace(about, scaling=scaling)
    validation, test = (part and rescale(part, about.scaling) for part in (validation, test))
    count = shards.places(parts, len(train.X))[2]
    highest = int(gather(parts, [train.X.max(initial=-1) if train.X.ndim == 2 else -1]).max())
    return Job(about, rescale(train, about.scaling), validation, test, count, held, highest)


def sign_of_sum_test(seed: int) -> Dataset:
    """Return 10,000 sequences that are new to a model trained with `seed`."""
    return data.sign_of_sum(10_000, 10, seed + APART)


def load_new(path: str, about: About, options: dict[str, Any], *, labels: bool) -> Dataset:
    """Read a file as a trained model's own data, and scale it; with `labels`, as indices into its classes."""
    if labels:
        _require_target(path, options["target"])
    task: Any = "regression" if about.classes is None else "classification"
    dataset = data.load(path, task=task, **options)
    if sorted(dataset.features) != sorted(about.features):
        must, came = (printable(", ".join(names)) or "tokens" for names in (about.features, dataset.features))
        msg = f"{path}: the features must be those of the training, {must}; got {came}. Does --layout fit?"
        raise ValueError(msg)
    dataset = data.with_features(dataset, about.features)
    _check_finite(dataset, path)
    if not labels:
        return rescale(dataset._replace(y=None), about.scaling)
    if dataset.y is None:
        msg = f"{path}: there must be targets: an array `y`, or a column {options['target']!r}."
        raise ValueError(msg)
    if about.classes is not None:
        with naming(path):
            dataset = data.with_classes(dataset, about.classes)
    return rescale(dataset, about.scaling)


def rescale(dataset: Dataset, scaling: Scaling | None) -> Dataset:
    """Scale the inputs."""
    return dataset if scaling is None else dataset._replace(X=scaling.apply(dataset.X))


def _load_sequences(settings: Settings) -> tuple[Dataset, Dataset | None]:
    """Return what to train on, and what of it to test on; a file to test on is read later."""
    if settings.task == "japanese-vowels":
        return data.japanese_vowels()
    if settings.task == "sign-of-sum":
        return data.sign_of_sum(1000, 10, settings.seed), sign_of_sum_test(settings.seed)
    return _read(settings), None


def _read(settings: Settings, *, per_step: bool | None = None) -> Dataset:
    """Read what to train on."""
    path = settings.own_data
    assert path is not None
    numbers = settings.targets == "numbers" or settings.loss in ("squared_error", "huber")
    task: Any = "regression" if numbers else "classification" if settings.targets == "classes" else None
    _require_target(path, settings.target)
    train = data.load(path, task=task, per_step=per_step, **_columns(settings))
    if train.y is None:
        msg = f"{path}: there must be targets: an array `y`, or a column {settings.target!r}."
        raise ValueError(msg)
    return train


def _read_test(settings: Settings, train: Dataset) -> Dataset:
    """Read what to test on, in the terms of what to train on."""
    assert train.y is not None
    assert settings.test is not None
    path = file_of(settings.test, settings.ranks)
    untrained = About("data", 0, "", classes=train.classes, features=train.features)
    options = {**_columns(settings), "per_step": train.y.ndim > 1 or None}
    return load_new(path, untrained, options, labels=True)


def _columns(settings: Settings) -> dict[str, Any]:
    """Return what says how files are read."""
    return {name: getattr(settings, name) for name in ("layout", "id", "time", "target")}


def _require_target(path: str, target: str) -> None:
    """Say that a table has no targets before its other columns are taken for features."""
    if not path.lower().endswith(".csv"):
        return
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader([file.readline()]), [])
    is_table = len(header) > 1 and "\ufffd" not in "".join(header)  # else the reading says what is wrong
    if is_table and target not in header:
        msg = f"{path}: there must be a column {target!r} (--target); got {', '.join(map(repr, header))}."
        raise ValueError(msg)


def _loss(settings: Settings, train: Dataset) -> str:
    """Return the loss, given or fit for the targets."""
    source, classes = settings.data or settings.task, train.classes
    loss = settings.loss or ("squared_error" if classes is None else "cross_entropy")
    if classes is not None and len(classes) < 2:
        msg = f"{source}: there must be at least two classes to tell apart; got {classes[0]!r} alone."
        raise ValueError(msg)
    if classes is None and loss == "cross_entropy":
        msg = f"argument --loss: {loss} is for classes; {source} has numbers. See --targets."
        raise UsageError(msg)
    if classes is not None and loss in ("squared_error", "huber"):
        msg = f"argument --loss: {loss} is for numbers; {source} has classes."
        raise UsageError(msg)
    if classes is not None and loss == "binary_cross_entropy" and len(classes) > 2:
        msg = f"argument --loss: {loss} is for two classes, or numbers; {source} has {len(classes)} classes."
        raise UsageError(msg)
    return loss


def _check_finite(dataset: Dataset, source: str) -> None:
    """Say where a file holds NaN."""
    with naming(source):
        data.check_finite("X", dataset.X.swapaxes(0, 1), dataset.lengths)
