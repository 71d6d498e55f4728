"""The record of a GPU check as a picture: the time of a step against H, beside cuDNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpu.table import measured, unique

MODES = {"train": "training", "inference": "inference"}
CONTENDERS = {"cupy": ("-", "o", "rnn_xp"), "cudnn": ("--", "s", "cuDNN")}


def draw(record: dict[str, Any], path: Path) -> None:
    """Write the picture of the longest sequences, of a record that has timings, as PNG."""
    from matplotlib.figure import Figure  # no window, no global state
    from matplotlib.lines import Line2D

    points = measured(record)
    steps = max(row["T"] for row in points)
    points = sorted((row for row in points if row["T"] == steps), key=lambda row: row["H"])
    cells, batches = unique(row["cell"] for row in points), sorted({row["B"] for row in points})
    widths = sorted({row["H"] for row in points})
    colors = {B: f"C{i}" for i, B in enumerate(batches)}

    figure = Figure(figsize=(3.6 * len(cells), 6.4), layout="constrained")
    axes = figure.subplots(len(MODES), len(cells), sharex=True, sharey=True, squeeze=False)
    for across, (mode, title) in zip(axes, MODES.items(), strict=True):
        for axis, cell in zip(across, cells, strict=True):
            for B in batches:
                rows = [row for row in points if row["cell"] == cell and row["B"] == B]
                for name, (line, marker, _) in CONTENDERS.items():
                    own = [row for row in rows if isinstance(row[mode].get(name), dict)]
                    axis.plot(
                        [row["H"] for row in own],
                        [1e6 * row[mode][name]["total"] / steps for row in own],
                        line,
                        marker=marker,
                        markersize=4,
                        color=colors[B],
                    )
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xticks(widths, [str(H) for H in widths])
            axis.yaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.set_title(f"{cell}, {title}", fontsize=10)
        across[0].set_ylabel("µs a step")
    for axis in axes[-1]:
        axis.set_xlabel("H")
    handles = [Line2D([], [], color=colors[B], label=f"B = {B}") for B in batches]
    handles += [
        Line2D([], [], color="0.3", linestyle=line, marker=marker, markersize=4, label=label)
        for line, marker, label in CONTENDERS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(f"{record['device']['name']}, float32, T = {steps:,}, one layer, D = H", fontsize=11)
    figure.savefig(path, dpi=110, metadata={"Software": None})
