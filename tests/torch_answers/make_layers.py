"""Store what PyTorch answers on recurrent layers: run this script to write layers.npz anew.

A row of numbers for each configuration of cases.py: outputs, last states and all gradients of
sum(y * d_y) + sum(state_T * d_state_T), in the order that `Case.shapes` tells.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import torch
from cases import COUNT, Case, case
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def answer(given: Case) -> np.ndarray:
    """Return all answers of one configuration in one row."""
    layer = getattr(torch.nn, given.layer)(*given.sizes, **given.options).double()
    layer.load_state_dict({name: torch.tensor(value) for name, value in given.params.items()})
    x = torch.tensor(given.x, requires_grad=True)
    state_0 = [torch.tensor(s, requires_grad=True) for s in given.state_0 or ()]
    hx = None if not state_0 else tuple(state_0) if given.layer == "LSTM" else state_0[0]
    if given.lengths is None:
        y, state_T = layer(x, hx)
    else:
        packed = pack_padded_sequence(x, torch.tensor(given.lengths), enforce_sorted=False)
        y, state_T = layer(packed, hx)
        y, _ = pad_packed_sequence(y, total_length=x.shape[0])
    state_T = state_T if isinstance(state_T, tuple) else (state_T,)
    pairs = zip((y, *state_T), (given.d_y, *given.d_state_T), strict=True)
    sum((output * torch.tensor(d)).sum() for output, d in pairs).backward()

    named = dict(layer.named_parameters())
    answers = [y, *state_T, *(named[name].grad for name in given.params), x.grad, *(s.grad for s in state_0)]
    assert [tuple(a.shape) for a in answers] == list(given.shapes.values())
    return torch.cat([a.detach().reshape(-1) for a in answers]).numpy()


def main() -> None:
    """Write layers.npz beside this file."""
    answers = {str(index): answer(case(index)) for index in range(COUNT)}
    answers["versions"] = np.array(f"torch {torch.__version__}, Python {platform.python_version()}")
    np.savez_compressed(Path(__file__).with_name("layers.npz"), **answers)


if __name__ == "__main__":
    main()
