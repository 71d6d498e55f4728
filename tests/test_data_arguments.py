"""What every public function of `rnn_xp.data` says of arguments of the wrong kind or value."""

import re
from pathlib import Path

import numpy as np
import pytest

from rnn_xp import data

TWO = data.Dataset(np.zeros((2, 3, 1)), np.array([0, 1]), None, ("x", "y"), ("f",))
KNOWN = data.Vocabulary(("a", "b"))
MASKED = np.ma.zeros((2, 3))
TEXT = np.array([[["a"]]])


def case(function, *arguments, says, error=TypeError, **options):
    name = getattr(function, "__name__", type(function).__name__)
    return pytest.param(function, arguments, options, error, says, id=f"{name}: {says[:60]}")


CASES = [
    case(data.load, None, says="`path` must be a path, as text or a pathlib.Path; got None."),
    case(data.load, b"x.npz", says="`path` must be a path, as text or a pathlib.Path; got b'x.npz'."),
    case(data.load, "x.npz", id=3, says="`id` must be a string; got 3."),
    case(data.load, "x.npz", time=None, says="`time` must be a string; got None."),
    case(data.load, "x.npz", target=b"y", says="`target` must be a string; got b'y'."),
    case(
        data.load,
        "x.npz",
        layout=None,
        error=ValueError,
        says="`layout` must be one of 'NTC', 'TNC', 'NCT'; got None.",
    ),
    case(data.load, "x.npz", task="guess", error=ValueError, says="`task` must be one of None, 'classif"),
    case(data.load, "x.npz", per_step=1, says="`per_step` must be True or False; got 1."),
    case(data.load, "x.txt", error=ValueError, says="must end in .npz, .csv or .ts; got '.txt'."),
    case(data.load, "none.npz", error=FileNotFoundError, says="none.npz"),
    case(data.encode_labels, [1.0], says="`y` must hold class names: strings, integers or booleans; got"),
    case(data.encode_labels, None, says="`y` must hold class names"),
    case(data.encode_labels, ["a"], "ab", says="`classes` must be a sequence of strings; got 'ab'."),
    case(data.encode_labels, ["a"], 3, says="`classes` must be a sequence of strings; got 3."),
    case(data.encode_labels, ["a"], ["a", 1], says="`classes` must be a sequence of strings; got 1 among"),
    case(
        data.encode_labels,
        ["a"],
        ["b", "a", "a"],
        error=ValueError,
        says="`classes` must be different strings; got 'a' twice.",
    ),
    case(data.with_classes, None, ("a",), says="`dataset` must be a Dataset; got NoneType."),
    case(data.with_classes, TWO, "xy", says="`classes` must be a sequence of strings; got 'xy'."),
    case(data.with_features, TWO.X, ("a",), says="`dataset` must be a Dataset; got ndarray."),
    case(data.with_features, TWO, None, says="`features` must be a sequence of strings; got None."),
    case(data.with_features, TWO, ("f", "f"), error=ValueError, says="`features` must be different strings"),
    case(data.pad, None, says="`sequences` must be a list of arrays (T_i, C); got None."),
    case(data.pad, [[1], [[2]]], error=ValueError, says="got (1,) at index 0 and (1, 1) at index 1."),
    case(data.pad, [[1], None], says="`sequences[1]` must hold real numbers; got dtype object."),
    case(
        data.pad,
        [[1], np.array([2**63], dtype=np.uint64)],
        error=ValueError,
        says="`sequences[1]` must hold tokens of at most 63 bits; got 9223372036854775808.",
    ),
    case(data.to_time_major, "X", None, "NTC", says="`X` must hold real numbers; got dtype object."),
    case(data.to_time_major, "X", MASKED, "NTC", says="`X` must be a plain array; got a masked one."),
    case(data.to_time_major, "X", TWO.X, ["N"], error=ValueError, says="`layout` must be one of"),
    case(data.valid_steps, "2", 2, None, says="`steps` must be an integer of at least 0; got '2'."),
    case(data.valid_steps, 2, -1, None, error=ValueError, says="`batch` must be an integer of at least 0"),
    case(data.valid_steps, 2, 2, [1.0, 2.0], says="`lengths` must hold integers; got 1.0 at index 0."),
    case(data.check_finite, "X", TEXT, says="`X` must hold real numbers; got dtype <U1."),
    case(data.check_finite, "X", MASKED, says="`X` must be a plain array; got a masked one."),
    case(
        data.check_finite,
        "X",
        np.zeros(3),
        error=ValueError,
        says="`X` must have shape (T, N, C) or (T, N); got (3,).",
    ),
    case(data.fit_scaling, None, says="`X` must hold real numbers; got dtype object."),
    case(data.fit_scaling, TEXT, says="`X` must hold real numbers; got dtype <U1."),
    case(data.fit_scaling, MASKED, says="`X` must be a plain array; got a masked one."),
    case(data.fit_scaling, TWO.X, None, 3, says="`features` must be a sequence of strings; got 3."),
    case(
        data.fit_scaling,
        TWO.X,
        None,
        ("a", "b"),
        error=ValueError,
        says="`X` must have shape (T, N, C) with C = 2, as many as there are `features`; got (2, 3, 1).",
    ),
    case(
        data.fit_scaling,
        np.full((1, 1, 1), np.nan),
        error=ValueError,
        says="`X` holds nan at sample 0, step 0, feature 0; every valid step must be finite",
    ),
    case(data.fit_scaling(TWO.X).apply, None, says="`X` must hold real numbers; got dtype object."),
    case(
        data.fit_scaling(TWO.X).apply, 3.0, error=ValueError, says="`X` must have shape (..., C) with C = 1"
    ),
    case(data.sign_of_sum, 2.5, says="`n` must be an integer of at least 1; got 2.5."),
    case(data.sign_of_sum, 1, "9", says="`length` must be an integer of at least 1; got '9'."),
    case(
        data.sign_of_sum, seed=-1, error=ValueError, says="`seed` must be an integer of at least 0; got -1."
    ),
    case(data.vocabulary, b"ab", says="`text` must be a string; got b'ab'."),
    case(data.vocabulary, ["ab"], says="`text` must be a string; got ['ab']."),
    case(KNOWN.encode, None, says="`text` must be a string; got None."),
    case(KNOWN.encode, "abc", 3, says="`unknown` must be a string; got 3."),
    case(
        data.Vocabulary(()).encode,
        "a",
        error=ValueError,
        says="`characters` must be at least one string, each of one character; got ().",
    ),
    case(data.Vocabulary(("ab", "")).encode, "a", error=ValueError, says="each of one character; got ('ab'"),
    case(data.Vocabulary((97,)).encode, "a", error=ValueError, says="each of one character; got (97,)."),
    case(KNOWN.decode, "ab", says="`tokens` must be integers of shape (T,); got <U2 of shape ()."),
    case(KNOWN.decode, [0.0], says="`tokens` must be integers of shape (T,); got float64 of shape (1,)."),
    case(KNOWN.decode, np.ma.zeros(1, int), says="`tokens` must be a plain array; got a masked one."),
    case(data.vocabulary_of_file, 3, says="`path` must be a path, as text or a pathlib.Path; got 3."),
    case(data.vocabulary_of_file, Path("none"), error=FileNotFoundError, says="none"),
    case(data.encode_file, None, "out.npy", KNOWN, says="`path` must be a path"),
    case(data.encode_file, "none.txt", 3, KNOWN, says="`out` must be a path"),
    case(data.encode_file, "none.txt", "out.npy", "ab", says="`vocabulary` must be a Vocabulary; got str."),
    case(data.encode_file, "none.txt", "out.npy", KNOWN, 3, says="`unknown` must be a string; got 3."),
    case(data.split, 3, says="`text` must be a string, or an array of tokens (T,); got int."),
    case(data.split, [1] * 20, says="`text` must be a string, or an array of tokens (T,); got list."),
    case(data.split, np.zeros((20, 2), int), says="or an array of tokens (T,); got ndarray."),
    case(data.split, "a" * 20, None, says="`held_out` must be a finite number > 0 and < 1; got None."),
    case(data.windows, None, 3, says="`tokens` must be integers of shape (T,); got object of shape ()."),
    case(data.windows, np.zeros(9), 3, says="`tokens` must be integers of shape (T,); got float64 of shape"),
    case(data.windows, np.zeros((9, 2), int), 3, error=ValueError, says="`tokens` must have shape (T,); got"),
    case(data.windows, np.zeros(9, int), 2.0, says="`length` must be an integer of at least 1; got 2.0."),
    case(data.trigram_bits, [0.5] * 40, [0] * 5, 3, says="`train` must be integers of shape (T,); got float"),
    case(data.trigram_bits, [0] * 40, None, 3, says="`held_out` must be integers of shape (T,); got object"),
    case(data.trigram_bits, [0] * 40, [0] * 5, "3", says="`size` must be an integer of at least 1 and at m"),
    case(
        data.trigram_bits,
        [0] * 40,
        [0] * 5,
        2**20 + 1,
        error=ValueError,
        says="`size` must be an integer of at least 1 and at most 1048576; got 1048577.",
    ),
]


@pytest.mark.parametrize(("function", "arguments", "options", "error", "says"), CASES)
def test_refused(function, arguments, options, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=re.escape(says)) as caught:
        function(*arguments, **options)
    assert type(caught.value) is error  # no kind of its own that a library raised
    assert not list(tmp_path.iterdir())


def test_lists_are_taken_where_arrays_are():
    assert data.fit_scaling([[[1.0]], [[3.0]]]).mean.tolist() == [2.0]
    assert data.fit_scaling([[[1.0]], [[3.0]]]).apply([[4.0]]).tolist() == [[2.0]]
    X, y = data.windows([1, 2, 3, 4, 5], 2)
    assert (X.tolist(), y.tolist()) == ([[1, 2], [3, 4]], [[2, 3], [4, 5]])
    with pytest.raises(ValueError, match="`X` holds inf at sample 0, step 1"):
        data.check_finite("X", [[1.0], [np.inf]])


def test_nothing_is_tokens_too():
    assert KNOWN.decode([]) == ""
