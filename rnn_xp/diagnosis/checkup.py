"""`diagnose`: every check, one after the other, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import backend_of
from rnn_xp.diagnosis import axes, epochs, gradients, holes, labels, padding, scale, steps, unchanging, units
from rnn_xp.diagnosis.case import Case
from rnn_xp.diagnosis.finding import KINDS, Diagnosis, Finding
from rnn_xp.diagnosis.numbers import numbers
from rnn_xp.losses import LOSSES
from rnn_xp.model import Sequential
from rnn_xp.optim import Adam, Optimizer
from rnn_xp.train.feed.prepare import prepare
from rnn_xp.train.feed.validation import check_counts
from rnn_xp.train.options import check_model, check_optimizer, check_params
from rnn_xp.typing import Tree

OF_DATA: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    unchanging.check,
    axes.check,
    padding.check,
    scale.check,
    labels.check,
)
"""What is looked for in the data alone, or first."""

OF_TRAINING: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    steps.check,
    units.check,
    gradients.check,
    epochs.check,
)
"""What is looked for in the network and its training."""


EXPLAINS: dict[str, tuple[str, ...]] = {
    "not-finite": ("overfitting", "untrained"),
    "constant": tuple(kind for kind in KINDS if kind not in ("not-finite", "constant")),
    "axes": ("untrained",),
    "padding": ("vanishing", "untrained"),
    "scale": (
        *("saturated", "dead", "exploding", "vanishing"),
        *("rate-high", "rate-low", "clipping", "labels", "overfitting", "untrained"),
    ),
    "target-scale": (
        "saturated",
        "vanishing",
        "rate-high",
        "rate-low",
        "clipping",
        "overfitting",
        "untrained",
    ),
    "rate-high": ("saturated", "dead", "exploding", "vanishing", "imbalance", "untrained"),
    "rate-low": ("vanishing", "imbalance", "untrained", "labels"),
    "clipping": ("vanishing", "imbalance", "untrained", "labels"),
    "symmetric": ("vanishing", "imbalance", "untrained", "labels"),
    "saturated": ("dead", "vanishing", "untrained"),
    "dead": ("vanishing", "untrained", "labels"),
    "exploding": ("untrained", "clipping"),
    "vanishing": ("untrained",),
    "imbalance": ("labels", "untrained", "saturated", "vanishing"),
    "labels": ("overfitting", "untrained"),
}
"""What follows from what: an effect is left out where its cause is found, whose remedy it shares."""


def diagnose(
    model: Sequential,
    params: Tree,
    X: Any,
    y: Any,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    loss: str = "cross_entropy",
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    weights: Any = None,
    optimizer: Optimizer | None = None,
    clip_norm: float | None = None,
) -> Diagnosis:
    """Say why a model does not learn, with the evidence and a remedy; or that nothing is wrong.

    It looks at the data (axes, padding, scale, labels), at the history (learning rate, overfitting), and, for
    some of the sequences, at the gates, the units and the gradient that gets to every step. Nothing is
    trained, and nothing changes. What it cannot see: labels that a large network has learnt by heart, where
    there is no validation.

    Parameters
    ----------
    model, params
        The model, and its weights now.
    X, y, loss, layout, lengths, mask, weights
        What it was trained on, as `fit` took it.
    history : list of dict
        Of the training, as its `Result` has it.
    optimizer : Optimizer, default Adam
    clip_norm : float, optional
        As `fit` took them; the learning rate is that of the history, where there is one.

    Returns
    -------
    Diagnosis
        Its `findings`, causes before effects, and the `numbers` looked at; `str` makes a page of it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the model has no recurrent layer.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> data = rx.data.sign_of_sum(300, seed=0)
    >>> model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> how = {"optimizer": rx.Adam(1e-6), "clip_norm": 1.0}
    >>> result = rx.fit(model, data.X, data.y, **how, epochs=5, verbose=False)
    >>> found = rx.diagnose(model, result.params, data.X, data.y, history=result.history, **how)
    >>> [finding.kind for finding in found.findings]
    ['rate-low']
    """
    check_model(model)
    check_params(model, params)
    chosen = LOSSES[checks.one_of("loss", loss, LOSSES)]
    _check_history(history)
    optimizer = Adam() if optimizer is None else optimizer
    check_optimizer(optimizer)
    clip_norm = None if clip_norm is None else checks.number("clip_norm", clip_norm, open_low=True)
    found = [hole for hole in (holes.find(X, layout, lengths, mask), holes.in_weights(params)) if hole]
    if found:
        return Diagnosis(found, {})
    precision = backend_of(tree.leaves(params)[0]).precision
    asked = {"layout": layout, "lengths": lengths, "mask": mask, "weights": weights}
    data = prepare(model, X, y, loss=chosen, **asked, dtype=precision)
    check_counts("X", data)
    case = Case(model, params, data, loss, history, optimizer, clip_norm)
    with np.errstate(all="ignore"):  # of what is too large, the findings tell
        return Diagnosis(_explained(_find(case)), numbers(case))


def _find(case: Case) -> list[Finding]:
    """Run the checks: of the network and its training only where there is something to learn."""
    found = [finding for check in OF_DATA for finding in check(case)]
    if case.prior > labels.CONSTANT:
        found += [finding for check in OF_TRAINING for finding in check(case)]
        found = found or list(epochs.underfitting(case))
    return found


def _explained(found: list[Finding]) -> list[Finding]:
    """Leave out what follows from other findings."""
    effects = {effect for finding in found for effect in EXPLAINS.get(finding.kind, ())}
    return [finding for finding in found if finding.kind not in effects]


def _check_history(history: Any) -> None:
    """Refuse what is no list of records of numbers."""
    if not isinstance(history, list | tuple) or not all(isinstance(record, Mapping) for record in history):
        msg = f"`history` must be a list of records, as `fit` returns it in `.history`; got {history!r:.60}."
        raise TypeError(msg)
    for place, record in enumerate(history):
        for name, value in record.items():
            if not isinstance(value, Real | None):
                msg = f"`history` must hold numbers; got {value!r:.60} as {name!r} of record {place}."
                raise TypeError(msg)
