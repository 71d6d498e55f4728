"""The pairs of a cell, each by itself and without the engine: which gate's derivative is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import Backend
from rnn_xp.cells import Cell, Pair
from rnn_xp.cells import check as check_cell
from rnn_xp.verify.differences import STEP, TOLERANCE, Host, gradcheck_function
from rnn_xp.verify.problems import DRAWS, double
from rnn_xp.verify.report import FAILED, SKIPPED, Finding, Report, joined

FORM = "form"
"""The check of what a pair's functions return; a finding of it there is only where it fails."""


class _FormError(Exception):
    """What a function of a pair returned is not what the engine needs."""


def gradcheck_cell(
    cell: Cell,
    *,
    hidden_size: int = 8,
    batch: int = 4,
    backend: str | Backend = "numpy",
    seed: int = 0,
    step: float = STEP,
    tolerance: float = TOLERANCE,
) -> Report:
    """Check every derivative that a cell's pairs give against central differences in float64.

    Parameters
    ----------
    cell : Cell
    hidden_size, batch : int
        H and B of the planes that are drawn.
    backend : str or Backend
        Where the pairs run, in float64.
    seed : int
    step, tolerance : float
        As in `gradcheck_function`.

    Returns
    -------
    report : Report
        A finding for each gate, recurrent part that comes apart, vector and field of s_prev of each pair; or
        one that says what is wrong with the form of what the pair returns.

    Raises
    ------
    TypeError, ValueError
        Where `cell` is none, or another argument is not as described.

    Examples
    --------
    >>> from rnn_xp.cells import CELLS
    >>> report = gradcheck_cell(CELLS["gru_reset_before"])
    >>> report.passed
    True
    >>> [finding.subject for finding in report][:2]
    ['gru_reset_before pair 0, gate r', 'gru_reset_before pair 0, s_prev.h']
    """
    check_cell(cell)
    H, B = checks.integer("hidden_size", hidden_size), checks.integer("batch", batch)
    own = double(backend)
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    gates = {f"{cell.name} pair {n}, {name}" for n, pair in enumerate(cell.pairs) for name in _subjects(pair)}
    for _ in range(DRAWS):
        report = _drawn(cell, H, B, own, generator, step, tolerance)
        resting = {finding.subject for finding in report if finding.outcome == SKIPPED}
        if not resting & gates:
            break
    return report


def _drawn(
    cell: Cell,
    H: int,
    B: int,
    own: Backend,
    generator: np.random.Generator,
    step: float,
    tolerance: float,
) -> Report:
    """Check every pair on planes (H, B) that are drawn."""
    s_prev = [generator.standard_normal((H, B)) for _ in cell.state._fields]
    inputs = [
        [generator.standard_normal((H, 1 if name in pair.vectors else B)) for name in _inputs(pair)]
        for pair in cell.pairs
    ]
    reports = []
    for number, (pair, a) in enumerate(zip(cell.pairs, inputs, strict=True)):
        own_name = f"{cell.name} pair {number}"
        runner = _Runner(cell, pair, inputs[-1], own, (H, B))
        names = [f"{own_name}, {name}" for name in (*_subjects(pair), *_fields(cell))]
        try:
            runner.weigh([*a, *s_prev], generator)
            found = gradcheck_function(
                runner.value, runner.gradient, [*a, *s_prev], step=step, tolerance=tolerance, names=names
            )
        except _FormError as unfit:
            found = Report(FORM, (Finding(FORM, own_name, FAILED, detail=str(unfit)),))
        reports.append(found)
    return joined(f"derivatives of the cell {cell.name}", reports)


def _inputs(pair: Pair) -> tuple[str, ...]:
    """Return what `a` holds, in order."""
    return (*pair.reads, *pair.apart, *pair.vectors)


def _subjects(pair: Pair) -> list[str]:
    """Return what the report calls the planes of `a`."""
    gates = [f"gate {name}" for name in pair.reads]
    apart = [f"recurrent part of gate {name}" for name in pair.apart]
    return [*gates, *apart, *[f"vector {name}" for name in pair.vectors]]


def _fields(cell: Cell) -> list[str]:
    """Return what the report calls the fields of s_prev."""
    return [f"s_prev.{name}" for name in cell.state._fields]


class _Runner:
    """A pair as a function of its planes on the host."""

    def __init__(
        self, cell: Cell, pair: Pair, last: Sequence[Host], backend: Backend, shape: tuple[int, int]
    ) -> None:
        self.cell, self.pair, self.last, self.backend, self.shape = cell, pair, last, backend, shape
        self.count = len(_inputs(pair))
        self.d_result: Any = None

    def weigh(self, planes: Sequence[Host], generator: np.random.Generator) -> None:
        """Draw what the result is weighted with."""
        result, _ = self._forward(planes)
        self.d_result = tree.map(lambda leaf: generator.standard_normal(tuple(leaf.shape)), result)

    def value(self, *planes: Host) -> float:
        """Return the weighted sum of the result."""
        result, _ = self._forward(planes)
        pairs = zip(tree.leaves(result), tree.leaves(self.d_result), strict=True)
        return float(sum(np.sum(self.backend.to_numpy(out) * d) for out, d in pairs))

    def gradient(self, *planes: Host) -> list[Any]:
        """Return what the derivative says of every plane; of a vector, summed as the engine does."""
        xp, asarray = self.backend.xp, self.backend.asarray
        a, s_prev = self._split(planes)
        _, kept = self._forward(planes)
        # the state after the step, which the last pair gives
        last = a if self.pair is self.cell.pairs[-1] else [asarray(np.array(each)) for each in self.last]
        s, _ = self._formed(self.cell.pairs[-1], last, s_prev)
        vectors = a[self.count - len(self.pair.vectors) :]
        partials = self.pair.partials([*kept, *vectors], s_prev, s, xp=xp)
        self._check("`partials`", "planes", partials)
        answer = self.pair.chain_rule(xp=xp)(tree.map(asarray, self.d_result), partials)
        d_a, d_s_prev = _two("`backward`", "(d_a, d_s_prev)", answer)
        self._check("`backward`", "d_a", d_a)
        inputs = _inputs(self.pair)
        if len(d_a) > len(inputs):
            msg = f"`backward` must return {len(inputs)} planes as d_a, for {inputs}; got {len(d_a)}"
            raise _FormError(msg)
        fields = self.cell.state._fields
        if not isinstance(d_s_prev, tuple | list) or len(d_s_prev) != len(fields):
            must = f"`backward` must return as d_s_prev a plane or None for each of {fields}"
            msg = f"{must}; got {_told(d_s_prev)}"
            raise _FormError(msg)
        self._check("`backward`", "d_s_prev", [each for each in d_s_prev if each is not None])
        answers: list[Any] = [self.backend.to_numpy(leaf) for leaf in d_a]
        for place in range(self.count - len(self.pair.vectors), len(d_a)):
            answers[place] = np.sum(answers[place], axis=1, keepdims=True)
        answers += [None] * (self.count - len(d_a))
        direct = [np.zeros(self.shape) if leaf is None else self.backend.to_numpy(leaf) for leaf in d_s_prev]
        return [*answers, *direct]

    def _forward(self, planes: Sequence[Host]) -> tuple[Any, Any]:
        """Run the pair."""
        return self._formed(self.pair, *self._split(planes))

    def _formed(self, pair: Pair, a: Sequence[Any], s_prev: Any) -> tuple[Any, Any]:
        """Run a pair of the cell, and check the form of what it returns."""
        answer = pair.forward(a, s_prev, xp=self.backend.xp)
        result, kept = _two("`forward`", "(result, kept)", answer)
        if pair is not self.cell.pairs[-1]:
            self._check("`forward`", "the next pair's operand", [result])
        elif getattr(result, "_fields", None) != self.cell.state._fields:
            must = f"`forward` must return a state with the fields {self.cell.state._fields}"
            msg = f"{must}; got {_told(result)}"
            raise _FormError(msg)
        else:
            self._check("`forward`", "the state", result)
        self._check("`forward`", "kept", kept)
        if len(kept) != len(pair.keeps):
            msg = f"`forward` must keep {len(pair.keeps)} planes, {pair.keeps}; got {len(kept)}"
            raise _FormError(msg)
        return result, kept

    def _check(self, function: str, what: str, planes: Any) -> None:
        """Raise unless these are planes (H, B)."""
        if not isinstance(planes, tuple | list):
            msg = f"{function} must return a tuple of planes as {what}; got {_told(planes)}"
            raise _FormError(msg)
        for plane in planes:
            came = getattr(plane, "shape", type(plane).__name__)
            if came != self.shape:
                msg = f"{function} must return planes (H, B) = {self.shape} as {what}; got {came}"
                raise _FormError(msg)

    def _split(self, planes: Sequence[Host]) -> tuple[list[Any], Any]:
        """Return a and s_prev on the backend."""
        own = [self.backend.asarray(np.array(plane)) for plane in planes]
        return own[: self.count], self.cell.state(*own[self.count :])


def _two(function: str, form: str, answer: Any) -> tuple[Any, Any]:
    """Return both parts of what a function returned."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        msg = f"{function} must return {form}; got {_told(answer)}"
        raise _FormError(msg)
    return answer[0], answer[1]


def _told(value: Any) -> str:
    """Write what came instead of a tuple, or of one of another length."""
    name = type(value).__name__
    return f"{name} of {len(value)}" if isinstance(value, tuple | list) else name
