"""What a diagnosis says: its findings, causes before effects, and the numbers that it looked at."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Any, NamedTuple

WIDTH = 100
"""Characters of a line of a page."""

KINDS = {
    "not-finite": "numbers that are not finite",
    "constant": "features that never change",
    "labels": "labels that X does not tell",
    "axes": "axes that look exchanged",
    "padding": "padding that is read as data",
    "scale": "features that are not scaled",
    "target-scale": "targets that are not scaled",
    "rate-high": "a learning rate that is too high",
    "clipping": "clipping that leaves next to nothing of a step",
    "rate-low": "a learning rate that is too low",
    "symmetric": "units that are all alike",
    "saturated": "gates or units that are saturated",
    "dead": "units that never move",
    "exploding": "an exploding gradient",
    "vanishing": "a vanishing gradient",
    "imbalance": "a rare class that is never answered",
    "overfitting": "overfitting",
    "untrained": "too few epochs",
    "underfitting": "underfitting",
}
"""Every kind of finding in words, what causes others first."""


class Finding(NamedTuple):
    """Something that keeps a model from learning."""

    kind: str  # one of `KINDS`
    what: str  # a sentence
    where: str  # "layer 0, gate i", "feature 3", "the labels"
    evidence: str  # the numbers
    remedy: str  # what to do


class Diagnosis:
    """The findings, causes before effects, and the numbers looked at; `str` makes a page of it.

    Attributes
    ----------
    findings : list of Finding
        Empty where nothing is wrong.
    numbers : dict
        What was looked at, by name.
    """

    def __init__(self, findings: Iterable[Finding], numbers: dict[str, Any]) -> None:
        order = list(KINDS)
        self.findings = sorted(findings, key=lambda finding: order.index(finding.kind))
        self.numbers = numbers

    @property
    def kinds(self) -> list[str]:
        """The kinds of the findings, each once."""
        return list(dict.fromkeys(finding.kind for finding in self.findings))

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON values."""
        return {"findings": [finding._asdict() for finding in self.findings], "numbers": self.numbers}

    def __repr__(self) -> str:
        return f"Diagnosis({', '.join(self.kinds) or 'no finding'})"

    def __str__(self) -> str:
        lines = [] if self.findings else ["Nothing found that keeps it from learning.", ""]
        for number, finding in enumerate(self.findings, 1):
            lines.append(f"{number}. {KINDS[finding.kind]} ({finding.where})")
            for text in (finding.what, f"evidence: {finding.evidence}.", f"remedy: {finding.remedy}"):
                lines += wrap(text, WIDTH, initial_indent="   ", subsequent_indent="     ")
            lines.append("")
        width = max(map(len, self.numbers), default=0)
        lines.append("looked at")
        lines += [f"   {name:<{width}}  {_in_words(value)}" for name, value in self.numbers.items()]
        return "\n".join(lines)


def _in_words(value: Any) -> str:
    """Write numbers shortly."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(own)}" for name, own in value.items())
    if isinstance(value, list):
        return " to ".join(map(_in_words, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
