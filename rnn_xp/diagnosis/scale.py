"""Features and targets whose size a network cannot work with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_xp.diagnosis.case import Case, valid_rows
from rnn_xp.diagnosis.finding import Finding

LARGE = 30.0
"""Root mean square of a feature: weights begin near 1 / sqrt(H), and gates are saturated beyond some 5."""

SMALL = 1e-3
"""Root mean square of the largest feature: weights would have to grow a thousandfold before it shows."""

APART = 1e3
"""Largest over smallest deviation of two features: the smaller is then noise beside the larger."""

TARGET = 30.0
"""Root mean square of the targets: outputs begin near 0, and move by a learning rate a step."""


def check(case: Case) -> Iterator[Finding]:
    """Look at the size of each feature, and of the targets."""
    x, mask = case.sample.x, case.sample.mask
    if x.ndim == 3:
        values = (x.reshape(-1, x.shape[2]) if mask is None else x[mask]).astype(np.float64)
        size, deviation = np.sqrt((values**2).mean(axis=0)), values.std(axis=0)
        yield from _features(size, deviation)
    if not case.function.classes and case.function.activation is None:
        target, _ = valid_rows(case.sample)
        rms = float(np.sqrt(np.mean(target.astype(np.float64) ** 2)))
        if rms > TARGET:
            yield Finding(
                "target-scale",
                "The targets are far from what outputs begin at, 0, and of a step of the weights.",
                "the targets",
                f"root mean square {rms:.3g}, mean {target.mean():.3g}, deviation {target.std():.3g}",
                "Scale them: (y - y.mean()) / y.std(); and the answers back.",
            )


def _features(size: np.ndarray, deviation: np.ndarray) -> Iterator[Finding]:
    """Look at features of this root mean square (C,), and this deviation."""
    varies = deviation > 0
    largest = int(size.argmax())
    remedy = "Scale them: rx.data.fit_scaling on the training part, and its `apply` on everything."
    if size[largest] > LARGE:
        what = "A feature is so large that it saturates whatever reads it."
        count = int((size > LARGE).sum())
        more = f", and {count - 1} more beyond {LARGE:g}" if count > 1 else ""
        evidence = f"root mean square {size[largest]:.3g}, deviation {deviation[largest]:.3g}{more}"
    elif size[largest] < SMALL:
        what = "The features are so small that the network hardly sees them."
        evidence = f"largest root mean square {size[largest]:.3g}"
    elif varies.sum() > 1 and deviation[varies].max() > APART * deviation[varies].min():
        smallest = int(np.where(varies, deviation, np.inf).argmin())
        what = "The features differ so much in size that the small ones are noise beside the large."
        evidence = (
            f"deviation {deviation.max():.3g} of feature {int(deviation.argmax())}, "
            f"{deviation[smallest]:.3g} of feature {smallest}"
        )
    else:
        return
    yield Finding("scale", what, f"feature {largest}", evidence, remedy)
