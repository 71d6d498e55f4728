"""The rounding errors of a layer, in units of eps, against the same source at 50 digits.

What such an oracle cannot see is a wrong formula, which it shares. So the truth is checked, too: its gradient
along a random direction against a central difference of a step so small that 25 digits must agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_xp import checks
from rnn_xp.layers import Layer
from rnn_xp.random import Rng
from rnn_xp.typing import Tree
from rnn_xp.verify.digits import ForeignCallError, UnknownNameError
from rnn_xp.verify.problems import DRAWS, check_layer, problem
from rnn_xp.verify.report import FAILED, SKIPPED, Finding, Report, measured
from rnn_xp.verify.truth import DTYPES, Errors, errors

LIMIT = 100.0
"""Of error / (sqrt(T) condition) in eps: the roundings of the steps add up at random."""

TELLING = 0.1
"""The largest relative error that a limit may allow: beyond, a tensor's condition lets nothing fail."""


def oracle(
    layer: Layer,
    params: Tree | None = None,
    x: Any = None,
    state_0: Tree | None = None,
    *,
    lengths: Sequence[int] | None = None,
    rng: Rng | None = None,
    dtypes: Sequence[str] = DTYPES,
    digits: int = 50,
    seed: int = 0,
) -> Report:
    """Measure the rounding errors of a layer or model on NumPy, forward and backward, against many digits.

    Every run starts from the same numbers, rounded to the coarsest dtype. The error of a tensor q is
    max|q - q_true| / max|q_true|, in eps; a tensor that is zero in truth must be zero.

    Parameters
    ----------
    layer : Layer
        One of rnn_xp's, or a `Sequential`.
    params, x, state_0, lengths : optional
        As `layer.forward` takes them. Without `params` they are drawn by its initialiser; without `x`, that,
        an initial state and lengths are.
    rng : Rng, optional
        The key of the dropout masks.
    dtypes : sequence of {"float64", "float32"}
    digits : int
    seed : int

    Returns
    -------
    report : Report
        A finding for each dtype and tensor, whose limit is 100 sqrt(T) eps times the tensor's condition: how
        many times a relative change of the inputs shows in it. Where that limit is above 0.1 nothing could
        fail, and the tensor is not compared. And one that checks the truth itself.

    Raises
    ------
    ModuleNotFoundError
        Where neither gmpy2 nor mpmath is installed.
    TypeError, ValueError
        Where an argument is not as described.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> report = oracle(rx.LSTM(2, 2))
    >>> report.passed
    True
    >>> report.findings[0].check, report.findings[0].subject, report.findings[0].unit
    ('float64 against 50 digits', 'y', 'eps')
    """
    check_layer(layer)
    if isinstance(dtypes, str) or not dtypes:
        msg = f"`dtypes` must be a sequence of at least one dtype, such as ('float64',); got {dtypes!r}."
        raise ValueError(msg)
    dtypes = tuple(checks.one_of("dtypes", dtype, DTYPES) for dtype in dtypes)
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    coarsest = "float32" if "float32" in dtypes else "float64"
    drawn = all(each is None for each in (params, x, state_0))
    title = f"rounding of {layer!r}"
    for _ in range(DRAWS if drawn else 1):
        given = problem(layer, params, x, state_0, lengths, rng, generator, start=x is None).rounded(coarsest)
        try:
            found = errors(layer, given, dtypes, digits, seed)
        except UnknownNameError as error:
            return Report(title, (Finding(f"{digits} digits", "every tensor", SKIPPED, detail=str(error)),))
        except ForeignCallError as error:
            return Report(title, (Finding(f"{digits} digits", "every tensor", FAILED, detail=str(error)),))
        findings = [
            _finding(against(dtype, digits), name, eps, found.condition[name], dtype, given.steps)
            for dtype, tensors in found.eps.items()
            for name, eps in tensors.items()
        ]
        if not _gradients(found) <= found.zero or any(finding.outcome == FAILED for finding in findings):
            break
    left = {finding.subject for finding in findings if finding.outcome != SKIPPED}
    findings.append(slope_finding(found.slope, digits, "one direction"))
    findings += _vacuous(found, left)
    return Report(title, tuple(findings))


def _finding(check: str, name: str, eps: float, condition: float, dtype: str, steps: int) -> Finding:
    """Return the finding of a tensor, if its condition lets it tell anything."""
    limit = LIMIT * math.sqrt(steps) * condition
    if math.isfinite(eps) and not telling(limit, dtype):
        detail = f"condition {condition:.3g}: {dtype} can tell nothing here"
        return Finding(check, name, SKIPPED, detail=detail)
    return measured(check, name, eps, limit, "eps", f"condition {condition:.3g}")


def telling(limit: float, dtype: str) -> bool:
    """Tell whether an error of a dtype can be above a limit in eps."""
    return limit * float(np.finfo(dtype).eps) <= TELLING


def _gradients(found: Errors) -> set[str]:
    """Return the names of the parameters' gradients; of a layer without parameters, those of all tensors."""
    return {name for name in found.condition if name.startswith("d_params")} or set(found.condition)


def _vacuous(found: Errors, left: set[str]) -> list[Finding]:
    """Fail where no gradient that is not zero was compared."""
    if _gradients(found) <= found.zero:
        detail = "every gradient is zero in truth, so nothing was compared: another seed, or a wider layer"
    elif not (_gradients(found) & left) - found.zero:
        detail = "no gradient is conditioned well enough to be compared: smaller weights, or fewer steps"
    else:
        return []
    return [Finding("rounding", "d_params", FAILED, detail=detail)]


def against(dtype: str, digits: int) -> str:
    """Return the name of the check of rounding errors."""
    return f"{dtype} against {digits} digits"


def slope_finding(error: float | None, digits: int, subject: str, detail: str = "") -> Finding:
    """Return the finding of the truth's gradient: half of its digits must agree with a difference."""
    check = f"gradient at {digits} digits"
    if error is None:
        return Finding(check, subject, SKIPPED, detail="the direction meets no slope, or a kink")
    return measured(check, subject, error, 10.0 ** -(digits // 2), "relative", detail)
