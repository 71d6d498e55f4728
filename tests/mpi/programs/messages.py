"""Measure what a message costs between the first two ranks, and a sum over all."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

import rnn_xp as rx

said = json.loads(sys.argv[1])
world = MPI.COMM_WORLD
told = {}


def there(size: int, times: int) -> float:
    """Return the seconds of a message one way, the median."""
    data, seconds = np.zeros(size, dtype=np.uint8), []
    for _ in range(times):
        begin = time.perf_counter()
        if world.rank == 0:
            world.Send(data, 1)
            world.Recv(data, 1)
        elif world.rank == 1:
            world.Recv(data, 0)
            world.Send(data, 0)
        seconds.append((time.perf_counter() - begin) / 2)
    return float(np.median(seconds))


def summed(size: int, times: int) -> float:
    """Return the seconds of a sum of so many numbers over all ranks, the median."""
    ranks, array, seconds = rx.distributed.MPI(), np.ones(size), []
    for _ in range(times):
        ranks.barrier()
        begin = time.perf_counter()
        ranks.sum(array)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


told["latency"] = there(8, 1000)
told["bandwidth"] = 2**23 / there(2**23, 20)
told["sum of 1,000"] = summed(1000, 300)
told["sum of 1,000,000"] = summed(1_000_000, 20)
if world.rank == 0:
    (Path(said["folder"]) / "messages.json").write_text(json.dumps(told))
