"""Numbers that are too large to compute a spread of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 1e150
"""The squares of such numbers, of their differences and their sums are still finite."""


def check_size(name: str, array: NDArray[np.float64], axes: str) -> None:
    """Refuse numbers whose squares are not finite; `axes` says what the index of the first counts."""
    large = np.argwhere(np.abs(array) > LARGEST)
    if len(large):
        place: Any = tuple(large[0].tolist())
        must = f"`{name}` must hold numbers of at most {LARGEST:g} in size, whose squares are finite"
        msg = f"{must}; got {array[place]:g} at {axes} = {place}. Scale them down, or check them."
        raise ValueError(msg)
