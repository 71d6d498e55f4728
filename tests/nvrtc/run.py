"""Compile every kernel of the cupy engine with NVRTC, and see that none spills registers. It needs no GPU.

    python tests/nvrtc/run.py
    python tests/nvrtc/run.py --out benchmarks/results/nvrtc.json
    python tests/nvrtc/run.py --option=--maxrregcount=24    must fail: so few registers are too few

Every cell runs forward and back, on CuPy's arrays over host memory, in both dtypes, without and with lengths.
What it would launch is compiled by CuPy's own code with CuPy's own options, twice: CuPy counts in 32 bits, or
in 64 where planes lie in arrays of more than 2 GiB. A row of the table is a cell; below an architecture and
these bits stand the registers of the kernel that uses most. The status is 1 where a kernel spills, where CuPy
would refuse one, and where a kernel, or what the compiler says of it, is missing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[1:1] = [str(ROOT / "tests"), str(ROOT / "benchmarks"), str(ROOT)]

from cupy.cuda import nvrtc  # noqa: E402
from ptxas import Usage, usage  # noqa: E402
from record import header, sources_hash, store, unfit  # noqa: E402
from sources import INDEX_BITS, Source, compiled, sources  # noqa: E402
from support import MAKERS  # noqa: E402

ARCHS = ("sm_80", "sm_90", "sm_100")
KINDS = {"forward", "backward", "hold", "release"}  # how the names of kernels end
PACKAGES = ["rnn_xp", "numpy", "cupy-cuda13x", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime"]


def kernels(name: str, dtype: str, problems: list[str]) -> list[Source]:
    """Return the kernels of a cell; note what is wrong with them."""
    try:
        found = sources(MAKERS[name](2, 5), dtype)
    except ValueError as error:
        problems.append(f"{name} {dtype}: {error}")
        return []
    missing = KINDS - {source.kernel.rpartition("_")[2] for source in found}
    problems += [f"{name} {dtype}: there is no {kind} kernel" for kind in sorted(missing)]
    return found


def measured(source: Source, arch: str, options: list[str], problems: list[str]) -> Usage | None:
    """Return what a kernel uses; note what is wrong with that."""
    try:
        used = usage(compiled(source.code, arch, options), source.kernel, arch)
    except ValueError as error:
        problems.append(str(error))
        return None
    if used.spill_stores or used.spill_loads:
        what = f"{source.kernel} {source.dtype}, {source.planes} planes, {source.index_bits} bits, {arch}"
        problems.append(
            f"{what}: {used.spill_stores} bytes spill stores, {used.spill_loads} bytes spill loads"
        )
    return used


def row(
    name: str, dtype: str, found: list[Source], uses: dict[tuple[Source, str], Usage | None]
) -> dict[str, Any]:
    """Return what is told of a cell."""
    registers = {}
    for bits in INDEX_BITS:
        for arch in ARCHS:
            column = [uses[source, arch] for source in found if source.index_bits == bits]
            registers[f"{arch}, {bits}"] = max((used.registers for used in column if used), default=None)
    own = [used for (source, _), used in uses.items() if used and source in found]
    return {
        "cell": name,
        "dtype": dtype,
        "kernels": len(found),
        "registers": registers,
        "stack": max((used.stack for used in own), default=None),
        "spilled": sum(used.spill_stores + used.spill_loads for used in own) if own else None,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text."""
    heads = ["kernels", *rows[0]["registers"], "stack", "spilled"]
    lines = [" " * 26 + "".join(f"{head:>12}" for head in heads)]
    for each in rows:
        numbers = [each["kernels"], *each["registers"].values(), each["stack"], each["spilled"]]
        lines.append(f"{each['cell']:18}{each['dtype']:8}" + "".join(f"{number!s:>12}" for number in numbers))
    return "\n".join(lines)


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="a file for the record, as JSON")
    parser.add_argument("--option", action="append", default=[], help="one more option for NVRTC")
    options = parser.parse_args()
    if options.out and (what := unfit(options.out)):
        parser.error(f"--out {what}; got {options.out}")
    try:
        nvrtc.getVersion()
    except RuntimeError as error:  # CuPy loads the library only now
        first, *_ = str(error).splitlines()
        sys.stderr.write(f"NVRTC cannot be loaded: {first}. Install it: pip install -e '.[nvrtc]'\n")
        return 1

    began = time.monotonic()
    problems: list[str] = []
    cells = {
        (name, dtype): kernels(name, dtype, problems) for name in MAKERS for dtype in ("float32", "float64")
    }
    distinct = dict.fromkeys(source for found in cells.values() for source in found)
    uses = {
        (source, arch): measured(source, arch, options.option, problems)
        for source in distinct
        for arch in ARCHS
    }
    rows = [row(*cell, found, uses) for cell, found in cells.items()]
    seconds = round(time.monotonic() - began)

    sys.stdout.write(f"{table(rows)}\n\n{len(distinct)} kernels for {', '.join(ARCHS)}, {seconds} s\n")
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    if options.out:
        found = {"options": options.option, "kernels": len(distinct), "problems": problems, "cells": rows}
        about = {"sources_hash": sources_hash(), "seconds": seconds}
        store(options.out, {**header("nvrtc", PACKAGES), **about, **found})
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
