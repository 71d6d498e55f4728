"""PyTorch: its recurrent modules and cells, and loops as its users write them."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import Any

import numpy as np
import torch

from cpu_speed.job import PARAMETERS, Job, drawn, stored


def start() -> dict[str, Any]:
    """Set the number of threads, and say what computes."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def layer(cell: str, T: int, B: int, D: int, H: int) -> Job:
    """Run a module of torch.nn forward, and forward and back."""
    a = {name: torch.from_numpy(array) for name, array in drawn(cell, T, B, D, H).items()}
    module = getattr(torch.nn, cell)(D, H)
    module.load_state_dict({f"{name}_l0": a[name] for name in PARAMETERS})
    parameters = list(module.parameters())

    def train() -> Any:
        for parameter in parameters:
            parameter.grad = None
        y, _ = module(a["x"])
        y.backward(a["d_y"])
        return y

    def inference() -> Any:
        with torch.no_grad():
            return module(a["x"])[0]

    def answers() -> dict[str, Any]:
        train()
        found = {name: getattr(module, f"{name}_l0").grad.numpy() for name in PARAMETERS}
        return {"y": inference().numpy(), **found}

    return Job({"train": train, "inference": inference}, answers)


def stream(D: int, H: int, steps: int) -> Job:
    """Run one step of an LSTM, with gradients off in either of two ways."""
    a = {name: torch.from_numpy(array) for name, array in drawn("LSTM", steps, 1, D, H).items()}
    cell = torch.nn.LSTMCell(D, H)
    cell.load_state_dict({name: a[name] for name in PARAMETERS})
    state = torch.zeros(1, H), torch.zeros(1, H)
    one = a["x"][0]

    def no_grad(x: Any = one) -> Any:
        nonlocal state
        with torch.no_grad():
            state = cell(x, state)
        return state[0]

    def inference_mode(x: Any = one) -> Any:
        nonlocal state
        with torch.inference_mode():
            state = cell(x, state)
        return state[0]

    def answers() -> dict[str, Any]:
        return {"y": np.stack([no_grad(x).numpy() for x in a["x"]])}

    return Job({"no_grad": no_grad, "inference_mode": inference_mode}, answers)


def tutorial(file: str, epochs: int) -> Job:
    """Do the tutorial's job by a loop over nn.RNN."""
    import tutorial as program  # brings rnn_xp along, at no more than 30 ms

    data = stored(file)
    weights = program.Weights(*(data[name] for name in program.Weights._fields))
    return Job({"loop": partial(program.train_pytorch, data["X"], data["y"], weights, epochs)})


def vowels(file: str, epochs: int, batch: int, hidden: int, rate: float) -> Job:
    """Tell speakers apart, as in `by_rnn_xp`: packed sequences, since one direction begins at the end."""
    data = stored(file)
    weights = {name: data[name] for name in data if "." in name}
    rnn = torch.nn.utils.rnn

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(data["X"].shape[2], hidden, bidirectional=True, batch_first=True)
            self.linear = torch.nn.Linear(2 * hidden, len(data["linear.weight"]))

        def forward(self, x: Any, lengths: Any) -> Any:
            packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            y, _ = rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)
            return self.linear(y.sum(dim=1) / lengths[:, None])

    def run(dtype: Any) -> list[float]:
        X, y, lengths = (torch.from_numpy(data[name]) for name in ("X", "y", "lengths"))
        X = X.to(dtype)
        model = Model().to(dtype)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        total = epochs * -(-len(X) // batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: (1 + math.cos(math.pi * step / total)) / 2
        )
        losses = []
        for _ in range(epochs):
            mean = 0.0
            for first in range(0, len(X), batch):
                part = slice(first, first + batch)
                longest = int(lengths[part].max())
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(X[part, :longest], lengths[part]), y[part])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                mean += loss.item() * len(y[part]) / len(y)
            losses.append(mean)
        return losses

    return Job({"float32": partial(run, torch.float32), "float64": partial(run, torch.float64)})


def sgemm(size: int) -> Job:
    """Multiply two square matrices in float32."""
    a = torch.from_numpy(np.random.default_rng(0).random((size, size), dtype=np.float32))
    out = torch.empty_like(a)
    return Job({"sgemm": lambda: torch.mm(a, a, out=out)})


JOBS = {"layer": layer, "stream": stream, "tutorial": tutorial, "vowels": vowels, "sgemm": sgemm}
