"""Keras 3's weights, read and written without Keras.

A layer here and the one there that has its weights:

========================================  ==========================================================
``Embedding(V, D)``                       ``Embedding(V, D)``
``RNN(D, H)``                             ``SimpleRNN(H)``
``GRU(D, H)``                             ``GRU(H)``
``GRU(D, H, reset="before")``             ``GRU(H, reset_after=False)``
``LSTM(D, H)``                            ``LSTM(H)``
``LSTM(D, H, bidirectional=True)``        ``Bidirectional(LSTM(H))``, which concatenates
``LSTM(D, H, num_layers=2)``              two layers ``LSTM(H, return_sequences=True)``
``Linear(D, K)``                          ``Dense(K)``
``Sequential`` within a ``Sequential``    a model within a model
``Residual(layer)``                       nothing: the weights of what is in it, in the same row
========================================  ==========================================================

Weights do not tell what else a layer does. For the outputs to be equal, mind that

- ``bias=False`` is ``use_bias=False``; of our two biases Keras has the sum (a GRU with reset after, both);
- ``Dense`` may have an activation, and ``Linear`` has none: ours gives logits where Keras' softmax gives
  probabilities;
- other activations must be named on both sides, with their constants: ``hard_sigmoid`` of Keras 3 is
  ``("hard_sigmoid", 1 / 6, 0.5)`` here, its ``leaky_relu`` ``("leaky_relu", 0.2)``;
- Keras is batch-major, (B, T, D), and returns the last step alone unless ``return_sequences=True``: that is a
  `LastStep` here. Its ``go_backwards=True`` turns y around in time, so `reverse=True` is refused;
- both carry the state over masked steps, but there Keras repeats the last output (0 before the first) where
  ours is 0: compare valid steps only. ``GlobalMaxPooling1D`` knows no masks, `MaxPool` knows lengths;
- ``Embedding(mask_zero=True)`` masks the token 0; here lengths, or a mask, say so;
- Keras 3 multiplies float64 in float32 on most backends: its outputs then differ from ours by some 1e-7.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_xp import tree
from rnn_xp.atomic import PathLike
from rnn_xp.backend import Backend, get_backend, to_numpy
from rnn_xp.interop import keras_h5
from rnn_xp.interop.keras_layers import groups
from rnn_xp.interop.weights import Host, to_host
from rnn_xp.layers import Layer
from rnn_xp.typing import Tree


def from_weights(model: Layer, source: Sequence[Any] | PathLike, backend: Backend | str) -> Tree:
    """Return a model's parameters from the weights of a Keras model of the same layers.

    Parameters
    ----------
    model
        A layer, or a Sequential of layers, whose parameters Keras has: see above.
    source
        What ``model.get_weights()`` returns, whose order is Keras' own. Or the path of a ``.weights.h5``
        file of a Sequential or functional model (needs h5py); what an optimizer keeps there is passed over.
    backend
        Where the parameters are to live; they take its dtype, and share no memory with `source`.

    Returns
    -------
    tree
        In the form of `model.init`. Keras' one bias is bias_ih, and bias_hh is 0.

    Raises
    ------
    ValueError
        If weights are missing, unexpected or of another shape, all of them told at once; if Keras has no such
        layer; if ``bias="input"`` cannot hold both biases of a GRU; if the path is that of another file.
    CheckpointError
        If the file is damaged, or holds weights that are no floats (quantized ones, bfloat16).
    OSError
        FileNotFoundError, PermissionError or what else the system says.
    ModuleNotFoundError
        If h5py, for a file, is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import rnn_xp as rx
    >>> weights = [np.array([[3.0], [4.0]]), np.array([0.5])]  # Dense(1) of two features
    >>> rx.interop.keras.from_weights(rx.Linear(2, 1), weights, "numpy")
    LinearParams(weight=array([[3., 4.]], dtype=float32), bias=array([0.5], dtype=float32))
    """
    backend = get_backend(backend)
    parts = groups(model)
    shapes = {
        f"{part.path}/vars/{i}": shape for part in parts for i, shape in enumerate(part.shapes.values())
    }
    names = [name for part in parts for name in part.names]
    if isinstance(source, str | os.PathLike):
        came = keras_h5.read(source)
        way_out = "A file of a model of one's own class goes by its attributes: give model.get_weights()."
    elif isinstance(source, list | tuple):
        places = [*shapes, *(f"source[{i}]" for i in range(len(shapes), len(source)))]
        came = {place: to_host(each) for place, each in zip(places, source, strict=False)}
        way_out = f"It holds {len(source)} arrays."
    else:
        must = "a list of arrays, as model.get_weights() returns it, or the path of a .weights.h5 file"
        msg = f"`source` must be {must}; got {type(source).__name__}."
        raise TypeError(msg)
    wanted = list(zip(names, shapes, shapes.values(), strict=True))
    faults = [f"{name} {shape} is missing" for name, place, shape in wanted if place not in came]
    faults += [f"{place} {came[place].shape} is unexpected" for place in came if place not in shapes]
    for name, place, shape in wanted:
        if place in came and came[place].shape != shape:
            faults.append(f"{name} must have shape {shape}, got {came[place].shape}")
    if faults:
        msg = f"`source` must hold Keras' weights of {model!r}: {'; '.join(faults)}. {way_out}"
        raise ValueError(msg)
    arrays = iter([came[place] for place in shapes])
    leaves = [leaf for part in parts for leaf in part.ours([next(arrays) for _ in part.shapes])]
    rows = [np.ascontiguousarray(leaf) for leaf in leaves]  # not the transposes of columns
    return tree.unflatten(model.spec(), [backend.asarray(row, backend.dtype) for row in rows])


def to_weights(model: Layer, params: Tree) -> list[Host]:
    """Return a model's parameters as ``model.set_weights()`` of a Keras model of the same layers takes them.

    Parameters
    ----------
    model
        As in `from_weights`.
    params
        In the form of `model.init`, on any backend.

    Returns
    -------
    list of numpy.ndarray
        In Keras' order; the caller's own. Where Keras has one bias, it is bias_ih + bias_hh; where bias_hh is
        0, bias_ih bit for bit.

    Raises
    ------
    ValueError
        If Keras has no such layer, or `params` are not those of the model.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> model = rx.GRU(3, 4, bidirectional=True)
    >>> weights = rx.interop.keras.to_weights(model, model.init(rx.get_backend("numpy")))
    >>> [weight.shape for weight in weights]
    [(3, 12), (4, 12), (2, 12), (3, 12), (4, 12), (2, 12)]
    """
    return list(_placed(model, params).values())


def save(path: PathLike, model: Layer, params: Tree) -> None:
    """Write what `to_weights` returns to a ``.weights.h5`` file, whole or not at all; it needs h5py.

    ``keras.Model.load_weights`` of a Sequential, or a functional model, of the same layers takes it. A
    compiled one warns that the file holds no state of an optimizer.

    Parameters
    ----------
    path
        Of a ``.weights.h5`` file; one that is there is replaced.
    model, params
        As in `to_weights`.

    Raises
    ------
    ValueError
        As in `to_weights`, or if the path is another one.
    ModuleNotFoundError
        If h5py is not installed.
    OSError
        If the file cannot be written; what was there before is still there.

    Examples
    --------
    .. code-block:: python

        rx.interop.keras.save("model.weights.h5", model, params)
        params = rx.interop.keras.from_weights(model, "model.weights.h5", backend)
    """
    keras_h5.write(path, _placed(model, params))


def _placed(model: Layer, params: Tree) -> dict[str, Host]:
    """Return Keras' weights by their places in a file, in Keras' order."""
    parts = groups(model)
    model.check_params(params)
    leaves = iter(tree.leaves(params))
    weights = {}
    for part in parts:
        own = [to_numpy(next(leaves)) for _ in tree.leaves(part.spec)]
        for i, array in enumerate(part.keras(own)):
            weights[f"{part.path}/vars/{i}"] = np.ascontiguousarray(array)
    return weights
