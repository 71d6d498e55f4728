"""Operators that compute shapes, masks and constants, in NumPy: `COMPUTED`, by name, with all of `MOVES`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnn_xp.interop.onnx.reading.file import Node
from rnn_xp.interop.onnx.reading.moves import (
    MOVES,
    Form,
    Host,
    Inputs,
    axis_of,
    beside,
    fits,
    option,
    reduced,
)

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 11: "float64"}
DTYPES |= {10: "float32", 16: "float32"}  # float16 and bfloat16 are wide enough


def _cast(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    kind = node.attributes.get("to")
    if kind not in DTYPES:
        msg = f"it casts to the type {kind}"
        raise ValueError(msg)
    return (inputs[0].astype(DTYPES[kind]),)


def _shape(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    own = slice(node.attributes.get("start", 0), node.attributes.get("end"))
    return (np.asarray(inputs[0].shape[own], dtype=np.int64),)


def _size(_: Node, inputs: Inputs) -> tuple[Host, ...]:
    return (np.asarray(inputs[0].size, dtype=np.int64),)


def _constant(node: Node, _: Inputs) -> tuple[Host, ...]:
    ((name, value),) = node.attributes.items()
    dtypes = {"value_int": "i8", "value_ints": "i8", "value_float": "f4", "value_floats": "f4"}
    return (np.asarray(value) if name == "value" else np.asarray(value, dtype=dtypes[name]),)


def _constant_of_shape(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32))).reshape(())
    return (np.broadcast_to(value, fits(*inputs[0].tolist())),)


def _range(_: Node, inputs: Inputs) -> tuple[Host, ...]:
    start, limit, delta = (x.reshape(()).item() for x in inputs)
    fits(max(0, math.ceil((limit - start) / delta)))
    return (np.arange(start, limit, delta, dtype=inputs[0].dtype),)


def _top_k(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, axis, count = inputs[0], axis_of(node, inputs[0].ndim, -1), option(node, "k", inputs, 1)
    count = count[0] if isinstance(count, list) else count
    largest = node.attributes.get("largest", 1)
    order = np.argsort(-x if largest else x, axis, kind="stable").take(np.arange(count), axis)
    return np.take_along_axis(x, order, axis), order


def _scatter_elements(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    y, places = np.array(inputs[0]), inputs[1].astype(np.int64)
    if node.attributes.get("reduction", "none") != "none":
        msg = f"its reduction is {node.attributes['reduction']!r}"
        raise ValueError(msg)
    axis = axis_of(node, y.ndim)
    np.put_along_axis(y[beside(places, axis)], places, inputs[2], axis)
    return (y,)


def _where(_: Node, inputs: Inputs) -> tuple[Any, ...]:
    fits(*np.broadcast_shapes(*[x.shape for x in inputs]))
    return (np.where(*inputs),)


def _mod(node: Node, inputs: Inputs) -> tuple[Any, ...]:
    """Return the rest of a division: with the sign of the divisor, or, with fmod, of the dividend."""
    return _pointwise(np.fmod if node.attributes.get("fmod") else np.mod)(node, inputs)


def _divided(a: Any, b: Any) -> Any:
    """Return a / b, of integers towards 0 as in C."""
    if a.dtype.kind == "f":
        return a / b
    quotient = a // b
    return quotient + ((a % b != 0) & ((a < 0) != (b < 0)))


def _pointwise(function: Callable[..., Any]) -> Form:
    """Return the form of a function of elements that broadcast."""

    def form(_: Node, inputs: Inputs) -> tuple[Host, ...]:
        fits(*np.broadcast_shapes(*[x.shape for x in inputs]))
        return (np.asarray(functools.reduce(function, inputs)),)

    return form


def _unary(function: Callable[..., Any]) -> Form:
    """Return the form of a function of one element."""

    def form(_: Node, inputs: Inputs) -> tuple[Host, ...]:
        return (np.asarray(function(inputs[0])),)

    return form


def _reduction(function: Callable[..., Any]) -> Form:
    """Return the form of a reduction."""

    def form(node: Node, inputs: Inputs) -> tuple[Host, ...]:
        keep = bool(node.attributes.get("keepdims", 1))
        y = function(inputs[0], axis=reduced(node, inputs), keepdims=keep)
        return (np.asarray(y, dtype=inputs[0].dtype),)

    return form


COMPUTED: dict[str, Form] = {
    **MOVES,
    "Cast": _cast,
    "Shape": _shape,
    "Size": _size,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "TopK": _top_k,
    "ScatterElements": _scatter_elements,
    "Where": _where,
    "Neg": _unary(np.negative),
    "Not": _unary(np.logical_not),
    "Abs": _unary(np.abs),
    "Add": _pointwise(np.add),
    "Sub": _pointwise(np.subtract),
    "Mul": _pointwise(np.multiply),
    "Div": _pointwise(_divided),
    "Mod": _mod,
    "Min": _pointwise(np.minimum),
    "Max": _pointwise(np.maximum),
    "And": _pointwise(np.logical_and),
    "Or": _pointwise(np.logical_or),
    "Equal": _pointwise(np.equal),
    "Less": _pointwise(np.less),
    "LessOrEqual": _pointwise(np.less_equal),
    "Greater": _pointwise(np.greater),
    "GreaterOrEqual": _pointwise(np.greater_equal),
    "ReduceSum": _reduction(np.sum),
    "ReduceProd": _reduction(np.prod),
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "ReduceMean": _reduction(np.mean),
}
