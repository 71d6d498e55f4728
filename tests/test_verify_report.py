"""What a report says of findings made up by hand."""

from __future__ import annotations

import json
import math

import pytest

from rnn_xp.verify.report import FAILED, PASSED, SKIPPED, Finding, Report, VerificationError, joined, measured

GOOD = measured("gradient", "x", 1e-9, 1e-7, "relative", "worst element [0]")
BAD = measured("gradient", "weight", 2e-3, 1e-7, "relative")
NEAR = measured("rounding", "y", 90.0, 100.0, "eps")
ABSENT = Finding("causality", "y", SKIPPED, detail="y has no time axis")


@pytest.mark.parametrize(
    ("findings", "passed"),
    [
        ((), False),
        ((ABSENT,), False),
        ((GOOD,), True),
        ((GOOD, ABSENT), True),
        ((GOOD, BAD), False),
        ((Finding("a", "b", PASSED),), True),
        ((Finding("a", "b", FAILED),), False),
    ],
)
def test_passed(findings: tuple[Finding, ...], passed: bool) -> None:
    report = Report("checks", findings)
    assert report.passed == passed
    if passed:
        assert report.require() is report
    else:
        with pytest.raises(VerificationError, match=r"^checks: FAILED\n  "):
            report.require()


def test_what_is_required_to_pass_says_what_failed() -> None:
    with pytest.raises(
        AssertionError, match=r"\n  failed: gradient, weight; 0\.002 \(limit 1e-07\) relative$"
    ):
        Report("checks", (GOOD, BAD, NEAR)).require()
    with pytest.raises(VerificationError, match="nothing was compared"):
        Report("checks", (ABSENT,)).require()


@pytest.mark.parametrize(
    ("value", "limit", "outcome"), [(1, 1, PASSED), (2, 1, FAILED), (math.nan, 1, FAILED)]
)
def test_measured(value: float, limit: float, outcome: str) -> None:
    assert measured("a", "b", value, limit, "eps").outcome == outcome


def test_the_worst_is_nearest_to_its_limit() -> None:
    assert Report("checks", (GOOD, NEAR, ABSENT)).worst is NEAR
    assert Report("checks", (GOOD, NEAR, BAD)).worst is BAD
    lost = measured("gradient", "y", math.nan, 1e-7, "relative")
    assert Report("checks", (BAD, lost)).worst is lost
    exact = measured("bits", "y", 1.0, 0.0, "")
    assert Report("checks", (exact, BAD)).worst is exact
    assert Report("checks", (measured("bits", "y", 0.0, 0.0, ""), GOOD)).worst is GOOD
    with pytest.raises(ValueError, match=r"^checks: nothing was measured\.$"):
        Report("checks", (ABSENT,)).worst  # noqa: B018


def test_words() -> None:
    both = joined("both", [Report("one", (GOOD, BAD)), Report("two", (NEAR, ABSENT))])
    assert str(both).splitlines() == [
        "both: FAILED",
        "  gradient: 1 passed, 1 failed; worst 0.002 of 1e-07 relative",
        "  rounding: 1 passed; worst 90 of 1e+02 eps",
        "  causality: 1 not applicable (y has no time axis)",
        "  failed: gradient, weight; 0.002 (limit 1e-07) relative",
    ]
    assert str(GOOD) == "passed: gradient, x; 1e-09 (limit 1e-07) relative; worst element [0]"
    assert str(ABSENT) == "not applicable: causality, y; y has no time axis"
    assert str(Report("nothing", ())) == "nothing: FAILED"


def test_json() -> None:
    told = json.loads(json.dumps(Report("checks", (GOOD, ABSENT)).json()))
    assert told["passed"] is True
    assert told["findings"][1] == ABSENT._asdict()
    assert list(Report("checks", (GOOD, ABSENT))) == [GOOD, ABSENT]


def test_json_is_strict_where_numbers_are_not_finite() -> None:
    lost, beyond = (measured("a", "b", value, 1.0, "eps") for value in (math.nan, math.inf))
    report = Report("checks", (GOOD, lost, beyond, ABSENT))
    told = json.loads(json.dumps(report.json(), allow_nan=False))
    assert [finding["value"] for finding in told["findings"]] == [1e-9, "nan", "inf", None]
    digest = json.loads(json.dumps(report.digest(), allow_nan=False))
    assert [each["value"] for each in digest["failures"]] == ["nan", "inf"]
    assert digest["checks"] == [
        {"check": "gradient", "passed": 1, "worst": {**GOOD._asdict()}},
        {"check": "a", "failed": 2, "worst": {**lost._asdict(), "value": "nan"}},
        {"check": "causality", "not applicable": 1, "worst": None},
    ]
