"""A gradient that explodes or vanishes on its way through time, and where."""

from __future__ import annotations

from collections.abc import Iterator

from rnn_xp.diagnosis.case import Case
from rnn_xp.diagnosis.finding import Finding
from rnn_xp.diagnosis.flow import FADED, Flow
from rnn_xp.layers import LastStep

EXPLODES = 1e3
"""Times the norm at the end: what the first steps ask for drowns all the rest."""


TELLS = 0.05
"""Of the variance of the targets: so much a bin of steps must tell for its gradient to be missed."""

WITHIN = 0.5
"""Of that: where steps that the gradient reaches tell so much, the others are not the reason."""


def check(case: Case) -> Iterator[Finding]:
    """Follow the gradient back through every level."""
    flows = case.flows
    worst = max(flows, key=lambda each: each.growth)
    if explodes(case):
        yield _explodes(worst)
    elif case.fails:
        yield from _vanishes(case, max(flows, key=lambda each: each.reach))


def explodes(case: Case) -> bool:
    """Return whether a gradient grows beyond what the steps, each with a gradient of its own, add up to."""
    growth = max(each.growth for each in case.flows)
    pools = any(layer.pools and not isinstance(layer, LastStep) for layer in case.model.layers)
    return growth > EXPLODES * (len(case.few.x) if pools else 1)


def _explodes(flow: Flow) -> Finding:
    """Say how fast it grows."""
    peak = int(flow.norm.argmax())
    a_step = flow.growth ** (1 / max(peak, 1))
    return Finding(
        "exploding",
        "The gradient explodes on its way back: a step is then a leap in a direction of chance.",
        f"{flow.name}, from the last step to {peak} steps before",
        f"its norm grows {flow.growth:.2g} times, {a_step:.3g} times a step",
        'Begin with smaller recurrent weights (init="orthogonal"), clip the gradient (`clip_norm=1.0`), use '
        "an LSTM or a GRU, or truncate (`truncate`).",
    )


def _vanishes(case: Case, flow: Flow) -> Iterator[Finding]:
    """Say how far back it reaches, and what lies beyond."""
    T = len(flow.norm)
    if flow.reach >= T:
        return
    read = case.readout
    beyond = [
        (share, low, high)
        for share, (low, high) in zip(read.shares, read.bins, strict=True)
        if low >= flow.reach
    ]
    within = max([share for share, (low, _) in zip(read.shares, read.bins, strict=True) if low < flow.reach])
    share, low, high = max(beyond, default=(0.0, 0, 0))
    if share < TELLS or within > WITHIN * share:
        return
    yield Finding(
        "vanishing",
        "The gradient vanishes before it gets to the steps that tell the answer.",
        f"{flow.name}, {flow.reach} steps before the last and further",
        f"{flow.reach} steps back its norm is below {FADED:g} of that at the end, {T - 1} steps back "
        f"{flow.norm[-1]:.1g}; by a linear map, the steps from {low} to {high - 1} before the end explain "
        f"{share:.0%} of the targets' variance",
        'Use an LSTM with a forget bias of 1 or more, init="orthogonal", shorter or coarser sequences, '
        "MeanPool or MaxPool instead of LastStep, or a layer with reverse=True.",
    )
