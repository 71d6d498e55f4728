"""The gradients of a layer, or of a whole model, against central differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import Backend
from rnn_xp.layers import Layer
from rnn_xp.random import Rng
from rnn_xp.typing import Tree
from rnn_xp.verify.differences import LOST, MODES, NOTHING, STEP, TOLERANCE, gradcheck_function
from rnn_xp.verify.problems import DRAWS, Problem, check_layer, double, problem
from rnn_xp.verify.report import FAILED, PASSED, SKIPPED, Finding, Report

NOISE = 0.25
"""The standard deviation of what is added to drawn parameters, so that none is zero."""


def gradcheck(
    layer: Layer,
    params: Tree | None = None,
    x: Any = None,
    state_0: Tree | None = None,
    *,
    lengths: Sequence[int] | None = None,
    rng: Rng | None = None,
    mode: str = "full",
    backend: str | Backend = "numpy",
    seed: int = 0,
    step: float = STEP,
    tolerance: float = TOLERANCE,
) -> Report:
    """Check the gradients of a layer or a model against central differences in float64.

    All outputs, y and every field of the last state, are weighted with random numbers and summed. The
    gradient of that sum is checked for every parameter, for x and for every field of the initial state; what
    is not given is drawn. Four more checks are of what a backward pass can do wrong with a right formula:
    twice on one tape it must answer the same bits; it must write to no argument; d_x must be 0 in the
    padding; and what d_y holds there must not matter.

    Parameters
    ----------
    layer : Layer
        One of rnn_xp's, or a `Sequential`.
    params, x, state_0 : trees of arrays, optional
        As `layer.forward` takes them, of any library; converted to float64.
    lengths : sequence of int, optional
        (B,). They are drawn where x is: unsorted, with a short one.
    rng : Rng, optional
        The key of the dropout masks; without it nothing is dropped.
    mode : {"full", "directional"}
        Every element of every tensor; or, in a few milliseconds, one random direction in each tensor, and one
        through all of them.
    backend : str or Backend
        Where the layer runs, in float64.
    seed : int
    step, tolerance : float
        As in `gradcheck_function`.

    Returns
    -------
    report : Report
        A finding "gradient" for each tensor, and one for each of the other checks.

    Raises
    ------
    TypeError, ValueError
        Where an argument does not fit the layer.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> report = gradcheck(rx.GRU(2, 2))
    >>> report.passed
    True
    >>> [finding.subject for finding in report][:2]
    ['params.0.weight_ih', 'params.0.weight_hh']
    """
    check_layer(layer)
    checks.one_of("mode", mode, MODES)
    own = double(backend)
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    drawn = all(each is None for each in (params, x, state_0))
    for _ in range(DRAWS if drawn else 1):
        given = problem(layer, params, x, state_0, lengths, rng, generator, noise=NOISE)
        runner = _Runner(layer, given, own)
        report = gradcheck_function(
            runner.value,
            runner.gradient,
            tree.leaves(runner.inputs),
            step=step,
            tolerance=tolerance,
            names=[name for name, _ in tree.named_leaves(runner.inputs)],
            mode=mode,
            seed=seed,
        )
        vacuous = _vacuous(report)
        if not vacuous and all(finding.detail != NOTHING for finding in report):
            break
    findings = [*map(_faded, report), *vacuous, *runner.conduct()]
    return Report(f"gradients of {layer!r}, {mode}, {own.name}", tuple(findings))


class _Runner:
    """A layer on a backend, as functions of host arrays."""

    def __init__(self, layer: Layer, given: Problem, backend: Backend) -> None:
        self.layer, self.given, self.backend = layer, given, backend
        self.inputs = {
            "params": given.params,
            "x": None if given.tokens else given.x,
            "state_0": given.state_0,
        }

    def value(self, *leaves: Any) -> float:
        """Return the weighted sum of all outputs."""
        params, x, state_0 = self._arguments(leaves)
        y, state_T, _ = self.layer.forward(params, x, state_0, self.given.lengths, self.given.rng)
        weights = tree.leaves((self.given.d_y, self.given.d_state_T))
        outputs = [self.backend.to_numpy(leaf) for leaf in tree.leaves((y, state_T))]
        return float(sum(np.sum(out * d) for out, d in zip(outputs, weights, strict=True)))

    def gradient(self, *leaves: Any) -> list[Any]:
        """Return what backward says of each leaf."""
        params, x, state_0 = self._arguments(leaves)
        _, _, tape = self.layer.forward(params, x, state_0, self.given.lengths, self.given.rng)
        d_y, d_state_T = self._own((self.given.d_y, self.given.d_state_T))
        d_params, d_x, d_state_0 = self.layer.backward(params, tape, d_y, d_state_T)
        answers = dict(tree.named_leaves({"params": d_params, "x": d_x, "state_0": d_state_0}))
        found = [answers.get(name) for name, _ in tree.named_leaves(self.inputs)]
        return [None if leaf is None else self.backend.to_numpy(leaf) for leaf in found]

    def conduct(self) -> list[Finding]:
        """Check how backward behaves: repeatable, writing to nothing, blind and silent in the padding."""
        layer, given = self.layer, self.given
        params, x, state_0 = self._arguments(tree.leaves(self.inputs))
        _, _, tape = layer.forward(params, x, state_0, given.lengths, given.rng)

        def backward(d_y: Any, d_state_T: Tree) -> tuple[list[tuple[str, bytes]], Any]:
            d_params, d_x, d_state_0 = layer.backward(params, tape, d_y, d_state_T)
            return self._bytes(d_params=d_params, d_x=d_x, d_state_0=d_state_0), d_x

        d_y, d_state_T = weights = self._own((given.d_y, given.d_state_T))
        answer, d_x = backward(d_y, d_state_T)
        again, _ = backward(*self._own((given.d_y, given.d_state_T)))
        came = (given.params, given.x, given.state_0, given.d_y, given.d_state_T)
        names = ("params", "x", "state_0", "d_y", "d_state_T")
        before = self._bytes(**dict(zip(names, self._own(came), strict=True)))
        after = self._bytes(**dict(zip(names, (params, x, state_0, *weights), strict=True)))
        findings = [_same("backward twice", answer, again), _same("arguments unchanged", before, after)]
        if given.lengths is None or all(length == given.steps for length in given.lengths):
            reason = "nothing is padded"
            checks_of_padding = ("gradient of the padding", "padding of d_y")
            return [*findings, *[Finding(name, "x", SKIPPED, detail=reason) for name in checks_of_padding]]
        padding = np.arange(given.steps)[:, None] >= np.asarray(given.lengths)[None, :]
        findings.append(self._silent(d_x, padding))
        if given.d_y.ndim != 3:
            reason = "y has no time axis"
            return [*findings, Finding("padding of d_y", "d_y", SKIPPED, detail=reason)]
        garbage, _ = backward(*self._own((np.where(padding[:, :, None], np.nan, given.d_y), given.d_state_T)))
        return [*findings, _same("padding of d_y", answer, garbage)]

    def _silent(self, d_x: Any, padding: Any) -> Finding:
        """Check that d_x is exactly 0 in the padding."""
        name = "gradient of the padding"
        if d_x is None:
            return Finding(name, "x", SKIPPED, detail="x has no gradient")
        count = int(np.count_nonzero(self.backend.to_numpy(d_x)[padding]))
        if count:
            return Finding(
                name, "x", FAILED, detail=f"{count} elements of d_x are not 0 past a sequence's end"
            )
        return Finding(name, "x", PASSED)

    def _arguments(self, leaves: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Return params, x and state_0 with these leaves, on the backend."""
        inputs = self._own(tree.unflatten(self.inputs, leaves))
        x = self.backend.asarray(self.given.x) if self.given.tokens else inputs["x"]
        return inputs["params"], x, inputs["state_0"]

    def _own(self, value: Tree) -> Tree:
        """Copy a tree to the backend."""
        return tree.map(lambda leaf: self.backend.asarray(np.array(leaf)), value)

    def _bytes(self, **values: Tree) -> list[tuple[str, bytes]]:
        """Return the bits of every leaf, by its name."""
        return [(name, self.backend.to_numpy(leaf).tobytes()) for name, leaf in tree.named_leaves(values)]


def _same(check: str, one: list[tuple[str, bytes]], other: list[tuple[str, bytes]]) -> Finding:
    """Check that every bit is the same."""
    changed = [name for (name, a), (_, b) in zip(one, other, strict=True) if a != b]
    if changed:
        return Finding(check, ", ".join(changed), FAILED, detail="the bits differ")
    return Finding(check, "all tensors", PASSED)


def _faded(finding: Finding) -> Finding:
    """Excuse an initial state whose gradient fades over many steps."""
    lost = LOST in finding.detail and finding.subject.startswith("state_0")
    return finding._replace(outcome=SKIPPED) if lost else finding


def _vacuous(report: Report) -> list[Finding]:
    """Fail where there are parameters and none of them could be compared."""
    outcomes = {finding.outcome for finding in report if finding.subject.startswith("params.")}
    if outcomes != {SKIPPED}:
        return []
    return [Finding("gradient", "params", FAILED, detail=f"no parameter's gradient: {NOTHING}")]
