"""How far a layer's numbers are from the truth: the same source, run at high precision from the same inputs.

A relative error means little by itself where a tensor is what is left of large terms that cancel: no program
can know it better than its inputs are known. So every tensor comes with its condition, how many times the
relative change of the inputs shows in it, measured on the layer itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_xp import tree
from rnn_xp.layers import Context, Layer
from rnn_xp.layers.base import blank
from rnn_xp.sequence import valid_steps
from rnn_xp.typing import Tree
from rnn_xp.verify.digits import Digits, ForeignCallError, namespace
from rnn_xp.verify.problems import Problem

DTYPES = ("float64", "float32")

CHANGE = 2.0**-26
"""The relative change of the inputs that shows a condition: above all rounding, below all curvature."""

CHANGES = 3
"""How many random changes are tried."""


class Errors(NamedTuple):
    """How far one problem's numbers are from the truth.

    Attributes
    ----------
    eps
        For each dtype and tensor q (y, state_T.*, d_params.*, d_x, d_state_0.*) max|q - q_true| / max|q_true|
        in eps; 0 where both are zero, infinite where only q_true is, NaN where q is not finite.
    condition
        For each tensor its condition, at least 1.
    zero
        The tensors that are zero in truth, or have no elements.
    slope
        The relative error of the gradient along one random direction, against a central difference, both at
        high precision; None where the direction meets no slope, or a kink.
    """

    eps: dict[str, dict[str, float]]
    condition: dict[str, float]
    zero: frozenset[str]
    slope: float | None


def errors(layer: Layer, given: Problem, dtypes: Sequence[str], digits: int, seed: int) -> Errors:
    """Return the errors of a problem whose numbers every dtype holds exactly.

    An `UnknownNameError` or a `ForeignCallError` tells of a formula that does not run at high precision.
    """
    generator = np.random.default_rng(seed)
    answers = {dtype: _answers(layer, given, dtype) for dtype in dtypes}
    condition = _conditions(layer, given, generator)
    with namespace(digits) as xp:
        truth = _truth(layer, given, xp)
        eps = {
            dtype: {name: _error(leaf, truth.answers[name], xp) for name, leaf in answer.items()}
            for dtype, answer in answers.items()
        }
        zero = frozenset(name for name, leaf in truth.answers.items() if not np.any(leaf))
        return Errors(eps, condition, zero, truth.slope_error(digits, generator))


def _answers(layer: Layer, given: Problem, dtype: str) -> dict[str, Any]:
    """Return what the layer answers in a dtype."""
    params, x, state_0, _, _, d_y, d_state_T = given.map(lambda leaf: leaf.astype(dtype))
    y, state_T, tape = layer.forward(params, x, state_0, given.lengths, given.rng)
    return _named(y, state_T, *layer.backward(params, tape, d_y, d_state_T))


def _named(y: Any, state_T: Tree, d_params: Tree, d_x: Any, d_state_0: Tree) -> dict[str, Any]:
    """Return the leaves of all that a layer answers."""
    answers = {"y": y, "state_T": state_T, "d_params": d_params, "d_x": d_x, "d_state_0": d_state_0}
    return dict(tree.named_leaves(answers))


def _conditions(layer: Layer, given: Problem, generator: np.random.Generator) -> dict[str, float]:
    """Return the condition of every tensor: how random relative changes of all inputs show in it."""

    def change(leaf: Any) -> Any:
        return leaf * (1.0 + CHANGE * generator.choice((-1.0, 1.0), leaf.shape))

    usual = _answers(layer, given, "float64")
    sizes = {name: _largest(leaf) for name, leaf in usual.items()}
    condition = dict.fromkeys(usual, 1.0)
    for _ in range(CHANGES):
        for name, leaf in _answers(layer, given.map(change), "float64").items():
            if sizes[name]:
                shift = _largest(leaf - usual[name]) / (CHANGE * sizes[name])
                condition[name] = max(condition[name], shift)
    return condition


def _largest(values: Any) -> float:
    """Return max|values|."""
    return float(np.max(np.abs(values), initial=0.0))


def _error(answer: Any, truth: Any, xp: Digits) -> float:
    """Return max|answer - truth| / max|truth| in eps."""
    if not np.isfinite(answer).all():
        return math.nan
    scale = np.max(np.abs(truth), initial=0)
    if not scale:
        return math.inf if np.any(answer) else 0.0
    shares = np.abs(xp.asarray(answer) - truth) / scale
    return float(np.max(shares.astype(np.float64))) / float(np.finfo(answer.dtype).eps)


def _truth(layer: Layer, given: Problem, xp: Digits) -> _Truth:
    """Return the truth, or say what keeps its numbers from being computed."""
    try:
        return _Truth(layer, given, xp)
    except TypeError as error:
        msg = f"a cell must compute with the `xp` that it is given, not with NumPy or `math`: {error}"
        raise ForeignCallError(msg) from error


class _Truth:
    """A problem at high precision, and all that the layer answers."""

    def __init__(self, layer: Layer, given: Problem, xp: Digits) -> None:
        self.layer, self.xp = layer, xp
        self.given = given.map(xp.asarray)
        params, x, state_0, lengths, _, d_y, d_state_T = self.given
        self.valid = None if lengths is None else valid_steps(lengths, x.shape[0], x, xp=xp)
        y, state_T, kept = self._forward(params, x, state_0)
        d_y = blank(d_y, self.valid, xp=xp) if d_y.ndim == 3 else d_y
        d_params, d_x, d_state_0 = layer.run_back(params, kept, d_y, d_state_T, True, xp=xp)
        self.answers = _named(y, state_T, d_params, d_x, d_state_0)
        self.value = self._weighted(y, state_T)
        self.inputs = (params, None if given.tokens else x, state_0)
        self.gradients = (d_params, d_x, None if state_0 is None else d_state_0)

    def slope_error(self, digits: int, generator: np.random.Generator) -> float | None:
        """Return the relative error of the gradient along a random direction through all inputs."""
        xp, step = self.xp, 10.0 ** -(2 * digits // 5)
        distance = xp.full((), step)[()]
        direction = tree.map(lambda leaf: xp.asarray(generator.standard_normal(leaf.shape)), self.inputs)

        def slopes(distance: Any) -> tuple[Any, Any]:
            below, above = self._moved(direction, -distance), self._moved(direction, distance)
            return (self.value - below) / distance, (above - self.value) / distance

        slope = _dot(self.gradients, direction)
        far = slopes(distance)
        size = max(abs(each) for each in (slope, *far))
        if not size:
            return None
        error = abs(slope - sum(far) / 2) / size
        if error > 10.0 ** -(digits // 2) and _kink(far, slopes(distance / 2), size, step):
            return None
        return float(error)

    def _moved(self, direction: Tree, distance: Any) -> Any:
        """Return the weighted sum of the outputs with all inputs moved along `direction`."""
        params, x, state_0 = tree.map(lambda leaf, d: leaf + distance * d, self.inputs, direction)
        y, state_T, _ = self._forward(params, self.given.x if x is None else x, state_0)
        return self._weighted(y, state_T)

    def _forward(self, params: Tree, x: Any, state_0: Tree | None) -> tuple[Any, Tree, Any]:
        """Do what `Layer.forward` does, in a namespace that no array tells of."""
        context = Context(self.xp, self.valid, self.given.rng)
        y, state_T, kept = self.layer.run(params, blank(x, self.valid, xp=self.xp), state_0, context)
        return blank(y, self.valid, xp=self.xp) if y.ndim == 3 else y, state_T, kept

    def _weighted(self, y: Any, state_T: Tree) -> Any:
        """Return the sum of all outputs, each with its weight."""
        return _dot((y, state_T), (self.given.d_y, self.given.d_state_T))


def _kink(far: tuple[Any, Any], near: tuple[Any, Any], size: Any, step: float) -> bool:
    """Tell from one-sided slopes, `step` away and half of it, whether slope or curvature jumps in the middle.

    A unit that is exactly 0 (relu without bias after units that are all 0) puts a kink there.
    """
    share = math.sqrt(step)
    left, right = near[0] - far[0], far[1] - near[1]  # a quarter step times the curvature
    bend = max(abs(left), abs(right), step * size)
    return bool(abs(near[1] - near[0]) > share * size or abs(right - left) > share * bend)


def _dot(one: Tree, other: Tree) -> Any:
    """Return the sum of the products of all leaves."""
    pairs = zip(tree.leaves(one), tree.leaves(other), strict=True)
    return sum(np.sum(a * b) for a, b in pairs)
