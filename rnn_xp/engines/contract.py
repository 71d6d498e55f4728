"""What the functions of a pair must return, refused at the first step where it would go wrong in silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnn_xp.engines.base import Plan
from rnn_xp.typing import Array


def check_result(plan: Plan, fields: int, read: Sequence[Array], answer: Any) -> None:
    """Check (result, kept); `read` are the gates' planes in a, `fields` those of the state."""
    result, kept = _two("forward", "(result, kept)", answer)
    pair, shape = plan.pair, tuple(read[0].shape)
    if not isinstance(kept, tuple | list) or len(kept) != len(pair.keeps):
        count = f"{len(pair.keeps)} planes to keep, {pair.keeps}"
        msg = f"a pair's forward must return {count}; got {_told(kept)}."
        raise ValueError(msg)
    _planes("forward", "keep", kept, shape)
    if plan.last and (not isinstance(result, tuple) or len(result) != fields):
        msg = f"the last pair's forward must return a state, of {fields} fields; got {_told(result)}."
        raise ValueError(msg)
    given = list(result) if plan.last else [result]
    _planes("forward", "return", given, shape)
    lost = [plane for plane, place in zip(read, kept, strict=False) if place is not plane]
    if any(array is plane for array in [*given, *kept] for plane in lost):
        msg = "a pair's forward must not return an array of `a` that a kept plane replaces: copy it."
        raise ValueError(msg)


def check_slopes(planes: Any, shape: tuple[int, ...]) -> None:
    """Check the partial derivatives of several steps."""
    if not isinstance(planes, tuple | list):
        msg = f"a pair's partials must return a tuple of planes; got {_told(planes)}."
        raise ValueError(msg)
    _planes("partials", "return", planes, shape)
    for plane in planes:
        if "bool" in str(plane.dtype):
            msg = "a pair's partials must return numbers; got a condition: convert it with xp.astype."
            raise ValueError(msg)


def check_gradients(plan: Plan, fields: int, shape: tuple[int, ...], answer: Any) -> None:
    """Check (d_a, d_s_prev)."""
    d_a, d_s_prev = _two("backward", "(d_a, d_s_prev)", answer)
    pair = plan.pair
    names = (*pair.reads, *pair.apart, *pair.vectors)
    for form, what, count in ((d_a, f"d_a, for {names}", len(names)), (d_s_prev, "d_s_prev", fields)):
        if not isinstance(form, tuple | list) or len(form) != count:
            msg = f"a pair's backward must return {count} planes as {what}; got {_told(form)}."
            raise ValueError(msg)
    _planes("backward", "return", [*d_a, *[d for d in d_s_prev if d is not None]], shape)


def _two(function: str, form: str, answer: Any) -> tuple[Any, Any]:
    """Return both parts of what a function returned."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        msg = f"a pair's {function} must return {form}; got {_told(answer)}."
        raise ValueError(msg)
    return answer[0], answer[1]


def _planes(function: str, verb: str, planes: Sequence[Any], shape: tuple[int, ...]) -> None:
    """Raise unless these are planes of one shape."""
    for plane in planes:
        came = tuple(plane.shape) if hasattr(plane, "shape") else type(plane).__name__
        if came != shape:
            letters = "(H, B)" if len(shape) == 2 else "(steps, H, B)"
            msg = f"a pair's {function} must {verb} planes {letters} = {shape}; got {came}."
            raise ValueError(msg)


def _told(value: Any) -> Any:
    """Say how many there are, or of what type it is."""
    return len(value) if isinstance(value, tuple | list) else type(value).__name__
