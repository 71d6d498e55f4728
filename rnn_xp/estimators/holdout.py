"""What an estimator holds back of its training data to validate on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.data.sliding import split_series
from rnn_xp.train.feed.validation import SPLIT

Index = NDArray[np.int64]
Series = NDArray[np.float64]


def hold_back(share: Any, count: int, seed: int, labels: Index | None = None) -> tuple[Index, Index]:
    """Return which series to train on and which to hold back: of every class the same share.

    One series of each class is always trained on.
    """
    share = checks.number("validation", share, high=1.0, open_low=True)
    order = np.random.default_rng([seed, 0, SPLIT]).permutation(count)
    free = order
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]  # class by class
        free = order[np.diff(labels[order], prepend=-1) == 0]
    held = max(1, round(share * count))
    if held > len(free) or held == count:
        must = "`validation` must leave a series, of each class, to train on"
        msg = f"{must}; got {share:g} of {count} series."
        raise ValueError(msg)
    if labels is not None:  # at equal distances, and so in every class
        free = free[(np.arange(held) * len(free)) // held]
    chosen = np.sort(free[:held])
    return np.setdiff1d(np.arange(count), chosen), chosen


def hold_back_end(share: Any, series: Series, window: int, horizon: int) -> tuple[Series, Series]:
    """Return what of a series (T, C) to train on, and its end, with the window that is known by then."""
    share = checks.number("validation", share, high=1.0, open_low=True)
    held = max(1, round(share * len(series)))
    if len(series) - held < window + horizon or held < horizon:
        must = f"`validation` must leave at least window + horizon = {window + horizon} steps to train on"
        also = f"and hold back at least horizon = {horizon}"
        msg = f"{must}, {also}; got {share:g} of {len(series)} steps, which holds back {held}."
        raise ValueError(msg)
    return split_series(series, held, window)
