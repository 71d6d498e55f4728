"""The losses of training, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rnn_xp import functional
from rnn_xp.typing import Array


class Loss(NamedTuple):
    """A loss from the outputs of a model; each of its functions as `rnn_xp.functional` describes it."""

    forward: Callable[..., tuple[Array, Any]]
    backward: Callable[..., Array]
    classes: bool = False  # targets are class indices (...), not numbers (..., K)
    activation: Callable[..., Array] | None = None  # from outputs to probabilities


LOSSES = {
    "cross_entropy": Loss(
        functional.cross_entropy_forward, functional.cross_entropy_backward, True, functional.softmax
    ),
    "binary_cross_entropy": Loss(
        functional.binary_cross_entropy_forward,
        functional.binary_cross_entropy_backward,
        False,
        functional.sigmoid,
    ),
    "squared_error": Loss(functional.squared_error_forward, functional.squared_error_backward),
    "huber": Loss(functional.huber_forward, functional.huber_backward),
}
"""The losses by name. "binary_cross_entropy" is also the multi-label one: the mean over the K outputs."""
