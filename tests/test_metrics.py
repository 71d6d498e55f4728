"""Metrics, by hand."""

import numpy as np
import pytest

from rnn_xp.metrics import accuracy, confusion_matrix, mean_absolute_error, precision_recall

TARGET = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 1, 0, 1, 0, 0])


def test_accuracy():
    assert accuracy(PREDICTED, TARGET) == 0.5
    assert accuracy(["a", "b"], ["a", "a"]) == 0.5
    assert accuracy(PREDICTED, TARGET, mask=TARGET == 0) == pytest.approx(2 / 3)
    assert accuracy([[0, 1], [1, 1]], [[0, 1], [0, 0]], mask=[True, False]) == 1.0
    assert accuracy([[0, 1], [1, 1]], [[0, 1], [0, 0]], mask=[[False, True], [True, True]]) == pytest.approx(
        1 / 3
    )


def test_confusion_matrix_has_the_true_class_in_its_rows():
    np.testing.assert_array_equal(
        confusion_matrix(PREDICTED, TARGET, num_classes=4),
        [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
    )
    np.testing.assert_array_equal(
        confusion_matrix(PREDICTED, TARGET, 3, TARGET > 0), [[0, 0, 0], [1, 1, 0], [1, 0, 0]]
    )
    np.testing.assert_array_equal(confusion_matrix([[0, 1]], [[1, 1]], 2), [[0, 0], [1, 1]])
    narrow = np.array([200], dtype=np.uint8)
    assert confusion_matrix(narrow, narrow, num_classes=201)[200, 200] == 1


def test_precision_and_recall_are_0_where_undefined():
    precision, recall = precision_recall([[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(precision, [1 / 2, 1 / 2, 0, 0])
    np.testing.assert_allclose(recall, [2 / 3, 1 / 2, 0, 0])


def test_mean_absolute_error():
    assert mean_absolute_error([1, 2, -3], [1.5, 2, -1]) == pytest.approx(2.5 / 3)
    predicted = np.arange(8.0).reshape(2, 2, 2)
    padded = np.array([[True, True], [True, False]])
    assert mean_absolute_error(predicted, np.zeros((2, 2, 2)), padded) == pytest.approx(
        (0 + 1 + 2 + 3 + 4 + 5) / 6
    )
    predicted[1, 1] = np.nan
    assert mean_absolute_error(predicted, np.zeros((2, 2, 2)), padded) == pytest.approx(2.5)
    assert mean_absolute_error(np.array([3], dtype=np.uint8), np.array([5], dtype=np.uint8)) == 2.0


METRICS = [accuracy, lambda *a, **k: confusion_matrix(*a, num_classes=3, **k), mean_absolute_error]


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_broadcasts(metric):
    with pytest.raises(
        ValueError, match=r"`predicted` must have the shape of `target`, \(6,\); got \(6, 1\)"
    ):
        metric(PREDICTED[:, np.newaxis], TARGET)
    with pytest.raises(
        ValueError, match=r"`mask` must have the shape of `target`, \(6,\), or begin it; got \(1,\)"
    ):
        metric(PREDICTED, TARGET, mask=[True])
    with pytest.raises(ValueError, match=r"`mask` must have the shape of .*; got \(6, 1\)"):
        metric(PREDICTED, TARGET, mask=np.ones((6, 1), dtype=bool))


@pytest.mark.parametrize("metric", METRICS)
def test_a_mask_is_boolean_and_keeps_something(metric):
    with pytest.raises(TypeError, match="`mask` must hold booleans; got dtype int64"):
        metric(PREDICTED, TARGET, mask=TARGET)
    with pytest.raises(ValueError, match="`target` must hold at least one entry that counts; got none"):
        metric(PREDICTED, TARGET, mask=TARGET > 9)


def test_probabilities_are_no_labels():
    with pytest.raises(
        TypeError, match="`predicted` must hold labels: integers, booleans or strings; got dtype float64"
    ):
        accuracy([0.2, 0.7], [0, 1])
    with pytest.raises(
        TypeError, match="`target` must hold class indices, which are integers; got dtype bool"
    ):
        confusion_matrix([0, 1], [True, False], 2)
    with pytest.raises(TypeError, match="`predicted` must hold numbers; got dtype <U1"):
        mean_absolute_error(["a"], [1.0])


def test_class_indices_stay_in_range():
    with pytest.raises(ValueError, match=r"`target` must hold class indices in 0..1; got 2"):
        confusion_matrix([0, 1], [0, 2], 2)
    with pytest.raises(ValueError, match=r"`predicted` must hold class indices in 0..1; got -1"):
        confusion_matrix([0, -1], [0, 1], 2)
    with pytest.raises(ValueError, match="`num_classes` must be an integer of at least 1; got 0"):
        confusion_matrix([0], [0], 0)


def test_a_confusion_matrix_is_square():
    with pytest.raises(ValueError, match=r"`confusion` must have shape \(K, K\); got \(2, 3\)"):
        precision_recall(np.zeros((2, 3)))


def test_precision_and_recall_of_a_normalised_confusion() -> None:
    precision, recall = precision_recall([[0.2, 0.0], [0.0, 0.8]])
    assert (precision.tolist(), recall.tolist()) == ([1.0, 1.0], [1.0, 1.0])
