"""Pointwise functions and losses from logits; every ``*_forward`` stands beside its ``*_backward``.

The losses share one shape rule. `y` (..., K) are the outputs of the model, and the loss of a step is the mean
over its K components; what is returned, (...), has a loss for each step, for the caller to weight and sum.
"""

from __future__ import annotations

from rnn_xp.typing import Array, Namespace


def sigmoid(x: Array, *, xp: Namespace) -> Array:
    """Return 1 / (1 + exp(-x)), written with tanh so that it neither overflows nor changes the dtype.

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid(np.asarray([0.0, 1000.0]), xp=np)
    array([0.5, 1. ])
    """
    y: Array = 0.5 * xp.tanh(0.5 * x) + 0.5
    return y


def softmax(x: Array, *, xp: Namespace) -> Array:
    """Return exp(x) / sum(exp(x)) over the last axis.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.asarray([1000.0, 1000.0]), xp=np)
    array([0.5, 0.5])
    """
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    p: Array = e / xp.sum(e, axis=-1, keepdims=True)
    return p


def one_hot(index: Array, size: int, *, xp: Namespace) -> Array:
    """Return (..., size), True at `index` (...) of the last axis."""
    hot: Array = index[..., None] == xp.arange(size, dtype=index.dtype, device=index.device)
    return hot


def cross_entropy_forward(y: Array, target: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return -log softmax(y)[target] (...) and the probabilities (..., K); target (...) holds 0..K-1."""
    shifted = y - xp.max(y, axis=-1, keepdims=True)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=-1, keepdims=True)
    # not a product: the logits of the other classes may be -inf
    hot = one_hot(target, y.shape[-1], xp=xp)
    chosen = xp.sum(xp.where(hot, shifted, xp.zeros((), dtype=y.dtype, device=y.device)), axis=-1)
    return xp.log(total[..., 0]) - chosen, e / total


def cross_entropy_backward(d_loss: Array, p: Array, target: Array, *, xp: Namespace) -> Array:
    """Return d_y (..., K) from d_loss (...) and what forward kept."""
    hot: Array = xp.astype(one_hot(target, p.shape[-1], xp=xp), p.dtype)
    return d_loss[..., None] * (p - hot)


def binary_cross_entropy_forward(y: Array, target: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the mean over K of -target log p - (1 - target) log(1 - p), p = sigmoid(y); target (..., K)."""
    # log(exp(0) + exp(y)) - y * target
    return _mean(xp.logaddexp(0.0 * y, y) - y * target, xp=xp), y


def binary_cross_entropy_backward(d_loss: Array, y: Array, target: Array, *, xp: Namespace) -> Array:
    """Return d_y (..., K)."""
    return _spread(d_loss, y) * (sigmoid(y, xp=xp) - target)


def squared_error_forward(y: Array, target: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the mean over K of (y - target)^2, and y - target; target (..., K)."""
    e = y - target
    return _mean(e * e, xp=xp), e


def squared_error_backward(d_loss: Array, e: Array, target: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return d_y (..., K)."""
    return _spread(2.0 * d_loss, e) * e


def huber_forward(y: Array, target: Array, *, xp: Namespace) -> tuple[Array, Array]:
    """Return the mean over K of e^2 / 2 where |e| <= 1, |e| - 1/2 beyond (Huber 1964), e = y - target."""
    e = y - target
    inner = xp.minimum(xp.abs(e), xp.ones_like(e))
    return _mean(inner * (xp.abs(e) - 0.5 * inner), xp=xp), e


def huber_backward(d_loss: Array, e: Array, target: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return d_y (..., K)."""
    one = xp.ones_like(e)
    slope: Array = xp.minimum(xp.maximum(e, -one), one)
    return _spread(d_loss, e) * slope


def _mean(losses: Array, *, xp: Namespace) -> Array:
    """Return the mean over the last axis; of a single component, itself."""
    mean: Array = losses[..., 0] if losses.shape[-1] == 1 else xp.mean(losses, axis=-1)
    return mean


def _spread(d_mean: Array, y: Array) -> Array:
    """Return the derivative of `_mean` by each of the components of y, (..., 1)."""
    K = y.shape[-1]
    return (d_mean if K == 1 else d_mean / K)[..., None]
