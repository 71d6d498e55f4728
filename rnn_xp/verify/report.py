"""What a check found: one form for all of them, to read, to compare and to store."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

PASSED, FAILED, SKIPPED = "passed", "failed", "not applicable"


class VerificationError(AssertionError):
    """A check that was required to pass did not; the message is its report."""


class Finding(NamedTuple):
    """What one check found on one subject.

    Attributes
    ----------
    check
        The name of the check: "gradient", "batch independence".
    subject
        What it looked at: a layer, a tensor.
    outcome
        `PASSED`, `FAILED`, or `SKIPPED`, which `detail` gives the reason of.
    value, limit
        What was measured and what is allowed, in `unit`; None where there is no number.
    unit
        Such as "eps" or "relative".
    detail
        One sentence: the worst element, the way out, the reason.
    """

    check: str
    subject: str
    outcome: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    detail: str = ""

    def __str__(self) -> str:
        words = [f"{self.outcome}: {self.check}, {self.subject}"]
        if self.value is not None:
            limit = "" if self.limit is None else f" (limit {self.limit:.3g})"
            words.append(f"{self.value:.3g}{limit} {self.unit}".rstrip())
        return "; ".join([*words, self.detail] if self.detail else words)


def measured(check: str, subject: str, value: float, limit: float, unit: str, detail: str = "") -> Finding:
    """Return the finding of a number that must not be above its limit; a NaN is."""
    outcome = PASSED if value <= limit else FAILED
    return Finding(check, subject, outcome, float(value), float(limit), unit, detail)


@dataclass(frozen=True)
class Report:
    """The findings of a check, which passes where something was compared and nothing failed.

    Examples
    --------
    >>> report = Report("sums", (measured("sum", "1 + 1", 0.0, 1.0, "eps"),))
    >>> report.passed
    True
    >>> Report("nothing", ()).passed
    False
    """

    title: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether at least one finding passed and none failed."""
        outcomes = {finding.outcome for finding in self.findings}
        return PASSED in outcomes and FAILED not in outcomes

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if finding.outcome == FAILED)

    @property
    def measured(self) -> tuple[Finding, ...]:
        """The findings that are a number and its limit."""
        return tuple(each for each in self if each.value is not None and each.limit is not None)

    @property
    def worst(self) -> Finding:
        """The finding nearest to, or farthest above, its limit."""
        if not self.measured:
            msg = f"{self.title}: nothing was measured."
            raise ValueError(msg)
        return max(self.measured, key=_ratio)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __str__(self) -> str:
        """Write a line for each check, then every failure in full."""
        skipped = self.counts().keys() == {SKIPPED}
        outcome = PASSED if self.passed else SKIPPED if skipped else FAILED.upper()
        lines = [f"{self.title}: {outcome}", *(f"  {line}" for line in self.summary())]
        return "\n".join([*lines, *(f"  {failure}" for failure in self.failures)])

    def by_check(self) -> list[Report]:
        """Return a report for each kind of check."""
        kinds = dict.fromkeys(finding.check for finding in self)
        return [Report(kind, tuple(each for each in self if each.check == kind)) for kind in kinds]

    def counts(self) -> dict[str, int]:
        """Return how many findings had which outcome."""
        found = Counter(finding.outcome for finding in self)
        return {outcome: found[outcome] for outcome in (PASSED, FAILED, SKIPPED) if found[outcome]}

    def summary(self) -> list[str]:
        """Return a line for each check: how many findings, and the worst number."""
        lines = []
        for own in self.by_check():
            told = ", ".join(f"{count} {outcome}" for outcome, count in own.counts().items())
            if own.measured:
                worst = own.worst
                told += f"; worst {worst.value:.2g} of {worst.limit:.2g} {worst.unit}".rstrip()
            reasons = dict.fromkeys(finding.detail for finding in own if finding.outcome == SKIPPED)
            if reasons:
                told += f" ({'; '.join(reasons)})"
            lines.append(f"{own.title}: {told}")
        return lines

    def require(self) -> Report:
        """Return the report, or raise a `VerificationError` that says what failed."""
        if not self.passed:
            faults = self.failures or ("nothing was compared",)
            raise VerificationError("\n".join([f"{self.title}: FAILED", *(f"  {fault}" for fault in faults)]))
        return self

    def json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "title": self.title,
            "passed": self.passed,
            "findings": [_json(finding) for finding in self],
        }

    def digest(self) -> dict[str, Any]:
        """Return, as JSON values, a summary of each check, and every failure in full."""
        kinds = [
            {"check": own.title, **own.counts(), "worst": _json(own.worst) if own.measured else None}
            for own in self.by_check()
        ]
        failures = [_json(finding) for finding in self.failures]
        return {"title": self.title, "passed": self.passed, "checks": kinds, "failures": failures}


def joined(title: str, reports: Iterable[Report]) -> Report:
    """Return several reports as one."""
    return Report(title, tuple(finding for report in reports for finding in report))


def _json(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values, which know no NaN and no infinity: they are written out."""
    value = finding.value
    told = value if value is None or math.isfinite(value) else str(value)
    return {**finding._asdict(), "value": told}


def _ratio(finding: Finding) -> float:
    """Return the measured share of the limit; NaN, and anything above a limit of 0, are the worst."""
    assert finding.value is not None
    assert finding.limit is not None
    if finding.value != finding.value or (finding.limit == 0.0 and finding.value > 0.0):
        return float("inf")
    return 0.0 if finding.value == 0.0 else finding.value / finding.limit
