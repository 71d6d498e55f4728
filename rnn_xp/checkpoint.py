"""Models in files: one safetensors file holds the parameters and, as JSON, what builds the model again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.atomic import PathLike
from rnn_xp.atomic import atomic_write as atomic_write
from rnn_xp.atomic import remove_stale as remove_stale
from rnn_xp.backend import Backend, get_backend, to_numpy
from rnn_xp.cells import Cell
from rnn_xp.configs import from_config
from rnn_xp.container import MAX_HEADER, Expected, difference, some, to_json
from rnn_xp.container import read_extra as read_extra
from rnn_xp.container import read_file as read_file
from rnn_xp.container import write_file as write_file
from rnn_xp.layers import Layer
from rnn_xp.safetensors import CheckpointError as CheckpointError
from rnn_xp.typing import Tree

_MAX_LAYERS = MAX_HEADER // 150  # a header cannot name the weights of more
_FLOATS = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.float16))


def save(path: PathLike, model: Any, params: Tree, extra: Mapping[str, Any] | None = None) -> None:
    """Write a model and its parameters to one file, whole or not at all.

    Equal content gives equal bytes: the file holds nothing of the time, the place or the machine.

    Parameters
    ----------
    path : str or path
        By custom ``*.safetensors``; a file that is there is replaced.
    model : layer or Sequential
        What `params` are the parameters of.
    params : tree of arrays
        On any backend; stored in their own dtype.
    extra : mapping, optional
        What else belongs to the model (class names, scaling, ...), in JSON values; `read_extra` returns it.

    Raises
    ------
    ValueError
        If `params` are not those of `model`, or `extra` is longer than a header may be.
    TypeError
        If `extra` is nothing that JSON can hold.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> import tempfile
    >>> model = rx.LSTM(3, 4)
    >>> params = model.init(rx.get_backend("numpy"), seed=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     rx.save(directory + "/model.safetensors", model, params)
    ...     again, _ = rx.load(directory + "/model.safetensors", "numpy")
    >>> again == model
    True
    """
    checks.kind("model", model, Layer, "a layer or a Sequential")
    tensors = {name: to_numpy(leaf) for name, leaf in tree.named_leaves(params)}
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    specs = tree.named_leaves(model.spec())
    wrong = difference(found, _expected(specs))
    if wrong:
        msg = f"`params` must be the parameters of `model`; {wrong}."
        raise ValueError(msg)
    extra = dict(extra or {})
    to_json("extra", extra)
    description = {"model": model.config(), "gate_order": _gate_order(specs), "extra": extra}
    write_file(path, "model", description, tensors)


def load(path: PathLike, backend: Backend | str, cells: Mapping[str, Cell] | None = None) -> tuple[Any, Tree]:
    """Return the model and the parameters that `save` wrote.

    Parameters
    ----------
    path : str or path
    backend : Backend or str
        Where the parameters shall live. A Backend has a dtype, and they are converted to it; where only a
        name is given, they keep their own.
    cells : mapping of str to Cell, optional
        Cells of one's own by their names: a file names cells and never holds their code.

    Returns
    -------
    model, params

    Raises
    ------
    CheckpointError
        If the file is damaged, of another kind or version, or its parameters do not fit its model.
    OSError
        FileNotFoundError, PermissionError or what else the system says.

    Warns
    -----
    RuntimeWarning
        If a parameter holds NaN or infinity: it is what was saved, and what the model answers is of no use.

    Examples
    --------
    See `save`.
    """
    if isinstance(backend, Backend):
        backend = get_backend(backend)
    model: Any = None
    spec: Tree = ()

    def expect(description: dict[str, Any]) -> Expected:
        nonlocal model, spec
        if set(description) != {"model", "gate_order", "extra"}:
            msg = f"its description must hold model, gate_order and extra; it holds {sorted(description)}"
            raise CheckpointError(msg)
        model, spec = _build(description["model"], cells)
        specs = tree.named_leaves(spec)
        stored, expected = description["gate_order"], _gate_order(specs)
        if stored != expected:
            msg = f"its gates are in the order {stored}; those of its model are in the order {expected}"
            raise CheckpointError(msg)
        return _expected(specs)

    _, tensors = read_file(path, "model", expect)
    broken = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if broken:
        msg = f"The parameters in `{path}` are not all finite: {some(broken)}."
        warnings.warn(msg, RuntimeWarning, stacklevel=2)
    if not isinstance(backend, Backend):
        wide = any(tensor.dtype == np.float64 for tensor in tensors.values())
        backend = get_backend(backend, dtype="float64" if wide else "float32")
    leaves = [backend.asarray(tensors[name]) for name, _ in tree.named_leaves(spec)]
    return model, tree.unflatten(spec, leaves)


def _build(config: Any, cells: Mapping[str, Cell] | None) -> tuple[Any, Tree]:
    """Build the model that a file describes, and its specs."""
    if _depth(config) > _MAX_LAYERS:
        msg = f"its model has more than {_MAX_LAYERS} layers, more than any file can hold"
        raise CheckpointError(msg)
    try:
        model = from_config(config, cells=cells)
        return model, model.spec()
    except Exception as error:  # whatever the layers have against it, the file is what is wrong
        msg = f"its model cannot be built: {error}"
        raise CheckpointError(msg) from error


def _depth(config: Any) -> int:
    """Count the layers of a model before it is built: a few bytes may describe any number.

    A layer counts twice for every model around it, as often as these connect it with its neighbours.
    """
    depth, parts = 0, [(config, 1)]
    while parts and depth <= _MAX_LAYERS:
        part, times = parts.pop()
        if isinstance(part, dict):
            layers = part.get("num_layers", 1)
            depth += times * max(layers, 1) if isinstance(layers, int) else times
            parts.extend((value, 2 * times) for value in part.values())
        elif isinstance(part, list):
            parts.extend((value, times) for value in part)
    return depth


def _expected(specs: list[tuple[str, Any]]) -> Expected:
    """Return the shapes of a model's parameters by their names, with the dtypes that they may have."""
    return {name: (spec.shape, _FLOATS) for name, spec in specs}


def _gate_order(specs: list[tuple[str, Any]]) -> dict[str, list[str]]:
    """Return the order of the gates in the rows of the weights, for every layer and direction."""
    return {name.rpartition(".")[0]: list(spec.gates) for name, spec in specs if spec.gates}
