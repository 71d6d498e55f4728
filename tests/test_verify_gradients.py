"""The gradient check: right gradients pass, each way of being wrong is named, and nothing passes unseen."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
from support import MAKERS, PORTABLE, UGRNN, normal, open_backend, smallest_standard

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.cells import CELLS, gru, lstm, rnn
from rnn_xp.verify.differences import NOTHING, gradcheck_function
from rnn_xp.verify.gradients import gradcheck
from rnn_xp.verify.pairs import gradcheck_cell
from rnn_xp.verify.problems import double
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


@pytest.mark.parametrize("mode", ["full", "directional"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_gradient_that_is_lost_in_the_rounding_fails(sign: float, mode: str) -> None:
    """A slope of 1 beside one of 1e9: differences cannot tell its sign."""

    def function(x: Any, w: Any) -> float:
        return float(1e9 * np.sum(x) + np.sum(w))

    def gradient(x: Any, w: Any) -> Any:
        return np.full(3, 1e9), np.full(3, sign)

    finding = found(gradcheck_function(function, gradient, [np.ones(3)] * 2, mode=mode), "argument 1")
    assert finding.outcome == FAILED
    assert "is lost in the rounding (noise" in finding.detail
    assert "rescale, or give a larger step" in finding.detail


@pytest.mark.parametrize(
    ("answer", "came"),
    [(None, "NoneType"), (np.ones((2, 2)), "ndarray"), (1.0, "float")],
    ids=["none", "array", "number"],
)
def test_a_gradient_that_is_no_tuple(answer: Any, came: str) -> None:
    with pytest.raises(TypeError, match=f"`gradient` must return a tuple of arrays, .*; got {came}"):
        gradcheck_function(cubic, lambda x, w: answer, [X, X])


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
    assert report.findings[-1] == ("gradient", "all tensors", FAILED, None, None, "", NOTHING)
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
    assert found(report, "params").detail.startswith("no parameter's gradient: nothing was compared")


def test_units_at_rest_are_drawn_again() -> None:
    assert gradcheck(rx.RNN(2, 3, nonlinearity="relu"), seed=7).passed
    alone = rx.RNN(1, 1, nonlinearity="relu", bias=False)
    assert all(gradcheck(alone, mode="directional", seed=seed).passed for seed in range(20))


def test_units_that_always_rest_fail_with_a_way_out() -> None:
    report = gradcheck(rx.RNN(2, 2, nonlinearity=("affine", 0.0, 0.0)), mode="directional")
    assert {finding.outcome for finding in report if finding.subject.startswith("params.")} == {SKIPPED}
    assert found(report, "params").outcome == FAILED
    assert "try another seed, or a wider layer" in found(report, "params").detail


def test_a_state_that_fades_over_many_steps_is_told() -> None:
    """Its gradient is not 0, but far below what differences see."""
    model, x = (
        rx.Sequential(rx.RNN(2, 2), rx.LastStep()),
        np.random.default_rng(0).standard_normal((60, 1, 2)),
    )
    report = gradcheck(model, normal(NUMPY, model.init(NUMPY), 0, 0.3), x, mode="directional").require()
    assert found(report, "state_0.0.h").outcome == SKIPPED
    assert "lost in the rounding" in found(report, "state_0.0.h").detail


@pytest.mark.parametrize(
    ("lengths", "error", "match"),
    [
        (3, TypeError, r"`lengths` must be a list or host integer array .*; got int"),
        ("ab", TypeError, r"`lengths` must be a list or host integer array .*; got str"),
        ([2, -1], ValueError, r"`lengths` must lie in 0\.\..*; got -1 at index 1"),
        (np.array(3), ValueError, r"`lengths` must have shape \(B,\)"),
        ([2, 1.5], TypeError, r"`lengths` must hold integers; got 1\.5 at index 1"),
    ],
)
def test_lengths_of_sequences_to_be_drawn(lengths: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        gradcheck(rx.RNN(2, 2), lengths=lengths)


def test_x_as_nested_lists() -> None:
    x = [[[0.5, -1.0]], [[2.0, 0.25]]]
    reports = [gradcheck(rx.RNN(2, 2), x=each, mode="directional") for each in (x, np.array(x))]
    assert reports[0].passed
    assert reports[0] == reports[1]
    tokens = rx.Sequential(rx.Embedding(4, 2), rx.RNN(2, 2))
    assert gradcheck(tokens, x=[[1, 0], [3, 2]], mode="directional").passed


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
    assert {tuple(s.h.shape) for s in seen} == {(2, 4)}
    assert (abs(seen[0].h) > 0).all()


@pytest.mark.parametrize("seed", [10, 15, 18, 19, 22])
def test_planes_at_rest_are_drawn_again(seed: int) -> None:
    for sizes in ({}, {"hidden_size": 3, "batch": 2}):
        assert gradcheck_cell(rnn.cell("tanh", clip=0.3), seed=seed, **sizes).passed


def one_pair(cell: rx.Cell, **functions: Any) -> rx.Cell:
    """Return a cell with some functions of its first pair replaced."""
    first, *others = cell.pairs
    return cell._replace(name="own", pairs=(first._replace(**functions), *others))


PAIR = UGRNN.pairs[0]
BEFORE = CELLS["gru_reset_before"].pairs[0]


def returning(function: Any, change: Any) -> Any:
    """Return a function whose answer is changed."""
    return lambda *arguments, **options: change(function(*arguments, **options))


@pytest.mark.parametrize(
    ("function", "change", "detail"),
    [
        ("forward", lambda out: out[0], r"`forward` must return \(result, kept\); got State"),
        ("forward", lambda out: (out[0].h, out[1]), r"must return a state with the fields \('h',\)"),
        ("forward", lambda out: (rx.State(out[0].h[:1]), out[1]), r"\(8, 4\) as the state; got \(1, 4\)"),
        ("forward", lambda out: (out[0], ()), r"`forward` must keep 2 planes, \('g', 'c'\); got 0"),
        ("forward", lambda out: (out[0], (*out[1], out[1][0])), r"`forward` must keep 2 planes, .*; got 3"),
        ("forward", lambda out: (out[0], None), "must return a tuple of planes as kept; got NoneType"),
        ("partials", lambda out: None, "`partials` must return a tuple of planes as planes; got NoneType"),
        ("partials", lambda out: (out[0], 1.0, out[2]), r"\(8, 4\) as planes; got float"),
        ("backward", lambda out: None, r"`backward` must return \(d_a, d_s_prev\); got NoneType"),
        ("backward", lambda out: (out[0][0], out[1]), "a tuple of planes as d_a; got ndarray"),
        ("backward", lambda out: ((*out[0], out[0][0]), out[1]), r"2 planes as d_a, for \('g', 'c'\); got 3"),
        ("backward", lambda out: (out[0], ()), "d_s_prev a plane or None for each of .*; got tuple of 0"),
        ("backward", lambda out: (out[0], (*out[1], None)), "d_s_prev a plane or None .*; got tuple of 2"),
        ("backward", lambda out: (out[0], (out[1][0][:, :1],)), r"\(8, 4\) as d_s_prev; got \(8, 1\)"),
    ],
)  # fmt: skip
def test_the_form_of_what_a_pair_returns(function: str, change: Any, detail: str) -> None:
    cell = one_pair(UGRNN, **{function: returning(getattr(PAIR, function), change)})
    (failure,) = gradcheck_cell(cell).failures
    assert (failure.check, failure.subject) == ("form", "own pair 0")
    assert re.search(detail, failure.detail)


def test_the_form_of_an_operand_and_of_a_vector() -> None:
    operand = returning(BEFORE.forward, lambda out: (None, out[1]))
    (failure,) = gradcheck_cell(one_pair(CELLS["gru_reset_before"], forward=operand)).failures
    assert "as the next pair's operand; got NoneType" in failure.detail
    before, after = CELLS["gru_reset_before"].pairs
    bare = after._replace(forward=returning(after.forward, lambda out: (out[0].h, out[1])))
    failures = gradcheck_cell(CELLS["gru_reset_before"]._replace(pairs=(before, bare))).failures
    assert {"`forward` must return a state with the fields ('h',); got ndarray"} == {
        f.detail for f in failures
    }
    peephole = lstm.cell(peepholes=True)

    def summed(out: Any) -> Any:
        return (*out[0][:-1], out[0][-1].sum(axis=1, keepdims=True)), out[1]

    cell = one_pair(peephole, backward=returning(peephole.pairs[0].backward, summed))
    (failure,) = gradcheck_cell(cell).failures
    assert "must return planes (H, B) = (8, 4) as d_a; got (8, 1)" in failure.detail


def test_backends_of_another_precision() -> None:
    """Differences are of float64, whatever the backend's own precision."""
    backend = open_backend("numpy", "float32")
    assert double(backend).precision == "float64"
    assert double(backend) == double("numpy")
    assert found(gradcheck(rx.RNN(2, 2), backend=backend), "params.0.weight_hh").value < 1e-8
    assert gradcheck_cell(UGRNN, backend=backend).findings == gradcheck_cell(UGRNN).findings


def test_cells_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"`cell` must be a rnn_xp\.Cell; got str"):
        gradcheck_cell("gru")
    with pytest.raises(ValueError, match="`hidden_size` must be an integer of at least 1; got 0"):
        gradcheck_cell(UGRNN, hidden_size=0)


def test_no_optional_library_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("gmpy2", "mpmath", "torch"):
        monkeypatch.setitem(sys.modules, library, None)
    assert gradcheck(rx.RNN(1, 2), mode="directional").passed
