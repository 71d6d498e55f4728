"""What a contender is asked to compute: the same numbers in every process, drawn or read there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cpu_speed.sizes import GATES

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Job(NamedTuple):
    """What a contender has made ready."""

    calls: dict[str, Callable[[], Any]]
    answers: Callable[[], dict[str, Any]] | None = None  # to be the same everywhere


def drawn(cell: str, T: int, B: int, D: int, H: int, **_: Any) -> dict[str, np.ndarray]:
    """Return x, d_y and a layer's weights, in the names, shapes and gate order of PyTorch; float32."""
    rng = np.random.default_rng(0)
    rows, bound = GATES[cell] * H, 1 / H**0.5
    shapes = {"weight_ih": (rows, D), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}
    weights = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
    x, d_y = (rng.standard_normal((T, B, size), dtype=np.float32) for size in (D, H))
    return {"x": x, "d_y": d_y, **weights}


def stored(path: str) -> dict[str, np.ndarray]:
    """Return the arrays that the controller left for a job."""
    with np.load(path) as file:
        return dict(file)
