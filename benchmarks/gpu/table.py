"""The record of a GPU check as a table for a page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from record import stale

from gpu.damage import check, names_what_is_damaged

ABSENT = [
    "No GPU has run this yet: not yet measured. "
    "`python benchmarks/gpu_check.py --out benchmarks/results/gpu.json` puts a run on record, and "
    "`python benchmarks/report.py` puts it here.",
]
"""What stands where there is no record."""

MIDDLE = (64, 256)
"""B and H of the point that is shown besides the corners."""


def lines(record: dict[str, Any], sources_hash: str, picture: str) -> list[str]:
    """Return the lines; `sources_hash` is that of the sources as they are, `picture` where its plot is."""
    check(record)
    parts = (
        warnings(record, sources_hash),
        proofs(record),
        ratios(record),
        chosen(record),
        memory(record),
        products(record),
        [f"![Time of a step against H, rnn_xp beside cuDNN]({picture})"] if measured(record) else [],
    )
    return [line for part in parts if part for line in (*part, "")] + [source(record)]


@names_what_is_damaged("failures or left_out")
def warnings(record: dict[str, Any], sources_hash: str) -> list[str]:
    """Say what the reader must know before the numbers."""
    older = stale(record, sources_hash)
    found = [older] if older else []
    if not record["complete"]:
        found.append("**incomplete**: the run was interrupted, and what it had not reached is missing here.")
    if record["failures"]:
        first = record["failures"][0].replace("|", "/")[:200]
        found.append(f"**failed**: {len(record['failures'])} of its checks; the first: {first}")
    if record["left_out"]:
        told = ", ".join(f"{len(names)} of {part}" for part, names in record["left_out"].items())
        found.append(f"Left out for want of time: {told}.")
    return [line for each in found for line in (each, "")][:-1]


def proofs(record: dict[str, Any]) -> list[str]:
    """Tests, training and parity."""
    repeated, table = parity(record)
    told = " ".join([*tests(record), *training(record), *repeated])
    return ([told] if told else []) + (["", *table] if table else [])


@names_what_is_damaged("tests")
def tests(record: dict[str, Any]) -> list[str]:
    """How many passed."""
    outcomes = record.get("tests", {}).get("outcomes")
    if not outcomes:
        return []
    skipped = f", {outcomes['skipped']} skipped" if "skipped" in outcomes else ""
    return [f"{outcomes.get('passed', 0)} of {sum(outcomes.values())} `gpu` tests passed{skipped}."]


@names_what_is_damaged("training")
def training(record: dict[str, Any]) -> list[str]:
    """How far the losses are from NumPy's."""
    rows = record.get("training", {}).get("trainings")
    if not rows:
        return []
    worst = ", ".join(f"{value:.1e} ({dtype})" for dtype, value in worst_of(rows, "difference").items())
    steps = max(row["steps"] for row in rows)
    return [f"{steps} training steps of RNN, GRU and LSTM give NumPy's losses to {worst} of the first."]


@names_what_is_damaged("parity")
def parity(record: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Whether a second run gave the same bits, and the table of the differences."""
    cases = record.get("parity", {}).get("cases")
    if not cases:
        return [], []
    repeated = sum(row["repeats"] for row in cases)
    rows = [{**row, "gradients": max(map(number, row["gradients"].values()))} for row in cases]
    states, gradients = worst_of(rows, "states"), worst_of(rows, "gradients")
    longest = max(row["T"] for row in rows)
    table = [
        f"| against NumPy, T up to {longest:,}, both engines: worst of {len(cases)} | "
        + " | ".join(f"{dtype} | limit" for dtype in states)
        + " |",
        "|---|" + "---|---|" * len(states),
    ]
    for name, found, limits in (
        ("largest difference of an output or state", states, record["parity"]["states_limit"]),
        ("gradient, difference over norm", gradients, record["parity"]["gradients_limit"]),
    ):
        cells = (f"{value:.1e} | {limits[dtype]:.0e}" for dtype, value in found.items())
        table.append(f"| {name} | {' | '.join(cells)} |")
    return [f"A second run gave the same bits in {repeated} of {len(cases)} comparisons."], table


@names_what_is_damaged("timings")
def ratios(record: dict[str, Any]) -> list[str]:
    """The times over cuDNN's, by cell, mode and T."""
    points = measured(record, "cudnn")
    if not points:
        return ["cuDNN was not measured beside it."] if measured(record) else []
    columns = [(mode, T) for mode in ("train", "inference") for T in sorted({row["T"] for row in points})]
    head = " | ".join(f"{mode}, T = {T:,}" for mode, T in columns)
    table = [f"| time over cuDNN's, geometric mean | {head} |", "|---|" + "---|" * len(columns)]
    for cell in unique(row["cell"] for row in points):
        shown = []
        for mode, T in columns:
            rows = [row[mode] for row in points if row["cell"] == cell and row["T"] == T]
            mean = geometric_mean(row["cupy"]["total"] / row["cudnn"]["total"] for row in rows)
            shown.append("not measured" if mean is None else f"{mean:.2f}")
        table.append(f"| {cell} | {' | '.join(shown)} |")
    sizes = ", ".join(
        f"{axis} {min(row[axis] for row in points)} to {max(row[axis] for row in points):,}" for axis in "BH"
    )
    return [
        *table,
        "",
        f"Float32, one layer, D = H, {sizes}, {len(points)} points; below 1 is faster than cuDNN.",
    ]


@names_what_is_damaged("timings")
def chosen(record: dict[str, Any]) -> list[str]:
    """Some points: the corners and the middle."""
    points = measured(record)
    if not points:
        return []
    steps = max(row["T"] for row in points)
    sizes = sorted({(row["B"], row["H"]) for row in points if row["T"] == steps})
    wanted = (sizes[0], MIDDLE, sizes[-1])
    table = [
        f"| ms, T = {steps:,} | B | H | train | on the host | cuDNN | inference | on the host | cuDNN |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(points, key=lambda row: (row["B"], row["H"])):
        if row["T"] != steps or (row["B"], row["H"]) not in wanted:
            continue
        cells = [
            milliseconds(row[mode].get(name), field)
            for mode in ("train", "inference")
            for name, field in (("cupy", "total"), ("cupy", "host"), ("cudnn", "total"))
        ]
        table.append(f"| {row['cell']} | {row['B']} | {row['H']:,} | {' | '.join(cells)} |")
    return table


@names_what_is_damaged("memory")
def memory(record: dict[str, Any]) -> list[str]:
    """The most that a training step needs."""
    points = record.get("memory", {}).get("points")
    if not points:
        return []
    cells = unique(row["cell"] for row in points)
    table = [
        f"| peak memory of a training step, MB (cuDNN's) | {' | '.join(cells)} |",
        "|---|" + "---|" * len(cells),
    ]
    for size in unique((row["T"], row["B"], row["H"]) for row in points):
        rows = {row["cell"]: row for row in points if (row["T"], row["B"], row["H"]) == size}
        shown = [
            f"{megabytes(rows[c]['cupy'])} ({megabytes(rows[c]['cudnn'])})" if c in rows else ""
            for c in cells
        ]
        table.append("| T = {:,}, B = {}, H = {:,} | ".format(*size) + " | ".join(shown) + " |")
    return table


@names_what_is_damaged("products")
def products(record: dict[str, Any]) -> list[str]:
    """What the feature-first input product costs, and what a step is made of."""
    own = record.get("products", {})
    told = []
    rows = [row for row in own.get("input_products", []) if "ratio" in row]
    if rows:
        means = {
            dtype: geometric_mean(row["ratio"] for row in rows if row["dtype"] == dtype)
            for dtype in unique(row["dtype"] for row in rows)
        }
        shown = ", ".join(f"{mean:.2f} ({dtype})" for dtype, mean in means.items())
        worst = max(rows, key=lambda row: row["ratio"])
        told.append(
            f"The input product, batched over {worst['T']:,} steps, takes {shown} times as long as one large "
            f"GEMM of the same work (geometric means; at worst {worst['ratio']:.2f}, with {worst['dtype']}, "
            f"H {worst['D']}, B {worst['B']})."
        )
    steps = own.get("steps", [])
    for row in [row for row in steps if (row["B"], row["H"]) == MIDDLE] or steps[:1]:
        gemm, kernel = ({at: 1e6 * row[name][at] for at in ("device", "host")} for name in ("gemm", "kernel"))
        told.append(
            f"A step's GEMM, H {row['H']}, B {row['B']}, takes {gemm['device']:.1f} µs on the device and "
            f"{gemm['host']:.1f} on the host; a small fused kernel {kernel['device']:.1f} and "
            f"{kernel['host']:.1f}."
        )
    return [" ".join(told)] if told else []


@names_what_is_damaged("device, versions, machine or timings")
def source(record: dict[str, Any]) -> str:
    """Say where the numbers come from."""
    device = record["device"]
    cudnn = record.get("timings", {}).get("cudnn") or {}
    used = {
        "driver": device.get("driver"),
        "CUDA": device.get("runtime_cuda"),
        "cupy": device.get("cupy"),
        **record["versions"],
        "cuDNN": cudnn.get("cudnn"),
    }
    shown = ", ".join(f"{name} {version}" for name, version in used.items() if version)
    made = f"{record['date'][:10]}, {device['name']} beside {record['machine']['cpu']}"
    changes = " with changes" if record["changed_since"] else ""
    commit = f", commit {record['commit'][:12]}{changes}" if record["commit"] else ""
    return f"<sub>`benchmarks/gpu_check.py`, {made}, {shown}{commit}.</sub>"


@names_what_is_damaged("timings")
def measured(record: dict[str, Any], beside: str = "cupy") -> list[dict[str, Any]]:
    """Return the points of the grid where both modes have times, also of another contender."""
    points = record.get("timings", {}).get("points", [])
    return [
        row
        for row in points
        if all(
            isinstance(row[mode].get(name), dict)
            for mode in ("train", "inference")
            for name in ("cupy", beside)
        )
    ]


def worst_of(rows: list[dict[str, Any]], field: str) -> dict[str, float]:
    """Return the largest value by dtype."""
    dtypes = unique(row["dtype"] for row in rows)
    return {dtype: max(number(row[field]) for row in rows if row["dtype"] == dtype) for dtype in dtypes}


def number(value: float | str) -> float:
    """Return a number; one that is not finite stands in the record by its name, and is the worst of all."""
    return math.inf if isinstance(value, str) else value


def geometric_mean(values: Iterable[float]) -> float | None:
    """Return the geometric mean, or None of nothing."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


def milliseconds(times: Any, field: str) -> str:
    """Write a time, or why there is none."""
    if isinstance(times, dict):
        value = 1000 * times[field]
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return "out of memory" if times == "out of memory" else "–"


def megabytes(bytes_used: dict[str, int] | None) -> str:
    """Write the peak."""
    return "–" if bytes_used is None else f"{bytes_used['peak'] / 1e6:,.0f}"


def unique(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order."""
    return list(dict.fromkeys(values))
