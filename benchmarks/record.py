"""What every record of a benchmark says besides its numbers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def summary(seconds: dict[str, list[float]], base: str) -> dict[str, Any]:
    """Return all timings, their medians, and the medians over that of `base`."""
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "seconds": seconds,
        "medians": medians,
        "ratios": {name: value / medians[base] for name, value in medians.items()},
        "base": base,
    }


def write(path: str | None, benchmark: str, packages: list[str], results: dict[str, Any]) -> None:
    """Write the results as JSON, with machine, versions, date and commit; None writes nothing."""
    if path is None:
        return
    record = {
        "benchmark": benchmark,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain", "--", "rnn_xp", "benchmarks/*.py")),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in packages},
        **results,
    }
    Path(path).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _version(package: str) -> str | None:
    if package == "rnn_xp":  # from its own mouth: it need not be installed
        import rnn_xp

        return rnn_xp.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
