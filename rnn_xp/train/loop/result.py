"""What training hands back, and what it tells after every epoch."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_xp.typing import Tree


class Result(NamedTuple):
    """What `fit` returns."""

    params: Tree  # of the best epoch where there is a validation set or patience, else of the last
    history: list[dict[str, Any]]  # a record for each epoch
    best_epoch: int  # the one that `params` are of
    train_seconds: float  # the training loop, without preparing the data or validating


class Epoch(NamedTuple):
    """What a callback is told after every epoch."""

    record: dict[str, Any]
    params: Tree  # a copy
    best: bool  # whether no epoch before was better
    history: list[dict[str, Any]]  # the records up to this one
