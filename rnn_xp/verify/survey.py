"""The oracle over a stream of random configurations: the worst of every family of cells and kind of mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rnn_xp import checks
from rnn_xp.verify.configurations import FAMILIES, MASKS, Configuration, configurations
from rnn_xp.verify.report import SKIPPED, Finding, Report, measured
from rnn_xp.verify.rounding import LIMIT, against, slope_finding, telling
from rnn_xp.verify.truth import DTYPES, Errors, errors

SIDES = ("forward", "gradient")
UNIT = "eps/(sqrt(T) condition)"
USUAL_INIT = "pytorch"


def certify(
    count: int = 2000,
    seed: int = 0,
    digits: int = 50,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Report, list[dict[str, Any]]]:
    """Run the oracle over random configurations of every cell, option and mask.

    Parameters
    ----------
    count : int
        How many configurations; 75 hold every family with every kind of mask once.
    seed : int
    digits : int
    progress : function, optional
        progress(done, total), called after each configuration.

    Returns
    -------
    report : Report
        For each dtype the worst error over sqrt(T) of each family and of each kind of mask, with its
        configuration: of those at default initialisation; and of all, over the tensor's condition. And for
        each family the worst gradient at high precision.
    rows : list of dict
        One for each configuration, of JSON values: the worst tensors of the forward pass and of the gradients
        in each dtype, in eps and, of those whose condition lets them tell anything, in eps over it; and how
        many others there were, `not_telling`.

    Raises
    ------
    ModuleNotFoundError
        Where neither gmpy2 nor mpmath is installed.
    TypeError, ValueError
        Where an argument is not as described.

    Examples
    --------
    >>> report, rows = certify(2, digits=30)
    >>> report.passed, rows[0]["family"], sorted(rows[0]["float64"])
    (True, 'rnn tanh', ['forward', 'gradient'])
    """
    checks.integer("count", count)
    rows = []
    for configuration in configurations(count, seed):
        found = errors(configuration.layer, configuration.problem(), DTYPES, digits, seed)
        rows.append(_row(configuration, found))
        if progress is not None:
            progress(len(rows), count)
    usual = [row for row in rows if row["init"] == USUAL_INIT]
    findings = [
        *_worst(usual, "eps", "tensor", "default initialisation, ", "eps/sqrt(T)", digits),
        *_worst(rows, "eps_over_condition", "tensor_over_condition", "by condition, ", UNIT, digits),
    ]
    for family in FAMILIES:
        slopes = [row for row in rows if row["family"] == family]
        known = [row for row in slopes if row["slope"] is not None]
        if known:
            worst = max(known, key=lambda row: _above_all(row["slope"]))
            findings.append(slope_finding(worst["slope"], digits, family, worst["configuration"]))
        elif slopes:
            findings.append(slope_finding(None, digits, family))
    return Report(f"{count} random configurations, seed {seed}", tuple(findings)), rows


def _row(configuration: Configuration, found: Errors) -> dict[str, Any]:
    """Return what one configuration gave, as JSON values."""
    row: dict[str, Any] = {
        "index": configuration.index,
        "configuration": str(configuration),
        "family": configuration.family,
        "mask": configuration.mask,
        "init": configuration.init,
        "T": configuration.steps,
        "slope": found.slope,
    }
    for dtype, tensors in found.eps.items():
        row[dtype] = {}
        for side in SIDES:
            names = [name for name in tensors if name.startswith("d_") == (side == "gradient")]
            limits = {name: LIMIT * math.sqrt(configuration.steps) * found.condition[name] for name in names}
            shares = {
                name: tensors[name] / found.condition[name]
                for name in names
                if telling(limits[name], dtype) or not math.isfinite(tensors[name])
            }
            tensor = max(names, key=lambda name: _above_all(tensors[name]))
            share = max(shares, key=lambda name: _above_all(shares[name]), default=None)
            row[dtype][side] = {
                "eps": tensors[tensor],
                "tensor": tensor,
                "condition": found.condition[tensor],
                "eps_over_condition": None if share is None else shares[share],
                "tensor_over_condition": share,
                "not_telling": len(names) - len(shares),
            }
    return row


def _worst(
    rows: list[dict[str, Any]], measure: str, tensor: str, which: str, unit: str, digits: int
) -> list[Finding]:
    """Return the worst error over sqrt(T) of every family, every kind of mask and every dtype."""
    groups = [("family", family) for family in FAMILIES] + [("mask", mask) for mask in MASKS]
    findings = []
    for dtype in DTYPES:
        for key, group in groups:
            found = [
                (row[dtype][side][measure] / math.sqrt(row["T"]), row, side)
                for row in rows
                if row[key] == group
                for side in SIDES
                if row[dtype][side][measure] is not None
            ]
            name = which + against(dtype, digits)
            if found:
                value, row, side = max(found, key=lambda each: _above_all(each[0]))
                detail = f"{row[dtype][side][tensor]} of {row['configuration']}"
                findings.append(measured(name, f"{key} {group}", value, LIMIT, unit, detail))
            elif any(row[key] == group for row in rows):
                detail = "no tensor is conditioned well enough to be compared"
                findings.append(Finding(name, f"{key} {group}", SKIPPED, detail=detail))
    return findings


def _above_all(value: float) -> float:
    """Return the value, with NaN as the largest."""
    return math.inf if math.isnan(value) else value
