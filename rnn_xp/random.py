"""Counter-based random bits: the same on every library and device, and free of any order of drawing.

The generator is Philox-4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011): a keyed bijection of 128-bit counters. A number depends on its counter and key alone: padding,
splitting a batch and resuming a run change none.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from rnn_xp import checks
from rnn_xp.typing import Array, Namespace

Words: TypeAlias = tuple[Array, Array, Array, Array]
Key: TypeAlias = tuple[Array | int, Array | int]

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1: what each round adds to the key
_ROUNDS = 10


class Rng(NamedTuple):
    """The key of one dropout draw; immutable, so nothing is consumed by drawing.

    Attributes
    ----------
    seed, step
        The Philox key: the seed of the run and the number of the training step.
    layer
        The number of the stream: each place of a model that draws has its own.
    sample
        The place of the batch's first sample in the global batch: above 0 where a batch is split. Where its
        samples are no neighbours there, an int64 array (B,) of their places.
    time
        The steps before the first one: above 0 where sequences are split.

    Examples
    --------
    >>> Rng(seed=0, step=7)._replace(layer=2)
    Rng(seed=0, step=7, layer=2, sample=0, time=0)
    """

    seed: int
    step: int
    layer: int = 0
    sample: Any = 0
    time: int = 0

    def further(self, streams: int) -> Rng:
        """Return the key of the stream so many further."""
        return self._replace(layer=self.layer + streams)


def philox(counter: Words, key: Key) -> Words:
    """Return the four 32-bit words that Philox-4x32-10 makes of each counter.

    Parameters
    ----------
    counter
        Four int64 arrays of 32-bit words, of at least one axis, whose shapes broadcast; left as they are.
        The first rounds are short where axes have length 1.
    key
        Two 32-bit words: Python integers or 0-d int64 arrays.

    Returns
    -------
    tuple of Array
        Four int64 arrays of words in 0 .. 2**32 - 1, of the common shape.

    Examples
    --------
    >>> import numpy as np
    >>> zero = np.zeros(1, dtype=np.int64)
    >>> [hex(word[0]) for word in philox((zero, zero, zero, zero), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = counter
    key_0, key_1 = key
    for _ in range(_ROUNDS):
        high_a, low_a = _multiply(a, _MULTIPLIERS[0])
        high_c, low_c = _multiply(c, _MULTIPLIERS[1])
        a = high_c ^ b
        a ^= key_0
        c = high_a ^ d
        c ^= key_1
        b, d = low_c, low_a
        key_0, key_1 = (key_0 + _WEYL[0]) & _MASK, (key_1 + _WEYL[1]) & _MASK
    return a, b, c, d


def keep_mask(
    rng: Rng,
    rate: float,
    shape: tuple[int, int, int],
    *,
    xp: Namespace,
    device: Any = None,
    times: Array | None = None,
    same: bool = False,
) -> Array:
    """Draw which units dropout keeps: each with probability 1 - rate, on its own.

    The bit of unit n of sample b at step t is a function of seed, step, layer, time + t, sample + b and n
    alone.

    Parameters
    ----------
    rng
        The key of the draw.
    rate
        The probability of being dropped, in [0, 1); met to 2**-32.
    shape
        (T, N, B): time, units, batch.
    xp, device
        The namespace of the mask, and the device that it is made on.
    times
        The time t of every step, int64 (T, B) in 0 .. T - 1, where it is not the step's own place.
    same
        Whether a unit has one bit for all time: that of time 0, whatever `times` and `rng.time` say.

    Returns
    -------
    Array
        Booleans (T, N, B), True where a unit is kept; (1, N, B) if `same`.

    Raises
    ------
    ValueError
        Where a field of `rng`, or the last time or sample, is not in 0 .. 2**32 - 1, or `rate` not in [0, 1).
    TypeError
        Where they are no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> keep_mask(Rng(seed=0, step=0), 0.5, (1, 8, 2), xp=np)[0].astype(int).tolist()
    [[0, 1], [1, 1], [1, 0], [1, 1], [1, 1], [0, 1], [1, 0], [0, 0]]
    """
    apart = hasattr(rng.sample, "shape")
    for name, value in zip(rng._fields, rng, strict=True):
        if not (apart and name == "sample"):
            checks.integer(f"rng.{name}", value, 0, _MASK)
    threshold = round(checks.number("rate", rate, 0.0, 1.0) * 2**32)
    steps, units, batch = shape
    if not apart:
        checks.integer("rng.sample + B", rng.sample + batch, 0, _MASK + 1)
    checks.integer("rng.time + T", rng.time + steps, 0, _MASK + 1)
    quads = -(-units // 4)

    def places(size: int, axes: tuple[int, int, int], first: int = 0) -> Array:
        """Return the places along one axis, ready to broadcast over (T, N / 4, B)."""
        numbers: Array = xp.reshape(xp.arange(first, first + size, dtype=xp.int64, device=device), axes)
        return numbers

    if same:
        steps, clock = 1, places(1, (1, 1, 1))
    elif times is None:
        clock = places(steps, (steps, 1, 1), rng.time)
    else:
        clock = rng.time + times[:, None, :]
    samples = rng.sample[None, None, :] if apart else places(batch, (1, 1, batch), rng.sample)
    counter = (
        places(quads, (1, quads, 1)),
        clock,
        samples,
        places(1, (1, 1, 1), rng.layer),
    )
    keep = xp.empty((steps, quads, 4, batch), dtype=xp.bool, device=device)
    for index, word in enumerate(philox(counter, (rng.seed, rng.step))):
        keep[:, :, index, :] = word >= threshold
    mask: Array = xp.reshape(keep, (steps, 4 * quads, batch))[:, :units, :]
    return mask


def _multiply(word: Array, multiplier: int) -> tuple[Array, Array]:
    """Return the high and low words of a 64-bit product, which wraps to a signed number of the same bits."""
    low = word * multiplier
    high = low >> 32
    high &= _MASK
    low &= _MASK
    return high, low
