"""The record of `scaling.py` as tables for a page."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from scaling_mpi import cost

Record = Mapping[str, Any]

MODEL_RANKS = (2, 8, 32, 128, 1024)
"""The columns of the model's table."""

PARTS = ("computing", "waiting", "sum")

STRONG = 4096
"""The global batch that the model divides."""


ABSENT = [
    "Not yet measured: `python benchmarks/scaling.py --out benchmarks/results/scaling.json` puts a run on "
    "record, and `python benchmarks/report.py` puts it here.",
]
"""What stands where there is no record."""


def table(record: Record, picture: str | None = None) -> list[str]:
    """Return the lines of the page: what was measured, what sums cost, what the model says of more ranks."""
    shown = (
        []
        if picture is None
        else [f"![speed against ranks: the model, and what was measured]({picture})", ""]
    )
    return [*measured(record), "", *sums(record), "", *shown, *model(record)]


def in_short(record: Record) -> list[str]:
    """Return the lines of the front page."""
    told = [
        f"{case['ranks']} ranks train {median(case['times_as_fast']):.2f} times as fast as one process"
        for name, case in record["cases"].items()
        if name.startswith("strong") and not case["sharded"]
    ]
    label, network = next(iter(cost.NETWORKS.items()))
    whole, sharded = (efficiency(record, 1024, network, sharded=own) for own in (False, True))
    return [
        f"An LSTM ({shape(record)}, batch {record['batch']}), one BLAS thread a rank: {'; '.join(told)}. A "
        f"model made of what was measured says that 1,024 ranks of {record['batch']} sequences each, over "
        f"{label} a message, keep {whole:.0%} of their speed alone, {sharded:.0%} with a shard each."
    ]


def measured(record: Record) -> list[str]:
    """Return the cases, and what the model says of them."""
    lines = [
        f"LSTM ({shape(record)}), float32, Adam; {record['cores']} cores, one BLAS thread a rank. "
        f"{elsewhere(record)}",
        "",
        "| ranks | batch | a step, ms | computing | waiting | the sum | sequences a second | model, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in record["cases"].items():
        parts = [f"{1000 * case[part]:.2f}" if part in case else "" for part in PARTS]
        own = case["times_as_fast"]
        times = "" if name == "one process" else f", {median(own):.2f} × ({min(own):.2f} to {max(own):.2f})"
        predicted = f"{1000 * cost.here(record, case):.1f}" if case["threads"] == 1 else ""
        row = [
            *(name, str(case["batch"]), f"{1000 * case['step']:.1f}", *parts),
            *(f"{case['batch'] / case['step']:,.0f}{times}", predicted),
        ]
        lines.append(f"| {' | '.join(row)} |")
    return [
        *lines,
        "",
        "Strong: a batch is divided; weak: every rank has as much as the one process. Sharded: the data are "
        "divided, and a rank computes what a shuffled batch finds in its part. ×: times as fast as one "
        "process, median of the rounds (least to most). Computing, waiting for others and the sum are means "
        "over ranks, of trainings in which the ranks meet before every sum.",
    ]


def sums(record: Record) -> list[str]:
    """Return what sums cost on this machine, by size and ranks, beside the model of more than two."""
    counts, fit = list(record["sums"]), record["sums"]["2"]["fit"]
    cores = record["cores"]
    above = [f"{count} ranks{f' on {cores}' * (int(count) > cores)}" for count in counts]
    lines = [
        f"| a sum, µs | {' | '.join(f'{each} | by MPI alone | model' for each in above)} |",
        f"|---|{'---|---|---|' * len(counts)}",
    ]
    for place, size in enumerate(row["bytes"] for row in record["sums"]["2"]["rows"]):
        cells = [f"{int(size):,} bytes"]
        for count in counts:
            row = record["sums"][count]["rows"][place]
            predicted = cost.quickest(int(count), size, cost.local(record), 0.0)
            cells += [f"{1e6 * seconds:,.0f}" for seconds in (row["asked"], row["blocking"], predicted)]
        lines.append(f"| {' | '.join(cells)} |")
    own, alone = fit["asked"], fit["blocking"]
    return [
        *lines,
        "",
        f"Of two ranks: {line(own)}; by MPI's call that blocks, which would wait for a dead rank for ever, "
        f"{line(alone)}. Ranks that share a core take turns, which the model does not know.",
    ]


def line(fit: Mapping[str, float]) -> str:
    """Return a line through sums in words."""
    return (
        f"{1e6 * fit['alpha']:.1f} µs and {1 / fit['beta'] / 1e9:.2f} GB/s (the worst point is off by "
        f"{fit['off']:.0%})"
    )


def model(record: Record) -> list[str]:
    """Return what the model says of more ranks than there are here."""
    lines = [
        f"| ranks | {' | '.join(f'{ranks:,}' for ranks in MODEL_RANKS)} |",
        f"|---|{'---|' * len(MODEL_RANKS)}",
    ]
    batch = record["batch"]
    for label, network in cost.NETWORKS.items():
        for sharded in (False, True):
            kept = [f"{efficiency(record, ranks, network, sharded=sharded):.0%}" for ranks in MODEL_RANKS]
            words = f"weak, {batch} each{', sharded' * sharded}, {label}: efficiency"
            lines.append(f"| {words} | {' | '.join(kept)} |")
    for label, network in cost.NETWORKS.items():
        times = [f"{faster(record, ranks, network):,.0f}" for ranks in MODEL_RANKS]
        lines.append(f"| strong, batch {STRONG:,}, {label}: times as fast | {' | '.join(times)} |")
    return [
        *lines,
        "",
        "A model, not a measurement: a step is what one process takes for the rank's share of the batch "
        "(measured), and the quickest of three ways to sum over a network of so many bits a second and µs a "
        "message (assumed). Ranks are alike and have a link each, sequences are equally long, and nothing "
        f"overlaps. Sharded: the largest of the ranks' binomial shares, for whose uneven sizes BLAS takes "
        f"{record['uneven']:.2f} times as long (measured). The formulas and their sources: "
        "`benchmarks/scaling_mpi/cost.py`.",
    ]


def efficiency(record: Record, ranks: int, network: cost.Network, *, sharded: bool) -> float:
    """Return the speed of ranks with a batch each as a part of what they would reach alone."""
    batch = record["batch"]
    alone = cost.computing(batch, record["batches"])
    return alone / cost.step(record, batch * ranks, ranks, network, sharded=sharded)


def faster(record: Record, ranks: int, network: cost.Network, batch: int = STRONG) -> float:
    """Return how many times as fast as one process ranks take a step of one batch."""
    alone = cost.computing(batch, record["batches"])
    return alone / cost.step(record, batch, ranks, network, sharded=False)


def shape(record: Record) -> str:
    """Return the sizes in words."""
    return ", ".join(f"{name} {record[name]}" for name in "TDH")


def elsewhere(record: Record) -> str:
    """Say how busy other programs were meanwhile."""
    known = [each for case in record["cases"].values() for each in case["elsewhere"] if each is not None]
    if not known:
        return "Whether other programs ran is not known."
    return f"Other programs kept {median(known):.2f} cores busy meanwhile, {max(known):.2f} at worst."
