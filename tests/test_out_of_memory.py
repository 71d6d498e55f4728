"""Out of memory: the message, and that what it advises does fit."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnn_xp.train import memory
from rnn_xp.train.memory import explain, host_memory


class TenNumbers:
    """A layer that keeps ten numbers a step and sequence."""

    def kept_bytes(self, steps: int, batch: int, itemsize: int) -> int:
        return 10 * steps * batch * itemsize


def words(free: int | None, batch: int = 100, **options: Any) -> str:
    error = MemoryError("Unable to allocate 3.05 GiB")
    layer: Any = TenNumbers()
    return str(explain(error, layer, 1000, batch, 4, free, **options))


START = "out of memory (Unable to allocate 3.05 GiB): a batch of 100 sequences of 1000 steps takes about 4 MB"
RECOMPUTE = "recompute=True, which keeps about sqrt(T) steps."


def test_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is free 0.8 may be taken: 1e6 bytes are 20 sequences of 40,000."""
    assert words(1_000_000) == f"{START}; 1 MB are free. Take batch_size=20, which should fit, or {RECOMPUTE}"
    assert words(1_000_000, way_out="") == f"{START}; 1 MB are free. Take batch_size=20, which should fit."
    few = f"{START}; 0.05 MB are free, too few for a single sequence"
    assert words(49_999) == f"{few}. Take {RECOMPUTE}"
    assert words(49_999, way_out="") == f"{few}."
    assert "batch_size=99, which should fit" in words(10**12)  # never the batch that did not
    monkeypatch.setattr(memory, "host_memory", lambda: None)  # it is not known
    assert words(None) == f"{START}. Take a smaller batch_size, or {RECOMPUTE}"
    one = START.replace("100 sequences", "1 sequences").replace("4 MB", "0.04 MB")
    assert words(None, batch=1) == f"{one}. Take {RECOMPUTE}"


def test_frames_are_cleared() -> None:
    held: list[Any] = []

    class Large:
        def __del__(self) -> None:
            held.append("freed")

    def fail() -> None:
        large = Large()  # noqa: F841
        raise MemoryError

    try:
        fail()
    except MemoryError as error:
        assert held == []
        layer: Any = TenNumbers()
        explain(error, layer, 1, 2, 4, 0)
    assert held == ["freed"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  500 kB\n"}, 512_000),
        ({"/sys/fs/cgroup/memory.max": "max\n", "/sys/fs/cgroup/memory.current": "10\n"}, None),
        (
            {
                "/proc/meminfo": "MemAvailable: 500 kB\n",
                "/sys/fs/cgroup/memory.max": "9000\n",
                "/sys/fs/cgroup/memory.current": "5000\n",
                "/sys/fs/cgroup/memory.stat": "anon 4000\ninactive_file 300\nactive_file 200\n",
            },
            4300,
        ),
        (
            {
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9000\n",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes": "9500\n",
            },
            0,
        ),
    ],
)
def test_what_the_host_has(
    files: dict[str, str], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_read", lambda path: files.get(path, ""))
    assert host_memory() == expected


def test_a_file_that_is_not_there() -> None:
    assert memory._read("/proc/no such file") == ""


PROGRAM = """
import resource, sys
import numpy as np
import rnn_xp as rx

model = rx.Sequential(rx.LSTM(2, 64, bidirectional=True), rx.LastStep(), rx.Linear(128, 2))
params = model.init(rx.get_backend("numpy"))
X, y = np.zeros((128, CHUNK, 2), np.float32), np.zeros(128, dtype=int)


def use(batch_size):
    USE


use(1)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 200_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    use(128)
except MemoryError as error:
    print(error)
    assert error.__cause__ is None and error.__suppress_context__
    advised = int(str(error).partition("batch_size=")[2].partition(",")[0])
else:
    sys.exit("it fitted")
use(advised)
print("fits")
"""
USES = {
    "fit": "rx.fit(model, X[:batch_size], y[:batch_size], params=params, batch_size=batch_size, epochs=1, "
    "verbose=False, backend='numpy')",
    "predict": "rx.predict(model, params, X[:batch_size], batch_size=batch_size)",
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a limit and a size that Linux knows")
@pytest.mark.parametrize("use", USES)
def test_what_it_advises_fits(use: str) -> None:
    """In a process that may take 200 MB more; below the steps that predict recomputes from."""
    chunk = str(importlib.import_module("rnn_xp.train.predict").CHUNK)
    program = PROGRAM.replace("CHUNK", chunk).replace("USE", USES[use])
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told, fits = ran.stdout.strip().rsplit("\n", 1)
    assert fits == "fits"
    assert re.fullmatch(
        r"out of memory \(.+\): a batch of 128 sequences of 1024 steps takes about \d+ MB; \d+ MB are free\. "
        r"Take batch_size=\d+, which should fit(, or recompute=True.*)?\.",
        told,
    )
