"""Padding, layouts, the first bad value, scaling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_xp.data import Dataset, check_finite, fit_scaling, pad, to_time_major, valid_steps, with_features


def test_pad_puts_zeros_past_each_end():
    X, lengths = pad([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])])
    np.testing.assert_array_equal(X, [[[1, 2], [0, 0]], [[3, 4], [5, 6]]])
    np.testing.assert_array_equal(lengths, [1, 2])
    assert (X.dtype, lengths.dtype) == (np.float64, np.int64)


def test_pad_takes_one_dimensional_floats_as_one_channel():
    X, lengths = pad([[1.5], [2.5, 3.5]])
    np.testing.assert_array_equal(X, [[[1.5], [0.0]], [[2.5], [3.5]]])
    assert lengths.tolist() == [1, 2]


def test_pad_takes_one_dimensional_integers_as_tokens():
    X, lengths = pad([np.array([7, 8, 9], dtype=np.uint8), [5]])
    np.testing.assert_array_equal(X, [[7, 8, 9], [5, 0, 0]])
    assert X.dtype == np.int64
    assert lengths.tolist() == [3, 1]


def test_pad_keeps_an_empty_sequence():
    X, lengths = pad([np.empty((0, 1)), np.ones((2, 1))])
    np.testing.assert_array_equal(X, [[[0], [0]], [[1], [1]]])
    assert lengths.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("sequences", "error", "words"),
    [
        ([], ValueError, "`sequences` must hold at least one sequence; got none"),
        (
            [np.zeros((2, 3)), np.zeros((2, 4))],
            ValueError,
            r"got \(2, 3\) at index 0 and \(2, 4\) at index 1",
        ),
        ([np.zeros((2, 3)), np.zeros(2)], ValueError, r"with one C, or all \(T_i,\); got .* at index 1"),
        ([np.zeros((2, 3, 4))], ValueError, r"got \(2, 3, 4\) at index 0"),
        (
            [np.zeros(2), [[1.0, 2.0], [3.0]]],
            ValueError,
            r"`sequences\[1\]` must be an array; got rows of unequal",
        ),
        ([["a", "b"]], TypeError, r"`sequences\[0\]` must hold real numbers; got dtype <U1"),
        ([np.ma.zeros(3)], TypeError, r"`sequences\[0\]` must be a plain array; got a masked one"),
    ],
)
def test_pad_refuses(sequences, error, words):
    with pytest.raises(error, match=words):
        pad(sequences)


@pytest.mark.parametrize(("layout", "shape"), [("NTC", (2, 3, 4)), ("TNC", (3, 2, 4)), ("NCT", (2, 4, 3))])
def test_layouts_name_the_axes(layout, shape):
    X = np.arange(24.0).reshape(shape)
    result = to_time_major("X", X, layout)
    assert result.shape == (3, 2, 4)
    t, n, c = 2, 1, 3
    assert result[t, n, c] == X[tuple({"N": n, "T": t, "C": c}[axis] for axis in layout)]


def test_tokens_have_no_channels():
    tokens = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(to_time_major("X", tokens, "NTC"), [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(to_time_major("X", tokens, "TNC"), tokens)


@pytest.mark.parametrize(
    ("X", "layout", "error", "words"),
    [
        (np.zeros((2, 3, 4)), "TCN", ValueError, "`layout` must be one of 'NTC', 'TNC', 'NCT'; got 'TCN'"),
        (
            np.zeros((2, 3)),
            "NTC",
            ValueError,
            r"`X` must have three axes, N, T, C \(`layout`\).* float64 of shape \(2, 3\)",
        ),
        (np.zeros(2), "TNC", ValueError, r"three axes, T, N, C .* got float64 of shape \(2,\)"),
        (np.zeros((2, 3, 4, 5)), "NTC", ValueError, r"of shape \(2, 3, 4, 5\)"),
        (
            np.zeros((2, 3), dtype=int),
            "NCT",
            ValueError,
            '`layout` must be "NTC" or "TNC" for tokens.*got \'NCT\'',
        ),
        (
            np.zeros((2, 3, 4), dtype=complex),
            "NTC",
            TypeError,
            "`X` must hold real numbers; got dtype complex128",
        ),
        (np.array([[["a"]]]), "NTC", TypeError, "`X` must hold real numbers; got dtype <U1"),
        (np.ma.zeros((2, 3, 4)), "NTC", TypeError, "`X` must be a plain array; got a masked one"),
    ],
)
def test_to_time_major_refuses(X, layout, error, words):
    with pytest.raises(error, match=words):
        to_time_major("X", X, layout)


def test_valid_steps():
    np.testing.assert_array_equal(valid_steps(2, 3, [0, 1, 2]), [[False, True, True], [False, False, True]])
    assert valid_steps(2, 3, None).all()
    with pytest.raises(ValueError, match=r"`lengths` must lie in 0..T with T = 2; got 3 at index 1"):
        valid_steps(2, 3, [0, 3, 2])


def test_check_finite_names_the_first_sample_then_step_then_feature():
    X = np.zeros((9, 5, 3))
    X[5, 3, 2] = np.nan
    X[6, 3, 0] = np.inf
    X[0, 4, 0] = np.nan
    words = r"`X` holds nan at sample 3, step 5, feature 2; every valid step must be finite \(3 value"
    with pytest.raises(ValueError, match=words):
        check_finite("X", X)
    X[5, 3, 2] = 0
    with pytest.raises(ValueError, match="`rows` holds inf at sample 3, step 6, feature 0"):
        check_finite("rows", X)


def test_check_finite_lets_padding_hold_anything():
    X = np.zeros((4, 2, 1))
    X[2:, 1] = np.nan
    check_finite("X", X, [4, 2])
    with pytest.raises(ValueError, match="sample 1, step 2, feature 0"):
        check_finite("X", X, [4, 3])


def test_check_finite_of_targets_and_tokens_has_no_feature():
    with pytest.raises(ValueError, match="`y` holds nan at sample 1, step 0; every"):
        check_finite("y", np.array([[0.0, np.nan]]))
    check_finite("tokens", np.zeros((3, 2), dtype=np.int64), [1, 2])


def test_scaling_counts_valid_steps_alone():
    X = np.array([[[1.0, 10.0], [3.0, 10.0]], [[5.0, 10.0], [np.nan, np.inf]]])  # (T, N, C)
    scaling = fit_scaling(X, [2, 1])
    np.testing.assert_allclose(scaling.mean, [3, 10])
    np.testing.assert_allclose(scaling.std, [np.sqrt(8 / 3), 1])
    np.testing.assert_allclose(scaling.apply(X[1, 0]), [2 / np.sqrt(8 / 3), 0])


def test_scaling_does_not_blow_up_the_rounding_of_a_constant():
    X = np.full((1000, 1, 1), 0.1)
    assert X.std() > 0  # the rounding that this is about
    scaling = fit_scaling(X)
    assert scaling.std[0] == 1
    assert abs(scaling.apply(X)).max() < 1e-15


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 7), st.integers(1, 3))
def test_scaled_data_has_mean_zero_and_deviation_one(seed, batch, steps, channels):
    rng = np.random.default_rng(seed)
    X = rng.normal(5, 3, (steps, batch, channels))
    lengths = rng.integers(1, steps + 1, batch)
    scaled = fit_scaling(X, lengths).apply(X)
    kept = np.concatenate([scaled[:length, n] for n, length in enumerate(lengths)])
    np.testing.assert_allclose(kept.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(kept.std(axis=0), 0.0 if len(kept) == 1 else 1.0, atol=1e-9)


def test_scaling_refuses():
    with pytest.raises(ValueError, match=r"`X` must have shape \(T, N, C\); got \(3, 2\)"):
        fit_scaling(np.zeros((3, 2)))
    with pytest.raises(
        ValueError, match=r"`X` must hold at least one valid step .* got shape \(3, 2, 1\) with none"
    ):
        fit_scaling(np.zeros((3, 2, 1)), [0, 0])
    with pytest.raises(
        ValueError, match=r"`X` must have shape \(..., C\) with C = 2, as in training; got \(4, 1\)"
    ):
        fit_scaling(np.ones((3, 2, 2))).apply(np.ones((4, 1)))


def test_a_dataset_needs_only_its_sequences():
    data = Dataset(np.zeros((1, 2, 3)))
    assert data[1:] == (None, None, None, ())


def test_a_spread_that_overflows_is_refused():
    X = np.array([[[1.0, 1e200]], [[2.0, -1e200]]])
    with pytest.raises(ValueError, match="column channel 1: the spread of its values overflows"):
        fit_scaling(X)
    with pytest.raises(ValueError, match="column b: the spread of its values overflows"):
        fit_scaling(X, features=("a", "b"))


def test_a_ragged_sequence_is_refused():
    with pytest.raises(ValueError, match=r"`sequences\[1\]` must be an array; got rows of unequal length"):
        pad([[[1.0]], [[1.0], [1.0, 2.0]]])


def test_channels_are_matched_by_name():
    data = Dataset(np.arange(6.0).reshape(1, 2, 3), features=("c", "a", "b"))
    turned = with_features(data, ["a", "b", "c"])
    assert turned.X.tolist() == [[[1, 2, 0], [4, 5, 3]]]
    assert turned.features == ("a", "b", "c")
    assert with_features(data, data.features) is data
    with pytest.raises(ValueError, match="`dataset` must hold the features 'a', 'b'; got 'c', 'a', 'b'"):
        with_features(data, ("a", "b"))
