"""What a node makes of what layers put out: `RULES`, by its operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from rnn_xp.interop.onnx import operators
from rnn_xp.interop.onnx.reading import features
from rnn_xp.interop.onnx.reading.computed import DTYPES
from rnn_xp.interop.onnx.reading.elements import (
    BLANK,
    Call,
    Flow,
    Host,
    Made,
    Names,
    OutOfOrderError,
    marks,
    moved,
)
from rnn_xp.interop.onnx.reading.moves import axis_of
from rnn_xp.interop.onnx.reading.pooling import reduction
from rnn_xp.layers import Dropout, Recurrent

GIVEN = "a state that the caller gives"
MEMORY = "the memory c of an LSTM"
ENDS = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}


def cast(call: Call) -> tuple[Names, ...]:
    """Read a change of precision as nothing."""
    names = call.made(0)
    kind = np.dtype(DTYPES.get(call.node.attributes["to"], "O")).kind
    wanted = {
        "i" if flow.signal and flow.signal.kind == "tokens" else "f" for flow in call.elements.of(names)
    }
    if wanted - {kind}:
        msg = "it casts between integers and floating point"
        raise ValueError(msg)
    return (names,)


def where(call: Call) -> tuple[Names, ...]:
    """Read a choice by a condition that does not depend on what layers give."""
    condition = call.constant(0)
    a, b = (each.names if isinstance(each, Made) else marks(each) for each in call.inputs[1:])
    return (np.where(condition, a, b),)


def dropout(call: Call) -> tuple[Names, ...]:
    """Read a Dropout, which is there to be trained on."""
    names = call.made(0)
    rate = call.node.attributes.get("ratio", 0.5)
    if len(call.inputs) > 1 and call.inputs[1] is not None:
        rate = call.constant(1).item()
    if rate == 0:
        return (names,)
    names, flow = call.elements.readable(names)
    return (moved(names, flow, call.elements.apply(flow, Dropout(operators.short(rate)), ())),)


def end(call: Call) -> tuple[Names, ...]:
    """Read what makes probabilities of a model's outputs: only moves may follow."""
    names, flow = call.elements.readable(call.made(0))
    made = ENDS[call.node.op]
    if made != "sigmoid":
        old = call.opset < 13
        axis = axis_of(call.node, names.ndim, 1 if old else -1)
        rows = names.reshape(int(np.prod(names.shape[:axis])), -1) if old else np.moveaxis(names, axis, -1)
        call.elements.rows(rows, flow)
    return (moved(names, flow, call.elements.add(flow.shape, made, parent=flow)),)


def recurrent(call: Call) -> tuple[Names, ...]:
    """Read RNN, GRU or LSTM."""
    elements, op = call.elements, call.node.op
    flow, who = _sequences(call)
    given = {name: call.constant(k) for name, k in (("W", 1), ("R", 2), ("B", 3), ("P", 7)) if call.has(k)}
    fields = ("h", "c") if op == "LSTM" else ("h",)
    directions, H = given["R"].shape[0], given["R"].shape[-1]
    starts = [_start(call, 5 + k, (directions, len(who), H)) for k in range(len(fields))]
    learnt = any(start.any() for start in starts)
    layer = operators.layer(op, call.node.attributes, given, learnt)
    ends = _ends(call, who, layer)
    out = elements.apply(flow, layer, operators.params(op, layer, given, starts))
    T, N, _ = flow.shape
    steps = out.all.reshape(T, N, directions, H).transpose(0, 2, 1, 3)[:, :, who]
    last = np.stack(
        [steps[0, k] if way else steps[ends - 1, k, np.arange(len(who))] for k, way in enumerate(layer.ways)]
    )
    past = np.arange(T)[:, np.newaxis] >= ends
    memory = elements.add((directions, len(who), H), MEMORY)
    return np.where(past[:, np.newaxis, :, np.newaxis], BLANK, steps), last, memory.all


def _sequences(call: Call) -> tuple[Flow, Any]:
    """Return the flow that a recurrent node reads, and in which order of the batch."""
    elements, names = call.elements, call.made(0)
    flow = elements.owner(names)
    msg = f"its X is not {flow.made}, as (T, N, C)"
    if flow.signal is None or flow.signal.kind != "steps" or names.shape != flow.shape:
        raise OutOfOrderError(msg)
    who = flow.local(np.maximum(names[0, :, 0], flow.first))[1]
    valid = elements.example.valid[:, who]
    if not np.array_equal(names[valid], flow.all[:, who][valid]):
        raise OutOfOrderError(msg)
    return flow, who


def _ends(call: Call, who: Any, layer: Recurrent) -> Any:
    """Return where a node's sequences end, (N,)."""
    T, _, lengths = call.elements.example
    ends = np.asarray(call.elements.example.ends)[who]
    if call.has(4) and np.array_equal(call.constant(4), ends):
        return ends
    if call.has(4) and (call.constant(4) != T).any():
        msg = "its sequence_lens are not the lengths that the graph takes"
        raise ValueError(msg)
    if lengths is not None and layer.ways[-1]:
        msg = "it runs against time without the lengths of its sequences, that the graph takes"
        raise ValueError(msg)
    return np.full(len(who), T)


def _start(call: Call, place: int, shape: tuple[int, ...]) -> Host:
    """Return the initial state that a node begins with, (dirs, H): 0 where the caller gives it."""
    zero = np.zeros((shape[0], shape[2]), np.float32)
    if not call.has(place):
        return zero
    value = call.inputs[place]
    if isinstance(value, Made):
        if any(flow.made != GIVEN for flow in call.elements.of(value.names)) or value.names.min() < BLANK:
            msg = "its initial state depends on what layers give"
            raise ValueError(msg)
        return zero
    if value.shape != shape or not np.array_equal(
        value, np.broadcast_to(value[:, :1], shape), equal_nan=True
    ):
        msg = "its initial state differs from sequence to sequence"
        raise ValueError(msg)
    return value[:, 0]  # type: ignore[no-any-return]


Rule: TypeAlias = Callable[[Call], tuple[Names, ...]]

RULES: dict[str, Rule] = {
    "RNN": recurrent,
    "GRU": recurrent,
    "LSTM": recurrent,
    "MatMul": features.matmul,
    "Gemm": features.gemm,
    "Gather": features.embedding,
    "Add": features.add,
    "Sub": features.subtract,
    "Mul": features.multiply,
    "Div": features.divide,
    "ReduceMean": reduction,
    "ReduceMax": reduction,
    "ReduceSum": reduction,
    "GlobalAveragePool": reduction,
    "GlobalMaxPool": reduction,
    "Softmax": end,
    "LogSoftmax": end,
    "Sigmoid": end,
    "Dropout": dropout,
    "Cast": cast,
    "Where": where,
}
