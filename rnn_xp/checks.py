"""The one voice of errors: what an argument must be, what came, and the way out."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from rnn_xp.typing import Array


class Shaped(Protocol):
    """An array of whatever library, as far as its shape tells."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""


def integer(name: str, value: Any, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as a Python integer of at least `minimum` and at most `maximum`."""
    above = "" if maximum is None else f" and at most {maximum}"
    must = f"`{name}` must be an integer of at least {minimum}{above}"
    try:
        number = operator.index(value)
    except TypeError:
        msg = f"{must}; got {value!r}."
        raise TypeError(msg) from None
    if isinstance(value, bool):
        msg = f"{must}; got {value!r}."
        raise TypeError(msg)
    if number < minimum or (maximum is not None and number > maximum):
        msg = f"{must}; got {number}."
        raise ValueError(msg)
    return number


def boolean(name: str, value: Any) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        msg = f"`{name}` must be True or False; got {value!r}."
        raise TypeError(msg)
    return value


def number(
    name: str, value: Any, low: float = 0.0, high: float = math.inf, *, open_low: bool = False
) -> float:
    """Return `value` as a finite float in [low, high), or (low, high) where `open_low`."""
    bounds = f"> {low:g}" if open_low else f">= {low:g}"
    must = f"`{name}` must be a finite number {bounds}" + ("" if high == math.inf else f" and < {high:g}")
    if isinstance(value, bool | str | bytes):
        msg = f"{must}; got {value!r}."
        raise TypeError(msg)
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    except (TypeError, ValueError):
        msg = f"{must}; got {value!r}."
        raise TypeError(msg) from None
    if not math.isfinite(result) or result < low or result >= high or (open_low and result == low):
        msg = f"{must}; got {result:g}."
        raise ValueError(msg)
    return result


def one_of(name: str, value: Any, choices: Collection[Any]) -> Any:
    """Return `value` if it is one of `choices`."""
    if value not in tuple(choices):
        msg = f"`{name}` must be one of {', '.join(map(repr, choices))}; got {value!r}."
        raise ValueError(msg)
    return value


def kind(name: str, value: Any, wanted: type, must: str) -> Any:
    """Return `value` if it is of the type `wanted`."""
    if not isinstance(value, wanted):
        msg = f"`{name}` must be {must}; got {type(value).__name__}."
        raise TypeError(msg)
    return value


def optional(module: str, extra: str, who: str) -> Any:
    """Return a module of a library that the core does without; `extra` is what installs it for `who`."""
    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == library:
            msg = f"{who} needs {library}, which is not installed: {install(extra)}."
            raise ModuleNotFoundError(msg, name=library) from None
        msg = f"{who} needs {library}, which is installed and cannot be imported: {str(error).rstrip('.')}."
        raise ModuleNotFoundError(msg, name=library) from error


def install(extra: str, how: str = "pip install") -> str:
    """Return the command that installs an extra of the package: from an index, and in a clone."""
    return f'{how} "rnn-xp[{extra}]" (in a clone: {how} ".[{extra}]")'


def params(owner: Any, wanted: Mapping[str, tuple[int, ...]], came: Mapping[str, Array]) -> None:
    """Check that the parameters by name have the wanted shapes, and one floating dtype."""
    shapes = {name: tuple(leaf.shape) for name, leaf in came.items()}
    if shapes != wanted:
        wrong = sorted(name for name in {**wanted, **shapes} if wanted.get(name) != shapes.get(name))
        told = "; ".join(
            f"{name} {wanted.get(name, 'absent')}, got {shapes.get(name, 'absent')}" for name in wrong[:4]
        )
        msg = f"`params` must be those of {owner!r}, as its init returns them: {told}."
        raise ValueError(msg)
    dtypes = {_plain(leaf.dtype) for leaf in came.values()}
    if dtypes and dtypes not in ({"float32"}, {"float64"}):
        msg = f"`params` must all hold float32, or all float64; got {', '.join(sorted(dtypes))}."
        raise TypeError(msg)


def shape(name: str, array: Shaped, letters: str, sizes: Sequence[int | None], hint: str = "") -> None:
    """Check that `array` has the shape written as `letters`; None in `sizes` leaves an axis free."""
    if not hasattr(array, "shape"):
        msg = f"`{name}` must be an array of shape ({letters}); got {type(array).__name__}."
        raise TypeError(msg)
    actual = tuple(array.shape)
    if len(actual) == len(sizes) and all(s is None or s == a for s, a in zip(sizes, actual, strict=True)):
        return
    known = [f"{letter} = {s}" for letter, s in zip(letters.split(", "), sizes, strict=True) if s is not None]
    where = " with " + ", ".join(known) if known else ""
    msg = f"`{name}` must have shape ({letters}){where}; got {actual}.{' ' + hint if hint else ''}"
    raise ValueError(msg)


def dtype(name: str, array: Array, expected: Any, way_out: str) -> None:
    """Check that `array` has the dtype `expected`: layers never promote silently."""
    native = getattr(array.dtype, "isnative", True)
    if array.dtype != expected or not native:
        must = f"`{name}` must have dtype {_plain(expected)}, that of the parameters"
        came = _plain(array.dtype) if native else f"{_plain(array.dtype)} in another order of bytes"
        msg = f"{must}; got {came}. {way_out}"
        raise TypeError(msg)


def lengths(value: Any, batch: int, steps: int) -> tuple[int, ...]:
    """Return `lengths` as a tuple of `batch` Python integers in 0..steps."""
    on_host = isinstance(value, list | tuple) or type(value).__module__.partition(".")[0] == "numpy"
    if not on_host or not hasattr(value, "__len__"):
        must = f"`lengths` must be a list or host integer array of shape (B,) with B = {batch}"
        msg = f"{must}; got {type(value).__name__}."
        raise TypeError(msg)
    if getattr(value, "ndim", 1) != 1 or len(value) != batch:
        came = tuple(value.shape) if hasattr(value, "shape") else (len(value),)
        msg = f"`lengths` must have shape (B,) with B = {batch}; got {came}."
        raise ValueError(msg)
    result = value.tolist() if hasattr(value, "tolist") else list(value)
    for index, item in enumerate(result):
        if isinstance(item, bool) or not hasattr(item, "__index__"):
            msg = f"`lengths` must hold integers; got {item!r} at index {index}."
            raise TypeError(msg)
        if not 0 <= item <= steps:
            msg = f"`lengths` must lie in 0..T with T = {steps}; got {item} at index {index}."
            raise ValueError(msg)
    return tuple(operator.index(item) for item in result)


def _plain(name: Any) -> str:
    """Write a dtype without its library: numpy.float64 and torch.float64 are both float64."""
    return str(getattr(name, "name", getattr(name, "__name__", name))).rsplit(".", 1)[-1]
