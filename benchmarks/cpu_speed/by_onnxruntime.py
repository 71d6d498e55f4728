"""ONNX Runtime: one LSTM operator of a single step, states in and out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cpu_speed.job import Job, drawn


def start() -> dict[str, Any]:
    """Say what computes."""
    return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}


def onnx_order(a: np.ndarray) -> np.ndarray:
    """Return the rows of i, f, g, o in the order i, o, f, g."""
    i, f, g, o = np.split(a, 4)
    return np.concatenate((i, o, f, g))


def stream(D: int, H: int, steps: int) -> Job:
    """Run one step of an LSTM."""
    a = drawn("LSTM", steps, 1, D, H)
    bias = np.concatenate([onnx_order(a[name]) for name in ("bias_ih", "bias_hh")])
    weights = {"W": onnx_order(a["weight_ih"]), "R": onnx_order(a["weight_hh"]), "bias": bias}

    def tensor(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    names = ["x", "W", "R", "bias", "", "h_0", "c_0"]
    graph = helper.make_graph(
        [helper.make_node("LSTM", names, ["", "h", "c"], hidden_size=H)],
        "step",
        [tensor("x", 1, 1, D), tensor("h_0", 1, 1, H), tensor("c_0", 1, 1, H)],
        [tensor("h", 1, 1, H), tensor("c", 1, 1, H)],
        [numpy_helper.from_array(array[None], name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    run, one = session.run, a["x"][:1]
    feed = {"x": one, "h_0": np.zeros((1, 1, H), np.float32), "c_0": np.zeros((1, 1, H), np.float32)}

    def step(x: np.ndarray = one) -> np.ndarray:
        feed["x"] = x
        feed["h_0"], feed["c_0"] = run(None, feed)
        return feed["h_0"]

    def answers() -> dict[str, Any]:
        return {"y": np.stack([step(x[None])[0] for x in a["x"]])}

    return Job({"step": step}, answers)


JOBS = {"stream": stream}
