"""How weights begin: drawn on the host in float64, so that one seed gives the same ones on every backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from rnn_xp import checks

Weights: TypeAlias = npt.NDArray[np.float64]
Draw: TypeAlias = "Callable[[np.random.Generator, Spec], Weights]"


@dataclass(frozen=True)
class Spec:
    """What an initialiser needs to know of one parameter.

    Attributes
    ----------
    shape
        Its shape.
    role
        What it is: in a recurrent layer "weight_ih" (G*H, D), "weight_hh" (G*H, H or P), "weight_hr" (P, H),
        "bias_ih", "bias_hh" (G*H,), "vectors", such as peepholes (V, H), "state_0" (P,) or (H,); in a linear
        one "weight" (out, in), "bias" (out,); or "embedding" (V, D).
    fan_in
        The number of inputs of the product that it takes part in; for a matrix, its number of columns.
    hidden_size
        H of a recurrent layer, 0 elsewhere.
    gates
        The names of the blocks of rows, in order; empty where there are none.
    initial
        Of vectors, what each row begins with, whatever the rule; None, or none at all: the rule decides.

    Examples
    --------
    >>> Spec((8, 3), "weight_ih", fan_in=3, hidden_size=2, gates=("i", "f", "g", "o")).role
    'weight_ih'
    """

    shape: tuple[int, ...]
    role: str
    fan_in: int
    hidden_size: int = 0
    gates: tuple[str, ...] = ()
    initial: tuple[float | None, ...] = ()


class Initializer(NamedTuple):
    """A rule for every parameter of a model: functions (generator, spec) -> float64 array, by role.

    Attributes
    ----------
    weight_ih, weight_hh, weight_hr, weight, embedding
        The rule for the role of that name.
    bias
        The rule for the three kinds of bias, and for vectors. An initial state begins with 0.
    forget_bias
        What the bias of gate "f" begins with, b_ih and b_hh together; None leaves it to `bias`.

    Examples
    --------
    >>> INITIALIZERS["pytorch"]._replace(forget_bias=1.0).forget_bias
    1.0
    """

    weight_ih: Draw
    weight_hh: Draw
    weight_hr: Draw
    weight: Draw
    embedding: Draw
    bias: Draw
    forget_bias: float | None = None


def generator(seed: int) -> np.random.Generator:
    """Return the host generator that all the weights of one `init` are drawn from, in order.

    Parameters
    ----------
    seed
        An integer of at least 0.

    Returns
    -------
    numpy.random.Generator
        Its state is a function of the seed alone.

    Raises
    ------
    ValueError
        Where `seed` is negative.
    TypeError
        Where it is no integer.

    Examples
    --------
    >>> generator(3).random() == generator(3).random()
    True
    """
    return np.random.default_rng(checks.integer("seed", seed, 0))


def draw(init: Initializer, spec: Spec, generator: np.random.Generator) -> Weights:
    """Draw one parameter.

    Parameters
    ----------
    init
        The rules.
    spec
        The parameter.
    generator
        Where the randomness comes from; it advances.

    Returns
    -------
    ndarray
        Float64 of shape `spec.shape`.

    Examples
    --------
    >>> spec = Spec((4,), "bias_ih", fan_in=3, hidden_size=1, gates=("i", "f", "g", "o"))
    >>> draw(INITIALIZERS["orthogonal"], spec, generator(0))
    array([0., 1., 0., 0.])
    """
    rule: Draw
    if spec.role == "state_0":
        rule = zeros
    elif spec.role in ("bias", "bias_ih", "bias_hh", "vectors"):
        rule = init.bias
    else:
        rule = getattr(init, spec.role)
    values = rule(generator, spec)
    for row, value in enumerate(spec.initial):
        if value is not None:
            values[row] = value
    if init.forget_bias is not None and spec.role in ("bias_ih", "bias_hh") and "f" in spec.gates:
        first = spec.gates.index("f") * spec.hidden_size
        values[first : first + spec.hidden_size] = init.forget_bias if spec.role == "bias_ih" else 0.0
    return values


def resolve(init: str | Initializer) -> Initializer:
    """Return the initialiser of that name, or the one given.

    Parameters
    ----------
    init
        "pytorch", "glorot", "orthogonal", "tutorial", or an `Initializer`.

    Returns
    -------
    Initializer
        The rules.

    Raises
    ------
    ValueError
        Where the name is unknown.
    TypeError
        Where it is neither a name nor an `Initializer`.

    Examples
    --------
    >>> resolve("orthogonal").forget_bias
    1.0
    """
    if isinstance(init, Initializer):
        return init
    if not isinstance(init, str):
        names = ", ".join(map(repr, INITIALIZERS))
        msg = f"`init` must be one of {names}, or an Initializer; got {type(init).__name__}."
        raise TypeError(msg)
    return INITIALIZERS[checks.one_of("init", init, INITIALIZERS)]


def uniform(generator: np.random.Generator, spec: Spec) -> Weights:
    """PyTorch's rule: uniform within 1 / sqrt(H) in a recurrent layer, within 1 / sqrt(fan_in) elsewhere."""
    bound = 1.0 / math.sqrt(spec.hidden_size or spec.fan_in)
    return generator.uniform(-bound, bound, spec.shape)


def glorot_uniform(generator: np.random.Generator, spec: Spec) -> Weights:
    """Uniform within sqrt(6 / (fan_in + fan_out)) of each gate (Glorot and Bengio, AISTATS 2010)."""
    bound = math.sqrt(6.0 / (spec.shape[1] + _fan_out(spec)))
    return generator.uniform(-bound, bound, spec.shape)


def orthogonal(generator: np.random.Generator, spec: Spec) -> Weights:
    """Orthonormal rows or columns, whichever are fewer, in each gate's block (Saxe et al., ICLR 2014)."""
    rows, columns = _fan_out(spec), spec.shape[1]
    blocks = [_orthonormal(generator, rows, columns) for _ in range(spec.shape[0] // rows)]
    return np.concatenate(blocks)


def scaled_normal(generator: np.random.Generator, spec: Spec) -> Weights:
    """Draw from N(0, 1 / fan_in)."""
    return generator.standard_normal(spec.shape) * math.sqrt(1.0 / spec.shape[1])


def standard_normal(generator: np.random.Generator, spec: Spec) -> Weights:
    """Draw from N(0, 1)."""
    return generator.standard_normal(spec.shape)


def zeros(generator: np.random.Generator, spec: Spec) -> Weights:  # noqa: ARG001
    """Begin with 0."""
    return np.zeros(spec.shape)


def _orthonormal(generator: np.random.Generator, rows: int, columns: int) -> Weights:
    """Draw uniformly (by Haar measure): without the signs of R's diagonal, QR would favour some."""
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.copysign(1.0, np.diagonal(r))
    return q if rows >= columns else q.T


def _fan_out(spec: Spec) -> int:
    """Return the rows of one block: those of a gate, where the matrix stacks gates."""
    return spec.hidden_size if spec.role in ("weight_ih", "weight_hh") else spec.shape[0]


def _matrices(rule: Draw, bias: Draw = zeros) -> Initializer:
    """Return the initialiser with one rule for every matrix but an embedding, whose rows are inputs."""
    return Initializer(rule, rule, rule, rule, embedding=standard_normal, bias=bias)


INITIALIZERS = {
    "pytorch": _matrices(uniform, bias=uniform),
    "glorot": _matrices(glorot_uniform),
    "orthogonal": _matrices(glorot_uniform)._replace(
        weight_hh=orthogonal, weight_hr=orthogonal, forget_bias=1.0
    ),
    "tutorial": _matrices(scaled_normal),
}
"""The initialisers by name."""
