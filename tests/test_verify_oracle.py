"""High precision: its functions against mpmath, the errors it measures, and what the survey makes of them."""

from __future__ import annotations

import json
import math
import re
import sys
from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest
from support import MAKERS, UGRNN, open_backend

import rnn_xp as rx
from rnn_xp.layers.linear import LinearParams
from rnn_xp.sequence import Params
from rnn_xp.verify import rounding, survey, truth
from rnn_xp.verify.configurations import FAMILIES, MASKS, configuration, configurations
from rnn_xp.verify.digits import FUNCTIONS, namespace
from rnn_xp.verify.report import FAILED, PASSED, SKIPPED, Report
from rnn_xp.verify.rounding import oracle
from rnn_xp.verify.survey import certify

NUMPY = open_backend("numpy")
LIBRARIES = ("gmpy2", "mpmath")
DOMAINS = {
    **dict.fromkeys(("log", "log2", "log10", "log1p", "sqrt"), (0.0, math.inf)),
    **dict.fromkeys(("acos", "asin", "atanh"), (-1.0, 1.0)),
    "acosh": (1.0, math.inf),
}
POINTS = (-30.0, -2.5, -1e-8, 0.1, 1.0, 3.0, 700.0)


def exact(value: Any) -> Any:
    """Return a number of either library as an mpmath one: by its digits."""
    return mpmath.mpf(str(value) if type(value).__name__ == "mpfr" else value)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", [*FUNCTIONS, "log2", "logaddexp"])
def test_functions(name: str, library: str) -> None:
    low, high = DOMAINS.get(name, (-math.inf, math.inf))
    points = np.array([p for p in POINTS if low < p < high])
    with namespace(50, library) as xp, mpmath.workdps(80):
        x = xp.asarray(points)
        if name == "logaddexp":
            values = xp.logaddexp(x, xp.full_like(x, 0.3))
            expected = [
                mpmath.log(mpmath.exp(mpmath.mpf(p)) + mpmath.exp(mpmath.mpf(0.3))) for p in points.tolist()
            ]
        else:
            values = getattr(xp, name)(x)
            function = getattr(mpmath, name, lambda p: mpmath.log(p, 2))
            expected = [function(mpmath.mpf(p)) for p in points.tolist()]
        for value, true in zip(values, expected, strict=True):
            assert abs(exact(value) - true) <= abs(true) * mpmath.mpf(10) ** -50


@pytest.mark.parametrize("library", LIBRARIES)
def test_numbers_stay_numbers(library: str) -> None:
    """A Python float among them would bring the precision down to its own."""
    with namespace(40, library) as xp:
        kind = type(xp.zeros(1)[0])
        x = xp.asarray(np.array([[1.5, -2.0]], np.float32))
        made = [
            x,
            xp.ones((2, 2)),
            xp.zeros((1,), dtype=x.dtype, device=x.device),
            xp.full((1,), 0.1, dtype=xp.float64),
            xp.zeros_like(x),
            xp.ones_like(x),
            xp.full_like(x, 0.1),
            xp.astype(x > 0.0, x.dtype),
            xp.where(x > 0.0, x, xp.zeros((), dtype=x.dtype)),
            xp.maximum(x, xp.zeros_like(x)),
            x @ x.T,
            xp.mean(x, axis=0),
            0.5 * x + 1.0,
            xp.clip(x, -0.3, 0.3),
            xp.clip(x, min=-2.5, max=None),
            xp.clip(x, max=xp.full((), 0.1)),
            xp.sign(x),
            xp.square(x),
            xp.pow(x, 2.0),
            xp.stack((x, x)),
            xp.prod(x, axis=1),
            xp.maximum(x, 0.1),
            xp.minimum(0.1, x),
            xp.where(x > 0.0, 0.1, x),
        ]
        assert kind.__name__ in ("mpfr", "mpf")
        assert all(type(each) is kind for array in made for each in np.ravel(array))
        assert xp.asarray([1, 2], dtype=xp.int64).dtype == np.int64
        assert xp.zeros_like(np.array([True])).dtype == np.bool_
        assert xp.asarray(np.array([0.1]))[0] == 0.1  # exactly
        view = x[:, :1]
        view[...] = 7.0
        assert x[0, 0] == 7.0
        x = xp.asarray([1.5, -2.0, 0.0])
        assert xp.clip(x, -0.5, 0.25).tolist() == [0.25, -0.5, 0.0]
        assert xp.sign(x).tolist() == [1.0, -1.0, 0.0]
        assert xp.pow(x, 2.0).tolist() == xp.square(x).tolist() == [2.25, 4.0, 0.0]
        assert xp.stack((x, x), axis=1).shape == (3, 2)
        assert xp.prod(x[:2]) == -3.0
        assert 1e-18 < abs(xp.ones(1)[0] / 3.0 - 1.0 / 3.0) < 1e-16  # what a float lacks of a third


def test_the_precision_ends_with_the_block() -> None:
    gmpy2 = pytest.importorskip("gmpy2")
    before = gmpy2.get_context().precision, mpmath.mp.prec
    with namespace(200), namespace(100, "mpmath"):
        pass
    assert (gmpy2.get_context().precision, mpmath.mp.prec) == before


def test_neither_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gmpy2", None)
    with namespace() as xp:
        assert type(xp.zeros(1)[0]).__name__ == "mpf"
    monkeypatch.setitem(sys.modules, "mpmath", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs gmpy2 or mpmath.*pip install "rnn-xp\[verify\]"'):
        oracle(rx.RNN(1, 1))


@pytest.mark.parametrize(
    ("digits", "library", "match"),
    [
        (15, None, "`digits` must be an integer of at least 16"),
        (50, "numpy", "`library` must be one of 'gmpy2'"),
    ],
)
def test_options_of_the_namespace(digits: int, library: str | None, match: str) -> None:
    with pytest.raises(ValueError, match=match), namespace(digits, library):
        pass


# The oracle.


def values(report: Report, check: str) -> dict[str, float]:
    return {finding.subject: finding.value for finding in report if finding.check.startswith(check)}


@pytest.mark.parametrize("name", MAKERS)
def test_every_cell(name: str) -> None:
    report = oracle(MAKERS[name](2, 3, 2)).require()
    for dtype in ("float64", "float32"):
        errors = values(report, dtype)
        assert {"y", "state_T.h", "d_params.1.weight_hh", "d_x", "d_state_0.h"} <= errors.keys()
        assert 0.1 < max(errors.values()) < 200.0  # roundings there are, of a size that five steps make
    assert values(report, "gradient")["one direction"] < 1e-28


def test_models() -> None:
    model = rx.Sequential(rx.Embedding(4, 2), rx.GRU(2, 2, 2, dropout=0.5), rx.MeanPool(), rx.Linear(2, 2))
    report = oracle(model, rng=rx.Rng(1, 2)).require()
    assert {"d_params.0.weight", "d_params.3.bias", "state_T.1.h"} <= values(report, "float64").keys()
    assert oracle(rx.Linear(2, 2), x=np.ones((3, 2)), dtypes=["float64"], digits=30).passed


def linear(x: list[list[float]]) -> tuple[rx.Linear, LinearParams, np.ndarray]:
    """Return y = x w with weights of 1: the sum of each row of x."""
    array = np.array(x)
    return rx.Linear(array.shape[1], 1, bias=False), LinearParams(np.ones((1, array.shape[1])), None), array


def test_an_error_is_measured_in_eps() -> None:
    """In float32 1 + 2^-24 is rounded to 1: half an eps, but for the size of the truth."""
    report = oracle(*linear([[1.0, 2.0**-24]]))
    assert values(report, "float32")["y"] == pytest.approx(0.5, rel=1e-6)
    assert values(report, "float64")["y"] == 0.0
    assert values(report, "float32")["d_params.weight"] == 0.0


def test_inputs_are_rounded_to_the_coarsest_dtype() -> None:
    layer, params, x = linear([[1.0, 1e-9]])
    assert values(oracle(layer, params, x + 1e-12), "float32")["y"] < 1.0
    report = oracle(layer, params, x + 1e-12, dtypes=["float64"])
    assert [finding.check for finding in report][:1] == ["float64 against 50 digits"]


class Rough(rx.Linear):
    """A layer whose floats are wrong by what `noise` says; its numbers of high precision are right."""

    noise = 0.0

    def run(self, params: Any, x: Any, state_0: Any, context: Any) -> Any:
        y, state_T, kept = super().run(params, x, state_0, context)
        return y if y.dtype == object else y + self.noise, state_T, kept


def rough(noise: float, inputs: int = 3) -> Rough:
    layer = Rough(inputs, 1, bias=False)
    object.__setattr__(layer, "noise", noise)
    return layer


@pytest.mark.parametrize(("last", "outcome"), [(-1.0, PASSED), (1.0, FAILED)])
def test_the_limit_knows_what_cancels(last: float, outcome: str) -> None:
    """1 + 2^-9 - 1 shows a change of its inputs up to 4 / 2^-9 times, and an error too."""
    _, params, x = linear([[1.0, 2.0**-9, last]])
    report = oracle(rough(1e-4 if last > 0.0 else 1e-6), params, x, dtypes=["float32"])
    (finding,) = [f for f in report if (f.check[:7], f.subject) == ("float32", "y")]
    assert finding.value > 400.0  # more than the limit of what does not cancel
    assert finding.outcome == outcome
    condition = finding.limit / 100.0
    # the change of x and that of w are drawn apart: the largest of three is 2 or 4 over the sum
    assert 2.0**9 < condition < 2.0**12 if last < 0.0 else condition < 2.1


def test_a_condition_that_lets_nothing_fail_is_told() -> None:
    """Of 1 + 2^-20 - 1, float32 knows nothing; float64 does."""
    _, params, x = linear([[1.0, 2.0**-20, -1.0]])
    report = oracle(rough(1e-9), params, x)
    outcomes = {f.check[:7]: f for f in report if f.subject == "y"}
    assert (outcomes["float32"].outcome, outcomes["float64"].outcome) == (SKIPPED, FAILED)
    assert re.fullmatch(r"condition \S+: float32 can tell nothing here", outcomes["float32"].detail)


@pytest.mark.parametrize("condition", [1e30, math.inf])
def test_conditions_that_leave_nothing_fail(condition: float, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rounding.errors

    def errors(*args: Any) -> Any:
        found = real(*args)
        return found._replace(condition=dict.fromkeys(found.condition, condition))

    monkeypatch.setattr(rounding, "errors", errors)
    report = oracle(rx.RNN(1, 2))
    (failure,) = report.failures
    assert "no gradient is conditioned well enough to be compared" in failure.detail
    assert {f.outcome for f in report if "against" in f.check} == {SKIPPED}


def test_a_rough_layer_fails() -> None:
    assert oracle(rough(0.0)).passed
    report = oracle(rough(1e-11))
    assert [(f.check, f.subject) for f in report.failures] == [("float64 against 50 digits", "y")]


def test_a_layer_that_overflows_fails() -> None:
    report = oracle(rough(np.nan))
    assert {f.subject for f in report.failures} == {"y"}
    assert all(math.isnan(f.value) for f in report.failures)


def test_what_is_zero_must_be_zero() -> None:
    layer, params, x = linear([[1.0, -1.0]])
    report = oracle(layer, params, x)
    assert values(report, "float64")["y"] == 0.0
    report = oracle(rough(1e-300, 2), params, x, dtypes=["float64"])
    assert values(report, "float64")["y"] == math.inf


@pytest.mark.parametrize("x", [np.zeros((0, 2, 2)), np.zeros((3, 2, 2))], ids=["no-step", "dead"])
def test_nothing_compared_fails(x: np.ndarray) -> None:
    """Units that are all 0 have no gradients; those of the weights that multiply zeros neither."""
    layer = rx.RNN(2, 3, nonlinearity="relu", bias=False)
    report = oracle(rx.Sequential(layer, rx.Linear(3, 1, bias=False)), x=x, seed=1)
    (failure,) = report.failures
    assert failure.detail.startswith("every gradient is zero in truth, so nothing was compared")


def test_units_at_rest_are_drawn_again() -> None:
    alone = rx.RNN(1, 1, nonlinearity="relu", bias=False)
    assert all(oracle(alone, seed=seed, digits=20).passed for seed in range(8))


def test_a_plain_tuple_for_a_key() -> None:
    model = rx.GRU(2, 2, 2, dropout=0.5)
    assert oracle(model, rng=(0, 3)) == oracle(model, rng=rx.Rng(0, 3))
    with pytest.raises(TypeError, match=r"`rng` must be a rnn_xp\.Rng\(seed, step\); got 3"):
        oracle(model, rng=3)


def test_a_wrong_derivative_is_no_rounding_error_but_found() -> None:
    """The oracle shares the formula; the difference of high precision does not."""
    pair = UGRNN.pairs[0]

    def partials(*args: Any, xp: Any) -> Any:
        h_g, h_c, h_h = pair.partials(*args, xp=xp)
        return h_g, h_c * (1.0 + 2.0**-40), h_h

    cell = UGRNN._replace(pairs=(pair._replace(partials=partials),))
    assert oracle(rx.Recurrent(UGRNN, 2, 3)).passed
    report = oracle(rx.Recurrent(cell, 2, 3))
    (failure,) = report.failures
    assert failure.subject == "one direction"
    assert 1e-15 < failure.value < 1e-10  # 2^-40 is 1e-12: far below what float64 differences see


def test_a_kink_has_no_slope() -> None:
    """relu of w x at x = 0; and, where x is not 0, the same layer has one."""
    layer = rx.RNN(1, 1, nonlinearity="relu", bias="input")
    params = (Params(np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)),)
    outcomes = {}
    for x in (0.0, 1.0):
        report = oracle(layer, params, np.full((1, 1, 1), x))
        (outcomes[x],) = [f.outcome for f in report if f.check == "gradient at 50 digits"]
    assert outcomes == {0.0: SKIPPED, 1.0: PASSED}


@pytest.mark.parametrize(
    ("function", "kink"),
    [(abs, True), (lambda x: x * abs(x), True), (lambda x: x * x, False), (lambda x: x + x**3, False)],
    ids=["slope", "curvature", "parabola", "cubic"],
)
def test_kinks(function: Any, kink: bool) -> None:
    """In the middle of 1 + x + function(x)."""
    far, near = (
        tuple(1.0 + function(side * h) / (side * h) for side in (-1.0, 1.0)) for h in (2.0**-10, 2.0**-11)
    )
    assert truth._kink(far, near, 1.0, 2.0**-10) is kink


def test_a_layer_that_is_none() -> None:
    with pytest.raises(TypeError, match="`layer` must be a layer or a Sequential of rnn_xp; got Cell"):
        oracle(UGRNN)


def test_unknown_dtypes() -> None:
    with pytest.raises(ValueError, match="`dtypes` must be one of 'float64', 'float32'; got 'float16'"):
        oracle(rx.RNN(1, 1), dtypes=["float16"])
    for dtypes in ("float64", (), []):
        with pytest.raises(ValueError, match="`dtypes` must be a sequence of at least one dtype"):
            oracle(rx.RNN(1, 1), dtypes=dtypes)


# Random configurations.


def test_every_family_meets_every_mask() -> None:
    drawn = list(configurations(300, seed=3))
    assert {(each.family, each.mask) for each in drawn[75:150]} == {(f, m) for f in FAMILIES for m in MASKS}
    for each in drawn:
        lengths = each.lengths
        assert (lengths is None) == (each.mask == "none")
        if lengths is None:
            continue
        assert len(lengths) == each.batch
        assert all(0 <= length <= each.steps for length in lengths)
        match each.mask:
            case "unsorted":
                assert list(lengths) != sorted(lengths, reverse=True)
            case "empty and full":
                assert {0, each.steps} <= set(lengths)
            case "equal and short":
                assert len(set(lengths)) == 1
                assert lengths[0] < each.steps
            case "of one step":
                assert 1 in lengths
    options = [each.layer for each in drawn]
    assert {each.num_layers for each in options} == {1, 2, 3}
    assert {each.bias for each in options} == {True, "input", False}
    assert {(each.bidirectional, each.reverse) for each in options} == {
        (False, False),
        (True, False),
        (False, True),
    }
    assert {each.start for each in drawn} == {True, False}
    assert max(each.steps for each in drawn) == 300
    assert any(each.layer.proj_size for each in drawn)


def test_a_configuration_is_what_its_seed_and_index_say() -> None:
    (*_, last) = configurations(40, seed=2)
    again = configuration(2, 39)
    assert again == last
    assert str(again) == str(last)
    assert "(seed 2, index 39)" in str(last)
    one, other = last.problem(), again.problem()
    assert one.x.tobytes() == other.x.tobytes()
    assert (one.x == one.x.astype(np.float32)).all()
    assert configuration(2, 40).problem().x.tobytes() != one.x.tobytes()
    assert configuration(3, 39) != last


@pytest.mark.parametrize(("count", "seed"), [(-1, 0), (1, -1)])
def test_counts_that_are_none(count: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must be an integer of at least 0"):
        configurations(count, seed)


# The survey.


def test_a_survey() -> None:
    seen: list[tuple[int, int]] = []
    report, rows = certify(75, seed=5, digits=30, progress=lambda *where: seen.append(where))
    report.require()
    assert seen == [(done, 75) for done in range(1, 76)]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [row["index"] for row in rows] == list(range(75))
    for which, dtype in product(("default initialisation", "by condition"), ("float64", "float32")):
        check = f"{which}, {dtype} against 30 digits"
        subjects = [finding.subject for finding in report if finding.check == check]
        assert subjects == [f"family {family}" for family in FAMILIES] + [f"mask {mask}" for mask in MASKS]
    assert [f.subject for f in report if f.check == "gradient at 30 digits"] == list(FAMILIES)
    # the finding of a family is the worst of its rows
    own = [row for row in rows if row["family"] == "lstm"]
    for which, measure, rows_of in (
        ("by condition", "eps_over_condition", own),
        ("default initialisation", "eps", [row for row in own if row["init"] == "pytorch"]),
    ):
        worst = max(
            row["float64"][side][measure] / math.sqrt(row["T"])
            for row in rows_of
            for side in ("forward", "gradient")
        )
        key = (f"{which}, float64 against 30 digits", "family lstm")
        (finding,) = [f for f in report if (f.check, f.subject) == key]
        assert finding.value == worst
        assert any(row["configuration"] in finding.detail for row in rows_of)
    for row in rows:
        assert row["float32"]["forward"]["tensor"].startswith(("y", "state_T"))
        assert row["float32"]["gradient"]["tensor"].startswith("d_")


def test_a_survey_names_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that is no number, and a wrong gradient, each in one configuration."""
    real, calls = survey.errors, []

    def errors(*args: Any) -> Any:
        found = real(*args)
        calls.append(found)
        if len(calls) == 4:
            found.eps["float32"]["d_x"] = math.nan
        return found._replace(slope=1e-6) if len(calls) == 7 else found

    monkeypatch.setattr(survey, "errors", errors)
    report, _ = certify(15, digits=30)
    assert [(f.check, f.subject) for f in report.failures] == [
        ("default initialisation, float32 against 30 digits", "family rnn, clip"),
        ("default initialisation, float32 against 30 digits", "mask none"),
        ("by condition, float32 against 30 digits", "family rnn, clip"),
        ("by condition, float32 against 30 digits", "mask none"),
        ("gradient at 30 digits", "gru, other activations"),
    ]
    assert "d_x of RNN(" in report.failures[0].detail
    assert all("index 3)" in failure.detail for failure in report.failures[:4])
    assert "index 6)" in report.failures[4].detail


def test_a_survey_leaves_out_what_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of 1e12 eps over a condition of 1e13 is no success."""
    real = survey.errors

    def errors(*args: Any) -> Any:
        found = real(*args)
        found.condition.update(dict.fromkeys(found.condition, 1e13), y=1.0)
        found.eps["float64"]["d_x"] = 1e12
        return found

    monkeypatch.setattr(survey, "errors", errors)
    report, rows = certify(1, digits=30)
    forward, gradient = (rows[0]["float64"][side] for side in ("forward", "gradient"))
    assert forward["tensor_over_condition"] == "y"
    assert forward["not_telling"] == 1
    assert gradient["eps_over_condition"] is gradient["tensor_over_condition"] is None
    assert gradient["eps"] == 1e12
    monkeypatch.setattr(survey, "telling", lambda *_: False)
    report, _ = certify(1, digits=30)
    assert {f.outcome for f in report if f.check.startswith("by condition")} == {SKIPPED}
    assert FAILED in {f.outcome for f in report if f.check.startswith("default")}


def test_a_survey_of_nothing() -> None:
    with pytest.raises(ValueError, match="`count` must be an integer of at least 1; got 0"):
        certify(0)


def test_a_family_of_which_no_slope_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    real = survey.errors
    monkeypatch.setattr(survey, "errors", lambda *args: real(*args)._replace(slope=None))
    report, _ = certify(1, digits=30)
    assert [(f.subject, f.outcome) for f in report if "gradient" in f.check] == [("rnn tanh", SKIPPED)]
    assert FAILED not in {f.outcome for f in report}
