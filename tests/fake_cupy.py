"""CuPy arrays on host memory: everything but launches, for machines with the CuPy wheel and no driver.

What runs is real: CuPy's views, shapes and strides, and the tracing of `cupy.fuse`. A launch is only written
down. This leans on names inside CuPy 14 (`UnownedMemory`, `Fusion._memo`).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from rnn_xp.backend.cupy_diagnosis import driver_version

USABLE = importlib.util.find_spec("cupy") is not None and driver_version() is None
"""With a driver a kernel would really be launched, on memory that the device cannot see."""

OPERATORS = ("add", "sub", "mul", "truediv", "pow", "matmul", "gt", "ge", "lt", "le", "eq", "ne", "and", "or")


class Trace:
    """What would have been launched."""

    def __init__(self) -> None:
        self.kernels: dict[tuple[str, Any], Any] = {}  # what `fuse` made: an ElementwiseKernel for each key
        self.launches: list[str] = []
        self.copies: list[
            str
        ] = []  # operands that CuPy would copy before a product, planes that are no block

    def product(self, a: Any, b: Any) -> None:
        """Write down a product of matrices, and what of it CuPy would copy."""
        self.launches.append("product")
        for operand in (a, b):
            flags = operand.flags
            if operand.ndim == 2 and not (flags.c_contiguous or flags.f_contiguous):
                self.copies.append(f"a product copies {operand.shape} with strides {operand.strides}")


class Namespace:
    """As much of CuPy's namespace as the engines use."""

    def __init__(self, trace: Trace) -> None:
        import cupy

        self.__name__ = "array_api_compat.cupy"
        self.trace = trace
        self.array = _array_type(trace)
        self.float32, self.float64, self.int64, self.bool = cupy.float32, cupy.float64, cupy.int64, cupy.bool_

    def empty(self, shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
        """Return an array on host memory, 512 bytes for one of none: addresses stay apart."""
        from cupy.cuda import memory

        dtype = np.dtype(dtype or self.float64)
        host = np.zeros(max(512, int(np.prod(shape)) * dtype.itemsize), np.uint8)
        unowned = memory.UnownedMemory(host.ctypes.data, host.nbytes, host, 0)
        return self.array(shape, dtype, memory.MemoryPointer(unowned, 0))

    def zeros(self, shape: Any, **options: Any) -> Any:
        self.trace.launches.append("fill")
        return self.empty(shape, **options)

    ones = zeros

    def full(self, shape: Any, value: float, **options: Any) -> Any:
        return self.zeros(shape, **options)

    def empty_like(self, x: Any) -> Any:
        return self.empty(x.shape, dtype=x.dtype)

    def zeros_like(self, x: Any) -> Any:
        return self.zeros(x.shape, dtype=x.dtype)

    ones_like = zeros_like

    def full_like(self, x: Any, value: float) -> Any:
        return self.zeros_like(x)

    def astype(self, x: Any, dtype: Any, *, copy: bool = True) -> Any:
        self.trace.launches.append("astype")
        return self.empty(x.shape, dtype=dtype)

    def asarray(self, x: Any, *, copy: bool = True) -> Any:
        self.trace.launches.append("copy")
        return self.empty_like(x)

    def reshape(self, x: Any, shape: Any) -> Any:
        if not x.flags.c_contiguous:
            self.trace.launches.append("copy")
            return self.empty(shape, dtype=x.dtype)
        return x.reshape(shape)

    def permute_dims(self, x: Any, axes: Any) -> Any:
        return x.transpose(axes)

    def concat(self, parts: Any, *, axis: int) -> Any:
        self.trace.launches.append("concat")
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return self.empty(tuple(shape), dtype=parts[0].dtype)

    def sum(self, x: Any, *, axis: int) -> Any:
        self.trace.launches.append("sum")
        return self.empty((*x.shape[:axis], *x.shape[axis + 1 :]), dtype=x.dtype)

    def __getattr__(self, name: str) -> Any:
        return functools.partial(_elementwise, self.trace, name)


def _elementwise(trace: Trace, name: str, *operands: Any) -> Any:
    """Write the operation down, and return an array of its shape."""
    arrays = [operand for operand in operands if hasattr(operand, "ndim")]
    trace.launches.append(name)
    dtype = next((array.dtype for array in arrays if array.dtype.kind == "f"), arrays[0].dtype)
    return Namespace(trace).empty(np.broadcast_shapes(*[array.shape for array in arrays]), dtype=dtype)


@functools.cache
def _array_type(trace: Trace) -> type:
    """Return the class of CuPy arrays whose operations are written down."""
    import cupy

    def matmul(a: Any, b: Any) -> Any:
        trace.product(a, b)
        shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        tail = (*a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ()))
        return Namespace(trace).empty((*shape, *tail), dtype=a.dtype)

    def setitem(self: Any, key: Any, value: Any) -> None:
        trace.launches.append("assignment")

    methods: dict[str, Any] = {"__setitem__": setitem}
    for name in OPERATORS:
        operation = functools.partialmethod(_named, trace, name)
        methods |= {f"__{name}__": operation, f"__r{name}__": operation}
        methods[f"__i{name}__"] = functools.partialmethod(_in_place, trace, name)
    methods["__neg__"] = methods["__invert__"] = functools.partialmethod(_named, trace, "neg")
    methods["__matmul__"] = matmul
    methods["__hash__"] = object.__hash__
    return type("Fake", (cupy.ndarray,), methods)


def _named(self: Any, trace: Trace, name: str, *others: Any) -> Any:
    return _elementwise(trace, name, self, *others)


def _in_place(self: Any, trace: Trace, name: str, other: Any) -> Any:
    trace.launches.append(name)
    return self


@contextlib.contextmanager
def tracing() -> Iterator[tuple[Namespace, Trace]]:
    """Let `fuse` trace without launching, and `dot` compute nothing."""
    import cupy

    trace = Trace()
    real = cupy.fuse

    def fuse(kernel_name: str) -> Any:
        def wrap(function: Any) -> Any:
            fused = real(kernel_name=kernel_name)(function)

            def launch(*planes: Any) -> None:
                cupy.broadcast_arrays(*planes)  # which the missing driver would hide
                with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):  # the driver is missing
                    fused(*planes)
                if fused.new_fusion is not None:  # the slower way, which the engine refuses when it begins
                    function(*planes)
                trace.launches.append(kernel_name)
                trace.kernels |= {(kernel_name, key): made for key, (made, _) in fused._memo.items()}
                shape = max((plane.shape for plane in planes if plane.ndim == 2), key=np.prod)
                for plane in planes:
                    if plane.shape == shape and not plane.flags.c_contiguous:
                        trace.copies.append(f"{kernel_name} reads {shape} with strides {plane.strides}")
                    if plane.ndim == 2 and plane.shape[0] != shape[0]:  # parameters are (H, 1), a mask (B,)
                        trace.copies.append(f"{kernel_name} spreads {plane.shape} over {shape}")

            return launch

        return wrap

    def dot(a: Any, b: Any, out: Any) -> None:
        trace.product(a, b)
        if not out.flags.c_contiguous:
            trace.copies.append(f"a product writes {out.shape} with strides {out.strides}")

    with mock.patch.object(cupy, "fuse", fuse), mock.patch.object(cupy, "dot", dot):
        yield Namespace(trace), trace
