"""The points of a record's grid, and what they are measured by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cpu_speed.contenders import PEERS

LARGE = 32
"""Batches of at least so many sequences."""


def points(record: dict[str, Any], *, large: bool | None = None, **which: Any) -> Iterator[dict[str, Any]]:
    """Yield the points with these fields, a tuple for one of several; large or not by their batch."""
    for row in record["grid"]["points"]:
        if large is not None and (row["B"] >= LARGE) != large:
            continue
        if all(
            row[name] in (value if isinstance(value, tuple) else (value,)) for name, value in which.items()
        ):
            yield row


def seconds(row: dict[str, Any], name: str) -> float:
    """Return the time of a contender."""
    return float(row["times"][name]["seconds"])


def over_torch(row: dict[str, Any], own: str) -> float:
    """Return how many times as fast as PyTorch we are."""
    return seconds(row, "torch") / seconds(row, own)


def over_better(row: dict[str, Any], own: str) -> float:
    """Return how many times as fast as the better of PyTorch and JAX we are; both must be there."""
    return min(seconds(row, peer) for peer in PEERS) / seconds(row, own)


def share(row: dict[str, Any], own: str) -> float:
    """Return the share of the limit that we reach: operations over the sgemm rate, over our time."""
    return float(row["operations"] / row["sgemm"][own] / seconds(row, own))
