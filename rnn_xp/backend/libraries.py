"""How each library is opened: its namespace and device, or a `BackendError` that says what mends it."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from rnn_xp import checks
from rnn_xp.backend import cupy_diagnosis, tf32
from rnn_xp.backend.base import Backend, BackendError
from rnn_xp.backend.cupy_diagnosis import summary
from rnn_xp.backend.namespaces import library
from rnn_xp.typing import Namespace


def check_writable_views(xp: Namespace, device: Any = None) -> None:
    """Check that slices and reshapes of whole arrays can be written through: the engine relies on it."""
    array = xp.zeros((2, 3), device=device)
    row = array[0, ...]
    try:
        row += 1
        xp.reshape(array, (3, 2))[0, ...] += 1
        written = bool(array[0, 0] == 2)
    except (TypeError, ValueError):
        written = False
    if not written:
        msg = (
            f"{library(xp)} cannot be a backend: writing to a slice, `row = a[0, ...]; row += 1`, or to a "
            'reshaped array, does not change the array `a`. Use backend="numpy", "cupy" or "torch".'
        )
        raise BackendError(msg)


def _numpy(device: Any, dtype: str) -> Backend:
    if device not in (None, "cpu"):
        msg = f'backend "numpy": `device` must be None or "cpu"; got {device!r}. For a GPU: backend="cupy".'
        raise BackendError(msg)
    return _open("numpy", np, "cpu", dtype)


def _cupy(device: Any, dtype: str) -> Backend:
    index = None if device is None else _device_index(device)
    try:
        cupy = importlib.import_module("cupy")
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise _cupy_error(error) from error
    if not (index or 0) < count:
        msg = (
            f'backend "cupy": `device` must be below {count}, the number of visible GPUs; got {index or 0}. '
            f"CUDA_VISIBLE_DEVICES: {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}. See: nvidia-smi -L."
        )
        raise BackendError(msg)
    tf32.refuse(dtype)
    try:
        chosen = cupy.cuda.Device(index)
        chosen.use()
        backend = _open("cupy", importlib.import_module("array_api_compat.cupy"), chosen, dtype)
        square = backend.xp.ones((2, 2), dtype=backend.dtype)
        square @ square  # loads cuBLAS here, where its absence can be explained
    except Exception as error:
        raise _cupy_error(error) from error
    return backend


def _cupy_error(error: Exception) -> BackendError:
    why = cupy_diagnosis.explain(error, cupy_diagnosis.wheels(), cupy_diagnosis.driver_version())
    return BackendError(f'backend "cupy": {why}')


def _device_index(device: Any) -> int:
    """Read 1 or "cuda:1"."""
    if isinstance(device, str):
        kind, _, digits = device.partition(":")
        if kind != "cuda" or not digits.isdecimal():
            msg = f'backend "cupy": `device` must be a number or "cuda:N"; got {device!r}.'
            raise BackendError(msg)
        return int(digits)
    return checks.integer("device", device, minimum=0)


def _array_api_strict(device: Any, dtype: str) -> Backend:
    xp = _import("array_api_strict", "array_api_strict", "array-api-strict")
    try:
        return _open("array_api_strict", xp, xp.Device(device or "CPU_DEVICE"), dtype)
    except (ValueError, TypeError) as error:
        raise _device_error(error, "array_api_strict", device) from error


def _torch(device: Any, dtype: str) -> Backend:
    xp = _import("torch", "array_api_compat.torch", "torch")
    try:
        return _open("torch", xp, device, dtype)
    except (AssertionError, RuntimeError, TypeError, NotImplementedError) as error:
        raise _device_error(error, "torch", device) from error


def _import(name: str, module: str, package: str) -> Namespace:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = f'backend "{name}": {summary(error)}. Install it: pip install {package}; or backend="numpy".'
        raise BackendError(msg) from error


def _device_error(error: Exception, name: str, device: Any) -> BackendError:
    return BackendError(f'backend "{name}": `device` {device!r} cannot be used: {summary(error)}.')


def _open(name: str, xp: Namespace, device: Any, precision: str) -> Backend:
    """Make one array, to see that the device works and how the library writes device and dtype."""
    check_writable_views(xp, device)
    probe = xp.zeros((1,), dtype=getattr(xp, precision), device=device)
    return Backend(name, xp, probe.device, probe.dtype, precision)


OPENERS = {"numpy": _numpy, "cupy": _cupy, "array_api_strict": _array_api_strict, "torch": _torch}
"""The backends by name, each a function of device and precision."""
