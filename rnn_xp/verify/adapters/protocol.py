"""What the property suite asks of a network.

An adapter is any object with the attributes of `Adapter`. It may have three more, which open further
properties; where it has not, or they are None, those are skipped:

    input_gradient(x, d_y, lengths=None) -> d_x    the gradient of ``sum(y * d_y)``
    flipped() -> adapter    the same weights with the directions exchanged, and with y and the state arranged
                            as before: it answers flipped sequences with the flipped answer, the same state
    layouts                 by name, other ways to `forward` the same arguments to the same answer
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray

Host: TypeAlias = NDArray[Any]
State: TypeAlias = tuple[Host, ...]

AXES = {"TNC": ((0, 1, 2), (0, 1, 2)), "NTC": ((1, 0, 2), (1, 0, 2)), "NCT": ((1, 2, 0), (2, 0, 1))}
"""By layout, the axes from (T, B, D) to it, and from it to (T, B, K)."""


@runtime_checkable
class Adapter(Protocol):
    """A recurrent network on host arrays, time-major; the state's axis before the last one is the batch."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def input_size(self) -> int:
        """D, the features of x."""

    @property
    def dtype(self) -> str:
        """What it computes in: "float32"."""

    @property
    def takes_lengths(self) -> bool:
        """Whether `forward` takes lengths (B,)."""

    @property
    def takes_state(self) -> bool:
        """Whether `forward` takes an initial state, and returns the last one in the same form."""

    @property
    def reverse(self) -> int | None:
        """How many of the last features of y run against time; None: each may have read both ways."""

    def forward(
        self, x: Host, lengths: Host | None = None, state_0: State | None = None, /
    ) -> tuple[Host, State | None]:
        """Return y, (T, B, K) or (B, K), and the last state, arrays (..., B, H), or None."""
