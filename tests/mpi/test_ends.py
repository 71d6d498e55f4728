"""Ranks that are killed, asked to end, or wait for ever: the job ends, and fewer go on from its file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import job
import numpy as np
import pytest
from distributed_cases import CASES, flat, standing

ACROSS = 1e-12
ENDS_WITHIN = 30.0
"""Seconds from the death of a rank to the end of mpiexec."""

HALFWAY = {
    "last": {"epoch": 3, "batch": 2},
    "windows": {"epoch": 2, "window": 2},
    "memmap": {"epoch": 2, "window": 3},
}
EPOCHS = {"last": 6, "windows": 4, "memmap": 4}


def pid(folder: Path, rank: int) -> int:
    return int((folder / f"pid.{rank}").read_text())


def halfway(folder: Path, name: str) -> Any:
    """Return what tells whether the checkpoint stands in the middle of an epoch, and of its windows."""

    def is_halfway() -> bool:
        path = folder / "checkpoint"
        stands = standing(path) if path.exists() else {}
        return bool(stands) and all(stands[part] >= least for part, least in HALFWAY[name].items())

    return is_halfway


def begun(size: int, folder: Path, name: str, **said: Any) -> Any:
    """Start a slow training."""
    more = {"epochs": EPOCHS[name]}
    return job.started(size, "train", folder, case=name, pause=0.02, more=more, **said)


def goes_on(size: int, folder: Path, name: str, how: str) -> None:
    """Check that so many ranks end where a training that nothing happened to does."""
    more = {"epochs": EPOCHS[name], "resume": True}
    job.succeed(size, "train", folder, case=name, how=how, more=more)
    expected = flat(CASES[name](folder).fit(epochs=EPOCHS[name]))
    for rank in range(size):
        np.testing.assert_allclose(np.load(folder / f"weights.{rank}.npy"), expected, rtol=0, atol=ACROSS)


@pytest.mark.parametrize(
    ("name", "how", "size", "victim", "after"),
    [
        pytest.param("last", "whole", 3, 1, 2),
        *(
            pytest.param(*own, marks=pytest.mark.slow)
            for own in (
                ("last", "sharded", 4, 3, 2),
                ("windows", "whole", 3, 0, 2),
                ("windows", "sharded", 3, 2, 1),
                ("memmap", "sharded", 4, 1, 3),
                ("memmap", "whole", 2, 1, 4),
            )
        ),
    ],
)
def test_a_rank_is_killed_and_others_go_on(
    name: str, how: str, size: int, victim: int, after: int, tmp_path: Path
) -> None:
    with begun(size, tmp_path, name, how=how) as running:
        running.until(halfway(tmp_path, name))
        killed = pid(tmp_path, victim)
        os.kill(killed, signal.SIGKILL)
        done = running.end(ENDS_WITHIN)
    assert done.status != 0
    if job.is_openmpi():
        assert f"rank {victim} with PID {killed}" in done.told, done.told
        assert "exited on signal 9" in done.told
    else:  # it names a process, though not always the first that ended
        assert "KILLED (SIGNAL 9)" in done.told.upper(), done.told
    assert not list(tmp_path.glob("end.*"))
    goes_on(after, tmp_path, name, how)


def all_saved(folder: Path, size: int, told: set[str]) -> None:
    """Check that every rank ended after the step that is in the checkpoint, and said so."""
    where = f"in epoch {standing(folder / 'checkpoint')['epoch']}"
    there = f"{folder / 'checkpoint'} holds everything: resume=True goes on from there."
    for rank in range(size):
        assert (folder / f"error.{rank}").read_text() in {f"{how} {where}; {there}" for how in told}


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_is_asked_to_end_and_all_save_and_end(rank: int, tmp_path: Path) -> None:
    with begun(3, tmp_path, "windows") as running:
        running.until(halfway(tmp_path, "windows"))
        os.kill(pid(tmp_path, rank), signal.SIGTERM)
        done = running.end(ENDS_WITHIN)
    assert done.status == 143, done
    all_saved(tmp_path, 3, {"Terminated: terminated"})
    goes_on(2, tmp_path, "windows", "whole")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_mpiexec_is_asked_to_end(number: int, tmp_path: Path) -> None:
    """It passes SIGTERM on, or a signal of its own, and kills those that are still there some time later."""
    with begun(3, tmp_path, "last") as running:
        running.until(halfway(tmp_path, "last"))
        running.process.send_signal(number)
        done = running.end(ENDS_WITHIN)
    assert done.status != 0
    all_saved(tmp_path, 3, {"Terminated: terminated", "KeyboardInterrupt: interrupted"})
    goes_on(2, tmp_path, "last", "whole")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("kind", ["sleeps", "stopped"])
def test_a_rank_that_waits_for_ever_is_not_waited_for(kind: str, rank: int, tmp_path: Path) -> None:
    with begun(2, tmp_path, "last", timeout=3, trouble=kind, rank=rank) as running:
        running.until(halfway(tmp_path, "last"))
        if kind == "sleeps":
            (tmp_path / "now").touch()
            running.until((tmp_path / f"began.{rank}").exists)
        else:
            os.kill(pid(tmp_path, rank), signal.SIGSTOP)
        begin = time.monotonic()
        done = running.end(ENDS_WITHIN)
    assert time.monotonic() - begin > 2.5
    assert done.status != 0
    assert f"rnn_xp: rank {1 - rank} of 2: waited 3 s for the other ranks in a sum" in done.told, done.told
    goes_on(2, tmp_path, "last", "whole")


@pytest.mark.slow
def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path: Path) -> None:
    """What is mapped and no more there ends the process that reads it, with SIGBUS."""
    with begun(3, tmp_path, "memmap", how="sharded") as running:
        running.until(halfway(tmp_path, "memmap"))
        os.truncate(tmp_path / "part1of3.npy", 0)
        done = running.end(ENDS_WITHIN)
    assert done.status != 0
    if job.is_openmpi():
        assert f"rank 1 with PID {pid(tmp_path, 1)} on node" in done.told, done.told
        assert "exited on signal 7" in done.told
    (tmp_path / "part1of3.npy").unlink()
    goes_on(3, tmp_path, "memmap", "sharded")
