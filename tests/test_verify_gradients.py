"""The gradient check: right gradients pass, each way of being wrong is named, and nothing passes unseen."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from support import MAKERS, PORTABLE, UGRNN, normal, open_backend, smallest_standard

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.cells import CELLS, gru, lstm
from rnn_xp.verify.differences import gradcheck_function
from rnn_xp.verify.gradients import gradcheck
from rnn_xp.verify.pairs import gradcheck_cell
from rnn_xp.verify.report import FAILED, PASSED, SKIPPED

NUMPY = open_backend("numpy")
X = np.array([[1.0, -2.0], [0.5, 3.0]])


def found(report: Any, subject: str, check: str = "gradient") -> Any:
    """Return the one finding of a check on a subject."""
    (finding,) = [each for each in report if (each.check, each.subject) == (check, subject)]
    return finding


# Anybody's function: f(x, w) = sum(w x^3), whose gradients are 3 w x^2 and x^3.


def cubic(x: Any, w: Any) -> float:
    return float(np.sum(w * x**3))


def slopes(x: Any, w: Any) -> Any:
    return 3.0 * w * x**2, x**3


@pytest.mark.parametrize(
    ("mode", "subjects"), [("full", ["x", "w"]), ("directional", ["x", "w", "all tensors"])]
)
def test_a_right_gradient_passes(mode: str, subjects: list[str]) -> None:
    report = gradcheck_function(cubic, slopes, [X, 2.0 * X], names=["x", "w"], mode=mode).require()
    assert [finding.subject for finding in report] == subjects
    assert all(finding.value < 1e-9 for finding in report)


@pytest.mark.parametrize("mode", ["full", "directional"])
def test_a_wrong_gradient_fails(mode: str) -> None:
    def wrong(x: Any, w: Any) -> Any:
        return 3.0 * w * x**2, 1.01 * x**3

    report = gradcheck_function(cubic, wrong, [X, 2.0 * X], names=["x", "w"], mode=mode)
    assert found(report, "x").outcome == PASSED
    assert found(report, "w").outcome == FAILED
    assert found(report, "w").value == pytest.approx(0.01, rel=1e-5)


def test_the_worst_element_is_named() -> None:
    def wrong(x: Any, w: Any) -> Any:
        d_x, d_w = slopes(x, w)
        d_w[1, 0] += 1.0
        return d_x, d_w

    finding = found(gradcheck_function(cubic, wrong, [X, X]), "argument 1")
    assert finding.outcome == FAILED
    # x^3 is 1, -8, 1/8 and 27
    assert finding.value == pytest.approx(1.0 / np.sqrt(1.0 + 64.0 + 1.0 / 64.0 + 729.0), rel=1e-6)
    assert "worst element [1, 0]: analytic 1.125, numeric 0.1249999" in finding.detail


@pytest.mark.parametrize(
    ("answer", "subject", "detail"),
    [
        (lambda x, w: (3.0 * w * x**2, None), "argument 1", "no gradient was returned, where (2, 2)"),
        (lambda x, w: (3.0 * w * x**2, x[0]), "argument 1", "its gradient has the shape (2,), where (2, 2)"),
        (lambda x, w: (x,), "all tensors", "1 gradients were returned for 2 arguments"),
    ],
)
def test_the_form_of_a_gradient(answer: Any, subject: str, detail: str) -> None:
    report = gradcheck_function(cubic, answer, [X, X])
    assert not report.passed
    (finding,) = report
    assert finding.subject == subject
    assert detail in finding.detail


def test_a_gradient_that_is_no_number_fails() -> None:
    report = gradcheck_function(cubic, lambda x, w: (x * np.nan, x**3), [X, X])
    assert [finding.outcome for finding in report] == [FAILED, PASSED]


@pytest.mark.parametrize("mode", ["full", "directional"])
def test_zero_where_there_is_a_slope_fails(mode: str) -> None:
    report = gradcheck_function(cubic, lambda x, w: (0.0 * x, 0.0 * w), [X, X], mode=mode)
    assert {finding.outcome for finding in report} == {FAILED}
    assert found(report, "all tensors" if mode == "full" else "argument 0").outcome == FAILED


def test_a_tensor_of_small_slopes_that_claims_to_have_none_fails() -> None:
    """However small beside the other tensor's."""

    def function(x: Any, w: Any) -> float:
        return float(np.sum(x) + 1e-7 * np.sum(w))

    def gradient(x: Any, w: Any) -> Any:
        return np.ones_like(x), np.zeros_like(w)

    assert found(gradcheck_function(function, gradient, [X, X]), "argument 1").outcome == FAILED


def test_what_has_no_influence_is_not_passed() -> None:
    report = gradcheck_function(lambda x, w: float(np.sum(x)), lambda x, w: (x**0, 0.0 * w), [X, X])
    assert [finding.outcome for finding in report] == [PASSED, SKIPPED]
    assert "both gradients are zero" in found(report, "argument 1").detail


@pytest.mark.parametrize("mode", ["full", "directional"])
@pytest.mark.parametrize("arguments", [[], [X[:0], X[:0]], [X, X]], ids=["none", "empty", "constant"])
def test_nothing_compared_fails(arguments: list[Any], mode: str) -> None:
    def gradient(*arguments: Any) -> Any:
        return tuple(0.0 * each for each in arguments)

    report = gradcheck_function(lambda *arguments: 1.0, gradient, arguments, mode=mode)
    assert not report.passed
    assert report.findings[-1] == ("gradient", "all tensors", FAILED, None, None, "", "nothing was compared")
    assert {finding.outcome for finding in report.findings[:-1]} <= {SKIPPED}


RELU = [
    (offset, slope) for offset in (0.0, 1e-6, -3e-6, 1e-5 / 3.0, -1e-5 / 3.0, 6e-6) for slope in (0.0, 1.0)
]


@pytest.mark.parametrize(("offset", "slope"), RELU)
def test_a_kink(offset: float, slope: float) -> None:
    """sum(max(x, 0)) near the kink: the slope of the other side is wrong; on the kink both are right."""
    x = X.copy()
    x[0, 0] = offset

    def gradient(x: Any) -> Any:
        answer = np.where(x > 0.0, 1.0, 0.0)
        answer[0, 0] = slope
        return (answer,)

    (finding,) = gradcheck_function(lambda x: float(np.sum(np.maximum(x, 0.0))), gradient, [x])
    if offset == 0.0 or (offset > 0.0) == (slope > 0.0):
        assert finding.outcome == PASSED
        assert "1 of 4 elements at kinks were left out" in finding.detail
    else:
        assert finding.outcome == FAILED


def test_a_kink_does_not_excuse_a_gradient_beyond_both_slopes() -> None:
    def gradient(x: Any) -> Any:
        return (np.where(x > 0.0, 1.0, -0.5 * (x == 0.0)),)

    x = np.where(X == 1.0, 0.0, X)
    assert not gradcheck_function(lambda x: float(np.sum(np.maximum(x, 0.0))), gradient, [x]).passed


def test_many_kinks_fail_and_a_lone_one_is_skipped() -> None:
    def function(x: Any, w: Any) -> float:
        return float(np.sum(np.maximum(x, 0.0)) + np.sum(w))

    def gradient(x: Any, w: Any) -> Any:
        return (x > 0.0) * 1.0, w**0

    many, one = (gradcheck_function(function, gradient, [x, X]) for x in (np.zeros(3), np.zeros(1)))
    assert many.findings[0].outcome == FAILED
    assert "3 of 3 elements lie at kinks" in many.findings[0].detail
    assert one.findings[0].outcome == SKIPPED


def test_the_arguments_are_copied() -> None:
    x, w = X.copy(), X.copy()

    def greedy(x: Any, w: Any) -> float:
        value = cubic(x, w)
        x[...] = w[...] = np.nan
        return value

    assert gradcheck_function(greedy, slopes, [x, w]).passed
    assert (x == X).all()
    assert (w == X).all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"step": 0.0}, ValueError, "`step` must be a finite number > 0"),
        ({"tolerance": "1"}, TypeError, "`tolerance` must be a finite number > 0"),
        ({"mode": "fast"}, ValueError, "`mode` must be one of 'full', 'directional'"),
        ({"seed": -1}, ValueError, "`seed` must be an integer of at least 0"),
        ({"names": ["x"]}, ValueError, "`names` must hold one name for each of the 2 arguments; got 1"),
    ],
)
def test_options(options: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        gradcheck_function(cubic, slopes, [X, X], **options)


# Layers.


@pytest.mark.parametrize("name", MAKERS)
def test_every_cell(name: str) -> None:
    report = gradcheck(MAKERS[name](2, 3)).require()
    assert found(report, "params.0.weight_hh").value < 1e-8
    assert {"x", "state_0.h"} <= {finding.subject for finding in report if finding.outcome == PASSED}
    assert {finding.outcome for finding in report} == {PASSED}


@pytest.mark.parametrize("backend", PORTABLE)
def test_other_libraries(backend: str) -> None:
    with smallest_standard(backend):
        report = gradcheck(
            rx.GRU(2, 2), backend=open_backend(backend, "float32"), mode="directional"
        ).require()
    assert found(report, "all tensors").value < 1e-8


@pytest.mark.parametrize(
    "layer",
    [
        rx.Sequential(rx.Embedding(4, 2), rx.LSTM(2, 2), rx.MaxPool(), rx.Linear(2, 2)),
        rx.Sequential(rx.GRU(2, 3, 2, bidirectional=True, dropout=0.3), rx.LastStep(), rx.Linear(6, 1)),
        rx.LastStep(),
    ],
    ids=["tokens", "deep", "no-parameters"],
)
def test_models(layer: Any) -> None:
    report = gradcheck(layer, rng=rx.Rng(0, 1), mode="directional").require()
    names = [name for name, _ in tree.named_leaves(layer.spec(), "params")]
    assert set(names) <= {finding.subject for finding in report if finding.outcome == PASSED}


def test_given_arguments_are_what_is_checked() -> None:
    """y = x W' at x = 0 has no gradient by W; at the x given it has."""
    layer = rx.Linear(2, 2, bias=False)
    params = normal(NUMPY, layer.init(NUMPY), 0)
    report = gradcheck(layer, params, np.zeros((3, 2), np.float32))
    assert found(report, "params.weight").outcome == SKIPPED
    assert found(report, "params").outcome == FAILED  # none of the parameters could be compared
    assert found(report, "x").outcome == PASSED
    assert gradcheck(layer, params, np.ones((3, 2)), mode="directional").passed
    assert found(gradcheck(layer, params, np.ones((3, 2)), lengths=None), "x", "gradient of the padding")


def test_no_step_fails() -> None:
    report = gradcheck(rx.GRU(2, 2), x=np.zeros((0, 2, 2)))
    assert not report.passed
    assert found(report, "params").detail == "no parameter's gradient was compared"


class Faulty(rx.Linear):
    """A layer whose backward pass is wrong, and how."""

    fault = ""
    calls = 0

    def backward(self, params: Any, tape: Any, d_y: Any, d_state_T: Any = None, need_d_x: bool = True) -> Any:
        if self.fault == "padding of d_y":
            tape = tape._replace(valid=None)
        d_params, d_x, d_state_0 = super().backward(params, tape, d_y, d_state_T, need_d_x)
        if self.fault == "backward twice":
            type(self).calls += 1
            d_params = tree.map(lambda leaf: leaf * (1.0 + 1e-15 * self.calls), d_params)
        if self.fault == "arguments unchanged":
            d_y *= 2.0
        if self.fault == "gradient of the padding":
            d_x[-1, ...] += 1e-300
        if self.fault == "zero":
            d_params, d_x = tree.map(lambda leaf: 0.0 * leaf, (d_params, d_x))
        if self.fault == "absent":
            d_params = d_params._replace(bias=None)
        return d_params, d_x, d_state_0


@pytest.mark.parametrize(
    ("fault", "check", "subject"),
    [
        ("backward twice", "backward twice", "d_params.weight, d_params.bias"),
        ("arguments unchanged", "arguments unchanged", "d_y"),
        ("gradient of the padding", "gradient of the padding", "x"),
        ("padding of d_y", "padding of d_y", "d_params.weight, d_params.bias, d_x"),
        ("zero", "gradient", "all tensors"),
        ("absent", "gradient", "params.bias"),
    ],
)
def test_faults_of_a_backward_pass(fault: str, check: str, subject: str) -> None:
    layer = Faulty(3, 2)
    assert gradcheck(layer).passed
    object.__setattr__(layer, "fault", fault)
    report = gradcheck(layer)
    assert found(report, subject, check).outcome == FAILED
    if fault in ("arguments unchanged", "gradient of the padding", "absent"):
        assert len(report.failures) == 1


def test_a_layer_that_is_none() -> None:
    with pytest.raises(TypeError, match=r"`layer` must be a layer or a Sequential of rnn_xp; got Cell"):
        gradcheck(CELLS["gru"])
    with pytest.raises(ValueError, match="`mode` must be one of 'full', 'directional'; got 'quick'"):
        gradcheck(rx.GRU(2, 2), mode="quick")


# Cells.


OPTIONS = [
    *CELLS.values(),
    UGRNN,
    lstm.cell(peepholes=True, coupled=True, clip=0.5),
    gru.cell("before", ("hard_sigmoid", "softsign")),
]


@pytest.mark.parametrize("cell", OPTIONS, ids=lambda cell: cell.name)
def test_pairs_of_cells(cell: rx.Cell) -> None:
    report = gradcheck_cell(cell, seed=1).require()
    inputs = sum(len(pair.reads) + len(pair.apart) + len(pair.vectors) for pair in cell.pairs)
    assert len(report.findings) == inputs + len(cell.pairs) * len(cell.state._fields)
    assert all(finding.value < 1e-8 for finding in report if finding.outcome == PASSED)


def changed(cell: rx.Cell, number: int, place: int, factor: float) -> rx.Cell:
    """Return a cell of which one gradient of `a` is wrong by a factor."""
    pair = cell.pairs[number]

    def backward(d_result: Any, planes: Any) -> Any:
        d_a, d_s_prev = pair.backward(d_result, planes)
        return tuple(d * factor if place == i else d for i, d in enumerate(d_a)), d_s_prev

    pairs = list(cell.pairs)
    pairs[number] = pair._replace(backward=backward)
    return cell._replace(name="own", pairs=tuple(pairs))


@pytest.mark.parametrize(
    ("cell", "number", "place", "subject"),
    [
        (UGRNN, 0, 1, "own pair 0, gate c"),
        (CELLS["gru"], 0, 3, "own pair 0, recurrent part of gate n"),
        (CELLS["gru_reset_before"], 0, 0, "own pair 0, gate r"),
        (CELLS["gru_reset_before"], 1, 1, "own pair 1, gate n"),
        (lstm.cell(peepholes=True), 0, 6, "own pair 0, vector p_o"),
    ],
)
def test_the_wrong_gate_is_named(cell: rx.Cell, number: int, place: int, subject: str) -> None:
    report = gradcheck_cell(changed(cell, number, place, 1.001))
    (failure,) = report.failures
    assert failure.subject == subject
    assert failure.value == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize("lost", ["a", "s_prev"])
def test_a_derivative_that_is_left_out(lost: str) -> None:
    pair = UGRNN.pairs[0]

    def backward(d_result: Any, planes: Any) -> Any:
        d_a, d_s_prev = pair.backward(d_result, planes)
        return (d_a[:1], d_s_prev) if lost == "a" else (d_a, (None,))

    report = gradcheck_cell(UGRNN._replace(pairs=(pair._replace(backward=backward),)))
    (failure,) = report.failures
    assert failure.subject == f"ugrnn pair 0, {'gate c' if lost == 'a' else 's_prev.h'}"


def test_a_pair_sees_the_state_after_the_step_of_the_whole_cell() -> None:
    seen = []
    before, after = CELLS["gru_reset_before"].pairs

    def partials(kept: Any, s_prev: Any, s: Any, *, xp: Any) -> Any:
        seen.append(s)
        return before.partials(kept, s_prev, s, xp=xp)

    cell = rx.Cell("own", (before._replace(partials=partials), after))
    assert gradcheck_cell(cell, hidden_size=2, batch=4, backend="numpy").passed
    assert [tuple(s.h.shape) for s in seen] == [(2, 4)]
    assert (abs(seen[0].h) > 0).all()


def test_cells_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"`cell` must be a rnn_xp\.Cell; got str"):
        gradcheck_cell("gru")
    with pytest.raises(ValueError, match="`hidden_size` must be an integer of at least 1; got 0"):
        gradcheck_cell(UGRNN, hidden_size=0)


def test_no_optional_library_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("gmpy2", "mpmath", "torch"):
        monkeypatch.setitem(sys.modules, library, None)
    assert gradcheck(rx.RNN(1, 2), mode="directional").passed
