"""The choice of a backend: argument over environment over auto, and no silent fallback."""

from __future__ import annotations

import importlib
import os
from typing import Any

from rnn_xp import checks
from rnn_xp.backend import tf32
from rnn_xp.backend.base import Backend, BackendError
from rnn_xp.backend.libraries import OPENERS


def get_backend(
    name: str | Backend | None = None, *, device: Any = None, dtype: str | None = None
) -> Backend:
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
        "float32", which None means too, or "float64".

    Returns
    -------
    Backend
        Its `xp`, `device` and `dtype` are ready for use.

    Raises
    ------
    BackendError
        Where the library or the device cannot be had; there is no silent fallback. Also where CuPy would
        compute float32 products in TF32, which ``CUPY_TF32=1`` or ``NVIDIA_TF32_OVERRIDE=1`` turns on, unless
        ``RNN_XP_TF32=1`` says that it is meant.

    Examples
    --------
    >>> get_backend("numpy", dtype="float64")
    Backend(name='numpy', device='cpu', dtype=dtype('float64'))
    """
    if isinstance(name, Backend):
        if device is not None:
            msg = f"`device` must be None where `name` is a Backend, which has its own; got {device!r}."
            raise ValueError(msg)
        if dtype not in (None, name.precision):
            msg = f"`dtype` must be {name.precision!r}, that of the Backend, or None; got {dtype!r}."
            raise ValueError(msg)
        return name
    dtype = checks.one_of("dtype", "float32" if dtype is None else dtype, ("float32", "float64"))
    source = "backend"
    if name is None:
        source, name = "RNN_XP_BACKEND", os.environ.get("RNN_XP_BACKEND") or "auto"
    checks.one_of(source, name, (*OPENERS, "auto"))
    return _auto(device, dtype) if name == "auto" else OPENERS[name](device, dtype)


def available() -> dict[str, str]:
    """Say in one line for each backend that it is available, or why it is not.

    Examples
    --------
    >>> available()["numpy"].startswith("available (")
    True
    """
    report = {}
    for name in OPENERS:
        try:
            backend = get_backend(name)
        except BackendError as error:
            report[name] = str(error)
        else:
            about = f"{importlib.import_module(name).__version__}, {backend.device}"
            switch = tf32.switched_on() if name == "cupy" else ""
            report[name] = f"available ({about}, TF32 by {switch})" if switch else f"available ({about})"
    return report


def _auto(device: Any, dtype: str) -> Backend:
    """Choose CuPy where it works, else NumPy; say in one log line what and why."""
    import logging  # here: it costs as much as the rest of this package

    try:
        backend = OPENERS["cupy"](device, dtype)
        reason = "it is installed and sees a device"
    except BackendError as error:
        if device not in (None, "cpu") or isinstance(error, tf32.TF32Error):
            raise
        backend, reason = OPENERS["numpy"](device, dtype), str(error)
    log = logging.getLogger("rnn_xp")
    log.info("backend auto: chose %s on device %s; CuPy: %s", backend.name, backend.device, reason)
    return backend
