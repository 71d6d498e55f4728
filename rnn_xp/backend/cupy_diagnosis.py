"""Why CuPy cannot be used here, and the command that mends it."""

from __future__ import annotations

import ctypes
import os
import re

_TOOLKIT_FILE = re.compile(
    r"\b(?:lib)?(?:cudart|nvrtc|nvJitLink|cublas|cufft|curand|cusolver|cusparse)\w*\.(?:so|dll)\b|\bcuda_\w+\.h\b"
)


def explain(error: Exception, wheels: list[str], driver: int | None) -> str:
    """Say in one line what `error` means, given the CuPy wheels and the driver's CUDA version (12040)."""
    text = str(error)
    wheel = wheels[0] if wheels else "cupy"
    built_for = int(found[1]) if (found := re.search(r"cuda(\d\d)", wheel)) else None
    served = 13 if driver is None or driver >= 13000 else 12
    install = f'pip install "cupy-cuda{served}x[ctk]"'
    cuda = None if driver is None else f"CUDA {driver // 1000}.{driver % 1000 // 10}"
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        seen = "no NVIDIA driver was found" if cuda is None else f"the NVIDIA driver supports {cuda}"
        what = f"CuPy is not installed, and {seen}. Install it: {install}."
    elif len(wheels) > 1:
        what = f"several CuPy packages are installed and overwrite each other: {', '.join(wheels)}. "
        what += f"Keep one: pip uninstall -y {' '.join(wheels)} && {install}."
    elif driver is None:
        what = "no NVIDIA driver was found (libcuda cannot be loaded). Install it on the host; "
        what += "start a container with: docker run --gpus all."
    elif built_for is not None and built_for > driver // 1000:
        what = f"{wheel} needs a driver for CUDA {built_for}, and this driver supports {cuda}. "
        what += f"Update the driver, or: pip uninstall -y {wheel} && {install}."
    elif file := _TOOLKIT_FILE.search(text):
        what = f"{file[0]} of the CUDA toolkit cannot be loaded. "
        what += f'Install the toolkit: pip install "cupy-cuda{built_for or served}x[ctk]".'
    elif "cudaErrorNoDevice" in text:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        what = f"no GPU is visible (CUDA_VISIBLE_DEVICES: {visible or 'empty'}). "
        what += "List the GPUs: nvidia-smi -L; show one: export CUDA_VISIBLE_DEVICES=0."
    else:
        what = f'CuPy fails with {summary(error)}. Look into it: python -c "import cupy; cupy.show_config()".'
    return f'{what} To run on the CPU: backend="numpy".'


def summary(error: Exception) -> str:
    """Return the kind and the first telling line of `error`; CuPy frames some of its messages."""
    lines = str(error).rpartition("Original error:")[2].splitlines()
    telling = next((line.strip() for line in lines if re.search(r"\w", line)), "no message")
    return f"{type(error).__name__}: {telling.rstrip('.')}"


def wheels() -> list[str]:
    """Return the names of the installed distributions that bring the package ``cupy``."""
    from importlib import metadata  # here: it costs a quarter of `import numpy`

    names = {str(distribution.metadata["Name"]).lower() for distribution in metadata.distributions()}
    return sorted(name for name in names if re.fullmatch(r"cupy(-(cuda|rocm)[\w-]*)?", name))


def driver_version() -> int | None:
    """Return the CUDA that the driver supports, 1000 * major + 10 * minor, or None without a driver."""
    version = ctypes.c_int()
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return None
    return version.value if driver.cuDriverGetVersion(ctypes.byref(version)) == 0 else None
