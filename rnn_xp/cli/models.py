"""From the options and the data to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rnn_xp as rx
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.job import Job
from rnn_xp.cli.settings import OPTIMIZERS, Settings
from rnn_xp.layers import Layer
from rnn_xp.optim import Optimizer

CELLS: dict[str, Any] = {"rnn": rx.RNN, "gru": rx.GRU, "lstm": rx.LSTM}
POOLING: dict[str, type[Layer]] = {"last": rx.LastStep, "mean": rx.MeanPool, "max": rx.MaxPool}


def build_model(settings: Settings, job: Job, given: Mapping[str, Any]) -> rx.Sequential:
    """Build what the data need of: an embedding, a recurrent stack, pooling, dropout, a linear map."""
    layers: list[Layer] = []
    tokens = job.num_tokens
    if tokens:
        layers.append(rx.Embedding(tokens, settings.embedding_size))
    elif "embedding_size" in given:
        msg = f"argument --embedding-size: not here: {settings.data} has no tokens."
        raise UsageError(msg)
    stack = _stack(settings, settings.embedding_size if tokens else job.input_size)
    layers += stack
    per_step = _per_step(settings, job)
    if not per_step:
        layers.append(POOLING[settings.pool or "last"]())
    if settings.dropout:
        layers.append(rx.Dropout(settings.dropout, variational=settings.variational))
    return rx.Sequential(*layers, rx.Linear(stack[0].output_size, _outputs(job, per_step)))


def _stack(settings: Settings, input_size: int) -> list[Any]:
    """Build the recurrent layers: one of that depth, or, with residual connections, one for each level."""
    names = ("dropout", "variational", "recurrent_dropout", "zoneout", "learn_state", "layer_norm")
    options = {name: getattr(settings, name) for name in names if getattr(settings, name)}
    if settings.task == "sign-of-sum" and settings.cell == "rnn":
        options["bias"] = "input"  # the tutorial has one bias

    def build(size: int, depth: int) -> Any:
        return CELLS[settings.cell](
            size, settings.hidden_size, depth, bidirectional=settings.bidirectional, **options
        )

    if not settings.residual:
        return [build(input_size, settings.num_layers)]
    between = {name: options.pop(name) for name in ("dropout", "variational") if name in options}
    stack = [build(input_size, 1)]
    for _ in range(1, settings.num_layers):
        if between:
            stack.append(rx.Dropout(settings.dropout, variational=settings.variational))
        stack.append(rx.Residual(build(stack[0].output_size, 1)))
    return stack


def _outputs(job: Job, per_step: bool) -> int:
    """Return how many numbers the model gives."""
    classes = len(job.about.outputs)
    if job.about.loss == "cross_entropy":
        return classes
    y = job.targets
    return 1 if classes or per_step or y.ndim == 1 else y.shape[1]


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
    if job.about.vocabulary is not None:
        return True
    y = job.targets
    if y.ndim == 1:
        return False
    if job.about.outputs:
        if settings.pool is not None:
            msg = f"argument --pool: not here: {settings.data} has a class for every step."
            raise UsageError(msg)
        return True
    return y.shape[1] == job.shape[1] and settings.pool is None
