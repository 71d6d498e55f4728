"""A seeded stream of random layers, sequences and masks: every cell and option with every kind of mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from rnn_xp import checks
from rnn_xp.backend import get_backend
from rnn_xp.layers import GRU, LSTM, RNN, Recurrent
from rnn_xp.verify.problems import Problem, problem

Random: TypeAlias = "np.random.Generator"

GATES = ("sigmoid", "hard_sigmoid", ("hard_sigmoid", 0.25, 0.4))
"""Activations with which a gate is one, between closed and open."""

ANY = (
    "sigmoid",
    "tanh",
    "softsign",
    "relu",
    "softplus",
    "hard_sigmoid",
    ("scaled_tanh", 0.8, 1.2),
    ("affine", 0.5, 0.1),
    ("leaky_relu", 0.1),
    ("thresholded_relu", 0.1),
    ("elu", 0.7),
)
"""Those of a candidate and of an output."""

RESETS = ("after", "before")
CLIPS = (0.3, 1.0, 3.0)
GRU_ACTIVATIONS = tuple(product(GATES, ANY))
LSTM_ACTIVATIONS = tuple(product(GATES, ANY, ANY))

FAMILIES: dict[str, tuple[Any, dict[str, Sequence[Any]]]] = {
    "rnn tanh": (RNN, {}),
    "rnn relu": (RNN, {"nonlinearity": ("relu",)}),
    "rnn, other activations": (RNN, {"nonlinearity": ANY}),
    "rnn, clip": (RNN, {"nonlinearity": ("tanh", "relu"), "clip": CLIPS}),
    "gru": (GRU, {}),
    "gru, reset before": (GRU, {"reset": ("before",)}),
    "gru, other activations": (GRU, {"reset": RESETS, "activations": GRU_ACTIVATIONS}),
    "gru, clip": (GRU, {"reset": RESETS, "clip": CLIPS}),
    "lstm": (LSTM, {}),
    "lstm, projection": (LSTM, {"proj_size": (2, 3)}),
    "lstm, other activations": (LSTM, {"activations": LSTM_ACTIVATIONS}),
    "lstm, peepholes": (LSTM, {"peepholes": (True,)}),
    "lstm, coupled": (LSTM, {"coupled": (True,)}),
    "lstm, clip": (LSTM, {"clip": CLIPS}),
    "lstm, all options": (
        LSTM,
        {
            "activations": LSTM_ACTIVATIONS,
            "peepholes": (True,),
            "coupled": (True, False),
            "clip": CLIPS,
            "proj_size": (0, 2, 3),
        },
    ),
}
"""The layer of each family, and what its options are drawn from: a new option of a cell is one line here."""

MASKS = ("none", "unsorted", "empty and full", "equal and short", "of one step")
"""The kinds of lengths that a batch may have."""

DIRECTIONS: tuple[dict[str, bool], ...] = (
    {},
    {},
    {"reverse": True},
    {"bidirectional": True},
    {"bidirectional": True},
)

BIASES = (True, True, True, "input", False)
DEPTHS = (1, 1, 1, 2, 2, 3)
SHORT = 12  # most sequences are, in steps

INITS = ("pytorch",) * 7 + ("glorot", "orthogonal", "tutorial")


@dataclass(frozen=True)
class Configuration:
    """A layer and the sequences that it is to run over.

    Attributes
    ----------
    seed, index
        What it is drawn from: the same two give the same configuration.
    family, mask
        Those of `FAMILIES` and `MASKS` that it stands for.
    layer
        The layer.
    steps, batch
        T and B.
    lengths
        (B,), or None.
    start
        Whether there is an initial state.
    init
        How the parameters are drawn.
    """

    seed: int
    index: int
    family: str
    mask: str
    layer: Recurrent
    steps: int
    batch: int
    lengths: tuple[int, ...] | None
    start: bool
    init: str

    def __str__(self) -> str:
        lengths = "" if self.lengths is None else f", lengths {list(self.lengths)}"
        start = ", initial state" if self.start else ""
        init = "" if self.init == "pytorch" else f", init {self.init!r}"
        where = f"seed {self.seed}, index {self.index}"
        return f"{self.layer!r}, T = {self.steps}, B = {self.batch}{lengths}{start}{init} ({where})"

    def problem(self) -> Problem:
        """Draw what goes into the layer, and the weights of its outputs: numbers that float32 holds."""
        rng = np.random.default_rng([self.seed, self.index, 1])
        single = get_backend("numpy", dtype="float32")
        params = self.layer.init(single, int(rng.integers(2**31)), self.init)
        x = rng.standard_normal((self.steps, self.batch, self.layer.input_size))
        given = problem(self.layer, params, x, None, self.lengths, None, rng, start=self.start)
        return given.rounded("float32")


def configurations(count: int, seed: int = 0) -> Iterator[Configuration]:
    """Yield `count` configurations; every 75 in a row hold each family with each kind of mask.

    Examples
    --------
    >>> from itertools import islice
    >>> len({(each.family, each.mask) for each in configurations(75)}) == len(FAMILIES) * len(MASKS) == 75
    True
    """
    count, seed = checks.integer("count", count, 0), checks.integer("seed", seed, 0)
    return (configuration(seed, index) for index in range(count))


def configuration(seed: int, index: int) -> Configuration:
    """Return one configuration of the stream."""
    rng = np.random.default_rng([seed, index])
    family = list(FAMILIES)[index % len(FAMILIES)]
    mask = MASKS[index // len(FAMILIES) % len(MASKS)]
    kind, choices = FAMILIES[family]
    options = {name: _one(rng, values) for name, values in choices.items()}
    options |= {**_one(rng, DIRECTIONS), "bias": _one(rng, BIASES)}
    hidden = int(rng.integers(4, 8))  # not fewer: a tensor of one number may be all cancellation
    depth = _one(rng, DEPTHS)
    steps, depth = _steps(rng, depth)
    batch = int(rng.integers(2, 5))
    if mask != "none":
        steps = max(steps, 2)
    return Configuration(
        seed,
        index,
        family,
        mask,
        kind(int(rng.integers(2, 5)), hidden, depth, **options),
        steps,
        batch,
        _lengths(rng, mask, steps, batch),
        bool(rng.integers(2)),
        _one(rng, INITS),
    )


def _one(rng: Random, choices: Sequence[Any]) -> Any:
    """Draw one of the choices."""
    return choices[int(rng.integers(len(choices)))]


def _steps(rng: Random, depth: int) -> tuple[int, int]:
    """Draw T, mostly short; the longest only for one layer."""
    place = rng.random()
    if place < 0.9:
        return int(rng.integers(1, SHORT + 1)), depth
    if place < 0.99:
        return int(rng.integers(30, 101)), min(depth, 2)
    return 300, 1


def _lengths(rng: Random, mask: str, steps: int, batch: int) -> tuple[int, ...] | None:
    """Draw lengths of that kind."""
    match mask:
        case "none":
            return None
        case "unsorted":
            drawn = [int(rng.integers(1, steps)), steps, *rng.integers(1, steps + 1, batch - 2).tolist()]
        case "empty and full":
            drawn = [0, steps, *rng.integers(0, steps + 1, batch - 2).tolist()]
        case "equal and short":
            drawn = [int(rng.integers(1, steps))] * batch
        case _:
            drawn = [1, *rng.integers(1, steps + 1, batch - 1).tolist()]
    rng.shuffle(drawn)
    if mask == "unsorted" and drawn == sorted(drawn, reverse=True):
        drawn.reverse()
    return tuple(drawn)
