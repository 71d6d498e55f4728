"""How many array operations each engine needs for a step of time: on a GPU, each is the launch of a kernel.

Counted, not timed, and without a GPU: the engines run on NumPy arrays that count what is done with them, and
`cupy` is a stand-in whose `fuse` counts a kernel as one. Counted is the difference between a sequence of 30
steps and one of 20; what is done once for many steps (input product, weight gradients) falls out.

    python benchmarks/launches.py
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rnn_xp as rx
import rnn_xp.engines.cupy  # now: what is imported while `cupy` is a stand-in is lost after
from rnn_xp.sequence import Run, valid_steps

ENGINES = ("portable", "numpy", "cupy")

LAYERS = {
    "RNN": rx.RNN(3, 5),
    "GRU": rx.GRU(3, 5),
    "GRU, reset before": rx.GRU(3, 5, reset="before"),
    "LSTM": rx.LSTM(3, 5),
    "LSTM, peepholes": rx.LSTM(3, 5, peepholes=True),
    "LSTM, projection": rx.LSTM(3, 5, proj_size=2),
}


class Counter:
    """Counts operations, unless it is told that they are part of one that it has counted."""

    def __init__(self) -> None:
        self.count = 0
        self.inside = False

    def operation(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Run a function as one operation."""
        self.count += not self.inside
        inside, self.inside = self.inside, True
        try:
            return function(*arguments, **options)
        finally:
            self.inside = inside


class Counted(np.ndarray):
    """A NumPy array whose operations are counted; a view is none, a copy is one."""

    counter: Counter

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if out is not None:
            options["out"] = tuple(plain(array) for array in out)
        result = self.counter.operation(getattr(ufunc, method), *map(plain, inputs), **options)
        return out[0] if out is not None else result.view(type(self))

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        before = self.counter.count
        result = self.counter.operation(super().__array_function__, function, types, arguments, options)
        given = [plain(array) for array in arguments if isinstance(array, np.ndarray)]
        written = any(result is array for array in arguments)
        if not written and any(array.size and np.may_share_memory(plain(result), array) for array in given):
            self.counter.count = before
        return result

    def dot(self, other: Any, out: Any) -> Any:
        return self.counter.operation(plain(self).dot, plain(other), plain(out))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.counter.operation(super().__setitem__, key, value)


def plain(value: Any) -> Any:
    """Return an array without its counter."""
    return value.view(np.ndarray) if isinstance(value, Counted) else value


class CountingNamespace:
    """NumPy, under the name of the library that it stands for, making arrays that count."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.counter = Counter()
        self.array = type("CountedHere", (Counted,), {"counter": self.counter})

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if name not in ("empty", "zeros", "ones", "full", "asarray", "arange"):
            return found

        def make(*arguments: Any, **options: Any) -> Any:
            self.counter.count += name != "empty" and not self.counter.inside
            return found(*arguments, **options).view(self.array)

        return make


@contextlib.contextmanager
def standing_in(xp: CountingNamespace) -> Iterator[None]:
    """Let `cupy` be NumPy with a `fuse` and a `dot` that count one operation each."""
    cupy = types.ModuleType("cupy")
    cupy.__getattr__ = lambda name: getattr(np, name)  # type: ignore[method-assign]
    cupy.dot = lambda a, b, out: xp.counter.operation(np.matmul, plain(a), plain(b), out=plain(out))

    def fuse(kernel_name: str) -> Any:  # noqa: ARG001
        return lambda function: lambda *planes: xp.counter.operation(function, *map(plain, planes))

    cupy.fuse = fuse
    with mock.patch.dict(sys.modules, {"cupy": cupy}), mock.patch.dict(os.environ):
        os.environ.pop("RNN_XP_ENGINE", None)
        yield


def per_step(layer: rx.Recurrent, engine: str, *, lengths: bool) -> tuple[int, int]:
    """Return the operations of a step forward and of one back; with lengths, of a step that is padding."""
    counts = {}
    xp = CountingNamespace("cupy" if engine == "cupy" else "numpy")
    params = layer.init(rx.get_backend("numpy"))[0]
    params = type(params)(*[None if leaf is None else leaf.view(xp.array) for leaf in params])
    for T in (20, 30):
        with standing_in(xp):
            os.environ["RNN_XP_ENGINE"] = engine
            run = Run(layer.cell, params, T, 4, dtype=np.float32, device=None, reverse=False, xp=xp)
            x = np.ones((T, 3, 4), np.float32).view(xp.array)
            d_h = xp.ones(run.memory.s.h.shape, dtype=np.float32)
            valid = valid_steps([1] * 4, T, x, xp=np) if lengths else None
            run.forward(x, None, valid)  # makes the kernels
            run.backward(d_h, run.zeros, valid, False)
            start = xp.counter.count
            run.forward(x, None, valid)
            middle = xp.counter.count
            run.backward(d_h, run.zeros, valid, False)
            counts[T] = middle - start, xp.counter.count - middle
    forward, backward = ((late - early) / 10 for early, late in zip(counts[20], counts[30], strict=True))
    if forward % 1 or backward % 1:
        msg = f"{layer}: the operations of a step are not the same at every step: {counts}"
        raise ValueError(msg)
    return int(forward), int(backward)


def table() -> list[str]:
    """Return the table in Markdown."""
    head = [f"{engine}{padding}" for padding in ("", ", padding") for engine in ENGINES]
    lines = [
        "| operations a step, forward + back | " + " | ".join(head) + " |",
        "|" + "---|" * (len(head) + 1),
    ]
    for name, layer in LAYERS.items():
        cells = []
        for lengths in (False, True):
            for engine in ENGINES:
                forward, backward = per_step(layer, engine, lengths=lengths)
                cells.append(f"{forward} + {backward}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
