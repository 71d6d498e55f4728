"""The validation set of a run: a share of the data, or a set of its own."""

from __future__ import annotations

from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.data.sequences import Dataset
from rnn_xp.train.feed.prepare import Prepared
from rnn_xp.train.feed.whole import Whole

SPLIT = 2  # what a seed is used for; 1 is the order of training
_MAY_BE = "a share, a Dataset, (X, y), (X, y, lengths) or (X, y, lengths, weights)"


class Ready(Protocol):
    """`prepare`, for the model and the loss of the run."""

    def __call__(self, X: Any, y: Any, *, layout: str, lengths: Any, weights: Any) -> Prepared:
        """Check and convert a data set."""


def hold_back(
    validation: Any,
    data: Prepared | None,
    ready: Ready,
    layout: str,
    seed: int,
    bounds: tuple[int, ...] | None = None,
    rank: int = 0,
) -> tuple[Prepared | None, Prepared | None]:
    """Return what to train on and what to validate on, if anything; no data are those of a corpus.

    Of sequences that lie in several processes, between `bounds`, a share of all is held back.
    """
    held = None
    if isinstance(validation, tuple | list):
        held = _own(validation, ready, layout)
    elif validation is not None:
        if isinstance(validation, bool) or not isinstance(validation, Real):
            msg = f"`validation` must be {_MAY_BE}; got {type(validation).__name__}."
            raise TypeError(msg)
        share = checks.number("validation", validation, high=1.0, open_low=True)
        if data is None:
            msg = f"`validation` must be a set of its own where `X` is Lanes; got {share:g}."
            raise ValueError(msg)
        data, held = _split(data, share, seed, bounds or (0, data.x.shape[1]), rank if bounds else 0)
    return data, held


def check_counts(name: str, data: Prepared | Whole) -> None:
    """Refuse a data set in which nothing counts, or of which no step is valid."""
    if data.counts.sum() == 0 or (data.lengths is not None and not data.lengths.any()):
        raise ValueError(nothing_counts(name))


def nothing_counts(name: str) -> str:
    """Say that an argument holds nothing that counts."""
    return f"`{name}` must hold something that counts; got only what lies past `lengths` or weighs 0."


def _own(validation: Any, ready: Ready, layout: str) -> Prepared:
    """Prepare (X, y, lengths, weights), of which the last may be left out."""
    if isinstance(validation, Dataset):
        validation, layout = validation[:3], "NTC"
    if len(validation) not in (2, 3, 4):
        msg = f"`validation` must be {_MAY_BE}; got {len(validation)} parts."
        raise ValueError(msg)
    X, y, lengths, weights = (*validation, None, None)[:4]
    try:
        return ready(X, y, layout=layout, lengths=lengths, weights=weights)
    except (TypeError, ValueError) as error:
        msg = f"`validation`: {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(msg) from error


def _split(
    data: Prepared, share: float, seed: int, bounds: tuple[int, ...], rank: int
) -> tuple[Prepared, Prepared]:
    """Hold back a share of all sequences, at least one, chosen by the seed; return this process' own."""
    count = bounds[-1]
    held = max(1, round(share * count))
    if held >= count:
        msg = f"`validation` must leave a sequence to train on; got {share} of {count}."
        raise ValueError(msg)
    order = np.random.default_rng([seed, 0, SPLIT]).permutation(count)
    low, high = bounds[rank : rank + 2]

    def own(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        mine: NDArray[np.int64] = np.sort(numbers[(numbers >= low) & (numbers < high)]) - low
        return mine

    return data.take(own(order[held:])), data.take(own(order[:held]))
