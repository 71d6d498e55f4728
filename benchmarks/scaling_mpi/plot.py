"""The record of `scaling.py` as a picture: what was measured, and the model up to 1,024 ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from scaling_mpi import cost
from scaling_mpi.table import STRONG, efficiency, faster, shape

COLORS = ("#e07b00", "#1b6ca8")
MEASURED = "#202427"
QUIET = "#8a8f94"
DASHED = (0, (4, 3))


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Write the picture as PNG."""
    figure(record).savefig(path, dpi=120, metadata={"Software": None})


def figure(record: Mapping[str, Any]) -> Any:
    """Return the picture, a figure of matplotlib: strong scaling beside weak."""
    from matplotlib.figure import Figure  # no window, no global state

    result = Figure(figsize=(9.2, 4.3), layout="constrained")
    strong, weak = result.subplots(1, 2)
    for (name, network), color in zip(cost.NETWORKS.items(), COLORS, strict=True):
        for batch, dashes in ((STRONG, "-"), (record["batch"], DASHED)):
            most = [ranks for ranks in cost.RANKS if ranks <= batch]
            times = [faster(record, ranks, network, batch) for ranks in most]
            strong.plot(
                most, times, color=color, linestyle=dashes, linewidth=1.4, label=f"{name}, batch {batch:,}"
            )
        for sharded, dashes in ((False, "-"), (True, DASHED)):
            kept = [efficiency(record, ranks, network, sharded=sharded) for ranks in cost.RANKS]
            label = f"{name}{', sharded' * sharded}"
            weak.plot(cost.RANKS, kept, color=color, linestyle=dashes, linewidth=1.4, label=label)
    strong.plot(cost.RANKS, cost.RANKS, color=QUIET, linewidth=0.8, zorder=0)
    mark(strong, record, "strong", lambda case: median(case["times_as_fast"]))
    mark(weak, record, "weak", lambda case: median(case["times_as_fast"]) / case["ranks"])
    for axis, title, unit in (
        (strong, "strong: a batch is divided", "times as fast as one process"),
        (weak, f"weak: {record['batch']} sequences a rank", "part of the speed alone"),
    ):
        axis.set_xscale("log", base=2)
        axis.set_xticks(cost.RANKS[::2], [f"{ranks:,}" for ranks in cost.RANKS[::2]])
        axis.set_xlabel("ranks", fontsize=9)
        axis.set_ylabel(unit, fontsize=9)
        axis.set_title(title, fontsize=10, loc="left", fontweight="bold")
        axis.legend(fontsize=7.5, frameon=False)
        axis.minorticks_off()
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, length=2)
    strong.set_yscale("log", base=2)
    strong.set_yticks(cost.RANKS[::2], [f"{ranks:,}" for ranks in cost.RANKS[::2]])
    weak.set_ylim(0, 1.08)
    weak.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    result.suptitle(f"LSTM ({shape(record)}), float32: lines are the model, points are measured", fontsize=10)
    return result


def mark(axis: Any, record: Mapping[str, Any], kind: str, value: Callable[[Any], float]) -> None:
    """Mark what was measured of a kind of scaling."""
    cases = [case for name, case in record["cases"].items() if name.startswith(kind)]
    for sharded, marker in ((False, "o"), (True, "x")):
        own = [case for case in cases if case["sharded"] is sharded]
        if own:
            ranks, values = [case["ranks"] for case in own], [value(case) for case in own]
            label = f"measured{', sharded' * sharded}"
            axis.plot(ranks, values, marker, color=MEASURED, markersize=6, zorder=3, label=label)
