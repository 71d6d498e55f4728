"""Scaling: the time of a training step of an LSTM against T, and against the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from cpu_speed.session import Session
from cpu_speed.sizes import Shape
from cpu_speed.turns import in_turns, warmed


def run(session: Session, results: dict[str, Any]) -> None:
    """Measure all lengths in turns, then all batches."""
    for axis, letter in (("long", "T"), ("wide", "B")):
        shapes: tuple[Shape, ...] = getattr(session.sizes, axis)
        (contender,) = session.roster.call(["rnn_xp"]).values()
        contender.ask("forget")
        turns = {}
        for shape in session.each(shapes):
            spec, prefix = {"cell": "LSTM", **shape._asdict()}, f"{shape} "
            contender.ask("prepare", job="layer", spec=spec, prefix=prefix)
            turns[shape] = warmed(contender, f"{prefix}train", session.sizes.block)
        times = in_turns(turns, session.seconds * 2, session.sizes.turns)
        rows = [{**shape._asdict(), **own} for shape, own in times.items()]
        results[letter] = {"points": rows, "fit": fitted([(row[letter], row["seconds"]) for row in rows])}
        told = ", ".join(f"{row[letter]} {1000 * row['seconds']:.3g}" for row in rows)
        session.say(f"LSTM, against {letter}: ms: {told}; exponent {results[letter]['fit']['exponent']:.3f}")


def fitted(points: list[tuple[int, float]]) -> dict[str, float]:
    """Fit seconds = c * size ** exponent, and seconds = fixed + each * size, both by relative errors."""
    sizes, seconds = (np.array(axis, float) for axis in zip(*points, strict=True))
    exponent, logarithm = np.polyfit(np.log(sizes), np.log(seconds), 1)
    left = np.log(seconds) - logarithm - exponent * np.log(sizes)
    r2 = 1 - np.var(left) / np.var(np.log(seconds))
    each, fixed = np.polyfit(sizes, seconds, 1, w=1 / seconds)
    off = np.max(np.abs((fixed + each * sizes) / seconds - 1))
    values = {"exponent": exponent, "r2": r2, "fixed": fixed, "each": each, "off": off}
    return {name: float(value) for name, value in values.items()}
