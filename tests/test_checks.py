"""The voice of errors: what passes, what does not, and the words."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_xp import checks


def words(text: str) -> str:
    """A pattern for exactly these words."""
    return f"^{re.escape(text)}$"


@pytest.mark.parametrize("value", [3, np.int64(3), np.array(3, dtype=np.uint8)])
def test_integer_returns_a_python_integer(value: Any) -> None:
    result = checks.integer("hidden_size", value)
    assert type(result) is int
    assert result == 3


@pytest.mark.parametrize(
    ("value", "came"), [(3.0, "3.0"), ("3", "'3'"), (None, "None"), (True, "True"), ([3], "[3]")]
)
def test_integer_refuses_other_kinds(value: Any, came: str) -> None:
    with pytest.raises(TypeError, match=words(f"`n` must be an integer of at least 1; got {came}.")):
        checks.integer("n", value)


def test_integer_refuses_numbers_out_of_range() -> None:
    assert [checks.integer("n", n, 0, 2) for n in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match=words("`n` must be an integer of at least 1; got 0.")):
        checks.integer("n", 0)
    with pytest.raises(ValueError, match=words("`n` must be an integer of at least 0 and at most 2; got 3.")):
        checks.integer("n", 3, 0, 2)


@given(st.floats(0, 1, exclude_max=True))
def test_number_returns_what_lies_in_the_interval(value: float) -> None:
    assert checks.number("p", value, 0, 1) == value


@pytest.mark.parametrize(
    ("value", "came"),
    [(1.0, "1"), (-0.5, "-0.5"), (float("nan"), "nan"), (float("inf"), "inf"), (10**400, "inf")],
)
def test_number_refuses_numbers_out_of_range(value: float, came: str) -> None:
    with pytest.raises(ValueError, match=words(f"`p` must be a finite number >= 0 and < 1; got {came}.")):
        checks.number("p", value, 0, 1)


def test_number_may_exclude_its_lower_bound() -> None:
    assert checks.number("rate", 1e-30, open_low=True) == 1e-30
    with pytest.raises(ValueError, match=words("`rate` must be a finite number > 0; got 0.")):
        checks.number("rate", 0, open_low=True)


@pytest.mark.parametrize("value", ["0.5", b"1", True, None, [0.5], 1j])
def test_number_refuses_other_kinds(value: Any) -> None:
    with pytest.raises(TypeError, match=words(f"`p` must be a finite number >= 0; got {value!r}.")):
        checks.number("p", value)


@pytest.mark.parametrize("choices", [("tanh", "relu"), ["tanh", "relu"], {"tanh": 1, "relu": 2}])
def test_one_of(choices: Any) -> None:
    assert checks.one_of("nonlinearity", "relu", choices) == "relu"
    for wrong in ("sigmoid", None, ["relu"]):
        with pytest.raises(
            ValueError, match=words(f"`nonlinearity` must be one of 'tanh', 'relu'; got {wrong!r}.")
        ):
            checks.one_of("nonlinearity", wrong, choices)


def test_shape_names_the_letters_that_are_known() -> None:
    x = np.zeros((7, 2, 3))
    checks.shape("x", x, "T, B, D", (None, None, 3))
    checks.shape("x", np.zeros((0, 2, 3)), "T, B, D", (None, 2, 3))
    with pytest.raises(
        ValueError, match=words("`x` must have shape (T, B, D) with B = 2, D = 5; got (7, 2, 3).")
    ):
        checks.shape("x", x, "T, B, D", (None, 2, 5))
    with pytest.raises(ValueError, match=words("`x` must have shape (T, B); got (7, 2, 3). Use a way out.")):
        checks.shape("x", x, "T, B", (None, None), "Use a way out.")
    with pytest.raises(TypeError, match=words("`x` must be an array of shape (T, B, D); got list.")):
        checks.shape("x", [x], "T, B, D", (None, None, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "expected",
    [np.dtype("float32"), np.float32, SimpleNamespace(name="float32")],
    ids=["dtype", "type", "named"],
)
def test_dtype_is_written_without_its_library(expected: Any) -> None:
    message = "`x` must have dtype float32, that of the parameters; got float64. Convert it."
    with pytest.raises(TypeError, match=words(message)):
        checks.dtype("x", np.zeros(1), expected, "Convert it.")  # type: ignore[arg-type]


def test_dtype_accepts_every_way_to_write_one_dtype() -> None:
    x = np.zeros(1, dtype="float32")
    checks.dtype("x", x, np.float32, "")  # type: ignore[arg-type]
    checks.dtype("x", x, np.dtype("float32"), "")  # type: ignore[arg-type]


def test_dtype_of_the_strict_namespace() -> None:
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match=r"must have dtype float32, that of the parameters; got int64\."):
        checks.dtype("x", strict.asarray([1]), strict.float32, "")


@pytest.mark.parametrize(
    "value",
    [[0, 5, 2], (0, 5, 2), np.array([0, 5, 2]), np.array([0, 5, 2], dtype=np.uint8), [0, np.int32(5), 2]],
)
def test_lengths_become_python_integers(value: Any) -> None:
    result = checks.lengths(value, batch=3, steps=5)
    assert result == (0, 5, 2)
    assert {type(length) for length in result} == {int}


@pytest.mark.parametrize(
    ("value", "came"), [(3, "int"), ("123", "str"), (None, "NoneType"), (iter([1]), "list_iterator")]
)
def test_lengths_refuse_other_kinds(value: Any, came: str) -> None:
    must = "`lengths` must be a list or host integer array of shape (B,) with B = 3"
    with pytest.raises(TypeError, match=words(f"{must}; got {came}.")):
        checks.lengths(value, batch=3, steps=5)


@pytest.mark.parametrize(
    ("value", "came"), [([1, 2], "(2,)"), (np.ones((3, 1), int), "(3, 1)"), (np.array(3), "()"), ([], "(0,)")]
)
def test_lengths_refuse_other_shapes(value: Any, came: str) -> None:
    with pytest.raises(ValueError, match=words(f"`lengths` must have shape (B,) with B = 3; got {came}.")):
        checks.lengths(value, batch=3, steps=5)


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ([1, 2.0], "2.0"),
        (np.array([1, 2.0]), "1.0 at index 0"),
        ([1, True], "True"),
        (np.array([True, True]), "True"),
        ([1, np.True_], "np.True_"),
        ([1, None], "None at index 1"),
    ],
)
def test_lengths_refuse_what_is_not_an_integer(value: Any, came: str) -> None:
    with pytest.raises(TypeError, match=rf"`lengths` must hold integers; got {re.escape(came)}"):
        checks.lengths(value, batch=2, steps=5)


@pytest.mark.parametrize(("value", "came"), [([1, 6], "6 at index 1"), ([-1, 2], "-1 at index 0")])
def test_lengths_refuse_numbers_out_of_range(value: Any, came: str) -> None:
    with pytest.raises(ValueError, match=words(f"`lengths` must lie in 0..T with T = 5; got {came}.")):
        checks.lengths(value, batch=2, steps=5)


def test_boolean() -> None:
    assert checks.boolean("x", True) is True
    for wrong in (1, None, "no"):
        with pytest.raises(TypeError, match=f"`x` must be True or False; got {wrong!r}"):
            checks.boolean("x", wrong)


def test_an_optional_library_that_is_there_is_returned() -> None:
    assert checks.optional("hypothesis.strategies", "test", "this") is st


def test_an_optional_library_that_is_missing_is_told_with_what_installs_it() -> None:
    told = 'rx.plot needs no_such_library, which is not installed: pip install "rnn-xp[plot]"'
    told += ' (in a clone: pip install ".[plot]").'
    with pytest.raises(ModuleNotFoundError, match=words(told)) as caught:
        checks.optional("no_such_library.figure", "plot", "rx.plot")
    assert caught.value.name == "no_such_library"


def test_what_an_optional_library_itself_lacks_is_not_hidden(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "broken_library.py").write_text("import what_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        checks.optional("broken_library", "plot", "rx.plot")
