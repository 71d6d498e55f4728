"""The benchmarks of ragged and of very long sequences: their arithmetic, and that they run."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnn_xp import data

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def program(monkeypatch):
    """Load a benchmark as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_frames_hold_the_samples_in_order(program):
    X = np.sinh(np.arange(1.0, 11.0)).reshape(2, 5, 1)
    X[1, 3:] = 0
    framed = program("ragged").framed(data.Dataset(X, lengths=np.array([5, 3])), size=2)
    np.testing.assert_allclose(framed.X, [[[1, 2], [3, 4], [5, 0]], [[6, 7], [8, 0], [0, 0]]])
    assert framed.lengths.tolist() == [3, 2]


def test_what_two_ways_of_batching_come_to(program):
    ragged = program("ragged")
    runs = {
        "any": [
            {"accuracy": 0.5, "padding": 0.5, "seconds": 2.0},
            {"accuracy": 0.7, "padding": 0.3, "seconds": 4.0},
        ],
        "similar": [
            {"accuracy": 0.6, "padding": 0.1, "seconds": 1.0},
            {"accuracy": 0.6, "padding": 0.1, "seconds": 2.0},
        ],
    }
    both = ragged.summed_up(runs)
    assert both["any"] == pytest.approx({"accuracy": 0.6, "padding": 0.4, "seconds": 3.0})
    assert both["similar"] == pytest.approx({"accuracy": 0.6, "padding": 0.1, "seconds": 1.5})
    assert both["accuracy_difference"] == pytest.approx(0)  # 0.1 and -0.1, whose deviation is 0.1 sqrt(2)
    assert both["standard_error"] == pytest.approx(0.1)
    assert both["times_as_fast"] == 2


def test_ragged_sequences_train_both_ways(program, monkeypatch, capsys):
    ragged = program("ragged")
    parts = []
    for seed in range(2):
        part = data.sign_of_sum(30, 12, seed)
        lengths = np.random.default_rng(seed).integers(2, 13, 30)
        parts.append(part._replace(lengths=lengths))
    task = ragged.Task("signs", lambda: tuple(parts), ragged.gestures, 0.01, 5, 2)
    result = ragged.measure(task, 2, None)
    assert (result["train"], result["test"], result["longest"]) == (30, 30, 12)
    assert result["mean"]["similar"]["padding"] < result["mean"]["any"]["padding"] < 1
    assert [run["seed"] for run in result["runs"]["any"]] == [0, 1]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in printed] == ["any", "similar", "similar", "any"]
    lines = ragged.table({"tasks": {"signs": result}})
    assert len(lines) == 4
    assert lines[2].startswith("| signs (30 + 30) | 2 to 12 | any lengths | ")
    assert all(line.count("|") == 7 for line in lines)


def test_endurance_runs_and_fills_its_table(program, tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read as Linux tells it")
    out = tmp_path / "record.json"
    command = [sys.executable, str(BENCHMARKS / "endurance.py"), "--quick", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    record = json.loads(out.read_text())
    assert record["bits"]["differ"] == 0
    assert [run["steps"] for run in record["truncated"]["runs"]] == [500, 1000]
    assert all(10 < own["peak_mb"] < 1000 for own in record["recomputing"]["cells"].values())
    lines = program("endurance").table(record)
    assert lines[2].startswith("| GRU, 64 units: one training step on 3,000 steps, recomputing BPTT | peak ")
    assert len(lines) == 2 + 2 + 2 + 1 + 2
    assert lines[-1].endswith("none differ in a bit.")
