"""What the failures in `properties.py` are, and how they show by calls of the libraries alone."""

from __future__ import annotations

from typing import Any

import numpy as np

SAME = "The same bug."
READINGS = {
    "keras": {
        "gradient padding": "Limit, on the PyTorch backend; others were not run. NaN or infinity behind the "
        "mask leaves y and the loss right, but makes the gradient NaN, that of every weight too: the masked "
        "step is computed, then left out by `where`, whose derivative is 0 * NaN. Finite padding is right.",
    },
    "onnxruntime": {
        "zero length": "A choice that ONNX leaves open: where nothing is read the last state is 0, not the "
        "initial one. It matters where states are carried from batch to batch.",
    },
    "thinc.LSTM": {
        "directional derivative": "Bug: the gradient is wrong, that of the weights too. The loop back in "
        "time ends before the first step of each direction, whose d_x is 0.",
        "gradient batch independence": "The same bug: a sequence of one step has a d_x of 0.",
        "gradient causality": "The same bug: the first step of each direction has a d_x of 0.",
    },
    "Ops, which CupyOps inherits": {
        "batch independence": "Bug: of a batch one sequence, a longest, is computed; y of the others is 0. "
        "The initial state has one row, and each step is cut to the rows of the state before it. Run here on "
        "NumPy arrays; CupyOps, which has no LSTM of its own, was not run.",
        "batch of one": SAME,
        "permutation": SAME,
        "amount of padding": SAME,
        "directional derivative": "Bug: the gradient of x and of the weights is 0: the gates' gradients are "
        "computed and never stored.",
        "gradient batch independence": SAME,
        "gradient causality": SAME,
        "gradient padding": SAME,
    },
    "thinc.PyTorchLSTM": {
        "batch of one": "Bug: sequences are padded with zeros and not packed, so for a shorter one the "
        "direction against time starts in the padding, and depends on the batch that the sequence is in.",
        "amount of padding": SAME,
    },
    "sktime": {
        "batch independence": "Bug, known as sktime#9108: batch_first=False is the default, and its data "
        "come batch-first, so the recurrence runs over the samples of a batch.",
        "batch of one": SAME,
        "permutation": SAME,
        "memory": "The same bug: y depends on the last step alone.",
    },
}
"""By a part of the subject's name and the property; of two parts that fit the later one counts."""


def keras_by_hand() -> dict[str, Any]:
    """The loss of the steps before the mask, and how many weights' gradients are NaN, for two paddings."""
    import keras
    import torch

    keras.utils.set_random_seed(0)
    layer, found = keras.layers.LSTM(4, return_sequences=True), {}
    for padding in (0.0, np.nan):
        x = np.random.RandomState(0).standard_normal((1, 5, 3)).astype("float32")
        x[:, 3:] = padding
        loss = layer(torch.tensor(x), mask=torch.tensor([[True, True, True, False, False]]))[:, :3].sum()
        gradients = torch.autograd.grad(loss, [weight.value for weight in layer.trainable_weights])
        wrong = sum(bool(gradient.isnan().any()) for gradient in gradients)
        found[f"padding of {padding}"] = {"loss": loss.item(), "weights with a NaN gradient": wrong}
    return found


def onnxruntime_by_hand() -> dict[str, Any]:
    """The last state of a sequence of length 0 whose initial state is 1 everywhere."""
    feed = {
        "X": np.ones((2, 1, 3), "float32"),
        "sequence_lens": np.zeros(1, "int32"),
        "initial_h": np.ones((1, 1, 4), "float32"),
    }
    return {"Y_h": session("GRU", "forward").run(["Y_h"], feed)[0].ravel().tolist()}


def thinc_by_hand() -> dict[str, Any]:
    """Gradients beside differences of sum(y * d_y); y of samples alone and in a batch."""
    from thinc import api
    from thinc.backends import Ops

    api.fix_random_seed(0)
    random = np.random.RandomState(0)
    xs = [random.standard_normal((steps, 3)).astype("float32") for steps in (5, 5, 3)]
    d_ys = [random.standard_normal((len(x), 4)).astype("float32") for x in xs]
    model = api.with_padded(api.LSTM(4, 3))
    model.initialize()
    lstm = model.layers[0]
    weights = lstm.get_param("LSTM").copy()

    def value() -> float:
        pairs = zip(model.predict(xs), d_ys, strict=True)
        return float(sum(np.sum(y.astype(float) * d_y) for y, d_y in pairs))

    def difference(array: Any, place: Any, h: float = 0.01) -> float:
        values, before = [], array[place]
        for side in (h, -h):
            array[place] = before + side
            lstm.set_param("LSTM", weights)
            values.append(value())
        array[place] = before
        lstm.set_param("LSTM", weights)
        return (values[0] - values[1]) / (2 * h)

    found: dict[str, Any] = {}
    numeric = np.array([difference(weights, i) for i in range(len(weights))])
    for name, ops in (("NumpyOps", model.ops), ("Ops", Ops())):
        model._to_ops(ops)
        lstm.set_grad("LSTM", np.zeros_like(weights))
        ys, back = model(xs, is_train=True)
        d_x = back(d_ys)[0]
        error = np.linalg.norm(lstm.get_grad("LSTM") - numeric) / np.linalg.norm(numeric)
        found[name] = {
            "d_x of the first step": d_x[0].tolist(),
            "relative error of the weights' gradient": float(error),
            "largest y of each sequence": [float(abs(y).max()) for y in ys],
        }
    model._to_ops(api.NumpyOps())
    found["NumpyOps"]["differences"] = [difference(xs[0], (0, i)) for i in range(3)]
    model = api.PyTorchLSTM(8, 3, bi=True)
    model.initialize()
    (alone,) = model.predict(xs[2:])
    apart = abs(alone - model.predict(xs)[2])
    halves = (float(apart[:, part].max()) for part in (slice(0, 4), slice(4, 8)))
    found["PyTorchLSTM, a shorter sequence alone and in a batch"] = dict(
        zip(("forward", "reverse"), halves, strict=True)
    )
    return found


def sktime_by_hand() -> dict[str, Any]:
    """How far the other samples' probabilities move when the first sample does."""
    X = np.random.RandomState(1).standard_normal((4, 3, 7))
    moved = X.copy()
    moved[0] += 1.0
    model = classifier(batch_first=False)
    return {
        "probabilities moved": abs(model.predict_proba(moved) - model.predict_proba(X)).max(axis=1).tolist()
    }


BY_HAND = {
    "keras": keras_by_hand,
    "onnxruntime": onnxruntime_by_hand,
    "thinc": thinc_by_hand,
    "sktime": sktime_by_hand,
}

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def session(op: str, direction: str) -> Any:
    """One operator of ONNX with drawn weights."""
    import onnxruntime
    from onnx import TensorProto, helper

    random, directions = np.random.RandomState(0), 2 if direction == "bidirectional" else 1
    weights = []
    for name, size in (("W", 3), ("R", 4)):
        shape = (directions, GATES[op] * 4, size)
        weights.append(
            helper.make_tensor(name, TensorProto.FLOAT, shape, 0.5 * random.standard_normal(shape).ravel())
        )
    states = ("h", "c") if op == "LSTM" else ("h",)
    starts, ends = [f"initial_{state}" for state in states], [f"Y_{state}" for state in states]
    inputs = [
        helper.make_tensor_value_info("X", TensorProto.FLOAT, ("T", "B", 3)),
        helper.make_tensor_value_info("sequence_lens", TensorProto.INT32, ("B",)),
        *[helper.make_tensor_value_info(name, TensorProto.FLOAT, (directions, "B", 4)) for name in starts],
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("Y", *ends)]
    names = ["X", "W", "R", "", "sequence_lens", *starts], ["Y", *ends]
    node = helper.make_node(op, *names, hidden_size=4, direction=direction)
    graph = helper.make_graph([node], op, inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def classifier(batch_first: bool) -> Any:
    """A trained classifier of series of 3 channels and 7 steps."""
    from sktime.classification.deep_learning.gru import GRUClassifier

    X = np.random.RandomState(0).standard_normal((16, 3, 7))
    options = {"hidden_dim": 4, "n_layers": 1, "num_epochs": 1, "random_state": 0}
    return GRUClassifier(batch_first=batch_first, **options).fit(X, (X.mean(axis=(1, 2)) > 0).astype(int))
