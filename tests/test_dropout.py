"""The dropout layer: masks of their own for every step, or one for all of a sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.backend import get_backend
from rnn_xp.layers import Context
from rnn_xp.random import keep_mask

NUMPY = get_backend("numpy", dtype="float64")
KEY = rx.Rng(seed=3, step=4, layer=1, sample=2, time=5)
T, B, N = 6, 5, 7
ONES = np.ones((T, B, N))


def bits(**options: Any) -> np.ndarray:
    """The masks of `keep_mask`, which its own tests hold to the definition, as factors (T, B, N)."""
    return keep_mask(KEY, 0.25, (T, N, B), xp=np, **options).swapaxes(1, 2) / 0.75


class Valid(NamedTuple):
    """What the layer reads of the padding."""

    mask: np.ndarray
    full: int
    times: np.ndarray | None


@pytest.mark.parametrize("variational", [False, True])
def test_masks_are_those_of_the_key(variational: bool) -> None:
    layer = rx.Dropout(0.25, variational=variational)
    y, _, tape = layer.forward((), ONES, rng=KEY)
    expected = np.broadcast_to(bits(same=variational), y.shape)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(layer.backward((), tape, 3.0 * ONES)[1], 3.0 * expected)
    assert (y == y[:1]).all() == variational
    assert len({y[:, b].tobytes() for b in range(B)}) == B


@pytest.mark.parametrize("variational", [False, True])
def test_vectors_have_one_mask(variational: bool) -> None:
    layer = rx.Dropout(0.25, variational=variational)
    y, _, tape = layer.forward((), ONES[0], rng=KEY)
    np.testing.assert_array_equal(y, bits(same=variational)[0])
    np.testing.assert_array_equal(layer.backward((), tape, ONES[0])[1], y)


@pytest.mark.parametrize("variational", [False, True])
def test_masks_go_by_the_times_of_the_steps(variational: bool) -> None:
    times = np.random.RandomState(0).randint(0, T, (T, B))
    layer = rx.Dropout(0.25, variational)
    context = Context(np, Valid(np.ones((T, B), dtype=bool), 0, times), KEY)  # type: ignore[arg-type]
    y, _, kept = layer.run((), ONES, None, context)
    np.testing.assert_array_equal(y, np.broadcast_to(bits(times=times, same=variational), y.shape))
    np.testing.assert_array_equal(layer.run_back((), kept, ONES, None, True, xp=np)[1], y)
    vectors = layer.run((), ONES[0], None, context)[0]  # a vector belongs to no step
    np.testing.assert_array_equal(vectors, bits(same=variational)[0])


@pytest.mark.parametrize("variational", [False, True])
def test_without_a_key_or_a_rate_nothing_is_dropped(variational: bool) -> None:
    x = np.random.RandomState(0).standard_normal((T, B, N))
    for rate, rng in ((0.25, None), (0.0, KEY)):
        y, _, tape = rx.Dropout(rate, variational).forward((), x, rng=rng)
        np.testing.assert_array_equal(y, x)
        assert not np.shares_memory(y, x)
        np.testing.assert_array_equal(rx.Dropout(rate, variational).backward((), tape, ONES)[1], ONES)


@pytest.mark.parametrize("variational", [False, True])
def test_padding_is_zero_and_leaves_the_masks(variational: bool) -> None:
    layer, ends = rx.Dropout(0.25, variational), [6, 2, 0, 5, 3]
    x = np.where(np.arange(T)[:, None, None] < np.array(ends)[None, :, None], 2.0 * ONES, np.nan)
    y, _, tape = layer.forward((), x, lengths=ends, rng=KEY)
    expected = np.where(np.isnan(x), 0.0, 2.0 * bits(same=variational))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(layer.backward((), tape, x)[1], expected)


def test_its_words() -> None:
    assert repr(rx.Dropout(0.5)) == "Dropout(0.5)"
    assert repr(rx.Dropout(0.5, variational=True)) == "Dropout(0.5, variational=True)"
    assert rx.Dropout(0.5, True).config() == {"type": "Dropout", "rate": 0.5, "variational": True}
    assert rx.Dropout(0.5) != rx.Dropout(0.5, True)
    with pytest.raises(ValueError, match=r"`variational` must be one of True, False; got 'yes'\."):
        rx.Dropout(0.5, variational="yes")  # type: ignore[arg-type]
