"""Padding that is read as data: sequences that end, or begin, in a run of one value, of varying length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rnn_xp.diagnosis.case import Case, only_inputs
from rnn_xp.diagnosis.finding import Finding
from rnn_xp.train.feed.prepare import Prepared
from rnn_xp.train.predict import predict

Host = NDArray[np.generic]

SHARE = 0.25
"""Of the sequences: so many must end in a run; in fewer it may be chance."""

INSIDE = 0.01
"""Of the steps elsewhere: where more repeat the one before, or hold that value, it is a value like others."""


def check(case: Case) -> Iterator[Finding]:
    """Look at both ends of the sequences, where nothing was said of their lengths."""
    data = case.sample
    if data.lengths is not None or len(data.x) < 3:
        return
    for name, x in (("end", data.x), ("begin", data.x[::-1])):
        run = tail(x)
        if run is None:
            continue
        shown = ", ".join(f"{float(value):.3g}" for value in np.atleast_1d(x[-1, int(np.argmax(run))])[:3])
        yield Finding(
            "padding",
            f"Sequences {name} in a run of one value that stands nowhere else, of varying length: "
            "padding, and the network reads it as data.",
            f"the {name} of the sequences",
            f"{np.mean(run > 1):.0%} of the sequences {name} in up to {run.max()} steps of one value ({shown}"
            f"{', ...' if x.ndim == 3 and x.shape[2] > 3 else ''})" + _changes(case, data, run, name),
            "Say what is data: `lengths`, a `mask`, or a list of unequal sequences."
            if name == "end"
            else "Say what is data: a `mask`, or a list of unequal sequences.",
        )


def tail(x: Host) -> NDArray[np.int64] | None:
    """Return how many steps each sequence of x (T, N, ...) ends in that are padding; None where none are."""
    T = len(x)
    same = _equal(x[1:], x[:-1])
    run = 1 + np.cumprod(same[::-1], axis=0).sum(axis=0)
    before = np.arange(T)[:, np.newaxis] < T - run  # the steps before the run
    kinds, kind = np.unique(x[-1, run > 1], axis=0, return_inverse=True)
    if len(kinds):  # the value that most of them end in
        value = kinds[np.bincount(kind.ravel()).argmax()]
        holds = _equal(x, value)
        own = holds[-1] & (run > 1)
        if _varies(own, run) and (holds & (before | ~own)).sum() <= INSIDE * x.shape[1] * T:
            return np.asarray(np.where(own, run, 1))
    if x.ndim == 3 and _varies(run > 1, run) and (same & before[1:]).sum() <= INSIDE * before.sum():
        return np.asarray(run)  # each ends in a value of its own
    return None


def _equal(a: Host, b: Host) -> NDArray[np.bool_]:
    """Return where steps (T, N, ...) are equal, in all features."""
    same = np.asarray(a == b)
    return np.asarray(same.all(axis=2)) if a.ndim == 3 else same


def _varies(padded: NDArray[np.bool_], run: NDArray[np.int64]) -> bool:
    """Return whether enough sequences are padded, and by numbers that differ."""
    return bool(padded.mean() >= SHARE and len(np.unique(run[padded])) > 1)


def _changes(case: Case, data: Prepared, run: NDArray[np.int64], name: str) -> str:
    """Say how many answers change once the padding is told."""
    if name != "end" or case.model.per_step or not case.function.classes:
        return ""
    lengths = np.where(run > 1, len(data.x) - run, len(data.x))
    asked = only_inputs(data)
    before = predict(case.model, case.params, **asked).argmax(axis=1)
    after = predict(case.model, case.params, **{**asked, "lengths": lengths}).argmax(axis=1)
    return f"; without it {np.mean(before != after):.0%} of the answers would be other ones"
