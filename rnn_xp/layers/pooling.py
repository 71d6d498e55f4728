"""From the steps of a sequence to one vector."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from rnn_xp import checks
from rnn_xp.layers.base import Context, Layer, Signal
from rnn_xp.sequence import Valid
from rnn_xp.typing import Array, Namespace, Tree


@dataclass(frozen=True, repr=False)
class _Pooling(Layer):
    """A layer that takes (T, B, D) and gives (B, D); a sequence of length 0 gives 0."""

    pools = True

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Take steps, give a vector."""
        if signal is not None and signal.kind != "steps":
            msg = f"{self!r} takes steps; what comes in is {signal}."
            raise ValueError(msg)
        return self, Signal("vector", None if signal is None else signal.size)

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Raise unless x is (T, B, D) with at least one step."""
        checks.shape("x", x, "T, B, D", (None, None, None))
        if x.shape[0] == 0:
            msg = "`x` must have at least one step to pool; got T = 0."
            raise ValueError(msg)

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Array, Tree, Any]:
        """Pool; keep the shape of x, the padding and what the pooling needs."""
        y, kept = self.pool(x, context.valid, xp=context.xp)
        return y, (), (x.shape, context.valid, kept)

    def run_back(
        self, params: Tree, kept: Any, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Spread the gradient over the steps it came from."""
        shape, valid, chosen = kept
        return (), self.spread(d_y, shape, valid, chosen, xp=xp) if need_d_x else None, ()

    @abstractmethod
    def pool(self, x: Array, valid: Valid | None, *, xp: Namespace) -> tuple[Array, Any]:
        """Return y (B, D) and what `spread` needs."""

    @abstractmethod
    def spread(
        self, d_y: Array, shape: tuple[int, ...], valid: Valid | None, kept: Any, *, xp: Namespace
    ) -> Array:
        """Return d_x (T, B, D)."""


@dataclass(frozen=True, repr=False)
class LastStep(_Pooling):
    """The step at which a direction has read everything: the last valid one; the first one in reverse.

    Parameters
    ----------
    reverse_size : int
        How many of the last features run against time. In a `Sequential` it is read off the layer before.
    """

    reverse_size: int = 0

    def __post_init__(self) -> None:
        """Check the argument."""
        object.__setattr__(self, "reverse_size", checks.integer("reverse_size", self.reverse_size, 0))

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """Whether nothing runs against time."""
        return self.reverse_size == 0

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Raise, too, where x has fewer features than run against time."""
        super().check(params, x, xp=xp)
        if x.shape[2] < self.reverse_size:
            msg = f"`x` must have at least reverse_size = {self.reverse_size} features; got {x.shape[2]}."
            raise ValueError(msg)

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Note which features run against time."""
        _, out = super().connect(signal)
        return self if signal is None else replace(self, reverse_size=signal.reverse), out

    def pool(self, x: Array, valid: Valid | None, *, xp: Namespace) -> tuple[Array, Any]:
        """Choose one step for each half."""
        forward = x.shape[2] - self.reverse_size
        ends = (None, None) if valid is None else _ends(valid, xp=xp)
        halves = [
            x[t, :, half] if end is None else xp.sum(xp.where(end, x[:, :, half], _zero(x, xp=xp)), axis=0)
            for t, half, end in (
                (x.shape[0] - 1, slice(0, forward), ends[1]),
                (0, slice(forward, x.shape[2]), ends[0]),
            )
        ]
        y = xp.concat(halves, axis=1) if self.reverse_size else xp.asarray(halves[0], copy=True)
        return y, ends

    def spread(
        self, d_y: Array, shape: tuple[int, ...], valid: Valid | None, kept: Any, *, xp: Namespace
    ) -> Array:
        """Put each half's gradient at its step."""
        forward, (first, last) = shape[2] - self.reverse_size, kept
        d_x: Array = xp.zeros(shape, dtype=d_y.dtype, device=d_y.device)
        for t, half, end in (
            (shape[0] - 1, slice(0, forward), last),
            (0, slice(forward, shape[2]), first),
        ):
            if end is None:
                d_x[t, :, half] = d_y[:, half]
            else:
                d_x[:, :, half] = xp.where(end, d_y[None, :, half], _zero(d_y, xp=xp))
        return d_x


@dataclass(frozen=True, repr=False)
class MeanPool(_Pooling):
    """The mean over the valid steps."""

    def pool(self, x: Array, valid: Valid | None, *, xp: Namespace) -> tuple[Array, Any]:
        """Sum, and divide by the number of valid steps."""
        if valid is None:
            return xp.mean(x, axis=0), 1.0 / x.shape[0]
        count = xp.sum(xp.astype(valid.mask, x.dtype), axis=0)[:, None]
        scale = 1.0 / xp.maximum(count, xp.ones_like(count))
        return xp.sum(xp.where(valid.mask[:, :, None], x, _zero(x, xp=xp)), axis=0) * scale, scale

    def spread(
        self, d_y: Array, shape: tuple[int, ...], valid: Valid | None, kept: Any, *, xp: Namespace
    ) -> Array:
        """Give every valid step its share."""
        share = (d_y * kept)[None, :, :]
        if valid is None:
            spread: Array = share + xp.zeros(shape, dtype=d_y.dtype, device=d_y.device)
        else:
            spread = xp.where(valid.mask[:, :, None], share, _zero(d_y, xp=xp))
        return spread


@dataclass(frozen=True, repr=False)
class MaxPool(_Pooling):
    """The largest value over the valid steps; of equal ones, the first has the gradient."""

    def pool(self, x: Array, valid: Valid | None, *, xp: Namespace) -> tuple[Array, Any]:
        """Find the step of the largest value of every feature."""
        if valid is not None:
            low = xp.full((), -xp.inf, dtype=x.dtype, device=x.device)
            x = xp.where(valid.mask[:, :, None], x, low)
        times = xp.arange(x.shape[0], dtype=xp.int64, device=x.device)[:, None, None]
        chosen = times == xp.argmax(x, axis=0)[None, :, :]
        if valid is not None:
            chosen = chosen & valid.mask[:, :, None]
        return xp.sum(xp.where(chosen, x, _zero(x, xp=xp)), axis=0), chosen

    def spread(
        self, d_y: Array, shape: tuple[int, ...], valid: Valid | None, kept: Any, *, xp: Namespace
    ) -> Array:
        """Put the gradient where the value came from."""
        spread: Array = xp.where(kept, d_y[None, :, :], _zero(d_y, xp=xp))
        return spread


def _zero(like: Array, *, xp: Namespace) -> Array:
    """Return a 0-d zero beside `like`."""
    zero: Array = xp.zeros((), dtype=like.dtype, device=like.device)
    return zero


def _ends(valid: Valid, *, xp: Namespace) -> tuple[Array, Array]:
    """Return (T, B, 1), True at the first valid step of every sequence; and at the last."""
    count = xp.cumulative_sum(xp.astype(valid.mask, xp.int64), axis=0)
    steps = count.shape[0]
    first, last = valid.mask & (count == 1), valid.mask & (count == count[steps - 1 :, :])
    return first[:, :, None], last[:, :, None]
