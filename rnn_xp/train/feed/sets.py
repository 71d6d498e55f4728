"""The data sets of a training: checked, moved, and cut into what its steps take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import Backend
from rnn_xp.data.lanes import Lanes
from rnn_xp.train.feed import lanes
from rnn_xp.train.feed.batches import Batches
from rnn_xp.train.feed.prepare import Prepared, prepare
from rnn_xp.train.feed.validation import hold_back
from rnn_xp.train.feed.windows import Windows
from rnn_xp.train.loop.training import Source
from rnn_xp.train.options import Given
from rnn_xp.train.predict import evaluate_prepared
from rnn_xp.train.saving.fingerprint import of_data
from rnn_xp.typing import Tree


class Sets(NamedTuple):
    """What to train on, and how to score it."""

    source: Source
    lengths: NDArray[np.int64] | None  # by which sequences are put into buckets
    score: Callable[[Tree], dict[str, Any]] | None
    fingerprint: Callable[[], dict[str, Any]]


def sets(given: Given, backend: Backend) -> Sets:
    """Prepare what to train on and what to validate on."""
    ready = partial(prepare, given.model, loss=given.loss, dtype=backend.precision)
    data = None
    if isinstance(given.X, Lanes):
        _check_lanes(given)
    else:
        own = {name: getattr(given, name) for name in ("layout", "lengths", "mask", "reset", "weights")}
        data = ready(given.X, given.y, **own)
    data, held = hold_back(given.validation, data, ready, given.layout, given.seed)
    score = None
    if held is not None:
        score = partial(_score, given, held, backend)

    def fingerprint() -> dict[str, Any]:
        mine = {"X": given.X.fingerprint()} if data is None else of_data(data)
        return {**mine, "validation": None if held is None else of_data(held)}

    sizes = (given.batch_size, given.accumulate)
    if data is None:
        assert given.truncate is not None
        corpus = lanes.LaneWindows(given.X, given.model, backend, *given.truncate, *sizes)
        return Sets(corpus, None, score, fingerprint)
    batches = Batches(data, backend, *sizes, even=given.truncate is not None)
    source = batches if given.truncate is None else Windows(batches, *given.truncate)
    return Sets(source, data.lengths if given.bucket else None, score, fingerprint)


def _score(given: Given, held: Prepared, backend: Backend, params: Tree) -> dict[str, Any]:
    """Score weights on what is held back."""
    return evaluate_prepared(given.model, params, held, given.loss_name, backend)


def _check_lanes(given: Given) -> None:
    """Refuse what does not go with a corpus, whose lanes are sequences of one length without an end."""
    for name in ("y", "lengths", "mask", "reset", "weights"):
        if getattr(given, name) is not None:
            came = type(getattr(given, name)).__name__
            msg = f"`{name}` must be None where `X` is Lanes, which tell it; got {came}."
            raise ValueError(msg)
    if given.truncate is None:
        msg = (
            "`truncate` must be given where `X` is Lanes: it says how much of them is read at once; got None."
        )
        raise ValueError(msg)
    if given.bucket:
        msg = "`bucket` must be False where `X` is Lanes, which have one length; got True."
        raise ValueError(msg)
    lanes.check(given.model, given.loss)
