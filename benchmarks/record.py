"""What every record of a benchmark says besides its numbers."""

from __future__ import annotations

import hashlib
import json
import math
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

GPU_SOURCES = (
    "rnn_xp/engines/*.py",
    "rnn_xp/cells/*.py",
    "rnn_xp/functional.py",
    "rnn_xp/sequence/*.py",
    "rnn_xp/layers/recurrent.py",
)
"""What decides how a GPU computes: a record is stale when one of these files has changed since."""


def summary(seconds: dict[str, list[float]], base: str) -> dict[str, Any]:
    """Return all timings, their medians, and the medians over that of `base`."""
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "seconds": seconds,
        "medians": medians,
        "ratios": {name: value / medians[base] for name, value in medians.items()},
        "base": base,
    }


def header(benchmark: str, packages: list[str], commit: str | None = None) -> dict[str, Any]:
    """Return what a record begins with; `commit` is that of a checkout without git."""
    changes = _git("status", "--porcelain", "--", "rnn_xp", "benchmarks/*.py", "benchmarks/*/*.py")
    return {
        "benchmark": benchmark,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or _git("rev-parse", "HEAD"),
        "changed_since": None if changes is None else bool(changes),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.system()},
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in packages},
    }


def write(path: str | None, benchmark: str, packages: list[str], results: dict[str, Any]) -> None:
    """Write the results as JSON, with machine, versions, date and commit; None writes nothing."""
    if path is None:
        return
    record = {**header(benchmark, packages), **results}
    Path(path).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def store(path: Path, record: dict[str, Any]) -> None:
    """Write a record whole or not at all; a number that is not finite as its name, which JSON has not."""
    path = path.resolve()  # a link stays one
    part = _part(path)
    try:
        part.write_text(_lines(_plain(record)) + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def unfit(path: Path) -> str | None:
    """Say what a path must be so that `store` can write there and replaces a record only; None if it is."""
    folder, part = path.resolve().parent, _part(path.resolve())
    if not folder.is_dir():
        return "must name a file in a folder that is there"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "must be in a folder that can be written to"
    there = [each for each in (path, part) if each.exists()]
    if not all(each.is_file() for each in there):
        return f"must name a file, or nothing yet, and so must {part.name} beside it"
    if not all(os.access(each, os.W_OK) for each in there):
        return f"must name a file that can be written to, and so must {part.name} beside it"
    return None


def stale(record: dict[str, Any], now: str) -> str | None:
    """Say that a record is older than the sources, whose hash is `now`; None if it is not."""
    if record["sources_hash"] == now:
        return None
    commit = f"commit {record['commit'][:12]}" if record["commit"] else "no commit known"
    made = f"{record['date'][:10]}, {commit}"
    return f"**stale**: the sources of the GPU engines have changed since this record ({made})."


def sources_hash(root: Path = ROOT) -> str:
    """Return the SHA-256 of the sources of the GPU engines, by their names and texts."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in GPU_SOURCES for path in root.glob(pattern)):
        text = path.read_text(encoding="utf-8")  # as text: line ends differ from system to system
        digest.update(f"{path.relative_to(root).as_posix()}\0{text}\0".encode())
    return digest.hexdigest()


def _part(path: Path) -> Path:
    """Return where a record is written before it takes its place."""
    return path.with_name(f"{path.name}.part")


def _lines(value: Any, indent: str = "") -> str:
    """Write JSON with a line for all that fits in one."""
    line = json.dumps(value, allow_nan=False)
    if not isinstance(value, dict | list) or len(indent) + len(line) <= 110:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(each, inner)}" for key, each in value.items()]
    else:
        parts = [_lines(each, inner) for each in value]
    body = f",\n{inner}".join(parts)
    start, end = "{}" if isinstance(value, dict) else "[]"
    return f"{start}\n{inner}{body}\n{indent}{end}"


def _plain(value: Any) -> Any:
    """Return what JSON can hold; numbers of six digits."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else repr(value)
    return value


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
    if not (ROOT / ".git").exists():  # a folder above may belong to another repository
        return None
    try:
        result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
