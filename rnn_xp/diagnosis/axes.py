"""Axes that look exchanged: what is called time does not look like time, and another axis does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.diagnosis.case import Case
from rnn_xp.diagnosis.finding import Finding

SMOOTH = 0.5
"""Correlation of neighbours that stand in an order, as steps of most recordings do."""

ROUGH = 0.2
"""Correlation of neighbours that stand in none."""

ORDERED = 0.15
"""By how much neighbours must be more alike than what stands far apart: else all are alike, in any order."""

FURTHER = 8
"""Distances that are tried: what swings is alike again after a period."""

ROOM = 4
"""Least number of entries along an axis whose order can be seen."""


def check(case: Case) -> Iterator[Finding]:
    """Compare how smooth X is along each of its axes."""
    x = case.sample.x
    if x.ndim != 3:
        return
    T, _, C = x.shape
    if T == 1 and C >= ROOM:
        yield Finding(
            "axes",
            "Every sequence is a single step: the network never carries anything from one step to the next.",
            "the axes of X",
            f"T = 1 and C = {C}",
            "If those features are steps, exchange the two: X.swapaxes(1, 2), or another `layout`.",
        )
        return
    mask = case.sample.mask
    values = _standard(x, np.ones(x.shape[:2], bool) if mask is None else mask)
    time = _neighbours(values, 0)[0]
    if time > ROUGH or T < 2:
        return
    for axis, name, others in ((2, "features", "NTC and NCT"), (1, "sequences", "NTC and TNC")):
        near, far = _neighbours(values, axis)
        if near > SMOOTH and near - far > ORDERED:
            yield Finding(
                "axes",
                f"Neighbours in time have nothing to do with each other, and neighbouring {name} do: "
                f"time and {name} seem to be exchanged.",
                "the axes of X",
                f"correlation of neighbours: {time:.2f} along T = {T}, {near:.2f} along the {name}, "
                f"{x.shape[axis]} of them",
                f"Look at X.shape, and say the `layout` that it has ({others} exchange these two).",
            )


def _standard(x: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return x with mean 0 and variance 1 over the sequences, at each step and feature; NaN past the ends."""
    values = np.where(valid[:, :, np.newaxis], x.astype(np.float64), np.nan)
    there = np.maximum(valid.sum(axis=1), 1)[:, np.newaxis, np.newaxis]
    values -= np.nansum(values, axis=1, keepdims=True) / there
    deviation = np.sqrt(np.nansum(values * values, axis=1, keepdims=True) / there)
    return values / np.where(deviation > 0, deviation, 1)


def _neighbours(values: NDArray[np.float64], axis: int) -> tuple[float, float]:
    """Return the correlation of neighbours along an axis, and the least of what stands further apart."""
    size = values.shape[axis]
    if size < ROOM:
        return 0.0, 0.0

    def at(distance: int) -> float:
        product = np.take(values, range(size - distance), axis) * np.take(values, range(distance, size), axis)
        return float(np.nanmean(product)) if np.isfinite(product).any() else 0.0

    further = np.unique(np.linspace(2, max(2, size // 2), FURTHER).astype(int))
    return at(1), min(abs(at(int(distance))) for distance in further)
