"""Store what PyTorch answers on optimisers, clipping and schedules: run this script to write optim.npz anew.

Parameters and gradients come from NumPy's frozen RandomState, so that the file holds answers alone.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch

SHAPES = ((3, 2), (4,), (2, 1, 3))
STEPS = 25
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "sgd_decay": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.05}),
    "sgd_momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "sgd_momentum_decay": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.05}),
    "sgd_nesterov": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd_nesterov_decay": (
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
    ),
    "rmsprop": (torch.optim.RMSprop, {}),
    "rmsprop_options": (torch.optim.RMSprop, {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.05}),
    "rmsprop_momentum": (torch.optim.RMSprop, {"lr": 0.02, "momentum": 0.9}),
    "rmsprop_momentum_decay": (torch.optim.RMSprop, {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.05}),
    "adam": (torch.optim.Adam, {}),
    "adam_options": (torch.optim.Adam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adam_decay": (torch.optim.Adam, {"lr": 0.02, "weight_decay": 0.05}),
    "adamw": (torch.optim.AdamW, {}),
    "adamw_options": (
        torch.optim.AdamW,
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
    ),
}
CLIP_NORMS = (0.5, 2.0, 100.0)
CLIP_VALUES = (0.3, 1.0)


def tensors(random: np.random.RandomState) -> list[torch.Tensor]:
    """Draw one tensor of each shape."""
    return [torch.tensor(random.standard_normal(shape), dtype=torch.float64) for shape in SHAPES]


def flat(values: list[torch.Tensor]) -> np.ndarray:
    """Return all components in one row."""
    return torch.cat([value.detach().reshape(-1) for value in values]).numpy()


def optimized(make: type[torch.optim.Optimizer], options: dict, scheduled: bool = False) -> np.ndarray:
    """Return the parameters after each step (STEPS, N)."""
    random = np.random.RandomState(0)
    params = [torch.nn.Parameter(value) for value in tensors(random)]
    optimizer = make(params, **options)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.5) if scheduled else None
    rows = []
    for _ in range(STEPS):
        for param, grad in zip(params, tensors(random), strict=True):
            param.grad = grad
        optimizer.step()
        if schedule is not None:
            schedule.step()
        rows.append(flat(params))
    return np.stack(rows)


def clipped(clip, limit: float) -> tuple[np.ndarray, float]:
    """Return the clipped gradients (N,), and what the function returned."""
    params = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in SHAPES]
    for param, grad in zip(params, tensors(np.random.RandomState(1)), strict=True):
        param.grad = grad
    result = clip(params, limit)
    return flat([param.grad for param in params]), float("nan") if result is None else float(result)


def factors(make, **options: float) -> np.ndarray:
    """Return a schedule's factor at steps 0 .. 40."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer, **options)
    rows = []
    for _ in range(41):
        rows.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(rows, dtype=np.float64)


def main() -> None:
    """Write optim.npz beside this file."""
    answers = {name: optimized(make, options) for name, (make, options) in OPTIMIZERS.items()}
    answers["adamw_scheduled"] = optimized(torch.optim.AdamW, {"lr": 0.02}, scheduled=True)
    for limit in CLIP_NORMS:
        grads, norm = clipped(torch.nn.utils.clip_grad_norm_, limit)
        answers[f"clip_norm_{limit}"], answers["norm"] = grads, np.array(norm)
    for limit in CLIP_VALUES:
        answers[f"clip_value_{limit}"] = clipped(torch.nn.utils.clip_grad_value_, limit)[0]
    schedulers = torch.optim.lr_scheduler
    answers["step_decay"] = factors(schedulers.StepLR, step_size=7, gamma=0.3)
    answers["exponential"] = factors(schedulers.ExponentialLR, gamma=0.9)
    answers["cosine"] = factors(schedulers.CosineAnnealingLR, T_max=40, eta_min=0.1)
    answers["versions"] = np.array(f"torch {torch.__version__}, Python {platform.python_version()}")
    np.savez_compressed(Path(__file__).with_name("optim.npz"), **answers)


if __name__ == "__main__":
    main()
