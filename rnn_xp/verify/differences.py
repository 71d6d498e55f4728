"""Gradients against central differences: the one loop that every such check of the package goes through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from rnn_xp import checks
from rnn_xp.verify.report import FAILED, SKIPPED, Finding, Report, measured

Host: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Function: TypeAlias = Callable[..., float]
Gradient: TypeAlias = Callable[..., Sequence[Any]]

STEP = 1e-5
"""With it a central difference is off by about 1e-10: h^2 of truncation, 1e-16 / h of rounding."""

TOLERANCE = 1e-7

FLOOR = 1e-3
"""A gradient below this share of the largest is measured against that share: differences see no finer."""

NOISE = 64.0
"""Roundings of the function in what counts as a difference of zero."""

NOTHING = "nothing was compared: no gradient is other than 0 here; try another seed, or a wider layer"
LOST = "lost in the rounding"
"""What a finding says where there are no gradients, and where differences cannot see them."""

KINKS = 0.1
"""The share of a tensor's elements that may lie at kinks; one always may."""

MODES = ("full", "directional")


class Compared(NamedTuple):
    """The two gradients of one tensor, and the elements left out."""

    name: str
    analytic: Host
    numeric: Host
    kinks: int


def gradcheck_function(
    function: Function,
    gradient: Gradient,
    arguments: Sequence[Any],
    *,
    step: float = STEP,
    tolerance: float = TOLERANCE,
    names: Sequence[str] | None = None,
    mode: str = "full",
    seed: int = 0,
) -> Report:
    """Check the gradient of anybody's function against central differences in float64.

    An element at which the function has a kink (relu, max, clip) has no derivative to compare with: it is
    recognised by differences of two steps that disagree, and left out and counted if its gradient lies
    between the one-sided slopes.

    Parameters
    ----------
    function : function
        ``function(*arguments) -> float``.
    gradient : function
        ``gradient(*arguments)`` -> a tuple of host arrays, one of each argument's shape.
    arguments : sequence of arrays
        Where to check; copied to float64 and never written to.
    step, tolerance : float
        The distance of the differences, and the greatest error relative to the norm of a tensor's gradient.
    names : sequence of str, optional
        What the report calls the arguments; "argument 0" and so on by default.
    mode : {"full", "directional"}
        Every element of every argument; or one random direction in each, and one through all of them.
    seed : int
        Of the directions.

    Returns
    -------
    report : Report
        One finding for each argument. It fails, too, where there was nothing to compare, and where a gradient
        is below what the rounding of the function lets differences see.

    Raises
    ------
    TypeError, ValueError
        Where an option is not as described, or `gradient` returns no tuple.

    Examples
    --------
    >>> import numpy as np
    >>> def gradient(x):
    ...     return (3.0 * x * x,)
    >>> gradcheck_function(lambda x: float(np.sum(x**3)), gradient, [[1.0, -2.0]]).passed
    True
    >>> gradcheck_function(lambda x: float(np.sum(x**4)), gradient, [[1.0, -2.0]]).passed
    False
    """
    step = checks.number("step", step, open_low=True)
    tolerance = checks.number("tolerance", tolerance, open_low=True)
    checks.one_of("mode", mode, MODES)
    rng = np.random.default_rng(checks.integer("seed", seed, 0))
    given = [np.array(each, dtype=np.float64) for each in arguments]
    if names is None:
        names = [f"argument {number}" for number in range(len(given))]
    if len(names) != len(given):
        msg = f"`names` must hold one name for each of the {len(given)} arguments; got {len(names)}."
        raise ValueError(msg)
    title = f"gradients against central differences, {mode}"
    answers = gradient(*[each.copy() for each in given])
    if not isinstance(answers, tuple | list):
        must = "`gradient` must return a tuple of arrays, one for each argument"
        msg = f"{must}; got {type(answers).__name__}."
        raise TypeError(msg)
    faults = _faults(answers, given, names)
    if faults:
        return Report(title, tuple(faults))
    analytic = [np.asarray(answer, dtype=np.float64) for answer in answers]
    if mode == "directional":
        function, analytic, given, names = _directional(function, analytic, given, names, rng)
    return Report(title, tuple(_findings(function, analytic, given, names, step, tolerance)))


def _faults(answers: Sequence[Any], given: Sequence[Host], names: Sequence[str]) -> list[Finding]:
    """Return what is wrong with the form of the gradients."""
    if len(answers) != len(given):
        detail = f"{len(answers)} gradients were returned for {len(given)} arguments"
        return [Finding("gradient", "all tensors", FAILED, detail=detail)]
    faults = []
    for name, answer, argument in zip(names, answers, given, strict=True):
        came = None if answer is None else np.shape(answer)
        if came != argument.shape:
            detail = "no gradient was returned" if came is None else f"its gradient has the shape {came}"
            detail += f", where {argument.shape} was to be"
            faults.append(Finding("gradient", name, FAILED, detail=detail))
    return faults


def _directional(
    function: Function,
    analytic: Sequence[Host],
    given: Sequence[Host],
    names: Sequence[str],
    rng: np.random.Generator,
) -> tuple[Function, list[Host], list[Host], list[str]]:
    """Return the problem in which every argument, and then all at once, move along a random direction."""
    drawn = [rng.standard_normal(each.shape) for each in given]
    units = [each / (np.linalg.norm(each) or 1.0) for each in drawn]
    present = [number for number, each in enumerate(given) if each.size]

    def along(*distances: Host) -> float:
        *own, common = [float(each) for each in distances]
        moved = [each.copy() for each in given]
        for number, distance in zip(present, own, strict=True):
            moved[number] += (distance + common) * units[number]
        return function(*moved)

    slopes = [np.sum(analytic[number] * units[number]) for number in present]
    slopes.append(np.sum(slopes))
    chosen = [names[number] for number in present]
    return (
        along,
        [np.asarray(each) for each in slopes],
        [np.zeros(())] * len(slopes),
        [*chosen, "all tensors"],
    )


def _findings(
    function: Function,
    analytic: Sequence[Host],
    given: Sequence[Host],
    names: Sequence[str],
    step: float,
    tolerance: float,
) -> list[Finding]:
    """Compare, tensor by tensor."""
    difference = _Difference(function, given, step)
    numeric = [difference.all(number) for number in range(len(given))]
    largest = max([abs(difference.value), *map(_norm, numeric)])
    floor, noise = FLOOR * largest, NOISE * np.finfo(np.float64).eps * largest / step
    findings = []
    for number, (name, a, n) in enumerate(zip(names, analytic, numeric, strict=True)):
        bound = tolerance * max(_norm(n), floor)
        suspects = np.argwhere(~(np.abs(a - n) <= bound / math.sqrt(max(n.size, 1))))
        places = [tuple(index) for index in suspects]
        kinks = [place for place in places if difference.kink(number, place, float(a[place]), bound)]
        a, n = a.copy(), n.copy()
        for index in kinks:
            a[index] = n[index] = 0.0
        findings.append(_finding(Compared(name, a, n, len(kinks)), floor, noise, tolerance))
    if all(finding.outcome == SKIPPED for finding in findings):
        findings.append(Finding("gradient", "all tensors", FAILED, detail=NOTHING))
    elif not any(np.any(a) for a in analytic):
        detail = "every analytic gradient is zero, so nothing was checked"
        findings.append(Finding("gradient", "all tensors", FAILED, detail=detail))
    return findings


def _finding(compared: Compared, floor: float, noise: float, tolerance: float) -> Finding:
    """Return what the two gradients of a tensor tell."""
    name, a, n, kinks = compared
    left_out = f"; {kinks} of {n.size} elements at kinks were left out" if kinks else ""
    if kinks > max(1.0, KINKS * n.size):
        detail = f"{kinks} of {n.size} elements lie at kinks: too few were compared"
        return Finding("gradient", name, FAILED, detail=detail)
    if kinks == n.size:
        detail = "it lies at a kink: choose another seed" if n.size else "it has no elements"
        return Finding("gradient", name, SKIPPED, detail=detail)
    if np.all(np.abs(a) <= noise) and np.all(np.abs(n) <= noise):
        if np.any(a):
            lost = f"a gradient of {np.max(np.abs(a)):.3g} is {LOST} (noise {noise:.3g})"
            detail = f"{lost}: rescale, or give a larger step"
            return Finding("gradient", name, FAILED, detail=detail)
        detail = f"the function does not depend on it here: both gradients are zero{left_out}"
        return Finding("gradient", name, SKIPPED, detail=detail)
    errors = np.abs(a - n)
    size = _norm(n) if not np.any(a) else max(_norm(n), floor)
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(errors), errors.shape))
    where = f"worst element {list(worst)}: " if worst else ""
    detail = f"{where}analytic {a[worst]:.12g}, numeric {n[worst]:.12g}{left_out}"
    return measured("gradient", name, _norm(errors) / size, tolerance, "relative", detail)


class _Difference:
    """Central differences of a function of several arrays, element by element."""

    def __init__(self, function: Function, given: Sequence[Host], step: float) -> None:
        self.function, self.given, self.step = function, given, step
        self.value = self._at(0, (), 0.0)

    def all(self, number: int) -> Host:
        """Return those of all elements of an argument."""
        shape = self.given[number].shape
        slopes = [sum(self._slopes(number, index, self.step)) / 2.0 for index in np.ndindex(shape)]
        return np.reshape(np.asarray(slopes, dtype=np.float64), shape)

    def kink(self, number: int, index: tuple[int, ...], analytic: float, bound: float) -> bool:
        """Tell whether the function has a kink within a step of an element, which explains its gradient.

        At half the step, the difference of a smooth function stays, and the gap between its two one-sided
        slopes halves. If the kink lies off the middle the difference changes; if on it, the gap stays.
        """
        left, right = self._slopes(number, index, self.step)
        if not min(left, right) - bound <= analytic <= max(left, right) + bound:
            return False
        near_left, near_right = self._slopes(number, index, self.step / 2.0)
        moved = abs(left + right - near_left - near_right) / 2.0
        gap, near_gap = abs(right - left), abs(near_right - near_left)
        return moved > bound or (gap > bound and near_gap > 0.75 * gap)

    def _slopes(self, number: int, index: tuple[int, ...], step: float) -> tuple[float, float]:
        """Return the one-sided slopes, below and above."""
        below, above = self._at(number, index, -step), self._at(number, index, step)
        return (self.value - below) / step, (above - self.value) / step

    def _at(self, number: int, index: tuple[int, ...], distance: float) -> float:
        """Return the value with one element moved; the function gets arrays of its own."""
        moved = [each.copy() for each in self.given]
        if distance:
            moved[number][index] += distance
        return float(self.function(*moved))


def _norm(values: Host) -> float:
    """Return the root of the sum of squares."""
    return float(np.linalg.norm(np.ravel(values)))
