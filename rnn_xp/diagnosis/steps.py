"""Steps of the weights that are too large or too small: the learning rate, and clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp import tree
from rnn_xp.diagnosis import gradients, units
from rnn_xp.diagnosis.case import Case
from rnn_xp.diagnosis.finding import Finding
from rnn_xp.layers import Context
from rnn_xp.model import loss_and_gradients
from rnn_xp.train.feed.batches import Batches
from rnn_xp.typing import Tree

STRIDE = 1.0
"""Of the norm of weights as they begin: a step that long leaves nothing of what they were."""

USUAL = 0.03
"""Of that norm: a step as long as many are in trainings that go well."""

WORSE = 1.05
"""Of the loss of one answer for all, or of weights as they begin: above both, weights are thrown about."""

BLOWN = 10.0
"""Times that loss: an epoch that bad has thrown away what the weights began with."""

STILL = 0.01
"""Of that loss: one that an epoch moves less far stands still, wherever it is."""

RESTLESS = 0.15
"""Of that loss: an epoch that moves the training loss so far, up as well as down, does not settle."""

RISEN = 0.05
"""Of that loss: a training that ends by so much above its first epoch has gone uphill."""

UPWARD = 0.2
"""Of the way that the loss goes from epoch to epoch: a loss that settles goes down for the most part."""

CRAWL = 0.03
"""Of that loss: a training that has brought less down in all its epochs has hardly begun."""

FURTHER = 300.0
"""Times a step: where one so much longer is the best in its direction, steps are too short."""

LENGTHS = 10.0 ** np.arange(-1.0, 7.5, 0.5)
"""Times a step: what is tried."""

TINY = 0.01
"""Of the gradient: a limit that leaves less than this on average decides the step alone."""


class Line(NamedTuple):
    """The loss along the direction of the optimiser's next step."""

    start: float
    best: float  # the length where it is least, in steps
    least: float  # the loss there


def check(case: Case) -> Iterator[Finding]:
    """Look at the training loss from epoch to epoch, at the length of a step, and at the loss along it."""
    curve = case.curve("loss")
    stride = _stride(case)
    if evidence := _too_high(case, curve, stride):
        lower = case.rate * min(0.1, USUAL / stride)
        clip = ", and clip the gradient (`clip_norm=1.0`)" if case.clip_norm is None else ""
        yield Finding(
            "rate-high",
            "The learning rate is too high: the weights are thrown about, and the loss does not settle.",
            f"learning rate {case.rate:g}",
            evidence,
            f"Lower it: try {lower:.1g} and {lower / 10:.1g}{clip}.",
        )
    elif len(curve) > 1 and case.fails and curve[0] - curve.min() < CRAWL * case.prior:
        yield from _too_low(case, curve)


def _too_high(case: Case, curve: NDArray[np.float64], stride: float) -> str:
    """Say what shows it; nothing where nothing does."""
    told = f"one answer for all has a loss of {case.prior:.3g}"
    if len(curve):
        told = f"training loss {curve[-1]:.3g} in the end, where {told}"
    saturated = any(units.most(level)[1] > units.SATURATED for level in case.levels)
    if stride > STRIDE and (case.fails or saturated):
        return f"a step is {stride:.2g} times as long as the weights that the model begins with; {told}"
    if len(curve) < 2 or gradients.explodes(case):
        return ""
    unlearnt = max(case.prior, _loss_at(case, case.begin)[0])
    if curve.max() > BLOWN * unlearnt and case.fails:
        return f"training loss {curve.max():.3g} in epoch {curve.argmax() + 1}; {told}"
    way = np.diff(curve)
    if case.fails and curve[-1] - curve[0] > RISEN * case.prior:
        return (
            f"the training loss rises from {curve[0]:.3g} to {curve[-1]:.3g} in {len(curve)} epochs; {told}"
        )
    moved = float(np.abs(way[len(way) // 3 :]).mean()) / case.prior
    up = float(np.clip(way, 0, None).sum()) / max(float(np.abs(way).sum()), 1e-300)
    thrown = curve[len(curve) // 3 :].min() > WORSE * unlearnt and moved > STILL
    restless = moved > RESTLESS and up > UPWARD and len(curve) > 3
    if not (thrown or restless):
        return ""
    return (
        f"an epoch moves the loss by {moved:.0%} of that of one answer, {up:.0%} of the way upwards; {told}"
    )


def _stride(case: Case) -> float:
    """Return the norm of a step over that of weights as they begin."""
    step = tree.map(lambda a, b: a - b, case.params, _moved(case, _downhill(case)[1], 1.0))
    return _norm(step, case) / _norm(case.begin, case)


def _too_low(case: Case, curve: NDArray[np.float64]) -> Iterator[Finding]:
    """Look how far the loss falls along the next step."""
    line = along(case)
    if line.best < FURTHER:
        return
    told = (
        f"training loss {curve[0]:.4g} to {curve[-1]:.4g} in {len(curve)} epochs; along the next step it "
        f"falls from {line.start:.4g} to {line.least:.4g}, {line.best:.0f} times as far as it goes"
    )
    norm = case.curve("gradient_norm")
    typical = float(np.median(norm)) if len(norm) else 0.0
    if case.clip_norm is not None and case.clip_norm < TINY * typical:
        yield Finding(
            "clipping",
            "The limit of the gradient's norm leaves next to nothing of a step.",
            f"clip_norm {case.clip_norm:g}",
            f"gradients have a norm of {typical:.3g}; {told}",
            f"Raise `clip_norm`: {typical:.1g} clips half of the steps.",
        )
        return
    yield Finding(
        "rate-low",
        "The learning rate is too low: the loss falls by a crawl.",
        f"learning rate {case.rate:g}",
        told,
        f"Raise it: try {case.rate * line.best / 100:.1g} and {case.rate * line.best / 10:.1g}.",
    )


def along(case: Case) -> Line:
    """Return the loss along the optimiser's next step, on the few sequences."""
    start, d_params = _downhill(case)
    losses = np.array([_loss_at(case, _moved(case, d_params, float(length)))[0] for length in LENGTHS])
    losses = np.nan_to_num(losses, nan=np.inf)
    i = int(losses.argmin())
    return Line(start, float(LENGTHS[i]), float(losses[i])) if losses[i] < start else Line(start, 0.0, start)


def _downhill(case: Case) -> tuple[float, Tree]:
    """Return the loss of the few sequences and its gradient, clipped as in the training."""
    loss, d_params = _loss_at(case, case.params)
    if case.clip_norm is not None:
        scale = min(1.0, case.clip_norm / max(_norm(d_params, case), 1e-300))
        d_params = tree.map(lambda leaf: leaf * scale, d_params)
    return loss, d_params


def _loss_at(case: Case, params: Tree) -> tuple[float, Tree]:
    """Return the loss of the few sequences at other weights, and its gradient."""
    data, backend = case.few, case.backend
    (batch,) = Batches(data, backend, data.x.shape[1]).in_order(None)
    context = Context(backend.xp, batch.valid, states=False)
    asked = (case.model, params, case.function, batch.x, batch.target, batch.share, context)
    with np.errstate(all="ignore"):
        loss, d_params, _ = loss_and_gradients(*asked)
    return float(loss), d_params


def _moved(case: Case, d_params: Tree, length: float) -> Tree:
    """Return the weights after a step of the optimiser, so many times as long; its first one."""
    xp = case.backend.xp
    state = case.optimizer.init(case.params, xp=xp)
    return case.optimizer.update(case.params, d_params, state, case.rate * length, xp=xp)[0]


def _norm(params: Tree, case: Case) -> float:
    """Return the norm of a tree."""
    dot: Any = partial(case.backend.xp.sum, dtype=case.backend.xp.float64)
    return math.sqrt(sum(float(dot(leaf * leaf)) for leaf in tree.leaves(params)))
