"""What a training asks of the processes beside it: a sum, a broadcast and a barrier."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol, runtime_checkable


@runtime_checkable
class Communicator(Protocol):
    """One process among `size`, told apart by `rank`, 0 to size - 1.

    All of them make the same calls in the same order, with arrays of the same shapes and dtypes.
    """

    rank: int
    size: int

    def sum(self, array: Any) -> None:
        """Put the sum over all processes in the place of `array`: NumPy's, or of the backend; contiguous."""

    def broadcast(self, array: Any, root: int = 0) -> None:
        """Put what the process `root` has in the place of `array`."""

    def barrier(self) -> None:
        """Wait until all processes are here."""

    def abort(self, message: str) -> NoReturn:
        """End all processes, with a line that names this one: it cannot go on, and they would wait for it."""


class Alone:
    """One process: nothing to add up, and nobody to wait for."""

    rank = 0
    size = 1

    def __repr__(self) -> str:
        return "Alone()"

    def sum(self, array: Any) -> None:
        """Leave it: it is the sum."""

    def broadcast(self, array: Any, root: int = 0) -> None:
        """Leave it: it is the root's."""

    def barrier(self) -> None:
        """Go on."""

    def abort(self, message: str) -> NoReturn:
        """Raise."""
        raise SystemExit(message)
