"""Timings: training and inference over a grid of sizes, both engines and cuDNN, in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from statistics import median
from typing import Any, NamedTuple

import numpy as np

import rnn_xp as rx
from gpu import peer
from gpu.check import Check, Sizes, engine
from gpu.device import Times
from gpu.session import told
from rnn_xp.layers import Context

CELLS = {"rnn": rx.RNN, "gru": rx.GRU, "lstm": rx.LSTM}
MODES = ("train", "inference")
AGREEMENT = {"y": 2e-5, "gradients": 2e-5}
"""How far from cuDNN's numbers ours may be: TF32 on either side would be off by 3e-4."""

WHAT = (
    "float32, one layer, D = H. train: forward and backward without d_x, in the memory of the step before, "
    "as in a training loop. inference: the public forward. Seconds of a call: host until it returned, device "
    "between events around it, total until the device was done; medians of calls in turns."
)


class Point(NamedTuple):
    """A place of the grid."""

    T: int
    B: int
    H: int
    cell: str

    def __str__(self) -> str:
        return f"{self.cell}, T {self.T}, B {self.B}, H {self.H}"


def run(check: Check, results: dict[str, Any]) -> None:
    """Time point after point."""
    session = check.session
    results["what"] = WHAT
    if check.torch is not None:
        results["cudnn"] = peer.facts(check.torch, check.torch_device)
        rows = results["agreement"] = []
        for cell in session.while_time_lasts(list(CELLS), lambda cell: f"{cell} beside cuDNN's numbers"):
            try:
                rows.append(agree(check, cell))
            except Exception as error:  # the timings do not depend on it
                session.fail(f"{cell} beside PyTorch's: {told(error)}")
    points = results["points"] = []
    for point in session.while_time_lasts(grid(check.sizes)):
        points.append(timed(check, point))
        session.say(f"{point}: {summary(points[-1])}")


def grid(sizes: Sizes) -> list[Point]:
    """Return the points in an order whose beginnings cover the grid evenly: its corners come first."""
    rank_B, rank_H = ({size: rank for rank, size in enumerate(spread(axis))} for axis in (sizes.B, sizes.H))

    def order(point: Point) -> tuple[int, ...]:
        b, h = rank_B[point.B], rank_H[point.H]
        return (max(b, h, 1), point.T, b, h)

    return sorted((Point(*each) for each in product(sizes.T, sizes.B, sizes.H, CELLS)), key=order)


def spread(axis: tuple[int, ...]) -> list[int]:
    """Return the ends first, then what halves the largest gap, and so on."""
    waiting = list(range(1, len(axis) - 1))
    chosen = [0, len(axis) - 1]
    while waiting:
        place = max(waiting, key=lambda place: min(abs(place - other) for other in chosen))
        waiting.remove(place)
        chosen.append(place)
    return [axis[place] for place in chosen]


def agree(check: Check, cell: str) -> dict[str, Any]:
    """See that cuDNN computes the same numbers, so that the timings are of the same thing."""
    T, B, H = check.sizes.agreement
    row = peer.agreement(check.torch, check.torch_device, cell, CELLS[cell](H, H), check.open(), T, B)
    if not (row["y"] <= AGREEMENT["y"] and max(row["gradients"].values()) <= AGREEMENT["gradients"]):
        gap = max(row["y"], *row["gradients"].values())
        check.session.fail(f"{cell} and PyTorch's differ by {gap:.1e}")
    return row


def timed(check: Check, point: Point) -> dict[str, Any]:
    """Return the median times of every contender in every mode."""
    row: dict[str, Any] = {"cell": point.cell, "T": point.T, "B": point.B, "H": point.H}
    return row | {mode: in_turns(check, point, mode) for mode in MODES}


def in_turns(check: Check, point: Point, mode: str) -> dict[str, Any]:
    """Return the median times of the contenders, called in turns; or why there are none."""
    sizes, device = check.sizes, check.device
    made = contenders(check, point)
    calls: dict[str, Callable[[], Any]] = {}
    times: dict[str, list[Times]] = {name: [] for name in made}
    unmeasured: dict[str, str] = {}

    def attempt(name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except device.out_of_memory:
            unmeasured[name] = "out of memory"
        except Exception as error:  # one point is not worth a run
            unmeasured[name] = told(error)
            check.session.fail(f"{point}, {mode}, {name}: {unmeasured[name]}")
        if name in unmeasured:
            calls.pop(name, None)
            gc.collect()
            device.free()

    def warm_up(name: str) -> None:
        calls[name] = made.pop(name)(mode)
        for _ in range(sizes.warm_up):
            calls[name]()

    for name in list(made):
        attempt(name, lambda name=name: warm_up(name))
    began = time.monotonic()
    for turn in range(sizes.repetitions):
        if turn >= 3 and time.monotonic() - began > sizes.point_seconds * len(calls):
            break
        for name in list(calls):
            attempt(name, lambda name=name: times[name].append(device.timed(calls[name])))
    calls.clear()
    device.free()
    medians = {
        name: {field: median(getattr(each, field) for each in own) for field in Times._fields}
        for name, own in times.items()
        if name not in unmeasured
    }
    return medians | unmeasured


def contenders(check: Check, point: Point) -> dict[str, Callable[[str], Callable[[], Any]]]:
    """Return, by name, what makes the call of a mode."""
    T, B, H = check.sizes.portable
    names = ["cupy"] + ["portable"] * (point.T in T and point.B in B and point.H in H)
    found = {name: partial(ours, check, point, name) for name in names}
    return found if check.torch is None else {**found, "cudnn": partial(theirs, check, point)}


def ours(check: Check, point: Point, name: str, mode: str) -> Callable[[], Any]:
    """Return a call of this package, by an engine."""
    backend, xp = check.open(), check.open().xp
    layer = CELLS[point.cell](point.H, point.H)
    params = layer.init(backend, seed=0)
    x, d_y = (xp.empty((point.T, point.B, point.H), dtype=backend.dtype, device=backend.device) for _ in "xd")
    for array, seed in ((x, 1), (d_y, 2)):
        array[...] = backend.asarray(one_step(point, seed))
    context = Context(xp, memory={}, states=False)

    def train() -> Any:
        with engine(name):
            _, _, kept = layer.run(params, x, None, context)
            return layer.run_back(params, kept, d_y, None, False, xp=xp)

    def inference() -> Any:
        with engine(name):
            return layer.forward(params, x)

    return train if mode == "train" else inference


def theirs(check: Check, point: Point, mode: str) -> Callable[[], Any]:
    """Return a call of PyTorch's module."""
    steps = (check.torch.from_numpy(one_step(point, seed)).to(check.torch_device) for seed in (1, 2))
    x, d_y = (step.expand(point.T, -1, -1).contiguous() for step in steps)
    return peer.calls(check.torch, check.torch_device, point.cell, x, d_y)[mode]


def one_step(point: Point, seed: int) -> Any:
    """Draw what stands at every step: values do not change times, and drawing them all would take seconds."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((1, point.B, point.H), dtype=np.float32)


def summary(row: dict[str, Any]) -> str:
    """Write a point in a line."""
    told_modes = []
    for mode in MODES:
        own = [
            f"{name} {times if isinstance(times, str) else format(1000 * times['total'], '.2f')}"
            for name, times in row[mode].items()
        ]
        told_modes.append(f"{mode} ms: {', '.join(own)}")
    return "; ".join(told_modes)
