"""A corpus as contiguous lanes: what a language model reads window by window, its state carried on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks
from rnn_xp.data.sequences import plain

_BLOCKS, _BLOCK = 64, 65_536  # of a corpus, what a fingerprint reads: so many blocks of so many tokens


class Lanes:
    """A corpus cut into `count` lanes of equal length, each read from its beginning to its end.

    Lane i reads ``tokens[i * steps : (i + 1) * steps]``, and what it is to predict are the tokens one later:
    the last target of a lane is the first token of the next. The corpus stays where it is, in memory or, as a
    ``numpy.memmap`` (``numpy.load(path, mmap_mode="r")``), on disk; only windows of it are copied.

    Parameters
    ----------
    tokens : integer array of shape (L,)
    count : int
        Number of lanes N, the batch of a step.
    reset_at : int, optional
        The token that ends a document. The step after it begins a new one; so does the first of the corpus.

    Attributes
    ----------
    tokens, count, reset_at
        As given; `tokens` without a copy.
    steps : int
        Steps of each lane T, (L - 1) // N.
    dropped : int
        How many tokens at the end are neither read nor predicted: those that do not fill a step of all lanes.

    Raises
    ------
    TypeError
        If `tokens` does not hold integers (of at most 63 bits and a sign), or an argument is no integer.
    ValueError
        If `tokens` has another shape or fewer than N + 1 tokens, or `count` is below 1.

    Examples
    --------
    >>> lanes = Lanes(np.arange(10), count=2)
    >>> lanes.steps, lanes.dropped
    (4, 1)
    >>> x, target = lanes.window(0, 3)
    >>> x.tolist()
    [[0, 4], [1, 5], [2, 6]]
    >>> target.tolist()
    [[1, 5], [2, 6], [3, 7]]
    """

    def __init__(self, tokens: ArrayLike, count: int, *, reset_at: int | None = None) -> None:
        self.tokens = _corpus(tokens)
        self.count = checks.integer("count", count)
        self.reset_at = None if reset_at is None else checks.integer("reset_at", reset_at, 0)
        if len(self.tokens) <= self.count:
            msg = f"`tokens` must hold at least count + 1 = {self.count + 1} tokens; got {len(self.tokens)}."
            raise ValueError(msg)
        self.steps = (len(self.tokens) - 1) // self.count
        self.dropped = len(self.tokens) - 1 - self.steps * self.count

    def window(
        self, start: int, stop: int, lanes: Iterable[int] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Copy the steps `start` to `stop`, without `stop`, of all lanes, or of N by their numbers.

        Returns
        -------
        x, target : arrays of shape (stop - start, N), int64
            What is read at each step, and what comes next.

        Raises
        ------
        TypeError
            If a bound is no integer.
        ValueError
            If they do not lie in 0..T in this order, at least one step apart.
        """
        start, stop = self._bounds(start, stop)
        own = self._lanes(lanes)
        return self._copy(start, stop, own), self._copy(start + 1, stop + 1, own)

    def resets(self, start: int, stop: int, lanes: Iterable[int] | None = None) -> NDArray[np.bool_] | None:
        """Return where a document begins in the steps `start` to `stop` of these lanes, (stop - start, N).

        None where the lanes have no `reset_at`. The errors are those of `window`.

        Examples
        --------
        >>> Lanes([5, 0, 6, 7, 0, 8, 9], count=2, reset_at=0).resets(0, 3).astype(int).tolist()
        [[1, 0], [0, 0], [1, 1]]
        """
        start, stop = self._bounds(start, stop)
        if self.reset_at is None:
            return None
        own = self._lanes(lanes)
        places = [lane * self.steps + start for lane in own]
        first = [place == 0 or self.tokens[place - 1] == self.reset_at for place in places]
        return np.concatenate([[first], self._copy(start, stop - 1, own) == self.reset_at])

    def fingerprint(self) -> str:
        """Return a SHA-256, in hexadecimal, that tells this corpus and its lanes from others.

        It covers the dtype, the number of tokens, N, `reset_at`, and 64 blocks of 65,536 tokens, the first at
        the beginning, the last at the end, the others evenly between; of a corpus of at most 4,194,304 tokens
        all. So it takes no longer for a longer one, and a change between the blocks goes unseen.
        """
        size = len(self.tokens)
        digest = hashlib.sha256(f"{self.tokens.dtype.str} {size} {self.count} {self.reset_at}\n".encode())
        if size <= _BLOCKS * _BLOCK:
            digest.update(np.ascontiguousarray(self.tokens).data)
            return digest.hexdigest()
        for block in range(_BLOCKS):
            start = block * (size - _BLOCK) // (_BLOCKS - 1)
            digest.update(np.ascontiguousarray(self.tokens[start : start + _BLOCK]).data)
        return digest.hexdigest()

    def _bounds(self, start: int, stop: int) -> tuple[int, int]:
        """Check the bounds of a window."""
        first = checks.integer("start", start, 0, self.steps - 1)
        return first, checks.integer("stop", stop, first + 1, self.steps)

    def _lanes(self, lanes: Iterable[int] | None) -> list[int]:
        """Check the numbers of lanes; None are all."""
        if lanes is None:
            return list(range(self.count))
        return [checks.integer("lanes", lane, 0, self.count - 1) for lane in lanes]

    def _copy(self, start: int, stop: int, lanes: Sequence[int]) -> NDArray[np.int64]:
        """Copy the tokens at these steps of each lane, time-major; they may run into the next lane's."""
        part = np.empty((stop - start, len(lanes)), dtype=np.int64)
        for place, lane in enumerate(lanes):
            part[:, place] = self.tokens[lane * self.steps + start : lane * self.steps + stop]
        return part


def _corpus(value: ArrayLike) -> NDArray[Any]:
    """Return `value` as an array (L,) of integers, without a copy where it is one."""
    tokens = plain("tokens", value)
    if tokens.dtype.kind not in "iu" or not np.can_cast(tokens.dtype, np.int64):
        msg = f"`tokens` must hold integers that fit in int64; got dtype {tokens.dtype}."
        raise TypeError(msg)
    if tokens.ndim != 1:
        msg = f"`tokens` must have shape (L,); got {tokens.shape}."
        raise ValueError(msg)
    return tokens
