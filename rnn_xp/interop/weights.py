"""What the converters of weights share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp.cells import Cell

Host: TypeAlias = NDArray[Any]

REVERSE = "a layer that runs against time alone has the parameters of the same layer with reverse=False."
STATE = "Take the same layer without it, and its params with state_0=None."


def to_host(value: Any) -> Host:
    """Copy a NumPy array, or PyTorch's tensor by its own means, to the host; bfloat16 becomes float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    return np.array(value)


def one_bias(cell: Cell, bias_ih: Host, bias_hh: Host, name: str) -> Host:
    """Return the bias that stands for two; bits stay where the second, called `name`, is 0."""
    apart = {gate for pair in cell.pairs for gate in pair.apart}
    for gate, part in zip(cell.gates, np.split(bias_hh, len(cell.gates)), strict=True):
        if gate in apart and part.any():
            msg = f"`model` must have bias=True: {name} is not 0 in the gate {gate}, which does not add it."
            raise ValueError(msg)
    return np.where(bias_hh == 0, bias_ih, bias_ih + bias_hh)
