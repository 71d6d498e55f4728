"""From any mask to right-padded sequences, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_xp.data import compact, scatter

MASKS = {
    "right": [[1, 1, 0, 0], [1, 1, 1, 0]],
    "left": [[0, 0, 1, 1], [0, 1, 1, 1]],
    "interior": [[1, 0, 0, 1], [0, 1, 0, 1]],
    "an empty row": [[0, 0, 0, 0], [0, 1, 0, 1]],
    "all": [[1, 1, 1, 1], [1, 1, 1, 1]],
    "nothing": [[0, 0, 0, 0], [0, 0, 0, 0]],
}


def by_hand(X, mask):
    """Return the lists of valid steps, row by row."""
    return [[x for x, valid in zip(*row, strict=True) if valid] for row in zip(X, mask, strict=True)]


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("channels", [(), (3,), (3, 2)])
def test_valid_steps_move_to_the_front_and_back(mask, channels):
    mask = np.array(mask, dtype=bool)
    X = np.random.default_rng(0).normal(size=(2, 4, *channels)).astype(np.float32)
    moved, lengths = compact(X, mask)
    rows = by_hand(X.tolist(), mask)
    assert lengths.tolist() == [len(row) for row in rows]
    assert moved.shape == (2, max(lengths), *channels)
    assert (moved.dtype, lengths.dtype) == (np.float32, np.int64)
    for row, kept in zip(moved, rows, strict=True):
        assert row[: len(kept)].tolist() == kept
        assert not row[len(kept) :].any()
    back = scatter(moved, mask)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, np.where(mask.reshape(2, 4, *(1 for _ in channels)), X, 0))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(0, 7))
def test_any_mask_at_all(seed, batch, steps):
    rng = np.random.default_rng(seed)
    mask = rng.random((batch, steps)) < rng.random()
    X = rng.integers(1, 100, (batch, steps))
    moved, lengths = compact(X, mask)
    rows = by_hand(X.tolist(), mask)
    assert moved.tolist() == [row + [0] * (max(map(len, rows)) - len(row)) for row in rows]
    assert lengths.tolist() == [len(row) for row in rows]
    assert scatter(moved, mask).tolist() == (X * mask).tolist()


def test_what_is_not_valid_is_never_read():
    X = np.array([[np.nan, 1.0, np.inf, 2.0]])
    assert compact(X, [[False, True, False, True]])[0].tolist() == [[1.0, 2.0]]
    assert scatter([[1.0, 2.0, np.nan]], [[False, True, False, True]]).tolist() == [[0.0, 1.0, 0.0, 2.0]]


def test_the_results_are_copies():
    X, mask = np.ones((2, 3)), np.ones((2, 3), dtype=bool)
    assert not np.shares_memory(compact(X, mask)[0], X)
    assert not np.shares_memory(scatter(X, mask), X)


@pytest.mark.parametrize("function", [compact, scatter])
@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ([[1, 0, 1], [1, 1, 1]], TypeError, "`mask` must hold True and False; got dtype int64. From numbers"),
        ([True, False], ValueError, r"`mask` must have shape \(N, T\); got \(2,\)"),
        ([[True], [True, False]], ValueError, "`mask` must be an array; got rows of unequal length"),
        (np.ma.ones((2, 3), dtype=bool), TypeError, "`mask` must be a plain array; got a masked one"),
    ],
)
def test_a_mask_that_is_none(function, mask, error, words):
    with pytest.raises(error, match=words):
        function(np.zeros((2, 3)), mask)


def test_shapes_that_do_not_belong_together():
    mask = np.array([[True, True, False], [True, False, False]])
    for X in (np.zeros((2, 4)), np.zeros(2), np.zeros((3, 2))):
        with pytest.raises(
            ValueError, match=r"`X` must have shape \(N, T, ...\) with the mask's N, T = \(2, 3\)"
        ):
            compact(X, mask)
    for Y in (np.zeros((2, 1)), np.zeros(2), np.zeros((3, 2))):
        with pytest.raises(ValueError, match=r"`Y` must have shape \(N, T', ...\) with N = 2 and T' >= 2"):
            scatter(Y, mask)
    with pytest.raises(TypeError, match="`X` must be a plain array; got a masked one"):
        compact(np.ma.zeros((2, 3)), mask)
    with pytest.raises(TypeError, match="`Y` must be a plain array; got a masked one"):
        scatter(np.ma.zeros((2, 3)), mask)
