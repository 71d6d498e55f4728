"""Properties of padding: neither what it holds nor how much of it there is matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rnn_xp.verify.report import Finding
from rnn_xp.verify.suite.data import Answer, Case, Gap, rows
from rnn_xp.verify.suite.probe import BATCH, Probe, UnansweredError, refused, skipped

MORE = 3  # steps of padding
EMPTY, OTHERS = 2, (0, 1, 3)  # the sample that becomes empty, and those that do not
LEAK = "padding leaks: `where` holds it back, a product does not, as 0 * NaN is NaN"
ENDS = "does each sequence end, and is it pooled, at its own length?"


def padding_contents(probe: Probe) -> Iterator[Finding]:
    """Change what x holds past the lengths: nothing else changes."""
    if probe.padded is None:
        yield skipped("y, state_T", "takes no lengths")
        return
    expected = probe.run(probe.padded)
    yield from contents(probe, probe.padded, lambda other: probe.gap(probe.run(other), expected))


def amount_of_padding(probe: Probe) -> Iterator[Finding]:
    """Pad more, or cut each sequence to its length: nothing changes."""
    if probe.padded is None:
        yield skipped("y, state_T", "takes no lengths")
        return
    case, expected = probe.padded, probe.run(probe.padded)
    longer = case._replace(x=np.concatenate([case.x, probe.draw(MORE, *case.x.shape[1:])]))
    yield probe.unchanged(
        f"{MORE} steps more", [probe.gap(probe.run(longer).until(len(case.x)), expected)], ENDS
    )
    gaps = []
    for b, end in enumerate(case.ends):
        alone = Case(f"sample {b} alone, cut to {end} steps", rows(case.x[:end], [b]))
        gaps.append(probe.gap(probe.run(alone), expected.take([b]).until(end)).noted(alone.name))
    yield probe.unchanged("none", gaps, ENDS)


def zero_length(probe: Probe) -> Iterator[Finding]:
    """Try sequences of no steps: the others stay, their own state too. To refuse them is no wrong number."""
    *_, last = probe.cases
    whole = probe.full._replace(name="no steps", state_0=last.state_0)
    if probe.padded is None:
        yield skipped("lengths of 0", "takes no lengths")
    else:
        padded = whole._replace(lengths=probe.padded.lengths)
        lengths = tuple(0 if b == EMPTY else end for b, end in enumerate(padded.ends))
        yield from _empty(probe, "one of length 0", padded._replace(lengths=lengths), [EMPTY], padded)
        yield from _empty(probe, "all of length 0", padded._replace(lengths=(0,) * BATCH), range(BATCH))
    yield from _empty(probe, "T = 0", whole._replace(x=whole.x[:0]), range(BATCH))


def contents(probe: Probe, case: Case, change: Callable[[Case], Gap]) -> Iterator[Finding]:
    """Yield what changes with other padding; ordinary numbers must not be refused."""
    gap = change(case.with_padding(probe.draw(*case.x.shape)))
    yield probe.unchanged("other numbers", [gap], LEAK)
    for value in (1e30, np.inf, -np.inf, np.nan):
        try:
            gap = change(case.with_padding(value))
        except UnansweredError as error:
            yield refused(str(value), error)
        else:
            yield probe.unchanged(str(value), [gap], LEAK)


def _empty(
    probe: Probe, subject: str, case: Case, empty: list[int] | range, full: Case | None = None
) -> Iterator[Finding]:
    """Yield what becomes of empty samples, and of the others beside what they are in a full case."""
    try:
        answer = probe.run(case)
    except UnansweredError as error:
        yield refused(subject, error)
        return
    if full is not None:
        gap = probe.gap(answer.take(OTHERS), probe.run(full).take(OTHERS))
        yield probe.unchanged(f"{subject}, the others", [gap])
    if probe.per_step and not answer.state:
        yield skipped(f"{subject}, its own", "accepted; y has no step, and no state_T is told")
        return
    initial = case.state_0 or tuple(np.zeros_like(part) for part in answer.state)
    gap = probe.gap(answer.take(empty), Answer(answer.y, initial).take(empty))  # a NaN is not itself
    yield probe.unchanged(f"{subject}, its own", [gap], "state_T must be state_0, and y finite")
