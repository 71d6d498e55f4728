"""Where pictures come from: the levels of a model, or the model itself, to be looked into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from rnn_xp import checks
from rnn_xp.layers import Layer
from rnn_xp.model import Sequential
from rnn_xp.plot.style import Floats
from rnn_xp.probe import Level, look

Source: TypeAlias = "Sequence[Level] | Sequential"


def levels_of(source: Source, data: tuple[Any, ...], options: dict[str, Any]) -> list[Level]:
    """Return the levels that are given, or those of a model that `look` is called on."""
    if isinstance(source, Layer):
        if not isinstance(source, Sequential):
            msg = (
                f"`source` must be levels, or a rnn_xp.Sequential; got {type(source).__name__}. "
                "A layer alone: rnn_xp.Sequential(layer)."
            )
            raise TypeError(msg)
        if len(data) < 2:
            msg = (
                "`source` must be followed by what `look` takes where it is a model: params and X; got less."
            )
            raise TypeError(msg)
        return look(source, *data, **options)
    if not isinstance(source, list | tuple) or not all(isinstance(each, Level) for each in source):
        came = type(source).__name__
        msg = f"`source` must be a list of levels, as rx.probe.look returns it, or a model; got {came}."
        raise TypeError(msg)
    if data or options:
        more = "what `look` takes goes with a model, not with levels that it has returned"
        msg = f"`source` must be a model where more follows: {more}."
        raise TypeError(msg)
    if not source:
        msg = "`source` must hold at least one level; got none."
        raise ValueError(msg)
    return list(source)


def signal(level: Level, name: str) -> Floats:
    """Return a state or a gate of a level by its name, (N, T, H or P)."""
    known = {**level.gates, **level.states}
    checks.one_of(f"state` of `{level.name}", name, known)
    return known[name].astype(np.float64)


def sequence_of(level: Level, sequence: int) -> int:
    """Return the number of a sequence if there is one."""
    return checks.integer("sequence", sequence, 0, len(level.valid) - 1)


def duration(level: Level, sequence: int) -> int:
    """Return how many steps there are up to a sequence's last valid one."""
    steps = np.flatnonzero(level.valid[sequence])
    return int(steps[-1]) + 1 if len(steps) else 0
