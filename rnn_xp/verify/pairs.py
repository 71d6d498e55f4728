"""The pairs of a cell, each by itself and without the engine: which gate's derivative is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import Backend, get_backend
from rnn_xp.cells import Cell, Pair
from rnn_xp.cells import check as check_cell
from rnn_xp.verify.differences import STEP, TOLERANCE, Host, gradcheck_function
from rnn_xp.verify.report import Report, joined


def gradcheck_cell(
    cell: Cell,
    *,
    hidden_size: int = 3,
    batch: int = 2,
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
        A finding for each gate, recurrent part that comes apart, vector and field of s_prev of each pair.

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
    own = get_backend(backend)
    own = replace(own, dtype=own.xp.float64, precision="float64")
    generator = np.random.default_rng(checks.integer("seed", seed, 0))
    s_prev = [generator.standard_normal((H, B)) for _ in cell.state._fields]
    inputs = [
        [generator.standard_normal((H, 1 if name in pair.vectors else B)) for name in _inputs(pair)]
        for pair in cell.pairs
    ]
    reports = []
    for number, (pair, a) in enumerate(zip(cell.pairs, inputs, strict=True)):
        runner = _Runner(cell, pair, inputs[-1], own)
        runner.weigh([*a, *s_prev], generator)
        names = [f"{cell.name} pair {number}, {name}" for name in (*_subjects(pair), *_fields(cell))]
        reports.append(
            gradcheck_function(
                runner.value, runner.gradient, [*a, *s_prev], step=step, tolerance=tolerance, names=names
            )
        )
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

    def __init__(self, cell: Cell, pair: Pair, last: Sequence[Host], backend: Backend) -> None:
        self.cell, self.pair, self.last, self.backend = cell, pair, last, backend
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
        s, _ = self.cell.pairs[-1].forward(last, s_prev, xp=xp)
        vectors = a[self.count - len(self.pair.vectors) :]
        partials = self.pair.partials([*kept, *vectors], s_prev, s, xp=xp)
        d_a, d_s_prev = self.pair.backward(tree.map(asarray, self.d_result), partials)
        found = [*d_a, *[None] * (self.count - len(d_a))][: self.count]
        answers = [None if leaf is None else self.backend.to_numpy(leaf) for leaf in found]
        for place, answer in enumerate(answers):
            if answer is not None and place >= self.count - len(self.pair.vectors):
                answers[place] = np.sum(answer, axis=1, keepdims=True)
        direct = [
            np.zeros(plane.shape) if leaf is None else self.backend.to_numpy(leaf)
            for leaf, plane in zip(d_s_prev, planes[self.count :], strict=True)
        ]
        return [*answers, *direct]

    def _forward(self, planes: Sequence[Host]) -> tuple[Any, Any]:
        """Run the pair."""
        a, s_prev = self._split(planes)
        result, kept = self.pair.forward(a, s_prev, xp=self.backend.xp)
        return result, kept

    def _split(self, planes: Sequence[Host]) -> tuple[list[Any], Any]:
        """Return a and s_prev on the backend."""
        own = [self.backend.asarray(np.array(plane)) for plane in planes]
        return own[: self.count], self.cell.state(*own[self.count :])
