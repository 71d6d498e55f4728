"""What the epochs tell: steps that were left out, overfitting, a training that ended too early."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_xp.diagnosis.case import BEHIND, LEARNT, Case
from rnn_xp.diagnosis.finding import Finding

RISE = 0.25
"""Of the loss of one answer for all: by so much the validation loss rises above its best."""

GAP = 0.3
"""Of that loss: by so much the loss on these data is above that of the training."""

FALLING = 0.05
"""Of that loss: a training whose last epochs still bring so much each has not come to its end."""

LEFT = 0.5
"""Of that loss: with less left to go, an end is an end."""

FEW = 3
"""Epochs: where nothing is learnt after so few, more of them are the first thing to try."""


def check(case: Case) -> Iterator[Finding]:
    """Look at the history, from the first epoch to the last."""
    curve = case.curve("loss")
    lost = float(sum(case.curve("skipped")) + sum(case.curve("rollbacks")))
    remedy = "Lower the learning rate, clip the gradient (`clip_norm`), and look for outliers in X and y."
    if lost:
        yield Finding(
            "not-finite",
            "Steps were left out, since a loss or a gradient was not finite.",
            "the training",
            f"{lost:.0f} skipped or rolled back",
            remedy,
        )
    whole = np.isfinite(curve)
    if not whole.all():
        yield Finding(
            "not-finite",
            "The training loss stopped being finite.",
            f"epoch {int(whole.argmin()) + 1}",
            f"training loss {curve[~whole][0]} in {(~whole).sum()} of {len(curve)} epochs",
            remedy,
        )
    if len(curve) == 0 or not whole.all():
        return
    yield from _overfitting(case, curve)
    yield from _untrained(case, curve)


def _overfitting(case: Case, curve: np.ndarray) -> Iterator[Finding]:
    """Compare the training with what was held back, or with these data."""
    validation = case.curve("val_loss")
    remedy = (
        "Stop at the best epoch (`validation`, `patience`), drop out (`dropout`, `recurrent_dropout`), decay "
        "weights (AdamW), take fewer units, or more data."
    )
    if len(validation):
        best = int(validation.argmin())
        if validation[-1] - validation[best] > RISE * case.prior and curve[-1] < curve[best]:
            yield Finding(
                "overfitting",
                "The training loss falls on while the validation loss rises: it learns by heart.",
                f"after epoch {best + 1}",
                f"validation loss {validation[best]:.3g} there, {validation[-1]:.3g} in the last epoch; "
                f"training loss {curve[best]:.3g} and {curve[-1]:.3g}",
                remedy,
            )
    elif case.scores["loss"] - curve[-1] > GAP * case.prior and curve[-1] < LEFT * case.prior:
        yield Finding(
            "overfitting",
            "The loss on these data is far above that of the training: it learnt others by heart.",
            "these data",
            f"loss {case.scores['loss']:.3g}; {curve[-1]:.3g} in the last epoch of the training",
            remedy,
        )


def _untrained(case: Case, curve: np.ndarray) -> Iterator[Finding]:
    """Look whether the loss was still falling fast in the end."""
    if len(curve) < 2 or case.explained > LEFT:
        return
    last = np.diff(curve[-4:]) / case.prior
    falling = (last < 0).all() and -last[-1] > FALLING
    if falling or (case.fails and len(curve) <= FEW and curve[-1] < curve[0]):
        yield Finding(
            "untrained",
            "The training ended while the loss was still falling fast."
            if falling
            else "The training ended before it had well begun.",
            f"epoch {len(curve)}, the last",
            f"training loss {curve[-2]:.3g} to {curve[-1]:.3g} in the last epoch; one answer for all has "
            f"{case.prior:.3g}",
            "Train on for more epochs.",
        )


def underfitting(case: Case) -> Iterator[Finding]:
    """Tell of a network that makes less of X than a linear map, where no cause was found."""
    if case.explained < case.readout.share - BEHIND and case.readout.share > LEARNT:
        yield Finding(
            "underfitting",
            "The network makes less of X than a linear map of a few averages; no other cause was found.",
            "the model",
            f"it explains {max(case.explained, 0):.0%} of the targets' variance, the linear map "
            f"{case.readout.share:.0%}",
            "Train for more epochs, with more units or layers (`hidden_size`, `num_layers`), and with "
            "another learning rate.",
        )
