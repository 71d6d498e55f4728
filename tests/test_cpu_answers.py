"""The CPU benchmark times the same numbers everywhere: answers, losses, operations, memory."""

import dataclasses
import importlib.util
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import rnn_xp as rx

ROOT = Path(__file__).resolve().parent.parent


def load():
    """Load the script as a module; it puts its own folder on the path."""
    spec = importlib.util.spec_from_file_location("cpu", ROOT / "benchmarks" / "cpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cpu = load()

from cpu_speed import by_rnn_xp, grid, jobs, memory, scaling, turns, vowels  # noqa: E402
from cpu_speed.contenders import FailedError  # noqa: E402
from cpu_speed.job import PARAMETERS, Job, drawn  # noqa: E402
from cpu_speed.session import Session  # noqa: E402
from cpu_speed.sizes import GATES, TINY, Shape, operations  # noqa: E402
from cpu_speed.worker import Worker, answer  # noqa: E402


class Here:
    """A contender in this process."""

    ended = ""

    def __init__(self, library):
        self.worker = Worker(library)

    def ask(self, do, **what):
        reply = answer(self.worker, {"do": do, **what})
        if "error" in reply:
            raise FailedError(reply["error"])
        return reply["result"]


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Return what makes a session of contenders in this process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def make(**libraries):
        there = {name: Here(library) for name, library in libraries.items()}
        roster = SimpleNamespace(
            call=lambda names, threads=1: {name: own for name, own in there.items() if name in names},
            facts={"rnn_xp": {}},
            absent={},
        )
        sizes = dataclasses.replace(TINY, threads=(1,), cells=("GRU",))
        return Session(tmp_path / "record.json", {}, roster, tmp_path, sizes, 0.0, vowels.MADE_UP)

    return make


def off_by(factor):
    """Return a library whose layers are this package's, but for one gradient."""

    def layer(**spec):
        own = by_rnn_xp.layer(**spec)

        def answers():
            found = own.answers()
            return {**found, "bias_hh": factor * found["bias_hh"]}

        return Job(own.calls, answers)

    return SimpleNamespace(start=dict, JOBS={"layer": layer})


@pytest.mark.parametrize(("factor", "good"), [(1.0, True), (1.001, False), (float("nan"), False)])
def test_a_wrong_answer_is_never_timed(factor, good, session, monkeypatch):
    monkeypatch.setitem(sys.modules, "cpu_speed.by_other", off_by(factor))
    own = session(rnn_xp="rnn_xp", jax="other")
    own.run("grid", grid.run)
    rows, failures = own.record["grid"]["points"], own.record["failures"]
    assert (len(rows), len(failures)) == ((4, 0) if good else (0, 2))
    for failure in failures:
        assert "GRU" in failure
        assert "y and gradients: the answers differ from rnn_xp's by more than 0.0001: jax by " in failure
    assert cpu.finished(own) == (0 if good else 1)


def test_answers_of_other_shapes_differ(tmp_path):
    for name, shape in {"rnn_xp": (2, 3), "torch": (3, 2)}.items():
        np.savez(tmp_path / f"{name}.npz", y=np.ones(shape))
    files = {name: str(tmp_path / f"{name}.npz") for name in ("rnn_xp", "torch")}
    assert turns.agreement(files, "rnn_xp") == {"torch": float("inf")}


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("cell", list(GATES))
def test_layers_are_those_of_the_peers(library, cell):
    pytest.importorskip(library)
    spec = {"cell": cell, "T": 4, "B": 3, "D": 2, "H": 5}
    expected = by_rnn_xp.layer(**spec).answers()
    made = importlib.import_module(f"cpu_speed.by_{library}").layer(**spec)
    made.calls["train"]()  # leaves no trace
    found = made.answers()
    assert set(found) == {"y", *PARAMETERS} == set(expected)
    for name, array in expected.items():
        assert turns.gap(np.asarray(found[name]), array) < 1e-5, name


@pytest.mark.parametrize("library", ["numpy", "torch", "onnxruntime"])
def test_steps_are_those_of_the_peers(library):
    pytest.importorskip(library)
    spec = {"D": 3, "H": 4, "steps": 6}
    expected = by_rnn_xp.stream(**spec).answers()["y"]
    assert expected.shape == (6, 1, 4)
    found = importlib.import_module(f"cpu_speed.by_{library}").stream(**spec).answers()["y"]
    assert turns.gap(found, expected) < 1e-5


@pytest.mark.parametrize(("library", "calls"), [("torch", ["loop"]), ("jax", ["step", "scan"])])
def test_the_tutorials_job_is_that_of_the_peers(library, calls, tmp_path):
    pytest.importorskip(library)
    data = rx.data.sign_of_sum(20, seed=0)
    np.savez(tmp_path / "job.npz", X=data.X, y=data.y, **jobs.program.draw_weights(0)._asdict())
    spec = {"file": str(tmp_path / "job.npz"), "epochs": 2}
    modules = {name: importlib.import_module(f"cpu_speed.by_{name}") for name in ("numpy", library)}
    expected = modules["numpy"].tutorial(**spec).calls["program"]()
    made = modules[library].tutorial(**spec)
    assert list(made.calls) == calls
    for call in made.calls.values():
        assert jobs.difference(call(), expected) < 1e-5


def test_speakers_are_told_apart_as_by_pytorch(tmp_path):
    pytest.importorskip("torch")
    from cpu_speed import by_torch

    vowels.write(tmp_path / "vowels.npz", vowels.MADE_UP)
    spec = {"file": str(tmp_path / "vowels.npz"), "epochs": 3, **vowels.SETTINGS}
    ours, theirs = by_rnn_xp.vowels(**spec), by_torch.vowels(**spec)
    assert jobs.difference(ours.calls["float64"](), theirs.calls["float64"]()) < 1e-12
    assert jobs.difference(ours.calls["float32"](), theirs.calls["float32"]()) < 1e-4


def test_another_job_is_refused():
    losses = {"rnn_xp": [1.0, 0.5], "torch": [1.0, 0.6]}
    with pytest.raises(FailedError, match=r"loops: the losses of torch differ from rnn_xp's by 1.0e-01 of"):
        jobs.compare(losses, 1e-3, "loops")


# --- the data of JapaneseVowels


def test_made_up_speakers(tmp_path):
    vowels.write(tmp_path / "vowels.npz", vowels.MADE_UP)
    with np.load(tmp_path / "vowels.npz") as data:
        assert data["X"].shape == (20, 5, 3)
        assert sorted(data["lengths"].tolist()) == sorted(vowels.made_up().lengths.tolist())
        for sequence, length in zip(data["X"], data["lengths"], strict=True):
            assert not sequence[length:].any()
            assert sequence[:length].all()
        assert data["gru.weight_hh_l0_reverse"].shape == (3 * 64, 64)


@pytest.mark.parametrize(
    ("python", "why"),
    [
        ("no/python", "no/python cannot be run: No such file or directory. See --aeon-python."),
        ("there", "aeon.* Name an interpreter that has aeon: --aeon-python"),
    ],
)
def test_without_aeon_one_job_is_left_out(python, why, tmp_path):
    if python == "there":
        if importlib.util.find_spec("aeon"):
            pytest.skip("aeon is here")
        python = sys.executable
    with pytest.raises(FailedError, match=why):
        vowels.write(tmp_path / "vowels.npz", python)


# --- numbers


@pytest.mark.parametrize("cell", list(GATES))
def test_operations_are_those_of_the_products(cell):
    T, B, D, H = shape = Shape(5, 3, 2, 4)
    GH = GATES[cell] * H
    products = {  # rows, inner, columns
        "inference": [(GH, D, B), (GH, H, B)],
        "train": [(GH, D, B), (GH, H, B), (GH, B, D), (GH, B, H), (H, GH, B)],
    }
    for mode, own in products.items():
        assert operations(cell, shape, mode) == T * sum(2 * m * n * k for m, n, k in own)


@pytest.mark.parametrize("cell", list(GATES))
def test_the_formula_of_the_memory(cell):
    spec = {"cell": cell, "T": 60, "B": 64, "D": 24, "H": 64}
    train = by_rnn_xp.layer(**spec).calls["train"]
    by_rnn_xp.layer(**spec | {"T": 2}).calls["train"]()  # traces the cell
    tracemalloc.start()
    try:
        train()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak == pytest.approx(memory.formula(**spec), rel=0.05)


def test_lines_are_fitted():
    line = scaling.fitted([(size, 3 + 2 * size) for size in (1, 10, 100)])
    assert (line["fixed"], line["each"]) == pytest.approx((3, 2))
    assert line["off"] < 1e-9
    power = scaling.fitted([(size, 5 * size**1.5) for size in (1, 10, 100)])
    assert (power["exponent"], power["r2"]) == pytest.approx((1.5, 1))
    assert power["off"] > 0.1
    assert scaling.fitted([(1, 1), (10, 10), (1000, 1100)])["off"] < 0.1  # by relative errors


def test_what_all_start_from_is_drawn():
    arrays = drawn("LSTM", 2, 3, 4, 5)
    assert {name: array.shape for name, array in arrays.items()} == {
        "x": (2, 3, 4),
        "d_y": (2, 3, 5),
        "weight_ih": (20, 4),
        "weight_hh": (20, 5),
        "bias_ih": (20,),
        "bias_hh": (20,),
    }
    assert all(array.dtype == np.float32 for array in arrays.values())
    np.testing.assert_array_equal(arrays["x"], drawn("LSTM", 2, 3, 4, 5)["x"])
