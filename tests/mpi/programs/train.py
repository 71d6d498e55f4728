"""Train one case with a checkpoint, slowly at will; each rank writes its number, and how it ends."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from distributed_cases import CASES, flat, part

import rnn_xp as rx

said = json.loads(sys.argv[1])
folder = Path(said["folder"])
ranks = rx.distributed.MPI(timeout=said.get("timeout", 60))
begun = time.monotonic()


def write(name: str, text: str) -> None:
    """Write a file of this rank, whole."""
    (folder / f"{name}.part{ranks.rank}").write_text(text)
    (folder / f"{name}.part{ranks.rank}").replace(folder / f"{name}.{ranks.rank}")


def trouble() -> None:
    """Have this rank do what it is told to, in the middle of a step."""
    if ranks.rank == said.get("rank") and (folder / "now").exists():
        (folder / "now").unlink()
        write("began", "")
        if said["trouble"] == "sleeps":
            time.sleep(1000)


def schedule(step: int) -> float:
    """Return 1, in some time."""
    trouble()
    if time.monotonic() - begun > 0.05:  # not while `fit` looks at some values of it
        time.sleep(said.get("pause", 0.0))
    return 1.0


write("pid", str(os.getpid()))
case = CASES[said["case"]](folder)
sharded = said.get("how") == "sharded"
if sharded:
    case = part(case, ranks.rank, ranks.size, folder)
more: dict[str, Any] = {"checkpoint": folder / "checkpoint", "save_every": 0, **said.get("more", {})}
try:
    result = case.fit(distributed=ranks, sharded=sharded, schedule=schedule, **more)
except BaseException as error:
    write("error", f"{type(error).__name__}: {error}")
    raise
np.save(folder / f"weights.{ranks.rank}.npy", flat(result))
write("end", "")
