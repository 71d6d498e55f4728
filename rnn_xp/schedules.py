"""Schedules: pure functions of the step, counted from 0, that return the factor of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rnn_xp import checks

Schedule: TypeAlias = Callable[[int], float]


def constant() -> Schedule:
    """Return 1 at every step.

    Examples
    --------
    >>> constant()(1000)
    1.0
    """
    return _Constant()


def step_decay(every: int, factor: float) -> Schedule:
    """Multiply by `factor` after every so many steps: ``factor ** (step // every)``.

    Examples
    --------
    >>> [step_decay(2, 0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return _StepDecay(checks.integer("every", every), checks.number("factor", factor, open_low=True))


def exponential(decay: float) -> Schedule:
    """Multiply by `decay` at each step: ``decay ** step``.

    Examples
    --------
    >>> [exponential(0.5)(step) for step in range(3)]
    [1.0, 0.5, 0.25]
    """
    return _StepDecay(1, checks.number("decay", decay, open_low=True))


def cosine(total: int, final: float = 0.0) -> Schedule:
    """Fall from 1 at step 0 to `final` at step `total`, along half a cosine, and stay there.

    Without restarts (Loshchilov and Hutter, "SGDR", ICLR 2017).

    Examples
    --------
    >>> [round(cosine(4)(step), 6) for step in (0, 2, 4, 9)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return _Cosine(checks.integer("total", total), checks.number("final", final))


def warmup(steps: int, then: Schedule) -> Schedule:
    """Rise in a straight line for so many steps, then follow `then`, whose step 0 comes after them.

    The first factor is 1 / (steps + 1), not 0: no step is wasted.

    Examples
    --------
    >>> [warmup(3, then=exponential(0.5))(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """
    if not callable(then):
        msg = f"`then` must be a schedule, such as constant(); got {then!r}."
        raise TypeError(msg)
    return _Warmup(checks.integer("steps", steps), then)


@dataclass(frozen=True)
class _Constant:
    def __call__(self, step: int) -> float:  # noqa: ARG002
        return 1.0


@dataclass(frozen=True)
class _StepDecay:
    every: int
    factor: float

    def __call__(self, step: int) -> float:
        return float(self.factor ** (step // self.every))


@dataclass(frozen=True)
class _Cosine:
    total: int
    final: float

    def __call__(self, step: int) -> float:
        done = min(step, self.total) / self.total
        return self.final + (1.0 - self.final) * (1.0 + math.cos(math.pi * done)) / 2.0


@dataclass(frozen=True)
class _Warmup:
    steps: int
    then: Schedule

    def __call__(self, step: int) -> float:
        return (step + 1) / (self.steps + 1) if step < self.steps else self.then(step - self.steps)
