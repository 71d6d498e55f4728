"""The peak of one training step, in a new process.

python -m cpu_speed.peak LIBRARY '{"cell": "LSTM", "T": 100, ...}'
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
import sys
from importlib import import_module
from pathlib import Path


def resident(field: str) -> int:
    """Return the bytes in memory: VmRSS now, VmHWM at most."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return 1024 * int(found[1])


def settle() -> None:
    """Give back to the system what is free, so that the step cannot use it again unseen; forget the peak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def main() -> None:
    """Measure a first step, after one of a small layer, which sets up what is set up once."""
    library, spec = sys.argv[1], json.loads(sys.argv[2])
    module = import_module(f"cpu_speed.by_{library}")
    module.start()
    ahead = {"ahead": True} if library == "jax" else {}  # compiling takes memory of its own
    module.JOBS["layer"](**spec | {"T": 3, "B": 2, "D": 4, "H": 8}, **ahead).calls["train"]()
    train = module.JOBS["layer"](**spec, **ahead).calls["train"]
    settle()
    before = resident("VmRSS")
    train()
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    main()
