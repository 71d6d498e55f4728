"""Functions of planes as kernels of CuPy: what `cupy.fuse` makes of them, and what it must not do."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from typing import Any

from rnn_xp.backend.namespaces import library
from rnn_xp.engines.kernels import Kernel, NotPointwiseError
from rnn_xp.typing import Array, Namespace


class KernelNamespace:
    """CuPy's functions as they may stand in a kernel, where a value has a dtype and no shape."""

    def __init__(self, cupy: Namespace) -> None:
        self.cupy = cupy

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cupy, name)

    def astype(self, x: Any, dtype: Any, *, copy: bool = True) -> Any:  # noqa: ARG002
        """Convert."""
        return x.astype(dtype)

    def full_like(self, x: Any, value: float) -> Any:
        """Return a constant in the dtype of x: nothing is above infinity."""
        return self.cupy.where(x > math.inf, x, value)

    def zeros_like(self, x: Any) -> Any:
        """Return 0."""
        return self.full_like(x, 0.0)

    def ones_like(self, x: Any) -> Any:
        """Return 1."""
        return self.full_like(x, 1.0)


def compiled(build: Callable[..., Kernel], name: str, *arguments: Any, xp: Namespace) -> Kernel:
    """Return what `build` gives, as one kernel where xp is CuPy."""
    if library(xp) != "cupy":
        return build(*arguments, xp=xp)
    cupy = importlib.import_module("cupy")
    kernel = build(*arguments, xp=KernelNamespace(cupy))
    reason: Exception | None = None

    def traced(*given: Any) -> None:
        nonlocal reason
        if reason is not None:  # `fuse` tries again, in a slower way of several kernels
            raise NotPointwiseError from reason
        try:
            kernel.run(*given)
        except Exception as error:
            reason = error
            raise

    fused = cupy.fuse(kernel_name=re.sub(r"\W+", "_", f"rnn_xp_{name}", flags=re.ASCII))(traced)
    return kernel._replace(run=fused)


def product(xp: Namespace) -> Callable[[Array, Array, Array], Any]:
    """Return multiply(a, b, out)."""
    if library(xp) == "cupy":
        return importlib.import_module("cupy").dot  # type: ignore[no-any-return]

    def multiply(a: Array, b: Array, out: Array) -> None:
        out[...] = a @ b

    return multiply
