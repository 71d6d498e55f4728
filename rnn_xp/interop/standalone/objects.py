"""Objects as the expressions that build them: layers, cells, and the formulas of cells."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rnn_xp.cells import Pair
from rnn_xp.cells.activations import Activation
from rnn_xp.layers import Recurrent
from rnn_xp.model import Sequential

WIDTH = 110
NOT_CALLED = {(Pair, "partials"), (Pair, "backward"), (Activation, "slope")}
"""The fields that only a way back needs."""


class Written(NamedTuple):
    """An expression that is there already."""

    text: str


class Writer:
    """Writes expressions.

    Parameters
    ----------
    name_of : function
        From a function or class to its name in the file.
    """

    def __init__(self, name_of: Callable[[Any], str]) -> None:
        self.name_of = name_of

    def write(self, value: Any, indent: int = 0) -> str:
        """Return the expression of a value, its further lines indented."""
        match value:
            case Written(text):
                return text
            case str():
                text = repr(value)
                return f'"{value}"' if text == f"'{value}'" else text
            case None | bool() | int():
                return repr(value)
            case float() if math.isfinite(value):
                return repr(value)
            case float():
                return f"float({str(value)!r})"
            case np.ndarray() | np.generic():
                return f"np.array({value.tolist()!r}, {self.write(value.dtype.name)})"
            case Sequential():
                return self._in_a_row(value, indent)
            case functools.partial():
                named = [f"{name}={self.write(each)}" for name, each in value.keywords.items()]
                parts = [self.write(value.func), *map(self.write, value.args), *named]
                return self._call(self.name_of(functools.partial), parts, indent)
        if inspect.ismethod(value):
            return f"{self.write(value.__self__, indent)}.{value.__name__}"
        if isinstance(value, type) or inspect.isroutine(value) or isinstance(value, np.ufunc):
            return self.name_of(value)
        if isinstance(value, list | tuple | dict):
            return self._collection(value, indent)
        if dataclasses.is_dataclass(value):
            return self._fields(value, _of_dataclass(value), indent)
        if isinstance(value, functools._lru_cache_wrapper):
            return self.name_of(value)
        must = "`model` must have cells of functions, numbers, and dataclasses of them"
        msg = f"{must}; got {value!r}, a {type(value).__name__}."
        raise ValueError(msg)

    def _in_a_row(self, model: Sequential, indent: int) -> str:
        """Write a model with the layers as they are, fitted to one another."""
        layers = self._call("", [self.write(layer, indent + 8) for layer in model.layers], indent + 4, "[]")
        signal = f'kind="{"steps" if model.per_step else "vector"}"', f"size={model.output_size}"
        return self._call("in_a_row", [layers, *signal], indent)

    def _collection(self, value: Any, indent: int) -> str:
        """Write a list, a tuple, a NamedTuple or a dict."""
        if isinstance(value, dict):
            parts = [f"{self.write(key)}: {self.write(each, indent + 4)}" for key, each in value.items()]
            return self._call("", parts, indent, "{}")
        if hasattr(value, "_fields"):
            defaults = value._field_defaults
            return self._fields(
                value, [(name, defaults.get(name, Written(""))) for name in value._fields], indent
            )
        parts = [self.write(each, indent + 4) for each in value]
        if isinstance(value, list):
            return self._call("", parts, indent, "[]")
        single = len(parts) == 1 and "\n" not in parts[0]
        return f"({parts[0]},)" if single else self._call("", parts, indent)

    def _fields(self, value: Any, fields: list[tuple[str, Any]], indent: int) -> str:
        """Write the call of a class with its fields, but for those that are at their defaults."""
        parts = []
        for name, default in fields:
            own = None if (type(value), name) in NOT_CALLED else getattr(value, name)
            if not _same(own, default):
                parts.append(f"{name}={self.write(own, indent + 4)}")
        kind = Recurrent if isinstance(value, Recurrent) else type(value)  # LSTM and the like say no more
        return self._call(self.name_of(kind), parts, indent)

    def _call(self, name: str, parts: list[str], indent: int, around: str = "()") -> str:
        """Write parts after a name, each on its line where they are long."""
        line = f"{name}{around[0]}{', '.join(parts)}{around[1]}"
        if len(line) + indent <= WIDTH and "\n" not in line:
            return line
        space = "\n" + " " * (indent + 4)
        return (
            f"{name}{around[0]}"
            + "".join(f"{space}{part}," for part in parts)
            + f"\n{' ' * indent}{around[1]}"
        )


def _of_dataclass(value: Any) -> list[tuple[str, Any]]:
    """Return the fields that build it, with their defaults."""
    return [
        (field.name, Written("") if field.default is dataclasses.MISSING else field.default)
        for field in dataclasses.fields(value)
        if field.init
    ]


def _same(value: Any, default: Any) -> bool:
    """Return whether a field need not be written."""
    return (
        type(value) is type(default)
        and isinstance(value, bool | int | float | str | tuple | None)
        and (value == default)
    )
