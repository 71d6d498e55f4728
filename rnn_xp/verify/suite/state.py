"""Properties of the state: what is given is taken, what is returned carries on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rnn_xp.verify.adapters.protocol import Host
from rnn_xp.verify.report import Finding
from rnn_xp.verify.suite.data import Answer, Case, Gap, distance
from rnn_xp.verify.suite.probe import STEPS, Probe, UnansweredError, skipped

DRAWS = 4  # of x and state_0: behind a relu or a clip, some units follow nothing on one of them
CUTS = {"two chunks": (0, 3, STEPS), "step by step": tuple(range(STEPS + 1))}


def state(probe: Probe) -> Iterator[Finding]:
    """Change one layer and direction of state_0: y follows, and the same place of state_T."""
    if not probe.adapter.takes_state:
        yield skipped("y, state_T", "takes no state")
        return
    last = probe.cases[-1]
    first = last._replace(name="one step and a state", x=last.x[:1], lengths=None)
    of_y, of_state_T = [], []
    for case in (first, last):
        for part, place in _places(probe):
            here = f"state_0{[part]}" + (f"{list(place)}" if place else "")
            of_y.append(Gap(0.0, f"{case.name}: y when {here} changes"))
            of_state_T.append(
                Gap(0.0, f"{case.name}: state_T{here.removeprefix('state_0')} when {here} does")
            )
            for _ in range(DRAWS):
                moved = _moves(probe, case, part, place)
                for gaps, gap in zip((of_y, of_state_T), moved, strict=True):
                    gaps[-1] = gaps[-1]._replace(value=max(gaps[-1].value, gap))
                if min(of_y[-1].value, of_state_T[-1].value) > probe.limit:
                    break
    yield probe.changed("y", of_y, "is state_0 taken?")
    yield probe.changed("state_T", of_state_T, "is state_0 taken, and its own state_T returned?")


def chunks(probe: Probe) -> Iterator[Finding]:
    """Cut the sequences and carry the state from part to part: that gives what the whole gives."""
    if not probe.adapter.takes_state:
        yield skipped("y, state_T", "takes no state")
        return
    if probe.adapter.reverse not in (0, probe.shape[-1]):
        yield skipped("y, state_T", "it may read both ways")
        return
    order = -1 if probe.adapter.reverse else 1  # against time, the last chunk is read first
    case = probe.full._replace(state_0=probe.cases[-1].state_0)
    whole = probe.run(case)
    for name, cuts in CUTS.items():
        carried, parts = case.state_0 or (), []
        for start, stop in list(pairwise(cuts))[::order]:
            part = probe.run(Case(f"steps {start} to {stop}", case.x[start:stop], None, carried))
            carried = _told(part.state)
            parts.append(part.y)
        y = (
            np.concatenate(parts[::order]) if probe.per_step else whole.y
        )  # a pooled y is one of its chunk only
        gap = probe.gap(Answer(y, carried), whole)
        yield probe.unchanged(name, [gap], "is the state taken, and the last one returned?")


def _places(probe: Probe) -> list[tuple[int, tuple[int, ...]]]:
    """Return every part of the state, with each place before (B, H): its layers and directions."""
    parts = _told(probe.cases[-1].state_0)
    return [(i, place) for i, part in enumerate(parts) for place in np.ndindex(part.shape[:-2])]


def _moves(probe: Probe, case: Case, part: int, place: tuple[int, ...]) -> tuple[float, float]:
    """Return how far y, and state_T at that place, move with another state_0 there; all of it is drawn."""
    case = case.each(lambda ours: probe.draw(*ours.shape))
    states = [*_told(case.state_0)]
    states[part] = states[part].copy()
    states[part][place] = probe.draw(*states[part][place].shape)
    before, after = probe.run(case), probe.run(case._replace(state_0=tuple(states)))
    ours, theirs = (_told(answer.state)[part][place] for answer in (after, before))
    return (
        distance(after.y, before.y, probe.scales[0], "y").value,
        distance(ours, theirs, probe.scales[1 + part], "state_T").value,
    )


def _told(parts: tuple[Host, ...] | None) -> tuple[Host, ...]:
    """Return the parts of a state, which one that takes a state must return."""
    if not parts:
        msg = "no state_T returned"
        raise UnansweredError(msg)
    return parts
