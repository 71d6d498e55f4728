"""What is not finite: X, on which nothing can be trained, or weights, with which nothing is answered."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_xp import tree
from rnn_xp.backend import to_numpy
from rnn_xp.data.sequences import to_time_major, valid_steps
from rnn_xp.diagnosis.finding import Finding
from rnn_xp.typing import Tree


def in_weights(params: Tree) -> Finding | None:
    """Return where weights are not finite; None where all are."""
    bad = {name: ~np.isfinite(to_numpy(leaf)) for name, leaf in tree.named_leaves(params)}
    where = next((name for name, places in bad.items() if places.any()), None)
    if where is None:
        return None
    return Finding(
        "not-finite",
        "The model has weights that are not finite: whatever it reads, its answers are no numbers.",
        where,
        f"{sum(int(places.sum()) for places in bad.values())} of "
        f"{sum(places.size for places in bad.values())} weights",
        "Take the weights of an earlier epoch, or begin anew: `fit` itself never keeps such a step.",
    )


def find(X: Any, layout: str, lengths: Any, mask: Any) -> Finding | None:
    """Return where X is not finite; None where it is, or where `fit` would say what else is wrong with it."""
    if mask is not None or not isinstance(X, np.ndarray) or X.dtype.kind != "f" or X.ndim != 3:
        return None
    x = to_time_major("X", X, layout)
    bad = ~np.isfinite(x) & valid_steps(x.shape[0], x.shape[1], lengths)[:, :, np.newaxis]
    if not bad.any():
        return None
    step, sample, feature = (int(place[0]) for place in np.nonzero(bad))
    evidence = f"{bad.sum()} of {bad.size} values; the first is {x[step, sample, feature]}"
    where = f"sample {sample}, step {step}, feature {feature}"
    if bool((bad.all(axis=2) == bad.any(axis=2)).all() and (bad[1:] >= bad[:-1]).all()):
        return Finding(
            "padding",
            "Sequences end in steps that are not finite: padding, of which nothing was said.",
            where,
            f"{evidence}, and all after it in that sequence",
            "Say what is data: lengths=np.isfinite(X).all(axis=2).sum(axis=1), where X is (N, T, C).",
        )
    return Finding(
        "not-finite",
        "X holds values that are not finite: neither training nor anything else can be computed.",
        where,
        evidence,
        "Fill them (with the value before, or the mean), drop these steps with a `mask`, or these sequences.",
    )
