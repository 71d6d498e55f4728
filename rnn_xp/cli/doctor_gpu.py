"""What `rnn-xp doctor` says of GPUs: CuPy, the driver, the toolkit, devices, and what hides them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata

from rnn_xp.backend import cupy_diagnosis
from rnn_xp.cli.doctor_machine import Line

TOOLKIT = ("cublas", "cuda-nvrtc", "cuda-runtime", "curand")
"""The libraries of the CUDA toolkit that CuPy loads here, in the names of the wheels that bring them."""

HIDDEN = ("", "-1", "NoDevFiles")
"""What of CUDA_VISIBLE_DEVICES hides every GPU."""


def gpu(cupy: str) -> Iterator[Line]:
    """Look at everything between CuPy and a GPU; `cupy` is why its backend cannot be had, or "available"."""
    wheels, driver = cupy_diagnosis.wheels(), cupy_diagnosis.driver_version()
    yield _cupy(cupy, wheels, driver)
    yield Line("driver", "none" if driver is None else f"supports CUDA {_cuda(driver)}")
    found = sorted(filter(None, map(_of_toolkit, metadata.distributions())))
    yield Line("toolkit, by pip", ", ".join(found) or "none")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and driver is not None and visible.strip() in HIDDEN:
        wrong, mend = "it hides every GPU", "unset CUDA_VISIBLE_DEVICES"
    else:
        wrong = mend = ""
    yield Line("CUDA_VISIBLE_DEVICES", "not set" if visible is None else visible or "empty", wrong, mend)
    if driver is not None:
        yield from _devices()


def _cupy(reason: str, wheels: list[str], driver: int | None) -> Line:
    """Say which CuPy is installed, and what is wrong with it."""
    found = ", ".join(f"{name} {metadata.version(name)}" for name in wheels) or "not installed"
    if len(wheels) > 1:  # it may seem to work, until something loads what the other has written over
        wrong = cupy_diagnosis.explain(RuntimeError(), wheels, driver)
    elif wheels and not reason.startswith("available"):
        wrong = reason.partition(": ")[2]
    elif not wheels and driver is not None:
        wrong = (
            f'a GPU may be here, and CuPy is not. Install it: pip install "cupy-cuda{driver // 1000}x[ctk]".'
        )
    else:
        wrong = ""
    return Line("cupy", found, *_apart(wrong))


def _apart(words: str) -> tuple[str, str]:
    """Return what is wrong, and the first command in it that mends it."""
    words = words.partition(" To run on the CPU")[0]
    sentences = re.split(r"(?<=\.) (?=[A-Z])", words)
    for i, sentence in enumerate(sentences):
        head, found, command = sentence.partition(": ")
        if found and re.match(r"pip |python |docker |export |nvidia-smi", command):
            return " ".join(sentences[:i]) or head, command.rstrip(".")
    return words, ""


def _devices() -> Iterator[Line]:
    """Ask the driver's own program for GPUs, and for their parts."""
    if shutil.which("nvidia-smi") is None:
        yield Line("devices", "unknown: there is no nvidia-smi")
        return
    listed = _ask("-L")
    lines = [re.sub(r" \(UUID.*", "", line.strip()) for line in listed.splitlines() if line.strip()]
    for line in lines:
        name, _, found = line.partition(": ")
        yield Line(name, found or line)
    if not lines:
        yield Line("devices", "none", "the driver is there, and sees no GPU", "nvidia-smi")
    elif "Enabled" in _ask("--query-gpu=mig.mode.current", "--format=csv,noheader") and "MIG " not in listed:
        yield Line(
            "MIG",
            "enabled, without an instance",
            "a GPU that is to be cut into parts, and is not, computes nothing",
            "sudo nvidia-smi mig -cgi 0 -C",
        )


def _ask(*arguments: str) -> str:
    """Return what nvidia-smi answers; nothing where it fails."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout


def _of_toolkit(distribution: metadata.Distribution) -> str:
    """Return the name and version of a wheel with a library of the toolkit; else nothing."""
    name = str(distribution.metadata["Name"]).lower()
    part = name.removeprefix("nvidia-")
    if name != "cuda-toolkit" and (part == name or re.sub(r"-cu\d+$", "", part) not in TOOLKIT):
        return ""
    return f"{name} {distribution.version}"


def _cuda(version: int) -> str:
    """Write a version of CUDA."""
    return f"{version // 1000}.{version % 1000 // 10}"
