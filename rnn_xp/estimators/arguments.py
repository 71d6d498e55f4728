"""From an estimator's arguments to the layers, the optimiser, the schedule and the seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_xp import checks
from rnn_xp.cells import Cell
from rnn_xp.layers import GRU, LSTM, RNN, Dropout, LastStep, Layer, Linear, MaxPool, MeanPool, Recurrent
from rnn_xp.model import Sequential
from rnn_xp.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from rnn_xp.schedules import Schedule, cosine

CELLS: dict[str, Any] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
POOLING: dict[str, type[Layer]] = {"last": LastStep, "mean": MeanPool, "max": MaxPool}
OPTIMIZERS: dict[str, Any] = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD}


def build(of: Any, pooling: str, input_size: int, output_size: int) -> Sequential:
    """Build a recurrent stack, pooling, dropout and a linear map from an estimator's arguments."""
    known = CELLS.get(of.cell) if isinstance(of.cell, str) else None
    if known is None and not isinstance(of.cell, Cell):
        msg = f"`cell` must be one of {', '.join(map(repr, CELLS))}, or a rnn_xp.Cell; got {of.cell!r}."
        raise ValueError(msg)
    sizes = (input_size, of.hidden_size, of.num_layers)
    options = {"bidirectional": of.bidirectional, "dropout": of.dropout}
    stack = known(*sizes, **options) if known else Recurrent(of.cell, *sizes, **options)
    layers = [stack, POOLING[checks.one_of("pooling", pooling, POOLING)]()]
    if of.dropout:
        layers.append(Dropout(of.dropout))
    return Sequential(*layers, Linear(stack.output_size, output_size))


def build_optimizer(optimizer: Any, learning_rate: Any) -> Optimizer:
    """Return an optimiser from its name and a learning rate; one that is given brings its own."""
    if not isinstance(optimizer, str):
        return optimizer  # type: ignore[no-any-return]  # `fit` checks it
    kind = OPTIMIZERS[checks.one_of("optimizer", optimizer, OPTIMIZERS)]
    return kind(checks.number("learning_rate", learning_rate, open_low=True))  # type: ignore[no-any-return]


def build_schedule(of: Any, sequences: int) -> Schedule | None:
    """Return the schedule: "cosine" falls to 0 over all steps of a training on so many sequences."""
    must = "`schedule` must be 'cosine', or a function of the step such as rnn_xp.schedules.cosine(1000)"
    if callable(of.schedule):
        try:
            of.schedule(0)
        except (TypeError, ValueError) as error:  # such as of what makes a schedule, and is none
            msg = f"{must}; got {of.schedule!r}, which says of step 0: {error}"
            raise (TypeError if isinstance(error, TypeError) else ValueError)(msg) from error
    if not isinstance(of.schedule, str):
        return of.schedule  # type: ignore[no-any-return]  # `fit` checks it
    if of.schedule != "cosine":
        msg = f"{must}; got {of.schedule!r}."
        raise ValueError(msg)
    epochs, size = checks.integer("epochs", of.epochs), checks.integer("batch_size", of.batch_size)
    return cosine(epochs * -(-sequences // size))


def draw_seed(random_state: Any) -> int:
    """Return a seed from an integer, which is one, or a generator; None stands for NumPy's global one."""
    if random_state is None:
        return int(np.random.randint(2**32, dtype=np.int64))  # noqa: NPY002
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.int64))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    return checks.integer("random_state", random_state, 0, 2**32 - 1)
