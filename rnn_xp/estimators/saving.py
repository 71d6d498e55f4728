"""Estimators in files: a model's file, with the arguments and what else was learnt as JSON in its `extra`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from rnn_xp.atomic import PathLike
from rnn_xp.backend import Backend, get_backend
from rnn_xp.cells import CELLS, Cell
from rnn_xp.checkpoint import CheckpointError, read_extra
from rnn_xp.checkpoint import load as load_model
from rnn_xp.checkpoint import save as save_model
from rnn_xp.data import Scaling
from rnn_xp.estimators.arguments import OPTIMIZERS
from rnn_xp.estimators.base import Estimator
from rnn_xp.model import Sequential

E = TypeVar("E", bound=Estimator)

_LEFT_OUT = ("backend", "callbacks")
"""Arguments that say where a training runs, and who watches it."""

_KINDS = "biufUO"


def save(path: PathLike, estimator: Any) -> None:
    """Write a fitted estimator."""
    arguments = estimator.get_params()
    about = {
        "type": type(estimator).__name__,
        "arguments": {name: _packed(name, arguments[name]) for name in arguments if name not in _LEFT_OUT},
        "learnt": {
            name: _encoded(value) for name, value in vars(estimator).items() if name in estimator._LEARNT
        },
    }
    save_model(path, estimator.model_, estimator.params_, {"estimator": about})


def load(path: PathLike, kind: type[E], backend: str | Backend | None, cells: Mapping[str, Cell] | None) -> E:
    """Read an estimator of that kind."""
    about = read_extra(path).get("estimator", {"type": "a model alone, which rnn_xp.load reads"})
    if not isinstance(about, dict) or about.get("type") != kind.__name__:
        came = about.get("type") if isinstance(about, dict) else about
        msg = f"`{path}` must hold an {kind.__name__} to be loaded as one; it holds {came}."
        raise CheckpointError(msg)
    model, params = load_model(path, get_backend().name if backend is None else backend, cells)
    try:
        arguments = {name: _unpacked(value, cells) for name, value in about["arguments"].items()}
        estimator: Any = kind().set_params(**arguments, backend=backend)
        learnt = {
            name: _decoded(value) for name, value in about["learnt"].items() if name in estimator._LEARNT
        }
        vars(estimator).update(learnt, model_=model, params_=params)
        _check(estimator)
    except Exception as error:  # whatever it is, the file is what is wrong
        msg = f"`{path}` cannot be loaded: what it says of its {kind.__name__} does not fit: {error!r}."
        raise CheckpointError(msg) from error
    return estimator  # type: ignore[no-any-return]


def _check(estimator: Any) -> None:
    """Refuse what does not belong to the model."""
    model = estimator.model_
    if not isinstance(model, Sequential):
        msg = "its model is no Sequential"
        raise TypeError(msg)
    missing = {*estimator._LEARNT} - {*vars(estimator), "feature_names_in_"}
    if missing:
        msg = f"it lacks {', '.join(sorted(missing))}"
        raise ValueError(msg)
    K, C = model.output_size, model.intake.size
    for name, size in (("classes_", K), ("n_outputs_", K), ("scaling_", C), ("target_scaling_", K)):
        value = getattr(estimator, name, None)
        if value is not None and _size(value) != size:
            msg = f"{name} is not that of its model"
            raise ValueError(msg)


def _size(value: Any) -> int:
    """Return how many channels, outputs or classes something is for; -1: for none."""
    if isinstance(value, Scaling):
        return len(value.mean) if value.mean.shape == value.std.shape and value.is_usable else -1
    return len(value) if isinstance(value, np.ndarray) else int(value)


def _packed(name: str, value: Any) -> Any:
    """Return an argument in JSON values."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {"items": [[_packed(name, key), _packed(name, item)] for key, item in value.items()]}
    if isinstance(value, Cell):
        return {"cell": value.name}
    for kind, optimizer in OPTIMIZERS.items():
        if type(value) is optimizer:
            return {"optimizer": kind, "arguments": asdict(value)}
    must = f"`{name}` must be something that a file can describe, for `save`"
    way_out = f"Pickle holds it, or change it first: set_params({name}=...)."
    msg = f"{must}; got {type(value).__name__}. {way_out}"
    raise TypeError(msg)


def _unpacked(value: Any, cells: Mapping[str, Cell] | None) -> Any:
    """Undo `_packed`."""
    match value:
        case {"items": items}:
            return dict(items)
        case {"cell": name}:
            return {**CELLS, **(cells or {})}[name]
        case {"optimizer": kind, "arguments": arguments}:
            return OPTIMIZERS[kind](
                **{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
            )
    return value


def _encoded(value: Any) -> Any:
    """Return what was learnt in JSON values."""
    if isinstance(value, Scaling):
        return {"mean": value.mean.tolist(), "std": value.std.tolist()}
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "values": value.tolist()}
    return value


def _decoded(value: Any) -> Any:
    """Undo `_encoded`."""
    match value:
        case {"mean": mean, "std": std}:
            return Scaling(np.array(mean, dtype=np.float64), np.array(std, dtype=np.float64))
        case {"dtype": str(name), "values": list(values)}:
            dtype = np.dtype(name)
            if dtype.kind not in _KINDS:
                msg = f"an array of dtype {name}"
                raise TypeError(msg)
            return np.array(values, dtype=dtype)
    return value
