"""The data sets that come with the package; JapaneseVowels itself is tested where aeon is installed."""

import sys

import numpy as np
import pytest

from rnn_xp.data import japanese_vowels, pickup_gesture, plaid, sign_of_sum


def test_sign_of_sum_is_the_tutorials_data():
    data = sign_of_sum()
    assert data.X.shape == (1000, 10, 1)
    assert [data.classes[label] for label in data.y] == [
        "positive" if sum(sequence) > 0 else "negative" for sequence in data.X[:, :, 0].tolist()
    ]
    assert data.lengths is None
    np.testing.assert_array_equal(data.X[0, :, 0], np.random.default_rng([0, 3]).standard_normal(10))
    # 10,000 draws: the mean is within 4 / sqrt(10,000), the variance within 4 sqrt(2 / 10,000).
    assert abs(data.X.mean()) < 0.04
    assert abs(data.X.var() - 1) < 0.06


def test_sign_of_sum_follows_its_seed():
    np.testing.assert_array_equal(sign_of_sum(5, 3, seed=4).X, sign_of_sum(5, 3, seed=4).X)
    assert (sign_of_sum(5, 3, seed=4).X != sign_of_sum(5, 3, seed=5).X).all()


@pytest.mark.parametrize("argument", ["n", "length"])
def test_sign_of_sum_refuses_nothing_at_all(argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be an integer of at least 1; got 0"):
        sign_of_sum(**{argument: 0})


@pytest.mark.parametrize("task", [japanese_vowels, pickup_gesture, plaid])
def test_a_recorded_task_without_aeon_says_how_to_get_it(task, monkeypatch):
    monkeypatch.setitem(sys.modules, "aeon", None)
    words = rf'The task {task.__name__} needs the aeon package.* pip install "rnn-xp\[aeon\]"'
    with pytest.raises(ValueError, match=words):
        task()


def test_plaid_without_sktime_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "aeon", pytest)  # any package will do: it is not asked for anything
    monkeypatch.setitem(sys.modules, "sktime", None)
    words = "The task plaid needs the sktime package; install it with: pip install sktime"
    with pytest.raises(ValueError, match=words):
        plaid()
