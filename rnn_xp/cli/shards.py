"""Data of which every rank has a part: what must be known of all parts, as if they were one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import data
from rnn_xp.cli.errors import naming
from rnn_xp.cli.output import printable
from rnn_xp.cli.ranks import together
from rnn_xp.data import Dataset, Scaling
from rnn_xp.data.labels import encode_labels
from rnn_xp.data.scaling import Moments, find_moments
from rnn_xp.distributed import Communicator
from rnn_xp.distributed.agree import gather, tell

_SPLIT = 1  # what a seed is used for besides the data and the weights


def alike(part: Dataset, path: str, ranks: Communicator, again: Callable[[], Dataset]) -> Dataset:
    """Return a part in the terms of all: features, classes, and as many steps as the longest sequence has.

    Where a table's targets never change within a sequence, another part's may: it is read `again`.
    """
    if ranks.size == 1:
        return part
    assert part.y is not None
    per_step = gather(ranks, [_is_table(path) and part.y.ndim == 2])[:, 0].any()
    with together(ranks):
        if per_step and part.y.ndim == 1:
            part = again()
    own = [part.X.ndim, part.classes is None, *_of_targets(part)]
    facts = gather(ranks, own)
    first = json.loads(tell(ranks, json.dumps(part.features)))
    classes = {name for each in everyone(ranks, list(part.classes or ())) for name in each}
    with together(ranks), naming(path):
        _check(own, facts[0].tolist())
        part = _with_features(part, tuple(first))
        if part.classes is not None:
            _, known = encode_labels(np.array(sorted(classes), dtype=np.str_))
            part = data.with_classes(part, known)
    return _as_long(part, int(gather(ranks, [part.X.shape[1]]).max()), bool(facts[:, 2].all()), ranks)


def everyone(ranks: Communicator, own: Any) -> list[Any]:
    """Return what every rank has, in JSON values."""
    return [json.loads(tell(ranks, json.dumps(own), rank)) for rank in range(ranks.size)]


def places(ranks: Communicator, count: int) -> tuple[int, int, int]:
    """Return where, among the sequences of all ranks, those of this one lie, and how many all are."""
    counts = gather(ranks, [count])[:, 0].astype(int)
    first = int(counts[: ranks.rank].sum())
    return first, first + count, int(counts.sum())


def hold_back(
    train: Dataset, share: float, seed: int, parts: Communicator, ranks: Communicator
) -> tuple[Dataset, Dataset, int]:
    """Hold back a share of the sequences of all parts, at least one, chosen by the seed; and say how many."""
    first, end, count = places(parts, len(train.X))
    held = max(1, round(share * count))
    with together(ranks):
        if held >= count:
            msg = f"--validation {share:g} must leave a sequence to train on; there are {count} in all."
            raise ValueError(msg)
    order = np.random.default_rng([seed, _SPLIT]).permutation(count)

    def take(numbers: NDArray[np.int64]) -> Dataset:
        own = np.sort(numbers[(first <= numbers) & (numbers < end)]) - first
        y, lengths = (None if array is None else array[own] for array in (train.y, train.lengths))
        return train._replace(X=train.X[own], y=y, lengths=lengths)

    return take(order[held:]), take(order[:held]), held


def fit_scaling(
    X: NDArray[Any],
    lengths: NDArray[np.int64] | None,
    features: Sequence[str],
    source: str | None,
    parts: Communicator,
    ranks: Communicator,
) -> Scaling:
    """Return the scaling by the steps (T, N, C) of all `parts`, of which a rank may have none."""
    valid = X.shape[1] if lengths is None else int(np.count_nonzero(lengths))
    total = gather(parts, [valid]).sum()
    with together(ranks), naming(source):
        C = X.shape[2]
        own = Moments(*np.zeros((5, C))) if total and not valid else find_moments(X, lengths, features)
    if parts.size > 1:
        table = gather(parts, np.concatenate(own).tolist()).reshape(parts.size, 5, C)
        own = Moments.joined([Moments(*each) for each in table])
    with together(ranks), naming(source):
        return own.scaling(features)


def _of_targets(part: Dataset) -> list[int]:
    """Return whether targets may be one a step, and how many axes they have."""
    assert part.y is not None
    timed = part.y.ndim == 2 and part.y.shape[1] == part.X.shape[1]
    return [timed, part.y.ndim]


def _check(own: list[Any], first: list[Any]) -> None:
    """Refuse a part of another kind than that of the first rank."""
    kinds = (
        (0, "the sequences must be features, or tokens"),
        (1, "the targets must be names of classes, or numbers (--targets says which)"),
        (3, "the targets must be one for a sequence, or several"),
    )
    for place, must in kinds:
        if own[place] != first[place]:
            msg = f"{must}, as those of rank 0 are; got the other."
            raise ValueError(msg)


def _with_features(part: Dataset, features: tuple[str, ...]) -> Dataset:
    """Return a part with the channels of the first rank's."""
    if sorted(part.features) != sorted(features):
        must, came = (printable(", ".join(names)) for names in (features, part.features))
        msg = f"the features must be those of rank 0, {must}; got {came}."
        raise ValueError(msg)
    return data.with_features(part, features)


def _as_long(part: Dataset, steps: int, timed: bool, ranks: Communicator) -> Dataset:
    """Return a part padded to so many steps; its targets too, where all ranks' are one a step."""
    N, T = part.X.shape[:2]
    ragged = gather(ranks, [part.lengths is not None or steps > T])[:, 0].any()
    lengths = np.full(N, T) if ragged and part.lengths is None else part.lengths

    def longer(array: Any) -> Any:
        return np.pad(array, [(0, 0), (0, steps - T), *[(0, 0)] * (array.ndim - 2)])

    return part._replace(X=longer(part.X), y=longer(part.y) if timed else part.y, lengths=lengths)


def _is_table(path: str) -> bool:
    return path.lower().endswith(".csv")
