"""The property suite: what must hold of every recurrent network, of whatever library, with no oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rnn_xp import checks
from rnn_xp.verify.adapters.choose import adapt
from rnn_xp.verify.report import FAILED, Finding, Report
from rnn_xp.verify.suite.batch import (
    arguments,
    batch_independence,
    batch_of_one,
    dependence,
    determinism,
    layouts,
    permutation,
    unsorted_lengths,
)
from rnn_xp.verify.suite.gradient import (
    directional_derivative,
    gradient_batch_independence,
    gradient_causality,
    gradient_padding,
)
from rnn_xp.verify.suite.padding import amount_of_padding, padding_contents, zero_length
from rnn_xp.verify.suite.probe import Probe, UnansweredError, skipped
from rnn_xp.verify.suite.state import chunks, state
from rnn_xp.verify.suite.time import causality, memory, reversal

Property = Callable[[Probe], Iterator[Finding]]

FIRST: tuple[Property, ...] = (dependence, determinism)
"""Without these, nothing can be told of the others."""

OF_Y: tuple[Property, ...] = (
    arguments,
    batch_independence,
    batch_of_one,
    permutation,
    layouts,
    unsorted_lengths,
    padding_contents,
    amount_of_padding,
    zero_length,
    causality,
    memory,
    reversal,
    state,
    chunks,
)
OF_D_X: tuple[Property, ...] = (
    directional_derivative,
    gradient_batch_independence,
    gradient_causality,
    gradient_padding,
)


def properties(model: Any, *, seed: int = 0, tolerance: float | None = None, **how_to_adapt: Any) -> Report:
    """Check what must hold of every recurrent network: of samples, padding, time, state and input gradient.

    Parameters
    ----------
    model
        A layer or model of this package, of PyTorch or of Keras, an ONNX Runtime session, a plain callable,
        or an `Adapter`.
    seed
        Of the data: x (7, 4, D) of normal numbers, and where they are taken the lengths 4, 7, 1, 5 and an
        initial state.
    tolerance
        What counts as unchanged, relative to the largest value of a tensor; 1000 eps of the model's dtype by
        default.
    **how_to_adapt
        What `adapt` needs: ``input_size=3`` for a plain callable.

    Returns
    -------
    Report
        One finding or more for each property. A property that does not apply is skipped, with the reason; so
        is one whose data the model openly refuses (lengths of 0, NaN). Where y does not depend on x, is not
        finite, or is another one in the same call, that alone has failed, and nothing else passes.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not fit, or the model answers something that is no y (T, B, K) or (B, K).

    Examples
    --------
    >>> import rnn_xp as rx
    >>> properties(rx.GRU(3, 4, bidirectional=True)).passed
    True
    >>> report = properties(lambda x: x.cumsum(axis=1), input_size=3)  # the batch axis, read as time
    >>> sorted({finding.check for finding in report.failures})
    ['batch independence', 'batch of one', 'memory', 'permutation']
    """
    seed = checks.integer("seed", seed, 0)
    if tolerance is not None:
        tolerance = checks.number("tolerance", tolerance)
    adapter = adapt(model, **how_to_adapt)
    probe = Probe(adapter, seed, tolerance)
    findings: list[Finding] = []
    missing = None
    for each in (*FIRST, *OF_Y, *OF_D_X):
        if missing:
            found = [skipped("y", f"nothing can be told without {missing}")]
        elif each in OF_D_X and probe.input_gradient is None:
            found = [skipped("d_x", "the adapter has no `input_gradient`")]
        else:
            found = list(_findings(each, probe))
        name = each.__name__.replace("_", " ")
        findings += [finding._replace(check=name) for finding in found]
        if each in FIRST and any(finding.outcome == FAILED for finding in found):
            missing = name
    return Report(f"properties of {adapter.name}", tuple(findings))


def _findings(each: Property, probe: Probe) -> Iterator[Finding]:
    """Yield a property's findings; one that cannot be measured has failed."""
    try:
        yield from each(probe)
    except UnansweredError as error:
        yield Finding("", "d_x" if each in OF_D_X else "y", FAILED, detail=str(error))
