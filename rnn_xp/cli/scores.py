"""How good a model is on a data set, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnn_xp as rx
from rnn_xp import metrics
from rnn_xp.cli import language
from rnn_xp.cli.errors import naming
from rnn_xp.cli.output import printable
from rnn_xp.cli.ranks import together
from rnn_xp.cli.runs import About
from rnn_xp.data import Dataset, valid_steps
from rnn_xp.distributed import Alone, Communicator
from rnn_xp.distributed.agree import gather, joined
from rnn_xp.estimators.scores import r2
from rnn_xp.table import table
from rnn_xp.typing import Tree


def score(
    model: rx.Sequential,
    params: Tree,
    about: About,
    dataset: Dataset,
    ranks: Communicator | None = None,
    *,
    apart: bool = False,
    source: str | None = None,
) -> dict[str, Any]:
    """Return the loss and the metrics that belong to the task, beside those of a constant.

    The ranks share the work; where they are `apart`, each has a part of the data. `source` is the file.
    """
    ranks = ranks or Alone()
    parts = ranks if apart else Alone()
    X, y, lengths = dataset.X, dataset.y, dataset.lengths
    assert y is not None
    if about.vocabulary is not None:
        with together(ranks):
            own = language.loss(model, params, X[0], y[0]) * y.size
        total, count = gather(parts, [own, y.size]).sum(axis=0)
        return {"loss": float(total / count), "bits_per_character": language.bits(float(total / count))}
    with together(ranks), naming(source):
        scores = rx.evaluate(
            *(model, params, X, y), loss=about.loss, lengths=lengths, distributed=ranks, sharded=apart
        )
    if "mean_absolute_error" in scores:
        scores["r2"] = r2(*_answers(model, params, dataset, ranks, apart=apart), None)
    if about.classes and "confusion" not in scores:  # one output for two classes
        outputs, labels = _answers(model, params, dataset, ranks, apart=apart)
        confusion = metrics.confusion_matrix((outputs > 0).ravel().astype(int), labels.ravel(), 2)
        precision, recall = metrics.precision_recall(confusion)
        more = {"confusion": confusion, "precision": precision, "recall": recall}
        scores |= {name: value.tolist() for name, value in more.items()}
    if "confusion" in scores:
        counts = np.sum(scores["confusion"], axis=1)
        scores["commonest_class"] = float(counts.max() / counts.sum())
    return scores


def _answers(
    model: rx.Sequential, params: Tree, dataset: Dataset, ranks: Communicator, *, apart: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return outputs and targets (n, K) of all sequences of all ranks, or of all their steps."""
    X, y, lengths = dataset.X, dataset.y, dataset.lengths
    assert y is not None
    with together(ranks):
        outputs = rx.predict(model, params, X, lengths=lengths, distributed=None if apart else ranks)
    kept = valid_steps(X.shape[1], len(X), lengths).T if model.per_step else ...
    own = outputs[kept], y.reshape(outputs.shape)[kept]
    return (joined(ranks, own[0]), joined(ranks, own[1])) if apart else own


def in_words(scores: Mapping[str, Any]) -> str:
    """Write the scores that are one number in a line."""
    single = ((name.replace("_", " "), value) for name, value in scores.items() if isinstance(value, float))
    return "  ".join(f"{name} {_digits(value)}" for name, value in single)


def _digits(value: float) -> str:
    """Write a number with four decimals, or, where they would say nothing or too much, four digits."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def per_class(scores: Mapping[str, Any], about: About) -> str:
    """Write a table with a row for each class."""
    confusion = scores["confusion"]
    columns = (map(printable, about.outputs), map(sum, confusion), scores["precision"], scores["recall"])
    return table(["class", "number", "precision", "recall"], zip(*columns, strict=True))


def confused(scores: Mapping[str, Any], about: About) -> str:
    """Write the confusion matrix."""
    names = [printable(name) for name in about.outputs]
    rows = ([name, *counts] for name, counts in zip(names, scores["confusion"], strict=True))
    return table(["class, taken for", *names], rows)
