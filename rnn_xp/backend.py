"""Which library computes, on which device, in which precision; and the namespace of given arrays."""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_xp import _cupy_diagnosis, _namespace, checks
from rnn_xp._cupy_diagnosis import summary
from rnn_xp._namespace import namespace
from rnn_xp.typing import Array, Namespace

__all__ = ["Backend", "BackendError", "available", "check_writable_views", "get_backend", "namespace"]

NAMES = ("numpy", "cupy", "array_api_strict", "torch")
_log = logging.getLogger("rnn_xp")


class BackendError(RuntimeError):
    """A backend or device was asked for that cannot be had here; the message says why and what mends it."""


@dataclass(frozen=True)
class Backend:
    """A library, a device and a floating dtype; made by `get_backend`.

    Attributes
    ----------
    name
        "numpy", "cupy", "array_api_strict" or "torch".
    xp
        The library's array-API namespace.
    device
        The device of every array that `asarray` makes, as the library writes it.
    dtype
        The floating dtype, as the library writes it.
    precision
        Its name: "float32" or "float64".
    """

    name: str
    xp: Namespace = field(repr=False)
    device: Any
    dtype: Any
    precision: str = field(repr=False)

    def asarray(self, value: Any, dtype: Any = None) -> Array:
        """Return `value` as an array of this backend, on its device.

        Parameters
        ----------
        value
            Numbers, lists of numbers or a NumPy array, all copied to the device, or an array of this library.
        dtype
            A dtype of the library. None gives `dtype` of the backend, int64 or bool, by the kind of `value`.

        Returns
        -------
        Array
            An array that may share memory with `value` where library, device and dtype are already right.

        Raises
        ------
        TypeError
            Where `value` lives in another library, or does not hold real numbers.

        Examples
        --------
        >>> backend = get_backend("numpy")
        >>> backend.asarray([0.5, 1]).dtype, backend.asarray([3, 4]).dtype
        (dtype('float32'), dtype('int64'))
        """
        if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
            self._check_own("value", value)
            natural = self._natural(self.xp, value.dtype)
            if value.device != self.device:
                value = importlib.import_module("array_api_compat").to_device(value, self.device)
            dtype = getattr(self.xp, natural) if dtype is None else dtype
            own: Array = self.xp.astype(value, dtype, copy=False)
            return own
        if _namespace.has_own_rules(value):
            msg = f"`value` must be a plain array; got {_namespace.kind(value)}: its own rules would be lost."
            raise TypeError(msg)
        host: Any = np.asarray(value)
        natural = self._natural(np, host.dtype)
        host = np.asarray(host, dtype=natural if dtype is None else None)
        if self.name == "numpy":
            return self.xp.asarray(host, dtype=dtype)  # type: ignore[no-any-return]
        # Copied to plain layout and byte order: libraries refuse, or warn of, reversed and read-only memory.
        host = np.array(host, dtype=host.dtype.newbyteorder("="), order="C")
        return self.xp.asarray(host, dtype=dtype, device=self.device)  # type: ignore[no-any-return]

    def to_numpy(self, array: Any) -> np.ndarray[Any, np.dtype[Any]]:
        """Copy `array` to the host: the result is the caller's own on every backend.

        Examples
        --------
        >>> backend = get_backend("numpy")
        >>> backend.to_numpy(backend.asarray([1.5]))
        array([1.5], dtype=float32)
        """
        if isinstance(array, np.ndarray | np.generic):
            return np.array(array)
        self._check_own("array", array)
        if self.name == "cupy":
            host: np.ndarray[Any, np.dtype[Any]] = array.get()
            return host
        if self.name == "torch":
            return np.array(array.detach().cpu().numpy())
        return np.array(array.to_device(self.xp.Device("CPU_DEVICE")))

    def synchronize(self) -> None:
        """Wait until the device has finished what it was given."""
        if self.name == "cupy":
            importlib.import_module("cupy").cuda.get_current_stream().synchronize()
        elif self.name == "torch" and self.device.type == "cuda":
            self.xp.cuda.synchronize(self.device)

    def _check_own(self, name: str, array: Any) -> None:
        """Refuse an array that lives in another library."""
        if _namespace.home(name, array) is not self.xp:
            msg = (
                f"`{name}` must be a host array or an array of {self.name}; got {_namespace.kind(array)}. "
                "Nothing is copied implicitly: copy it to the host with its own backend's `to_numpy` first."
            )
            raise TypeError(msg)

    def _natural(self, xp: Namespace, dtype: Any) -> str:
        """Name the dtype that values of `dtype`, a dtype of `xp`, take on this backend."""
        for kind, name in (("real floating", self.precision), ("integral", "int64"), ("bool", "bool")):
            if xp.isdtype(dtype, kind):
                return name
        msg = f"`value` must hold real numbers, integers or booleans; got dtype {dtype}."
        raise TypeError(msg)


def get_backend(name: str | Backend | None = None, *, device: Any = None, dtype: str = "float32") -> Backend:
    """Return the backend called `name`, or say why it cannot be had.

    Parameters
    ----------
    name
        "numpy", "cupy", "array_api_strict" or "torch"; "auto" is CuPy where it finds a GPU, NumPy elsewhere.
        None means the environment variable ``RNN_XP_BACKEND``, else "auto". A `Backend` is returned as it is.
    device
        None for the library's own choice; "cpu" for NumPy; a number or "cuda:1" for CuPy, which becomes the
        current device of the calling thread; torch's device string; array_api_strict's name of a device.
    dtype
        "float32" or "float64".

    Returns
    -------
    Backend
        Its `xp`, `device` and `dtype` are ready for use.

    Raises
    ------
    BackendError
        Where the library or the device cannot be had; there is no silent fallback.

    Examples
    --------
    >>> get_backend("numpy", dtype="float64")
    Backend(name='numpy', device='cpu', dtype=dtype('float64'))
    """
    if isinstance(name, Backend):
        if device is not None:
            msg = f"`device` must be None where `name` is a Backend, which has its own; got {device!r}."
            raise ValueError(msg)
        return name
    checks.one_of("dtype", dtype, ("float32", "float64"))
    source = "name"
    if name is None:
        source, name = "RNN_XP_BACKEND", os.environ.get("RNN_XP_BACKEND") or "auto"
    checks.one_of(source, name, (*NAMES, "auto"))
    return _auto(device, dtype) if name == "auto" else _OPENERS[name](device, dtype)


def backend_of(array: Array) -> Backend:
    """Return the backend on which `array` lives, in its dtype.

    Examples
    --------
    >>> backend_of(np.zeros(3, dtype=np.float32)).precision
    'float32'
    """
    xp = _namespace.home("array", array)
    precision = next((name for name in ("float32", "float64") if array.dtype == getattr(xp, name)), None)
    if precision is None:
        msg = f"`array` must hold float32 or float64; got {array.dtype}."
        raise TypeError(msg)
    return Backend(_namespace.library(xp), xp, array.device, array.dtype, precision)


def to_numpy(array: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Copy `array`, of whatever backend, to the host."""
    xp = _namespace.home("array", array)
    return Backend(_namespace.library(xp), xp, array.device, array.dtype, "").to_numpy(array)


def available() -> dict[str, str]:
    """Say in one line for each backend that it is available, or why it is not.

    Examples
    --------
    >>> available()["numpy"].startswith("available (")
    True
    """
    report = {}
    for name in NAMES:
        try:
            backend = get_backend(name)
        except BackendError as error:
            report[name] = str(error)
        else:
            report[name] = f"available ({importlib.import_module(name).__version__}, {backend.device})"
    return report


def check_writable_views(xp: Namespace, device: Any = None) -> None:
    """Check that a basic slice of an array of `xp` can be written through: the engine relies on it."""
    array = xp.zeros((2, 3), device=device)
    row = array[0, ...]
    try:
        row += 1
        written = bool(array[0, 0] == 1)
    except (TypeError, ValueError):
        written = False
    if not written:
        msg = (
            f"{_namespace.library(xp)} cannot be a backend: writing to a slice, `row = a[0, ...]; row += 1`, "
            'does not change the array `a`. Use backend="numpy", "cupy" or "torch".'
        )
        raise BackendError(msg)


def _auto(device: Any, dtype: str) -> Backend:
    try:
        backend = _cupy(device, dtype)
        reason = "it is installed and sees a device"
    except BackendError as error:
        if device not in (None, "cpu"):
            raise
        backend, reason = _numpy(device, dtype), str(error)
    _log.info("backend auto: chose %s on device %s; CuPy: %s", backend.name, backend.device, reason)
    return backend


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
    why = _cupy_diagnosis.explain(error, _cupy_diagnosis.wheels(), _cupy_diagnosis.driver_version())
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


_OPENERS = {"numpy": _numpy, "cupy": _cupy, "array_api_strict": _array_api_strict, "torch": _torch}
