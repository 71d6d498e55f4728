"""The CUDA source of every kernel that a layer launches, and CuPy's own way to compile it, without a device.

This leans on names inside CuPy 14. CuPy hands a fused kernel, and the planes it is called on, to an array's
`__cupy_override_elementwise_kernel__`; what it would do with the planes before it compiles is done here.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

import cupy
from cupy._core import _carray, _kernel, core
from cupy.cuda import compiler, function
from test_cuda_kernels import traced

ARRAY, INDEXER = 1, 2  # kinds of arguments
INDEX_BITS = (32, 64)


class Source(NamedTuple):
    """A kernel: its name, what it is compiled for, and its code."""

    kernel: str
    dtype: str
    planes: int
    dimensions: int  # 1 where every plane is one line of memory
    index_bits: int
    code: str


def sources(layer: Any, dtype: str) -> list[Source]:
    """Run a layer forward and back, without and with lengths; return its kernels, for all kinds of planes."""
    calls: list[tuple[Any, tuple[Any, ...]]] = []

    def launch(array: Any, kernel: Any, *planes: Any) -> None:
        calls.append((kernel, planes))

    with mock.patch.object(cupy.ndarray, "__cupy_override_elementwise_kernel__", launch, create=True):
        for lengths in (False, True):
            traced(layer, dtype, lengths=lengths)
    calls = [call for call in calls if call[1][-1].dtype == dtype]  # the engine tries cells in float32 first
    calls += [(kernel, tuple(map(first_sample, planes))) for kernel, planes in calls]
    return list(dict.fromkeys(source(*call, bits) for call in calls for bits in INDEX_BITS))


def first_sample(plane: Any) -> Any:
    """Return the plane of a batch of one: nothing is broadcast along that, so CuPy may see a line in it."""
    shape = (*plane.shape[:-1], 1)
    return plane.reshape(-1)[: math.prod(shape)].reshape(shape)


def source(kernel: Any, planes: Sequence[Any], index_bits: int) -> Source:
    """Return the source that CuPy makes of a kernel for these planes."""
    try:
        arrays = cupy.broadcast_arrays(*planes)
    except ValueError as error:
        msg = f"CuPy refuses the planes of {kernel.name}: {error}"
        raise ValueError(msg) from error
    if all(array.flags.c_contiguous for array in arrays):
        arrays = [array.reshape(-1) for array in arrays]
    ndim = arrays[0].ndim
    narrow = index_bits == 32
    infos = [
        _kernel._ArgInfo(ARRAY, cupy.ndarray, array.dtype, ndim, array.flags.c_contiguous, narrow)
        for array in arrays
    ]
    infos.append(_kernel._ArgInfo(INDEXER, _carray.Indexer, None, ndim, True, True))
    dtypes = tuple(array.dtype for array in arrays)
    *_, types = kernel._decide_params_type(dtypes[: kernel.nin], dtypes[kernel.nin :])
    parts = kernel.params, kernel.operation, kernel.name, kernel.preamble
    code = _kernel._get_elementwise_kernel_code(tuple(infos), types, *parts, **kernel.kwargs)
    return Source(kernel.name, str(dtypes[-1]), len(planes), ndim, index_bits, code)


def compiled(code: str, arch: str, options: Sequence[str] = ()) -> str:
    """Compile for sm_80 or the like as CuPy does, and return the compiler's log."""
    log = io.StringIO()
    options = ("--ptxas-options=-v", *options)
    with _without_device():
        core.compile_with_cache(code, options, arch=arch.removeprefix("sm_"), log_stream=log)
    return log.getvalue()


class Unloaded(function.Module):
    """A module that stays off the device."""

    def load(self, cubin: bytes) -> None:
        """Do nothing."""


@contextlib.contextmanager
def _without_device() -> Iterator[None]:
    """Let CuPy neither ask for the device, nor load a kernel there, nor take one from its cache."""
    arch_option = compiler._get_arch_for_options_for_nvrtc.__wrapped__  # memoised for each device
    with (
        mock.patch.object(compiler, "_get_arch_for_options_for_nvrtc", arch_option),
        mock.patch.object(function, "Module", Unloaded),
        mock.patch.dict(os.environ, CUPY_CACHE_IN_MEMORY="1"),
    ):
        yield
