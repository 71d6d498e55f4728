"""Memory: the most that a training step needs, weights and inputs included, beside cuDNN's."""

from __future__ import annotations

from typing import Any

from gpu import timings
from gpu.check import Check


def run(check: Check, results: dict[str, Any]) -> None:
    """Measure a first step of each cell, which makes its memory."""
    rows = results["points"] = []
    points = [timings.Point(T, B, H, cell) for T, B, H in check.sizes.memory for cell in timings.CELLS]
    for point in check.session.while_time_lasts(points):
        row: dict[str, Any] = {"cell": point.cell, "T": point.T, "B": point.B, "H": point.H}
        row |= {name: peak(check, point, name) for name in ("cupy", "cudnn")}
        rows.append(row)
        check.session.say(f"memory of {point}: {row['cupy']}, cuDNN {row['cudnn']}")


def peak(check: Check, point: timings.Point, name: str) -> dict[str, int] | None:
    """Return the bytes in use at the worst moment of a training step, and those then held from the device."""
    if name == "cudnn" and check.torch is None:
        return None
    check.device.free()
    try:
        return {"cupy": own_peak, "cudnn": cudnn_peak}[name](check, point)
    except check.device.out_of_memory:
        return None
    finally:
        check.device.free()


def own_peak(check: Check, point: timings.Point) -> dict[str, int]:
    """Return that of this package."""
    return check.device.peak(timings.ours(check, point, "cupy", "train"))


def cudnn_peak(check: Check, point: timings.Point) -> dict[str, int]:
    """Return that of PyTorch, by its own count."""
    call = timings.theirs(check, point, "train")
    if check.torch_device != "cuda":
        return check.device.peak(call)
    cuda = check.torch.cuda
    cuda.reset_peak_memory_stats()
    call()
    cuda.synchronize()
    return {"peak": cuda.max_memory_allocated(), "held": cuda.max_memory_reserved()}
