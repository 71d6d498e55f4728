"""From the options to data, checked, split and scaled."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp import data
from rnn_xp.cli.errors import UsageError, naming
from rnn_xp.cli.output import printable
from rnn_xp.cli.runs import About
from rnn_xp.cli.settings import Settings
from rnn_xp.data import Dataset, Lanes, Scaling

APART = 2**32
"""Seeds are smaller: `seed + APART` draws other data than any seed does."""

_SPLIT = 1  # what a seed is used for besides the data and the weights

_COUNTED = 2**24  # characters: of a longer text no trigram is counted, which takes memory many times as large


class Job(NamedTuple):
    """What there is to be learnt; the inputs are scaled."""

    about: About
    train: Dataset | Lanes
    validation: Dataset | None
    test: Dataset | None
    trigram_bits: float | None = None  # the bar for a language model

    @property
    def shape(self) -> tuple[int, int]:
        """The number of sequences, or lanes, and of the steps of the longest."""
        if isinstance(self.train, Lanes):
            return self.train.count, self.train.steps
        N, T = self.train.X.shape[:2]
        return N, T

    @property
    def is_ragged(self) -> bool:
        """Whether lengths differ."""
        return isinstance(self.train, Dataset) and self.train.lengths is not None

    @property
    def num_tokens(self) -> int:
        """How many tokens there are; 0 where the inputs are features."""
        if self.about.vocabulary is not None:
            return len(self.about.vocabulary.characters)
        assert isinstance(self.train, Dataset)
        return max(1, int(self.train.X.max()) + 1) if self.train.X.ndim == 2 else 0

    @property
    def input_size(self) -> int:
        """How many features there are."""
        assert isinstance(self.train, Dataset)
        return int(self.train.X.shape[2])

    @property
    def targets(self) -> NDArray[Any]:
        """What is to be learnt, but of lanes."""
        assert isinstance(self.train, Dataset)
        assert self.train.y is not None
        return self.train.y


def load_job(settings: Settings) -> Job:
    """Load the data of a task, hold back the validation part, and scale everything as the rest asks for."""
    about = About(
        settings.task,
        settings.seed,
        settings.loss or "cross_entropy",
        **{name: getattr(settings, name) for name in ("dtype", "layout", "id", "time", "target")},
    )
    if settings.task == "text":
        return _load_text(settings, about)
    train, test = _load_sequences(settings)
    about = replace(about, classes=train.classes, features=train.features, loss=_loss(settings, train))
    validation = None
    if settings.validation is not None:
        train, validation = _split(train, settings.validation, settings.seed)
    if settings.task in ("data", "japanese-vowels") and train.X.ndim == 3:
        about = replace(about, scaling=_fit_scaling(train, settings.data or settings.task))
    validation, test = (part and rescale(part, about.scaling) for part in (validation, test))
    return Job(about, rescale(train, about.scaling), validation, test)


def sign_of_sum_test(seed: int) -> Dataset:
    """Return 10,000 sequences that are new to a model trained with `seed`."""
    return data.sign_of_sum(10_000, 10, seed + APART)


def text_test(vocabulary: data.Vocabulary, path: str | None) -> Dataset:
    """Return the text of a file, or the tenth of Python's own that training holds back, as one sequence."""
    if path is None:
        return _one_sequence(data.split(_encode(vocabulary, data.python_text(), "Python's own text"))[1])
    return _one_sequence(_encode(vocabulary, "".join(data.corpus.pieces(path)), path))


def _encode(vocabulary: data.Vocabulary, text: str, source: str) -> data.text.Tokens:
    """Return the tokens of a text, or say which of its characters are unknown."""
    unknown = sorted(set(text) - set(vocabulary.characters))
    if unknown:
        shown = ", ".join(map(repr, unknown[:10]))
        msg = f"{source}: there are characters that the model does not know: {shown}."
        raise ValueError(msg)
    return vocabulary.encode(text)


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


def _load_text(settings: Settings, about: About) -> Job:
    """Cut a text into windows or lanes and a held-out tenth; the vocabulary is that of all of it."""
    path = settings.data
    train: Dataset | Lanes
    validation = None
    with naming(path):
        if path is None:
            text = data.python_text()
            vocabulary = data.vocabulary(text)
            tokens: NDArray[Any] = vocabulary.encode(text)
        else:
            vocabulary = data.vocabulary_of_file(path)
            tokens = data.encode_file(path, None, vocabulary)
    try:
        known, held_out = data.split(tokens)
        bits = None
        if len(known) <= _COUNTED:
            bits = data.trigram_bits(known, held_out, len(vocabulary.characters))
        if settings.lanes is None:
            windows = Dataset(*data.windows(known, settings.window))
            if settings.validation is not None:
                windows, validation = _split(windows, settings.validation, settings.seed)
            train = windows
        else:
            if settings.validation is not None:
                known, held = data.split(known, settings.validation)
                validation = _one_sequence(held)
            train = Lanes(known, settings.lanes)
    except ValueError as error:
        msg = f"{path} is too short to learn from: {error}"
        raise ValueError(msg) from error
    return Job(replace(about, vocabulary=vocabulary), train, validation, _one_sequence(held_out), bits)


def _one_sequence(tokens: NDArray[Any]) -> Dataset:
    """Return tokens (1, T) with, for every step, the token that follows."""
    if len(tokens) < 2:
        msg = f"a text must have at least two characters to predict one; got {len(tokens)}."
        raise ValueError(msg)
    return Dataset(tokens[np.newaxis, :-1], tokens[np.newaxis, 1:])


def _load_sequences(settings: Settings) -> tuple[Dataset, Dataset | None]:
    """Return what to train on, and what to test on."""
    if settings.task == "japanese-vowels":
        return data.japanese_vowels()
    if settings.task == "sign-of-sum":
        return data.sign_of_sum(1000, 10, settings.seed), sign_of_sum_test(settings.seed)
    assert settings.data is not None
    options: dict[str, Any] = {name: getattr(settings, name) for name in ("layout", "id", "time", "target")}
    numbers = settings.targets == "numbers" or settings.loss in ("squared_error", "huber")
    task: Any = "regression" if numbers else "classification" if settings.targets == "classes" else None
    _require_target(settings.data, settings.target)
    train = data.load(settings.data, task=task, **options)
    if train.y is None:
        msg = f"{settings.data}: there must be targets: an array `y`, or a column {settings.target!r}."
        raise ValueError(msg)
    if settings.test is None:
        return train, None
    untrained = About("data", 0, "", classes=train.classes, features=train.features)
    options["per_step"] = train.y.ndim > 1 or None
    return train, load_new(settings.test, untrained, options, labels=True)


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


def _split(train: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Hold back a share of the sequences, at least one, chosen by the seed."""
    count = len(train.X)
    held = max(1, round(share * count))
    if held >= count:
        msg = f"--validation {share:g} must leave a sequence to train on; there are {count} in all."
        raise ValueError(msg)
    order = np.random.default_rng([seed, _SPLIT]).permutation(count)

    def take(part: Any) -> Dataset:
        lengths = None if train.lengths is None else train.lengths[part]
        return train._replace(X=train.X[part], y=None if train.y is None else train.y[part], lengths=lengths)

    return take(np.sort(order[held:])), take(np.sort(order[:held]))


def _fit_scaling(train: Dataset, source: str) -> Scaling:
    """Fit the scaling, after a look for what is not finite."""
    _check_finite(train, source)
    with naming(source):
        return data.fit_scaling(train.X.swapaxes(0, 1), train.lengths, train.features)


def _check_finite(dataset: Dataset, source: str) -> None:
    """Say where a file holds NaN."""
    with naming(source):
        data.check_finite("X", dataset.X.swapaxes(0, 1), dataset.lengths)
