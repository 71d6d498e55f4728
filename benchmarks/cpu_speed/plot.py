"""The record of `cpu.py` as pictures: a roofline of the grid, and the time against T and B."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from cpu_speed.points import points, seconds
from cpu_speed.table import there

STYLES = {
    "rnn_xp": ("#1b6ca8", "o"),
    "rnn_xp_avx2": ("#e07b00", "D"),
    "torch": ("#b3261e", "s"),
    "jax": ("#5f6b6d", "^"),
}
NAMES = {"rnn_xp": "rnn_xp", "rnn_xp_avx2": "rnn_xp, AVX2", "torch": "PyTorch", "jax": "JAX"}
QUIET = "#8a8f94"


def draw(record: dict[str, Any], folder: Path) -> None:
    """Write cpu.png and cpu_scaling.png, of what the record has, into a folder."""
    if record.get("grid", {}).get("points"):
        roofline(record, folder / "cpu.png")
    if record.get("scaling", {}).get("T"):
        scaling(record, folder / "cpu_scaling.png")


def roofline(record: dict[str, Any], path: Path) -> None:
    """Draw the share of the machine's sgemm rate that training reaches, against the work of a time step."""
    from matplotlib.figure import Figure  # no window, no global state

    rows = list(points(record, mode="train", threads=1))
    names, cells = there(record), list(dict.fromkeys(row["cell"] for row in rows))
    own = [name for name in names if name in rows[0]["sgemm"]]
    rates = {name: median(row["sgemm"][name] for row in rows) for name in own}
    best = max(rates.values())
    figure = Figure(figsize=(4.3 * len(cells), 4.6), layout="constrained")
    axes = figure.subplots(1, len(cells), sharey=True, squeeze=False)[0]
    for axis, cell in zip(axes, cells, strict=True):
        here = sorted((row for row in rows if row["cell"] == cell), key=work)
        for name in names:
            color, marker = STYLES[name]
            shares = [row["operations"] / seconds(row, name) / best for row in here]
            axis.plot(list(map(work, here)), shares, marker=marker, color=color, markersize=5, linewidth=1.2)
        ends = {name: here[-1]["operations"] / seconds(here[-1], name) / best for name in names}
        for name, y in apart(ends, 1.33).items():
            place = {"xy": (work(here[-1]), y), "xytext": (7, 0), "textcoords": "offset points"}
            axis.annotate(NAMES[name], **place, color=STYLES[name][0], fontsize=8, va="center")
        for name, rate in rates.items():
            if name != "torch":  # whose layers have other kernels than its sgemm
                across, line = [work(here[0]), work(here[-1])], {"linewidth": 0.8, "linestyle": (0, (4, 3))}
                axis.plot(across, [rate / best] * 2, color=STYLES[name][0], **line)
                roof = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 7.5, "va": "bottom"}
                text = f"sgemm, {rate / 1e9:.0f} GFLOP/s"
                axis.annotate(text, (work(here[0]), rate / best), **roof, color=STYLES[name][0])
        dress(axis, here)
        axis.set_title(cell, fontsize=11, loc="left", fontweight="bold")
    axes[0].set_ylabel(f"share of {best / 1e9:.0f} GFLOP/s", fontsize=9)
    figure.supxlabel(
        "work of a time step, in floating-point operations; the points are T, B, D, H", fontsize=9
    )
    figure.suptitle("Training, float32, one thread: how much of the machine's sgemm is reached", fontsize=10)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def work(row: dict[str, Any]) -> float:
    """Return the floating-point operations of one time step."""
    return float(row["operations"] / row["T"])


def dress(axis: Any, rows: list[dict[str, Any]]) -> None:
    """Set the axes of a panel of the roofline."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(right=work(rows[-1]) * 40)  # room for the names
    axis.set_ylim(top=1.6)
    ticks = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
    axis.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    shapes = [f"{row['T']}, {row['B']}, {row['D']}, {row['H']}" for row in rows]
    axis.set_xticks(list(map(work, rows)), shapes, rotation=40, ha="right", fontsize=8)
    bare(axis)


def bare(axis: Any) -> None:
    """Take away what is no data."""
    axis.minorticks_off()
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8, length=2)


def apart(values: dict[str, float], factor: float) -> dict[str, float]:
    """Return places for labels, from the top down, at least a factor apart."""
    places: dict[str, float] = {}
    last = float("inf")
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        places[name] = last = min(value, last / factor)
    return places


def scaling(record: dict[str, Any], path: Path) -> None:
    """Draw the time of a training step against T and B, with the straight lines that fit."""
    from matplotlib.figure import Figure

    own = {letter: record["scaling"][letter] for letter in ("T", "B") if letter in record["scaling"]}
    figure = Figure(figsize=(4.6 * len(own), 3.6), layout="constrained")
    for axis, (letter, part) in zip(figure.subplots(1, len(own), squeeze=False)[0], own.items(), strict=True):
        sizes, times = zip(*[(row[letter], 1000 * row["seconds"]) for row in part["points"]], strict=True)
        fit = part["fit"]
        line = [1000 * (fit["fixed"] + fit["each"] * size) for size in sizes]
        axis.plot(sizes, line, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        axis.plot(sizes, times, color=STYLES["rnn_xp"][0], marker="o", markersize=5, linewidth=1.2)
        for at, offset, side in ((0, (7, -9), "left"), (-1, (-7, 5), "right")):
            place = {"xytext": offset, "textcoords": "offset points", "ha": side}
            text = f"{times[at]:.3g} ms"
            axis.annotate(text, (sizes[at], times[at]), **place, fontsize=8, color=STYLES["rnn_xp"][0])
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.margins(x=0.12, y=0.15)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.yaxis.set_major_formatter("{x:g}")
        fixed = f"{1000 * fit['fixed']:.2g} ms and " if fit["fixed"] > 0 else ""
        told = f"dashed: {fixed}{1e6 * fit['each']:.3g} µs each"
        axis.set_xlabel(f"{letter} ({told}; exponent {fit['exponent']:.2f})", fontsize=9)
        bare(axis)
        first = part["points"][0]
        others = ", ".join(f"{name} {first[name]}" for name in ("T", "B", "D", "H") if name != letter)
        axis.set_title(f"against {letter}, at {others}", fontsize=9, loc="left")
        axis.set_ylabel("ms", fontsize=9)
    figure.suptitle("A training step of an LSTM, float32, one thread", fontsize=10)
    figure.savefig(path, dpi=120, metadata={"Software": None})
