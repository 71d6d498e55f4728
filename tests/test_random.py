"""Philox against its published answers, and what dropout masks must keep."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
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
    return get_backend(request.param, device=DEVICES[request.param], dtype="float64")


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


def host_mask(
    backend: Backend,
    rng: Rng,
    rate: float,
    shape: tuple[int, int, int],
    times: np.ndarray | None = None,
    same: bool = False,
) -> np.ndarray:
    given = None if times is None else backend.asarray(times, dtype=backend.xp.int64)
    mask = keep_mask(rng, rate, shape, xp=backend.xp, device=backend.device, times=given, same=same)
    assert mask.dtype == backend.xp.bool
    assert mask.device == backend.device
    assert tuple(mask.shape) == ((1, *shape[1:]) if same else shape)
    if given is not None:
        np.testing.assert_array_equal(backend.to_numpy(given), times)
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


def test_a_million_words(backend: Backend) -> None:
    """Pinned from the plain integers above, and from a program in C; all bits of the counters are in use."""
    numbers, key = np.arange(100), (0xDEADBEEF, 0x12345678)
    places = (2**32 - 1 - numbers[:25], 40_000_000 * numbers, 2**31 - 50 + numbers, np.array([3]))
    axes = ((25, 1, 1), (1, 100, 1), (1, 1, 100), (1, 1, 1))
    counter = tuple(backend.asarray(p.reshape(shape)) for p, shape in zip(places, axes, strict=True))
    words = np.stack([backend.to_numpy(word) for word in philox(counter, key)], axis=-1)
    for a, b, c in np.random.RandomState(0).randint(0, 25, (100, 3)).tolist():
        expected = reference_philox([int(p[i]) for p, i in zip(places, (a, b, c, 0), strict=True)], list(key))
        assert words[a, b, c].tolist() == expected
    assert words.size == 10**6
    digest = hashlib.sha256(words.astype("<u4").tobytes()).hexdigest()
    assert digest == "5c1728ad1b2d0d5d0f6994666fba32f8be4bb16bd7da8f658d635239ca64746b"


@pytest.mark.parametrize(
    ("rate", "kept", "digest"),
    [
        (0.1, 900_080, "24e672d3f0b51abcd76ea9a8f545c3ee1a888ab95de394190549f67035efd2a8"),
        (0.5, 501_220, "4245715e9354dfe1bad4460523189294817bf72f0a1f8abcfd8f2f4bb654913f"),
        (0.9, 100_134, "29ad886367e7ff77b4c87e7cbe42ca24675fbad2d4455651b83577a7d7788b8f"),
    ],
)
def test_a_million_units(backend: Backend, rate: float, kept: int, digest: str) -> None:
    """Pinned from plain integers: how many are kept, and which."""
    mask = host_mask(backend, Rng(seed=2**32 - 1, step=7, layer=3, sample=11), rate, (50, 100, 200))
    assert int(mask.sum()) == kept
    assert hashlib.sha256(np.packbits(mask).tobytes()).hexdigest() == digest


def test_short_axes_broadcast() -> None:
    a, b, c, d = np.arange(3)[:, None, None], np.arange(4)[:, None], np.arange(5), np.full((1, 1, 1), 7)
    short = philox((a, b, c, d), (1, 2))
    full = philox(tuple(np.ascontiguousarray(word) for word in np.broadcast_arrays(a, b, c, d)), (1, 2))
    np.testing.assert_array_equal(short, full)


@pytest.mark.parametrize("rate", [0.0, 2**-32, 0.3, 0.5, 1 - 2**-32])
def test_mask_is_the_documented_function(backend: Backend, rate: float) -> None:
    """Element (t, n, b) compares word n % 4 of counter (n // 4, t, sample + b, layer) with the rate."""
    rng, (T, N, B) = Rng(seed=2**32 - 1, step=5, layer=3, sample=11), (3, 6, 2)
    mask = host_mask(backend, rng, rate, (T, N, B))
    for t, n, b in itertools.product(range(T), range(N), range(B)):
        word = reference_philox([n // 4, t, rng.sample + b, rng.layer], [rng.seed, rng.step])[n % 4]
        assert mask[t, n, b] == (word >= round(rate * 2**32))


TIMES = np.random.RandomState(0).randint(0, 5, (5, 3))


@pytest.mark.parametrize("time", [0, 4, 2**32 - 5])
@pytest.mark.parametrize(
    ("options", "clock"),
    [
        ({}, lambda t, b, time: time + t),
        ({"times": TIMES}, lambda t, b, time: time + TIMES[t, b]),
        ({"same": True}, lambda t, b, time: 0),
        ({"same": True, "times": TIMES}, lambda t, b, time: 0),
    ],
    ids=["place", "times", "same", "same for all times"],
)
def test_mask_at_other_times(backend: Backend, options: dict[str, Any], clock: Any, time: int) -> None:
    """The counter's time is the step's own place or `times`, after those of `rng`; or 0."""
    rng, (T, N, B) = Rng(seed=9, step=5, layer=3, sample=11, time=time), (5, 6, 3)
    mask = host_mask(backend, rng, 0.5, (T, N, B), **options)
    for t, n, b in itertools.product(range(mask.shape[0]), range(N), range(B)):
        word = reference_philox([n // 4, int(clock(t, b, time)), rng.sample + b, rng.layer], [9, 5])[n % 4]
        assert mask[t, n, b] == (word >= 2**31)


def test_parts_of_a_sequence_keep_their_masks(backend: Backend) -> None:
    whole = host_mask(backend, Rng(3, 4), 0.5, (6, 7, 2))
    parts = [host_mask(backend, Rng(3, 4, time=first), 0.5, (2, 7, 2)) for first in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


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


@pytest.mark.parametrize("other", [{"seed": 4}, {"step": 5}, {"layer": 1}, {"sample": 6}, {"time": 8}])
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


def test_samples_and_times_past_the_last_counter() -> None:
    most = r"must be .* at most 4294967296; got 4294967297\."
    with pytest.raises(ValueError, match=r"`rng.sample \+ B` " + most):
        keep_mask(Rng(0, 0, sample=2**32 - 1), 0.5, (1, 1, 2), xp=np)
    with pytest.raises(ValueError, match=r"`rng.time \+ T` " + most):
        keep_mask(Rng(0, 0, time=2**32 - 1), 0.5, (2, 1, 1), xp=np)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rate_out_of_range(rate: float) -> None:
    with pytest.raises(ValueError, match=rf"`rate` must be a finite number >= 0 and < 1; got {rate:g}\."):
        keep_mask(Rng(0, 0), rate, (1, 1, 1), xp=np)


# What masks survive, in a model that draws five of them: each zero in y is a unit that the last one dropped,
# and every other number depends on all of them.

MODEL = rx.Sequential(
    rx.Dropout(0.2),
    rx.LSTM(3, 6, 3, bidirectional=True, dropout=0.4),
    rx.Dropout(0.5),
    rx.GRU(12, 5),
    rx.Dropout(0.3),
)
KEY = Rng(seed=8, step=3)
INPUT = np.random.RandomState(0).standard_normal((6, 5, 3))
ENDS = [6, 2, 0, 5, 3]


def outputs(
    backend: Backend, x: np.ndarray, lengths: list[int] | None, rng: Rng = KEY, model: Any = MODEL
) -> np.ndarray:
    params = model.init(backend, seed=1)
    return backend.to_numpy(model.forward(params, backend.asarray(x), lengths=lengths, rng=rng)[0])


def assert_same_masks(actual: np.ndarray, expected: np.ndarray) -> None:
    """Other shapes may change the rounding of a product; another mask would change the first digit."""
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual == 0, expected == 0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_each_of_the_masks_matters(backend: Backend) -> None:
    """If it did not, the tests below could not fail."""
    assert MODEL.streams == 5
    params = MODEL.init(backend, seed=1)
    x = backend.asarray(INPUT)
    y = outputs(backend, INPUT, None)
    for number, layer in enumerate(MODEL.layers):
        if layer.streams:
            less = [
                rx.Dropout(0.0) if isinstance(layer, rx.Dropout) else rx.LSTM(3, 6, 3, bidirectional=True)
            ]
            model = rx.Sequential(*MODEL.layers[:number], *less, *MODEL.layers[number + 1 :])
            other = backend.to_numpy(model.forward(params, x, rng=KEY)[0])
            assert np.abs(other - y).max() > 1e-3


@pytest.mark.parametrize("more", [0, 1, 4])
def test_masks_survive_padding(backend: Backend, more: int) -> None:
    longer = np.concatenate([INPUT, np.full((more, 5, 3), np.nan)])
    y = outputs(backend, longer, ENDS)
    for sample, end in enumerate(ENDS):
        alone = outputs(backend, INPUT[:, sample : sample + 1], [end], KEY._replace(sample=sample))
        assert_same_masks(y[: len(INPUT), sample : sample + 1], alone)
        assert not y[end:, sample].any()


def test_masks_survive_the_lengths_of_others(backend: Backend) -> None:
    one, other = (outputs(backend, INPUT, [6, *rest]) for rest in (ENDS[1:], [1, 6, 6, 4]))
    assert_same_masks(one[:, 0], other[:, 0])


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_masks_survive_the_splitting_of_a_batch(backend: Backend, cut: int) -> None:
    parts = [
        outputs(backend, INPUT[:, part], ENDS[part], KEY._replace(sample=part.start))
        for part in (slice(0, cut), slice(cut, 5))
    ]
    assert_same_masks(np.concatenate(parts, axis=1), outputs(backend, INPUT, ENDS))


def test_masks_survive_more_layers(backend: Backend) -> None:
    """Those between the first layers are what they were; the state of each layer tells."""
    deep, deeper = (rx.LSTM(3, 6, layers, bidirectional=True, dropout=0.4) for layers in (3, 5))
    params = deeper.init(backend, seed=1)
    x = backend.asarray(INPUT)
    few = deep.forward(params[:6], x, lengths=ENDS, rng=KEY)[1]
    many = deeper.forward(params, x, lengths=ENDS, rng=KEY)[1]
    for one, other in zip(few, many, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other)[:6])


def test_training_with_dropout_is_the_same_on_every_library(backend: Backend) -> None:
    """To the bit where NumPy computes underneath; elsewhere to rounding, and the masks to the bit."""
    model = rx.Sequential(*MODEL.layers, rx.LastStep(), rx.Linear(5, 2))
    X, y = INPUT.swapaxes(0, 1), np.arange(5) % 2
    options: dict[str, Any] = {"lengths": [max(1, end) for end in ENDS], "epochs": 6, "batch_size": 2}
    numpy = get_backend("numpy", dtype="float64")
    ours, theirs = (
        rx.fit(model, X, y, optimizer=rx.Adam(0.05), backend=each, verbose=False, **options)
        for each in (backend, numpy)
    )
    exact = backend.name != "torch"
    for name in ("loss", "gradient_norm"):
        came, expected = ([record[name] for record in result.history] for result in (ours, theirs))
        assert len(set(came)) == 6
        assert came == (expected if exact else pytest.approx(expected, rel=1e-9))
    for one, other in zip(tree.leaves(ours.params), tree.leaves(theirs.params), strict=True):
        np.testing.assert_allclose(backend.to_numpy(one), other, rtol=0, atol=0 if exact else 1e-9)
    for step in range(6):
        assert_same_masks(*[outputs(each, INPUT, ENDS, Rng(0, step)) for each in (backend, numpy)])
