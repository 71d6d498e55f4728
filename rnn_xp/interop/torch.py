"""PyTorch's state dicts, read and written without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import tree
from rnn_xp.backend import Backend, get_backend, to_numpy
from rnn_xp.cells import gru, lstm, rnn
from rnn_xp.layers import Embedding, Layer, Linear, Recurrent
from rnn_xp.typing import Tree

Host = NDArray[Any]

_CELLS = (rnn.TANH, rnn.RELU, lstm.LSTM, gru.AFTER)


def from_state_dict(layer: Layer, mapping: Mapping[str, Any], backend: Backend | str) -> Tree:
    """Return a layer's parameters from what PyTorch's module of the same arguments holds.

    Parameters
    ----------
    layer
        A layer of PyTorch's: RNN, GRU with reset after, LSTM, Linear or Embedding.
    mapping
        What ``module.state_dict()`` returns: NumPy arrays or PyTorch's tensors by PyTorch's keys.
    backend
        Where the parameters are to live; they take its dtype, and share no memory with `mapping`.

    Returns
    -------
    tree
        In the form of `layer.init`. Of a layer with ``bias="input"``, bias_ih is the sum of the two biases.

    Raises
    ------
    ValueError
        If keys are missing, unexpected or of another shape, all of them told at once; if PyTorch has no such
        layer; if ``bias="input"`` cannot hold both biases: a GRU's gate n does not add them.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> mapping = {"weight": np.array([[3.0, 4.0]]), "bias": np.array([0.5])}
    >>> rx.interop.torch.from_state_dict(rx.Linear(2, 1), mapping, "numpy")
    LinearParams(weight=array([[3., 4.]], dtype=float32), bias=array([0.5], dtype=float32))
    """
    backend = get_backend(backend)
    keys = _keys(layer)
    folded = _folded(layer, keys)
    shapes = {}
    for key, spec in zip(keys, tree.leaves(layer.spec()), strict=True):
        shapes[key] = spec.shape
        if key in folded:
            shapes[folded[key]] = spec.shape
    if not isinstance(mapping, Mapping):
        msg = f"`mapping` must be a dict of arrays by PyTorch's keys; got {type(mapping).__name__}."
        raise TypeError(msg)
    arrays = {key: _host(value) for key, value in mapping.items()}
    faults = [f"{key} {shape} is missing" for key, shape in shapes.items() if key not in arrays]
    faults += [f"{key} is unexpected" for key in arrays if key not in shapes]
    for key, shape in shapes.items():
        if key in arrays and arrays[key].shape != shape:
            faults.append(f"{key} must have shape {shape}, got {arrays[key].shape}")
    if faults:
        msg = f"`mapping` must hold the parameters of {layer!r}: {'; '.join(faults)}."
        raise ValueError(msg)
    for key, extra in folded.items():
        arrays[key] = arrays[key] + _addable(layer, extra, arrays[extra])
    return tree.unflatten(layer.spec(), [backend.asarray(arrays[key], backend.dtype) for key in keys])


def to_state_dict(layer: Layer, params: Tree) -> dict[str, Host]:
    """Return a layer's parameters, or their gradients, by PyTorch's keys.

    Parameters
    ----------
    layer
        As in `from_state_dict`.
    params
        In the form of `layer.init`, on any backend.

    Returns
    -------
    dict
        NumPy arrays of the caller's own, in PyTorch's order; ``load_state_dict`` takes them as tensors.
        Of a layer with ``bias="input"``, bias_hh is 0: right for weights, but no gradient.

    Raises
    ------
    ValueError
        If PyTorch has no such layer, or `params` are not those of the layer.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> layer = rx.RNN(2, 3, bidirectional=True, bias=False)
    >>> list(rx.interop.torch.to_state_dict(layer, layer.init(rx.get_backend("numpy"))))
    ['weight_ih_l0', 'weight_hh_l0', 'weight_ih_l0_reverse', 'weight_hh_l0_reverse']
    """
    keys = _keys(layer)
    layer.check_params(params)
    folded = _folded(layer, keys)
    state = {}
    for key, leaf in zip(keys, tree.leaves(params), strict=True):
        state[key] = to_numpy(leaf)
        if key in folded:
            state[folded[key]] = np.zeros_like(state[key])
    return state


def _keys(layer: Layer) -> list[str]:
    """Return PyTorch's names of the layer's parameters, in their order."""
    if isinstance(layer, Linear | Embedding):
        return [name for name, _ in tree.named_leaves(layer.spec())]
    if not isinstance(layer, Recurrent):
        kind = type(layer).__name__
        msg = f"`layer` must be an RNN, GRU, LSTM, Linear or Embedding, one by itself; got {kind}."
        raise TypeError(msg)
    if layer.cell not in _CELLS:
        way = "It knows RNN, GRU and LSTM, without layer_norm, peepholes and the like."
        if layer.cell == gru.BEFORE:
            way = 'It has GRU(..., reset="after").'
        msg = f"`layer` must be one that PyTorch has too; got the cell {layer.cell.name!r}. {way}"
        raise ValueError(msg)
    if layer.reverse:
        msg = f"`layer` must be one that PyTorch has too: none runs against time alone; got {layer!r}."
        raise ValueError(msg)
    if layer.learn_state:
        way = "Take the same layer without it, and its params with state_0=None."
        msg = f"`layer` must have learn_state=False: PyTorch learns no initial state; got {layer!r}. {way}"
        raise ValueError(msg)
    keys = []
    for place, params in enumerate(layer.spec()):
        depth, reverse = divmod(place, layer.directions)
        suffix = f"_l{depth}_reverse" if reverse else f"_l{depth}"
        keys += [name + suffix for name, _ in tree.named_leaves(params)]
    return keys


def _folded(layer: Layer, keys: list[str]) -> dict[str, str]:
    """Return the key of PyTorch's second bias beside that of the first, where the layer has one bias only."""
    if getattr(layer, "bias", None) != "input":
        return {}
    return {key: key.replace("bias_ih", "bias_hh") for key in keys if key.startswith("bias_ih")}


def _addable(layer: Any, key: str, bias_hh: Host) -> Host:
    """Return bias_hh if it may be added to bias_ih: it must be 0 in gates that keep the two apart."""
    apart = {gate for pair in layer.cell.pairs for gate in pair.apart}
    for gate, part in zip(layer.cell.gates, np.split(bias_hh, len(layer.cell.gates)), strict=True):
        if gate in apart and part.any():
            msg = f"`layer` must have bias=True: {key} is not 0 in the gate {gate}, which does not add it."
            raise ValueError(msg)
    return bias_hh


def _host(value: Any) -> Host:
    """Copy a NumPy array, or a tensor by its own means, to the host."""
    return np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
