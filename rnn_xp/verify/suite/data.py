"""What the properties are about: what goes into a network, what comes out, and how far two answers are apart.

The batch is the axis before the last one in every array: x, y, each part of the state, d_x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_xp.verify.adapters.protocol import Host


class Case(NamedTuple):
    """What goes in: x (T, B, D), and the lengths and the initial state where they are part of it."""

    name: str
    x: Host
    lengths: tuple[int, ...] | None = None
    state_0: tuple[Host, ...] | None = None

    @property
    def ends(self) -> tuple[int, ...]:
        """The steps of every sample."""
        return (self.x.shape[0],) * self.x.shape[1] if self.lengths is None else self.lengths

    @property
    def valid(self) -> Host:
        """Which steps belong to their sequences, (T, B, 1)."""
        mask: Host = np.arange(self.x.shape[0])[:, None] < np.array(self.ends, dtype=int)
        return mask[:, :, None]

    def each(self, change: Callable[[Host], Host]) -> Case:
        """Return the case with x and the parts of the state as `change` makes them."""
        state_0 = None if self.state_0 is None else tuple(map(change, self.state_0))
        return self._replace(x=change(self.x), state_0=state_0)

    def take(self, samples: Sequence[int]) -> Case:
        """Return the case of these samples, in this order."""
        lengths = None if self.lengths is None else tuple(self.lengths[b] for b in samples)
        return self._replace(lengths=lengths).each(lambda ours: rows(ours, samples))

    def with_sample(self, b: int, number: Callable[..., Host]) -> Case:
        """Return the case with another sample b: its x, and its state, as `number(*shape)` gives them."""

        def changed(ours: Host) -> Host:
            ours = ours.copy()
            ours[..., b, :] = number(*ours[..., b, :].shape)
            return ours

        return self.each(changed)

    def with_step(self, t: int, step: Host) -> Case:
        """Return the case with another x at step t."""
        x = self.x.copy()
        x[t] = step
        return self._replace(x=x)

    def with_padding(self, padding: Host | float) -> Case:
        """Return the case with other numbers past the lengths."""
        with np.errstate(over="ignore"):  # 1e30 is inf in half precision
            return self._replace(x=np.where(self.valid, self.x, padding).astype(self.x.dtype))


class Answer(NamedTuple):
    """What came out: y, 0 in its padding, and the parts of the last state, as far as they are told."""

    y: Host
    state: tuple[Host, ...] = ()

    def take(self, samples: Sequence[int]) -> Answer:
        """Return the answer of these samples, in this order."""
        return Answer(rows(self.y, samples), tuple(rows(part, samples) for part in self.state))

    def until(self, t: int) -> Answer:
        """Return the answer with the first t steps only, where y has steps."""
        return self._replace(y=self.y[:t]) if self.y.ndim == 3 else self


class Gap(NamedTuple):
    """How far apart two answers are where they are farthest."""

    value: float
    where: str

    def noted(self, words: str) -> Gap:
        """Return the gap with what it means."""
        return self._replace(where=f"{words}: {self.where}")


def distance(ours: Host, theirs: Host, scale: float, name: str) -> Gap:
    """Return the largest difference of two arrays, relative to `scale`; a NaN is larger than all else."""
    if ours.shape != theirs.shape:
        return Gap(np.inf, f"{name} has shape {ours.shape} and {theirs.shape}")
    if not ours.size:
        return Gap(0.0, name)
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours.astype(np.float64) - theirs) / scale
    place = np.unravel_index(np.argmax(apart), apart.shape)
    return Gap(float(apart[place]), f"{name}[{', '.join(map(str, place))}]")


def worst(gaps: Iterable[Gap]) -> Gap:
    """Return the largest of some gaps; a NaN is larger than all else."""
    return max(gaps, key=lambda gap: np.inf if np.isnan(gap.value) else gap.value)


def largest(array: Host) -> float:
    """Return the largest absolute value, or 1 where there is none but 0: what differences are relative to."""
    return float(np.max(np.abs(array), initial=0.0)) or 1.0


def rows(array: Host, samples: Sequence[int]) -> Host:
    """Return some samples of an array."""
    return np.take(array, list(samples), axis=-2)


def flipped(x: Host, ends: Sequence[int]) -> Host:
    """Return every sample of x (T, B, D) against time, with its padding where it was."""
    result = x.copy()
    for b, end in enumerate(ends):
        result[:end, b] = x[:end, b][::-1]
    return result


def check_y(y: Any, x: Host) -> None:
    """Raise unless y is floating, and (T, B, K) or (B, K) beside x (T, B, D)."""
    T, B = x.shape[:2]
    shape = tuple(getattr(y, "shape", ()))
    if not (shape[:2] == (T, B) if len(shape) == 3 else len(shape) == 2 and shape[0] == B):
        hint = 'If y is (B, T, K), the layout is "NTC".'
        msg = f"`forward` must return y (T, B, K) or (B, K) with T = {T} and B = {B}; got {shape}. {hint}"
        raise ValueError(msg)
    if not np.issubdtype(y.dtype, np.floating):
        msg = f"`forward` must return floating numbers, such as class scores; got {y.dtype}."
        raise TypeError(msg)
