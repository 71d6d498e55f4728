"""Out of memory: one message with what a batch takes, what is free, and what would fit."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from rnn_xp import tree
from rnn_xp.layers import Layer

ROOM = 0.6
"""Of what is free, what the memory for the way back may take: gradients and outputs need the rest."""


def explain(
    error: MemoryError,
    model: Layer,
    steps: int,
    batch: int,
    itemsize: int,
    free: Callable[[], int | None],
    *,
    count: int = 0,
    recompute: bool = False,
    way_out: str = "recompute=True, which keeps about sqrt(T) steps",
) -> MemoryError:
    """Return the error to raise instead of `error`, which a batch met.

    Parameters
    ----------
    error : MemoryError
        The frames that it came through are cleared, so that what they held is free when that is measured.
    model : Layer
    steps, batch : int
        Of the batch, T and B.
    itemsize : int
        Bytes of a number.
    free : function
        Returns the bytes that the device can still give; None: what the host can, as far as that is known.
    count : int
        Sequences in all: the memory of the last batch, if it is a smaller one, is taken beside that of the
        others.
    recompute : bool
        Whether steps are computed again already: how much is kept is then not told.
    way_out : str
        What helps besides a smaller batch, unless that is done; "" for nothing.

    Returns
    -------
    MemoryError

    Examples
    --------
    >>> import rnn_xp as rx
    >>> model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> str(explain(MemoryError(), model, 1000, 32, 4, lambda: 0)).partition(" takes")[0]
    'out of memory: a batch of 32 sequences of 1000 steps'
    """
    traceback.clear_frames(error.__traceback__)
    left = _left(free)
    told = f"{_start(error)}: a batch of {batch} sequences of {steps} steps "
    if recompute:
        told += "does not fit, though steps are computed again"
    else:
        told += f"takes about {model.kept_bytes(steps, batch, itemsize) / 1e6:.3g} MB"
    told += _free(left)
    ways = ["a smaller batch_size"] if batch > 1 else []
    if left is not None and not recompute:
        fits = _largest(model, steps, batch, itemsize, ROOM * left, count)
        ways = [f"batch_size={fits}, which should fit"] if fits else []
        told += "" if fits else ", too few for a single sequence"
    ways += [way_out] if way_out and not recompute else []
    return MemoryError(f"{told}. Take {', or '.join(ways)}." if ways else f"{told}.")


def explain_weights(
    error: MemoryError, model: Layer, itemsize: int, free: Callable[[], int | None]
) -> MemoryError:
    """Return the error to raise instead of `error`, which the weights met; arguments as of `explain`."""
    traceback.clear_frames(error.__traceback__)
    size = itemsize * sum(math.prod(spec.shape) for spec in tree.leaves(model.spec()))
    told = f"{_start(error)}: the weights of `model` take {size / 1e6:.3g} MB, and in training several times"
    return MemoryError(f"{told} that{_free(_left(free))}. Take a smaller model.")


def _start(error: MemoryError) -> str:
    """Return how a message begins."""
    return f"out of memory ({error})" if str(error) else "out of memory"


def _left(free: Callable[[], int | None]) -> int | None:
    """Return the bytes that are free, if known."""
    left = free()
    return host_memory() if left is None else left


def _free(left: int | None) -> str:
    """Say how much is free, if known."""
    return "" if left is None else f"; {left / 1e6:.3g} MB are free"


def host_memory() -> int | None:
    """Return the bytes that this process may still take: of the machine, its container and its own limit.

    Examples
    --------
    >>> free = host_memory()
    >>> free is None or free > 0
    True
    """
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    """Yield what is left of every limit that can be read; Linux tells them in files."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])
    for folder, limit, used, cache in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, taken = _read(f"{folder}/{limit}").strip(), _read(f"{folder}/{used}").strip()
        if most.isdigit() and taken.isdigit():
            lines = [line.split() for line in _read(f"{folder}/memory.stat").splitlines()]
            files = sum(int(line[1]) for line in lines if line[0] == cache)  # given back when asked for
            yield max(0, int(most) - int(taken) + files)
    pages = _read("/proc/self/statm").split()
    if pages:
        import resource  # of Unix alone

        most_space, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most_space != resource.RLIM_INFINITY:
            yield max(0, most_space - int(pages[0]) * resource.getpagesize())


def _read(path: str) -> str:
    """Return what a file holds; "" where there is none."""
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""


def _largest(model: Layer, steps: int, batch: int, itemsize: int, room: float, count: int) -> int:
    """Return the largest batch below `batch` that, with the last of `count`, fits; 0 where none does."""
    low, high = 0, batch
    while high - low > 1:
        middle = (low + high) // 2
        if model.kept_bytes(steps, middle, itemsize) <= room:
            low = middle
        else:
            high = middle
    while low and model.kept_bytes(steps, low + count % low, itemsize) > room:
        low -= 1
    return low
