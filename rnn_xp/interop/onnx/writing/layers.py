"""What each layer becomes: its nodes in a graph, as it computes at inference."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, NamedTuple

from rnn_xp.interop.onnx import operators
from rnn_xp.interop.onnx.writing.graph import Graph, Value
from rnn_xp.layers import (
    Dropout,
    Embedding,
    LastStep,
    Layer,
    Linear,
    MaxPool,
    MeanPool,
    Recurrent,
    Residual,
    Signal,
)
from rnn_xp.model import Sequential
from rnn_xp.typing import Tree


class Placed(NamedTuple):
    """A layer, its parameters (host arrays), and its place in the model: "2", or "2.0" within another."""

    layer: Layer
    params: Tree
    place: str


def emit(graph: Graph, model: Sequential, params: Tree, x: Value) -> Value:
    """Add the nodes of a model to the graph; x is time-major."""
    return _row(graph, _flat(Placed(model, params, "")), x)


def _flat(whole: Placed) -> list[Placed]:
    """Return the layers of nested rows as one row, without what does nothing at inference."""
    layer, params, place = whole
    if isinstance(layer, Dropout):
        return []
    if not isinstance(layer, Sequential):
        return [whole]
    parts = zip(layer.layers, params, range(len(params)), strict=True)
    return [each for part, own, i in parts for each in _flat(Placed(part, own, f"{place}.{i}".lstrip(".")))]


def _row(graph: Graph, row: list[Placed], x: Value) -> Value:
    """Add one layer after the other."""
    for each, after in zip_longest(row, row[1:]):
        if isinstance(each.layer, Recurrent):
            x = _recurrent(graph, each, x, only_last=after is not None and isinstance(after.layer, LastStep))
        elif not isinstance(each.layer, LastStep) or x.signal.kind == "steps":
            x = Value(_one(graph, each, x), each.layer.connect(x.signal)[1])
    return x


def _one(graph: Graph, placed: Placed, x: Value) -> str:
    """Add a layer without a state of its own."""
    layer, params, place = placed
    match layer:
        case Linear():
            y = graph.node("MatMul", x.name, graph.constant(f"{place}.weight", params.weight.T))
            return graph.node("Add", y, graph.constant(f"{place}.bias", params.bias)) if layer.bias else y
        case Embedding():
            return graph.node("Gather", graph.constant(f"{place}.weight", params.weight), x.name)
        case Residual():
            inner = _row(graph, _flat(Placed(layer.layer, params, place)), x)
            return graph.node("Add", x.name, inner.name)
        case LastStep():
            return _last_step(graph, layer.reverse_size, x)
        case MeanPool():
            return _mean(graph, x.name)
        case MaxPool():
            return _max(graph, x.name)
    msg = f"`model` must be of layers of rnn_xp; got {layer!r} at place {place}, which ONNX does not know."
    raise ValueError(msg)


def _mean(graph: Graph, x: str) -> str:
    """Return the mean over the valid steps, (N, C)."""
    if not graph.lengths:
        return graph.node("ReduceMean", x, axes=[0], keepdims=0)
    total = graph.node(
        "ReduceSum", graph.node("Where", graph.valid, x, graph.zero), graph.ints(0), keepdims=0
    )
    return graph.node("Div", total, graph.counts)


def _max(graph: Graph, x: str) -> str:
    """Return the largest values of the valid steps, (N, C); 0 where there is none."""
    if not graph.lengths:
        return graph.node("ReduceMax", x, axes=[0], keepdims=0)
    low = graph.scalar(float("-inf"), graph.dtype)
    largest = graph.node("ReduceMax", graph.node("Where", graph.valid, x, low), axes=[0], keepdims=0)
    return graph.node("Where", graph.any, largest, graph.zero)


def _last_step(graph: Graph, reverse_size: int, x: Value) -> str:
    """Return the last valid step, (N, C), and the first of features that run against time; 0 without any."""
    if not graph.lengths:
        last = graph.node("Gather", x.name, graph.scalar(-1, "int64"), axis=0)
    else:
        alone = graph.node("Where", graph.last, x.name, graph.zero)
        last = graph.node("ReduceSum", alone, graph.ints(0), keepdims=0)
    if not reverse_size:
        return last
    first = graph.node("Gather", x.name, graph.scalar(0, "int64"), axis=0)
    if graph.lengths:
        first = graph.node("Where", graph.any, first, graph.zero)
    halves = []
    for half, (start, stop) in ((last, (0, -reverse_size)), (first, (-reverse_size, 2**31 - 1))):
        halves.append(graph.node("Slice", half, graph.ints(start), graph.ints(stop), graph.ints(1)))
    return graph.node("Concat", *halves, axis=1)


def _recurrent(graph: Graph, placed: Placed, x: Value, only_last: bool) -> Value:
    """Add a node for every depth of a recurrent layer; give its steps, or the last ones alone."""
    layer: Any = placed.layer
    params, place = placed.params, placed.place
    op, attributes = operators.operator(layer, place)
    dirs, fields = layer.directions, layer.cell.state._fields
    given = _given(graph, layer, place)
    ends: list[tuple[str, ...]] = []
    y = x.name
    for depth in range(layer.num_layers):
        name, own = f"{place}.{depth}", params[depth * dirs : (depth + 1) * dirs]
        held = {
            key: graph.constant(f"{name}.{key}", w)
            for key, w in operators.weights(op, layer.cell, own).items()
        }
        if given:
            start = tuple(_part(graph, each, depth, dirs, layer.num_layers) for each in given)
        else:
            start = _learnt(graph, own, name) or ("",) * len(fields)
        wanted = only_last and depth == layer.num_layers - 1
        results = ["" if wanted else f"{name}.Y", f"{name}.Y_h" if wanted or given else ""]
        results += [f"{name}.Y_c"] if op == "LSTM" and given else []
        inputs = (y, held["W"], held["R"], held.get("B", ""), graph.sequence_lens, *start, held.get("P", ""))
        graph.wide(op, inputs, tuple(results), name=name, **attributes)
        y = _joined(graph, results, dirs, guard=bool(start[0]))
        matrix = operators.projection(own)
        if matrix is not None:
            y = graph.node("MatMul", y, graph.constant(f"{name}.weight_hr", matrix))
        if given:
            ends.append(_ended(graph, results[1:], start))
    for field, parts in zip(fields, zip(*ends, strict=True), strict=False):
        _state(graph, f"state_T.{place}.{field}", parts, layer)
    out = layer.connect(x.signal)[1]
    return Value(y, Signal("vector", out.size) if only_last else out)


def _state(graph: Graph, name: str, parts: tuple[str, ...], layer: Recurrent) -> None:
    """Add an output: a field of the state after the last step, of all depths."""
    shape = (layer.num_layers * layer.directions, "N", layer.hidden_size)
    graph.node("Concat", *parts, axis=0, out=graph.output(name, graph.dtype, shape))


def _given(graph: Graph, layer: Recurrent, place: str) -> list[str]:
    """Add the inputs of a layer's state, where the graph has states."""
    if not graph.states:
        return []
    if layer.learn_state:
        must = "`states` must be False where a layer learns its initial state, which the caller would give"
        way_out = (
            "Take the layer with learn_state=False, and params with state_0=None; begin with that state."
        )
        msg = f"{must}; got True, and {layer!r} at place {place}. {way_out}"
        raise ValueError(msg)
    shape = (layer.num_layers * layer.directions, "N", layer.hidden_size)
    return [graph.input(f"state_0.{place}.{field}", graph.dtype, shape) for field in layer.cell.state._fields]


def _part(graph: Graph, whole: str, depth: int, dirs: int, depths: int) -> str:
    """Return the part of a state that is one depth's."""
    if depths == 1:
        return whole
    return graph.node("Slice", whole, graph.ints(depth * dirs), graph.ints((depth + 1) * dirs), graph.ints(0))


def _learnt(graph: Graph, params: Any, name: str) -> tuple[str, ...]:
    """Return the learnt initial state, (dirs, N, H) a field; () where there is none."""
    found = operators.starts(params, name)
    if found is None:
        return ()
    shape = graph.node("Concat", graph.ints(1), graph.batch, graph.ints(1), axis=0)
    fields = zip(params[0].state_0._fields, found, strict=True)
    return tuple(graph.node("Expand", graph.constant(f"{name}.state_0.{f}", v), shape) for f, v in fields)


def _joined(graph: Graph, results: list[str], dirs: int, guard: bool) -> str:
    """Return Y as (T, N, dirs*H), or Y_h as (N, dirs*H): 0 where a sequence has no step."""
    Y, Y_h = results[:2]
    if Y:
        if dirs == 1:
            return graph.node("Squeeze", Y, graph.ints(1))
        return graph.node("Reshape", graph.node("Transpose", Y, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))
    if dirs == 1:
        last = graph.node("Squeeze", Y_h, graph.ints(0))
    else:
        last = graph.node("Reshape", graph.node("Transpose", Y_h, perm=[1, 0, 2]), graph.ints(0, -1))
    return graph.node("Where", graph.any, last, graph.zero) if guard and graph.lengths else last


def _ended(graph: Graph, results: list[str], start: tuple[str, ...]) -> tuple[str, ...]:
    """Return the last state: where there is no step, the one before it, which ONNX leaves open."""
    if not graph.lengths:
        return tuple(results)
    return tuple(graph.node("Where", graph.any, *pair) for pair in zip(results, start, strict=True))
