"""ONNX Runtime on random RNN, GRU and LSTM graphs with our weights, in float32."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from onnx_form import USUAL, answers, layers, theirs

import rnn_xp as rx

onnx = pytest.importorskip("onnx", reason="onnx and onnxruntime are not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnx and onnxruntime are not installed")

GRAPHS = 500
TOLERANCE = 1e-6
BACKEND = rx.get_backend("numpy", dtype="float32")


def session(op: str, attributes: dict[str, Any], inputs: dict[str, np.ndarray]) -> Any:
    """Return a session on a graph of one node."""
    slots = ["X", "W", "R", "B", "sequence_lens", "initial_h"]
    slots += ["initial_c", "P"] if op == "LSTM" else []
    outputs = ["Y", "Y_h"] + ["Y_c"] * (op == "LSTM")
    node = onnx.helper.make_node(
        op, [name if name in inputs else "" for name in slots], outputs, **attributes
    )

    def value(name: str, array: np.ndarray | None) -> Any:
        kind = onnx.TensorProto.FLOAT if array is None else onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        return onnx.helper.make_tensor_value_info(name, kind, None if array is None else array.shape)

    graph = onnx.helper.make_graph(
        [node], "one", [value(*item) for item in inputs.items()], [value(name, None) for name in outputs]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def draw(number: int) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """Return an operator, its attributes and its inputs: default initialisation, lengths of at least 1."""
    choose = random.Random(number)
    op = choose.choice(list(USUAL))
    attributes: dict[str, Any] = {"direction": choose.choice(["forward", "reverse", "bidirectional"])}
    if op == "GRU":
        attributes["linear_before_reset"] = choose.randint(0, 1)
    T, B, D, H = (choose.randint(1, most) for most in (30, 5, 8, 24))
    attributes["hidden_size"] = H
    peepholes = op == "LSTM" and choose.random() < 0.5
    return op, attributes, draw_inputs(op, attributes, choose, (T, B, D, H), peepholes)


def draw_inputs(
    op: str, attributes: dict[str, Any], choose: random.Random, sizes: tuple[int, ...], peepholes: bool
) -> dict[str, np.ndarray]:
    """Draw the weights, the data and, half the time each, biases, lengths and initial states."""
    T, B, D, H = sizes
    (layer,) = layers(op, attributes, D, H, choose.random() < 0.7, peepholes)
    inputs = theirs(op, layer.init(BACKEND, seed=choose.randint(0, 10**6)))
    normal = np.random.RandomState(choose.randint(0, 10**6)).standard_normal
    inputs["X"] = normal((T, B, D)).astype(np.float32)
    if choose.random() < 0.5:
        inputs["sequence_lens"] = np.asarray([choose.randint(1, T) for _ in range(B)], np.int32)
    if choose.random() < 0.5:
        for field in layer.cell.state._fields:
            inputs[f"initial_{field}"] = normal((layer.directions, B, H)).astype(np.float32)
    return inputs


def compare(op: str, attributes: dict[str, Any], inputs: dict[str, np.ndarray], tolerance: float) -> None:
    expected = session(op, attributes, inputs).run(None, inputs)
    given = answers(op, attributes, inputs)
    assert len(expected) == len(given)
    for (name, ours), value in zip(given.items(), expected, strict=True):
        assert ours.dtype == value.dtype == np.float32
        assert ours.shape == value.shape
        assert np.max(np.abs(ours - value)) <= tolerance, f"{name} of {op} {attributes}"


@pytest.mark.parametrize("first", range(0, GRAPHS, 50))
def test_random_graphs(first: int) -> None:
    for number in range(first, first + 50):
        compare(*draw(number), TOLERANCE)


def test_the_graphs_differ() -> None:
    """Every option is met often, alone and with the others."""
    drawn = [draw(number) for number in range(GRAPHS)]
    seen: list[tuple[Any, ...]] = []
    for op, attributes, inputs in drawn:
        options = [name for name in ("B", "P", "sequence_lens", "initial_h") if name in inputs]
        seen.append((op, attributes["direction"], attributes.get("linear_before_reset"), *options))
    for key in (*USUAL, "forward", "reverse", "bidirectional", "B", "P", "sequence_lens", "initial_h", 1, 0):
        assert sum(key in each for each in seen) > 50
    assert len(set(seen)) > 100


OPTIONS = [
    ("RNN", {"activations": ["Relu"]}),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.6], "activation_beta": [-0.1]}),
    ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.2]}),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.3]}),
    ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [1.3], "activation_beta": [0.7]}),
    ("RNN", {"activations": ["HardSigmoid"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ("RNN", {"activations": ["Elu"], "activation_alpha": [0.8]}),
    ("RNN", {"activations": ["Softsign"]}),
    ("RNN", {"activations": ["Softplus"]}),
    ("RNN", {"clip": 0.4}),
    ("GRU", {"clip": 0.4, "linear_before_reset": 0}),
    ("GRU", {"clip": 0.4, "linear_before_reset": 1}),
    ("GRU", {"activations": ["Sigmoid", "Softsign"], "linear_before_reset": 1}),
    ("LSTM", {"clip": 0.4}),
    ("LSTM", {"input_forget": 1}),
    ("LSTM", {"input_forget": 1, "clip": 0.4}),
    ("LSTM", {"activations": ["Sigmoid", "Softsign", "Relu"]}),
]


@pytest.mark.parametrize(
    ("op", "options", "peepholes"),
    [
        (*each, peepholes)
        for each in OPTIONS
        for peepholes in (False, True)
        if each[0] == "LSTM" or not peepholes
    ],
    ids=str,
)
def test_options(op: str, options: dict[str, Any], peepholes: bool) -> None:
    for number in range(4):
        attributes = {"direction": "forward", "hidden_size": 5, **options}
        plain = {**attributes, "input_forget": 0} if op == "LSTM" else attributes
        inputs = draw_inputs(op, plain, random.Random(number), (7, 3, 4, 5), peepholes)
        compare(op, attributes, inputs, TOLERANCE)
