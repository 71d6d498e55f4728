"""The record of `cpu.py` as tables for a page: all but the grid."""

from __future__ import annotations

from typing import Any

from cpu_speed.contenders import KINDS
from cpu_speed.points import points
from cpu_speed.turns import geometric_mean

JOBS = {
    "tutorial": "the tutorial's job, sequences one by one, s",
    "vowels": "JapaneseVowels, GRU both ways, batch 16, s",
}


def label(name: str) -> str:
    """Return how a contender, or a program of it, is called."""
    own, _, rest = name.partition(" ")
    own, comma = own.removesuffix(","), "," if own.endswith(",") else ""
    return f"{KINDS[own].label}{comma} {rest}".strip() if own in KINDS else name


def jobs(record: dict[str, Any]) -> list[str]:
    """Whole jobs: the loop alone, and the process from its start to the last loss."""
    told = []
    for job, title in JOBS.items():
        own = record.get("jobs", {}).get(job)
        if not own:
            continue
        told += [f"| {title}, {own['spec']['epochs']} epochs | loop alone | whole process |", "|---|---|---|"]
        for name, times in own["loops"].items():
            whole = own["processes"][name]["seconds"]
            told.append(f"| {label(name)} | {times['seconds']:.2f} | {whole:.2f} |")
        told += ["", losses(own), ""]
    return told[:-1]


def losses(own: dict[str, Any]) -> str:
    """Say how far the loss curves are apart."""
    worst = max(own["difference"].values(), default=0.0)
    told = f"All losses of all epochs agree with ours to {worst:.0e} of the first one"
    if own.get("exact") is not None:
        return f"{told} in float32, and with PyTorch's to {own['exact']:.0e} in float64."
    return f"{told}."


def streaming(record: dict[str, Any]) -> list[str]:
    """One step at batch 1."""
    rows = record.get("streaming", {}).get("points")
    if not rows:
        return []
    head = " | ".join(f"D {row['D']}, H {row['H']}" for row in rows)
    table = [f"| one streaming step of an LSTM, µs | {head} |", "|---|" + "---|" * len(rows)]
    for name in rows[0]["times"]:
        told = [f"{1e6 * row['times'][name]['seconds']:.1f}" for row in rows if name in row["times"]]
        table.append(f"| {KINDS[name].label} | {' | '.join(told)} |")
    return table


def memory(record: dict[str, Any]) -> list[str]:
    """The peak of a training step."""
    rows = record.get("memory", {}).get("points")
    if not rows:
        return []
    names = list(rows[0]["bytes"])
    head = " | ".join(KINDS[name].label for name in names)
    table = [
        f"| peak memory of a training step beside weights, x and d_y, MB | T, B, D, H | {head} | formula |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for row in rows:
        shape = f"{row['T']:,}, {row['B']}, {row['D']}, {row['H']}"
        told = [f"{row['bytes'][name] / 1e6:.1f}" for name in names] + [f"{row['formula'] / 1e6:.1f}"]
        table.append(f"| {row['cell']} | {shape} | {' | '.join(told)} |")
    return table


def scaling(record: dict[str, Any]) -> list[str]:
    """How the time grows with T."""
    own = record.get("scaling", {}).get("T")
    if not own:
        return []
    fit, first, last = own["fit"], own["points"][0], own["points"][-1]
    return [
        f"A training step of an LSTM (B {first['B']}, D {first['D']}, H {first['H']}) takes "
        f"{1e6 * first['seconds'] / first['T']:.1f} µs a time step at T {first['T']:,} and "
        f"{1e6 * last['seconds'] / last['T']:.1f} at T {last['T']:,}: it grows as T to the power of "
        f"{fit['exponent']:.3f} (r² {fit['r2']:.5f})."
    ]


def threads(record: dict[str, Any]) -> list[str]:
    """What a second thread brings."""
    rows = record.get("threads", {}).get("points")
    if not rows:
        return []
    table = [
        "| rnn_xp, s | 1 BLAS thread | 2 | 1, beside busy programs | 2, beside busy programs |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        told = [f"{row[state][count]['seconds']:.3g}" for state in ("alone", "busy") for count in ("1", "2")]
        table.append(f"| {row['job']} | {' | '.join(told)} |")
    return [*table, *of_the_grid(record)]


def of_the_grid(record: dict[str, Any]) -> list[str]:
    """Say what a second thread brings at each shape of the grid."""
    told: dict[str, list[float]] = {}
    if "grid" not in record:
        return []
    for one in points(record, mode="train", threads=1):
        same = {name: one[name] for name in ("cell", "T", "B", "D", "H")}
        for two in points(record, mode="train", threads=2, **same):
            shape = f"{one['T']}, {one['B']}, {one['D']}, {one['H']}"
            ratio = one["times"]["rnn_xp"]["seconds"] / two["times"]["rnn_xp"]["seconds"]
            told.setdefault(shape, []).append(ratio)
    means = "; ".join(f"{shape}: {geometric_mean(own):.2f}" for shape, own in told.items())
    return (
        ["", f"Times as fast with 2 as with 1 in the grid, training, by T, B, D, H: {means}."] if told else []
    )


PARTS = (jobs, streaming, memory, scaling, threads)
