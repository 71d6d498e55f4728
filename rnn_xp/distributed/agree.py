"""What all ranks know of one: that it failed, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.distributed.communicator import Communicator


class RankError(RuntimeError):
    """Another process of a distributed training cannot go on.

    Attributes
    ----------
    rank : int
        Its number.
    """

    def __init__(self, message: str, rank: int) -> None:
        super().__init__(message)
        self.rank = rank


@contextmanager
def together(ranks: Communicator) -> Iterator[None]:
    """Have all ranks fail where one fails in the block: it with its own error, the others with RankError."""
    error: BaseException | None = None
    try:
        yield
    except BaseException as own:  # a callback may end the program
        error = own
    agree(ranks, error)


def agree(ranks: Communicator, error: BaseException | None) -> None:
    """Raise where any rank has an error."""
    if ranks.size == 1:
        if error is not None:
            raise error
        return
    failed = np.flatnonzero(gather(ranks, [error is not None]))
    if not len(failed):
        return
    first = int(failed[0])
    text = tell(ranks, "" if error is None else f"{type(error).__name__}: {error}", first)
    if error is not None:
        raise error
    msg = f"rank {first} of {ranks.size} stopped: {text}"
    raise RankError(msg, first)


def gather(ranks: Communicator, numbers: Sequence[float]) -> NDArray[np.float64]:
    """Return the numbers of every rank, (ranks, how many)."""
    table = np.zeros((ranks.size, len(numbers)))
    table[ranks.rank] = numbers
    ranks.sum(table)
    return table


def tell(ranks: Communicator, text: str, root: int = 0) -> str:
    """Return the text of the rank `root`."""
    own = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    size = np.array([len(own)], dtype=np.int64)
    ranks.broadcast(size, root)
    data = own.copy() if ranks.rank == root else np.zeros(int(size[0]), dtype=np.uint8)
    if len(data):
        ranks.broadcast(data, root)
    return data.tobytes().decode()


def joined(ranks: Communicator, part: Any) -> NDArray[Any]:
    """Return the host arrays (N_r, ...) of all ranks one after the other, (N, ...)."""
    sizes = gather(ranks, [len(part)])[:, 0].astype(int)
    first = int(sizes[: ranks.rank].sum())
    whole = np.zeros((int(sizes.sum()), *part.shape[1:]), dtype=part.dtype)
    whole[first : first + len(part)] = part
    ranks.sum(whole)
    return whole
