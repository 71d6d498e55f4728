"""From a text, or a rank's part of one, to what is to be learnt of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import data
from rnn_xp.cli import shards
from rnn_xp.cli.errors import UsageError, naming
from rnn_xp.cli.job import Job
from rnn_xp.cli.ranks import together
from rnn_xp.cli.runs import About
from rnn_xp.cli.settings import Settings
from rnn_xp.data import Dataset, Lanes

_COUNTED = 2**24  # characters: of a longer text no trigram is counted, which takes memory many times as large


def load_text(settings: Settings, about: About) -> Job:
    """Cut a text into windows or lanes and a held-out tenth; the vocabulary is that of all of it."""
    ranks, parts, path, share = settings.ranks, settings.parts, settings.own_data, settings.validation
    with together(ranks), naming(path):
        text = data.python_text() if path is None else ""
        vocabulary = data.vocabulary(text) if path is None else data.vocabulary_of_file(path)
    known = set().union(*shards.everyone(parts, vocabulary.characters))
    vocabulary = data.Vocabulary(tuple(sorted(known)))
    with together(ranks):
        with naming(path):
            tokens = vocabulary.encode(text) if path is None else data.encode_file(path, None, vocabulary)
        with _long_enough(path):
            train, validation, test = _cut(settings, tokens)
            bits = _bar(tokens, len(vocabulary.characters)) if parts.size == 1 else None
    held = 0
    if isinstance(train, Lanes):
        count = parts.size * train.count
        if validation is not None:
            held = shards.places(parts, validation.X.shape[1])[2]
    else:
        if share is not None:
            with _long_enough(path):
                train, validation, held = shards.hold_back(train, share, settings.seed, parts, ranks)
        count = shards.places(parts, len(train.X))[2]
    return Job(replace(about, vocabulary=vocabulary), train, validation, test, count, held, trigram_bits=bits)


def text_test(vocabulary: data.Vocabulary, path: str | None) -> Dataset:
    """Return the text of a file, or the tenth of Python's own that training holds back, as one sequence."""
    if path is None:
        return _one_sequence(data.split(_encode(vocabulary, data.python_text(), "Python's own text"))[1])
    return _one_sequence(_encode(vocabulary, "".join(data.corpus.pieces(path)), path))


def _cut(settings: Settings, tokens: NDArray[Any]) -> tuple[Dataset | Lanes, Dataset | None, Dataset]:
    """Return what to train, to validate and to test on; of windows, none is held back yet to validate on."""
    known, last = data.split(tokens)
    test = _one_sequence(last)
    if settings.lanes is None:
        return Dataset(*data.windows(known, settings.window)), None, test
    size = settings.parts.size
    if settings.lanes % size:
        msg = f"argument --lanes: {settings.lanes} must be a multiple of {size}, the ranks: each has a text."
        raise UsageError(msg)
    validation = None
    if settings.validation is not None:
        known, held = data.split(known, settings.validation)
        validation = _one_sequence(held)
    return Lanes(known, settings.lanes // size), validation, test


def _bar(tokens: NDArray[Any], size: int) -> float | None:
    """Return what a language model has to beat."""
    known, last = data.split(tokens)
    return data.trigram_bits(known, last, size) if len(known) <= _COUNTED else None


@contextmanager
def _long_enough(path: str | None) -> Iterator[None]:
    """Say of a text what a part of it is too short for."""
    try:
        yield
    except ValueError as error:
        msg = f"{path} is too short to learn from: {error}"
        raise ValueError(msg) from error


def _encode(vocabulary: data.Vocabulary, text: str, source: str) -> data.text.Tokens:
    """Return the tokens of a text, or say which of its characters are unknown."""
    unknown = sorted(set(text) - set(vocabulary.characters))
    if unknown:
        shown = ", ".join(map(repr, unknown[:10]))
        msg = f"{source}: there are characters that the model does not know: {shown}."
        raise ValueError(msg)
    return vocabulary.encode(text)


def _one_sequence(tokens: NDArray[Any]) -> Dataset:
    """Return tokens (1, T) with, for every step, the token that follows."""
    if len(tokens) < 2:
        msg = f"a text must have at least two characters to predict one; got {len(tokens)}."
        raise ValueError(msg)
    return Dataset(tokens[np.newaxis, :-1], tokens[np.newaxis, 1:])
