"""A model as an ONNX graph, written from its weights: nothing is traced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_xp import checks, functional, tree
from rnn_xp.atomic import PathLike, atomic_write
from rnn_xp.backend import to_numpy
from rnn_xp.data.scaling import Scaling
from rnn_xp.interop.onnx.writing.graph import Graph, Value
from rnn_xp.interop.onnx.writing.layers import emit
from rnn_xp.losses import LOSSES
from rnn_xp.model import Sequential
from rnn_xp.typing import Tree

OPSET, IR = 14, 7
"""Of ONNX 1.9 (2021): the oldest whose recurrent operators are as they are now."""

LAYOUTS = ("NTC", "TNC", "NCT")
ENDS = {functional.softmax: "Softmax", functional.sigmoid: "Sigmoid"}


def export(
    model: Sequential,
    params: Tree,
    *,
    layout: str = "NTC",
    lengths: bool = True,
    states: bool = False,
    loss: str | None = None,
    scaling: Scaling | None = None,
    dtype: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Any:
    """Return a model as an ONNX graph that gives what `rx.predict` gives, for any T and N of at least 1.

    Recurrent layers become the operators RNN, GRU and LSTM, a node for each depth.

    Parameters
    ----------
    model, params
        The trained pair.
    layout : {"NTC", "TNC", "NCT"}
        The axes of the input X; tokens are (N, T), or (T, N) in "TNC".
    lengths : bool
        Whether there is an input `lengths`, (N,) of int64: the valid steps of every sequence, 0 to T. What X
        holds past them does not matter, and y is 0 there.
    states : bool
        Whether the state is an input and an output, for streaming. They are called as the leaves of the
        model's state are: state_0.0.h, state_0.0.c and state_T.0.h, state_T.0.c of an LSTM at place 0. A
        field is (L*dirs, N, H). Where `proj_size` is given, h is the one before the projection, of H units.
    loss : str, optional
        That of the training: y then holds its probabilities (softmax or sigmoid), as in `rx.predict`.
    scaling : rx.data.Scaling, optional
        What is done to the features of X first.
    dtype : {"float32", "float64"}, optional
        Of X, y and the weights; by default that of the parameters. ONNX Runtime's recurrent operators know
        float32 alone.
    metadata : mapping of str to str, optional
        Notes that are saved in the model's `metadata_props`.

    Returns
    -------
    onnx.ModelProto
        Of opset 14, checked by `onnx.checker` with full_check=True. Its output y is (N, T, K), or (N, K)
        where the model gives one output a sequence.

    Raises
    ------
    ValueError
        If ONNX has no operator for a layer: layer normalisation, zoneout, a cell of one's own.
    TypeError
        If an argument is not as described.
    ModuleNotFoundError
        If the package onnx is not installed.

    Examples
    --------
    .. code-block:: python

        model = rx.Sequential(rx.LSTM(3, 32, bidirectional=True), rx.LastStep(), rx.Linear(64, 2))
        params = model.init(rx.get_backend("numpy"), seed=0)
        proto = rx.interop.onnx.export(model, params, loss="cross_entropy")
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        (y,) = session.run(None, {"X": X, "lengths": lengths})
    """
    checks.kind("model", model, Sequential, "a Sequential")
    model.check_params(params)
    layout = checks.one_of("layout", layout, LAYOUTS)
    for name, value in (("lengths", lengths), ("states", states)):
        checks.boolean(name, value)
    leaves = [to_numpy(leaf) for leaf in tree.leaves(params)]
    own = leaves[0].dtype.name if leaves else "float32"
    dtype = own if dtype is None else checks.one_of("dtype", dtype, ("float32", "float64"))
    graph = Graph(dtype, "lengths" if lengths else None, states)
    x = _scaled(graph, _input(graph, model, layout), scaling)
    if lengths:
        graph.input("lengths", "int64", ("N",))
    y = emit(graph, model, tree.unflatten(params, leaves), x)
    _output(graph, y, None if loss is None else LOSSES[checks.one_of("loss", loss, LOSSES)].activation)
    notes = checks.kind("metadata", {} if metadata is None else metadata, Mapping, "a mapping of str to str")
    return _checked(graph, repr(model), notes)


def save(path: PathLike, model: Sequential, params: Tree, **how: Any) -> None:
    """Write a model to an .onnx file, whole or not at all.

    Parameters
    ----------
    path : str or path
    model, params, **how
        As `export` takes them.

    Raises
    ------
    TypeError, ValueError, ModuleNotFoundError
        As in `export`.
    OSError
        If the file cannot be written.

    Examples
    --------
    .. code-block:: python

        rx.interop.onnx.save("model.onnx", model, params, loss="cross_entropy")
    """
    atomic_write(path, export(model, params, **how).SerializeToString(deterministic=True))


def _input(graph: Graph, model: Sequential, layout: str) -> Value:
    """Add the input X; return it time-major, its padding blank."""
    signal = model.intake
    tokens = signal.kind == "tokens"
    axes = layout.replace("C", "") if tokens else layout
    sizes: dict[str, int | str] = {"N": "N", "T": "T", "C": signal.size or "C"}
    x = graph.input("X", "int64" if tokens else graph.dtype, tuple(sizes[axis] for axis in axes))
    order = "TN" if tokens else "TNC"
    if axes != order:
        x = graph.node("Transpose", x, perm=[axes.index(axis) for axis in order])
    graph.steps = x
    if graph.lengths:
        valid = graph.node("Squeeze", graph.valid, graph.ints(2)) if tokens else graph.valid
        x = graph.node("Where", valid, x, graph.scalar(0, "int64") if tokens else graph.zero)
    return Value(x, signal)


def _scaled(graph: Graph, x: Value, scaling: Scaling | None) -> Value:
    """Shift and divide the features, in float64: a mean may be large beside its deviation."""
    if scaling is None:
        return x
    checks.kind("scaling", scaling, Scaling, "a rx.data.Scaling")
    kind, size, _ = x.signal
    if kind == "tokens" or np.shape(scaling.mean) != (size,):
        must = "`scaling` must be of the features that the model takes"
        msg = f"{must}, {x.signal}; got one of {np.size(scaling.mean)}."
        raise ValueError(msg)
    y = graph.cast(x.name, "float64")
    for op, name, values in (("Sub", "mean", scaling.mean), ("Div", "std", scaling.std)):
        graph.constants[f"scaling.{name}"] = np.asarray(values, dtype=np.float64)
        y = graph.node(op, y, f"scaling.{name}")
    return Value(graph.cast(y, graph.dtype), x.signal)


def _output(graph: Graph, y: Value, activation: Any) -> None:
    """Add the output y, in the order N, T, K."""
    name, size = y.name, y.signal.size or "K"
    if activation is not None:
        softmax: dict[str, Any] = {"axis": -1} if activation is functional.softmax else {}
        name = graph.node(ENDS[activation], name, **softmax)
    if y.signal.kind == "vector":
        graph.node("Identity", name, out="y")
        shape: tuple[int | str, ...] = ("N", size)
    else:
        if graph.lengths:
            name = graph.node("Where", graph.valid, name, graph.zero)
        graph.node("Transpose", name, perm=[1, 0, 2], out="y")
        shape = ("N", "T", size)
    graph.output("y", graph.dtype, shape)
    graph.outputs.insert(0, graph.outputs.pop())  # y comes first, then the states


def _checked(graph: Graph, description: str, metadata: Mapping[str, str]) -> Any:
    """Return the model that holds a graph, if it is one."""
    from rnn_xp import __version__  # at the top it would be a circle

    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            msg = f"`metadata` must map strings to strings; got {key!r}: {value!r}."
            raise TypeError(msg)
    helper = graph.onnx.helper
    tensors = [graph.onnx.numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    whole = helper.make_graph(graph.nodes, "rnn_xp", graph.inputs, graph.outputs, tensors)
    whole.doc_string = description
    model = helper.make_model(
        whole,
        producer_name="rnn_xp",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )
    helper.set_model_props(model, dict(metadata))
    graph.onnx.checker.check_model(model, full_check=True)
    return model
