"""What the arguments of training and of using a model must be, told before anything is computed."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.atomic import PathLike
from rnn_xp.backend import to_numpy
from rnn_xp.container import to_json
from rnn_xp.distributed import Communicator
from rnn_xp.model import LOSSES, Loss, Sequential
from rnn_xp.optim import Adam, Optimizer
from rnn_xp.schedules import Schedule
from rnn_xp.train.loop.result import Epoch, Result
from rnn_xp.typing import Tree


@dataclass(frozen=True)
class Given:
    """The arguments of `fit`, each checked on its own."""

    model: Sequential
    X: Any
    y: Any
    loss_name: str
    loss: Loss
    optimizer: Optimizer
    layout: str
    lengths: Any
    mask: Any
    reset: Any
    weights: Any
    epochs: int
    batch_size: int
    accumulate: int
    shuffle: bool
    bucket: bool
    truncate: tuple[int, int] | None
    recompute: bool | int | None
    seed: int
    validation: Any
    patience: int | None
    clip_norm: float | None
    clip_value: float | None
    schedule: Schedule | None
    nonfinite: str
    checkpoint: PathLike | None
    save_every: float
    resume: bool
    extra: Mapping[str, Any]
    sharded: bool
    blocks: int | None
    callbacks: tuple[Callable[[Epoch], Any], ...]


def settle(of: Mapping[str, Any], ranks: Communicator) -> Given:
    """Check the arguments of `fit`, by name."""
    check_model(of["model"])
    loss_name = checks.one_of("loss", of["loss"], LOSSES)
    optimizer = Adam() if of["optimizer"] is None else of["optimizer"]
    check_optimizer(optimizer)
    check_schedule(of["schedule"])
    taken = ("model", "X", "y", "layout", "lengths", "mask", "reset", "weights", "validation", "schedule")
    checked: dict[str, Any] = {name: of[name] for name in taken}
    for name in ("shuffle", "bucket", "verbose", "resume", "sharded"):
        checked[name] = checks.boolean(name, of[name])
    for name in ("epochs", "batch_size", "accumulate"):
        checked[name] = checks.integer(name, of[name])
    for name in ("clip_norm", "clip_value"):
        checked[name] = None if of[name] is None else checks.number(name, of[name], open_low=True)
    checked["seed"] = checks.integer("seed", of["seed"], 0, 2**32 - 1)
    checked["patience"] = None if of["patience"] is None else checks.integer("patience", of["patience"])
    checked["save_every"] = checks.number("save_every", of["save_every"])
    checked["nonfinite"] = checks.one_of("nonfinite", of["nonfinite"], ("stop", "skip", "rollback"))
    checked["truncate"] = None if of["truncate"] is None else pair("truncate", of["truncate"], of["model"])
    checked["recompute"] = _recompute(of["recompute"])
    checked["callbacks"] = all_callbacks(of["callbacks"])
    checked["blocks"] = None if of["blocks"] is None else checks.integer("blocks", of["blocks"])
    if checked["sharded"] and checked["blocks"] is not None:
        must = "`blocks` must be None where `sharded` is True: a block may lie on several ranks"
        msg = f"{must}; got {checked['blocks']}."
        raise ValueError(msg)
    extra = of["extra"]
    checked["checkpoint"], checked["extra"] = _checkpoint(of["checkpoint"], of["resume"], extra, ranks.rank)
    del checked["verbose"]
    return Given(loss_name=loss_name, loss=LOSSES[loss_name], optimizer=optimizer, **checked)


def pair(name: str, value: Any, model: Sequential) -> tuple[int, int]:
    """Return (k1, k2), the steps of truncated back-propagation, for a model that allows it."""
    if isinstance(value, tuple | list) and len(value) != 2:
        msg = f"`{name}` must be (k1, k2), or an integer for both; got {len(value)} numbers."
        raise ValueError(msg)
    k1, k2 = value if isinstance(value, tuple | list) else (value, value)
    k1, k2 = checks.integer(name, k1), checks.integer(name, k2)
    if k2 < k1:
        msg = f"`{name}` must be (k1, k2) with k2 >= k1: every step is in a window; got {(k1, k2)}."
        raise ValueError(msg)
    if not model.causal:
        must = f"`{name}` must be None unless the model answers at each step from what it has read"
        msg = f"{must}; got {(k1, k2)} for {model!r}."
        raise ValueError(msg)
    return k1, k2


def _recompute(value: Any) -> bool | int | None:
    """Return None, True or a number of bytes."""
    if isinstance(value, bool):
        return value or None
    return checks.integer("recompute", value)


def _checkpoint(path: Any, resume: bool, extra: Any, rank: int) -> tuple[PathLike | None, Mapping[str, Any]]:
    """Refuse to write over a checkpoint, or to go on from none; the file is the first rank's."""
    if path is None:
        for name, value in (("resume", resume), ("extra", extra is not None)):
            if value:
                msg = f"`checkpoint` must be the path of a file where `{name}` is given; got None."
                raise ValueError(msg)
        return None, {}
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        msg = f"`checkpoint` must be the path of a file; got {path!r}."
        raise TypeError(msg)
    if not os.fspath(path) or "\0" in os.fspath(path):
        msg = f"`checkpoint` must be the path of a file; got {os.fspath(path)!r}, which no file can have."
        raise ValueError(msg)
    if extra is not None and not isinstance(extra, Mapping):
        msg = f"`extra` must be a mapping that JSON can hold; got {type(extra).__name__}."
        raise TypeError(msg)
    to_json("extra", extra or {})
    there = resume if rank else os.path.lexists(path)
    if resume and not there:
        raise FileNotFoundError(errno.ENOENT, "there is no checkpoint to go on from", os.fspath(path))
    if there and not resume:
        must = "`checkpoint` must be a new file, or `resume` True, to go on with what it holds"
        msg = f"{must}; got {os.fspath(path)!r}, which is there."
        raise ValueError(msg)
    return path, dict(extra or {})


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


def check_finite(params: Tree) -> None:
    """Refuse weights that are not numbers."""
    for name, leaf in tree.named_leaves(params):
        array = to_numpy(leaf)
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            place = tuple(bad[0].tolist())
            msg = f"`params` must be finite; got {array[place]} in {name}, at index {place}."
            raise ValueError(msg)


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


def factor(schedule: Schedule, step: int) -> float:
    """Return what a schedule says of a step."""
    value: Any = schedule(step)
    must = f"`schedule` must return a finite number for every step; got {value!r} for step {step}."
    if isinstance(value, str | bytes):
        raise TypeError(must)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(must) from None
    if not math.isfinite(number):
        raise ValueError(must)
    return number


def all_callbacks(callbacks: Any) -> tuple[Callable[[Epoch], Any], ...]:
    """Return one callback, or a sequence of them, as a tuple."""
    given = [callbacks] if callable(callbacks) else callbacks
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(map(callable, several)):
        msg = f"`callbacks` must be functions of an rnn_xp.Epoch; got {callbacks!r}."
        raise TypeError(msg)
    return several
