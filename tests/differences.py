"""Gradients by central differences, which the tests compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from support import open_backend

from rnn_xp import tree

EPS = 1e-5
READONLY = open_backend("numpy_readonly")


def frozen(value: Any) -> Any:
    """Return a read-only copy of a tree: whatever writes to it fails."""
    return tree.map(READONLY.asarray, value)


def differences(function: Callable[[Any], Any], inputs: Any, cotangents: list[Any]) -> list[Any]:
    """Return for each cotangent the gradient of sum(function(inputs) * cotangent), a tree like `inputs`."""
    leaves = [np.array(leaf) for leaf in tree.leaves(inputs)]
    rows = [[np.zeros_like(leaf) for leaf in leaves] for _ in cotangents]

    def outputs() -> list[np.ndarray]:
        return [np.array(leaf) for leaf in tree.leaves(function(frozen(tree.unflatten(inputs, leaves))))]

    for number, leaf in enumerate(leaves):
        for place in np.ndindex(*leaf.shape):
            value = leaf[place]
            leaf[place] = value + EPS
            above = outputs()
            leaf[place] = value - EPS
            below = outputs()
            leaf[place] = value
            slopes = [(a - b) / (2 * EPS) for a, b in zip(above, below, strict=True)]
            for row, cotangent in zip(rows, cotangents, strict=True):
                row[number][place] = sum(
                    np.sum(slope * d) for slope, d in zip(slopes, tree.leaves(cotangent), strict=True)
                )
    return [tree.unflatten(inputs, row) for row in rows]
