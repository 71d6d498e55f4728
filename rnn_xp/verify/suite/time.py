"""Properties of time: what a step must not have read and must have read, and time turned round."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_xp.verify.adapters.protocol import Host
from rnn_xp.verify.report import FAILED, PASSED, Finding
from rnn_xp.verify.suite.data import Case, Gap, flipped
from rnn_xp.verify.suite.probe import STEPS, Probe, skipped

ONE_WAY = "if it may: state `reverse`, the number of last features that run against time, or None for all"


def causality(probe: Probe) -> Iterator[Finding]:
    """Change one step: no feature has read what is yet to come in its direction."""
    if not probe.per_step or probe.adapter.reverse is None:
        why = "`reverse` is None: each feature may read both ways" if probe.per_step else "y has no time axis"
        yield skipped("y", why)
        return
    moves = {case.name: _moves(probe, case) for case in probe.stateless}
    for direction, features, step in directions(probe):
        gaps = [
            Gap(float(np.max(moved[s, t, :, features])), f"{name}: y[{t}] changes when x[{s}] does")
            for name, moved in moves.items()
            for s, t in np.ndindex(STEPS, STEPS)
            if (s - t) * step > 0
        ]
        yield probe.unchanged(f"{direction} features", gaps, ONE_WAY)


def memory(probe: Probe) -> Iterator[Finding]:
    """Change one step: it has been read there and a step further on; of a vector, more than one step."""
    moved = _moves(probe, probe.full)
    if not probe.per_step:
        count = int(np.sum(np.max(moved, axis=(1, 2)) > probe.limit))
        outcome, detail = (PASSED, "") if count > 1 else (FAILED, "y depends on one step at most")
        yield Finding("", "y", outcome, float(count), None, "steps that count", detail)
        return
    for direction, features, step in directions(probe):
        own, before = [], []
        for t in range(STEPS):
            own.append(Gap(float(np.max(moved[t, t, :, features])), f"y[{t}] when x[{t}] changes"))
            near = [s for s in ((t - step,) if step else (t - 1, t + 1)) if 0 <= s < STEPS]
            change = max((float(np.max(moved[s, t, :, features])) for s in near), default=np.inf)
            before.append(Gap(change, f"y[{t}] when x[{' and '.join(map(str, near))}] changes"))
        yield probe.changed(f"{direction} features, own step", own, "is y out of step with x?")
        hint = "no memory: is the batch axis read as time, or this direction not reversed?"
        yield probe.changed(f"{direction} features, step before", before, hint)


def reversal(probe: Probe) -> Iterator[Finding]:
    """Flip each sequence and exchange the directions' weights: the answer is flipped, the state the same."""
    flip = getattr(probe.adapter, "flipped", None)
    if flip is None:
        yield skipped("y, state_T", "the adapter has no twin with its directions exchanged")
        return
    twin, gaps = flip(), []
    for case in probe.cases:
        answer = probe.run(case._replace(x=flipped(case.x, case.ends)), twin.forward)
        if probe.per_step:
            answer = answer._replace(y=flipped(answer.y, case.ends))
        gaps.append(probe.gap(answer, probe.run(case)).noted(case.name))
    yield probe.unchanged("y, state_T", gaps, "is each sequence turned round at its own length?")


def directions(probe: Probe) -> Iterator[tuple[str, slice, int]]:
    """Yield what features run which way: 1 with time, -1 against it, 0 unknown."""
    reverse, size = probe.adapter.reverse, probe.shape[-1]
    if reverse is None:
        yield "all", slice(0, size), 0
        return
    if reverse < size:
        yield "forward", slice(0, size - reverse), 1
    if reverse:
        yield "reverse", slice(size - reverse, size), -1


def _moves(probe: Probe, case: Case) -> Host:
    """Return how far y moves when one step of x changes, (T, *y.shape)."""
    before = probe.run(case).y
    after = []
    for s in range(STEPS):
        after.append(probe.run(case.with_step(s, probe.draw(*case.x[s].shape))).y)
    moved: Host = np.abs(np.array(after) - before) / probe.scales[0]
    return moved
