"""X that never changes: a column that was misread, or overwritten, tells nothing of anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rnn_xp.diagnosis.case import LEARNT, Case
from rnn_xp.diagnosis.finding import Finding


def check(case: Case) -> Iterator[Finding]:
    """Look whether every step of every sequence holds the same; their lengths may still tell something."""
    x, mask = case.sample.x, case.sample.mask
    steps = x.reshape(-1, *x.shape[2:]) if mask is None else x[mask]
    if len(steps) < 2 or (steps != steps[0]).any() or case.explained > LEARNT:
        return
    shown = ", ".join(f"{float(value) + 0.0:.3g}" for value in np.atleast_1d(steps[0])[:3])
    more = ", ..." if steps[0].size > 3 else ""
    yield Finding(
        "constant",
        "X is the same at every step of every sequence: there is nothing to tell the targets by.",
        "X",
        f"{len(steps)} steps of {x.shape[1]} sequences, and each holds {shown}{more}",
        "Look at how X was read, and at what was done to it since: the columns, the file, the scaling.",
    )
