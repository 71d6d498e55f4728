"""What a certificate, and `rnn-xp doctor`, say of where they were made."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

LIBRARIES = (
    "array-api-compat",
    "array-api-strict",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "torch",
    "gmpy2",
    "mpmath",
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def system() -> dict[str, Any]:
    """Return versions, and what decides how fast this machine computes."""
    from rnn_xp import __version__  # at the top it would be a circle

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "rnn_xp": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "blas threads": _blas_threads(),
        "array-api-compat": installed("array-api-compat") or "not installed",
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **{name: os.environ.get(name, "not set") for name in THREADS},
    }


def _blas_threads() -> str:
    """Return how many threads the BLAS runs, and whose kernels; both decide how fast products are."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown: threadpoolctl is not installed"
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    told = [f"{pool['num_threads']} ({pool.get('architecture') or pool['internal_api']})" for pool in pools]
    return ", ".join(told) or "unknown: threadpoolctl finds no BLAS that it knows"


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed and matter here."""
    from rnn_xp import __version__  # at the top it would be a circle

    found = {name: installed(name) for name in LIBRARIES}
    own = {"rnn_xp": __version__, "python": platform.python_version(), "numpy": np.__version__}
    return {**own, **{name: each for name, each in found.items() if each is not None}}


def installed(package: str) -> str | None:
    """Return the version of a package, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
