"""Products: what the feature-first input product costs beside one large GEMM; what a step is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from gpu.check import DTYPES, Check
from gpu.device import HostDevice

CALLS = 100
"""Calls in a row of what is too short to be timed by itself."""


def run(check: Check, results: dict[str, Any]) -> None:
    """Time them."""
    results["steps"] = [one_step(check, H, B) for H, B in check.sizes.step_shapes]
    for row in results["steps"]:
        told = ", ".join(f"{name} {1e6 * row[name]['device']:.1f} us" for name in ("gemm", "kernel"))
        check.session.say(f"a step, H {row['H']}, B {row['B']}: {told}")
    rows = results["input_products"] = []
    sizes = check.sizes
    shapes = [(dtype, H, B) for B in sizes.product_B for H in sizes.product_H for dtype in DTYPES]
    for shape in check.session.while_time_lasts(shapes, lambda shape: "{}, H {}, B {}".format(*shape)):
        row = input_product(check, *shape)
        rows.append(row)
        if "ratio" in row:
            check.session.say("{}, H {}, B {}: batched over large {:.2f}".format(*shape, row["ratio"]))
    for dtype in DTYPES:
        ratios = [row["ratio"] for row in rows if row["dtype"] == dtype and "ratio" in row]
        if ratios:
            results[f"mean_ratio_{dtype}"] = math.exp(sum(map(math.log, ratios)) / len(ratios))


def input_product(check: Check, dtype: str, H: int, B: int) -> dict[str, Any]:
    """Time W (4H, H) @ x (T, H, B), as the engine does it, and W @ x (H, T*B), the same work at once."""
    T, backend, device = check.sizes.product_steps, check.open(dtype), check.device
    row: dict[str, Any] = {"dtype": dtype, "T": T, "N": 4 * H, "D": H, "B": B}
    rng = np.random.default_rng(0)
    try:
        W = backend.asarray(rng.standard_normal((4 * H, H)))
        x = backend.asarray(rng.standard_normal((T, H, B)))
        flat = backend.xp.reshape(x, (H, T * B))
        times = {"batched": seconds(check, lambda: W @ x), "large": seconds(check, lambda: W @ flat)}
    except device.out_of_memory:
        return row | {"out_of_memory": True}
    finally:
        W = x = flat = None
        device.free()
    return row | times | {"ratio": times["batched"] / times["large"]}


def seconds(check: Check, call: Callable[[], Any]) -> float:
    """Return the median time on the device."""
    for _ in range(check.sizes.warm_up):
        call()
    return median(check.device.timed(call).device for _ in range(check.sizes.repetitions))


def one_step(check: Check, H: int, B: int) -> dict[str, Any]:
    """Time the two launches of a fused step, the GEMM R @ h of an LSTM and a small fused kernel."""
    backend, device = check.open(), check.device
    rng = np.random.default_rng(0)
    R = backend.asarray(rng.standard_normal((4 * H, H)))
    h, c, out = (backend.asarray(rng.standard_normal((H, B))) for _ in range(3))
    kernel = device.fuse(pointwise)
    row = {
        "H": H,
        "B": B,
        "gemm": each(device, lambda: R @ h),
        "kernel": each(device, lambda: kernel(h, c, out)),
    }
    fused = backend.to_numpy(out)
    h, c = backend.to_numpy(h), backend.to_numpy(c)
    if not np.allclose(fused, h * c + 0.5 * h, rtol=1e-5, atol=1e-6):
        check.session.fail("a fused kernel does not give what its function says")
    return row


def pointwise(a: Any, b: Any, out: Any) -> None:
    """Stand for a cell's pointwise part, which is of the same few launches."""
    out[...] = a * b + 0.5 * a


def each(device: HostDevice, call: Callable[[], Any]) -> dict[str, float]:
    """Return what one of many calls in a row takes, on the host and on the device."""

    def many() -> None:
        for _ in range(CALLS):
            call()

    many()
    times = device.timed(many)
    return {"host": times.host / CALLS, "device": times.device / CALLS}
