"""The record of `cpu.py` as tables for a page: the grid, and the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from gpu.damage import DamagedError

from cpu_speed import criteria, tables
from cpu_speed.contenders import KINDS, OURS, PEERS, kernels
from cpu_speed.criteria import Criterion
from cpu_speed.points import over_better, over_torch, points, seconds, share
from cpu_speed.sizes import MODES
from cpu_speed.turns import geometric_mean

ABSENT = [
    "Not yet measured: `python benchmarks/cpu.py --out benchmarks/results/cpu.json` puts a run on record, "
    "and `python benchmarks/report.py` puts it here.",
]
"""What stands where there is no record."""


def check(record: Any) -> dict[str, Any]:
    """Return `record` if it is one that a page can be made of."""
    if not isinstance(record, dict) or record.get("benchmark") != "cpu":
        msg = "it is no record of benchmarks/cpu.py"
        raise DamagedError(msg)
    if record.get("dry_run"):
        msg = "it is of a dry run, which measures nothing: run benchmarks/cpu.py without --dry-run"
        raise DamagedError(msg)
    return record


def summary(record: dict[str, Any], folder: str) -> list[str]:
    """Return the lines for a page; `folder` holds the picture, and the page with all the rest."""
    check(record)
    parts = [warnings(record), whose(record), means(record, OURS[:1])]
    if measured(record, "grid"):
        parts.append(
            [picture("share of the machine's sgemm rate, against the work of a step", folder, "cpu")]
        )
    parts += [behind(record), *[part(record) for part in tables.PARTS]]
    parts.append([f"[Every point of this run]({folder}cpu.md), and what it misses of the goals."])
    return joined(parts)


def in_short(record: dict[str, Any]) -> list[str]:
    """Return the lines of the front page: the means, and where a peer is ahead."""
    check(record)
    return joined([warnings(record), whose(record), means(record, OURS[:1]), behind(record)])


def page(record: dict[str, Any]) -> list[str]:
    """Return the lines of a page that holds everything; the pictures stand beside it."""
    check(record)
    parts = [warnings(record), whose(record), targets(record), means(record, OURS)]
    parts += [grid(record, mode, threads) for threads in (1, 2) for mode in MODES]
    parts.append(behind(record))
    if measured(record, "grid"):
        parts.append([picture("share of the machine's sgemm rate, against the work of a step", "", "cpu")])
    parts += [part(record) for part in tables.PARTS]
    if measured(record, "scaling"):
        parts.append([picture("time of a training step against T and B", "", "cpu_scaling")])
    return joined(parts)


def picture(what: str, folder: str, name: str) -> str:
    """Return a picture in Markdown."""
    return f"![{what}]({folder}{name}.png)"


def joined(parts: list[list[str]]) -> list[str]:
    """Return the parts that there are, with an empty line between two."""
    return [line for part in parts if part for line in (*part, "")][:-1]


def measured(record: dict[str, Any], part: str) -> bool:
    """Return whether a part has points."""
    own = record.get(part, {})
    return bool(own.get("points") or own.get("T"))


def there(record: dict[str, Any]) -> list[str]:
    """Return who took part in the grid."""
    rows = list(points(record))
    return [name for name in (*OURS, *PEERS) if all(name in row["times"] for row in rows)]


def warnings(record: dict[str, Any]) -> list[str]:
    """Say what the reader must know before the numbers."""
    found = []
    if not record["complete"]:
        found.append("**incomplete**: the run was interrupted, and what it had not reached is missing here.")
    if record["failures"]:
        first = record["failures"][0].replace("|", "/")[:200]
        found.append(f"**failed**: {len(record['failures'])} of its points; the first: {first}")
    left_out = {**record["left_out"], **{KINDS[name].label: why for name, why in record["absent"].items()}}
    found += [f"Not measured: {name}: {why}." for name, why in left_out.items()]
    return [line for each in found for line in (each, "")][:-1]


def whose(record: dict[str, Any]) -> list[str]:
    """Say who computes, and how fast the machine multiplies."""
    if not measured(record, "grid"):
        return []
    told = []
    for name in there(record):
        rates = [row["sgemm"][name] for row in points(record, threads=1) if name in row["sgemm"]]
        own = kernels(record["contenders"][name])
        if rates:
            by = f", OpenBLAS's {own} kernels" if own else ""
            told.append(f"{KINDS[name].label} {median(rates) / 1e9:.0f} GFLOP/s{by}")
    most = max(own["cores"] for row in points(record, threads=1) for own in row["times"].values())
    return [
        "Float32, one layer, every contender in a process of its own, in turns, answers compared first. "
        f"With one thread nobody kept more than {most:.2f} cores busy. sgemm with one thread, the limit: "
        f"{'; '.join(told)}."
    ]


def means(record: dict[str, Any], ours: Sequence[str]) -> list[str]:
    """The geometric means and the worst points."""
    if not measured(record, "grid"):
        return []
    table = [
        "| times as fast: geometric mean (worst point) | as PyTorch | as PyTorch, B >= 32 | as the better of "
        "PyTorch and JAX | the same, B >= 32 |",
        "|---|---|---|---|---|",
    ]
    for threads in sorted({row["threads"] for row in points(record)}):
        for mode in MODES:
            for own in ours:
                if own not in there(record):
                    continue
                cells = [
                    spread(record, ratio, own, mode=mode, threads=threads, large=large)
                    for ratio in (over_torch, over_better)
                    for large in (None, True)
                ]
                title = {"train": "training", "inference": "inference"}[mode]
                head = f"{title}, {threads} thread{'s' * (threads > 1)}, {KINDS[own].label}"
                table.append(f"| {head} | {' | '.join(cells)} |")
    return table


def spread(record: dict[str, Any], ratio: Callable[..., float], own: str, **which: Any) -> str:
    """Write the geometric mean of a ratio over some points, and the worst."""
    try:
        found = [ratio(row, own) for row in points(record, **which)]
    except KeyError:
        return "–"
    return f"{geometric_mean(found):.2f} ({min(found):.2f})" if found else "–"


def grid(record: dict[str, Any], mode: str, threads: int) -> list[str]:
    """The points of a mode: times, ratios, and the share of the limit."""
    rows = list(points(record, mode=mode, threads=threads)) if measured(record, "grid") else []
    if not rows:
        return []
    names = there(record)
    own = [name for name in OURS if name in names]
    title = {"train": "training", "inference": "inference"}[mode]
    head = [
        f"{title}, {threads} thread{'s' * (threads > 1)}, ms",
        "T, B, D, H",
        *[KINDS[n].label for n in names],
    ]
    ratios = {"PyTorch / ours": over_torch, "better / ours": over_better, "of the limit": share}
    table = [f"| {' | '.join([*head, *ratios])} |", "|---" * (len(head) + len(ratios)) + "|"]
    for row in rows:
        cells = [row["cell"], f"{row['T']}, {row['B']}, {row['D']}, {row['H']}"]
        cells += [milliseconds(seconds(row, name)) for name in names]
        for label, ratio in ratios.items():
            form = "{:.0%}" if label == "of the limit" else "{:.2f}"
            cells.append(" / ".join(value(ratio, row, name, form) for name in own))
        table.append(f"| {' | '.join(cells)} |")
    if len(own) > 1:
        table += ["", f"Two numbers in a cell: {' / '.join(KINDS[name].label for name in own)}."]
    return table


def value(ratio: Callable[..., float], row: dict[str, Any], own: str, form: str) -> str:
    """Write a ratio, or that there is none."""
    try:
        return form.format(ratio(row, own))
    except KeyError:
        return "–"


def behind(record: dict[str, Any]) -> list[str]:
    """Say where a peer stays ahead of this package as it is here."""
    if not measured(record, "grid"):
        return []
    rows, told = list(points(record, mode="train", threads=1)), []
    for peer in [name for name in PEERS if name in there(record)]:
        ahead = [(row["B"] == 1, seconds(row, "rnn_xp") / seconds(row, peer)) for row in rows]
        ahead = [(one, ratio) for one, ratio in ahead if ratio > 1]
        told += [f"{KINDS[peer].label} is ahead of rnn_xp at {len(ahead)} of {len(rows)} points"] * bool(
            ahead
        )
        for label, batch in (("of batch 1", True), ("of larger batches", False)):
            ratios = [ratio for one, ratio in ahead if one == batch]
            if ratios:
                most = f" to {max(ratios):.2f}" if len(ratios) > 1 else ""
                told[-1] += f", {len(ratios)} {label} by {min(ratios):.2f}{most}"
    why = "At batch 1 calls from Python cost more than the work that they ask for; a jitted scan makes none."
    return [" ".join([*(f"{each}." for each in told), why])] if told else []


def targets(record: dict[str, Any]) -> list[str]:
    """Each target, and whether it is met."""
    found: dict[tuple[int, str], dict[str, Criterion]] = {}
    for each in record.get("criteria", []):
        found.setdefault((each["target"], each["what"]), {})[each["contender"]] = each
    own = [name for name in OURS if any(name in each for each in found.values())]
    heads = " | ".join(KINDS[name].label for name in own)
    table = [f"| target | | asked for | {heads} |", "|---|---|---|" + "---|" * len(own)]
    for (target, what), by in sorted(found.items(), key=lambda item: item[0][0]):
        asked = criteria.bound(next(iter(by.values())))
        table.append(f"| {target} | {what} | {asked} | {' | '.join(met(by.get(name)) for name in own)} |")
    return table if own else []


def met(each: Criterion | None) -> str:
    """Write what was measured, and whether that is enough."""
    if each is None:
        return ""
    if each["value"] is None:
        return "not measured"
    return f"{each['value']:.3g}, {'met' if each['met'] else '**missed**'}"


def milliseconds(value: float) -> str:
    """Write seconds as ms, three digits."""
    return f"{1000 * value:,.0f}" if value >= 0.1 else f"{1000 * value:.3g}"
