"""A data set in the terms of a trained model: its features and its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_xp.data.arguments import names
from rnn_xp.data.labels import encode_labels, listed
from rnn_xp.data.sequences import Dataset


def with_features(dataset: Dataset, features: Sequence[str]) -> Dataset:
    """Return `dataset` with its channels in the order of `features`, those of a trained model.

    Raises
    ------
    TypeError
        If `dataset` is no Dataset, or `features` are no strings.
    ValueError
        If its channels have other names, or two of `features` are the same.

    Examples
    --------
    >>> test = Dataset(np.array([[[1.0, 2.0]]]), features=("b", "a"))
    >>> with_features(test, ("a", "b")).X.tolist()
    [[[2.0, 1.0]]]
    """
    features = names("features", features)
    _check(dataset)
    if sorted(dataset.features) != sorted(features):
        must, came = (listed(each) or "none" for each in (features, dataset.features))
        msg = f"`dataset` must hold the features {must}; got {came}."
        raise ValueError(msg)
    if dataset.features == features:
        return dataset
    order = [dataset.features.index(name) for name in features]
    return dataset._replace(X=dataset.X[..., order], features=features)


def with_classes(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Return `dataset` with its labels as indices into `classes`, those of a trained model.

    Raises
    ------
    TypeError
        If `dataset` is no Dataset, or `classes` are no strings.
    ValueError
        If `dataset` holds numbers instead of classes, or a class that is not in `classes`.

    Examples
    --------
    >>> test = Dataset(np.zeros((2, 1, 1)), np.array([0, 0]), classes=("b",))
    >>> with_classes(test, ("a", "b")).y.tolist()
    [1, 1]
    """
    classes = names("classes", classes)
    _check(dataset)
    if dataset.classes is None or dataset.y is None:
        msg = f"`dataset` must hold classes, of {listed(classes)}; got numbers or no targets."
        raise ValueError(msg)
    table, known = encode_labels(np.array(dataset.classes, dtype=np.str_), classes)
    return dataset._replace(y=table[dataset.y], classes=known)


def _check(dataset: Any) -> None:
    """Refuse what is no data set."""
    if not isinstance(dataset, Dataset):
        msg = f"`dataset` must be a Dataset; got {type(dataset).__name__}."
        raise TypeError(msg)
