"""What needs the aeon package: .ts files, and JapaneseVowels from its wheel."""

import numpy as np
import pytest

from rnn_xp.data import japanese_vowels, load, pickup_gesture, plaid

HEADER = """@problemName made
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength {equal}
{target}
@data
"""
CLASSES = "@classLabel true down up"


@pytest.fixture
def ts(tmp_path):
    def write(rows, target=CLASSES, equal="false"):
        path = tmp_path / "data.ts"
        path.write_text(HEADER.format(target=target, equal=equal) + rows)
        return path

    return write


def test_sequences_of_unequal_length(ts):
    data = load(ts("1,2,3:4,5,6:up\n7,8:9,10:down\n"))
    np.testing.assert_array_equal(data.X, [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10], [0, 0]]])
    assert data.X.flags.c_contiguous
    assert data.lengths.tolist() == [3, 2]
    assert data.y.tolist() == [1, 0]
    assert (data.classes, data.features) == (("down", "up"), ("x0", "x1"))


def test_sequences_of_equal_length(ts):
    data = load(ts("1,2:3,4:up\n5,6:7,8:down\n", equal="true\n@seriesLength 2"))
    np.testing.assert_array_equal(data.X, [[[1, 3], [2, 4]], [[5, 7], [6, 8]]])
    assert data.lengths is None


def test_targets_that_are_numbers(ts):
    data = load(ts("1,2:3,4:1.5\n5:7:2\n", target="@targetLabel true"))
    assert (data.y.tolist(), data.y.dtype, data.classes) == ([1.5, 2.0], np.float64, None)
    forced = load(ts("1,2:3,4:10\n5:7:9\n", target="@classLabel true 9 10"), task="regression")
    assert forced.y.tolist() == [10.0, 9.0]


def test_no_targets(ts):
    data = load(ts("1,2:3,4\n5:7\n", target="@classLabel false"))
    assert (data.y, data.classes, data.lengths.tolist()) == (None, None, [2, 1])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "there must be at least one sequence after a line '@data'; got none"),
        ("1,oops:2,3:up\n", "the file cannot be read as .ts: could not convert string to float: 'oops'"),
        ("1,2:3:up\n", "the file cannot be read as .ts: .*different number of observations"),
    ],
)
def test_bad_files(ts, rows, words):
    with pytest.raises(ValueError, match=rf"data\.ts: {words}"):
        load(ts(rows))


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "data.ts"
    path.write_bytes(b"\x00\xff\x80")
    with pytest.raises(
        ValueError, match=r"data\.ts: the file cannot be read as \.ts: 'utf-8' codec can't decode"
    ):
        load(path)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        pytest.fail("the task must not need the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


def check_padding(part):
    past_the_end = np.arange(part.X.shape[1]) >= part.lengths[:, np.newaxis]
    assert not part.X[past_the_end].any()
    assert np.isfinite(part.X).all()


@pytest.mark.usefixtures("no_network")
def test_japanese_vowels():
    train, test = japanese_vowels()
    assert (train.X.shape, test.X.shape) == ((270, 26, 12), (370, 29, 12))
    assert (train.lengths.min(), train.lengths.max(), test.lengths.min(), test.lengths.max()) == (
        7,
        26,
        7,
        29,
    )
    assert train.classes == test.classes == tuple("123456789")
    # As the archive describes it: 30 utterances of each speaker to train on, 24 to 88 to test on.
    assert np.bincount(train.y).tolist() == [30] * 9
    assert np.bincount(test.y).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert train.X[0, :3, 0].tolist() == [1.860936, 1.891651, 1.939205]
    for part in (train, test):
        check_padding(part)


@pytest.mark.usefixtures("no_network")
def test_pickup_gesture():
    train, test = pickup_gesture()
    assert (train.X.shape, test.X.shape) == ((50, 361, 1), (50, 324, 1))
    assert (train.lengths.min(), train.lengths.max(), test.lengths.min(), test.lengths.max()) == (
        29,
        361,
        37,
        324,
    )
    assert train.classes == test.classes == tuple(str(number) for number in range(1, 11))
    for part in (train, test):  # as the archive describes it: five recordings of each gesture
        assert np.bincount(part.y).tolist() == [5] * 10
        check_padding(part)
    assert test.X[0, 6:9, 0].tolist() == [0.885, 0.846, 0.846]


@pytest.mark.usefixtures("no_network")
def test_plaid():
    pytest.importorskip("sktime")
    train, test = plaid()
    assert (train.X.shape, test.X.shape) == ((537, 1344, 1), (537, 1000, 1))
    assert (train.lengths.min(), train.lengths.max(), test.lengths.min(), test.lengths.max()) == (
        100,
        1344,
        134,
        1000,
    )
    assert train.classes == test.classes == tuple(str(number) for number in range(11))
    assert train.X[0, :3, 0].tolist() == [0.17339, 0.13045, 0.13499]
    for part in (train, test):
        check_padding(part)
