"""A certificate: every check there is, on the machine at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

from rnn_xp import checks
from rnn_xp.backend import Backend, get_backend
from rnn_xp.cells import Cell
from rnn_xp.layers import GRU, LSTM, RNN, LastStep, Linear, MaxPool, MeanPool
from rnn_xp.model import Sequential
from rnn_xp.table import table
from rnn_xp.verify.backends import parity
from rnn_xp.verify.bits import random_bits
from rnn_xp.verify.configurations import FAMILIES, configuration
from rnn_xp.verify.digits import namespace
from rnn_xp.verify.gradients import gradcheck
from rnn_xp.verify.machine import versions
from rnn_xp.verify.own_cell import OTHERS, WIDE, about, skipped
from rnn_xp.verify.pairs import gradcheck_cell
from rnn_xp.verify.problems import double
from rnn_xp.verify.report import SKIPPED, Report, joined
from rnn_xp.verify.suite.run import properties
from rnn_xp.verify.survey import certify
from rnn_xp.verify.truth import DTYPES

FORMAT = 1

LAYERS = (
    RNN(3, WIDE),
    RNN(3, WIDE, nonlinearity="relu", bidirectional=True),
    GRU(3, WIDE, 2),
    GRU(3, WIDE, reset="before", reverse=True),
    LSTM(3, WIDE, 2, bidirectional=True),
    LSTM(3, WIDE, proj_size=8),
    LSTM(3, WIDE, peepholes=True, coupled=True),
)
POOLS = (LastStep(), MeanPool(), MaxPool())
MODELS = (
    *LAYERS,
    *(Sequential(LSTM(3, WIDE, bidirectional=True), pool, Linear(2 * WIDE, 2)) for pool in POOLS),
)
"""What the property suite is run on."""

Progress = Callable[[str, int, int], Any]


@dataclass(frozen=True)
class Certificate:
    """What all checks found on one backend of one machine.

    Attributes
    ----------
    made : dict
        When, where and with what: JSON values.
    rounding : list of dict
        For each family of cells how many configurations there were, and the worst errors in eps.
    reports : tuple of Report
    """

    made: dict[str, Any]
    rounding: list[dict[str, Any]]
    reports: tuple[Report, ...]

    @property
    def passed(self) -> bool:
        """Whether something passed and nothing failed; a check of what is not installed does not count."""
        compared = [report for report in self.reports if report.counts().keys() != {SKIPPED}]
        return bool(compared) and all(report.passed for report in compared)

    def json(self) -> dict[str, Any]:
        """Return it as JSON values: a summary of each check, and every failure in full."""
        reports = [report.digest() for report in self.reports]
        return {"passed": self.passed, **self.made, "rounding": self.rounding, "reports": reports}

    def __str__(self) -> str:
        """Write it for people."""
        made = self.made
        where = f"{made['backend']}, {made['device']}, {made['hardware']}"
        what = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
        verdict = "every check passed" if self.passed else "CHECKS FAILED"
        lines = [f"rnn_xp on {where}: {verdict}", f"{made['date']}; {what}", "", self._rounding(), ""]
        return "\n".join([*lines, *map(str, self.reports)])

    def _rounding(self) -> str:
        """Write the worst errors of each family."""
        header = ["worst error in eps", "configurations"]
        header += [f"{dtype} {side}" for dtype in DTYPES for side in ("forward", "gradient")]
        rows = [
            [row["family"], row["configurations"], *[f"{row[each]:.1f}" for each in header[2:]]]
            for row in self.rounding
        ]
        return table(header, rows)


def certificate(
    backend: str | Backend | None = None,
    *,
    count: int = 2000,
    seed: int = 0,
    digits: int = 50,
    progress: Progress | None = None,
) -> Certificate:
    """Run every check on a backend.

    Parameters
    ----------
    backend : str or Backend, optional
        As `get_backend` takes it. Derivatives, properties and random bits are checked there, and parity with
        NumPy, or of NumPy with the other libraries that are installed. Gradients are checked element by
        element on NumPy, along random directions elsewhere. Rounding is that of NumPy.
    count : int
        How many random configurations are run at high precision.
    seed, digits : int
    progress : function, optional
        progress(section, done, total).

    Returns
    -------
    Certificate
        `json()` is to be stored, `str()` to be read.

    Raises
    ------
    ModuleNotFoundError
        Where neither gmpy2 nor mpmath is installed.
    BackendError, TypeError, ValueError
        Where an argument is not as described.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> made = rx.verify.certificate("numpy", count=15)  # doctest: +SKIP
    >>> made.passed  # doctest: +SKIP
    True
    """
    own = double(get_backend(backend))
    with namespace(digits):  # what it needs, before the minutes that it takes
        checks.integer("count", count)
    seed = checks.integer("seed", seed, 0, 2**32 - 1)
    tell = progress or (lambda *_: None)
    mode = "full" if own.name == "numpy" else "directional"  # a call costs others ten times as much
    families = len(FAMILIES)
    layers = [configuration(seed, index).layer for index in range(families)]
    cells = list(dict.fromkeys(layer.cell for layer in layers))

    def each(section: str, what: list[Any], run: Callable[[Any], Report]) -> Report:
        reports = []
        for done, one in enumerate(what):
            tell(section, done, len(what))
            reports.append(about(one.name if isinstance(one, Cell) else one, run(one)))
        return joined(section, reports)

    def against(other: str) -> Report:
        section = f"parity with {other}"
        if own.name == "numpy" and find_spec(other) is None:
            return skipped(section, "every tensor", f"{other} is not installed")
        return each(section, layers, lambda layer: parity(layer, own, other, seed=seed))

    models = [*layers, *[Sequential(layer, LastStep(), Linear(layer.output_size, 2)) for layer in layers]]
    derivatives = each(
        "derivatives of cells", cells, lambda cell: gradcheck_cell(cell, backend=own, seed=seed)
    )
    gradients = each(
        "gradients of layers", models, lambda layer: gradcheck(layer, mode=mode, backend=own, seed=seed)
    )
    title = f"rounding at {digits} digits"
    found, rows = certify(count, seed, digits, lambda done, total: tell(title, done, total))
    rounding = Report(title, found.findings)
    suite = each("properties", list(MODELS), lambda layer: properties(layer, seed=seed, backend=own))
    others = OTHERS if own.name == "numpy" else ("numpy",)
    made = {
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "backend": own.name,
        "device": str(own.device),
        "hardware": own.hardware,
        "versions": versions(),
        "seed": seed,
        "digits": digits,
    }
    bits = Report("random bits", random_bits(own).findings)
    reports = (derivatives, gradients, rounding, suite, bits, *map(against, others))
    return Certificate(made, _worst(rows), reports)


def _worst(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each family the worst errors in eps."""
    result = []
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family]
        if own:
            told: dict[str, Any] = {"family": family, "configurations": len(own)}
            for dtype in DTYPES:
                for side in ("forward", "gradient"):
                    errors = [row[dtype][side]["eps"] for row in own]
                    told[f"{dtype} {side}"] = max(
                        errors, key=lambda error: (error != error, error)
                    )  # NaN first
            result.append(told)
    return result
