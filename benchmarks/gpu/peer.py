"""PyTorch's recurrent modules, which run on cuDNN where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rnn_xp as rx
from gpu.session import told
from rnn_xp.backend import to_numpy


def load(device: str) -> tuple[Any, str]:
    """Return the module torch, TF32 off, and ""; or None and why there is none."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return None, f"PyTorch cannot be imported ({told(error)}): cuDNN is not measured"
    if device == "cuda" and not torch.cuda.is_available():
        return None, f"PyTorch {torch.__version__} sees no GPU: cuDNN is not measured"
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch, ""


def facts(torch: Any, device: str) -> dict[str, Any]:
    """Say which versions these are."""
    own = {"torch": torch.__version__, "device": device}
    if device == "cuda":
        own |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        own["name"] = torch.cuda.get_device_name()
    return own


def calls(
    torch: Any, device: str, cell: str, x: Any, d_y: Any, state_dict: dict[str, Any] | None = None
) -> dict[str, Callable[[], Any]]:
    """Return a training step, without d_x, and an inference of `cell`, on tensors x and d_y (T, B, H)."""
    D, H = x.shape[-1], d_y.shape[-1]
    module = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](D, H)
    if state_dict is not None:
        module.load_state_dict({name: torch.from_numpy(value) for name, value in state_dict.items()})
    module = module.to(device)

    def train() -> Any:
        module.train()
        module.zero_grad(set_to_none=True)
        y, _ = module(x)
        y.backward(d_y)
        return module

    def inference() -> Any:
        module.eval()
        with torch.no_grad():
            return module(x)[0]

    return {"train": train, "inference": inference}


def agreement(torch: Any, device: str, cell: str, layer: Any, backend: Any, T: int, B: int) -> dict[str, Any]:
    """Compare y and the weight gradients with PyTorch's, from the same float32 weights."""
    D, H = layer.input_size, layer.hidden_size
    rng = np.random.default_rng(0)
    x, d_y = (rng.standard_normal((T, B, size)).astype(np.float32) for size in (D, H))
    params = layer.init(backend, seed=0)
    state_dict = {n: np.array(a) for n, a in rx.interop.torch.to_state_dict(layer, params).items()}
    tensors = [torch.from_numpy(array).to(device) for array in (x, d_y)]
    theirs = calls(torch, device, cell, *tensors, state_dict)
    y, _, tape = layer.forward(params, backend.asarray(x))
    d_params, _, _ = layer.backward(params, tape, backend.asarray(d_y), need_d_x=False)
    own = rx.interop.torch.to_state_dict(layer, d_params)
    module = theirs["train"]()
    gaps = {}
    for name, parameter in module.named_parameters():
        expected = parameter.grad.detach().cpu().numpy()
        gaps[name] = float(np.linalg.norm(own[name] - expected) / np.linalg.norm(expected))
    there = theirs["inference"]().cpu().numpy()
    return {"cell": cell, "y": float(np.max(np.abs(to_numpy(y) - there))), "gradients": gaps}
