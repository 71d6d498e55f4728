"""A small array namespace over NumPy object arrays of multiple-precision numbers.

The package's own source runs on it as on any other library, at as many digits as one likes. Slices of object
arrays are views that can be written through, which the sequence engine relies on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnn_xp import checks

Objects = np.ndarray[Any, np.dtype[Any]]

GUARD_BITS = 10
"""What the numbers carry beyond the digits asked for."""

UNCHANGED = (
    "abs", "add", "all", "any", "arange", "argmax", "argmin", "bool", "broadcast_to", "concat", "divide", "e",
    "empty", "empty_like", "equal", "expand_dims", "flip", "greater", "greater_equal", "inf", "int64", "less",
    "less_equal", "logical_and", "logical_not", "logical_or", "matmul", "matrix_transpose", "max", "mean",
    "min", "multiply", "nan", "negative", "newaxis", "not_equal", "permute_dims", "pi", "positive", "prod",
    "reshape", "roll", "square", "squeeze", "stack", "subtract", "sum", "take", "tile",
)  # fmt: skip
"""What NumPy does with objects as it should: it moves, compares, adds and divides them."""

MIXING = ("maximum", "minimum", "pow", "where")
"""So does it with these, but for a Python float among the arguments, which must become a number first."""

FUNCTIONS = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "expm1", "log", "log10", "log1p",
    "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip
"""What the library of the numbers computes, one number after the other."""


class UnknownNameError(AttributeError):
    """A formula asks for what the namespace does not have."""


class ForeignCallError(TypeError):
    """A formula hands numbers to functions of another namespace."""


class Digits:
    """The namespace: what the package's mathematics asks of a library, with numbers of one precision.

    Parameters
    ----------
    number : function
        It makes a number of a Python float, int or bool, without rounding.
    functions : Any
        Where `FUNCTIONS` are found, each for one number.
    """

    __name__ = "digits"

    float64 = np.dtype(object)
    """The dtype of the numbers, by the name that asks for the most precise one."""

    exp: Any
    log: Any
    log1p: Any
    maximum: Any
    minimum: Any

    def __init__(self, number: Callable[[Any], Any], functions: Any) -> None:
        self._number = np.frompyfunc(number, 1, 1)
        for name in UNCHANGED:
            setattr(self, name, getattr(np, name))
        for name in MIXING:
            setattr(self, name, self._mixing(getattr(np, name)))
        for name in FUNCTIONS:
            setattr(self, name, np.frompyfunc(getattr(functions, name), 1, 1))

    def __getattr__(self, name: str) -> Any:
        msg = f"high precision knows no `xp.{name}`"
        raise UnknownNameError(msg)

    def _mixing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of NumPy that takes Python floats for numbers."""

        def mixed(*arguments: Any) -> Any:
            return function(*[self._number(each) if isinstance(each, float) else each for each in arguments])

        return mixed

    def asarray(self, value: Any, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Objects:  # noqa: ARG002
        """Return `value` as an array; floats become numbers."""
        array = np.asarray(value, dtype=None if dtype == self.float64 else dtype)
        if dtype == self.float64 or array.dtype.kind == "f":
            return self.astype(array, self.float64)
        return np.array(array) if copy else array

    def astype(self, x: Any, dtype: Any, copy: bool = True) -> Objects:
        """Return x in another dtype; numbers where that is `float64`."""
        if dtype != self.float64:
            return np.asarray(x).astype(dtype, copy=copy)
        numbers = np.empty(np.shape(x), dtype=object)
        numbers[...] = self._number(x)
        return numbers

    def full(self, shape: Any, value: Any, dtype: Any = None, device: Any = None) -> Objects:  # noqa: ARG002
        """Return an array filled with `value`."""
        if dtype in (None, self.float64):
            return np.full(shape, self._number(value), dtype=object)
        return np.full(shape, value, dtype=dtype)

    def zeros(self, shape: Any, dtype: Any = None, device: Any = None) -> Objects:  # noqa: ARG002
        """Return an array of 0."""
        return self.full(shape, 0, dtype)

    def ones(self, shape: Any, dtype: Any = None, device: Any = None) -> Objects:  # noqa: ARG002
        """Return an array of 1."""
        return self.full(shape, 1, dtype)

    def full_like(self, x: Objects, value: Any) -> Objects:
        """Return an array like x filled with `value`."""
        return self.full(x.shape, value, x.dtype)

    def zeros_like(self, x: Objects) -> Objects:
        """Return an array like x of 0."""
        return self.full(x.shape, 0, x.dtype)

    def ones_like(self, x: Objects) -> Objects:
        """Return an array like x of 1."""
        return self.full(x.shape, 1, x.dtype)

    def clip(self, x: Objects, min: Any = None, max: Any = None) -> Any:
        """Return x held between `min` and `max`."""
        x = x if min is None else self.maximum(x, min)
        return x if max is None else self.minimum(x, max)

    def sign(self, x: Objects) -> Objects:
        """Return -1, 0 or 1."""
        return self.astype(np.sign(x), x.dtype)

    def log2(self, x: Objects) -> Any:
        """Return the logarithm to the base 2."""
        return self.log(x) / self.log(self.full((), 2))

    def logaddexp(self, x: Objects, y: Objects) -> Any:
        """Return log(exp(x) + exp(y))."""
        return np.maximum(x, y) + self.log1p(self.exp(-np.abs(x - y)))


@contextmanager
def namespace(digits: int = 50, library: str | None = None) -> Iterator[Digits]:
    """Open a namespace whose numbers have `digits` decimal digits.

    The numbers are those of gmpy2 where it is installed, else those of mpmath, several times slower. gmpy2's
    take their precision from the calling thread, so compute with them inside the ``with``.

    Parameters
    ----------
    digits : int
    library : {"gmpy2", "mpmath"}, optional

    Yields
    ------
    xp : Digits

    Raises
    ------
    ModuleNotFoundError
        Where the library is not installed.

    Examples
    --------
    >>> with namespace(30) as xp:
    ...     third = xp.ones(1) / 3.0
    ...     float(abs(3.0 * third - 1.0)[0]) < 1e-29
    True
    """
    bits = math.ceil(checks.integer("digits", digits, 16) * math.log2(10)) + GUARD_BITS
    name = _installed() if library is None else checks.one_of("library", library, ("gmpy2", "mpmath"))
    if name == "gmpy2":
        import gmpy2

        with gmpy2.context(precision=bits):
            yield Digits(gmpy2.mpfr, gmpy2)
    else:
        import mpmath

        context = mpmath.mp.clone()
        context.prec = bits
        yield Digits(context.mpf, context)


def _installed() -> str:
    """Return the faster library that is there."""
    from importlib.util import find_spec

    for name in ("gmpy2", "mpmath"):
        if find_spec(name) is not None:
            return name
    msg = 'high precision needs gmpy2 or mpmath, which are not installed: pip install "rnn-xp[verify]".'
    raise ModuleNotFoundError(msg)
