"""Class names and their indices."""

import numpy as np
import pytest

from rnn_xp.data import Dataset, encode_labels, with_classes


@pytest.mark.parametrize(
    ("y", "indices", "classes"),
    [
        (["b", "a", "b", "c"], [1, 0, 1, 2], ("a", "b", "c")),
        (np.array([3, -1, 10, 3]), [1, 0, 2, 1], ("-1", "3", "10")),
        (["10", "9", "9"], [1, 0, 0], ("9", "10")),
        (["10", "9", "x"], [0, 1, 2], ("10", "9", "x")),
        ([True, False], [1, 0], ("False", "True")),
        (np.array(["b", "a"], dtype=object), [1, 0], ("a", "b")),
        (np.array([["b", "a"], ["a", "a"]]), [[1, 0], [0, 0]], ("a", "b")),
    ],
)
def test_names_become_indices_in_sorted_order(y, indices, classes):
    result, names = encode_labels(y)
    np.testing.assert_array_equal(result, indices)
    assert result.dtype == np.int64
    assert names == classes


def test_known_classes_keep_their_order():
    indices, classes = encode_labels([2, 2, 1], classes=["2", "1", "0"])
    assert indices.tolist() == [0, 0, 1]
    assert classes == ("2", "1", "0")


def test_an_unseen_class_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="`y` must hold only the known classes 'a', 'b'; got 'c', 'd'"):
        encode_labels(["a", "d", "c"], classes=("a", "b"))


@pytest.mark.parametrize("y", [[0.0, 1.0], np.array([1, "a"], dtype=object), np.array([b"a"])])
def test_other_kinds_are_refused(y):
    with pytest.raises(
        TypeError, match="`y` must hold class names: strings, integers or booleans; got dtype"
    ):
        encode_labels(y)


def test_a_data_set_takes_the_classes_of_a_model():
    data = Dataset(np.zeros((3, 1, 1)), np.array([0, 1, 0]), classes=("b", "c"))
    moved = with_classes(data, ("a", "b", "c"))
    assert moved.y.tolist() == [1, 2, 1]
    assert moved.classes == ("a", "b", "c")
    with pytest.raises(ValueError, match="known classes 'a', 'b'; got 'c'"):
        with_classes(data, ("a", "b"))
    with pytest.raises(
        ValueError, match="`dataset` must hold classes, of 'a', 'b'; got numbers or no targets"
    ):
        with_classes(data._replace(classes=None), ("a", "b"))


def test_integers_and_booleans_in_an_array_of_objects():
    indices, classes = encode_labels(np.array([10, np.int64(9), 10], dtype=object))
    assert (indices.tolist(), classes) == ([1, 0, 1], ("9", "10"))
    assert encode_labels(np.array([True, np.False_], dtype=object))[1] == ("False", "True")


def test_masked_and_ragged_labels_are_refused():
    masked = np.ma.MaskedArray([1, 2], [False, True])
    for y in (masked, [masked, masked]):
        with pytest.raises(TypeError, match="`y` must be a plain array; got a masked one"):
            encode_labels(y)
    with pytest.raises(ValueError, match="`y` must be an array; got rows of unequal length"):
        encode_labels([["a"], ["a", "b"]])
