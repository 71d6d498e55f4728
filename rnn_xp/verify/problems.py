"""Everything that goes into one check of a layer: parameters, inputs, and the weights of the outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import Backend, get_backend, to_numpy
from rnn_xp.layers import Layer
from rnn_xp.layers.marks import key
from rnn_xp.random import Rng
from rnn_xp.typing import Tree

STEPS, LENGTHS, FEATURES = 5, (3, 5, 1), 3
"""The sequences that are drawn: unsorted, one of them short."""

LONGEST = 100_000
"""The longest sequence that is drawn."""

DRAWS = 10
"""How often a problem is drawn until there is something to compare: a relu may hold all units at rest."""

NUMPY = get_backend("numpy", dtype="float64")


class Problem(NamedTuple):
    """Arguments of a layer's forward and backward, on the host in float64."""

    params: Tree
    x: Any  # (T, B, D), (B, D), or integer tokens (T, B)
    state_0: Tree | None
    lengths: tuple[int, ...] | None
    rng: Rng | None
    d_y: Any
    d_state_T: Tree  # noqa: N815

    @property
    def tokens(self) -> bool:
        """Whether x holds tokens, which have no gradient."""
        return bool(self.x.dtype.kind in "iu")

    @property
    def steps(self) -> int:
        """T, or 1 where there is no time."""
        return int(self.x.shape[0]) if self.tokens or self.x.ndim == 3 else 1

    def map(self, function: Callable[[Any], Any]) -> Problem:
        """Apply `function` to every array of numbers; tokens stay as they are."""

        def one(leaf: Any) -> Any:
            return leaf if leaf.dtype.kind in "iu" else function(leaf)

        params, x, state_0, lengths, rng, d_y, d_state_T = self
        params, x, state_0, d_y, d_state_T = tree.map(one, (params, x, state_0, d_y, d_state_T))
        return Problem(params, x, state_0, lengths, rng, d_y, d_state_T)

    def rounded(self, dtype: str) -> Problem:
        """Return the same problem with every number rounded to `dtype`, in float64."""
        return self.map(lambda leaf: leaf.astype(dtype).astype(np.float64))


def check_layer(layer: Any) -> Layer:
    """Return `layer` if it is one."""
    if not isinstance(layer, Layer):
        msg = f"`layer` must be a layer or a Sequential of rnn_xp; got {type(layer).__name__}."
        raise TypeError(msg)
    return layer


def double(backend: str | Backend) -> Backend:
    """Return a backend, whatever its precision, in float64."""
    own = get_backend(backend)
    return replace(own, dtype=own.xp.float64, precision="float64")


def problem(
    layer: Layer,
    params: Tree | None,
    x: Any,
    state_0: Tree | None,
    lengths: Sequence[int] | None,
    rng: Rng | None,
    generator: np.random.Generator,
    *,
    noise: float = 0.0,
    start: bool = True,
) -> Problem:
    """Complete what is given by what is drawn: `noise` on drawn parameters, a state where there is to be one.

    Lengths are drawn with x.
    """
    rng = None if rng is None else key(rng)
    seed = int(generator.integers(2**31))
    if params is None:
        drawn = layer.init(NUMPY, seed)
        params = tree.map(lambda leaf: leaf + noise * generator.standard_normal(leaf.shape), drawn)
    params = host(params)
    if x is None:
        lengths = LENGTHS if lengths is None else _drawn(lengths)
        kind, size, _ = layer.intake
        shape = (max(lengths, default=STEPS), len(lengths))
        if kind == "tokens":
            x = generator.integers(size or FEATURES, size=shape)
        else:
            x = generator.standard_normal((*shape, size or FEATURES))
    x = host(np.asarray(x) if isinstance(x, list | tuple) else x)
    state_0 = None if state_0 is None else host(state_0)
    y, state_T, _ = layer.forward(params, x, state_0, lengths, rng)

    def normal(like: Tree) -> Tree:
        return tree.map(lambda leaf: generator.standard_normal(leaf.shape), like)

    if state_0 is None and start:
        state_0 = normal(state_T)
    ends = None if lengths is None else checks.lengths(lengths, len(lengths), x.shape[0])
    return Problem(params, x, state_0, ends, rng, normal(y), normal(state_T))


def _drawn(lengths: Any) -> tuple[int, ...]:
    """Return `lengths` of sequences that are to be drawn, as many as there are."""
    batch = len(lengths) if isinstance(lengths, list | tuple) else int(np.size(lengths))
    return checks.lengths(lengths, batch, LONGEST)


def host(value: Tree) -> Tree:
    """Return a tree of arrays, of whatever library, on the host: float64, and integers as they are."""

    def one(leaf: Any) -> Any:
        array = to_numpy(leaf)
        return array if array.dtype.kind in "iu" else array.astype(np.float64)

    return tree.map(one, value)
