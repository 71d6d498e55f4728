"""How much is measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
MODES = ("train", "inference")


class Shape(NamedTuple):
    """Steps, sequences, inputs and units."""

    T: int
    B: int
    D: int
    H: int

    def __str__(self) -> str:
        return f"T {self.T:,}, B {self.B}, D {self.D}, H {self.H}"


def operations(cell: str, shape: Shape, mode: str) -> int:
    """Return the floating-point operations of all matrix products; no part asks for d_x.

    Forward multiplies both weight matrices, 2 T B G H (D + H). Training adds the gradients of both and, for
    d_h, the recurrent one once more, 2 T B G H (D + 2 H).
    """
    T, B, D, H = shape
    one = 2 * T * B * GATES[cell] * H
    return one * (D + H) + (one * (D + 2 * H) if mode == "train" else 0)


@dataclass(frozen=True)
class Sizes:
    """How much is measured; those of the record are the defaults."""

    shapes: tuple[Shape, ...] = (
        Shape(10, 1, 1, 32),
        Shape(10, 64, 1, 32),
        Shape(50, 1, 32, 128),
        Shape(100, 32, 64, 128),
        Shape(100, 64, 128, 256),
        Shape(50, 64, 512, 512),
    )
    cells: tuple[str, ...] = ("RNN", "GRU", "LSTM")
    threads: tuple[int, ...] = (1, 2)
    sgemm: int = 1024  # rows and columns
    block: float = 0.015  # seconds of calls in one turn
    turns: int = 5  # at least
    repetitions: int = 5  # of a whole job
    sequences: int = 1000
    epochs: int = 10
    vowels_epochs: int = 40
    stream: tuple[tuple[int, int], ...] = ((32, 32), (32, 128), (32, 256))  # D, H
    memory: tuple[Shape, ...] = (Shape(100, 64, 128, 256), Shape(1000, 32, 64, 128))
    peaks: int = 3  # new processes for the memory of one point
    long: tuple[Shape, ...] = tuple(Shape(T, 8, 32, 32) for T in (100, 300, 1000, 3000, 10000))
    wide: tuple[Shape, ...] = tuple(Shape(100, B, 32, 32) for B in (1, 2, 4, 8, 16, 32, 64, 128, 256))
    fits: tuple[tuple[Shape, int], ...] = ((Shape(50, 32, 16, 64), 20), (Shape(50, 64, 64, 256), 4))  # steps

    def told(self) -> dict[str, Any]:
        """Return them for the record."""
        return asdict(self)


TINY = Sizes(
    shapes=(Shape(2, 1, 1, 3), Shape(3, 4, 2, 3)),
    sgemm=32,
    block=0.0005,
    turns=2,
    repetitions=1,
    sequences=6,
    epochs=2,
    vowels_epochs=2,
    stream=((2, 3),),
    memory=(Shape(4, 2, 2, 3),),
    peaks=1,
    long=tuple(Shape(T, 2, 2, 3) for T in (2, 4, 8)),
    wide=tuple(Shape(2, B, 2, 3) for B in (1, 2)),
    fits=((Shape(3, 2, 2, 3), 2),),
)
"""Those of a dry run: everything once, with small numbers."""
