"""Parity of backends, and that it is told where there is none."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from support import PORTABLE, open_backend

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import Backend
from rnn_xp.verify.backends import parity

LAYERS = [
    rx.RNN(2, 3, 2, bidirectional=True, dropout=0.3),
    rx.GRU(2, 3, reset="before"),
    rx.LSTM(2, 3, proj_size=2, peepholes=True, reverse=True),
    rx.Sequential(rx.Embedding(5, 2), rx.GRU(2, 3), rx.Dropout(0.2), rx.Linear(3, 2)),
    rx.Sequential(rx.LSTM(2, 3), rx.MaxPool(), rx.Linear(3, 2)),
]


@pytest.mark.parametrize("name", PORTABLE)
@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_libraries_agree(layer: Any, name: str) -> None:
    report = parity(layer, open_backend(name), steps=20).require()
    subjects = {finding.subject for finding in report}
    assert {"y", "losses"} < subjects
    assert any(subject.startswith("weights.") for subject in subjects)
    assert any(subject.startswith("d_params.") for subject in subjects)
    assert all(finding.value is not None and finding.unit == "eps" for finding in report)


class Skewed(Backend):
    """NumPy that gets one array in so many slightly wrong."""

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        array = np.array(super().asarray(value, dtype))
        return array * (1.0 + 1e-9) if array.dtype.kind == "f" and array.ndim == 3 else array


@pytest.mark.parametrize("steps", [0, 5])
def test_a_difference_is_told_tensor_by_tensor(steps: int) -> None:
    plain = open_backend("numpy")
    skewed = Skewed(*[getattr(plain, field.name) for field in dataclasses.fields(plain)])
    report = parity(rx.GRU(2, 3), skewed, "array_api_strict", steps=steps)
    failed = {finding.subject: finding for finding in report.failures}
    assert {"y", "state_T.h", "d_params.0.weight_ih", "d_x"} <= set(failed)
    # x is off by 1e-9, and so is what is proportional to it or to the cotangent
    relative = float(failed["d_x"].detail.removeprefix("norm-relative "))
    assert 1e-10 < relative < 1e-8
    assert failed["d_x"].value == pytest.approx(relative / 2.0**-52, rel=3.0)
    assert ("losses" in failed) == bool(steps)


def test_the_same_sums_have_no_error() -> None:
    report = parity(rx.GRU(2, 3), "array_api_strict", dtype="float32", steps=5)
    assert report.passed
    assert {finding.value for finding in report} == {0.0}


def test_where_all_is_zero_nothing_was_compared() -> None:
    layer = rx.RNN(2, 3)
    params = tree.map(np.zeros_like, layer.init(open_backend("numpy")))
    zero = rx.Sequential(layer, rx.Linear(3, 1))
    zeros = (params, tree.map(np.zeros_like, zero.init(open_backend("numpy"))[1]))
    report = parity(zero, "array_api_strict", params=zeros, x=np.zeros((2, 1, 2)), steps=0)
    told = {finding.subject: finding for finding in report}
    assert told["y"].outcome == "not applicable"
    assert told["y"].detail == "it is zero on both sides"
    assert told["d_params.1.bias"].outcome == "passed"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"layer": "lstm"}, TypeError, "`layer` must be a layer or a Sequential of rnn_xp; got str."),
        (
            {"other": "numpy"},
            ValueError,
            "`other` must be another library or device than `backend`; got numpy",
        ),
        ({"steps": -1}, ValueError, "`steps` must be an integer of at least 0; got -1."),
        ({"dtype": "float16"}, ValueError, "`dtype` must be one of 'float64', 'float32'; got 'float16'."),
        (
            {"layer": rx.Dropout(0.5)},
            ValueError,
            "`layer` must tell how many outputs it has; got Dropout(0.5): ",
        ),
    ],
)
def test_words(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        parity(**{"layer": rx.GRU(2, 3), "backend": "numpy", "other": "array_api_strict", **wrong})
