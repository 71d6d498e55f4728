"""Contenders in turns: a block of calls each, round after round, in an order that rotates."""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import median, quantiles
from typing import Any, NamedTuple

import numpy as np

from cpu_speed.contenders import Contender, FailedError
from cpu_speed.job import stored


class Turn(NamedTuple):
    """Whom to ask for which call, and how many of it make a block."""

    contender: Contender
    call: str
    count: int = 1
    lead: int = 0


def warmed(contender: Contender, call: str, block: float) -> Turn:
    """Return the turn that fills `block` seconds."""
    return Turn(contender, call, **contender.ask("warm", call=call, seconds=block))


def in_turns(turns: dict[str, Turn], seconds: float, least: int, *, drop: int = 0) -> dict[str, Any]:
    """Return the medians over the rounds; the first `drop` rounds are not counted."""
    names = list(turns)
    blocks: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    start, done = time.monotonic(), 0
    while done < least + drop or time.monotonic() - start < seconds:
        first = done % len(names)
        for name in names[first:] + names[:first]:
            contender, call, count, lead = turns[name]
            blocks[name].append(contender.ask("block", call=call, count=count, lead=lead))
        done += 1
    return {name: summary(own[drop:], turns[name].count) for name, own in blocks.items()}


def summary(blocks: list[dict[str, float]], count: int) -> dict[str, Any]:
    """Return the median time of a call and its quartiles, in seconds, and how many cores it kept busy."""
    times = [block["seconds"] for block in blocks]
    return {
        "seconds": median(times),
        "quartiles": quantiles(times, n=4, method="inclusive")[::2] if len(times) > 1 else times * 2,
        "cores": median(block["cpu"] / block["seconds"] for block in blocks),
        "calls": [len(blocks), count],
    }


def agreement(files: dict[str, str], base: str) -> dict[str, float]:
    """Return how far each one's answers are from those of `base`: the worst array, over its norm."""
    loaded = {name: stored(path) for name, path in files.items()}
    return {
        name: float(np.max([gap(found[key], expected) for key, expected in loaded[base].items()]))
        for name, found in loaded.items()
        if name != base
    }


def gap(found: Any, expected: Any) -> float:
    """Return the norm of the difference over that of what is expected; infinite where shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def require(gaps: dict[str, float], limit: float, what: str) -> None:
    """Raise where answers differ: the time of a wrong answer is worth nothing."""
    wrong = {name: value for name, value in gaps.items() if not value <= limit}
    if wrong:
        told = ", ".join(f"{name} by {value:.1e}" for name, value in wrong.items())
        msg = f"{what}: the answers differ from rnn_xp's by more than {limit:g}: {told}"
        raise FailedError(msg)


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))
