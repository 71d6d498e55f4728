"""What the record must show, target by target, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cpu_speed.contenders import OURS
from cpu_speed.points import over_better, over_torch, points, share
from cpu_speed.turns import geometric_mean

Criterion = dict[str, Any]


def of(record: dict[str, Any]) -> list[Criterion]:
    """Return all targets, for each of our contenders; one that was not measured has the value None."""
    found = []
    failed = {failure.partition(":")[0] for failure in record["failures"]}  # a mean of what is left is none
    for part, targets in PARTS.items():
        known = {name: value for name, value in record.items() if part not in failed or name != part}
        for own in OURS if part in APART else OURS[:1]:
            if own in record["contenders"]:
                found += targets(known, own)
    return found


def criterion(
    target: int,
    own: str,
    what: str,
    value: Callable[[], float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    aim: float | None = None,
) -> Criterion:
    """Return a target with its value, and whether it is met; None where it was not measured."""
    try:
        measured: float | None = value()
    except (KeyError, ValueError):  # a part or a peer that is not in the record
        measured = None
    bounds = {"at_least": at_least, "at_most": at_most, "aim": aim}
    met = None
    if measured is not None:
        met = (at_least is None or measured >= at_least) and (at_most is None or measured <= at_most)
    return {
        "target": target,
        "contender": own,
        "what": what,
        "value": measured,
        **{name: bound for name, bound in bounds.items() if bound is not None},
        "met": met,
    }


def told(each: Criterion) -> str:
    """Write a target in a line."""
    value = "not measured" if each["value"] is None else f"{each['value']:.3g}"
    met = {True: "met", False: "MISSED", None: "-"}[each["met"]]
    return f"{each['target']} {each['contender']:14s} {met:6s} {value:>12s} ({bound(each)}) {each['what']}"


def bound(each: Criterion) -> str:
    """Write what a target asks for."""
    words = [f"at {name[3:]} {each[name]:g}" for name in ("at_least", "at_most") if name in each]
    return ", ".join([*words, *([f"aim {each['aim']:g}"] if "aim" in each else [])])


def grid(record: dict[str, Any], own: str) -> list[Criterion]:
    """Targets 1 and 2: beside the peers, and beside the machine's own limit."""

    def mean(ratio: Callable[..., float], **which: Any) -> Callable[[], float]:
        return lambda: geometric_mean(every(ratio, **which))

    def worst(ratio: Callable[..., float], **which: Any) -> Callable[[], float]:
        return lambda: min(every(ratio, **which))

    def every(ratio: Callable[..., float], **which: Any) -> list[float]:
        return [ratio(row, own) for row in whole(points(record, **which))]

    train, two = {"mode": "train", "threads": 1}, {"mode": "train", "threads": 2}
    one = "training, one thread, times PyTorch"
    found = [
        criterion(1, own, f"{one}: geometric mean", mean(over_torch, **train), at_least=1.8, aim=2.2),
        criterion(1, own, f"{one}: worst, B >= 32", worst(over_torch, **train, large=True), at_least=0.85),
        criterion(1, own, f"{one}: worst, B = 1", worst(over_torch, **train, large=False), at_least=0.65),
        criterion(
            1,
            own,
            "training, one thread, times the better of PyTorch and JAX: geometric mean, B >= 32",
            mean(over_better, **train, large=True),
            at_least=1.0,
            aim=1.2,
        ),
        criterion(
            1,
            own,
            "training, two threads, times PyTorch: geometric mean",
            mean(over_torch, **two),
            at_least=1.5,
        ),
        criterion(
            1,
            own,
            "inference, one thread, times PyTorch: geometric mean",
            mean(over_torch, mode="inference", threads=1),
            at_least=1.2,
        ),
    ]
    for cell, least in (("RNN", 0.8), ("LSTM", 0.8), ("GRU", 0.75)):
        what = f"training, one thread, share of the limit: worst, {cell}, B 64, H 256 and 512"
        value = worst(share, **train, cell=cell, B=64, H=(256, 512))
        found.append(criterion(2, own, what, value, at_least=least))
    return found


def whole(rows: Iterable[Any]) -> list[Any]:
    """Return the points, if there are any."""
    rows = list(rows)
    if not rows:
        msg = "not measured"
        raise ValueError(msg)
    return rows


def jobs(record: dict[str, Any], own: str) -> list[Criterion]:
    """Targets 3 and 4: whole trainings."""

    def ratio(job: str, kind: str, one: str, other: str) -> Callable[[], float]:
        def value() -> float:
            times = record["jobs"][job][kind]
            return float(times[one]["seconds"] / times[other]["seconds"])

        return value

    step = "jax, a jitted step a sequence"
    loop, process = "the tutorial's job, loop alone", "the tutorial's job, whole process"
    return [
        criterion(
            3,
            own,
            f"{loop}: time over the tutorial's program",
            ratio("tutorial", "loops", own, "tutorial's program"),
            at_most=1.0,
            aim=0.9,
        ),
        criterion(3, own, f"{loop}: times PyTorch", ratio("tutorial", "loops", "torch", own), at_least=6),
        criterion(
            3,
            own,
            f"{process}: time over PyTorch's",
            ratio("tutorial", "processes", own, "torch"),
            at_most=0.25,
        ),
        criterion(
            3,
            own,
            f"{process}: time over JAX's, a jitted step a sequence",
            ratio("tutorial", "processes", own, step),
            at_most=1.0,
        ),
        criterion(
            4,
            own,
            "JapaneseVowels, loop alone: times PyTorch",
            ratio("vowels", "loops", "torch", own),
            at_least=1.5,
        ),
        criterion(
            4,
            own,
            "JapaneseVowels, whole process: times PyTorch",
            ratio("vowels", "processes", "torch", own),
            at_least=1.5,
        ),
    ]


def streaming(record: dict[str, Any], own: str) -> list[Criterion]:
    """Target 5: one step."""

    def over(peer: str) -> Callable[[], float]:
        return lambda: geometric_mean(
            row["times"][own]["seconds"] / row["times"][peer]["seconds"]
            for row in whole(record["streaming"]["points"])
        )

    what = "one streaming step: time over"
    return [
        criterion(5, own, f"{what} PyTorch's LSTMCell: geometric mean", over("torch"), at_most=0.7),
        criterion(5, own, f"{what} ONNX Runtime's: geometric mean", over("onnxruntime"), at_most=1.2),
    ]


def memory(record: dict[str, Any], own: str) -> list[Criterion]:
    """Target 6, its first half."""

    def rows() -> list[Any]:
        return whole(record["memory"]["points"])

    def off() -> float:
        return max(abs(row["bytes"][own] / row["formula"] - 1) for row in rows())

    return [
        criterion(
            6,
            own,
            "peak memory of a training step over PyTorch's: worst",
            lambda: max(row["bytes"][own] / row["bytes"]["torch"] for row in rows()),
            at_most=1.0,
        ),
        criterion(6, own, "peak memory: off the formula, at worst", off, at_most=0.1),
    ]


def scaling(record: dict[str, Any], own: str) -> list[Criterion]:
    """Target 6, its second half."""

    def fit(name: str) -> Callable[[], float]:
        return lambda: float(record["scaling"]["T"]["fit"][name])

    what = "time against T, 100 to 10,000"
    return [
        criterion(6, own, f"{what}: exponent", fit("exponent"), at_most=1.05),
        criterion(6, own, f"{what}: r² of that fit, in logarithms", fit("r2"), at_least=0.99),
    ]


PARTS = {"grid": grid, "jobs": jobs, "streaming": streaming, "memory": memory, "scaling": scaling}
APART = ("grid", "jobs", "streaming")
"""Parts that tell our contenders apart."""
