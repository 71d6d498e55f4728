"""Optimisers: pure functions over trees of arrays, with PyTorch's semantics.

Nothing here asks the device for a value, and no argument is modified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from rnn_xp import checks, tree
from rnn_xp.typing import Array, Namespace, Tree


class Optimizer(Protocol):
    """What the training loop asks of an optimiser."""

    @property
    def lr(self) -> float:
        """The learning rate, before any schedule."""

    def init(self, params: Tree, *, xp: Namespace) -> Any:
        """Return the state before the first step."""

    def update(
        self, params: Tree, grads: Tree, state: Any, lr: float | None = None, *, xp: Namespace
    ) -> tuple[Tree, Any]:
        """Return the parameters and the state after one step."""


class SGDState(NamedTuple):
    """The velocity, a tree like the parameters'; None without momentum."""

    velocity: Tree


class RMSpropState(NamedTuple):
    """The mean square of the gradients and the velocity, as in SGDState."""

    square: Tree
    velocity: Tree


class AdamState(NamedTuple):
    """The mean and the mean square of the gradients, and the number of steps, which the host counts."""

    mean: Tree
    square: Tree
    steps: int


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum as in Sutskever et al., ICML 2013, in PyTorch's form.

    Parameters
    ----------
    lr
        The learning rate.
    momentum
        The share of the velocity that each step keeps, in [0, 1): v = momentum * v + g is the direction.
    nesterov
        Whether the direction is g + momentum * v instead.
    weight_decay
        The factor of the parameters that is added to the gradients.

    Raises
    ------
    ValueError, TypeError
        Where an option is out of its range or no number, or `nesterov` comes without momentum.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = SGD(lr=0.5)
    >>> params, grads = {"w": np.array([1.0, 2.0])}, {"w": np.array([2.0, -2.0])}
    >>> optimizer.update(params, grads, optimizer.init(params, xp=np), xp=np)[0]
    {'w': array([0., 3.])}
    """

    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_options(self)
        checks.one_of("nesterov", self.nesterov, (False, True))
        if self.nesterov and self.momentum == 0:
            msg = "`momentum` must be > 0 where `nesterov` is True; got 0. Give momentum=0.9, say."
            raise ValueError(msg)

    def init(self, params: Tree, *, xp: Namespace) -> SGDState:
        """Return the state before the first step."""
        return SGDState(tree.map(xp.zeros_like, params) if self.momentum else None)

    def update(
        self,
        params: Tree,
        grads: Tree,
        state: SGDState,
        lr: float | None = None,
        *,
        xp: Namespace,  # noqa: ARG002
    ) -> tuple[Tree, SGDState]:
        """Return the parameters and the state after one step, of rate `lr` where it is given."""
        rate = _rate(self, lr)
        grads = _decayed(grads, params, self.weight_decay)
        if not self.momentum:
            return tree.map(lambda p, g: p - rate * g, params, grads), state
        velocity = tree.map(lambda v, g: _plus(v * self.momentum, g), state.velocity, grads)
        direction = velocity
        if self.nesterov:
            direction = tree.map(lambda v, g: _plus(v * self.momentum, g), velocity, grads)
        return tree.map(lambda p, v: _plus(v * -rate, p), params, direction), SGDState(velocity)


@dataclass(frozen=True)
class RMSprop:
    """Gradient divided by its running root mean square (Tieleman and Hinton, Coursera lecture 6.5, 2012).

    Parameters
    ----------
    lr
        The learning rate.
    alpha
        The decay of the mean square, in [0, 1).
    eps
        What is added to the root.
    momentum, weight_decay
        As in `SGD`; so is what is raised.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = RMSprop(lr=0.1, alpha=0.75)
    >>> params, grads = np.array([1.0, 2.0]), np.array([2.0, -2.0])
    >>> optimizer.update(params, grads, optimizer.init(params, xp=np), xp=np)[0].round(6)
    array([0.8, 2.2])
    """

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_options(self)

    def init(self, params: Tree, *, xp: Namespace) -> RMSpropState:
        """Return the state before the first step."""
        velocity = tree.map(xp.zeros_like, params) if self.momentum else None
        return RMSpropState(tree.map(xp.zeros_like, params), velocity)

    def update(
        self, params: Tree, grads: Tree, state: RMSpropState, lr: float | None = None, *, xp: Namespace
    ) -> tuple[Tree, RMSpropState]:
        """Return the parameters and the state after one step, of rate `lr` where it is given."""
        rate = _rate(self, lr)
        grads = _decayed(grads, params, self.weight_decay)
        square = tree.map(lambda s, g: _mean_square(s, g, self.alpha), state.square, grads)
        velocity = tree.map(lambda s, g: g / _plus(xp.sqrt(s), self.eps), square, grads)
        if not self.momentum:
            return tree.map(lambda p, v: _plus(v * -rate, p), params, velocity), RMSpropState(square, None)
        velocity = tree.map(lambda old, v: _plus(v, old * self.momentum), state.velocity, velocity)
        return tree.map(lambda p, v: _plus(v * -rate, p), params, velocity), RMSpropState(square, velocity)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, ICLR 2015).

    Parameters
    ----------
    lr
        The learning rate.
    beta1, beta2
        The decays of the mean and of the mean square of the gradients, in [0, 1).
    eps
        What is added to the root of the corrected mean square.
    weight_decay
        As in `SGD`, and so is what is raised; `AdamW` shrinks the parameters instead.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = Adam(lr=0.1)
    >>> params, grads = np.array([1.0, 2.0]), np.array([5.0, -0.2])
    >>> params, state = optimizer.update(params, grads, optimizer.init(params, xp=np), xp=np)
    >>> params.round(6), state.steps
    (array([0.9, 2.1]), 1)
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_options(self)

    def init(self, params: Tree, *, xp: Namespace) -> AdamState:
        """Return the state before the first step."""
        return AdamState(tree.map(xp.zeros_like, params), tree.map(xp.zeros_like, params), 0)

    def update(
        self, params: Tree, grads: Tree, state: AdamState, lr: float | None = None, *, xp: Namespace
    ) -> tuple[Tree, AdamState]:
        """Return the parameters and the state after one step, of rate `lr` where it is given."""
        grads = _decayed(grads, params, self.weight_decay)
        return self._step(params, grads, state, _rate(self, lr), xp)

    def _step(
        self, params: Tree, grads: Tree, state: AdamState, rate: float, xp: Namespace
    ) -> tuple[Tree, AdamState]:
        """Take the step without weight decay; the corrections undo the zeros that the means began with."""
        steps = state.steps + 1
        mean = tree.map(lambda m, g: _plus(m * self.beta1, g * (1.0 - self.beta1)), state.mean, grads)
        square = tree.map(lambda s, g: _mean_square(s, g, self.beta2), state.square, grads)
        rate /= 1.0 - self.beta1**steps
        root_correction = math.sqrt(1.0 - self.beta2**steps)

        def moved(p: Array, m: Array, s: Array) -> Array:
            root = xp.sqrt(s)
            root /= root_correction
            root += self.eps
            step = m / root
            step *= -rate
            return _plus(step, p)

        return tree.map(moved, params, mean, square), AdamState(mean, square, steps)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).

    Parameters
    ----------
    lr, beta1, beta2, eps
        As in `Adam`.
    weight_decay
        The parameters are multiplied by 1 - lr * weight_decay before each step.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = AdamW(lr=0.1, weight_decay=0.5)
    >>> params, grads = np.array([1.0, 2.0]), np.array([0.0, 0.0])
    >>> optimizer.update(params, grads, optimizer.init(params, xp=np), xp=np)[0]
    array([0.95, 1.9 ])
    """

    weight_decay: float = 1e-2

    def update(
        self, params: Tree, grads: Tree, state: AdamState, lr: float | None = None, *, xp: Namespace
    ) -> tuple[Tree, AdamState]:
        """Return the parameters and the state after one step, of rate `lr` where it is given."""
        rate = _rate(self, lr)
        shrunk = tree.map(lambda p: p * (1.0 - rate * self.weight_decay), params)
        return self._step(shrunk, grads, state, rate, xp)


def _check_options(optimizer: Any) -> None:
    """Turn the options into Python floats, which promote no dtype, each within its range."""
    for name in ("lr", "weight_decay", "momentum", "alpha", "beta1", "beta2", "eps"):
        if hasattr(optimizer, name):
            high = math.inf if name in ("lr", "weight_decay", "eps") else 1.0
            value = checks.number(name, getattr(optimizer, name), 0.0, high, open_low=name == "eps")
            object.__setattr__(optimizer, name, value)


def _rate(optimizer: Optimizer, lr: float | None) -> float:
    return optimizer.lr if lr is None else checks.number("lr", lr)


def _plus(own: Array, other: Array | float) -> Array:
    """Add to an array that nobody else holds."""
    own += other
    return own


def _decayed(grads: Tree, params: Tree, weight_decay: float) -> Tree:
    """Add the gradient of weight_decay / 2 * |params|**2."""
    return tree.map(lambda g, p: _plus(p * weight_decay, g), grads, params) if weight_decay else grads


def _mean_square(old: Array, g: Array, decay: float) -> Array:
    """Return the running mean of g**2, a fresh array."""
    square = g * g
    square *= 1.0 - decay
    return _plus(square, old * decay)
