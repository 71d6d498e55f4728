"""A model of the seconds of a step on many ranks: what a rank computes, and the sum of the gradients.

Of n bytes and P ranks, with α seconds a message, β seconds a byte on its way and γ seconds a byte to add:

    recursive doubling    lg P (α + n β + n γ)
    Rabenseifner          2 lg P α + 2 (P - 1) / P n β + (P - 1) / P n γ
    ring                  2 (P - 1) α + 2 (P - 1) / P n β + (P - 1) / P n γ

The first two, for P a power of two: Thakur, Rabenseifner, Gropp: Optimization of collective communication
operations in MPICH, International Journal of High Performance Computing Applications 19 (2005), 49-66; of
another P, lg P is rounded up. The ring: Patarasuk, Yuan: Bandwidth optimal all-reduce algorithms for clusters
of workstations, Journal of Parallel and Distributed Computing 69 (2009), 117-124. An MPI chooses among them
by n and P; the model takes the quickest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Network(NamedTuple):
    """What a message between two ranks costs; a rank sends and receives at once, whoever else does."""

    alpha: float  # seconds a message
    beta: float  # seconds a byte


NETWORKS = {
    "10 Gbit/s, 30 µs": Network(30e-6, 8 / 10e9),
    "100 Gbit/s, 2 µs": Network(2e-6, 8 / 100e9),
}
"""Assumed, not measured: Ethernet with TCP, and InfiniBand or RoCE, one rank to a link."""

RANKS = tuple(2**power for power in range(11))
"""1 to 1,024."""


def all_reduce(ranks: int, size: float, network: Network, gamma: float) -> dict[str, float]:
    """Return the seconds of a sum of `size` bytes over ranks, by each algorithm."""
    if ranks == 1:
        return {"none": 0.0}
    alpha, beta = network
    rounds, part = math.ceil(math.log2(ranks)), (ranks - 1) / ranks
    moved = 2 * part * size * beta + part * size * gamma
    return {
        "recursive doubling": rounds * (alpha + size * beta + size * gamma),
        "Rabenseifner": 2 * rounds * alpha + moved,
        "ring": 2 * (ranks - 1) * alpha + moved,
    }


def quickest(ranks: int, size: float, network: Network, gamma: float) -> float:
    """Return the seconds of a sum by the algorithm that takes the fewest."""
    return min(all_reduce(ranks, size, network, gamma).values())


def fitted(rows: Sequence[Mapping[str, float]], way: str) -> dict[str, float]:
    """Fit seconds = alpha + beta * bytes to sums of two ranks, by relative errors; `off` is the largest."""
    sizes, seconds = (np.array([row[name] for row in rows], float) for name in ("bytes", way))
    beta, alpha = np.polyfit(sizes, seconds, 1, w=1 / seconds)
    off = np.max(np.abs((alpha + beta * sizes) / seconds - 1))
    return {"alpha": float(alpha), "beta": float(beta), "off": float(off)}


def computing(batch: float, seconds: Mapping[str, float]) -> float:
    """Return the seconds of a step of one process, between measured batches; beyond them, as their last."""
    known = sorted((int(size), own) for size, own in seconds.items())
    sizes, own = zip(*known, strict=True)
    if batch > sizes[-1]:
        return float(own[-1] * batch / sizes[-1])
    return float(np.interp(batch, sizes, own))


def largest_share(batch: int, ranks: int) -> float:
    """Return the sequences of a batch that the rank with most of them is expected to hold.

    Where every rank has a shard, each sequence of a shuffled batch is any rank's alike: a rank has a binomial
    number of them. The largest of P independent ones is k or less with probability F(k)^P; as theirs are one
    batch together, their largest is sqrt(P / (P - 1)) times as far from the mean.
    """
    if ranks == 1:
        return float(batch)
    p = 1 / ranks
    spread = 12 * math.sqrt(batch * p) + 30
    first, last = max(0, int(batch * p - spread)), min(batch, int(batch * p + spread))
    k = np.arange(first, last + 1)
    choices = [math.lgamma(batch + 1) - math.lgamma(i + 1) - math.lgamma(batch - i + 1) for i in k.tolist()]
    below = np.cumsum(np.exp(np.array(choices) + k * math.log(p) + (batch - k) * math.log1p(-p)))
    independent = first + float(np.sum(1 - np.minimum(below[:-1], 1.0) ** ranks))
    expected = batch * p + (independent - batch * p) * math.sqrt(ranks / (ranks - 1))
    return max(expected, math.ceil(batch / ranks))


def step(record: Mapping[str, Any], batch: int, ranks: int, network: Network, *, sharded: bool) -> float:
    """Return the seconds of a step of a global batch on ranks that a network joins, all of them alike."""
    own = computing(math.ceil(batch / ranks), record["batches"])
    if sharded and ranks > 1:
        own = computing(largest_share(batch, ranks), record["batches"]) * record["uneven"]
    return own + quickest(ranks, sent(record, ranks), network, record["add"])


def here(record: Mapping[str, Any], case: Mapping[str, Any]) -> float:
    """Return the seconds of a step of a case on this machine, whose β has the adding in it already."""
    own, ranks = {**record, "add": 0.0}, max(1, case["ranks"])
    return step(own, case["batch"], ranks, local(record), sharded=case["sharded"])


def local(record: Mapping[str, Any]) -> Network:
    """Return what a message costs on this machine: what two ranks measured, adding included."""
    fit = record["sums"]["2"]["fit"]["asked"]
    return Network(fit["alpha"], fit["beta"])


def sent(record: Mapping[str, Any], ranks: int) -> int:
    """Return the bytes of a step's flat buffer: gradient, loss, and a status of every rank."""
    case = next(case for case in record["cases"].values() if "bytes" in case)
    return int(case["bytes"] + 4 * (ranks - case["ranks"]))
