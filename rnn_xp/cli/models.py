"""From the options and the data to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rnn_xp as rx
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.jobs import Job
from rnn_xp.cli.settings import OPTIMIZERS, Settings
from rnn_xp.layers import Layer
from rnn_xp.optim import Optimizer

CELLS: dict[str, Any] = {"rnn": rx.RNN, "gru": rx.GRU, "lstm": rx.LSTM}
POOLING: dict[str, type[Layer]] = {"last": rx.LastStep, "mean": rx.MeanPool, "max": rx.MaxPool}


def build_model(settings: Settings, job: Job, given: Mapping[str, Any]) -> rx.Sequential:
    """Build what the data need of: an embedding, a recurrent stack, pooling, dropout, a linear map."""
    X, y, classes = job.train.X, job.train.y, len(job.about.outputs)
    assert y is not None
    layers: list[Layer] = []
    if X.ndim == 2:
        tokens = len(job.about.vocabulary.characters) if job.about.vocabulary else int(X.max()) + 1
        layers.append(rx.Embedding(tokens, settings.embedding_size))
    elif "embedding_size" in given:
        msg = f"argument --embedding-size: not here: {settings.data} has no tokens."
        raise UsageError(msg)
    tutorial = settings.task == "sign-of-sum" and settings.cell == "rnn"
    recurrent = CELLS[settings.cell](
        settings.embedding_size if layers else X.shape[2],
        settings.hidden_size,
        settings.num_layers,
        bias="input" if tutorial else True,
        bidirectional=settings.bidirectional,
        dropout=settings.dropout,
    )
    layers.append(recurrent)
    per_step = _per_step(settings, job)
    if not per_step:
        layers.append(POOLING[settings.pool or "last"]())
    if settings.dropout:
        layers.append(rx.Dropout(settings.dropout))
    if job.about.loss == "cross_entropy":
        size = classes
    else:
        size = 1 if classes or per_step or y.ndim == 1 else y.shape[1]
    return rx.Sequential(*layers, rx.Linear(recurrent.output_size, size))


def build_optimizer(settings: Settings) -> Optimizer:
    """Build the optimiser, with only those arguments that were given."""
    arguments: dict[str, Any] = {"lr": settings.lr}
    if settings.momentum:
        arguments["momentum"] = settings.momentum
    if settings.weight_decay is not None:
        arguments["weight_decay"] = settings.weight_decay
    optimizer: Optimizer = OPTIMIZERS[settings.optimizer](**arguments)
    return optimizer


def _per_step(settings: Settings, job: Job) -> bool:
    """Return whether there is a target a step; --pool says of numbers (N, T) that they are T a sequence."""
    X, y = job.train.X, job.train.y
    assert y is not None
    if y.ndim == 1:
        return False
    if job.about.outputs:
        if settings.pool is not None:
            msg = f"argument --pool: not here: {settings.data} has a class for every step."
            raise UsageError(msg)
        return True
    return y.shape[1] == X.shape[1] and settings.pool is None
