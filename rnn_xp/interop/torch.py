"""PyTorch's state dicts and safetensors files, read and written without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.atomic import PathLike
from rnn_xp.backend import Backend, get_backend, to_numpy
from rnn_xp.cells import gru, lstm, rnn
from rnn_xp.interop import torch_files
from rnn_xp.interop.weights import REVERSE, STATE, Host, one_bias, to_host
from rnn_xp.layers import Embedding, Layer, Linear, Recurrent, Residual
from rnn_xp.typing import Tree

_CELLS = (rnn.TANH, rnn.RELU, lstm.LSTM, gru.AFTER)


def from_state_dict(
    model: Layer,
    source: Mapping[str, Any] | PathLike,
    backend: Backend | str,
    names: Sequence[str] | None = None,
) -> Tree:
    """Return a model's parameters from what PyTorch's modules of the same arguments hold.

    Parameters
    ----------
    model
        A layer, or a Sequential of layers, also within one another and in Residual, whose parameters PyTorch
        has: those of RNN, GRU with reset after, LSTM, Linear and Embedding.
    source
        What ``module.state_dict()`` returns: NumPy arrays or PyTorch's tensors by PyTorch's keys. Or the path
        of a ``.safetensors`` file that holds them.
    backend
        Where the parameters are to live; they take its dtype, and share no memory with `source`.
    names
        What PyTorch's module calls each layer that has parameters, in the order of the model: ``("lstm",
        "fc")``. By default its place, as in ``torch.nn.Sequential``: ``("0", "2")``, and ``"1.0"`` within a
        Sequential within; a Residual has the place of its layer, and a layer by itself no name.

    Returns
    -------
    tree
        In the form of `model.init`. Of a layer with ``bias="input"``, bias_ih is the sum of the two biases.

    Raises
    ------
    ValueError
        If keys are missing, unexpected or of another shape, all of them told at once; if PyTorch has no such
        layer; if ``bias="input"`` cannot hold both biases: a GRU's gate n does not add them; if the path is
        not that of a ``.safetensors`` file: pickles (``.pt``, ``.pth``) can run code, and are never read.
    CheckpointError
        If the file is damaged, or holds a dtype that NumPy lacks, as bfloat16.
    OSError
        FileNotFoundError, PermissionError or what else the system says.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> mapping = {"fc.weight": np.array([[3.0, 4.0]]), "fc.bias": np.array([0.5])}
    >>> model = rx.Sequential(rx.LastStep(), rx.Linear(2, 1))
    >>> rx.interop.torch.from_state_dict(model, mapping, "numpy", names=("fc",))[1]
    LinearParams(weight=array([[3., 4.]], dtype=float32), bias=array([0.5], dtype=float32))
    """
    backend = get_backend(backend)
    entries = _entries(model, names)
    if isinstance(source, str | os.PathLike):
        source = torch_files.read(source)
    if not isinstance(source, Mapping):
        must = "a dict of arrays by PyTorch's keys, or the path of a .safetensors file"
        msg = f"`source` must be {must}; got {type(source).__name__}."
        raise TypeError(msg)
    arrays = {key: to_host(value) for key, value in source.items()}
    _check(model, entries, arrays)
    leaves = []
    for entry in entries:
        array = arrays[entry.key]
        if entry.second is not None:
            array = one_bias(entry.layer.cell, array, arrays[entry.second], entry.second)
        leaves.append(backend.asarray(array, backend.dtype))
    return tree.unflatten(model.spec(), leaves)


def to_state_dict(model: Layer, params: Tree, names: Sequence[str] | None = None) -> dict[str, Host]:
    """Return a model's parameters, or their gradients, by PyTorch's keys.

    Parameters
    ----------
    model, names
        As in `from_state_dict`.
    params
        In the form of `model.init`, on any backend.

    Returns
    -------
    dict
        NumPy arrays of the caller's own, in PyTorch's order; ``load_state_dict`` takes them as tensors.
        Of a layer with ``bias="input"``, bias_hh is 0: right for weights, but no gradient.

    Raises
    ------
    ValueError
        If PyTorch has no such layer, or `params` are not those of the model.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> model = rx.Sequential(rx.RNN(2, 3, bias=False), rx.LastStep(), rx.Linear(3, 1))
    >>> list(rx.interop.torch.to_state_dict(model, model.init(rx.get_backend("numpy"))))
    ['0.weight_ih_l0', '0.weight_hh_l0', '2.weight', '2.bias']
    """
    entries = _entries(model, names)
    model.check_params(params)
    state = {}
    for entry, leaf in zip(entries, tree.leaves(params), strict=True):
        state[entry.key] = to_numpy(leaf)
        if entry.second is not None:
            state[entry.second] = np.zeros_like(state[entry.key])
    return state


def save(path: PathLike, model: Layer, params: Tree, names: Sequence[str] | None = None) -> None:
    """Write what `to_state_dict` returns to a ``.safetensors`` file, whole or not at all.

    PyTorch takes it with ``module.load_state_dict(safetensors.torch.load_file(path))``.

    Parameters
    ----------
    path
        Of a ``.safetensors`` file; one that is there is replaced.
    model, params, names
        As in `to_state_dict`.

    Raises
    ------
    ValueError
        As in `to_state_dict`, or if the path is another one.
    OSError
        If the file cannot be written; what was there before is still there.

    Examples
    --------
    >>> import tempfile
    >>> import rnn_xp as rx
    >>> model = rx.Sequential(rx.GRU(3, 4), rx.LastStep(), rx.Linear(4, 2))
    >>> params = model.init(rx.get_backend("numpy"), seed=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = directory + "/model.safetensors"
    ...     rx.interop.torch.save(path, model, params, names=("gru", "fc"))
    ...     again = rx.interop.torch.from_state_dict(model, path, "numpy", names=("gru", "fc"))
    >>> bool((again[2].weight == params[2].weight).all())
    True
    """
    torch_files.write(path, to_state_dict(model, params, names))


class _Entry(NamedTuple):
    """A parameter of a model, in the order of its leaves."""

    key: str
    shape: tuple[int, ...]
    layer: Any
    second: str | None  # the key of PyTorch's second bias, where the layer has one only


def _entries(model: Layer, names: Sequence[str] | None) -> list[_Entry]:
    """Return the model's parameters by PyTorch's keys."""
    checks.kind("model", model, Layer, "a layer or a Sequential")
    parts = list(_parts(model))
    entries = []
    for name, (_, layer) in zip(_names(names, parts), parts, strict=True):
        start = f"{name}." if name else ""
        for key, spec in zip(_keys(layer), tree.leaves(layer.spec()), strict=True):
            folded = getattr(layer, "bias", None) == "input" and key.startswith("bias_ih")
            second = start + key.replace("bias_ih", "bias_hh") if folded else None
            entries.append(_Entry(start + key, spec.shape, layer, second))
    return entries


def _parts(model: Layer, place: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield the layers that have parameters, with their places, as in torch.nn.Sequential."""
    if isinstance(model, Residual):
        yield from _parts(model.layer, place)
    elif model.layers:
        for i, layer in enumerate(model.layers):
            yield from _parts(layer, f"{place}.{i}" if place else str(i))
    elif tree.leaves(model.spec()):
        yield place, model


def _names(names: Sequence[str] | None, parts: Sequence[tuple[str, Layer]]) -> Sequence[str]:
    """Return one name a layer."""
    if names is None:
        return [place for place, _ in parts]
    layers = _listed(layer for _, layer in parts)
    must = f"`names` must be a tuple of {len(parts)} different names, one each for {layers}"
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        msg = f"{must}; got {names!r}."
        raise TypeError(msg)
    if len(names) != len(parts) or len(set(names)) != len(names):
        msg = f"{must}; got {tuple(names)!r}."
        raise ValueError(msg)
    return names


def _keys(layer: Layer) -> list[str]:
    """Return PyTorch's names of the layer's parameters, in their order."""
    if isinstance(layer, Linear | Embedding):
        return [name for name, _ in tree.named_leaves(layer.spec())]
    must = "`model` must be made of layers that PyTorch has too"
    if not isinstance(layer, Recurrent):
        msg = f"{must}: RNN, GRU, LSTM, Linear, Embedding and what has no parameters; got {layer!r}."
        raise TypeError(msg)
    if layer.cell not in _CELLS:
        way = "It knows RNN, GRU and LSTM, without layer_norm, peepholes and the like."
        if layer.cell == gru.BEFORE:
            way = 'It has GRU(..., reset="after").'
        msg = f"{must}; got the cell {layer.cell.name!r}. {way}"
        raise ValueError(msg)
    if layer.reverse:
        msg = f"{must}; got {layer!r}. {REVERSE}"
        raise ValueError(msg)
    if layer.learn_state:
        msg = f"{must}: it learns no initial state; got {layer!r}. {STATE}"
        raise ValueError(msg)
    keys = []
    for place, params in enumerate(layer.spec()):
        depth, reverse = divmod(place, layer.directions)
        suffix = f"_l{depth}_reverse" if reverse else f"_l{depth}"
        keys += [name + suffix for name, _ in tree.named_leaves(params)]
    return keys


def _check(model: Layer, entries: list[_Entry], arrays: Mapping[str, Host]) -> None:
    """Raise unless the arrays are just those of the model."""
    shapes = {entry.key: entry.shape for entry in entries}
    shapes |= {entry.second: entry.shape for entry in entries if entry.second is not None}
    faults = [f"{key} {shape} is missing" for key, shape in shapes.items() if key not in arrays]
    faults += [f"{key} is unexpected" for key in arrays if key not in shapes]
    for key, shape in shapes.items():
        if key in arrays and arrays[key].shape != shape:
            faults.append(f"{key} must have shape {shape}, got {arrays[key].shape}")
    if not faults:
        return
    msg = f"`source` must hold the parameters of {model!r}: {'; '.join(faults)}."
    layers = {entry.key.rpartition(".")[0]: entry.layer for entry in entries}
    came = sorted({key.rpartition(".")[0] for key in arrays})
    if came and set(came) != set(layers):
        way_out = f"give names=(...), one each for {_listed(layers.values())}"
        msg = f"{msg} Its names are {', '.join(map(repr, came))}: {way_out}."
    raise ValueError(msg)


def _listed(layers: Iterable[Layer]) -> str:
    """Write layers in their order."""
    return " and ".join(map(repr, layers))
