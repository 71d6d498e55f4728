"""The operators that only move elements about, in NumPy: `MOVES`, by name.

Each takes a node and its inputs, where an absent input is None, and returns its outputs. It does not care
whether its first input holds numbers, or names of elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp.interop.onnx.reading.file import Node

Host: TypeAlias = NDArray[Any]
Inputs: TypeAlias = Sequence[Any]
Form: TypeAlias = Callable[[Node, Inputs], tuple[Host, ...]]

LIMIT = 2**26
"""Elements of a tensor that is computed while a graph is read: nothing that one needs comes near."""


def fits(*shape: int) -> tuple[int, ...]:
    """Return a shape if a tensor of it may be made."""
    if any(size < 0 for size in shape) or math.prod(shape) > LIMIT:
        msg = f"it would make a tensor of the shape {shape}"
        raise ValueError(msg)
    return shape


def option(node: Node, name: str, inputs: Inputs, place: int, default: Any = None) -> Any:
    """Return as a list what is an attribute in some opsets and an input in others."""
    if len(inputs) > place and inputs[place] is not None:
        return np.asarray(inputs[place]).reshape(-1).tolist()
    return node.attributes.get(name, default)


def axis_of(node: Node, ndim: int, default: int = 0) -> int:
    """Return the attribute `axis`, counted from the front."""
    axis = int(node.attributes.get("axis", default))
    if not -ndim <= axis < max(ndim, 1):
        msg = f"axis {axis} is none of {ndim}"
        raise ValueError(msg)
    return axis % max(ndim, 1)


def beside(places: Host, axis: int) -> tuple[slice, ...]:
    """Return the part of a tensor that indices along an axis are for: they need not cover it."""
    return tuple(slice(None if i == axis else size) for i, size in enumerate(places.shape))


def reduced(node: Node, inputs: Inputs) -> tuple[int, ...]:
    """Return the axes that a reduction goes over."""
    ndim = inputs[0].ndim
    axes = option(node, "axes", inputs, 1)
    if not axes:
        return () if node.attributes.get("noop_with_empty_axes") else tuple(range(ndim))
    return tuple(sorted(axis % ndim for axis in axes))


def _transpose(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    return (inputs[0].transpose(node.attributes.get("perm")),)


def _reshape(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, shape = inputs[0], option(node, "shape", inputs, 1)
    if not node.attributes.get("allowzero"):
        shape = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return (x.reshape(shape),)


def _flatten(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, axis = inputs[0], int(node.attributes.get("axis", 1))
    rows = math.prod(x.shape[: axis % x.ndim if axis < 0 else axis])
    return (x.reshape(rows, x.size // max(rows, 1)),)


def _squeeze(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    axes = option(node, "axes", inputs, 1)
    return (np.squeeze(inputs[0], None if axes is None else tuple(axes)),)


def _unsqueeze(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    return (np.expand_dims(inputs[0], tuple(option(node, "axes", inputs, 1))),)


def _slice(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x = inputs[0]
    starts, ends = option(node, "starts", inputs, 1), option(node, "ends", inputs, 2)
    axes = option(node, "axes", inputs, 3) or range(len(starts))
    steps = option(node, "steps", inputs, 4) or [1] * len(starts)
    own = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = x.shape[axis]
        if step < 0:
            start = max(start, -size)  # at the first one, where Python would begin before it
            end = None if end < -size else end  # past the first one, which Python says by None
        own[axis % x.ndim] = slice(start, end, step)
    return (x[tuple(own)],)


def _split(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, axis = inputs[0], axis_of(node, inputs[0].ndim)
    sizes, count = option(node, "split", inputs, 1), len(node.outputs)
    if sizes is None:
        part = -(-x.shape[axis] // count)
        sizes = [part] * (count - 1) + [x.shape[axis] - part * (count - 1)]
    if sum(sizes) != x.shape[axis] or len(sizes) != count:
        msg = f"the parts {sizes} are not those of an axis of {x.shape[axis]}"
        raise ValueError(msg)
    return tuple(np.split(x, np.cumsum(sizes)[:-1].tolist(), axis))


def _gather(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, places = inputs[0], inputs[1]
    axis = axis_of(node, x.ndim)
    fits(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    return (np.take(x, places.astype(np.int64), axis),)


def _gather_elements(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, places = inputs[0], inputs[1].astype(np.int64)
    axis = axis_of(node, x.ndim)
    return (np.take_along_axis(x[beside(places, axis)], places, axis),)


def _gather_nd(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, places = inputs[0], inputs[1].astype(np.int64)
    lead = int(node.attributes.get("batch_dims", 0))
    if x.shape[:lead] != places.shape[:lead]:
        msg = f"its first {lead} axes are {x.shape[:lead]} and {places.shape[:lead]}"
        raise ValueError(msg)
    fits(*places.shape[:-1], *x.shape[lead + places.shape[-1] :])
    whole = np.indices(places.shape[:-1])[:lead] if places.ndim > 1 else ()
    return (x[(*whole, *np.moveaxis(places, -1, 0))],)


def _expand(_: Node, inputs: Inputs) -> tuple[Host, ...]:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(inputs[1].tolist()))
    return (np.broadcast_to(inputs[0], fits(*shape)),)


def _tile(_: Node, inputs: Inputs) -> tuple[Host, ...]:
    x, repeats = inputs[0], inputs[1].tolist()
    fits(*[size * n for size, n in zip(x.shape, repeats, strict=True)])
    return (np.tile(x, repeats),)


def _identity(_: Node, inputs: Inputs) -> tuple[Host, ...]:
    return (inputs[0],)


def _concat(node: Node, inputs: Inputs) -> tuple[Host, ...]:
    axis = axis_of(node, inputs[0].ndim)
    fits(sum(x.size for x in inputs))
    return (np.concatenate(inputs, axis),)


MOVES: dict[str, Form] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Expand": _expand,
    "Tile": _tile,
    "Identity": _identity,
    "Concat": _concat,
}
