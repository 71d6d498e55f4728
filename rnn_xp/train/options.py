"""What the arguments of training and of using a model must be, told before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rnn_xp.model import Sequential
from rnn_xp.train.result import Epoch, Result


def check_model(model: Any) -> None:
    """Refuse what is no Sequential."""
    if not isinstance(model, Sequential):
        came = model.__name__ if isinstance(model, type) else type(model).__name__
        msg = f"`model` must be a rnn_xp.Sequential; got {came}. A layer alone: rnn_xp.Sequential(layer)."
        raise TypeError(msg)


def check_params(model: Any, params: Any) -> None:
    """Refuse weights that are not those of the model."""
    check_model(model)
    if isinstance(params, Result):
        msg = "`params` must be the weights of the model; got a Result: pass result.params."
        raise TypeError(msg)
    model.check_params(params)


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no optimiser: its name, or its class."""
    parts = ("lr", "init", "update")
    if isinstance(optimizer, type) or not all(hasattr(optimizer, part) for part in parts):
        came = optimizer.__name__ if isinstance(optimizer, type) else repr(optimizer)
        msg = f"`optimizer` must be an optimiser such as rnn_xp.Adam(1e-3); got {came}."
        raise TypeError(msg)


def check_schedule(schedule: Any) -> None:
    """Refuse what is neither None nor a function."""
    if schedule is not None and not callable(schedule):
        must = "`schedule` must be a function of the step such as rnn_xp.schedules.cosine(1000)"
        msg = f"{must}; got {schedule!r}."
        raise TypeError(msg)


def all_callbacks(callbacks: Any) -> tuple[Callable[[Epoch], Any], ...]:
    """Return one callback, or a sequence of them, as a tuple."""
    given = [callbacks] if callable(callbacks) else callbacks
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(map(callable, several)):
        msg = f"`callbacks` must be functions of an rnn_xp.Epoch; got {callbacks!r}."
        raise TypeError(msg)
    return several
