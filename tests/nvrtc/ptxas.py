"""What `ptxas -v` says of a kernel."""

from __future__ import annotations

import re
from typing import NamedTuple


class Usage(NamedTuple):
    """Registers of a thread; bytes of its stack; bytes stored there and loaded for want of registers."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int


def usage(log: str, kernel: str, arch: str) -> Usage:
    """Read the log of one kernel and architecture; what the kernel calls counts with it."""
    entries = re.findall(r"Compiling entry function '(\w+)' for '(\w+)'", log)
    functions = re.findall(r"Function properties for (\w+)", log)
    memory = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    registers = re.findall(r"Used (\d+) registers", log)
    if entries != [(kernel, arch)] or len(registers) != 1 or not len(memory) == len(functions) > 0:
        said = "; ".join(line for line in log.splitlines() if line.startswith("ptxas")) or "nothing"
        msg = f"ptxas must say what {kernel} uses on {arch}; it said {said}."
        raise ValueError(msg)
    return Usage(int(registers[0]), *[sum(map(int, each)) for each in zip(*memory, strict=True)])
