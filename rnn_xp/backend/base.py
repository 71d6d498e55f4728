"""What a backend is: a library, a device and a precision; and the conversions between them and the host."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from rnn_xp.backend import namespaces
from rnn_xp.typing import Array, Namespace

Host: TypeAlias = np.ndarray[Any, np.dtype[Any]]


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
    device: Any = field(hash=False)  # CuPy's cannot be hashed
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
        >>> import rnn_xp as rx
        >>> backend = rx.get_backend("numpy")
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
        if namespaces.has_own_rules(value):
            msg = f"`value` must be a plain array; got {namespaces.kind(value)}: its own rules would be lost."
            raise TypeError(msg)
        try:
            host: Any = np.asarray(value)
        except ValueError:
            msg = "`value` must be an array; got rows of unequal length."
            raise ValueError(msg) from None
        natural = self._natural(np, host.dtype)
        host = np.asarray(host, dtype=natural if dtype is None else None)
        if self.name == "numpy":
            return self.xp.asarray(host, dtype=dtype)  # type: ignore[no-any-return]
        # Copied to plain layout and byte order: libraries refuse, or warn of, reversed and read-only memory.
        host = np.array(host, dtype=host.dtype.newbyteorder("="), order="C")
        return self.xp.asarray(host, dtype=dtype, device=self.device)  # type: ignore[no-any-return]

    def to_numpy(self, array: Any) -> Host:
        """Copy `array` to the host: the result is the caller's own on every backend.

        Examples
        --------
        >>> import rnn_xp as rx
        >>> backend = rx.get_backend("numpy")
        >>> backend.to_numpy(backend.asarray([1.5]))
        array([1.5], dtype=float32)
        """
        if not isinstance(array, np.ndarray | np.generic):
            self._check_own("array", array)
        return to_numpy(array)

    @property
    def hardware(self) -> str:
        """The name of what computes: the GPU's, else the processor's.

        Examples
        --------
        >>> import rnn_xp as rx
        >>> bool(rx.get_backend("numpy").hardware)
        True
        """
        if self.name == "cupy":
            runtime = importlib.import_module("cupy").cuda.runtime
            return str(runtime.getDeviceProperties(self.device.id)["name"].decode())
        if self.name == "torch" and self.device.type == "cuda":
            return str(self.xp.cuda.get_device_name(self.device))
        import platform  # here: few ask, and everybody would pay
        from pathlib import Path

        info = Path("/proc/cpuinfo")  # where there is one, platform does not know
        lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return models[0] if models else platform.processor() or platform.machine()

    @property
    def free_memory(self) -> int | None:
        """The bytes that a GPU can still give; None where arrays live in the host's memory.

        Examples
        --------
        >>> import rnn_xp as rx
        >>> rx.get_backend("numpy").free_memory is None
        True
        """
        if self.name == "cupy":
            cupy = importlib.import_module("cupy")
            pool = cupy.get_default_memory_pool()
            free = int(cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
            limit = int(pool.get_limit())  # 0: none
            return min(free, limit - int(pool.used_bytes())) if limit else free
        if self.name == "torch" and self.device.type == "cuda":
            cuda = self.xp.cuda
            kept = cuda.memory_reserved(self.device) - cuda.memory_allocated(self.device)
            return int(cuda.mem_get_info(self.device)[0]) + int(kept)
        return None

    def synchronize(self) -> None:
        """Wait until the device has finished what it was given."""
        if self.name == "cupy":
            importlib.import_module("cupy").cuda.get_current_stream().synchronize()
        elif self.name == "torch" and self.device.type == "cuda":
            self.xp.cuda.synchronize(self.device)

    def _check_own(self, name: str, array: Any) -> None:
        """Refuse an array that lives in another library."""
        if namespaces.home(name, array) is not self.xp:
            msg = (
                f"`{name}` must be a host array or an array of {self.name}; got {namespaces.kind(array)}. "
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


def backend_of(array: Array) -> Backend:
    """Return the backend on which `array` lives, in its dtype.

    Examples
    --------
    >>> backend_of(np.zeros(3, dtype=np.float32)).precision
    'float32'
    """
    xp = namespaces.home("array", array)
    precision = next((name for name in ("float32", "float64") if array.dtype == getattr(xp, name)), None)
    if precision is None:
        msg = f"`array` must hold float32 or float64; got {array.dtype}."
        raise TypeError(msg)
    return Backend(namespaces.library(xp), xp, array.device, array.dtype, precision)


def to_numpy(array: Any) -> Host:
    """Copy `array`, of whatever library, to the host.

    Examples
    --------
    >>> to_numpy(np.float32(1.5))
    array(1.5, dtype=float32)
    """
    xp = namespaces.home("array", array)
    match namespaces.library(xp):
        case "cupy":
            host: Host = array.get()
            return host
        case "torch":
            array = array.detach().cpu().numpy()
        case "array_api_strict":
            array = array.to_device(xp.Device("CPU_DEVICE"))
    return np.array(array)
