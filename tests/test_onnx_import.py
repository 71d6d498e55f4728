"""ONNX graphs by hand, read as models: they give what ONNX Runtime gives, and are trained further."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.functional import sigmoid, softmax
from rnn_xp.interop import onnx as interop
from rnn_xp.interop.onnx.reading.computed import COMPUTED
from rnn_xp.interop.onnx.reading.file import Node

onnx = pytest.importorskip("onnx", reason="onnx and onnxruntime are not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnx and onnxruntime are not installed")

GRAPHS = 100
TOLERANCE = 1e-5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
V = 9
LAST = 2**31 - 1


class Builder:
    """A graph that is put together by hand."""

    def __init__(self, opset: int, seed: int = 0) -> None:
        self.opset, self.normal = opset, np.random.RandomState(seed).standard_normal
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []

    def input(self, name: str, shape: tuple[Any, ...], dtype: Any = np.float32) -> str:
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(onnx.helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weight(self, *shape: int) -> str:
        return self.constant(self.normal(shape) / np.sqrt(shape[-1]))

    def node(self, op: str, *inputs: str, outputs: int | list[str] = 1, **attributes: Any) -> Any:
        names = (
            [f"{op}_{len(self.nodes)}_{k}" for k in range(outputs)] if isinstance(outputs, int) else outputs
        )
        self.nodes.append(onnx.helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}", **attributes))
        return names[0] if len(names) == 1 else names

    def axes(self, op: str, x: str, *axes: int, since: int = 13, **attributes: Any) -> str:
        """Add an operator whose axes are an attribute in older opsets, and an input in newer ones."""
        if self.opset >= since:
            return self.node(op, x, self.ints(*axes), **attributes)
        return self.node(op, x, axes=axes, **attributes)

    def model(self, *outputs: str, axes: int = 3) -> Any:
        infos = [onnx.helper.make_tensor_value_info(name, 1, [None] * axes) for name in outputs]
        graph = onnx.helper.make_graph(self.nodes, "graph", self.inputs, infos, self.constants)
        opset = onnx.helper.make_opsetid("", self.opset)
        return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=7)


def run(proto: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=providers)
    return session.run(None, {name: np.ascontiguousarray(value) for name, value in feed.items()})


def functions(choose: random.Random, op: str) -> dict[str, Any]:
    """Draw activations, with constants where they are needed, and a clip."""
    found: dict[str, Any] = {}
    if choose.random() < 0.4:
        found["activations"] = {
            "RNN": choose.choice([["Relu"], ["Elu"], ["Softplus"], ["ScaledTanh"]]),
            "GRU": choose.choice([["HardSigmoid", "Softsign"], ["Sigmoid", "LeakyRelu"]]),
            "LSTM": ["HardSigmoid", "ThresholdedRelu", "Affine"],
        }[op]
        if "ScaledTanh" in found["activations"]:
            found |= {"activation_alpha": [1.2], "activation_beta": [0.7]}
        if "Affine" in found["activations"]:
            found |= {"activation_alpha": [0.25, 0.1, 0.8], "activation_beta": [0.4, 0.05]}
    if choose.random() < 0.3:
        found["clip"] = choose.choice([0.3, 2.0])
    return found


def recurrent(
    b: Builder, choose: random.Random, x: str, D: int, lengths: str, feed: dict[str, Any], N: int
) -> Any:
    """Add a node; return Y, Y_h, its directions and its units."""
    op, H = choose.choice(list(GATES)), choose.randint(1, 6)
    direction = choose.choice(["forward", "reverse", "bidirectional"])
    attributes = {**functions(choose, op), "direction": direction, "hidden_size": H}
    dirs = 2 if direction == "bidirectional" else 1
    for name in ("activations", "activation_alpha", "activation_beta"):
        if name in attributes:
            attributes[name] = attributes[name] * dirs
    if op == "GRU":
        attributes["linear_before_reset"] = choose.randint(0, 1)
    if op == "LSTM" and choose.random() < 0.3:
        attributes["input_forget"] = 1
    G = GATES[op]
    inputs = [x, b.weight(dirs, G * H, D), b.weight(dirs, G * H, H), "", lengths]
    if choose.random() < 0.8:
        inputs[3] = b.weight(dirs, 2 * G * H)
    for _ in range(2 if op == "LSTM" else 1):
        kind = choose.choice(["none", "zero", "learnt", "given"])
        shape = b.node("Concat", b.ints(dirs), batch_of(b, x), b.ints(H), axis=0)
        if kind == "none":
            inputs.append("")
        elif kind == "zero":
            inputs.append(b.node("ConstantOfShape", shape))
        elif kind == "learnt":
            inputs.append(b.node("Expand", b.weight(dirs, 1, H), shape))
        else:
            name = f"start_{len(feed)}"
            feed[name] = np.zeros((dirs, N, H), np.float32)
            inputs.append(b.input(name, (dirs, "batch", H)))
    if op == "LSTM":
        inputs.append(b.weight(dirs, 3 * H) if choose.random() < 0.4 else "")
    while not inputs[-1]:
        inputs.pop()
    Y, Y_h = b.node(op, *inputs, outputs=2, **attributes)
    return Y, Y_h, dirs, H


def batch_of(b: Builder, x: str) -> str:
    """Return N, (1,), in one of the ways that graphs have."""
    shape = b.node("Shape", x)
    if len(b.nodes) % 2:
        return b.node("Slice", shape, b.ints(1), b.ints(2))
    return b.axes("Unsqueeze", b.node("Gather", shape, b.constant(1, np.int64)), 0)


def joined(b: Builder, choose: random.Random, Y: str, dirs: int, H: int) -> str:
    """Return Y as (T, N, dirs*H)."""
    if dirs == 1 and choose.random() < 0.5:
        return b.axes("Squeeze", Y, 1)
    turned = b.node("Transpose", Y, perm=[0, 2, 1, 3])
    if choose.random() < 0.5:
        return b.node("Reshape", turned, b.ints(0, 0, choose.choice([-1, dirs * H])))
    lead = b.node("Slice", b.node("Shape", turned), b.ints(0), b.ints(2))
    return b.node("Reshape", turned, b.node("Concat", lead, b.ints(-1), axis=0))


def linear(b: Builder, choose: random.Random, x: str, C: int, K: int, axes: int) -> str:
    """Return x W' + b, of steps or a vector."""
    bias = choose.random() < 0.7
    if choose.random() < 0.5:
        y = b.node("MatMul", x, b.weight(C, K))
        sides = [y, b.weight(K)]
        choose.shuffle(sides)
        return b.node("Add", *sides) if bias else y
    flat = b.node("Reshape", x, b.ints(-1, C)) if axes == 3 else x
    turned = choose.randint(0, 1)
    weights = [b.weight(K, C) if turned else b.weight(C, K)] + ([b.weight(K)] if bias else [])
    y = b.node("Gemm", flat, *weights, transB=turned)
    if axes == 2:
        return y
    lead = b.node("Slice", b.node("Shape", x), b.ints(0), b.ints(2))
    return b.node("Reshape", y, b.node("Concat", lead, b.ints(K), axis=0))


def vector(b: Builder, choose: random.Random, y: str, parts: Any, lengths: str) -> str:
    """Return the last step, the mean or the maximum of the steps y (T, N, C)."""
    _, Y_h, dirs, H = parts
    kind = choose.choice(["state", "state", "mean", "max", "last"])
    if kind == "state" or (kind == "last" and dirs == 2):
        if dirs == 2:
            halves = [b.node("Gather", Y_h, b.constant(k, np.int64), axis=0) for k in (0, -1)]
            return b.node("Concat", *halves, axis=-1)
        return b.axes("Squeeze", Y_h, 0) if choose.random() < 0.5 else b.node("Reshape", Y_h, b.ints(-1, H))
    if lengths:
        wide = b.axes("Unsqueeze", b.node("Cast", lengths, to=7), 0, 2)
        steps = b.node("Gather", b.node("Shape", y), b.constant(0, np.int64))
        times = b.node("Range", b.constant(0, np.int64), steps, b.constant(1, np.int64))
        valid = b.node("Less", b.axes("Unsqueeze", times, 1, 2), wide)
        if kind == "max":
            low = b.node("Where", valid, y, b.constant(-np.inf))
            return b.node("ReduceMax", low, axes=[0], keepdims=0)
        if kind == "mean":
            masked = b.node("Mul", y, b.node("Cast", valid, to=1))
            total = b.axes("ReduceSum", masked, 0, keepdims=0)
            return b.node("Div", total, b.node("Cast", b.axes("Unsqueeze", lengths, 1), to=1))
        places = b.node("Sub", lengths, b.constant(1, np.int32))
        turned = b.node("Transpose", y, perm=[1, 0, 2])
        return b.node("GatherND", turned, b.node("Cast", b.axes("Unsqueeze", places, 1), to=7), batch_dims=1)
    if kind == "mean":
        return b.node("ReduceMean", y, axes=[0], keepdims=0)
    if kind == "max":
        turned = b.node("Transpose", y, perm=[1, 2, 0])
        return b.axes("Squeeze", b.node("GlobalMaxPool", turned), 2)
    if choose.random() < 0.5:
        return b.node("Gather", y, b.constant(-1, np.int64), axis=0)
    last = b.node("Slice", y, b.ints(-1), b.ints(LAST), b.ints(0))
    return b.axes("Squeeze", last, 0)


def draw(number: int) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    """Return a graph, what it is fed with, and what is known of it."""
    choose = random.Random(number)
    b = Builder(choose.choice([12, 14, 17]), number)
    T, N, C = choose.choice([1, 6, 11]), choose.choice([1, 3, 4]), choose.randint(1, 4)
    tokens = choose.random() < 0.2
    layout = choose.choice(["NTC", "TNC"] if tokens else ["NTC", "TNC", "NCT"])
    if tokens:
        X = np.random.RandomState(number).randint(0, V, (N, T))
        x = b.input("tokens", ("n", "t") if layout == "NTC" else ("t", "n"), np.int64)
        x = b.node("Gather", b.weight(V, C), x)
        x = b.node("Transpose", x, perm=[1, 0, 2]) if layout == "NTC" else x
        feed = {"tokens": X if layout == "NTC" else X.T}
    else:
        X = b.normal((N, T, C)).astype(np.float32)
        sizes = {"N": "n", "T": "t", "C": C}
        x = b.input("x", tuple(sizes[axis] for axis in layout))
        feed = {"x": X.transpose(["NTC".index(axis) for axis in layout])}
        if layout != "TNC":
            x = b.node("Transpose", x, perm=[layout.index(axis) for axis in "TNC"])
    lengths, ends = "", None
    if choose.random() < 0.5:
        ends = np.asarray([choose.randint(1, T) for _ in range(N)])
        lengths = b.input("ends", ("n",), np.int32)
        feed["ends"] = ends.astype(np.int32)
    if choose.random() < 0.3:
        x, C = linear(b, choose, x, C, 3, 3), 3
    seed = 0
    for _ in range(choose.randint(1, 3)):
        seed = seed if choose.random() < 0.2 else choose.randint(0, 10**6)
        parts = recurrent(b, random.Random(seed), x, C, lengths, feed, N)
        x, C = joined(b, choose, parts[0], *parts[2:]), parts[2] * parts[3]
        if choose.random() < 0.2:
            x = b.node("Dropout", b.node("Identity", x))
        if choose.random() < 0.15:
            x = b.node("Add", x, linear(b, choose, x, C, C, 3))
    head = choose.choice(["vector", "vector", "steps", "last of linear"])
    if head == "vector" and x.startswith(("Squeeze", "Reshape")):
        x = vector(b, choose, x, parts, lengths)
        x = linear(b, choose, x, C, choose.randint(1, 4), 2)
    else:
        x = linear(b, choose, x, C, 4, 3)
        if head == "last of linear" and not lengths:
            x = b.node("Gather", x, b.constant(-1, np.int64), axis=0)
        else:
            x = b.node("Transpose", x, perm=[1, 0, 2])
    end = choose.choice([None, "Softmax", "LogSoftmax", "Sigmoid"])
    axes = 3 if x.startswith("Transpose") else 2
    if end:
        x = b.node(end, x, **({} if end == "Sigmoid" else {"axis": -1 if b.opset >= 13 else axes - 1}))
    return b.model(x, axes=axes), feed, {"X": X, "lengths": ends, "layout": layout, "end": end}


def answer(found: interop.Reading, known: dict[str, Any]) -> np.ndarray:
    """Return what the model gives, and then what the graph ends in."""
    y = rx.predict(found.model, found.params, known["X"], lengths=known["lengths"])
    if found.end == "sigmoid":
        return sigmoid(y, xp=np)
    if found.end is None:
        return y
    y = softmax(y, xp=np)
    return np.log(y) if found.end == "log_softmax" else y


@pytest.mark.parametrize("first", range(0, GRAPHS, 25))
def test_random_graphs(first: int) -> None:
    for number in range(first, first + 25):
        proto, feed, known = draw(number)
        onnx.checker.check_model(proto, full_check=True)
        found = interop.read(proto, "numpy")
        assert (found.end or "").replace("_", "") == (known["end"] or "").lower()
        (expected,) = run(proto, feed)
        y = answer(found, known)
        assert y.shape == expected.shape
        if known["lengths"] is not None and y.ndim == 3:  # past the end the graph has the bias there
            valid = np.arange(y.shape[1]) < known["lengths"][:, np.newaxis]
            y, expected = y[valid], expected[valid]
        np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE, err_msg=f"{number}: {found.model!r}")


def test_the_graphs_differ() -> None:
    """What a model may be made of is met, and is met often."""
    models = [repr(interop.read(draw(number)[0], "numpy").model) for number in range(GRAPHS)]
    words = "RNN( GRU( LSTM( Linear( Embedding( Dropout( Residual( LastStep( MeanPool( MaxPool( learn_state "
    words += "bidirectional reverse=True bias=False clip peepholes coupled reset='before' hard_sigmoid elu "
    words += "num_layers=2 affine"
    for word in words.split():
        assert sum(word in model for model in models) >= 4, word
    assert len(set(models)) == GRAPHS


def test_gradients_are_exact() -> None:
    """Against central differences, where the activations are smooth."""
    checked = 0
    for number in range(GRAPHS):
        found = interop.read(draw(number)[0], "numpy")
        if checked < 12 and not any(
            word in repr(found.model) for word in ("relu", "hard", "elu", "clip", "Max")
        ):
            rx.verify.gradcheck(found.model, found.params, mode="directional").require()
            checked += 1
    assert checked == 12


def test_training_goes_on() -> None:
    for number in (0, 3, 5, 8):
        proto, _, known = draw(number)
        model, params = interop.load(proto, "numpy")
        noise = np.random.RandomState(number)
        X = known["X"][noise.randint(0, len(known["X"]), 24)]
        X = X if X.dtype.kind == "i" else X + noise.standard_normal(X.shape).astype(np.float32)
        y = noise.standard_normal(rx.predict(model, params, X).shape).astype(np.float32)
        before = rx.evaluate(model, params, X, y, loss="squared_error")["loss"]
        how = {"loss": "squared_error", "optimizer": rx.Adam(0.01), "epochs": 30, "verbose": False}
        result = rx.fit(model, X, y, params=params, backend="numpy", **how)
        assert result.history[-1]["loss"] < before
        assert rx.evaluate(model, result.params, X, y, loss="squared_error")["loss"] < 0.97 * before


# what is read from others' graphs


def lstm(b: Builder, x: str, D: int = 2, H: int = 3, direction: str = "forward", **more: Any) -> list[str]:
    """Add an LSTM; return Y, Y_h and Y_c."""
    dirs = 2 if direction == "bidirectional" else 1
    inputs = [x, b.weight(dirs, 4 * H, D), b.weight(dirs, 4 * H, H), "", more.pop("lengths", "")]
    return b.node("LSTM", *inputs, outputs=3, hidden_size=H, direction=direction, **more)


def begun(opset: int = 14) -> tuple[Builder, str]:
    b = Builder(opset)
    return b, b.input("x", ("t", "n", 2))


def given(proto: Any, x: np.ndarray, lengths: Any = None) -> np.ndarray:
    """Return what the model that was read gives for a time-major x."""
    found = interop.read(proto, "numpy")
    return rx.predict(found.model, found.params, x, layout="TNC", lengths=lengths)


def test_a_batch_that_was_sorted() -> None:
    """Sequences are sorted by length, and put back in their order: packed sequences of PyTorch."""
    b, x = begun()
    ends = b.input("ends", ("n",), np.int64)
    count = b.node("Shape", ends)
    lengths, order = b.node("TopK", ends, count, outputs=2, largest=1)
    _, Y_h, _ = lstm(
        b,
        b.node("Gather", x, order, axis=1),
        direction="bidirectional",
        lengths=b.node("Cast", lengths, to=6),
    )
    zeros = b.node("ConstantOfShape", count, value=onnx.numpy_helper.from_array(np.zeros(1, np.int64)))
    counted = b.node(
        "Range",
        b.constant(0, np.int64),
        b.node("ReduceProd", count, keepdims=0),
        b.constant(1, np.int64),
    )
    back = b.node("ScatterElements", zeros, order, counted, axis=0)
    last = b.node("Reshape", b.node("Transpose", Y_h, perm=[1, 0, 2]), b.ints(0, 6))
    proto = b.model(b.node("Gather", last, back, axis=0), axes=2)
    data, steps = b.normal((6, 4, 2)).astype(np.float32), np.asarray([2, 6, 1, 4])
    (expected,) = run(proto, {"x": data, "ends": steps})
    np.testing.assert_allclose(given(proto, data, steps), expected, rtol=0, atol=TOLERANCE)
    assert repr(interop.load(proto, "numpy")[0]) == (
        "Sequential(LSTM(2, 3, bias=False, bidirectional=True), LastStep(reverse_size=3))"
    )


def test_the_last_step_of_both_directions() -> None:
    """y[-1] of a bidirectional layer is no LastStep of its own, but it is one after a Linear."""
    b, x = begun()
    Y, _, _ = lstm(b, x, direction="bidirectional")
    y = b.node("Reshape", b.node("Transpose", Y, perm=[0, 2, 1, 3]), b.ints(0, 0, -1))
    last = b.node("Gather", y, b.constant(-1, np.int64), axis=0)
    proto = b.model(b.node("MatMul", last, b.weight(6, 2)), axes=2)
    data = b.normal((5, 2, 2)).astype(np.float32)
    (expected,) = run(proto, {"x": data})
    np.testing.assert_allclose(given(proto, data), expected, rtol=0, atol=TOLERANCE)
    with pytest.raises(ValueError, match=r"output 'Gather_.*' is not understood: it is not all of what LSTM"):
        interop.load(_with_output(proto, last), "numpy")


def _with_output(proto: Any, *names: str) -> Any:
    """Return a graph with other outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.output[:]
    for name in names:
        copy.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, [None, None, None]))
    return copy


def test_a_mean_that_needs_no_mask() -> None:
    """Past the end of a sequence Y is 0."""
    b, x = begun()
    ends = b.input("ends", ("n",), np.int32)
    total = b.axes("ReduceSum", steps(b, x, lengths=ends), 0, keepdims=0)
    counts = b.node("Cast", b.axes("Unsqueeze", ends, 1), to=1)
    proto = b.model(b.node("Div", total, counts), axes=2)
    data, lengths = b.normal((6, 3, 2)).astype(np.float32), np.asarray([2, 6, 1], np.int32)
    (expected,) = run(proto, {"x": data, "ends": lengths})
    np.testing.assert_allclose(given(proto, data, lengths), expected, rtol=0, atol=TOLERANCE)


def test_scaling_is_read_apart_or_as_a_linear() -> None:
    b, x = begun()
    mean, std = np.asarray([3.0, -1.0]), np.asarray([2.0, 0.5])
    shifted = b.node("Sub", x, b.constant(mean))
    Y, _, _ = lstm(b, b.node("Mul", shifted, b.constant(1 / std)))
    proto = b.model(b.axes("Squeeze", Y, 1))
    found = interop.read(proto, "numpy")
    np.testing.assert_allclose(found.scaling, (mean, std))
    data = b.normal((5, 2, 2)).astype(np.float32)
    (expected,) = run(proto, {"x": data})
    expected = expected.swapaxes(0, 1)
    model, params = interop.load(proto, "numpy")
    assert repr(model) == "Sequential(Linear(2, 2), LSTM(2, 3, bias=False))"
    for way in ((model, params, data), (found.model, found.params, found.scaling.apply(data))):
        y = rx.predict(*way, layout="TNC")
        np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE)


def test_an_if_that_depends_on_sizes_alone() -> None:
    """What PyTorch writes for squeeze(1) where it cannot tell the size of that axis."""
    b, x = begun()
    _, Y_h, _ = lstm(b, x)
    info = onnx.helper.make_tensor_value_info

    def branch(op: str, inputs: list[str], name: str) -> Any:
        node = onnx.helper.make_node(op, inputs, [name])
        return onnx.helper.make_graph([node], name, [], [info(name, 1, None)])

    size = b.node("Gather", b.node("Shape", Y_h), b.ints(0))
    one = b.node("Equal", size, b.ints(1))
    axis = b.ints(0)
    branches = {
        "then_branch": branch("Squeeze", [Y_h, axis], "a"),
        "else_branch": branch("Identity", [Y_h], "b"),
    }
    proto = b.model(b.node("If", one, **branches), axes=2)
    data = b.normal((5, 2, 2)).astype(np.float32)
    np.testing.assert_allclose(given(proto, data), run(proto, {"x": data})[0], rtol=0, atol=TOLERANCE)


def test_dropout_keeps_its_rate() -> None:
    """It does nothing when a model is used, but it is there when training goes on; casts and + 0 are not."""
    b, x = begun()
    y = b.node("Cast", steps(b, b.node("Dropout", x, b.constant(0.0))), to=11)
    y = b.node("Add", b.node("Cast", y, to=1), b.constant(0.0))
    y = b.node("MatMul", b.node("Dropout", y, b.constant(0.3)), b.weight(3, 2))
    model, _ = interop.load(b.model(y), "numpy")
    assert model.layers[1:] == (rx.Dropout(0.3), rx.Linear(3, 2, bias=False))


def test_precisions() -> None:
    """A name keeps what the graph has; a Backend converts; half precision becomes float32."""
    for dtype, kept in ((np.float16, "float32"), (np.float32, "float32"), (np.float64, "float64")):
        b = Builder(14)
        x = b.input("x", ("t", "n", 2), dtype)
        inputs = [x, b.constant(b.normal((1, 3, 2)), dtype), b.constant(b.normal((1, 3, 3)), dtype)]
        proto = b.model(b.axes("Squeeze", b.node("RNN", *inputs, hidden_size=3), 1))
        _, params = interop.load(proto, "numpy")
        assert params[0][0].weight_ih.dtype == kept
        np.testing.assert_array_equal(params[0][0].weight_ih, onnx.numpy_helper.to_array(b.constants[0])[0])
        _, params = interop.load(proto, rx.get_backend("numpy", dtype="float64"))
        assert params[0][0].weight_ih.dtype == "float64"


# what is computed and moved on the way

A = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4) - 7
B = np.asarray([[5, -7, 3, 9]], np.int64)
FORMS: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "transposed": ("Transpose", [A], {}),
    "flat": ("Flatten", [A], {"axis": 2}),
    "flat from the end": ("Flatten", [A], {"axis": -2}),
    "split evenly": ("Split", [A], {"axis": 2}),
    "split": ("Split", [A, np.asarray([1, 2])], {"axis": 1}),
    "slice back": (
        "Slice",
        [A, np.asarray([-1, 3]), np.asarray([-9, 0]), np.asarray([1, 2]), np.asarray([-1, -2])],
        {},
    ),
    "slice back from before the first": (
        "Slice",
        [A, np.asarray([-9, -2]), np.asarray([-9, -9]), np.asarray([2, 1]), np.asarray([-1, -1])],
        {},
    ),
    "slice": ("Slice", [A, np.asarray([1]), np.asarray([LAST])], {}),
    "elements": ("GatherElements", [A, np.asarray([[[0, -1, 1, 0]]])], {"axis": 0}),
    "nd": ("GatherND", [A, np.asarray([[1, -1], [0, 2]])], {}),
    "nd of batches": ("GatherND", [A, np.asarray([[[1]], [[0]]])], {"batch_dims": 1}),
    "rows": ("Gather", [A, np.asarray([[2, -1]])], {"axis": 1}),
    "one beside the other": ("Concat", [A, A * 2], {"axis": -1}),
    "tiled": ("Tile", [B, np.asarray([2, 3])], {}),
    "expanded": ("Expand", [B, np.asarray([2, 1, 4])], {}),
    "the same": ("Identity", [B], {}),
    "squeezed": ("Squeeze", [B], {}),
    "unsqueezed": ("Unsqueeze", [B, np.asarray([-1, 1])], {}),
    "reshaped": ("Reshape", [A, np.asarray([0, -1])], {}),
    "size": ("Size", [A], {}),
    "a part of the shape": ("Shape", [A], {"start": -2, "end": -1}),
    "quotient of integers": ("Div", [B, np.asarray([2])], {}),
    "quotient": ("Div", [A, np.asarray(2, np.float32)], {}),
    "remainder": ("Mod", [B, np.asarray([-2])], {}),
    "remainder as in C": ("Mod", [A, np.asarray(3, np.float32)], {"fmod": 1}),
    "sum of two": ("Add", [A, A[0]], {}),
    "difference": ("Sub", [A, A[0]], {}),
    "product of two": ("Mul", [A, A[:, :1]], {}),
    "equal": ("Equal", [B, np.asarray([[5], [3]])], {}),
    "less": ("Less", [A, A[:, ::-1].copy()], {}),
    "less or equal": ("LessOrEqual", [A, A * 0], {}),
    "greater": ("Greater", [A, A * 0], {}),
    "greater or equal": ("GreaterOrEqual", [A, A * 0], {}),
    "smallest": ("Min", [A, A * 0, A * 0 + 1], {}),
    "largest": ("Max", [A], {}),
    "negative": ("Neg", [A], {}),
    "without its sign": ("Abs", [A], {}),
    "not": ("Not", [A > 0], {}),
    "and": ("And", [A > 0, B > 4], {}),
    "or": ("Or", [A > 0, B > 4], {}),
    "chosen": ("Where", [B > 0, B, np.asarray(0)], {}),
    "top": ("TopK", [B, np.asarray([2])], {}),
    "bottom": ("TopK", [A, np.asarray([2])], {"largest": 0, "axis": 1}),
    "scattered": ("ScatterElements", [A, np.asarray([[[2]]]), np.ones((1, 1, 1), np.float32)], {"axis": 1}),
    "scattered from the end": ("ScatterElements", [B, np.asarray([[-1, 0]]), B[:, :2] * 0], {"axis": 1}),
    "range": ("Range", [np.asarray(9), np.asarray(-1), np.asarray(-3)], {}),
    "sum": ("ReduceSum", [A, np.asarray([-1, 0])], {"keepdims": 0}),
    "sum of none": ("ReduceSum", [A], {"noop_with_empty_axes": 1}),
    "sum of all": ("ReduceSum", [A], {}),
    "product": ("ReduceProd", [B], {"axes": [1]}),
    "mean": ("ReduceMean", [A], {"axes": [1]}),
    "smallest of an axis": ("ReduceMin", [A], {"axes": [-1], "keepdims": 0}),
    "largest of an axis": ("ReduceMax", [A], {"axes": [0, 2]}),
    "cast": ("Cast", [A], {"to": 9}),
    "filled": ("ConstantOfShape", [np.asarray([2, 2])], {}),
    "an integer": ("Constant", [], {"value_int": 3}),
    "floats": ("Constant", [], {"value_floats": [0.5, 2.0]}),
}


@pytest.mark.parametrize("case", FORMS)
def test_forms(case: str) -> None:
    """Each as ONNX Runtime computes it."""
    op, arrays, options = FORMS[case]
    b = Builder(15)
    names = [b.input(f"x{k}", array.shape, array.dtype) for k, array in enumerate(arrays)]
    outputs = [f"y{k}" for k in range(2 if op in ("Split", "TopK") else 1)]
    b.node(op, *names, outputs=outputs, **options)
    proto = b.model()
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    expected = run(proto, dict(zip(names, arrays, strict=True)))
    node = Node(op, case, tuple(names), tuple(outputs), options)
    for given, wanted in zip(COMPUTED[op](node, arrays), expected, strict=True):
        np.testing.assert_array_equal(given, wanted)
        assert given.dtype == wanted.dtype


def test_every_form_has_a_case() -> None:
    assert {op for op, _, _ in FORMS.values()} == set(COMPUTED)


# what is refused


def steps(b: Builder, x: str, **more: Any) -> str:
    return b.axes("Squeeze", lstm(b, x, **more)[0], 1)


def attributes(**changed: Any) -> Any:
    return lambda b, x: b.axes("Squeeze", lstm(b, x, **changed)[0], 1)


def rnn(*weights: tuple[int, ...], dtype: Any = np.float32, **more: Any) -> Any:
    """A graph of an RNN with weights of these shapes."""
    return lambda b, x: b.node("RNN", x, *[b.constant(np.ones(each), dtype) for each in weights], **more)


def started(value: np.ndarray) -> Any:
    return lambda b, x: b.node(
        "RNN", x, b.weight(1, 3, 2), b.weight(1, 3, 3), "", "", b.constant(value), hidden_size=3
    )


def after(op: str, *constants: Any, first: bool = True, dtype: Any = np.float32, **options: Any) -> Any:
    """A graph of an operator behind an LSTM of three units, with constants after it, or before."""

    def graph(b: Builder, x: str) -> str:
        names = [b.constant(each, dtype) for each in constants]
        y = steps(b, x)
        return b.node(op, *([y, *names] if first else [*names, y]), **options)

    return graph


REFUSED = {
    "relu": (after("Relu"), r"node 'n2' \(Relu\) is not understood: no layer does that"),
    "no recurrence": (
        lambda b, x: b.node("Relu", x),
        "no RNN, GRU or LSTM: torch.onnx.export keeps an nn.RNN",
    ),
    "X itself": (lambda b, x: b.node("Identity", x), "it is X itself"),
    "constant": (lambda b, x: b.node("Identity", b.weight(2, 2)), "it does not depend on X"),
    "directions differ": (
        attributes(
            direction="bidirectional", activations=["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Relu", "Tanh"]
        ),
        "its directions have different activations",
    ),
    "activation": (attributes(activations=["Sigmoid", "Sine", "Tanh"]), "the activation 'Sine' is none of"),
    "no constants": (attributes(activations=["Sigmoid", "Affine", "Tanh"]), "'Affine' lacks its constants"),
    "too many constants": (
        attributes(activation_alpha=[0.1]),
        "more constants of activations than functions",
    ),
    "two activations": (attributes(activations=["Sigmoid", "Tanh"]), "has 2 activations, where 3 are wanted"),
    "clip": (attributes(clip=0.0), "`clip` must be a finite number > 0"),
    "direction": (attributes(direction="sideways"), r"W has the shape \(1, 12, 2\), where \(0, 12, 2\)"),
    "layout": (attributes(layout=1), "layout=1; only 0"),
    "axes of W": (rnn((3, 2), (1, 3, 3)), r"W has the shape \(3, 2\), where 3 axes are wanted"),
    "shape of R": (rnn((1, 3, 2), (1, 3, 4)), r"R has the shape \(1, 3, 4\), where \(1, 3, 3\) is wanted"),
    "hidden_size": (rnn((1, 3, 2), (1, 3, 3), hidden_size=4), "hidden_size is 4, but W has 3 units"),
    "integers": (rnn((1, 3, 2), (1, 3, 3), dtype=np.int64), "W holds int64, not numbers of floating point"),
    "features": (rnn((1, 3, 4), (1, 3, 3)), r"takes steps of 4 features; what comes in is steps of 2"),
    "W is made": (
        lambda b, x: b.node("RNN", x, x, b.weight(1, 3, 3)),
        "its input 1 depends on what layers give, and is not constant",
    ),
    "X is constant": (
        lambda b, x: b.node("Add", b.node("RNN", b.weight(1, 2, 2), b.weight(1, 3, 2), b.weight(1, 3, 3)), x),
        "it is not one of those that are computed beforehand",
    ),
    "X turned": (
        lambda b, x: steps(b, b.node("Transpose", x, perm=[2, 1, 0])),
        r"its X is not the input X, as \(T, N, C\)",
    ),
    "X shuffled": (
        lambda b, x: steps(b, b.node("Slice", x, b.ints(-1), b.ints(-LAST), b.ints(0), b.ints(-1))),
        r"its X is not the input X, as \(T, N, C\)",
    ),
    "state of a layer": (
        lambda b, x: b.node(
            "RNN", x, b.weight(1, 3, 2), b.weight(1, 3, 3), "", "", lstm(b, x)[1], hidden_size=3
        ),
        "its initial state depends on what layers give",
    ),
    "state of one": (started(np.arange(9.0).reshape(1, 3, 3)), "its initial state differs from sequence"),
    "state shape": (started(np.ones((1, 1, 3))), "its initial state differs from sequence"),
    "lengths built in": (
        lambda b, x: steps(b, x, lengths=b.constant([2, 2, 2], np.int32)),
        "sequence_lens are not the lengths that the graph takes",
    ),
    "reads c": (
        lambda b, x: b.node("MatMul", lstm(b, x)[2], b.weight(3, 2)),
        "it reads the memory c of an LSTM",
    ),
    "constant first": (
        after("MatMul", np.ones((3, 3)), first=False),
        "input 0 is constant; a Linear has its",
    ),
    "matrix": (after("MatMul", np.ones((3, 2, 2))), "its matrix has the shape"),
    "two layers in one": (
        lambda b, x: b.node("MatMul", b.node("Concat", steps(b, x), x, axis=2), b.weight(5, 2)),
        "reads the input X and what LSTM.* gives in one tensor",
    ),
    "half a row": (
        lambda b, x: b.node(
            "MatMul", b.node("Slice", steps(b, x), b.ints(0), b.ints(2), b.ints(2)), b.weight(2, 2)
        ),
        r"where what LSTM\(2, 3, bias=False\) gives has 3",
    ),
    "row turned": (
        lambda b, x: b.node("MatMul", b.node("Gather", steps(b, x), b.ints(2, 1, 0), axis=2), b.weight(3, 2)),
        "features of .* apart, or in another order",
    ),
    "gemm turned": (
        lambda b, x: b.node("Gemm", b.node("Reshape", x, b.ints(-1, 2)), b.weight(2, 2), transA=1),
        "it reads its first factor transposed",
    ),
    "gemm bias": (
        lambda b, x: b.node("Gemm", b.node("Reshape", x, b.ints(-1, 2)), b.weight(2, 2), b.weight(2, 1)),
        r"its bias has the shape \(2, 1\)",
    ),
    "two biases": (
        lambda b, x: b.node(
            "Add", b.node("Add", b.node("MatMul", x, b.weight(2, 2)), b.weight(2)), b.weight(2)
        ),
        r"adds constants to what Linear\(2, 2\) gives",
    ),
    "bias by sequence": (
        lambda b, x: b.node("Add", b.node("MatMul", x, b.weight(2, 2)), b.weight(5, 1)),
        "its constants are not one for each feature",
    ),
    "negative": (after("Sub", np.ones(3), first=False), "input 0 is constant; no layer turns a sign"),
    "quotient": (after("Div", np.ones(3), first=False), "input 0 is constant; no layer divides by"),
    "product": (after("Mul", np.full(3, 2.0)), "multiplies what LSTM.* gives by constants"),
    "scaled by zero": (
        lambda b, x: steps(b, b.node("Div", x, b.constant([0.0, 2.0]))),
        "it scales features of X by 0",
    ),
    "attention": (
        lambda b, x: b.node("MatMul", steps(b, x), b.node("Transpose", steps(b, x), perm=[0, 2, 1])),
        "its input 1 depends on what layers give",
    ),
    "sum of two": (
        lambda b, x: b.node("Add", steps(b, x), steps(b, x)),
        r"only a layer's input is added to its output \(Residual\)",
    ),
    "sum shifted": (
        lambda b, x: b.node("Add", steps(b, x, H=2), b.node("Gather", x, b.ints(1, 0), axis=2)),
        "it adds elements of the input X to others of",
    ),
    "mean of c": (
        lambda b, x: b.node("ReduceMean", lstm(b, x)[2], axes=[0]),
        "memory c of an LSTM, which has no",
    ),
    "mean of features": (
        after("ReduceMean", axes=[2]),
        "it does not go over all valid steps, and them alone",
    ),
    "mean of padding": (
        lambda b, x: b.node("ReduceMean", b.node("Mul", steps(b, x), b.constant([[0.0]])), axes=[0]),
        "it reads no layer's output in one tensor",
    ),
    "mean of a part": (
        lambda b, x: b.node("ReduceMean", b.node("Slice", steps(b, x), b.ints(1), b.ints(LAST)), axes=[0]),
        "it does not go over all valid steps",
    ),
    "half a mean": (
        lambda b, x: b.node("Div", b.axes("ReduceSum", steps(b, x), 0, keepdims=0), b.constant(2.0)),
        "it does not divide the sum over the steps by their number",
    ),
    "sum": (
        lambda b, x: b.node("MatMul", b.axes("ReduceSum", steps(b, x), 0, keepdims=0), b.weight(3, 2)),
        "it reads a sum over the steps",
    ),
    "softmax over time": (after("Softmax", axis=0), "it reads rows of"),
    "softmax within": (
        lambda b, x: b.node("MatMul", b.node("Softmax", steps(b, x)), b.weight(3, 2)),
        "it reads softmax",
    ),
    "cast": (after("Cast", to=7), "it casts between integers and floating point"),
    "constants beside": (
        lambda b, x: b.node("Concat", steps(b, x), b.weight(1, 3, 3), axis=0),
        "it puts constants beside what a layer gives",
    ),
    "cut": (
        lambda b, x: b.node("Slice", steps(b, x), b.ints(0), b.ints(100), b.ints(0)),
        "it cuts at 100, where longer sequences would lose steps",
    ),
    "reversed in time": (
        lambda b, x: b.node("Slice", steps(b, x), b.ints(-1), b.ints(-LAST), b.ints(0), b.ints(-1)),
        "it is not all of what LSTM.* gives, in order",
    ),
    "a step of all": (
        lambda b, x: b.node("Gather", steps(b, x), b.constant(1, np.int64), axis=0),
        "it is not all of what LSTM",
    ),
    "huge": (
        lambda b, x: b.node("Add", x, b.node("ConstantOfShape", b.ints(10**6, 10**6, 2))),
        r"it would make a tensor of the shape \(1000000, 1000000, 2\)",
    ),
    "long": (
        lambda b, x: b.node("Add", x, b.node("Range", b.constant(0.0), b.constant(1e12), b.constant(1.0))),
        "it would make a tensor of the shape",
    ),
    "axis": (after("Gather", 0, dtype=np.int64, axis=7), "axis 7 is none of 3"),
    "parts": (
        lambda b, x: b.node("Split", steps(b, x), b.ints(1, 1), outputs=2, axis=2)[0],
        r"the parts \[1, 1\] are not those of an axis of 3",
    ),
    "batch_dims": (
        lambda b, x: b.node("GatherND", steps(b, x), b.constant([[0]], np.int64), batch_dims=1),
        r"its first 1 axes are \(5,\) and \(1,\)",
    ),
    "scattered": (
        lambda b, x: b.node(
            "Add",
            b.node("ScatterElements", b.weight(3), b.ints(1), b.constant([1.0]), reduction="add"),
            setattr(b, "opset", 16) or steps(b, x),
        ),
        "its reduction is 'add'",
    ),
    "masked out": (
        lambda b, x: b.node(
            "ReduceMean", b.node("Mul", steps(b, x), b.constant([[[1], [0], [1]]])), axes=[0]
        ),
        "it goes over padding alone",
    ),
    "around a scaling": (
        lambda b, x: b.node(
            "Add", x, b.node("MatMul", b.node("Sub", x, b.constant([1.0, 2.0])), b.weight(2, 2))
        ),
        "it goes around X, scaled, which no layer gives",
    ),
    "odd cast": (lambda b, x: b.node("Add", x, b.node("Cast", b.ints(1), to=8)), "it casts to the type 8"),
    "loop": (lambda b, x: b.node("Einsum", x, b.weight(2, 2), equation="tnc,cd->tnd"), "no layer does that"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, match = REFUSED[case]
    b, x = begun()
    proto = b.model(make(b, x))
    with pytest.raises(ValueError, match=match):
        interop.load(proto, "numpy")


def test_graphs_that_depend_on_sizes() -> None:
    """In their weights, or even in how many they have."""
    for kind in ("scaled", "cut"):
        b, x = begun()
        count = b.node("Slice", b.node("Shape", x), b.ints(0), b.ints(1))
        weight = b.weight(3, 9)
        if kind == "scaled":
            weight = b.node("Mul", weight, b.node("Cast", count, to=1))
        else:
            weight = b.node("Slice", weight, b.ints(0), count, b.ints(1))
        y = b.node("MatMul", steps(b, x), weight)
        with pytest.raises(ValueError, match=r"must hold one model for all sizes; .* depends on T, N"):
            interop.load(b.model(y), "numpy")


def test_lengths_that_are_not_used_throughout() -> None:
    """With lengths, the padding must not matter to anything."""

    def graph(make: Any) -> Any:
        b, x = begun()
        ends = b.input("ends", ("n",), np.int32)
        return b.model(make(b, x, ends), axes=2)

    def last(b: Builder, x: str, ends: str, direction: str = "forward", lengths: str = "") -> str:
        _, Y_h, _ = lstm(b, x, direction=direction, lengths=lengths)
        return b.node(
            "Add", b.axes("Squeeze", Y_h, 0), b.node("Mul", b.node("Cast", ends, to=1), b.constant(0.0))
        )

    with pytest.raises(ValueError, match="against time without the lengths of its sequences"):
        interop.load(graph(lambda b, x, ends: last(b, x, ends, "reverse")), "numpy")
    proto = graph(lambda b, x, ends: b.axes("Squeeze", lstm(b, x)[1], 0))
    with pytest.raises(ValueError, match="it is not all of what LSTM"):
        interop.load(proto, "numpy")
    other = graph(
        lambda b, x, ends: b.axes(
            "Squeeze", lstm(b, x, lengths=b.node("Sub", ends, b.constant(1, np.int32)))[1], 0
        )
    )
    with pytest.raises(ValueError, match="its sequence_lens are not the lengths"):
        interop.load(other, "numpy")
    for op in ("ReduceMean", "ReduceMax"):  # over the zeros of the padding, which may be the largest

        def pooled(b: Builder, x: str, ends: str, op: str = op) -> str:
            return b.node(op, steps(b, x, lengths=ends), axes=[0], keepdims=0)

        with pytest.raises(ValueError, match="does not go over all valid steps, and them alone"):
            interop.load(graph(pooled), "numpy")

    def global_max(b: Builder, x: str, ends: str) -> str:
        return b.node("GlobalMaxPool", b.node("Transpose", steps(b, x, lengths=ends), perm=[1, 2, 0]))

    with pytest.raises(ValueError, match="does not go over all valid steps, and them alone"):
        interop.load(graph(global_max), "numpy")


def test_lengths_that_are_treated_apart() -> None:
    """A sequence of one step, or one that fills the batch, may be met in no other way than the others."""
    for special in ("one", "all"):
        b, x = begun()
        ends = b.input("ends", ("n",), np.int32)
        last = b.axes("Squeeze", lstm(b, x, lengths=ends)[1], 0)
        count = b.node("Gather", b.node("Shape", x), b.constant(0, np.int64))
        apart = b.constant(1, np.int32) if special == "one" else b.node("Cast", count, to=6)
        found = b.axes("Unsqueeze", b.node("Equal", ends, apart), 1)
        y = b.node("Where", found, b.constant(0.0), last)
        with pytest.raises(ValueError, match="it is not all of what LSTM"):
            interop.load(b.model(y, axes=2), "numpy")


def test_indices_that_are_fewer_than_the_data() -> None:
    """GatherElements takes the features that its indices are for: the first one alone, here."""
    b, x = begun()
    ends = b.input("ends", ("n",), np.int64)
    places = b.axes("Unsqueeze", b.node("Sub", ends, b.constant(1, np.int64)), 0, 2)
    first = b.axes("Squeeze", b.node("GatherElements", steps(b, x), places, axis=0), 0)
    data, lengths = b.normal((6, 3, 2)).astype(np.float32), np.asarray([2, 6, 1])
    (found,) = run(b.model(first, axes=2), {"x": data, "ends": lengths})
    assert found.shape == (3, 1)
    with pytest.raises(ValueError, match="it is not all of what LSTM"):
        interop.load(b.model(first, axes=2), "numpy")


def test_a_graph_without_weights() -> None:
    b, x = begun()
    pooled = b.node("ReduceMean", x, axes=[0], keepdims=0)
    with pytest.raises(ValueError, match="output 'ReduceMean_0_0' is not understood: it holds no weights"):
        interop.load(b.model(pooled, axes=2), "numpy")


def test_tokens_and_tables() -> None:
    def refused(make: Any, match: str) -> None:
        b = Builder(14)
        tokens = b.input("tokens", ("n", "t"), np.int64)
        with pytest.raises(ValueError, match=match):
            interop.load(b.model(make(b, tokens)), "numpy")

    refused(lambda b, x: b.node("Gather", b.weight(5, 3, 2), x), r"from float32 of the shape \(5, 3, 2\)")
    refused(lambda b, x: b.node("Gather", b.weight(5, 3), x, axis=1), "which is no table")
    refused(lambda b, x: b.node("Cast", x, to=1), "it casts between integers and floating point")
    refused(
        lambda b, x: b.node("Gather", b.weight(5, 3), b.input("other", ("n", "t"), np.int64)),
        "it chooses rows by the input 'other', which are no tokens",
    )


def test_further_outputs() -> None:
    """States may be put out, and what y is made from; a second head may not."""
    b, x = begun()
    Y, Y_h, Y_c = lstm(b, x)
    y = b.axes("Squeeze", Y, 1)
    logits, other = b.node("MatMul", y, b.weight(3, 2)), b.node("MatMul", y, b.weight(3, 2))
    proto = b.model(b.node("Softmax", logits, axis=-1))
    softmax_of = proto.graph.output[0].name
    assert repr(interop.load(_with_output(proto, softmax_of, Y_h, Y_c, y, logits), "numpy")[0]) == (
        "Sequential(LSTM(2, 3, bias=False), Linear(3, 2, bias=False))"
    )
    assert interop.read(_with_output(proto, logits, softmax_of), "numpy").end is None
    with pytest.raises(ValueError, match=r"besides it there is what Linear\(3, 2, bias=False\) gives"):
        interop.load(_with_output(proto, logits, other), "numpy")


def test_inputs() -> None:
    b = Builder(14)
    x = b.input("x", ("n", 3))
    with pytest.raises(ValueError, match=r"must have an input of three axes.*; its inputs are x \(None, 3\)"):
        interop.load(b.model(b.node("Identity", x)), "numpy")
    b = Builder(14)
    x = b.input("x", ("t", "n", "c"))
    with pytest.raises(ValueError, match="must tell how many features X has; 'x' has the shape"):
        interop.load(b.model(steps(b, x)), "numpy")


# files that may come from anybody


def plain() -> tuple[Builder, Any]:
    b, x = begun()
    return b, b.model(steps(b, x))


def test_external_data_is_never_looked_at(tmp_path: Any) -> None:
    """Not from a file, not from a proto, and not where a tensor is an attribute of a node, or within one."""
    _, proto = plain()
    weights = proto.graph.initializer[0]
    (tmp_path / "secret").write_bytes(weights.raw_data)
    tensor = onnx.TensorProto(name="outside", data_type=1, dims=weights.dims)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")

    def initializer(copy: Any) -> None:
        copy.graph.initializer[0].CopyFrom(tensor)

    def attribute(copy: Any) -> None:
        copy.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["c"], value=tensor))

    def within(copy: Any) -> None:
        inner = onnx.helper.make_graph([], "inner", [], [], [tensor])
        copy.graph.node.insert(
            0, onnx.helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
        )

    def unmarked(copy: Any) -> None:
        initializer(copy)
        copy.graph.initializer[0].data_location = onnx.TensorProto.DEFAULT

    for place in (initializer, attribute, within, unmarked):
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        place(copy)
        (tmp_path / "model.onnx").write_bytes(copy.SerializeToString())
        for source in (copy, tmp_path / "model.onnx", str(tmp_path / "model.onnx")):
            with pytest.raises(ValueError, match="must hold its own tensors; 'outside' lies in another file"):
                interop.load(source, "numpy")


def test_files_that_are_none(tmp_path: Any) -> None:
    path = tmp_path / "model.onnx"
    for content in (b"no model at all", b"\xff" * 100):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"must be an ONNX file; .*model\.onnx is none"):
            interop.load(path, "numpy")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="must be a valid ONNX model"):
        interop.load(path, "numpy")
    with pytest.raises(FileNotFoundError):
        interop.load(tmp_path / "absent.onnx", "numpy")
    with pytest.raises(TypeError, match=r"`source` must be a path or an onnx\.ModelProto; got int"):
        interop.load(3, "numpy")


def test_flipped_and_cut_files(tmp_path: Any) -> None:
    """Whatever a file holds, it is a model or a ValueError."""
    _, proto = plain()
    data, path = proto.SerializeToString(), tmp_path / "model.onnx"
    noise, outcomes = np.random.RandomState(0), set()
    for k in range(150):
        damaged = bytearray(data)
        damaged[noise.randint(len(data))] = noise.randint(256)
        path.write_bytes(bytes(damaged) if k % 3 else data[: noise.randint(len(data))])
        try:
            interop.load(path, "numpy")
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_tensor_that_is_not_whole() -> None:
    _, proto = plain()
    proto.graph.node.append(onnx.helper.make_node("Identity", ["x"], ["unused"]))
    proto.graph.node[-1].op_type = "Strange"
    with pytest.raises(ValueError, match="must be a valid ONNX model: No Op registered for Strange"):
        interop.load(proto, "numpy")
    _, proto = plain()
    proto.graph.initializer[0].segment.begin = 1
    with pytest.raises(ValueError, match=r"must hold whole tensors; 'constant_0' is none: .* segments"):
        interop.load(proto, "numpy")


def test_what_a_graph_asks_for_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that doubles and doubles is refused before it is there."""
    monkeypatch.setattr(
        "rnn_xp.interop.onnx.reading.moves.LIMIT", 2**20
    )  # the limit itself would take seconds
    b, x = begun()
    doubled = b.constant(np.ones(2**10))
    for _ in range(40):
        doubled = b.node("Concat", doubled, doubled, axis=0)
    total = b.node("ReduceSum", doubled, keepdims=0)
    with pytest.raises(ValueError, match="it would make a tensor of the shape"):
        interop.load(b.model(b.node("Add", x, total)), "numpy")


@pytest.mark.parametrize("sizes", [(2**30, 5), (3, 2**30), (-3, 5), (3, -5)])
def test_sizes_that_a_graph_fixes_are_bounded(sizes: tuple[int, int]) -> None:
    """Before a number is made for each of the sequences."""
    model = rx.Sequential(rx.GRU(2, 3), rx.LastStep())
    proto = interop.export(model, model.init(rx.get_backend("numpy")))
    assert len(proto.graph.input) == 2  # X and the lengths
    for each, dims in zip(proto.graph.input, (sizes, sizes[:1]), strict=True):
        for dim, size in zip(each.type.tensor_type.shape.dim, dims, strict=False):
            dim.dim_value = size
    told = rf"`source` must leave T and N of its 'X' open, .*; got T = {sizes[1]}, N = {sizes[0]}\."
    with pytest.raises(ValueError, match=told):
        interop.load(proto, "numpy")


def test_what_all_tensors_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many that fit one by one do not fit together; a large file may have many."""
    monkeypatch.setattr("rnn_xp.interop.onnx.reading.interpret.ROOM", 2**15)

    def graph(count: int) -> Any:
        b, x = begun()
        total = b.constant(0.0)
        for _ in range(count):
            long = b.node("Expand", total, b.ints(2**12))
            total = b.node("ReduceMax", long, keepdims=0)
        return b.model(b.node("Add", steps(b, x), total))

    interop.load(graph(4), "numpy")
    with pytest.raises(
        ValueError, match=r"\(Expand\) .*: with it the graph's tensors would hold far more numbers"
    ):
        interop.load(graph(16), "numpy")
    b, x = begun()
    large = b.weight(3, 2**13)
    for _ in range(8):
        large = b.node("Identity", large)
    interop.load(b.model(b.node("MatMul", steps(b, x), large)), "numpy")
