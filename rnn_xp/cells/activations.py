"""The activations of cells: those of the ONNX operators, each with its slope written by its own value.

All of them are monotonic, so a value tells the slope; constants for which it would not are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from rnn_xp import checks
from rnn_xp.functional import sigmoid
from rnn_xp.typing import Array, Namespace

Name: TypeAlias = str | Sequence[Any]


class Activation(NamedTuple):
    """A function of the pre-activation x, perhaps behind a clip of x.

    Attributes
    ----------
    name : str
    forward : function
        forward(x, *constants, xp) -> y.
    slope : function
        slope(y, *constants, xp) -> dy/dx.
    constants : tuple of float
    clip : float or None
        x is held within -clip .. clip, as the ONNX operators define it.
    """

    name: str
    forward: Callable[..., Array]
    slope: Callable[..., Array]
    constants: tuple[float, ...] = ()
    clip: float | None = None

    @property
    def function(self) -> Any:
        """What gives y from x, as directly as can be: it is called for every gate of every step."""
        return self if self.constants or self.clip is not None else self.forward

    def __call__(self, x: Array, *, xp: Namespace) -> Array:
        """Return y."""
        if self.clip is not None:
            high = xp.full_like(x, self.clip)
            x = xp.minimum(xp.maximum(x, -high), high)
        return self.forward(x, *self.constants, xp=xp)

    @property
    def spec(self) -> Name:
        """Its name; with its constants, where they are not the usual ones."""
        usual = self.constants == ACTIVATIONS[self.name].constants
        return self.name if usual else (self.name, *self.constants)


def inside(clip: float | None, x: Sequence[Array], *, xp: Namespace) -> tuple[Array, ...]:
    """Return, where there is a clip, 1 where it lets each x through and 0 elsewhere: planes to keep."""
    return () if clip is None else tuple(xp.astype(xp.abs(each) < clip, each.dtype) for each in x)


def slopes(
    activations: Sequence[Activation], kept: Sequence[Array], *, xp: Namespace
) -> Callable[[int], Array]:
    """Return ``slope(k)``, dy/dx of the k-th activation by its y, kept[k]; what `inside` gave comes after."""

    def slope(k: int) -> Array:
        dy_dx = activations[k].slope(kept[k], *activations[k].constants, xp=xp)
        return dy_dx if activations[k].clip is None else dy_dx * kept[n + k]

    n = len(activations)
    return slope


def tanh(x: Array, *, xp: Namespace) -> Array:
    """Return tanh(x)."""
    y: Array = xp.tanh(x)
    return y


def tanh_slope(y: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return 1 - y^2."""
    return 1.0 - y * y


def sigmoid_slope(y: Array, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return y (1 - y)."""
    return y * (1.0 - y)


def relu(x: Array, *, xp: Namespace) -> Array:
    """Return max(x, 0)."""
    y: Array = xp.maximum(x, xp.zeros_like(x))
    return y


def relu_slope(y: Array, *, xp: Namespace) -> Array:
    """Return 1 where y > 0, else 0."""
    slope: Array = xp.astype(y > 0.0, y.dtype)
    return slope


def affine(x: Array, alpha: float, beta: float, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return alpha x + beta."""
    return alpha * x + beta


def affine_slope(y: Array, alpha: float, beta: float, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return alpha."""
    slope: Array = xp.full_like(y, alpha)
    return slope


def leaky_relu(x: Array, alpha: float, *, xp: Namespace) -> Array:
    """Return x where x > 0, else alpha x."""
    y: Array = xp.where(x > 0.0, x, alpha * x)
    return y


def leaky_relu_slope(y: Array, alpha: float, *, xp: Namespace) -> Array:
    """Return 1 where y > 0, else alpha."""
    slope: Array = xp.where(y > 0.0, xp.ones_like(y), xp.full_like(y, alpha))
    return slope


def thresholded_relu(x: Array, alpha: float, *, xp: Namespace) -> Array:
    """Return x where x > alpha, else 0."""
    y: Array = xp.where(x > alpha, x, xp.zeros_like(x))
    return y


def thresholded_relu_slope(y: Array, alpha: float, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return 1 where y > 0, else 0."""
    return relu_slope(y, xp=xp)


def scaled_tanh(x: Array, alpha: float, beta: float, *, xp: Namespace) -> Array:
    """Return alpha tanh(beta x)."""
    y: Array = alpha * xp.tanh(beta * x)
    return y


def scaled_tanh_slope(y: Array, alpha: float, beta: float, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return beta (alpha - y^2 / alpha)."""
    return beta * (alpha - y * y / alpha)


def hard_sigmoid(x: Array, alpha: float, beta: float, *, xp: Namespace) -> Array:
    """Return max(0, min(1, alpha x + beta))."""
    y: Array = xp.maximum(xp.minimum(alpha * x + beta, xp.ones_like(x)), xp.zeros_like(x))
    return y


def hard_sigmoid_slope(y: Array, alpha: float, beta: float, *, xp: Namespace) -> Array:  # noqa: ARG001
    """Return alpha where 0 < y < 1, else 0."""
    return alpha * xp.astype((y > 0.0) & (y < 1.0), y.dtype)  # type: ignore[no-any-return]


def elu(x: Array, alpha: float, *, xp: Namespace) -> Array:
    """Return x where x > 0, else alpha (exp(x) - 1)."""
    y: Array = xp.where(x > 0.0, x, alpha * xp.expm1(xp.minimum(x, xp.zeros_like(x))))
    return y


def elu_slope(y: Array, alpha: float, *, xp: Namespace) -> Array:
    """Return 1 where y > 0, else y + alpha."""
    slope: Array = xp.where(y > 0.0, xp.ones_like(y), y + alpha)
    return slope


def softsign(x: Array, *, xp: Namespace) -> Array:
    """Return x / (1 + |x|)."""
    y: Array = x / (1.0 + xp.abs(x))
    return y


def softsign_slope(y: Array, *, xp: Namespace) -> Array:
    """Return (1 - |y|)^2."""
    root = 1.0 - xp.abs(y)
    slope: Array = root * root
    return slope


def softplus(x: Array, *, xp: Namespace) -> Array:
    """Return log(1 + exp(x))."""
    y: Array = xp.logaddexp(xp.zeros_like(x), x)
    return y


def softplus_slope(y: Array, *, xp: Namespace) -> Array:
    """Return 1 - exp(-y)."""
    slope: Array = -xp.expm1(-y)
    return slope


ACTIVATIONS = {
    each.name: each
    for each in (
        Activation("sigmoid", sigmoid, sigmoid_slope),
        Activation("tanh", tanh, tanh_slope),
        Activation("relu", relu, relu_slope),
        Activation("affine", affine, affine_slope, (1.0, 0.0)),
        Activation("leaky_relu", leaky_relu, leaky_relu_slope, (0.01,)),
        Activation("thresholded_relu", thresholded_relu, thresholded_relu_slope, (1.0,)),
        Activation("scaled_tanh", scaled_tanh, scaled_tanh_slope, (1.0, 1.0)),
        Activation("hard_sigmoid", hard_sigmoid, hard_sigmoid_slope, (0.2, 0.5)),
        Activation("elu", elu, elu_slope, (1.0,)),
        Activation("softsign", softsign, softsign_slope),
        Activation("softplus", softplus, softplus_slope),
    )
}
"""The activations by name, with their usual constants."""

BOUNDS = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0)}
"""Between which values an activation stays, whatever its constants; of those that do."""

POSITIVE = ("leaky_relu", "thresholded_relu", "elu", "scaled_tanh")
"""Those whose first constant must not be negative, for the slope to follow from the value."""


def resolve(argument: str, spec: Name, clip: float | None) -> Activation:
    """Return the activation that `spec` names: "elu", or ("elu", 0.5) with the first of its constants."""
    parts = [spec] if isinstance(spec, str) else list(spec) if isinstance(spec, list | tuple) else []
    if not parts or not isinstance(parts[0], str):
        msg = f"`{argument}` must be a name, or a tuple of a name and its constants; got {spec!r}."
        raise TypeError(msg)
    name, *constants = parts
    found = ACTIVATIONS[checks.one_of(argument, name, ACTIVATIONS)]
    if len(constants) > len(found.constants):
        msg = f"`{argument}` must give {name} at most {len(found.constants)} constants; got {constants}."
        raise ValueError(msg)
    given = []
    for place, value in enumerate(constants):
        low = 0.0 if place == 0 and name in POSITIVE else float("-inf")
        open_low = place == 0 and name == "scaled_tanh"
        given.append(checks.number(f"{argument} {name}", value, low, open_low=open_low))
    if clip is not None:
        clip = checks.number("clip", clip, open_low=True)
    return found._replace(constants=(*given, *found.constants[len(given) :]), clip=clip)


def resolve_all(specs: Sequence[Name], count: int, clip: float | None) -> tuple[Activation, ...]:
    """Return the activations of a cell that has `count` of them."""
    if not isinstance(specs, list | tuple) or len(specs) != count:
        msg = f"`activations` must hold {count} names, or tuples of a name and constants; got {specs!r}."
        raise ValueError(msg)
    return tuple(resolve("activations", spec, clip) for spec in specs)
