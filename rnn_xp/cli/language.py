"""A language model in use: its state is carried from step to step through a text of any length."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import Backend, Sequential, Stream, data, tree
from rnn_xp.backend import backend_of
from rnn_xp.losses import LOSSES
from rnn_xp.typing import Tree

CHUNK = 1024
"""Steps that are computed at once."""


def loss(model: Sequential, params: Tree, tokens: data.text.Tokens, following: data.text.Tokens) -> float:
    """Return the mean of -log p(following) over one text (T,), read in one pass."""
    total, read = 0.0, 0
    for logits in _read(model.stream(params), backend_of(tree.leaves(params)[0]), tokens):
        target = following[read : read + len(logits)]
        losses: Any = LOSSES["cross_entropy"].forward(logits, target, xp=np)[0]
        total += float(losses.sum())
        read += len(target)
    return total / len(tokens)


def bits(nats: float) -> float:
    """Return a loss in bits per character.

    Examples
    --------
    >>> bits(math.log(2.0))
    1.0
    """
    return nats / math.log(2.0)


def sample(
    model: Sequential,
    params: Tree,
    vocabulary: data.Vocabulary,
    prompt: str,
    *,
    length: int | None,
    temperature: float,
    seed: int,
) -> Iterator[str]:
    """Yield characters, one by one, that continue `prompt`; at temperature 0 the likeliest ones.

    Without a `length` there is no end.
    """
    rng = np.random.default_rng(seed)
    backend, stream = backend_of(tree.leaves(params)[0]), model.stream(params)
    (logits,) = deque(_read(stream, backend, vocabulary.encode(prompt)), maxlen=1)
    for place in itertools.count(1):
        token = _draw(logits[-1], temperature, rng)
        yield vocabulary.characters[token]
        if place == length:
            return
        logits = backend.to_numpy(stream.step(backend.asarray(np.array([token])))).astype(np.float64)


def opening(characters: Iterator[str], length: int) -> Iterator[str]:
    """Return `length` of the characters, from the first on that can be seen."""
    first = next((c for c in itertools.islice(characters, length) if not c.isspace()), " ")
    return itertools.chain(first, itertools.islice(characters, length - 1))


def start(vocabulary: data.Vocabulary) -> str:
    """Return what stands before a text: the end of a line, if there are lines."""
    return "\n" if "\n" in vocabulary.characters else vocabulary.characters[0]


def _read(stream: Stream, backend: Backend, tokens: data.text.Tokens) -> Iterator[NDArray[np.float64]]:
    """Let a stream read the tokens (T,), and yield the logits (n, V) of what follows each of the next n."""
    for first in range(0, len(tokens), CHUNK):
        y = stream.run(backend.asarray(tokens[first : first + CHUNK, np.newaxis]))
        yield backend.to_numpy(y)[:, 0].astype(np.float64)


def _draw(logits: NDArray[np.float64], temperature: float, rng: np.random.Generator) -> int:
    """Draw a token: of logits plus Gumbel noise, the largest is distributed as their softmax."""
    if temperature > 0:
        logits = logits / temperature + rng.gumbel(size=logits.shape)
    return int(np.argmax(logits))
