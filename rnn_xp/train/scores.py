"""How good a model is: sums over parts of a data set, in whatever process, and the scores that they give."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks, metrics, tree
from rnn_xp.backend import Backend, backend_of
from rnn_xp.data.sequences import LAYOUTS
from rnn_xp.distributed import Alone, Communicator, get_communicator, together
from rnn_xp.model import LOSSES, Sequential
from rnn_xp.train.feed.prepare import Prepared, prepare
from rnn_xp.train.feed.rows import parts, take
from rnn_xp.train.feed.validation import check_counts, nothing_counts
from rnn_xp.train.options import check_params
from rnn_xp.train.predict import _answers, _outputs
from rnn_xp.typing import Tree

PART = 256
"""Sequences that are scored at once."""


def evaluate(
    model: Sequential,
    params: Tree,
    X: Any,
    y: Any,
    *,
    loss: str = "cross_entropy",
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    weights: Any = None,
    distributed: Any = None,
    sharded: bool = False,
) -> dict[str, Any]:
    """Return the loss and the metrics that belong to it; a `numpy.memmap` is read a part at a time.

    Parameters
    ----------
    model, params, X, y, loss, layout, lengths, mask, reset
        As in `fit` and `predict`.
    weights : array, optional
        As in `fit`; they count in the loss alone, the other scores count all alike.
    distributed, sharded
        As in `fit`: the processes share the work, and the scores of all are the same.

    Returns
    -------
    dict
        "loss"; for classes "accuracy", "confusion" (rows: true class), "precision" and "recall"; for
        probabilities "accuracy"; else "mean_absolute_error".
    """
    chosen = LOSSES[checks.one_of("loss", loss, LOSSES)]
    check_params(model, params)
    backend = backend_of(tree.leaves(params)[0])
    checks.one_of("layout", layout, LAYOUTS)
    ranks, per_step = get_communicator(distributed), model.per_step
    given = {"X": X, "y": y, "lengths": lengths, "mask": mask, "reset": reset, "weights": weights}
    total = Tally.empty(model, loss)
    with together(ranks):
        for rows in parts(X, layout, ranks, apart=checks.boolean("sharded", sharded)):
            own = take(given, layout, rows, per_step=per_step)
            X, y = own.pop("X"), own.pop("y")
            data = prepare(model, X, y, loss=chosen, layout=layout, **own, dtype=backend.precision)
            if rows is None:
                check_counts("X", data)
            total = total.plus(score_part(model, params, data, loss, backend))
    return total.of_all(ranks).scores("X", loss)


class Tally(NamedTuple):
    """What a part of a data set adds to the scores."""

    sums: NDArray[np.float64]  # of the losses, each times its weight; of the weights; of the absolute errors
    counts: NDArray[np.int64]  # (K, K), the confusion of classes; else what was hit, and how much there is

    @classmethod
    def empty(cls, model: Sequential, loss: str) -> Tally:
        """Return that of nothing."""
        K = model.output_size
        shape = () if K is None else (K, K)
        return cls(np.zeros(3), np.zeros(shape if LOSSES[loss].classes else (2,), dtype=np.int64))

    def plus(self, other: Tally) -> Tally:
        """Return that of both parts."""
        return Tally(self.sums + other.sums, self.counts + other.counts)

    def of_all(self, ranks: Communicator) -> Tally:
        """Return that of all processes."""
        for table in self:
            ranks.sum(table)
        return self

    def scores(self, name: str, loss: str) -> dict[str, Any]:
        """Return the scores by name; refuse a data set, an argument's, in which nothing counts."""
        (total, weight, error), counts = self
        if weight == 0:
            raise ValueError(nothing_counts(name))
        scores: dict[str, Any] = {"loss": float(total / weight)}
        if LOSSES[loss].classes:
            precision, recall = metrics.precision_recall(counts)
            scores |= {"accuracy": float(np.trace(counts) / counts.sum()), "confusion": counts.tolist()}
            return scores | {"precision": precision.tolist(), "recall": recall.tolist()}
        if LOSSES[loss].activation is None:
            return scores | {"mean_absolute_error": float(error / counts[1])}
        return scores | {"accuracy": float(counts[0] / counts[1])}


def evaluate_prepared(
    model: Sequential,
    params: Tree,
    data: Prepared,
    loss: str,
    backend: Backend,
    ranks: Communicator | None = None,
    *,
    apart: bool = False,
    fixed: bool = False,
) -> dict[str, Any]:
    """Score a prepared data set.

    With several ranks, each scores a share of it, or, where they are `apart`, the data that it has. `fixed`
    parts give the same bits for any number of ranks.
    """
    ranks = ranks or Alone()
    if apart:
        with together(ranks):
            own = score_part(model, params, data, loss, backend)
        return own.of_all(ranks).scores("X", loss)
    count = data.x.shape[1]
    size = PART if fixed else max(1, min(PART, -(-count // ranks.size)))
    starts = range(0, count, size)
    mine = range(*(len(starts) * rank // ranks.size for rank in (ranks.rank, ranks.rank + 1)))
    total = Tally(np.zeros((len(starts), 3)), Tally.empty(model, loss).counts)
    with together(ranks):
        for number in mine:
            part = data.take(slice(starts[number], starts[number] + size))
            own = score_part(model, params, part, loss, backend)
            total.sums[number] = own.sums
            total = total._replace(counts=total.counts + own.counts)
    sums, counts = total.of_all(ranks)
    return Tally(sums.sum(axis=0), counts).scores("X", loss)


def score_part(model: Sequential, params: Tree, data: Prepared, loss: str, backend: Backend) -> Tally:
    """Score sequences, so many at once."""
    total = Tally.empty(model, loss)
    for start in range(0, data.x.shape[1], PART):
        part = data.take(slice(start, start + PART))
        if part.lengths is None or not model.per_step or part.lengths.any():
            total = total.plus(_tally(model, params, part, loss, backend))
    return total


def _tally(model: Sequential, params: Tree, data: Prepared, loss: str, backend: Backend) -> Tally:
    """Score a part of a data set."""
    chosen = LOSSES[loss]
    target: Any = data.target
    mask = data.mask if model.per_step else None
    if chosen.classes and model.per_step:  # a text's logits would not fit: V for every step
        losses, predicted = np.zeros(target.shape), np.zeros(target.shape, dtype=np.int64)
        for own, y in _answers(model, params, data, backend, PART):
            logits = backend.to_numpy(y)
            losses[own] = chosen.forward(logits, target[own], xp=np)[0]
            predicted[own] = logits.argmax(axis=-1)
        K = logits.shape[-1]
    else:
        given = _outputs(model, params, data, backend, PART, None)
        losses = np.asarray(chosen.forward(given, target, xp=np)[0], dtype=np.float64)
        predicted, K = given.argmax(axis=-1), given.shape[-1]
    weight = np.ones(losses.shape) if data.weight is None else data.weight
    if mask is not None:
        losses, weight = losses[mask], weight[mask]
    sums = np.array([(losses * weight).sum(), weight.sum(), 0.0])
    if chosen.classes:
        return Tally(sums, metrics.confusion_matrix(predicted, target, K, mask))
    true = target if mask is None else target[mask]
    answer = given if mask is None else given[mask]
    if chosen.activation is None:
        sums[2] = np.abs(answer.astype(np.float64) - true.astype(np.float64)).sum()
        return Tally(sums, np.array([0, true.size]))
    return Tally(sums, np.array([np.count_nonzero((answer > 0) == (true > 0.5)), true.size]))
