"""Opening a file that may come from anybody: nothing but its own bytes is read, and nothing in it is run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks

Host: TypeAlias = NDArray[Any]


class Node(NamedTuple):
    """A node, as Python values."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.op})"


class Branch(NamedTuple):
    """A graph within a node, which may read tensors of the graph around it."""

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Host]


class Input(NamedTuple):
    """An input of the graph."""

    name: str
    kind: str  # of its numbers: "f", "i" or, of all others, "?"
    shape: tuple[int | None, ...]  # None: a size that the graph leaves open


class Source(NamedTuple):
    """A graph, as Python values."""

    nodes: tuple[Node, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Host]
    opset: int
    metadata: dict[str, str]


def opened(source: Any) -> Source:
    """Read a model from a path or from an onnx.ModelProto; external data are refused, and never looked at."""
    onnx = checks.optional("onnx", "onnx", "rx.interop.onnx")
    proto = source
    if isinstance(source, str | os.PathLike):
        try:
            proto = onnx.load_model(source, format="protobuf", load_external_data=False)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # protobuf's own, of whichever implementation
            msg = f"`source` must be an ONNX file; {os.fspath(source)} is none: {error}."
            raise ValueError(msg) from None
    checks.kind("source", proto, onnx.ModelProto, "a path or an onnx.ModelProto")
    for tensor in _tensors(proto, onnx.TensorProto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            way_out = "Save it with its tensors inside: onnx.save(onnx.load(path), path)."
            msg = f"`source` must hold its own tensors; {tensor.name!r} lies in another file. {way_out}"
            raise ValueError(msg)
    try:
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        msg = f"`source` must be a valid ONNX model: {_first_line(error)}"
        raise ValueError(msg) from None
    opsets = {each.domain: each.version for each in proto.opset_import}
    nodes, outputs, constants = _parts(onnx, proto.graph)
    return Source(
        nodes,
        tuple(_input(onnx, each) for each in proto.graph.input if each.name not in constants),
        outputs,
        constants,
        opsets.get("", opsets.get("ai.onnx", 1)),
        {each.key: each.value for each in proto.metadata_props},
    )


def _tensors(message: Any, kind: Any) -> Iterator[Any]:
    """Yield every tensor in a message, wherever it hides."""
    if isinstance(message, kind):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if hasattr(value, "__len__") else (value,):
                yield from _tensors(each, kind)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _array(onnx: Any, tensor: Any) -> Host:
    """Return a tensor's numbers; floats narrower than float32 as float32."""
    try:
        array = np.asarray(onnx.numpy_helper.to_array(tensor))
    except Exception as error:
        msg = f"`source` must hold whole tensors; {tensor.name!r} is none: {_first_line(error)}"
        raise ValueError(msg) from None
    narrow = array.dtype.name in ("float16", "bfloat16")
    return array.astype(np.float32) if narrow else array


def _parts(onnx: Any, graph: Any) -> tuple[tuple[Node, ...], tuple[str, ...], dict[str, Host]]:
    """Return a graph's nodes, its outputs and its constants."""
    nodes = tuple(_node(onnx, place, node) for place, node in enumerate(graph.node))
    constants = {tensor.name: _array(onnx, tensor) for tensor in graph.initializer}
    return nodes, tuple(each.name for each in graph.output), constants


def _node(onnx: Any, place: int, node: Any) -> Node:
    """Return a node; one of another domain has it in its operator's name."""
    op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    attributes = {each.name: _attribute(onnx, each) for each in node.attribute}
    return Node(op, node.name or str(place), tuple(node.input), tuple(node.output), attributes)


def _attribute(onnx: Any, attribute: Any) -> Any:
    """Return an attribute's value, with its strings decoded and its tensor as an array."""
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == onnx.AttributeProto.TENSOR:
        return _array(onnx, value)
    if attribute.type == onnx.AttributeProto.GRAPH:
        return Branch(*_parts(onnx, value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [each.decode("utf-8", "replace") for each in value]
    return list(value) if hasattr(value, "__len__") and not isinstance(value, str) else value


def _input(onnx: Any, value: Any) -> Input:
    """Return an input's name, kind and shape."""
    tensor = value.type.tensor_type
    floats = (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
    )
    integers = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
    kind = "f" if tensor.elem_type in floats else "i" if tensor.elem_type in integers else "?"
    return Input(value.name, kind, tuple(dim.dim_value or None for dim in tensor.shape.dim))
