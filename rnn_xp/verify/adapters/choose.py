"""The adapter of a model, of whatever library."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from rnn_xp.interop.keras_adapter import KerasAdapter
from rnn_xp.interop.onnxruntime_adapter import OnnxRuntimeAdapter
from rnn_xp.interop.torch_adapter import torch_adapter
from rnn_xp.layers import Layer
from rnn_xp.verify.adapters.function import FunctionAdapter
from rnn_xp.verify.adapters.layer import LayerAdapter
from rnn_xp.verify.adapters.protocol import Adapter


def adapt(model: Any, **how: Any) -> Adapter:
    """Return an adapter of a model, of whatever library.

    Parameters
    ----------
    model
        An `Adapter`, which is returned as it is; a layer or model of this package (`LayerAdapter`); a
        torch.nn.Module (`RecurrentAdapter` of its own layers, `ModuleAdapter` of others); a layer or model of
        Keras (`KerasAdapter`); an onnxruntime.InferenceSession (`OnnxRuntimeAdapter`); any other callable
        (`FunctionAdapter`).
    **how
        The arguments of these.

    Raises
    ------
    TypeError
        If `model` is nothing of these, or an argument is none of its adapter's.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> adapt(rx.LSTM(3, 4, bidirectional=True)).reverse
    4
    """
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(model).__mro__}
    if isinstance(model, Layer):
        return _made(LayerAdapter, model, how)
    if ("keras", "Layer") in kinds:  # first: on PyTorch it is a module too
        return _made(KerasAdapter, model, how)
    if ("torch", "Module") in kinds:
        return _made(torch_adapter(model), model, how)
    if ("onnxruntime", "InferenceSession") in kinds:
        return _made(OnnxRuntimeAdapter, model, how)
    if isinstance(model, Adapter):
        if how:
            msg = f"`model` must be no adapter where options are given; got {', '.join(how)} beside one."
            raise TypeError(msg)
        return model
    if callable(model):
        return _made(FunctionAdapter, model, how)
    must = "`model` must be a layer, a model, a session, a callable or an adapter"
    msg = f"{must}; got {type(model).__name__}."
    raise TypeError(msg)


def _made(kind: Callable[..., Adapter], model: Any, how: dict[str, Any]) -> Adapter:
    """Return an adapter of this kind."""
    _, *options = signature(kind).parameters
    unknown = [option for option in how if option not in options]
    if unknown:
        must = f"the options of {type(model).__name__} must be of {', '.join(options)}"
        hint = " It tells the features of x itself." if "input_size" in unknown else ""
        msg = f"{must}; got {', '.join(unknown)}.{hint}"
        raise TypeError(msg)
    return kind(model, **how)
