"""Train cases on all ranks; each rank writes the weights and the history that it ends with."""

import json
import sys
from pathlib import Path

import numpy as np
from distributed_cases import CASES, flat, hand, part, table

import rnn_xp as rx

said = json.loads(sys.argv[1])
folder = Path(said["folder"])
ranks = rx.distributed.MPI(timeout=60)
for name, how, more in said["cases"]:
    case = {**CASES, "hand": hand}[name](folder)
    if how == "sharded":
        case = part(case, ranks.rank, ranks.size, folder)
    result = case.fit(distributed=ranks, sharded=how == "sharded", **more)
    np.savez(folder / f"{name}.{how}.{ranks.rank}.npz", flat=flat(result), table=table(result))
