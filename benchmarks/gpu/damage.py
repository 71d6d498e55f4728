"""What a record of the GPU check must hold so that a page can be made of it, and where it does not."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

HEADER: dict[str, tuple[type, ...]] = {
    "date": (str,),
    "commit": (str, type(None)),
    "changed_since": (bool, type(None)),
    "machine": (dict,),
    "versions": (dict,),
    "sources_hash": (str,),
    "dry_run": (bool,),
    "complete": (bool,),
    "failures": (list,),
    "left_out": (dict,),
    "device": (dict,),
}
PARTS = ("tests", "parity", "training", "products", "memory", "timings")
"""Each an object, or absent."""

JSON = {str: "a string", type(None): "null", bool: "true or false", dict: "an object", list: "a list"}
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What Python raises on values of another kind than it expects."""


class DamagedError(ValueError):
    """A record that no page can be made of."""


def check(record: Any) -> dict[str, Any]:
    """Return `record` if it is one of a GPU check on a GPU."""
    if not isinstance(record, dict) or record.get("benchmark") != "gpu_check":
        msg = "it is no record of benchmarks/gpu_check.py"
        raise DamagedError(msg)
    for name, kinds in {**HEADER, **{part: (dict,) for part in PARTS if part in record}}.items():
        wanted = " or ".join(JSON[kind] for kind in kinds)
        if name not in record:
            msg = f"its `{name}` must be {wanted}; it is missing"
            raise DamagedError(msg)
        if not isinstance(record[name], kinds):
            msg = f"its `{name}` must be {wanted}; got {json.dumps(record[name])[:60]}"
            raise DamagedError(msg)
    if record["dry_run"]:
        msg = "it is of a dry run, which measures nothing: run benchmarks/gpu_check.py on a GPU"
        raise DamagedError(msg)
    return record


def names_what_is_damaged(part: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a function that reads a part of a record say so where that is not as it must be."""

    def wrap(function: Callable[..., Result]) -> Callable[..., Result]:
        @functools.wraps(function)
        def reading(*arguments: Any) -> Result:
            try:
                return function(*arguments)
            except DamagedError:
                raise
            except UNREADABLE as error:
                msg = f"its `{part}` cannot be read: {told(error)}"
                raise DamagedError(msg) from error

        return reading

    return wrap


def told(error: BaseException) -> str:
    """Write an error in a line."""
    if isinstance(error, DamagedError):
        return str(error)
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return f"{type(error).__name__}: {error}"
