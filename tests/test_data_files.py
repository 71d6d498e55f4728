"""What each kind of data file means, and what is said of a bad one."""

import sys
import zipfile

import numpy as np
import pytest

from rnn_xp.data import load


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "data.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


# .npz


def test_npz(npz):
    data = load(npz(X=X, y=np.array(["up", "down"]), lengths=np.array([3, 1], dtype=np.int32)))
    np.testing.assert_array_equal(data.X, X)
    assert data.X.dtype == np.float64
    assert data.y.tolist() == [1, 0]
    assert data.classes == ("down", "up")
    assert data.lengths.tolist() == [3, 1]
    assert data.lengths.dtype == np.int64
    assert data.features == ("x0", "x1", "x2", "x3")


@pytest.mark.parametrize("layout", ["NTC", "TNC", "NCT"])
def test_npz_of_every_layout_comes_out_as_ntc(npz, layout):
    axes = ["NTC".index(letter) for letter in layout]
    data = load(npz(X=X.transpose(axes)), layout=layout)
    np.testing.assert_array_equal(data.X, X)
    assert data.X.flags.c_contiguous
    assert (data.y, data.lengths, data.classes) == (None, None, None)


def test_npz_of_big_endian_numbers(npz):
    np.testing.assert_array_equal(load(npz(X=X.astype(">f4"))).X, X)


def test_npz_of_two_axes(npz):
    plane = X[0]
    np.testing.assert_array_equal(load(npz(X=plane)).X, plane[:, :, np.newaxis])
    np.testing.assert_array_equal(load(npz(X=plane), layout="TNC").X, plane.T[:, :, np.newaxis])
    tokens = load(npz(X=plane.astype(np.uint8)), layout="TNC")
    np.testing.assert_array_equal(tokens.X, plane.T)
    assert tokens.X.dtype == np.int64
    assert tokens.features == ()


def test_npz_lengths_that_cover_everything_are_none(npz):
    assert load(npz(X=X, lengths=[3, 3])).lengths is None


def test_npz_targets_follow_their_dtype(npz):
    numbers = load(npz(X=X, y=np.array([0.5, 2.0], dtype=np.float32)))
    assert (numbers.y.tolist(), numbers.y.dtype, numbers.classes) == ([0.5, 2.0], np.float64, None)
    classes = load(npz(X=X, y=[7, 5]))
    assert (classes.y.tolist(), classes.y.dtype, classes.classes) == ([1, 0], np.int64, ("5", "7"))
    forced = load(npz(X=X, y=[7, 5]), task="regression")
    assert (forced.y.tolist(), forced.y.dtype, forced.classes) == ([7.0, 5.0], np.float64, None)
    assert load(npz(X=X, y=["7", "5"]), task="regression").y.tolist() == [7.0, 5.0]
    several = load(npz(X=X, y=[[0, 1], [1, 1]]), task="regression")
    assert several.y.tolist() == [[0, 1], [1, 1]]


def test_npz_what_pads_labels_is_no_class(npz):
    data = load(npz(X=X, y=[[4, 5, 4], [5, -1, -1]], lengths=[3, 1]))
    assert data.y.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert data.classes == ("4", "5")


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"Y": X, "z": X}, {}, "there must be an array 'X'; got 'Y', 'z'"),
        ({}, {}, "there must be an array 'X'; got none"),
        ({"X": X[0, 0]}, {}, r"`X` must have three axes, N, T, C"),
        ({"X": X[0]}, {"layout": "NCT"}, r"`X` must have three axes, N, C, T"),
        ({"X": X[:0]}, {}, r"`X` must hold at least one sequence, step and channel; got shape \(0, 3, 4\)"),
        ({"X": np.array([["a"]])}, {}, "`X` must hold real numbers; got dtype <U1"),
        ({"X": X, "lengths": [3, 4]}, {}, "`lengths` must lie in 0..T with T = 3; got 4 at index 1"),
        ({"X": X, "lengths": [3]}, {}, r"`lengths` must have shape \(B,\) with B = 2; got \(1,\)"),
        ({"X": X, "lengths": [3.0, 1.0]}, {}, r"`lengths` must hold integers; got 3.0 at index 0"),
        ({"X": X, "y": [1, 2, 3]}, {}, r"`y` must have shape \(N,\), .* N = 2, T = 3; got \(3,\)"),
        ({"X": X, "y": [[1, 2], [1, 2]]}, {}, r"got \(2, 2\). .* are numbers: task=\"regression\""),
        ({"X": X, "y": np.zeros((2, 3, 1))}, {}, r"got \(2, 3, 1\)"),
        ({"X": X, "y": 1.0}, {}, r"got \(\)"),
        ({"X": X, "y": [1.0, np.nan]}, {}, r"the targets must be finite; got nan at index \(1,\)"),
        ({"X": X, "y": [1.0, 2.0]}, {"task": "classification"}, "`y` must hold class names"),
        (
            {"X": X, "y": ["a", "b"]},
            {"task": "regression"},
            "the targets of a regression must be numbers; could not",
        ),
        (
            {"X": X, "y": [1j, 2j]},
            {"task": "regression"},
            "the targets of a regression must be numbers; Cannot cast",
        ),
        ({"X": X, "y": [1j, 2j]}, {}, "`y` must hold class names.*got dtype complex128"),
        (
            {"X": np.array([None, {}])},
            {},
            "the arrays must hold numbers or text, never objects; .* `lengths`",
        ),
    ],
)
def test_npz_refuses(npz, arrays, options, words):
    with pytest.raises(ValueError, match=rf"data\.npz: .*{words}"):
        load(npz(**arrays), **options)


def test_npz_damaged(npz):
    path = npz(X=X)
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[:150] + b"\xff" * 50 + whole[200:],
        b"PK",
        b"PK, but no archive",
    ):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"data\.npz: the archive is damaged; write it anew with"
        ) as told:
            load(path)
        assert "pickle" not in str(told.value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", "text")
    with pytest.raises(ValueError, match=r"data\.npz: the archive must hold NumPy's arrays alone; got 'X"):
        load(path)
    for foreign in (b"", b"hello", b"\x80\x04N."):
        path.write_bytes(foreign)
        with pytest.raises(ValueError, match=r"data\.npz: the file is no \.npz archive; write it with"):
            load(path)


# .csv

LONG = """id,time,left,right,target
b,2,3.5,4,yes
a,10,5,6,no
b,1,1,2,yes
a,9,7,8e1,no

c,0,9,-1,yes
b,10,0,0,yes
"""


def test_csv_rows_come_in_any_order(table):
    data = load(table(LONG))
    np.testing.assert_array_equal(
        data.X,
        [
            [[1, 2], [3.5, 4], [0, 0]],  # b: times 1, 2, 10 as numbers, not as text
            [[7, 80], [5, 6], [0, 0]],  # a
            [[9, -1], [0, 0], [0, 0]],  # c
        ],
    )
    assert data.lengths.tolist() == [3, 2, 1]
    assert data.y.tolist() == [1, 0, 1]
    assert (data.classes, data.features) == (("no", "yes"), ("left", "right"))


def test_csv_as_other_programs_write_it(table):
    path = table('"t","who","ü, v","label"\r\n0,"a ""1""",1,2.5\r\n1,"a ""1""",2,2.5\r\n', "utf-8-sig")
    data = load(path, id="who", time="t", target="label")
    np.testing.assert_array_equal(data.X, [[[1], [2]]])
    assert data.features == ("ü, v",)
    assert data.y.tolist() == [2.5]
    assert (data.lengths, data.classes) == (None, None)


def test_csv_without_targets_is_for_prediction(table):
    data = load(table("id,time,x\n1,0,5\n1,1,6\n2,0,7\n"))
    assert (data.y, data.classes) == (None, None)
    np.testing.assert_array_equal(data.X, [[[5], [6]], [[7], [0]]])


def test_csv_targets_that_change_belong_to_the_steps(table):
    text = "id,time,x,target\n1,1,0,{}\n1,0,0,{}\n2,0,0,{}\n"
    names = load(table(text.format("b", "a", "b")))
    assert (names.y.tolist(), names.y.dtype, names.classes) == ([[0, 1], [1, 0]], np.int64, ("a", "b"))
    numbers = load(table(text.format("0.5", "1", "2")))
    assert (numbers.y.tolist(), numbers.y.dtype, numbers.classes) == (
        [[1.0, 0.5], [2.0, 0.0]],
        np.float64,
        None,
    )


def test_csv_targets_that_never_change_may_belong_to_the_steps(table):
    path = table("id,time,x,target\n1,0,0,b\n1,1,0,b\n2,0,0,a\n")
    assert load(path).y.tolist() == load(path, per_step=False).y.tolist() == [1, 0]
    data = load(path, per_step=True)
    assert (data.y.tolist(), data.y.dtype, data.classes) == ([[1, 1], [0, 0]], np.int64, ("a", "b"))
    numbers = load(table("id,time,x,target\n1,0,0,0.5\n1,1,0,0.5\n"), per_step=True)
    assert numbers.y.tolist() == [[0.5, 0.5]]


def test_csv_columns_are_known_by_their_names_without_blanks(table):
    data = load(table("target, x ,time , id\nb,5,1,1\nb,6,0,1\n"))
    assert (data.X.tolist(), data.features, data.classes) == ([[[6], [5]]], ("x",), ("b",))
    assert load(table("id,time,x,target\n1,0,0,1_0\n2,0,0,1\n")).classes == ("1", "1_0")


@pytest.mark.parametrize(
    ("targets", "task", "y", "classes"),
    [
        (("10", "9"), None, [1, 0], ("9", "10")),
        (("1.0", "2"), None, [1.0, 2.0], None),
        (("1.0", "2"), "classification", [0, 1], ("1.0", "2")),
        (("10", "9"), "regression", [10.0, 9.0], None),
        (("1.5", "one"), None, [0, 1], ("1.5", "one")),
    ],
)
def test_csv_integers_and_words_are_classes(table, targets, task, y, classes):
    data = load(table("id,time,x,target\na,0,0,{}\nb,0,0,{}\n".format(*targets)), task=task)
    assert data.y.tolist() == y
    assert data.classes == classes


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, r"there must be a header and at least one more line; got 0 line\(s\)"),
        ("id,time,x,target\n\n", {}, r".* got 1 line\(s\)"),
        (
            "id,time,x,target\n1,0,0,a\n",
            {"id": "who"},
            "there must be a column 'who'; got 'id', 'time', 'x', 'target'",
        ),
        ("id,when,x\n1,0,0\n", {}, "there must be a column 'time'; got 'id', 'when', 'x'"),
        ("id,time,target\n1,0,a\n", {}, "there must be a column beside 'id', 'time', 'target', a feature"),
        ("id,time,x,x\n1,0,0,0\n", {}, "the columns must have different names; got 'id', 'time', 'x', 'x'"),
        ("id,time,x\n1,0,0\n1,1\n", {}, "line 3: there must be 3 cells, as in the header; got 2"),
        ("id,time,x\n1,0,0\n\n1,1,oops\n", {}, "line 4: column 'x' must hold numbers; got 'oops'"),
        ("id,time,x\n1,0,\n", {}, "line 2: column 'x' must hold numbers; got ''"),
        ("id,time,x\n1,noon,0\n", {}, "line 2: column 'time' must hold numbers; got 'noon'"),
        ("id,time,x\n1,0,0\n1,nan,0\n", {}, "line 3: column 'time' must be finite; got 'nan'"),
        (
            "id,time,x\n1,2,0\n2,2,0\n1,2.0,9\n",
            {},
            "line 4: sequence '1' must have one row for each 'time'; line 2 has 2",
        ),
        ("id,time,x,target\n1,0,0,\n", {}, "line 2: column 'target' must not be empty"),
        (
            "id,time,x,target\n1,0,0,a\n",
            {"task": "regression"},
            "line 2: column 'target' must hold numbers; got 'a'",
        ),
        ("id,time,x,target\n1,0,0,nan\n", {}, "line 2: column 'target' must be finite; got 'nan'"),
        ("id,time,x\n1,0,0\n1,1,-inf\n", {}, "line 3: column 'x' must be finite; got '-inf'"),
        ("id,time,x\n1,0,1_0\n", {}, "line 2: column 'x' must hold numbers; got '1_0'"),
        ("id,time,x\n1,0,0\n ,0,0\n", {}, "line 3: column 'id' must not be empty"),
        ("id;time;x\n1;0;0\n", {}, "the columns must be separated by commas; got ';'. Save the file with"),
        ("id\ttime\tx\n1\t0\t0\n", {}, r"the columns must be separated by commas; got '\\t'"),
        (
            "id,time,x,target\n1,0,0,a\n1,1,0,b\n",
            {"per_step": False},
            "line 3: column 'target' must not change within a sequence of `per_step=False`",
        ),
        ("id,time,x\n1,0," + "9" * 200_000, {}, "line 2: field larger than field limit"),
    ],
)
def test_csv_refuses(table, text, options, words):
    with pytest.raises(ValueError, match=rf"data\.csv: {words}"):
        load(table(text), **options)


def test_csv_that_is_not_utf_8(table):
    with pytest.raises(
        ValueError, match=r"data\.csv: the file must be text in UTF-8; got byte 0xfc\. Save it"
    ):
        load(table("id,time,ü\n", "latin-1"))


# .ts, and all


def test_ts_without_aeon_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "aeon.datasets", None)
    path = tmp_path / "data.ts"
    path.touch()
    with pytest.raises(
        ValueError, match=r'data\.ts: reading \.ts needs the aeon package.* pip install "rnn-xp\[aeon\]"'
    ):
        load(path)


@pytest.mark.parametrize("name", ["gone.npz", "gone.csv", "gone.ts"])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        load(tmp_path / name)


def test_a_directory(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OSError, match=r"folder\.csv"):
        load(tmp_path / "folder.csv")


def test_an_unknown_extension(tmp_path):
    with pytest.raises(
        ValueError, match=r"data\.parquet: .* must end in \.npz, \.csv or \.ts; got '\.parquet'"
    ):
        load(tmp_path / "data.parquet")


def test_extensions_in_capitals(npz):
    path = npz(X=X)
    np.testing.assert_array_equal(load(str(path.rename(path.with_suffix(".NPZ")))).X, X)


def test_an_unknown_task(npz):
    with pytest.raises(
        ValueError, match="`task` must be one of None, 'classification', 'regression'; got 'ranking'"
    ):
        load(npz(X=X), task="ranking")


def test_per_step_of_another_kind(npz):
    with pytest.raises(TypeError, match="`per_step` must be True or False; got 1"):
        load(npz(X=X), per_step=1)
