"""NumPy without a library: the tutorial's own program, and the step of an LSTM as a sketch of ten lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import tutorial as program

from cpu_speed.job import Job, drawn, stored


def start() -> dict[str, Any]:
    """Say what computes; the environment has set its threads."""
    return {"numpy": np.__version__}


def tutorial(file: str, epochs: int) -> Job:
    """Do the tutorial's job by its own program, corrected."""
    data = stored(file)
    weights = program.Weights(*(data[name] for name in program.Weights._fields))
    return Job({"program": lambda: program.train_tutorial(data["X"], data["y"], weights, epochs)})


def stream(D: int, H: int, steps: int) -> Job:
    """Run one step of an LSTM: all weights in one matrix, sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    a = drawn("LSTM", steps, 1, D, H)
    scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), H)
    W = scale[:, None] * np.concatenate((a["weight_ih"], a["weight_hh"]), axis=1)
    b = scale * (a["bias_ih"] + a["bias_hh"])
    x_h, c = np.zeros(D + H, np.float32), np.zeros(H, np.float32)
    one = a["x"][0]

    def step(x: np.ndarray = one) -> np.ndarray:
        x_h[:D] = x[0]
        gates = np.tanh(W @ x_h + b).reshape(4, H)
        i, f, o = 0.5 * gates[0] + 0.5, 0.5 * gates[1] + 0.5, 0.5 * gates[3] + 0.5
        c[...] = f * c + i * gates[2]
        x_h[D:] = o * np.tanh(c)
        return x_h[None, D:]

    def answers() -> dict[str, Any]:
        return {"y": np.stack([step(x).copy() for x in a["x"]])}

    return Job({"step": step}, answers)


JOBS = {"tutorial": tutorial, "stream": stream}
