"""Properties of the batch: its samples do not know of one another, and calls leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_xp import tree
from rnn_xp.verify.adapters.protocol import Host
from rnn_xp.verify.report import FAILED, PASSED, Finding
from rnn_xp.verify.suite.data import Answer, Gap, distance
from rnn_xp.verify.suite.probe import BATCH, Probe, UnansweredError, answering, array, refused, skipped

ORDER = (2, 0, 3, 1)
AXIS = "is the batch axis read as time (batch_first)?"


def dependence(probe: Probe) -> Iterator[Finding]:
    """Look at y for another x: it is another one, and finite."""
    other = probe.full._replace(x=probe.draw(*probe.full.x.shape))
    gap = distance(probe.run(probe.full).y, probe.run(other).y, probe.scales[0], "y")
    yield probe.changed("y", [gap], "the output does not depend on the input, or is not finite")


def determinism(probe: Probe) -> Iterator[Finding]:
    """Make the same call twice: the answers are the same."""
    gaps = [probe.gap(probe.run(case), probe.run(case)).noted(case.name) for case in probe.cases]
    yield probe.unchanged("the same call twice", gaps, "is dropout on, or a state kept between calls?")


def arguments(probe: Probe) -> Iterator[Finding]:
    """Look whether a call writes to its arguments, or to what an earlier call returned."""
    written: list[str] = []
    for case in probe.cases:
        given: Any = {"x": case.x, "lengths": array(case.lengths), "state_0": case.state_0}
        given, given_before = tree.map(np.copy, given), given
        with answering(case):
            returned = dict(zip(("y", "state_T"), probe.adapter.forward(*given.values()), strict=True))
        returned_before = tree.map(np.copy, returned)
        probe.run(case.each(lambda ours: probe.draw(*ours.shape)))
        for now, before in ((given, given_before), (returned, returned_before)):
            pairs = zip(tree.named_leaves(now), tree.leaves(before), strict=True)
            written += [name for (name, a), b in pairs if not np.array_equal(a, b, equal_nan=True)]
    outcome, detail = (FAILED, f"{', '.join(written)} written to") if written else (PASSED, "")
    yield Finding("", "x, lengths, state_0, y, state_T", outcome, float(len(written)), 0.0, "arrays", detail)


def batch_independence(probe: Probe) -> Iterator[Finding]:
    """Change one sample, or make it NaN: only its own answer changes."""
    own, others = [], []
    for name, b, i, after, before in _with_another_sample(probe, probe.draw):
        if i == b:
            gap = distance(after.y, before.y, probe.scales[0], "y")
            own.append(Gap(gap.value, f"{name}: y of sample {b} when that sample changes"))
        else:
            gap = probe.gap(after, before)
            others.append(Gap(gap.value, f"{name}: sample {i} changes when sample {b} does"))
    yield probe.changed("own sample", own, "y does not follow its own sample: is the batch out of order?")
    yield probe.unchanged("others changed", others, AXIS)
    try:
        spoilt = [
            Gap(probe.gap(after, before).value, f"{name}: sample {i} changes when sample {b} is NaN")
            for name, b, i, after, before in _with_another_sample(probe, nan)
            if i != b
        ]
    except UnansweredError as error:
        yield refused("others NaN", error)
    else:
        yield probe.unchanged("others NaN", spoilt, AXIS)


def batch_of_one(probe: Probe) -> Iterator[Finding]:
    """Run each sample alone: it gives what it gives in a batch."""
    gaps = []
    for case in probe.cases:
        whole = probe.run(case)
        for b in range(BATCH):
            words = f"{case.name}: sample {b} changes when it is alone"
            gaps.append(Gap(probe.gap(probe.run(case.take([b])), whole.take([b])).value, words))
    yield probe.unchanged("each sample alone", gaps, "are there statistics over the batch?")


def permutation(probe: Probe) -> Iterator[Finding]:
    """Put the samples in another order: so are their answers."""
    gaps = [
        probe.gap(probe.run(case.take(ORDER)), probe.run(case).take(ORDER)).noted(case.name)
        for case in probe.cases
    ]
    yield probe.unchanged("samples in another order", gaps, "is the order lost on the way?")


def unsorted_lengths(probe: Probe) -> Iterator[Finding]:
    """Sort the sequences by length: so are their answers."""
    if probe.padded is None:
        yield skipped("y, state_T", "takes no lengths")
        return
    order = np.argsort(probe.padded.ends)[::-1].tolist()
    gap = probe.gap(probe.run(probe.padded.take(order)), probe.run(probe.padded).take(order))
    yield probe.unchanged("y, state_T", [gap], "sorted by length, and never put back?")


def layouts(probe: Probe) -> Iterator[Finding]:
    """Feed the same data in another layout: the answer is the same."""
    others = getattr(probe.adapter, "layouts", None) or {}
    if not others:
        yield skipped("y, state_T", "the adapter has no other layout")
    for name, forward in others.items():
        gaps = []
        for case in probe.stateless:
            answer, expected = probe.run(case, forward), probe.run(case)
            told = expected if answer.state else expected._replace(state=())
            gaps.append(probe.gap(answer, told).noted(case.name))
        yield probe.unchanged(name, gaps, "are the axes exchanged, or only renamed (reshape)?")


def nan(*shape: int) -> Host:
    """Return an array of NaN."""
    return np.full(shape, np.nan)


def _with_another_sample(
    probe: Probe, number: Callable[..., Host]
) -> Iterator[tuple[str, int, int, Answer, Answer]]:
    """Yield of every case, with another sample b, the answer of every sample i, and what it was before."""
    for case in probe.cases:
        before = probe.run(case)
        for b in range(BATCH):
            after = probe.run(case.with_sample(b, number))
            for i in range(BATCH):
                yield case.name, b, i, after.take([i]), before.take([i])
