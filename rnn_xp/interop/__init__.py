"""Weights and models from other libraries and to them; each part loads on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnn_xp.interop import keras as keras
    from rnn_xp.interop import onnx as onnx
    from rnn_xp.interop import parity as parity
    from rnn_xp.interop import standalone as standalone
    from rnn_xp.interop import torch as torch

__all__ = ["keras", "onnx", "parity", "standalone", "torch"]


def __getattr__(name: str) -> Any:
    """Load a part."""
    if name not in __all__:
        msg = f"module 'rnn_xp.interop' has no attribute {name!r}"
        raise AttributeError(msg)
    return import_module(f"rnn_xp.interop.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
