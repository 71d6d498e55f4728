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
from rnn_xp.verify.problems import check_layer, problem
from rnn_xp.verify.report import FAILED, SKIPPED, Finding, Report, measured
from rnn_xp.verify.truth import DTYPES, errors

LIMIT = 100.0
"""Of error / (sqrt(T) condition) in eps: the roundings of the steps add up at random."""


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
        many times a relative change of the inputs shows in it. And one that checks the truth itself.

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
    dtypes = tuple(checks.one_of("dtypes", dtype, DTYPES) for dtype in dtypes)
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    given = problem(layer, params, x, state_0, lengths, rng, generator, start=x is None)
    given = given.rounded("float32" if "float32" in dtypes else "float64")
    found = errors(layer, given, dtypes, digits, seed)
    allowed = {name: LIMIT * math.sqrt(given.steps) * value for name, value in found.condition.items()}
    findings = [
        measured(
            against(dtype, digits), name, eps, allowed[name], "eps", f"condition {found.condition[name]:.3g}"
        )
        for dtype, tensors in found.eps.items()
        for name, eps in tensors.items()
    ]
    findings.append(slope_finding(found.slope, digits, "one direction"))
    gradients = {name for name in found.condition if name.startswith("d_params")} or found.condition.keys()
    if gradients <= found.zero:
        detail = "every gradient is zero in truth, so nothing was compared"
        findings.append(Finding("rounding", "d_params", FAILED, detail=detail))
    return Report(f"rounding of {layer!r}", tuple(findings))


def against(dtype: str, digits: int) -> str:
    """Return the name of the check of rounding errors."""
    return f"{dtype} against {digits} digits"


def slope_finding(error: float | None, digits: int, subject: str, detail: str = "") -> Finding:
    """Return the finding of the truth's gradient: half of its digits must agree with a difference."""
    check = f"gradient at {digits} digits"
    if error is None:
        return Finding(check, subject, SKIPPED, detail="the direction meets no slope, or a kink")
    return measured(check, subject, error, 10.0 ** -(digits // 2), "relative", detail)
