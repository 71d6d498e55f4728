"""The gradient of a step in one flat buffer: of all its batches, and of all processes that share it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rnn_xp import tree
from rnn_xp.backend import Backend
from rnn_xp.distributed.agree import agree
from rnn_xp.distributed.communicator import Communicator
from rnn_xp.typing import Array, Namespace, Tree

FAILED, ASKS = 1, 2
"""What a rank tells the others with its gradient: that it cannot go on; that it wants to save."""


class Total:
    """Where the gradients of a step's batches go: a slot for each block, and a status of every rank.

    A slot is a gradient and its loss. Where there are several, each is written by one process; the sum over
    processes then only collects them, and they are added up in pairs: in an order, and so to bits, that no
    number of processes changes.
    """

    def __init__(self, params: Tree, backend: Backend, ranks: Communicator, slots: int) -> None:
        xp = self.xp = backend.xp
        self.backend, self.ranks = backend, ranks
        size = sum(math.prod(leaf.shape) for leaf in tree.leaves(params))
        ends = slots * (size + 1)
        self._buffer = xp.zeros((ends + ranks.size,), dtype=backend.dtype, device=backend.device)
        self._rows = xp.reshape(self._buffer[:ends], (slots, size + 1))
        self._status = self._buffer[ends:]
        self._shared = slots > 1 or ranks.size > 1
        paths = list(tree.paths(params))
        self.gradient: Array = self._buffer[:size]  # flat; the sum, once the step is closed
        self._slots = [
            list(zip(views(self._rows[slot, :size], params, xp), paths, strict=True)) for slot in range(slots)
        ]
        self._losses: dict[int, Any] = {}
        self.asks: Callable[[], bool] = bool
        self.asked = False  # whether a rank did, in the last step

    def clear(self) -> None:
        """Begin a step."""
        self._losses.clear()
        if self._shared:
            self._buffer[...] = 0.0

    def add(self, slot: int, loss: Array, d_params: Tree) -> None:
        """Add the loss of a batch and its gradient; they are copied."""
        before = self._losses.get(slot)
        for place, path in self._slots[slot]:
            d: Any = d_params
            for key in path:
                d = d[key]
            place[...] = d if before is None else place + d
        self._losses[slot] = loss if before is None else before + loss

    def close(self) -> Array:
        """Add up over blocks and processes; return the loss. Raise where a rank failed in this step."""
        loss: Array
        if not self._shared:
            return self._losses[0]  # type: ignore[no-any-return]
        for slot, own in self._losses.items():
            self._rows[slot, -1] = own
        if (self._exchange(ASKS * self.asks()) & FAILED).any():
            agree(self.ranks, None)
        self._add_up()
        loss = self.xp.asarray(self._rows[0, -1], copy=True)
        return loss

    def fail(self, error: Exception) -> NoReturn:
        """End the step of all ranks, each of which raises: what this one computed cannot be used."""
        if self.ranks.size > 1:
            self.clear()
            self._exchange(FAILED)
            agree(self.ranks, error)
        raise error

    def _exchange(self, status: int) -> NDArray[np.int64]:
        """Add up over processes; return the status of every rank, for which the device is waited for."""
        if self.ranks.size == 1:
            return np.zeros(1, dtype=np.int64)
        self._status[self.ranks.rank] = float(status)
        self.ranks.sum(self._buffer)
        told: NDArray[np.int64] = self.backend.to_numpy(self._status).astype(np.int64)
        self.asked = bool((told & ASKS).any())
        return told

    def _add_up(self) -> None:
        """Add the slots in pairs: the first and the one half their number further, and so on."""
        rows, count = self._rows, self._rows.shape[0]
        if count > 1:
            rows[...] = rows + 0.0  # -0, which a sum over processes makes 0, is 0 in one process too
        while count > 1:
            half = (count + 1) // 2
            rows[: count - half, :] = rows[: count - half, :] + rows[half:count, :]
            count = half


def views(flat: Array, params: Tree, xp: Namespace) -> list[Array]:
    """Return the parts of a flat array, in the shapes of the leaves."""
    parts, start = [], 0
    for leaf in tree.leaves(params):
        size = math.prod(leaf.shape)
        parts.append(xp.reshape(flat[start : start + size], leaf.shape))
        start += size
    return parts
