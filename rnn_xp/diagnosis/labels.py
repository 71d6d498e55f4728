"""Targets that cannot be learnt: all the same, unrelated to X, or of a class too rare to be told."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_xp.diagnosis.case import Case, valid_rows
from rnn_xp.diagnosis.finding import Finding

CONSTANT = 1e-6
"""Loss of one answer for all: there is nothing to tell apart."""

ENOUGH = 100
"""Targets: with fewer no map finds anything, and finding nothing says nothing."""

NOTHING = 0.02
"""Of the variance: a linear map that finds less finds nothing."""

LITTLE = 0.3
"""Of the variance: a network that explains so much of targets that X tells does not do so by heart."""

CARRIES = 0.95
"""Of the loss of one answer for all: a validation loss below it has learnt something that carries over."""

RARE = 0.2
"""Of the frequency that a class would have if all were alike."""

TOLD = 0.1
"""Recall of a class that is as good as never answered."""

FEW = 5
"""Targets of a class: of fewer nothing is known."""

MANY = 20
"""Classes: of more, such as the characters of a text, some are always rare."""


def check(case: Case) -> Iterator[Finding]:
    """Look at what there is to tell apart, and whether X tells it."""
    if case.prior < CONSTANT:
        yield Finding(
            "labels",
            "The targets are all the same: there is nothing to learn.",
            "the targets",
            f"one answer for all has a loss of {case.prior:.3g}",
            "Look at how y was read: the column, the file, the classes.",
        )
        return
    yield from _unrelated(case)
    yield from _rare(case)


def _unrelated(case: Case) -> Iterator[Finding]:
    """Look for a sign that X tells anything of y."""
    validation = case.curve("val_loss")
    told = f"the network explains {max(case.explained, 0):.1%} of their variance"
    known = f"a linear map of averages of X explains {max(case.readout.share, 0):.1%} of new sequences"
    if case.readout.share > NOTHING or len(case.data.counts) < ENOUGH:
        return
    if len(validation) and validation.min() > CARRIES * case.prior and case.explained > NOTHING:
        told += (
            f" by heart, and on validation is never better than one answer for all ({validation.min():.3g})"
        )
    elif case.explained > LITTLE or (len(validation) and validation.min() < CARRIES * case.prior):
        return
    yield Finding(
        "labels",
        "Nothing in X tells the targets, as far as can be seen: they may be shuffled, shifted or wrong.",
        "the targets",
        f"{told}; {known}",
        "Check that y[i] belongs to X[i]: look at a few by eye, and at every sort, shuffle and join before.",
    )


def _rare(case: Case) -> Iterator[Finding]:
    """Look for classes that are rare and never answered."""
    recall, frequency, count = _recall(case)
    K = len(recall)
    if not 0 < K <= MANY:
        return
    for k in np.flatnonzero((frequency < RARE / K) & (recall < TOLD) & (count >= FEW)):
        yield Finding(
            "imbalance",
            "A class is so rare that the network does best by never answering it.",
            f"class {k}",
            f"{frequency[k]:.1%} of the targets; of its {count[k]} the network finds {recall[k]:.0%}",
            "Give the rare ones more weight (`weights`), show them more often, or gather more of them; "
            "and look at recall, not at accuracy.",
        )


def _recall(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each class the recall, the frequency and the number of targets."""
    target, _ = valid_rows(case.sample)
    if case.function.classes:
        confusion = np.array(case.scores["confusion"])
        count = confusion.sum(axis=1)
        return np.diag(confusion) / np.maximum(count, 1), count / count.sum(), count
    nothing = np.zeros(0)
    if case.function.activation is None or case.model.output_size != 1 or set(np.unique(target)) != {0, 1}:
        return nothing, nothing, nothing
    count = np.array([(target == 0).sum(), (target == 1).sum()])
    answers = case.answers.ravel() > 0.5
    recall = np.array([(answers[target.ravel() == k] == k).mean() for k in (0, 1)])
    return recall, count / count.sum(), count
