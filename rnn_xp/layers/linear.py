"""The affine map and the embedding: the ways out of and into features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rnn_xp import checks, functional
from rnn_xp.initializers import Spec
from rnn_xp.layers.base import Context, Layer, Signal
from rnn_xp.typing import Array, Namespace, Tree

ROWS = 4096
"""Tokens whose one-hot rows stand in memory at once."""


class LinearParams(NamedTuple):
    """weight (out, in), and bias (out,) or None."""

    weight: Array
    bias: Array | None


@dataclass(frozen=True, repr=False)
class Linear(Layer):
    """y = x W' + b, at every step (T, B, in) or on vectors (B, in).

    Examples
    --------
    >>> import rnn_xp as rx
    >>> backend = rx.get_backend("numpy", dtype="float64")
    >>> layer = rx.Linear(2, 1, bias=False)
    >>> params = rx.layers.LinearParams(backend.asarray([[3.0, 4.0]]), None)
    >>> layer.forward(params, backend.asarray([[1.0, 1.0]]))[0]
    array([[7.]])
    """

    input_size: int
    output_size: int
    bias: bool = True
    causal = True

    def __post_init__(self) -> None:
        """Check every argument."""
        for name in ("input_size", "output_size"):
            object.__setattr__(self, name, checks.integer(name, getattr(self, name)))
        object.__setattr__(self, "bias", bool(checks.one_of("bias", self.bias, (True, False))))

    @property
    def intake(self) -> Signal:
        """Steps, or a vector, of `input_size` features."""
        return Signal("steps", self.input_size)

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Take features, and give as many as `output_size`."""
        if signal is None:
            return self, Signal("steps", self.output_size)
        if signal.kind == "tokens" or signal.size not in (None, self.input_size):
            msg = f"{self!r} takes {self.input_size} features; what comes in is {signal}."
            raise ValueError(msg)
        return self, Signal(signal.kind, self.output_size)

    def spec(self) -> Tree:
        """Return the shapes of weight and bias."""
        weight: Any = Spec((self.output_size, self.input_size), "weight", self.input_size)
        bias: Any = Spec((self.output_size,), "bias", self.input_size) if self.bias else None
        return LinearParams(weight, bias)

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Raise unless x is (T, B, in) or (B, in)."""
        lead, letters = ((None, None), "T, B, D") if x.ndim == 3 else ((None,), "B, D")
        checks.shape("x", x, letters, (*lead, self.input_size))
        self.check_dtype("x", params, x)

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Array, Tree, Any]:
        """Multiply; keep x."""
        y = _product(x, params.weight.T, xp=context.xp)
        return y if params.bias is None else y + params.bias, (), x

    def run_back(
        self, params: Tree, kept: Array, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Sum over all steps and samples."""
        rows, x = d_y, kept
        if d_y.ndim == 3:
            rows = xp.reshape(d_y, (_count(d_y), self.output_size))
            x = xp.reshape(kept, (_count(kept), self.input_size))
        d_bias = None
        if params.bias is not None:
            d_bias = _total(rows, xp=xp)
        d_x = _product(d_y, params.weight, xp=xp) if need_d_x else None
        return LinearParams(rows.T @ x, d_bias), d_x, ()


class EmbeddingParams(NamedTuple):
    """weight (V, D)."""

    weight: Array


@dataclass(frozen=True, repr=False)
class Embedding(Layer):
    """Rows of a table (V, D) chosen by tokens (T, B) in 0..V-1.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> backend = rx.get_backend("numpy")
    >>> layer = rx.Embedding(10, 4)
    >>> layer.forward(layer.init(backend), backend.asarray([[1, 2, 3]]))[0].shape
    (1, 3, 4)
    """

    num_tokens: int
    size: int
    causal = True

    def __post_init__(self) -> None:
        """Check every argument."""
        for name in ("num_tokens", "size"):
            object.__setattr__(self, name, checks.integer(name, getattr(self, name)))

    @property
    def intake(self) -> Signal:
        """Tokens."""
        return Signal("tokens", self.num_tokens)

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Take tokens."""
        if signal is not None and signal.kind != "tokens":
            msg = f"{self!r} takes tokens, so it must come first; what comes in is {signal}."
            raise ValueError(msg)
        return self, Signal("steps", self.size)

    def spec(self) -> Tree:
        """Return the shape of the table."""
        weight: Any = Spec((self.num_tokens, self.size), "embedding", self.num_tokens)
        return EmbeddingParams(weight)

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Raise unless x is (T, B) integers in range; it looks at the values, so it waits for the device."""
        checks.shape("x", x, "T, B", (None, None))
        if "int" not in str(x.dtype):
            msg = f"`x` must hold integer tokens; got dtype {x.dtype}."
            raise TypeError(msg)
        if x.shape[0] * x.shape[1]:
            low, high = int(xp.min(x)), int(xp.max(x))
            if low < 0 or high >= self.num_tokens:
                msg = f"`x` must hold tokens in 0..V-1 with V = {self.num_tokens}; got {low}..{high}."
                raise ValueError(msg)

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Array, Tree, Any]:
        """Take the rows; keep x."""
        xp = context.xp
        rows = xp.take(params.weight, xp.reshape(x, (_count(x) * x.shape[-1],)), axis=0)
        return xp.reshape(rows, (*x.shape, self.size)), (), x

    def run_back(
        self, params: Tree, kept: Array, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Add up every row's gradients by products with one-hot rows: no atomics, so always the same sum."""
        tokens = xp.reshape(kept, (kept.shape[0] * kept.shape[1],))
        rows = xp.reshape(d_y, (tokens.shape[0], self.size))
        total = xp.zeros_like(params.weight)
        for start in range(0, tokens.shape[0], ROWS):
            part = slice(start, min(start + ROWS, tokens.shape[0]))
            hot = xp.astype(functional.one_hot(tokens[part], self.num_tokens, xp=xp), rows.dtype)
            total = total + hot.T @ rows[part, :]
        return EmbeddingParams(total), None, ()


def _count(x: Array) -> int:
    """Return how many rows x has when its last axis stays."""
    count = 1
    for size in x.shape[:-1]:
        count *= size
    return count


def _product(x: Array, matrix: Array, *, xp: Namespace) -> Array:
    """Return x @ matrix as one product of all rows, where libraries would make one for each step."""
    if x.ndim == 2:
        return x @ matrix
    rows: Array = xp.reshape(x, (_count(x), x.shape[-1])) @ matrix
    return xp.reshape(rows, (*x.shape[:-1], matrix.shape[1]))  # type: ignore[no-any-return]


def _total(rows: Array, *, xp: Namespace) -> Array:
    """Return the sum over the rows, as a product with ones; of a single row, a copy."""
    if rows.shape[0] == 1:
        return xp.asarray(rows[0, :], copy=True)  # type: ignore[no-any-return]
    total: Array = xp.ones((rows.shape[0],), dtype=rows.dtype, device=rows.device) @ rows
    return total
