"""Store what PyTorch answers on losses: run this script to write losses.npz anew.

For each loss and input of cases.py: a loss for each row (N,), and d_y (N, K) of sum(loss * d_loss).
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch
from cases import LossCase, loss_cases
from torch.nn import functional

LOSSES = {
    "cross_entropy": functional.cross_entropy,
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "squared_error": functional.mse_loss,
    "huber": functional.huber_loss,
}


def answer(loss: str, given: LossCase) -> tuple[np.ndarray, np.ndarray]:
    """Return the losses and d_y."""
    y = torch.tensor(given.y, requires_grad=True)
    losses = LOSSES[loss](y, torch.tensor(given.target), reduction="none")
    losses = losses.mean(dim=1) if losses.ndim == 2 else losses
    (losses * torch.tensor(given.d_loss)).sum().backward()
    return losses.detach().numpy(), y.grad.numpy()


def main() -> None:
    """Write losses.npz beside this file."""
    answers = {"versions": np.array(f"torch {torch.__version__}, Python {platform.python_version()}")}
    for loss, cases in loss_cases().items():
        for name, given in cases.items():
            answers[f"{loss}.{name}.loss"], answers[f"{loss}.{name}.d_y"] = answer(loss, given)
    np.savez_compressed(Path(__file__).with_name("losses.npz"), **answers)


if __name__ == "__main__":
    main()
