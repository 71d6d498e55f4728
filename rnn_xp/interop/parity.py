"""How far two models are from one another: their outputs on random sequences, compared."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import backend_of, to_numpy
from rnn_xp.interop.keras_adapter import KerasAdapter
from rnn_xp.interop.torch_adapter import torch_adapter
from rnn_xp.interop.weights import Host
from rnn_xp.layers import Layer
from rnn_xp.typing import Tree

Function: TypeAlias = Callable[..., Any]


def compare(
    model: Layer,
    params: Tree,
    other: Function,
    *,
    sequences: int = 16,
    steps: int = 20,
    lengths: bool = False,
    seed: int = 0,
) -> float:
    """Return the largest absolute difference between the outputs of a model and of another one.

    Parameters
    ----------
    model, params
        A model of ours, with parameters on any backend.
    other
        A function of host arrays in the dtype of `params`: ``other(x)`` takes x (T, B, D), or integer tokens
        (T, B), and returns y (T, B, K) or (B, K). `of_torch` and `of_keras` make one.
    sequences
        How many random sequences; normal numbers, or tokens of which each is as likely.
    steps
        Their lengths lie in 1..steps.
    lengths
        Whether they come in one padded batch, to ``other(x, lengths)``. By default there is a batch for each
        length. What stands past a sequence's end is not compared.
    seed
        Of the sequences.

    Returns
    -------
    float
        NaN where an output is, on either side.

    Raises
    ------
    ValueError
        If the outputs have other shapes, or `model` has no parameters.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> model = rx.Sequential(rx.Linear(3, 2, bias=False), rx.LastStep())
    >>> params = model.init(rx.get_backend("numpy", dtype="float64"), seed=0)
    >>> weight = params[0].weight
    >>> rx.interop.parity.compare(model, params, lambda x: x[-1] @ weight.T) < 1e-15
    True
    """
    checks.kind("model", model, Layer, "a layer or a Sequential")
    model.check_params(params)
    checks.integer("sequences", sequences)
    checks.integer("steps", steps)
    padded = checks.boolean("lengths", lengths)
    leaves = tree.leaves(params)
    if not leaves:
        msg = f"`model` must have parameters; got {model!r}."
        raise ValueError(msg)
    backend = backend_of(leaves[0])
    largest = 0.0
    for x, ends in _batches(model, sequences, steps, padded, seed):
        x = x if x.ndim == 2 else x.astype(backend.precision)
        ours = to_numpy(
            model.forward(params, backend.asarray(x), lengths=ends.tolist() if padded else None)[0]
        )
        theirs = np.asarray(other(x, ends) if padded else other(x))
        if ours.shape != theirs.shape:
            msg = (
                f"`other` must return y of shape {ours.shape}, for x of shape {x.shape}; got {theirs.shape}."
            )
            raise ValueError(msg)
        gaps = np.abs(ours - theirs)
        gaps = gaps[np.arange(len(x))[:, None] < ends] if gaps.ndim == 3 else gaps
        largest = float(np.max(gaps, initial=largest))
    return largest


def of_torch(module: Any, **options: Any) -> Function:
    """Return the outputs of a PyTorch module as a function for `compare`.

    Parameters
    ----------
    module
        torch.nn.RNN, GRU or LSTM, or a module that is called as ``module(x)``, or ``module(x, lengths)``.
    **options
        Of a module of one's own: ``layout="NTC"`` where it is batch-major, ``takes_lengths=True``; see
        `rnn_xp.interop.torch_adapter.ModuleAdapter`.

    Examples
    --------
    .. code-block:: python

        params = rx.interop.torch.from_state_dict(rx.LSTM(3, 4), lstm.state_dict(), "numpy")
        rx.interop.parity.compare(rx.LSTM(3, 4), params, rx.interop.parity.of_torch(lstm))
    """
    kind: Any = torch_adapter(module)
    adapter = kind(module, **options) if kind.takes_state else kind(module, 1, **options)

    def outputs(x: Host, lengths: Host | None = None) -> Host:
        y: Host = adapter.forward(x, lengths)[0]
        return y

    return outputs


def of_keras(model: Any) -> Function:
    """Return the outputs of a Keras layer or model as a function for `compare`; lengths become its mask.

    Parameters
    ----------
    model
        Called with x (B, T, D), or tokens (B, T).

    Examples
    --------
    .. code-block:: python

        params = rx.interop.keras.from_weights(model, keras_model.get_weights(), "numpy")
        rx.interop.parity.compare(model, params, rx.interop.parity.of_keras(keras_model))
    """
    adapter = KerasAdapter(model, 1)

    def outputs(x: Host, lengths: Host | None = None) -> Host:
        with warnings.catch_warnings():  # a Sequential uses a mask, but says that it gives none on
            warnings.filterwarnings("ignore", "Layer .* does not support masking")
            return adapter.forward(x, lengths)[0]

    return outputs


def _batches(
    model: Layer, sequences: int, steps: int, padded: bool, seed: int
) -> Iterator[tuple[Host, Host]]:
    """Yield batches of random sequences with their lengths; 0 follows their ends."""
    random = np.random.default_rng(seed)
    kind, size = model.intake.kind, int(model.intake.size or 1)
    ends = np.sort(random.integers(1, steps + 1, sequences))
    for batch in [ends] if padded else np.split(ends, np.flatnonzero(np.diff(ends)) + 1):
        shape = (int(batch.max()), len(batch))
        tokens = kind == "tokens"
        x = random.integers(0, size, shape) if tokens else random.standard_normal((*shape, size))
        inside = np.arange(shape[0])[:, None] < batch
        yield np.where(inside if tokens else inside[:, :, None], x, 0), batch
