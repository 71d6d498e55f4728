"""Dropout (Srivastava et al. 2014), with the mean kept; variational as Gal and Ghahramani (2016) have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnn_xp import checks
from rnn_xp.layers.base import Context, Layer, Signal
from rnn_xp.random import keep_mask
from rnn_xp.typing import Array, Namespace, Tree


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Drop features of steps (T, B, D) or vectors (B, D) at `rate` while training, and scale the rest.

    Parameters
    ----------
    rate : float
        In [0, 1).
    variational : bool
        Whether a sequence has the same features dropped at all of its steps.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> layer = rx.Dropout(0.5, variational=True)
    >>> x = rx.get_backend("numpy").asarray([[[1.0] * 6]] * 2)
    >>> layer.forward((), x, rng=rx.Rng(seed=0, step=0))[0].tolist()
    [[[0.0, 2.0, 2.0, 2.0, 2.0, 0.0]], [[0.0, 2.0, 2.0, 2.0, 2.0, 0.0]]]
    """

    rate: float
    variational: bool = False
    streams = 1
    causal = True

    def __post_init__(self) -> None:
        """Check the arguments."""
        object.__setattr__(self, "rate", checks.number("rate", self.rate, high=1.0))
        same = bool(checks.one_of("variational", self.variational, (True, False)))
        object.__setattr__(self, "variational", same)

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Give what comes in."""
        if signal is not None and signal.kind == "tokens":
            msg = f"{self!r} takes features; what comes in is tokens."
            raise ValueError(msg)
        return self, Signal("steps", None) if signal is None else signal

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Raise unless x is (T, B, D) or (B, D)."""
        if x.ndim != 2:
            checks.shape("x", x, "T, B, D", (None, None, None))

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Array, Tree, Any]:
        """Drop; keep the mask."""
        xp, rng, valid = context.xp, context.rng, context.valid
        if rng is None or not self.rate:
            return xp.asarray(x, copy=True), (), None
        T, B, N = x.shape if x.ndim == 3 else (1, *x.shape)
        times = None if valid is None or x.ndim == 2 else valid.times
        keep = keep_mask(
            rng, self.rate, (T, N, B), times=times, same=self.variational, device=x.device, xp=xp
        )
        mask = xp.permute_dims(keep, (0, 2, 1))
        mask = mask if x.ndim == 3 else mask[0, ...]
        return drop(x, mask, self.rate, xp=xp), (), mask

    def run_back(
        self, params: Tree, kept: Any, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Drop the same places of the gradient."""
        mask = kept
        if not need_d_x:
            return (), None, ()
        return (), xp.asarray(d_y, copy=True) if mask is None else drop(d_y, mask, self.rate, xp=xp), ()


def drop(x: Array, mask: Array, rate: float, *, xp: Namespace) -> Array:
    """Return x / (1 - rate) where mask, and 0 elsewhere: its own derivative."""
    dropped: Array = xp.where(mask, x * (1.0 / (1.0 - rate)), xp.zeros((), dtype=x.dtype, device=x.device))
    return dropped
