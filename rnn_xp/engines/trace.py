"""A function of planes, written down: which ufuncs it calls, in what order, and what it stores where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from rnn_xp.engines.kernels import Kernel, NotPointwiseError


class Constant(NamedTuple):
    """A number."""

    value: float | bool
    form: str  # as it is written, which tells -0.0 from 0.0, and True from 1.0


Value: TypeAlias = int | Constant
"""The number of an argument, or, counted on from there, that of the operation that computes it."""


class Operation(NamedTuple):
    """One call on whole planes: function(*operands, out)."""

    function: Callable[..., Any]
    operands: tuple[Value, ...]
    flag: bool  # whether it gives booleans


class Trace(NamedTuple):
    """What a function of planes does."""

    dtype: Any  # of the planes
    arguments: int
    operations: list[Operation]
    stores: list[tuple[int, Value]]  # into which argument, and what

    def add(self, function: Callable[..., Any], operands: tuple[Value, ...], sample: Any) -> Symbol:
        """Write an operation down; `sample` is what it makes of samples."""
        if sample.dtype not in (self.dtype, np.bool_):
            msg = f"{function.__name__} gives {sample.dtype}"
            raise TypeError(msg)
        self.operations.append(Operation(function, operands, sample.dtype == np.bool_))
        return Symbol(self, self.arguments + len(self.operations) - 1, sample)


class Symbol(NDArrayOperatorsMixin):
    """Stands for a plane: an array with a dtype, and without numbers or shape."""

    def __init__(self, trace: Trace, value: Value, sample: Any) -> None:
        self.trace, self.value, self.sample = trace, value, sample

    @property
    def dtype(self) -> Any:
        """That of its sample."""
        return self.sample.dtype

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis or not 0 <= self.value < self.trace.arguments:  # type: ignore[operator]
            msg = "only whole planes can be stored, in arguments"
            raise TypeError(msg)
        self.trace.stores.append((self.value, _value(value)))  # type: ignore[arg-type]

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Symbol:
        if ufunc is np.power:
            msg = "power has other ways for some exponents, which depend on NumPy's release: write x * x"
            raise TypeError(msg)
        if method != "__call__" or options or ufunc.nout != 1 or ufunc.signature:
            msg = f"{ufunc.__name__} is called in a way that is not pointwise"
            raise TypeError(msg)
        function = BY_NAME.get(ufunc, ufunc)
        return self.trace.add(function, tuple(map(_value, operands)), ufunc(*map(_sample, operands)))

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Symbol:
        if function is np.where and not options:
            return self.trace.add(select, tuple(map(_value, arguments)), np.where(*map(_sample, arguments)))
        if getattr(function, "__name__", "") == "astype":
            return self.astype(*arguments[1:])
        if function in FILLED and len(arguments) == 1 + (function is np.full_like):
            filled = function(self.sample, *arguments[1:], **options)
            if filled.dtype in (self.trace.dtype, np.bool_):
                number = bool if filled.dtype == np.bool_ else float
                # the number itself, which no dtype has rounded yet
                value = _value(number(FILLED[function] if len(arguments) == 1 else arguments[1]))
                return Symbol(self.trace, value, filled)
        msg = f"{function.__name__} is not pointwise"
        raise TypeError(msg)

    def astype(self, dtype: Any, *, copy: bool = True) -> Symbol:  # noqa: ARG002
        """Convert."""
        return self.trace.add(store, (self.value,), self.sample.astype(dtype))

    def __bool__(self) -> bool:
        msg = "a number of a plane decides what is computed"
        raise TypeError(msg)


def record(kernel: Kernel) -> Trace:
    """Run the function on planes without numbers, of both dtypes; one and the same must come of it."""
    single, double = (_traced(kernel, np.dtype(dtype)) for dtype in (np.float32, np.float64))
    if single[1:] != double[1:]:
        raise NotPointwiseError from TypeError("the dtype decides what is computed")
    return single


def _traced(kernel: Kernel, dtype: Any) -> Trace:
    """Run it on planes of this dtype."""
    result = Trace(dtype, kernel.planes, [], [])
    sample = np.full((1,), 0.5, dtype)
    try:
        with np.errstate(all="ignore"):
            kernel.run(*[Symbol(result, i, sample) for i in range(kernel.planes)])
    except Exception as error:
        raise NotPointwiseError from error
    return result


FILLED: dict[Any, Any] = {np.zeros_like: 0.0, np.ones_like: 1.0, np.full_like: None}


def maximum(x: Any, y: Any, out: Any) -> None:
    """Store the larger one; NumPy takes out by its name only here."""
    np.maximum(x, y, out=out)


def minimum(x: Any, y: Any, out: Any) -> None:
    """Store the smaller one."""
    np.minimum(x, y, out=out)


def negative(x: Any, out: Any) -> None:
    """Store -x; numpy.negative itself errs on some strides, as planes of one number have them."""
    np.multiply(x, -1.0, out)


BY_NAME = {np.maximum: maximum, np.minimum: minimum, np.negative: negative}


def store(x: Any, out: Any) -> None:
    """Copy x, converted to the dtype of out."""
    np.copyto(out, x, casting="unsafe")


def select(condition: Any, x: Any, y: Any, out: Any) -> None:
    """Store x where condition, else y."""
    out[...] = np.where(condition, x, y)


def _value(operand: Any) -> Value:
    """Return what an operation reads; an array of numbers may change, and cannot be written down."""
    if isinstance(operand, Symbol):
        return operand.value
    if isinstance(operand, bool | int | float | np.generic):
        value = bool(operand) if isinstance(operand, bool | np.bool_) else float(operand)
        return Constant(value, repr(value))
    msg = f"a plane meets {type(operand).__name__}"
    raise TypeError(msg)


def _sample(operand: Any) -> Any:
    return operand.sample if isinstance(operand, Symbol) else operand
