"""Philox against its published answers, and what dropout masks must keep."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest

from rnn_xp.backend import Backend, get_backend
from rnn_xp.random import Rng, keep_mask, philox

DEVICES = {"numpy": None, "array_api_strict": "device1"}
if importlib.util.find_spec("torch"):
    DEVICES["torch"] = "cpu"

# Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, answer.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.fixture(params=DEVICES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return get_backend(request.param, device=DEVICES[request.param])


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def reference_philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox-4x32-10 on Python integers, as the paper's figure writes it."""
    (L0, R0, L1, R1), (k0, k1) = counter, key
    for step in range(10):
        p0, p1 = 0xD2511F53 * L0, 0xCD9E8D57 * L1
        weyl_0, weyl_1 = (k0 + step * 0x9E3779B9) % 2**32, (k1 + step * 0xBB67AE85) % 2**32
        L0, R0, L1, R1 = (p1 // 2**32) ^ R0 ^ weyl_0, p1 % 2**32, (p0 // 2**32) ^ R1 ^ weyl_1, p0 % 2**32
    return [L0, R0, L1, R1]


def host_mask(backend: Backend, rng: Rng, rate: float, shape: tuple[int, int, int]) -> np.ndarray:
    mask = keep_mask(rng, rate, shape, xp=backend.xp, device=backend.device)
    assert mask.dtype == backend.xp.bool
    assert mask.device == backend.device
    assert tuple(mask.shape) == shape
    return backend.to_numpy(mask)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
@pytest.mark.parametrize("kind", ["numbers", "arrays"])
def test_known_answers(backend: Backend, counter: str, key: str, answer: str, kind: str) -> None:
    asarray = lambda value: backend.asarray(value, dtype=backend.xp.int64)  # noqa: E731
    keys = words(key) if kind == "numbers" else [asarray(word) for word in words(key)]
    result = philox(tuple(asarray([word]) for word in words(counter)), tuple(keys))
    assert [int(backend.to_numpy(word)[0]) for word in result] == words(answer)
    assert reference_philox(words(counter), words(key)) == words(answer)


def test_random_counters_equal_plain_integers(backend: Backend) -> None:
    counters = np.random.RandomState(0).randint(0, 2**32, size=(4, 200), dtype=np.int64)
    before = counters.copy()
    key = (0xDEADBEEF, 0x12345678)
    result = philox(tuple(backend.asarray(row) for row in counters), key)
    expected = [reference_philox([int(word) for word in column], list(key)) for column in counters.T]
    np.testing.assert_array_equal(np.stack([backend.to_numpy(word) for word in result]).T, expected)
    np.testing.assert_array_equal(counters, before)


def test_short_axes_broadcast() -> None:
    a, b, c, d = np.arange(3)[:, None, None], np.arange(4)[:, None], np.arange(5), np.full((1, 1, 1), 7)
    short = philox((a, b, c, d), (1, 2))
    full = philox(tuple(np.ascontiguousarray(word) for word in np.broadcast_arrays(a, b, c, d)), (1, 2))
    np.testing.assert_array_equal(short, full)


def test_mask_is_the_documented_function(backend: Backend) -> None:
    """Element (t, n, b) compares word n % 4 of counter (n // 4, t, sample + b, layer) with the rate."""
    rng, rate, (T, N, B) = Rng(seed=2**32 - 1, step=5, layer=3, sample=11), 0.3, (3, 6, 2)
    mask = host_mask(backend, rng, rate, (T, N, B))
    for t, n, b in itertools.product(range(T), range(N), range(B)):
        word = reference_philox([n // 4, t, rng.sample + b, rng.layer], [rng.seed, rng.step])[n % 4]
        assert mask[t, n, b] == (word >= round(rate * 2**32))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_statistics(rate: float) -> None:
    """Means over everything and along each axis, and products of neighbours, within 5 sigma."""
    mask = host_mask(get_backend("numpy"), Rng(1, 2), rate, (50, 64, 40)).astype(float)
    keep, sigma = 1 - rate, np.sqrt(rate * (1 - rate))
    for axes in [(0, 1, 2), (1, 2), (0, 2), (0, 1)]:
        means = mask.mean(axis=axes)
        assert np.all(np.abs(means - keep) <= 5 * sigma / np.sqrt(mask.size / means.size))
    for axis in range(3):
        centred = np.moveaxis(mask, axis, 0) - keep
        covariance = (centred[1:] * centred[:-1]).mean()
        assert abs(covariance) <= 5 * sigma**2 / np.sqrt(centred[1:].size)


def test_rate_is_met_to_32_bits() -> None:
    """The word decides alone: a rate just above it drops the unit, and one at it does not."""
    word = reference_philox([0, 0, 0, 0], [0, 0])[0]
    numpy = get_backend("numpy")
    assert host_mask(numpy, Rng(0, 0), word / 2**32, (1, 1, 1)).all()
    assert not host_mask(numpy, Rng(0, 0), (word + 1) / 2**32, (1, 1, 1)).any()


def test_parts_of_a_batch_keep_their_masks(backend: Backend) -> None:
    rng = Rng(3, 4, layer=1)
    whole = host_mask(backend, rng, 0.5, (5, 7, 6))
    parts = [host_mask(backend, rng._replace(sample=first), 0.5, (5, 7, 2)) for first in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), whole)


def test_longer_wider_and_larger_masks_begin_alike(backend: Backend) -> None:
    small = host_mask(backend, Rng(3, 4), 0.5, (5, 7, 6))
    np.testing.assert_array_equal(host_mask(backend, Rng(3, 4), 0.5, (9, 13, 8))[:5, :7, :6], small)


@pytest.mark.parametrize("other", [{"seed": 4}, {"step": 5}, {"layer": 1}, {"sample": 6}])
def test_every_field_changes_the_mask(other: dict[str, int]) -> None:
    keys = Rng(3, 4), Rng(3, 4)._replace(**other)
    one, two = (host_mask(get_backend("numpy"), key, 0.5, (8, 8, 6)) for key in keys)
    assert abs((one == two).mean() - 0.5) < 5 * 0.5 / np.sqrt(8 * 8 * 6)


def test_empty_shapes(backend: Backend) -> None:
    for shape in [(0, 4, 2), (3, 0, 2), (3, 4, 0)]:
        assert host_mask(backend, Rng(0, 0), 0.5, shape).size == 0


@pytest.mark.parametrize("field", Rng._fields)
def test_fields_out_of_range(field: str) -> None:
    for value in (-1, 2**32):
        match = rf"`rng.{field}` must be an integer of at least 0 and at most 4294967295; got {value}\."
        with pytest.raises(ValueError, match=match):
            keep_mask(Rng(0, 0)._replace(**{field: value}), 0.5, (1, 1, 1), xp=np)
    with pytest.raises(TypeError, match=rf"`rng.{field}` must be an integer .*; got 0\.5\."):
        keep_mask(Rng(0, 0)._replace(**{field: 0.5}), 0.5, (1, 1, 1), xp=np)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rate_out_of_range(rate: float) -> None:
    with pytest.raises(ValueError, match=rf"`rate` must be a finite number >= 0 and < 1; got {rate:g}\."):
        keep_mask(Rng(0, 0), rate, (1, 1, 1), xp=np)
