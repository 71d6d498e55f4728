"""Out of memory: the message, and that what it advises does fit."""

from __future__ import annotations

import gc
import importlib
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.layers.stack import Stack
from rnn_xp.train.faults import memory
from rnn_xp.train.faults.memory import explain, host_memory


class TenNumbers:
    """A layer that keeps ten numbers a step and sequence."""

    def kept_bytes(self, steps: int, batch: int, itemsize: int) -> int:
        return 10 * steps * batch * itemsize


def words(free: int | None, batch: int = 100, **options: Any) -> str:
    error = MemoryError("Unable to allocate 3.05 GiB")
    layer: Any = TenNumbers()
    return str(explain(error, layer, 1000, batch, 4, lambda: free, **options))


START = "out of memory (Unable to allocate 3.05 GiB): a batch of 100 sequences of 1000 steps takes about 4 MB"
RECOMPUTE = "recompute=True, which keeps about sqrt(T) steps."


def test_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is free 0.6 may be taken: 1e6 bytes are 15 sequences of 40,000."""
    assert words(1_000_000) == f"{START}; 1 MB are free. Take batch_size=15, which should fit, or {RECOMPUTE}"
    assert words(1_000_000, way_out="") == f"{START}; 1 MB are free. Take batch_size=15, which should fit."
    few = f"{START}; 0.0666 MB are free, too few for a single sequence"
    assert words(66_600) == f"{few}. Take {RECOMPUTE}"
    assert words(66_600, way_out="") == f"{few}."
    assert "batch_size=99, which should fit" in words(10**12)  # never the batch that did not
    monkeypatch.setattr(memory, "host_memory", lambda: None)  # it is not known
    assert words(None) == f"{START}. Take a smaller batch_size, or {RECOMPUTE}"
    one = START.replace("100 sequences", "1 sequences").replace("4 MB", "0.04 MB")
    assert words(None, batch=1) == f"{one}. Take {RECOMPUTE}"


def test_the_last_batch_lies_beside_the_others() -> None:
    """15 fit at once. Of 100, batches of 15, 14, 13, 12 and 11 leave 10, 2, 9, 4 and 1 for the last."""
    found = [re.findall(r"batch_size=(\d+)", words(1_000_000, count=count)) for count in (100, 15, 16, 31)]
    assert found == [["11"], ["15"], ["8"], ["10"]]


def test_steps_that_are_computed_again_already() -> None:
    start = "out of memory (Unable to allocate 3.05 GiB): a batch of 100 sequences of 1000 steps does not fit"
    assert words(10**6, recompute=True) == (
        f"{start}, though steps are computed again; 1 MB are free. Take a smaller batch_size."
    )
    assert words(10**6, batch=1, recompute=True).endswith("computed again; 1 MB are free.")


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
        explain(error, layer, 1, 2, 4, lambda: len(held))
        free = len(held)  # measured after that
    assert held == ["freed"]
    assert free == 1


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


MODEL = rx.Sequential(rx.GRU(1, 4), rx.Linear(4, 2))
X, Y = np.zeros((7, 6, 1)), np.zeros((7, 6), dtype=int)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the memory run out at batches of one sequence; return what is held when it is measured."""
    held: list[int] = []
    run = Stack.run
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def running(self: Any, params: Any, x: Any, *rest: Any) -> Any:
        if x.shape[1] == 1:
            raise MemoryError
        answer = run(self, params, x, *rest)
        alive.update(answer[2].runs)
        return answer

    def measured() -> int:
        gc.collect()
        held.append(len(alive))
        return 10**9

    monkeypatch.setattr(Stack, "run", running)
    monkeypatch.setattr(memory, "host_memory", measured)
    return held


@pytest.mark.parametrize("options", [{}, {"truncate": 2, "accumulate": 2}, {"nonfinite": "skip"}], ids=str)
def test_what_training_held_is_free_when_that_is_measured(full: list[int], options: dict[str, Any]) -> None:
    """The seventh sequence is the last batch: it is told of batches as they were asked for."""
    steps = options.get("truncate", 6)
    message = (
        f"a batch of 3 sequences of {steps} steps takes .* Take batch_size=2, which should fit, or recompute"
    )
    with pytest.raises(MemoryError, match=message):
        rx.fit(MODEL, X, Y, batch_size=3, verbose=False, backend="numpy", **options)
    assert full == [0]


def test_what_predict_held_is_free_when_that_is_measured(full: list[int]) -> None:
    params = MODEL.init(rx.get_backend("numpy"))
    with pytest.raises(
        MemoryError, match=r"a batch of 3 sequences of 6 steps takes .* batch_size=2, which should"
    ):
        rx.predict(MODEL, params, X, batch_size=3)
    assert full == [0]


def test_recompute_is_not_advised_to_who_has_it(full: list[int]) -> None:
    with pytest.raises(
        MemoryError, match=r"though steps are computed again; .* Take a smaller batch_size\.$"
    ):
        rx.fit(MODEL, X, Y, batch_size=3, verbose=False, backend="numpy", recompute=True)


def test_weights_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any) -> Any:
        msg = "Unable to allocate 9 GiB"
        raise MemoryError(msg)

    monkeypatch.setattr(rx.Sequential, "init", init)
    monkeypatch.setattr(memory, "host_memory", lambda: 10**6)
    message = (  # 3 * 4 * (1 + 4 + 2) + 2 * (4 + 1) numbers of 8 bytes
        r"^out of memory \(Unable to allocate 9 GiB\): the weights of `model` take 0\.000752 MB, and in "
        r"training several times that; 1 MB are free\. Take a smaller model\.$"
    )
    with pytest.raises(MemoryError, match=message):
        rx.fit(MODEL, X, Y, verbose=False, backend="numpy", dtype="float64")


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
