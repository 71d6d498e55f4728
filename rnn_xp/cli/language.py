"""A language model in use: its state is carried from step to step through a text of any length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnn_xp import Sequential, data, tree
from rnn_xp.backend import backend_of
from rnn_xp.typing import Tree

CHUNK = 1024
"""Steps that are computed at once."""


def loss(model: Sequential, params: Tree, tokens: data.text.Tokens, following: data.text.Tokens) -> float:
    """Return the mean of -log p(following) over one text (T,), read in one pass."""
    total, state = 0.0, None
    for start in range(0, len(tokens), CHUNK):
        logits, state = _read(model, params, tokens[start : start + CHUNK], state)
        target = following[start : start + CHUNK]
        total -= float(np.sum(_log_softmax(logits)[np.arange(len(target)), target]))
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
    tokens, state = vocabulary.encode(prompt), None
    for start in range(0, len(tokens), CHUNK):
        logits, state = _read(model, params, tokens[start : start + CHUNK], state)
    backend, stream = backend_of(tree.leaves(params)[0]), model.stream(params, batch_size=1)
    stream.reset(state)
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


def _read(
    model: Sequential, params: Tree, tokens: data.text.Tokens, state: Tree
) -> tuple[NDArray[np.float64], Tree]:
    """Return logits (T, V) of what follows each of the tokens (T,), and the state after them."""
    backend = backend_of(tree.leaves(params)[0])
    y, state, _ = model.forward(params, backend.asarray(tokens[:, np.newaxis]), state_0=state)
    return backend.to_numpy(y)[:, 0].astype(np.float64), state


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_p


def _draw(logits: NDArray[np.float64], temperature: float, rng: np.random.Generator) -> int:
    """Draw a token: of logits plus Gumbel noise, the largest is distributed as their softmax."""
    if temperature > 0:
        logits = logits / temperature + rng.gumbel(size=logits.shape)
    return int(np.argmax(logits))
