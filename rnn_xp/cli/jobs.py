"""From the options to data, scaled and split, and to the model for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import rnn_xp as rx
from rnn_xp import data
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.runs import About
from rnn_xp.cli.settings import Settings
from rnn_xp.data import Dataset, Scaling
from rnn_xp.layers import Layer

APART = 2**32
"""Seeds are smaller: `seed + APART` draws other data than any seed does."""

_SPLIT = 1  # what a seed is used for besides the data and the weights

POOLING: dict[str, type[Layer]] = {"last": rx.LastStep, "mean": rx.MeanPool, "max": rx.MaxPool}
CELLS: dict[str, Any] = {"rnn": rx.RNN, "gru": rx.GRU, "lstm": rx.LSTM}


class Job(NamedTuple):
    """What there is to be learnt; the inputs are scaled."""

    about: About
    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    text: data.text.Tokens | None = None  # what a language model learns from, in one piece


def load_job(settings: Settings) -> Job:
    """Load the data of a task, hold back the validation part, and scale what is left by itself."""
    vocabulary, known = None, None
    train: Dataset
    test: Dataset | None
    if settings.task == "text":
        text = data.python_text() if settings.data is None else read_text(settings.data)
        vocabulary = data.vocabulary(text)
        known, held_out = data.split(vocabulary.encode(text))
        train, test = Dataset(*data.windows(known, settings.window)), Dataset(*_following(held_out))
    elif settings.task == "japanese-vowels":
        train, test = data.japanese_vowels()
    elif settings.task == "sign-of-sum":
        train, test = data.sign_of_sum(1000, 10, settings.seed), sign_of_sum_test(settings.seed)
    else:
        train, test = _load_files(settings)
    about = About(
        task=settings.task,
        seed=settings.seed,
        loss=settings.loss or ("squared_error" if vocabulary is None and train.classes is None else "cross_entropy"),
        classes=train.classes,
        features=train.features,
        vocabulary=vocabulary,
        **{name: getattr(settings, name) for name in ("layout", "id", "time", "target")},
    )
    train, validation = (train, None) if settings.validation is None else _split(train, settings)
    if settings.task in ("data", "japanese-vowels") and train.X.ndim == 3:
        about = _scaled(about, train)
    scale = about.scaling
    return Job(
        about, rescale(train, scale), validation and rescale(validation, scale), test and rescale(test, scale), known
    )


def build_model(settings: Settings, job: Job) -> rx.Sequential:
    """Build the model: tokens or features, a recurrent stack, pooling unless there is a target a step, a linear output."""
    train, about = job.train, job.about
    assert train.y is not None
    layers: list[Layer] = []
    if train.X.ndim == 2:
        tokens = len(about.vocabulary.characters) if about.vocabulary else int(train.X.max()) + 1
        layers.append(rx.Embedding(tokens, settings.embedding_size))
    size = settings.embedding_size if layers else train.X.shape[2]
    tutorial = settings.task == "sign-of-sum" and settings.cell == "rnn"
    recurrent = CELLS[settings.cell](
        size,
        settings.hidden_size,
        settings.num_layers,
        bias="input" if tutorial else True,
        bidirectional=settings.bidirectional,
        dropout=settings.dropout,
    )
    layers.append(recurrent)
    classes = len(about.vocabulary.characters if about.vocabulary else about.classes or ())
    steps = train.y.ndim == 2 and (bool(classes) or (train.y.shape[1] == train.X.shape[1] and settings.pool is None))
    if steps and settings.pool is not None:
        msg = f"argument --pool: not here: {settings.data} has a target for every step."
        raise UsageError(msg)
    if not steps:
        layers.append(POOLING[settings.pool or "last"]())
    if settings.dropout:
        layers.append(rx.Dropout(settings.dropout))
    layers.append(rx.Linear(recurrent.output_size, _outputs(about.loss, classes, train.y, steps)))
    return rx.Sequential(*layers)


def read_text(path: str) -> str:
    """Return the text of a file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        msg = f"{path}: a text file must be UTF-8; got the byte {error.object[error.start]:#04x} at {error.start}."
        raise ValueError(msg) from error


def sign_of_sum_test(seed: int) -> Dataset:
    """Return 10,000 sequences that are new to a model trained with `seed`."""
    return data.sign_of_sum(10_000, 10, seed + APART)


def text_test(about: About, text: str | None = None) -> Dataset:
    """Return a text, or the tenth of Python's own that is held out, to predict each next character."""
    assert about.vocabulary is not None
    if text is not None:
        return Dataset(*_following(about.vocabulary.encode(text)))
    return Dataset(*_following(data.split(about.vocabulary.encode(data.python_text()))[1]))


def rescale(dataset: Dataset, scaling: Scaling | None) -> Dataset:
    """Scale the inputs."""
    return dataset if scaling is None else dataset._replace(X=scaling.apply(dataset.X))


def _following(tokens: data.text.Tokens) -> tuple[Any, Any]:
    """Return one sequence of tokens (1, T) and, for every step, the token that follows."""
    if len(tokens) < 2:
        msg = f"a text must have at least two characters to predict one; got {len(tokens)}."
        raise ValueError(msg)
    return tokens[np.newaxis, :-1], tokens[np.newaxis, 1:]


def _load_files(settings: Settings) -> tuple[Dataset, Dataset | None]:
    """Read --data and --test."""
    assert settings.data is not None
    columns = {"id": settings.id, "time": settings.time, "target": settings.target}
    task = "regression" if settings.loss in ("squared_error", "huber") else None
    train = data.load(settings.data, layout=settings.layout, task=task, **columns)
    if train.y is None:
        msg = f"{settings.data}: there must be targets to learn: an array `y`, or a column {settings.target!r}."
        raise ValueError(msg)
    _check_loss(settings, train)
    if settings.test is None:
        return train, None
    kind = "regression" if train.classes is None else "classification"
    test = data.load(settings.test, layout=settings.layout, task=kind, **columns)
    return train, check_features(test, train.features, settings.test, train.classes)


def check_features(
    dataset: Dataset, features: tuple[str, ...], path: str, classes: tuple[str, ...] | None
) -> Dataset:
    """Refuse other features than those of training; return the labels as indices into its classes."""
    if dataset.features != features:
        came, must = ", ".join(dataset.features) or "tokens", ", ".join(features) or "tokens"
        msg = f"{path}: the features must be those of training, {must}; got {came}. Does --layout fit?"
        raise ValueError(msg)
    if dataset.y is None or classes is None:
        return dataset
    try:
        return data.with_classes(dataset, classes)
    except ValueError as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from error


def _check_loss(settings: Settings, train: Dataset) -> None:
    """Refuse a loss that does not fit the targets."""
    if settings.loss == "cross_entropy" and train.classes is None:
        msg = f"{settings.data}: the targets must be classes for --loss cross_entropy; got numbers."
        raise ValueError(msg)
    if settings.loss == "binary_cross_entropy" and train.classes is not None and len(train.classes) != 2:
        msg = f"{settings.data}: there must be two classes for --loss binary_cross_entropy; got {len(train.classes)}."
        raise ValueError(msg)


def _split(train: Dataset, settings: Settings) -> tuple[Dataset, Dataset]:
    """Hold back a share of the sequences, at least one, chosen by the seed."""
    count = len(train.X)
    held = max(1, round((settings.validation or 0.0) * count))
    if held >= count:
        msg = f"--validation must leave a sequence to train on; got {settings.validation} of {count}."
        raise ValueError(msg)
    order = np.random.default_rng([settings.seed, _SPLIT]).permutation(count)
    parts = np.sort(order[held:]), np.sort(order[:held])
    first, second = (
        train._replace(
            X=train.X[part],
            y=None if train.y is None else train.y[part],
            lengths=None if train.lengths is None else train.lengths[part],
        )
        for part in parts
    )
    return first, second


def _scaled(about: About, train: Dataset) -> About:
    """Fit the scaling to the training part, after a look for what is not finite."""
    X = train.X.swapaxes(0, 1)
    data.check_finite("X", X, train.lengths)
    return replace(about, scaling=data.fit_scaling(X, train.lengths))


def _outputs(loss: str, classes: int, y: Any, steps: bool) -> int:
    """Return how many outputs the model has."""
    if loss == "cross_entropy":
        return classes
    return 1 if classes or steps or y.ndim == 1 else int(y.shape[1])
