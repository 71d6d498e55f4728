"""Units that do nothing: gates at their bounds, units that never move, units that are all alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnn_xp.diagnosis.case import Case
from rnn_xp.diagnosis.finding import Finding
from rnn_xp.probe import Level

NEAR = 0.02
"""Of the way between its bounds: that near to one, an activation has a tenth of its slope at best.

The pictures of `rx.plot.gates` take 0.1, as the literature does to compare gates; there a sigmoid has a third
of its slope, which is no fault.
"""

SATURATED = 0.9
"""Of the values of a gate: nearly all pass nothing back, whatever was learnt."""

SATURATED_FAILING = 0.6
"""The same in a network that has learnt nothing: in one that has learnt well this is no fault."""

STILL = 1e-4
"""Of the scale of a unit's values: it moves less over all steps and sequences than this."""

DEAD = 0.5
"""Of the units of a level: so many that do nothing are missed."""

ALIKE = 1e-2
"""Of the largest weight: units that differ by less are one unit."""


def check(case: Case) -> Iterator[Finding]:
    """Look at every level."""
    for level in case.levels:
        yield from _alike(level) or _saturated(level, case.fails) or _dead(level)


def _alike(level: Level) -> list[Finding]:
    """Look for units that all read the same."""
    H = level.layer.hidden_size
    weight_ih = np.asarray(level.params.weight_ih)
    weights = weight_ih.reshape(-1, H, weight_ih.shape[1])
    differ = float(np.ptp(weights, axis=1).max())
    if H == 1 or differ > ALIKE * float(np.abs(weights).max()):
        return []
    return [
        Finding(
            "symmetric",
            "All units are one unit: they began alike, and what is alike has like gradients.",
            level.name,
            f"the rows of weight_ih of its {H} units differ by {differ:.2g} at most",
            'Draw weights at random: init="pytorch", "glorot" or "orthogonal"; only biases may begin alike.',
        )
    ]


def _dead(level: Level) -> list[Finding]:
    """Look for units that never move."""
    dead = still(level)
    if dead.mean() < DEAD:
        return []
    off = float((_values(level, "h")[:, dead] == 0).mean())
    what = "Units are never on: a relu that is below 0 on every step passes no gradient, and stays so."
    if off < 1:
        what = "Units hold one value on all steps of all sequences."
    return [
        Finding(
            "dead",
            what,
            level.name,
            f"{int(dead.sum())} of {len(dead)} units never move",
            "Begin anew with a lower learning rate, `clip_norm`, and biases that begin at 0; look at the "
            "scale of the features.",
        )
    ]


def _saturated(level: Level, fails: bool) -> list[Finding]:
    """Look for the gate that is at its bounds the most."""
    name, share = most(level)
    if share < (SATURATED_FAILING if fails else SATURATED):
        return []
    others = ", ".join(f"{each} {value:.0%}" for each, value in saturation(level).items())
    scale = float(np.sqrt(np.mean(np.asarray(level.params.weight_hh, dtype=np.float64) ** 2)))
    return [
        Finding(
            "saturated",
            "Gates or units stand at their bounds, where hardly any gradient passes.",
            f"{level.name}, {name}",
            f"share of values within {NEAR:.0%} of a bound: {others}; recurrent weights of {scale:.2g}",
            "Begin with smaller weights (the default init) or biases, lower the learning rate, scale the "
            "features; weight decay (AdamW) or layer_norm=True keep it from coming back.",
        )
    ]


def saturation(level: Level) -> dict[str, float]:
    """Return of each gate, and unit, with bounds the share of its values that are at one."""
    shares = {}
    for name, (low, high) in level.bounds.items():
        if name == "tanh_c":
            continue
        values = _values(level, name)
        shares[name] = float(np.mean(np.minimum(values - low, high - values) < NEAR * (high - low)))
    return shares


def most(level: Level) -> tuple[str, float]:
    """Return the gate that is at a bound the most, and that share; none where nothing has bounds."""
    return max(saturation(level).items(), key=lambda item: item[1], default=("", 0.0))


def still(level: Level) -> NDArray[np.bool_]:
    """Return which units (H or P,) never move."""
    h = _values(level, "h")
    moved: NDArray[np.float64] = np.ptp(h, axis=0)
    return moved <= STILL * min(float(np.abs(h).max()), 1.0)


def _values(level: Level, name: str) -> NDArray[np.float64]:
    """Return what a gate or state is on valid steps, (n, H)."""
    values = level.states[name] if name in level.states else level.gates[name]
    return values[level.valid].astype(np.float64)
