"""The command line under mpiexec: the model of one process, one voice, one way to end."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from job import LIMIT, MPIEXEC, environment, is_openmpi

import rnn_xp as rx
from rnn_xp import tree

N, T = 61, 7
CUTS = {1: (0, N), 2: (0, 20, N), 3: (0, 7, 40, N)}
ENDS_WITHIN = 30.0
"""Seconds."""

TRAIN = "train --epochs 3 --hidden-size 6 --batch-size 16 --validation 0.3 --dropout 0.2 --backend numpy"

PLANTED = """
import sys
from rnn_xp.cli import main, train
from rnn_xp.distributed import MPI

real = train.{name}

def planted(*given):
    if MPI().rank == 1:
        raise {error}
    return real(*given)

train.{name} = planted
sys.exit(main(sys.argv[1:]))
"""


def command(size: int, argv: str, program: str | None = None) -> list[str]:
    more = ["--oversubscribe"] if is_openmpi() else []
    python = [sys.executable, *(["-m", "rnn_xp"] if program is None else ["-c", program])]
    return [str(MPIEXEC), *more, "-n", str(size), *python, *argv.split()]


def run(size: int, argv: str, folder: Path, program: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command on ranks; without any, as one process that nobody started together with others."""
    words = command(size, argv, program) if size else [sys.executable, "-m", "rnn_xp", *argv.split()]
    return subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT, check=False
    )


def succeed(size: int, argv: str, folder: Path) -> str:
    """Return what a command writes to standard output."""
    done = run(size, argv, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fails(size: int, argv: str, folder: Path, program: str | None = None) -> tuple[int, list[str]]:
    """Return the exit status, and the lines of rnn-xp among those of mpiexec."""
    start = time.monotonic()
    done = run(size, argv, folder, program)
    assert time.monotonic() - start < ENDS_WITHIN
    lines = [line for line in done.stderr.splitlines() if line.startswith(("rnn-xp:", "rnn_xp:"))]
    return done.returncode, lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: Any) -> Path:
    """Write all sequences, and the parts of ranks, each as long as its own longest."""
    folder: Path = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, T, 2)) * [1, 20] + [5, -300]
    lengths = rng.integers(1, T + 1, N)
    targets = {
        "c": np.array(["10", "9", "b"])[(np.arange(N) * 3) // N],  # most parts lack one
        "n": 1000 + 7 * X[:, 0, 0],
    }
    for kind, y in targets.items():
        np.savez(folder / f"{kind}.npz", X=X, y=y, lengths=lengths)
        for size, cuts in CUTS.items():
            for rank in range(size):
                own = slice(cuts[rank], cuts[rank + 1])
                part = {"X": X[own, : lengths[own].max()], "y": y[own], "lengths": lengths[own]}
                np.savez(folder / f"{kind}{size}.{rank}.npz", **part)
    return folder


def weights(path: Path) -> np.ndarray:
    _, params = rx.load(path / "model.safetensors", rx.get_backend("numpy", dtype="float64"))
    return np.concatenate([leaf.ravel() for leaf in tree.leaves(params)])


def difference(one: Path, other: Path) -> float:
    """Return the largest difference of the weights, relative to those above 1."""
    expected = weights(other)
    return float(np.max(np.abs(weights(one) - expected) / np.maximum(1, np.abs(expected))))


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("size", "name", "dtype", "across"),
    [
        (2, "c{ranks}.{rank}.npz", "float64", 1e-12),
        (3, "c.npz", "float64", 1e-12),
        pytest.param(3, "n{ranks}.{rank}.npz", "float64", 1e-12, marks=pytest.mark.slow),
        pytest.param(2, "n.npz", "float32", 1e-6, marks=pytest.mark.slow),
        pytest.param(3, "c{ranks}.{rank}.npz", "float32", 1e-6, marks=pytest.mark.slow),
    ],
)
def test_the_model_is_that_of_one_process(
    data: Path, tmp_path: Path, size: int, name: str, dtype: str, across: float
) -> None:
    argv = f"{TRAIN} --dtype {dtype} --data {data}"
    alone = succeed(0, f"{argv}/{name[0]}.npz --out one", tmp_path)
    told = succeed(size, f"{argv}/{name} --out many --distributed mpi", tmp_path)
    assert difference(tmp_path / "many", tmp_path / "one") < across
    assert listed(tmp_path) == ["many", "one"]
    assert listed(tmp_path / "many") == listed(tmp_path / "one")
    part = "a part of" if "{rank}" in name else "all"
    assert f"{size} ranks, each with {part} the data" in told
    assert [told.count(f"epoch {epoch}/3") for epoch in (1, 2, 3)] == [1, 1, 1]
    assert len(told.splitlines()) == len(alone.splitlines()) + 1


def test_json_is_that_of_the_first_rank(data: Path, tmp_path: Path) -> None:
    told = succeed(2, f"{TRAIN} --data {data}/c.npz --distributed mpi --json --quiet", tmp_path)
    *epochs, last = map(json.loads, told.splitlines())
    assert [record["epoch"] for record in epochs] == [1, 2, 3]
    assert last["result"]["ranks"] == 2
    assert listed(tmp_path) == []


@pytest.mark.slow
def test_one_rank_without_mpiexec(data: Path, tmp_path: Path) -> None:
    told = succeed(0, f"{TRAIN} --data {data}/c.npz --out run --distributed mpi", tmp_path)
    assert "1 rank; a launcher starts more of them: mpiexec -n 4 rnn-xp train --distributed mpi" in told


@pytest.mark.slow
def test_blocks_keep_the_bits(data: Path, tmp_path: Path) -> None:
    for size in (0, 2, 3):
        more = "--distributed mpi" if size else ""
        succeed(size, f"{TRAIN} --data {data}/c.npz --out {size} --blocks 5 {more}", tmp_path)
    for size in (2, 3):
        assert np.array_equal(weights(tmp_path / "0"), weights(tmp_path / str(size)))


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (
            "--epochs many",
            2,
            "argument --epochs: `epochs` must be an integer of at least 1; got 'many'. See: ",
        ),
        ("--data DATA/c.npz --momentum 0.9", 2, "argument --momentum: not here: --optimizer adam has none."),
        ("--data DATA/none.npz", 1, "DATA/none.npz: No such file or directory."),
        ("--data DATA/c2.{rank}.npz", 1, "rank 2 of 3: DATA/c2.2.npz: No such file or directory."),
        ("--data bad.{rank}.npz", 1, "rank 1 of 3: bad.1.npz: the file is no .npz archive; "),
        (
            "--data DATA/c.npz --out bad.0.npz",
            2,
            "rank 0 of 3: argument --out: bad.0.npz must be a directory; ",
        ),
        (
            "--data DATA/c.npz --lr 1e300 --optimizer sgd",
            1,
            "the loss, its gradient or the step stopped being finite in epoch 1, ",
        ),
    ],
)
def test_what_one_rank_finds_wrong_ends_all(
    data: Path, tmp_path: Path, argv: str, status: int, message: str
) -> None:
    for rank in (0, 2):
        (tmp_path / f"bad.{rank}.npz").write_bytes((data / f"c3.{rank}.npz").read_bytes())
    (tmp_path / "bad.1.npz").write_text("no archive")
    argv, message = (text.replace("DATA", str(data)) for text in (argv, message))
    code, lines = fails(3, f"train --distributed mpi --out run --backend numpy --quiet {argv}", tmp_path)
    assert code == status
    assert len(lines) == 1
    assert lines[0].startswith(f"rnn-xp: error: {message}")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("build_model", 'ValueError("planted.")', "rnn-xp: error: rank 1 of 3: "),  # inside of a block
        pytest.param(
            "build_model", 'KeyError("planted")', "rnn_xp: rank 1 of 3: KeyError", marks=pytest.mark.slow
        ),
        pytest.param(
            "introduce", 'ValueError("planted.")', "rnn_xp: rank 1 of 3: planted.", marks=pytest.mark.slow
        ),
    ],
)
def test_an_error_that_nobody_expects_ends_all(
    data: Path, tmp_path: Path, name: str, error: str, message: str
) -> None:
    program = PLANTED.format(name=name, error=error)
    code, lines = fails(3, f"{TRAIN} --data {data}/c.npz --distributed mpi --quiet", tmp_path, program)
    assert code == 1
    assert all(line.startswith(message) for line in lines)
    at_once = message.startswith("rnn_xp:")  # mpiexec may end before it has read the line
    assert len(lines) in ((0, 1) if at_once else (1,))


def test_ranks_that_know_nothing_of_each_other(data: Path, tmp_path: Path) -> None:
    code, lines = fails(3, f"{TRAIN} --data {data}/c.npz --out run", tmp_path)
    assert code == 2
    assert len(lines) == 1
    assert "3 processes were started together, and each would train by itself: --distributed mpi" in lines[0]
    assert listed(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "name", "before", "after"),
    [
        (signal.SIGTERM, "c{ranks}.{rank}.npz", 3, 2),
        pytest.param(signal.SIGINT, "n{ranks}.{rank}.npz", 2, 3, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "c.npz", 3, 1, marks=pytest.mark.slow),
    ],
)
def test_a_job_that_is_asked_to_end_goes_on_later(
    data: Path, tmp_path: Path, number: int, name: str, before: int, after: int
) -> None:
    """On another number of ranks; the result is that of a training that nothing happened to."""
    argv = f"{TRAIN.replace('--epochs 3', '--epochs 200')} --dtype float64 --quiet --data {data}"
    words = command(before, f"{argv}/{name} --out many --distributed mpi")
    with (
        (tmp_path / "told").open("w") as told,
        subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=told, stderr=told) as job,
    ):
        try:
            history = tmp_path / "many" / "history.jsonl"
            deadline = time.monotonic() + LIMIT
            while not (history.exists() and len(history.read_text().splitlines()) > 2):
                assert job.poll() is None, (tmp_path / "told").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            job.send_signal(number)
            assert job.wait(ENDS_WITHIN) != 0
        finally:
            job.kill()
    assert len(history.read_text().splitlines()) < 200
    moved = f"--data {data}/{name}" if "{rank}" in name else ""
    succeed(after, f"train --resume many --distributed mpi --quiet {moved}", tmp_path)
    succeed(0, f"{argv}/{name[0]}.npz --out one", tmp_path)
    assert difference(tmp_path / "many", tmp_path / "one") < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("size", "name"), [(2, "c2.{rank}.npz"), (3, "c.npz")])
def test_a_model_meets_new_data(data: Path, tmp_path: Path, size: int, name: str) -> None:
    succeed(0, f"{TRAIN} --dtype float64 --quiet --data {data}/c.npz --out run", tmp_path)
    one = json.loads(succeed(0, f"evaluate run --data {data}/c.npz --json", tmp_path))
    many = json.loads(succeed(size, f"evaluate run --data {data}/{name} --json --distributed mpi", tmp_path))
    for score, value in one["result"]["metrics"].items():
        np.testing.assert_allclose(many["result"]["metrics"][score], value, rtol=1e-12)
    alone = list(csv.reader(succeed(0, f"predict run --data {data}/c.npz", tmp_path).splitlines()))
    succeed(size, f"predict run --data {data}/{name} --out p.csv --distributed mpi", tmp_path)
    shared = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))
    assert [row[:2] for row in shared] == [row[:2] for row in alone]
    numbers = [np.array([row[2:] for row in rows[1:]], float) for rows in (shared, alone)]
    np.testing.assert_allclose(*numbers, rtol=1e-12)
    assert listed(tmp_path) == ["p.csv", "run"]


@pytest.mark.slow
def test_doctor_names_the_mpi(tmp_path: Path) -> None:
    told = json.loads(succeed(0, "doctor --json", tmp_path))["result"]["lines"]
    (line,) = [line for line in told if (line["section"], line["name"]) == ("ranks", "MPI")]
    assert ("Open MPI" if is_openmpi() else "MPICH") in line["found"]
    assert "knows" in line["found"]
    assert line["wrong"] == ""
