"""Store what PyTorch answers on whole trainings: run this script to write trajectories.npz anew.

For each model and optimiser of trajectories.py: the loss and the norm of the gradient (before it is clipped)
of all 500 steps, and the weights after some epochs.

A training may be chaotic, and then rounding decides where it ends. These are not, which the script checks:
with first weights changed by one part in 1e15, and with every batch summed in the opposite order, PyTorch
ends within 1e-11 of where it ended before, relative to the norm of the weights (it is 1.2e-14 at most).
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence
from trajectories import BATCH_SIZE, EPOCHS, KEPT, LENGTHS, OPTIMIZERS, PROBLEMS, D, H, K, N, Problem, X

MAKERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.02, momentum=0.9),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=0.002),
    "adam": lambda params: torch.optim.Adam(params, lr=0.005),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.01, betas=(0.8, 0.99), weight_decay=0.1),
}
LOSSES = {"cross_entropy": functional.cross_entropy, "squared_error": functional.mse_loss}


def trained(
    problem: Problem, optimizer: str, factor: float = 1.0, backwards: bool = False
) -> tuple[list[float], list[float], np.ndarray]:
    """Return losses, norms and weights (len(KEPT), all of them)."""
    layer = getattr(torch.nn, problem.layer)(D, H, **problem.options).double()
    linear = torch.nn.Linear(problem.shapes[-2][1], K).double()
    params = [*layer.parameters(), *linear.parameters()]
    assert [tuple(param.shape) for param in params] == list(problem.shapes)
    with torch.no_grad():
        for param, value in zip(params, problem.weights, strict=True):
            param.copy_(factor * torch.tensor(value))
    step = MAKERS[optimizer](params)
    directions = 1 + layer.bidirectional
    target = torch.tensor(problem.target)

    losses, norms, rows = [], [], []
    for epoch in range(1, EPOCHS + 1):
        for first in range(0, N, BATCH_SIZE):
            batch = torch.arange(first, min(first + BATCH_SIZE, N))
            batch = batch.flip(0) if backwards else batch
            ends = torch.tensor(LENGTHS)[batch]
            packed = pack_padded_sequence(
                torch.tensor(X)[batch], ends, batch_first=True, enforce_sorted=False
            )
            state_T = layer(packed)[1]
            h_T = state_T[0] if isinstance(state_T, tuple) else state_T
            y = linear(torch.cat(tuple(h_T[-directions:]), dim=1))
            loss = LOSSES[problem.loss](y, target[batch])
            step.zero_grad()
            loss.backward()
            limit = float("inf") if problem.clip_norm is None else problem.clip_norm
            norms.append(float(torch.nn.utils.clip_grad_norm_(params, limit)))
            losses.append(loss.item())
            step.step()
        if epoch in KEPT:
            rows.append(torch.cat([param.detach().reshape(-1) for param in params]).numpy().copy())
    return losses, norms, np.stack(rows)


def main() -> None:
    """Write trajectories.npz beside this file."""
    torch.set_num_threads(1)
    answers = {"versions": np.array(f"torch {torch.__version__}, Python {platform.python_version()}")}
    for name, problem in PROBLEMS.items():
        for optimizer in OPTIMIZERS:
            losses, norms, weights = trained(problem, optimizer)
            for changed in ({"factor": 1.0 + 1e-15}, {"backwards": True}):
                other = trained(problem, optimizer, **changed)[2][-1]
                apart = np.linalg.norm(other - weights[-1]) / np.linalg.norm(weights[-1])
                print(f"{name} {optimizer} {changed}: {apart:.2g}; loss {losses[0]:.3f} to {losses[-1]:.3f}")  # noqa: T201
                assert apart <= 1e-11
            for kind, value in (("losses", losses), ("norms", norms), ("weights", weights)):
                answers[f"{name}.{optimizer}.{kind}"] = np.array(value)
    np.savez_compressed(Path(__file__).with_name("trajectories.npz"), **answers)


if __name__ == "__main__":
    main()
