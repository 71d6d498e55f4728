"""Going through a graph, node by node, for one batch of example sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_xp import tree
from rnn_xp.interop.onnx.operators import GATES
from rnn_xp.interop.onnx.reading.computed import COMPUTED
from rnn_xp.interop.onnx.reading.elements import Call, Elements, Example, Made, Names, OutOfOrderError
from rnn_xp.interop.onnx.reading.features import Affine
from rnn_xp.interop.onnx.reading.file import Branch, Input, Node, Source
from rnn_xp.interop.onnx.reading.layers import ENDS, GIVEN, MEMORY, RULES
from rnn_xp.interop.onnx.reading.moves import MOVES, fits, option
from rnn_xp.interop.onnx.reading.sequential import between, path
from rnn_xp.layers import Recurrent, Signal
from rnn_xp.model import Sequential

FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a node whose inputs do not fit may raise on its way."""

ROOM, TIMES = 2**27, 16
"""Elements that all tensors of a graph may hold: so many, and so many times those of its file."""

NOT_OURS = "`source` holds what no model of rnn_xp does"


class NotUnderstoodError(ValueError):
    """A graph is not one of our models; `place` is how far it was followed, in nodes."""

    def __init__(self, message: str, place: float) -> None:
        super().__init__(message)
        self.place = place


class Found(NamedTuple):
    """What a graph computes, with host arrays."""

    model: Sequential
    params: tuple[Any, ...]
    scaling: Affine | None
    end: str | None


def interpret(graph: Source, x: Input, axes: str, example: Example) -> Found:
    """Return the model that a graph is, if X has these axes."""
    elements = Elements(example, ROOM + TIMES * sum(array.size for array in graph.constants.values()))
    values: dict[str, Any] = {**graph.constants}
    for each in graph.inputs:
        values[each.name] = _given(elements, each, axes if each is x else "")
    needed = _needed(graph)
    for place, node in enumerate(graph.nodes):
        if needed.isdisjoint(node.outputs):
            continue
        try:
            _go(elements, node, graph.opset, values)
        except FAULTS as error:
            msg = f"{NOT_OURS}: the {node} is not understood: {_told(error, graph)}"
            raise NotUnderstoodError(msg, place - isinstance(error, OutOfOrderError) / 2) from None
    try:
        return _found(elements, [values[name] for name in graph.outputs])
    except FAULTS as error:
        msg = f"{NOT_OURS}: its output {graph.outputs[0]!r} is not understood: {_told(error, graph)}"
        raise NotUnderstoodError(msg, len(graph.nodes)) from None


def _told(error: Exception, graph: Source) -> str:
    """Write an error, and what to do about a graph whose loops over time were written out."""
    told = f"{str(error).rstrip('.')}."
    if any(node.op in GATES for node in graph.nodes):
        return told
    return f"{told} The graph has no RNN, GRU or LSTM: torch.onnx.export keeps an nn.RNN with dynamo=False."


def _needed(graph: Source | Branch) -> set[str]:
    """Return the tensors that the outputs are made from."""
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            for value in node.attributes.values():
                if isinstance(value, Branch):
                    needed |= _needed(value)
    return needed


def _go(elements: Elements, node: Node, opset: int, values: dict[str, Any]) -> None:
    """Add what a node gives to the values so far."""
    inputs = [values[name] if name else None for name in node.inputs]
    if node.op != "If":
        results = _results(elements, node, opset, inputs)
        elements.hold(results)
    else:
        taken = Call(elements, node, opset, inputs).constant(0).item()
        branch = node.attributes["then_branch" if taken else "else_branch"]
        within = {**values, **branch.constants}
        for each in branch.nodes:
            _go(elements, each, opset, within)
        results = tuple(within[name] for name in branch.outputs)
    values |= dict(zip(node.outputs, results, strict=False))


def _given(elements: Elements, each: Input, axes: str) -> Any:
    """Return an input of the graph: X, where its axes are told, the lengths, or a state."""
    T, N, lengths = elements.example
    shape = each.shape
    if axes:
        C = 0 if "C" not in axes else shape[axes.index("C")]
        if C is None:
            must = "`source` must tell how many features X has"
            msg = f"{must}; {each.name!r} has the shape {shape}. Name it: onnx.tools.update_model_dims."
            raise NotUnderstoodError(msg, -1)
        if C:
            names = elements.add((T, N, C), "the input X", Signal("steps", C)).all
            return Made(names.transpose(["TNC".index(axis) for axis in axes]))
        names = elements.add((T, N), "the input X", Signal("tokens", None)).all
        return Made(names if axes == "TN" else names.T)
    if each.kind == "i" and len(shape) == 1 and lengths is not None:
        return np.asarray(lengths, dtype=np.int64)
    sizes = fits(*[N if size is None else size for size in shape])
    return Made(elements.add(sizes, GIVEN if each.kind == "f" else f"the input {each.name!r}").all)


def _results(elements: Elements, node: Node, opset: int, inputs: list[Any]) -> tuple[Any, ...]:
    """Return what a node gives, of numbers in numbers."""
    op = node.op
    made = [isinstance(value, Made) for value in inputs]
    if op in ("Shape", "Size"):
        inputs = [value.names if isinstance(value, Made) else value for value in inputs]
        return COMPUTED[op](node, inputs)
    if not any(made) and op in COMPUTED:
        with np.errstate(all="ignore"):
            return COMPUTED[op](node, inputs)
    if made and made[0] and op in MOVES and (op == "Concat" or not any(made[1:])):
        if op == "Slice":
            _check_cut(node, inputs)
        return tuple(Made(names) for names in MOVES[op](node, [_names(value, op) for value in inputs]))
    if any(made) and op in RULES:
        return tuple(Made(names) for names in RULES[op](Call(elements, node, opset, inputs)))
    msg = "no layer does that" if any(made) else "it is not one of those that are computed beforehand"
    raise ValueError(msg)


def _check_cut(node: Node, inputs: list[Any]) -> None:
    """Refuse a slice that would cut longer sequences off, but not those of the example."""
    shape = inputs[0].names.shape
    for name, place in (("starts", 1), ("ends", 2)):
        bounds = option(node, name, inputs, place)
        axes = option(node, "axes", inputs, 3) or range(len(bounds))
        for bound, axis in zip(bounds, axes, strict=True):
            if shape[axis] < abs(bound) < 2**31 - 1:
                msg = f"it cuts at {bound}, where longer sequences would lose steps"
                raise ValueError(msg)


def _names(value: Any, op: str) -> Any:
    """Return what a move works on."""
    if isinstance(value, Made):
        return value.names
    if op == "Concat":
        msg = "it puts constants beside what a layer gives"
        raise ValueError(msg)
    return value


def _found(elements: Elements, outputs: list[Any]) -> Found:
    """Return the model whose outputs these are: the first one's, and states."""
    y, *others = outputs
    if not isinstance(y, Made):
        msg = "it does not depend on X"
        raise ValueError(msg)
    flow, end = elements.owner(y.names), None
    names: Names = y.names
    if flow.made in ENDS.values() and flow.parent is not None:
        end, names = flow.made, np.where(names < 0, names, names - flow.first + flow.parent.first)
    names, flow = elements.readable(names)
    if not elements.in_order(names, flow):
        msg = f"it is not all of {flow.made}, in order"
        raise ValueError(msg)
    on_path = list(path(flow))
    for value in others:
        for each in elements.of(value.names) if isinstance(value, Made) else []:
            state = isinstance(each.layer, Recurrent) or each.made in (MEMORY, GIVEN)
            if not state and each not in on_path and (each.layer or each.parent not in on_path):
                msg = (
                    f"besides it there is {each.made}, which it is not made from; a Sequential has one output"
                )
                raise ValueError(msg)
    start = next(each for each in on_path if each.layer is None)
    layers, params = between(start, flow)
    if not layers:
        msg = "it is X itself"
        raise ValueError(msg)
    if not tree.leaves(params):
        msg = "it holds no weights; a model of rnn_xp has some"
        raise ValueError(msg)
    return Found(Sequential(*layers), tuple(params), start.params or None, end)
