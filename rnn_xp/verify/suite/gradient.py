"""Properties of d_x, the gradient of ``sum(y * d_y)``: what holds of y holds of it, turned round.

The gradient itself is compared with differences of y along random directions, one for each step. They are
central and extrapolated once, so with a step h they err by h^4 and eps / h: h is eps^(1/5), and what is
allowed `TIMES` the eps^(4/5) that are left. Strong curvature spoils a difference, and so does a kink (relu,
max) between its points. So one that is far from d_x is taken again sample by sample, with smaller steps, and
from either side: neither is everywhere, but a wrong d_x is wrong beside all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from rnn_xp.verify.adapters.protocol import Host
from rnn_xp.verify.report import Finding, measured
from rnn_xp.verify.suite.batch import nan
from rnn_xp.verify.suite.data import Case, Gap, distance, largest, rows, worst
from rnn_xp.verify.suite.padding import LEAK, MORE, contents
from rnn_xp.verify.suite.probe import BATCH, MOST, STEPS, Probe, UnansweredError, refused, skipped
from rnn_xp.verify.suite.time import directions

TIMES = 1000.0
SMALL = 100.0  # a derivative smaller than this share of y is lost in the rounding of differences


def directional_derivative(probe: Probe) -> Iterator[Finding]:
    """Compare d_x with differences of y, step by step."""
    limit = max(probe.limit, min(TIMES * probe.eps**0.8, MOST))
    gap = worst(_against_differences(probe, case, limit) for case in probe.stateless)
    yield measured("", "d_x", gap.value, limit, "relative", "" if gap.value <= limit else gap.where)


def gradient_batch_independence(probe: Probe) -> Iterator[Finding]:
    """Change x and d_y of one sample, or make its x NaN: only its own d_x changes."""
    own, changed = [], []
    bases = [(case, *_base(probe, case)) for case in probe.stateless]
    for case, d_y, before, scale in bases:
        for b in range(BATCH):
            d_y_b = d_y.copy()
            d_y_b[..., b, :] = _d_y(probe, case)[..., b, :]
            after = probe.gradient(case.with_sample(b, probe.draw), d_y_b)
            own.append(_gap(after, before, [b], scale, f"{case.name}: d_x of sample {b}"))
            words = f"{case.name}: the others change when sample {b} does"
            changed.append(_gap(after, before, _others(b), scale, words))
    yield probe.changed("own sample", own)
    yield probe.unchanged("others changed", changed)
    try:
        spoilt = [
            _gap(probe.gradient(case.with_sample(b, nan), d_y), before, _others(b), scale, f"{words} is NaN")
            for case, d_y, before, scale in bases
            for b in range(BATCH)
            for words in [f"{case.name}: the others change when sample {b}"]
        ]
    except UnansweredError as error:
        yield refused("others NaN", error)
    else:
        yield probe.unchanged("others NaN", spoilt)


def gradient_causality(probe: Probe) -> Iterator[Finding]:
    """Look where the gradient of a step of y goes: to it and the one before; to none that is to come."""
    if not probe.per_step or probe.adapter.reverse is None:
        why = "`reverse` is None: each feature may read both ways" if probe.per_step else "y has no time axis"
        yield skipped("d_x", why)
        return
    for direction, features, step in directions(probe):
        leaks, own, before = [], [], []
        for case in probe.stateless:
            d_y, _, scale = _base(probe, case)
            for t in range(STEPS):
                d_y_t = np.zeros_like(d_y)
                d_y_t[t, :, features] = d_y[t, :, features]
                sizes = np.max(np.abs(probe.gradient(case, d_y_t)), axis=(1, 2)) / scale
                leaks += [
                    Gap(float(sizes[s]), f"{case.name}: d_x[{s}] of y[{t}] is not 0")
                    for s in range(STEPS)
                    if (s - t) * step > 0
                ]
                if case.lengths is None:
                    own.append(Gap(float(sizes[t]), f"d_x[{t}] of y[{t}]"))
                    if 0 <= t - step < STEPS:
                        before.append(Gap(float(sizes[t - step]), f"d_x[{t - step}] of y[{t}]"))
        yield probe.unchanged(f"{direction} features", leaks)
        yield probe.changed(f"{direction} features, own step", own, "a step without a gradient")
        yield probe.changed(f"{direction} features, step before", before, "no gradient through time")


def gradient_padding(probe: Probe) -> Iterator[Finding]:
    """Change what x holds past the lengths, and how far it goes: d_x is 0 there, and else the same."""
    if probe.padded is None:
        yield skipped("d_x", "takes no lengths")
        return
    case = probe.padded
    d_y, expected, scale = _base(probe, case)
    expected = np.where(case.valid, expected, 0)
    for finding in contents(
        probe, case, lambda other: distance(probe.gradient(other, d_y), expected, scale, "d_x")
    ):
        yield finding._replace(subject=f"padding of {finding.subject}")
    longer = case._replace(x=np.concatenate([case.x, probe.draw(MORE, *case.x.shape[1:])]))
    more = [(0, MORE), (0, 0), (0, 0)] if probe.per_step else [(0, 0), (0, 0)]
    d_x = probe.gradient(longer, np.pad(d_y, more))[:STEPS]
    yield probe.unchanged(f"{MORE} steps more", [distance(d_x, expected, scale, "d_x")], LEAK)


def _d_y(probe: Probe, case: Case) -> Host:
    """Draw a gradient of y, 0 in its padding: libraries differ in what y is there."""
    d_y = probe.draw(*probe.shape)
    return np.where(case.valid, d_y, 0).astype(d_y.dtype) if probe.per_step else d_y


def _base(probe: Probe, case: Case) -> tuple[Host, Host, float]:
    """Return a d_y, its d_x, and what changes of it are relative to."""
    d_y = _d_y(probe, case)
    d_x = probe.gradient(case, d_y)
    if not np.any(d_x) or not np.all(np.isfinite(d_x)):
        msg = f"{case.name}: d_x is 0 everywhere, or not finite: nothing to compare"
        raise UnansweredError(msg)
    return d_y, d_x, largest(d_x)


def _others(b: int) -> list[int]:
    """Return the samples beside sample b."""
    return [other for other in range(BATCH) if other != b]


def _gap(after: Host, before: Host, samples: list[int], scale: float, words: str) -> Gap:
    """Return how far the d_x of some samples has moved."""
    return Gap(distance(rows(after, samples), rows(before, samples), scale, "d_x").value, words)


def _against_differences(probe: Probe, case: Case, limit: float) -> Gap:
    """Return how far d_x is from differences of y at the worst step, relative to the largest difference."""
    d_y = _d_y(probe, case).astype(np.float64)
    ways = np.where(case.valid, probe.draw(*case.x.shape), 0).astype(case.x.dtype)
    d_x = np.where(case.valid, probe.gradient(case, d_y.astype(ways.dtype)), 0)
    analytic = np.sum(d_x.astype(np.float64) * ways, axis=2)
    y = probe.run(case).y

    def value(t: int, b: int | slice) -> Callable[[float], float]:
        """Return how sum(y * d_y) changes with a step at t of one sample, or of all."""

        def at(h: float) -> float:
            moved = case.x.copy()
            moved[t, b] += h * ways[t, b]
            return float(np.sum((probe.run(case._replace(x=moved)).y.astype(np.float64) - y) * d_y))

        return at

    numeric = np.array([_central(value(t, slice(None)), probe.eps**0.2) for t in range(STEPS)])
    slope = float(np.max(np.abs(numeric)))
    scale = max(slope, float(np.linalg.norm(y * d_y)) / SMALL)
    if not slope > limit * scale:
        msg = f"{case.name}: y hardly moves along x, so there is nothing to compare; float64 may show more"
        raise UnansweredError(msg)
    whole = np.sum(analytic, axis=1)
    for t in map(int, np.flatnonzero(~(np.abs(whole - numeric) <= limit * scale))):
        near = limit * scale / BATCH
        numeric[t] = sum(_nearest(value(t, b), float(analytic[t, b]), near, probe.eps) for b in range(BATCH))
    errors = np.abs(whole - numeric) / scale
    worst_t = int(np.argmax(errors))
    pair = f"{whole[worst_t]:.4g}, and the difference of y {numeric[worst_t]:.4g}"
    return Gap(float(errors[worst_t]), f"{case.name}: along x[{worst_t}] it is {pair}")


def _central(f: Callable[[float], float], h: float) -> float:
    """Return the derivative of f at 0, to h^4."""
    wide, narrow = (f(h) - f(-h)) / (2 * h), (f(h / 2) - f(-h / 2)) / h
    return (4 * narrow - wide) / 3


def _beside(f: Callable[[float], float], h: float) -> float:
    """Return the derivative of f, 0 at 0, from one side of it, to h^3."""
    one, half, quarter = (f(h / n) / (h / n) for n in (1, 2, 4))
    return (8 * quarter - 6 * half + one) / 3


def _nearest(f: Callable[[float], float], expected: float, near: float, eps: float) -> float:
    """Return the derivative of f at 0, from both sides or one: the nearest to `expected` of several.

    Where it is as near as the best of them are to one another, they tell no more: it is `expected`.
    """
    tries = [(_central, eps**0.2 / n) for n in (4, 16, 64, 256)]
    tries += [(_beside, sign * eps**0.25 / n) for n in (1, 5, 25) for sign in (1, -1)]
    found: list[float] = []
    for derivative, h in tries:
        found.append(derivative(f, h))
        if abs(found[-1] - expected) <= near:
            return found[-1]
    best = min(found, key=lambda each: abs(each - expected))
    doubt = min(2 * min(abs(a - b) for a, b in pairwise(found[:4])), MOST * abs(best))
    return expected if abs(best - expected) <= doubt else best
