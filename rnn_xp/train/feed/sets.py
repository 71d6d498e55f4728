"""The data sets of a training: checked, moved, and cut into what its steps take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import Backend
from rnn_xp.data.lanes import Lanes
from rnn_xp.distributed import Communicator, together
from rnn_xp.distributed.agree import gather
from rnn_xp.train.feed import lanes
from rnn_xp.train.feed.batches import Batches
from rnn_xp.train.feed.division import ALONE, Division
from rnn_xp.train.feed.prepare import Prepared, prepare
from rnn_xp.train.feed.validation import check_counts, hold_back
from rnn_xp.train.feed.whole import Whole, aligned
from rnn_xp.train.feed.windows import Windows
from rnn_xp.train.loop.parts import Source
from rnn_xp.train.options import Given
from rnn_xp.train.saving.fingerprint import of_data, of_lanes, of_sequences
from rnn_xp.train.scores import evaluate_prepared
from rnn_xp.typing import Tree


class Sets(NamedTuple):
    """What to train on, and how to score it."""

    source: Source
    lengths: NDArray[np.int64] | None  # by which sequences are put into buckets
    score: Callable[[Tree], dict[str, Any]] | None
    fingerprint: Callable[[], dict[str, Any]]


def sets(given: Given, backend: Backend, ranks: Communicator) -> Sets:
    """Prepare what to train on and what to validate on."""
    ready = partial(prepare, given.model, loss=given.loss, dtype=backend.precision, empty=given.sharded)
    data, bounds, of_all = None, None, None
    with together(ranks):
        if isinstance(given.X, Lanes):
            _check_lanes(given)
        else:
            own = {name: getattr(given, name) for name in ("layout", "lengths", "mask", "reset", "weights")}
            data = ready(given.X, given.y, **own)
    if given.sharded and data is not None:
        data = aligned(data, ranks)
        bounds = _bounds(ranks, data.x.shape[1])
        of_all = None if given.checkpoint is None else of_sequences(data, ranks)  # before a part is held back
    with together(ranks):
        data, held = hold_back(*(given.validation, data, ready, given.layout, given.seed), bounds, ranks.rank)
    score = None
    if held is not None:
        held = aligned(held, ranks) if given.sharded else held
        check_counts("validation", _known(held, given, ranks))
        score = partial(_score, given, held, backend, ranks)

    def fingerprint() -> dict[str, Any]:
        mine = {"X": given.X.fingerprint()} if data is None else of_data(data)
        if not given.sharded:
            return {**mine, "validation": None if held is None else of_data(held)}
        share = isinstance(given.validation, Real)
        validation = given.validation if share or held is None else of_sequences(held, ranks)
        X = of_lanes(given.X, ranks) if data is None else of_all
        return {**dict.fromkeys(mine), "X": X, "validation": validation}

    if ranks.size > 1 and not given.sharded:
        _check_same(fingerprint(), ranks)
    source, lengths = _source(given, data, backend, ranks)
    return Sets(source, lengths, score, fingerprint)


def _source(
    given: Given, data: Prepared | None, backend: Backend, ranks: Communicator
) -> tuple[Source, NDArray[np.int64] | None]:
    """Return where the steps come from, and the lengths by which sequences are put into buckets."""
    sizes = (given.batch_size, given.accumulate)
    if data is None:
        assert given.truncate is not None
        bounds = _lanes_apart(given.X, ranks) if given.sharded else (0, given.X.count)
        division = _division(given, ranks, bounds)
        own = (given.X, given.model, backend, given.truncate)
        return lanes.LaneWindows(*own, *sizes, division=division, count=bounds[-1]), None
    whole = _known(data, given, ranks)
    check_counts("X", whole)
    division = _division(given, ranks, _bounds(ranks, data.x.shape[1]))
    even = given.truncate is not None
    batches = Batches(data, backend, *sizes, even=even, division=division, whole=whole)
    source = batches if given.truncate is None else Windows(batches, *given.truncate)
    return source, whole.lengths if given.bucket else None


def _division(given: Given, ranks: Communicator, bounds: tuple[int, ...]) -> Division:
    """Return who computes what."""
    if ranks.size == 1 and given.blocks is None:
        return ALONE
    return Division(ranks.rank, ranks.size, given.blocks, bounds if given.sharded else None)


def _known(data: Prepared, given: Given, ranks: Communicator) -> Whole:
    """Return what all processes know of all sequences."""
    whole = Whole.of(data, None if given.truncate is None else given.truncate[0])
    return whole.joined(ranks) if given.sharded else whole


def _bounds(ranks: Communicator, count: int) -> tuple[int, ...]:
    """Return where, among all sequences, those of each process begin, and where the last ones end."""
    counts = gather(ranks, [count])[:, 0].astype(np.int64)
    return (0, *np.cumsum(counts).tolist())


def _check_same(own: dict[str, Any], ranks: Communicator) -> None:
    """Refuse data of the ranks that are not the same where each is to have all of them."""
    for name, digest in own.items():
        for part, text in (digest if isinstance(digest, dict) else {"": digest}).items():
            number = 0.0 if text is None else float(int(text[:12], 16))
            numbers = gather(ranks, [number])[:, 0]
            other = np.flatnonzero(numbers != numbers[0])
            if len(other):
                named = f"{name} ({part})" if part else name
                must = f"`{named}` must be the same on every rank"
                msg = (
                    f"{must}; got another on rank {other[0]} than on rank 0. "
                    "Where each rank has a part of its own: sharded=True."
                )
                raise ValueError(msg)


def _lanes_apart(own: Lanes, ranks: Communicator) -> tuple[int, ...]:
    """Return the bounds of the ranks' own lanes, which must be equally long."""
    steps = gather(ranks, [own.steps])[:, 0].astype(int)
    if (steps != steps[0]).any():
        must = "`X` must be Lanes of as many steps on every rank"
        msg = f"{must}; got {steps.tolist()}. Cut the corpora to one length, or change `count`."
        raise ValueError(msg)
    return _bounds(ranks, own.count)


def _score(
    given: Given, held: Prepared, backend: Backend, ranks: Communicator, params: Tree
) -> dict[str, Any]:
    """Score weights on what is held back."""
    how = {"apart": given.sharded, "fixed": given.blocks is not None}
    return evaluate_prepared(given.model, params, held, given.loss_name, backend, ranks, **how)


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
