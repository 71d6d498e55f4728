"""A certificate for a cell, the user's own or one of the package: every check there is, on it alone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from rnn_xp import checks
from rnn_xp.backend import Backend, get_backend
from rnn_xp.cells import Cell
from rnn_xp.cells import check as check_cell
from rnn_xp.layers import LastStep, Linear, Recurrent
from rnn_xp.model import Sequential
from rnn_xp.verify.backends import parity
from rnn_xp.verify.differences import NOTHING
from rnn_xp.verify.gradients import gradcheck
from rnn_xp.verify.pairs import gradcheck_cell
from rnn_xp.verify.report import SKIPPED, Finding, Report, joined
from rnn_xp.verify.rounding import oracle
from rnn_xp.verify.suite.run import properties

OTHERS = ("array_api_strict", "torch")
"""Libraries that the cell's formula is run on where they are installed."""

DIGITS = ("gmpy2", "mpmath")

WIDE = 24
"""Units of a layer whose output is to follow every input: of few, all may be at rest behind a relu."""


def cell(
    cell: Cell, *, backend: str | Backend = "numpy", others: Sequence[str] | None = None, seed: int = 0
) -> Report:
    """Certify a cell: derivatives, gradients in layers, rounding, properties, parity.

    Its pairs are checked by themselves first, so that the report names the gate whose derivative is wrong;
    then the cell in a layer, in a deep bidirectional model over unequal lengths, at 50 digits where gmpy2 or
    mpmath is installed, under the property suite, and on other libraries.

    Parameters
    ----------
    cell : Cell
    backend : str or Backend
        Where gradients are checked.
    others : sequence of str, optional
        Backends to compare with NumPy; array_api_strict and torch by default, each where it is installed.
    seed : int

    Returns
    -------
    Report
        What could not be run is there as not applicable, with the reason.

    Raises
    ------
    TypeError, ValueError
        Where `cell` is none, or an option is not as described.
    BackendError
        Where one of `others` cannot be had.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> from rnn_xp.cells import CELLS
    >>> rx.verify.cell(CELLS["gru"], others=()).require().passed
    True
    """
    check_cell(cell)
    seed = checks.integer("seed", seed, 0)
    backend = get_backend(backend, dtype=None if isinstance(backend, Backend) else "float64")
    if isinstance(others, str):
        msg = f"`others` must be a sequence of names of backends, such as ({others!r},); got {others!r}."
        raise TypeError(msg)
    for other in others or ():
        get_backend(other, dtype="float64")
    reports = [gradcheck_cell(cell, backend=backend, seed=seed)]
    if any(finding.detail != NOTHING for finding in reports[0].failures):
        reason = "not run: the cell's own derivatives are wrong"
        rest = ("gradients of layers", "50 digits", "properties", "parity")
        reports += [skipped(name, cell.name, reason) for name in rest]
        return joined(f"the cell {cell.name}", reports)
    layer = Recurrent(cell, 3, 4)
    deep = Recurrent(cell, 2, 3, 2, bidirectional=True)
    model = Sequential(deep, LastStep(), Linear(6, 2))
    wide = (Recurrent(cell, 3, WIDE), Recurrent(cell, 2, WIDE, 2, bidirectional=True))
    reports += [
        about(each, gradcheck(each, backend=backend, seed=seed)) for each in (Recurrent(cell, 2, 3), model)
    ]
    reports += [about(each, _digits(each, seed)) for each in (layer, deep)]
    reports += [about(each, properties(each, seed=seed)) for each in wide]
    for other in OTHERS if others is None else others:
        if others is None and find_spec(other) is None:
            reports.append(skipped("parity", cell.name, f"{other} is not installed"))
        else:
            reports.append(about(f"{deep!r} on {other}", parity(deep, other, seed=seed)))
    return joined(f"the cell {cell.name}", reports)


def about(what: object, report: Report) -> Report:
    """Return a report whose findings tell what they are about."""
    return Report(report.title, tuple(f._replace(subject=f"{f.subject} of {what}") for f in report))


def _digits(layer: Recurrent, seed: int) -> Report:
    """Measure the rounding errors, where there is something to measure them with."""
    if not any(find_spec(library) for library in DIGITS):
        reason = 'gmpy2 and mpmath are not installed: pip install "rnn-xp[verify]"'
        return skipped("50 digits", "every tensor", reason)
    return oracle(layer, seed=seed)


def skipped(check: str, subject: str, reason: str) -> Report:
    """Return the report of a check that was not run."""
    return Report(check, (Finding(check, subject, SKIPPED, detail=reason),))
