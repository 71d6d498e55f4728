"""The CPU benchmark's record: its targets, its tables and its pictures, from made-up numbers."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load():
    """Load the script as a module; it puts its own folder on the path."""
    spec = importlib.util.spec_from_file_location("report", ROOT / "benchmarks" / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


report = load()

from cpu_speed import criteria  # noqa: E402
from cpu_speed.sizes import GATES, Shape  # noqa: E402
from record import store  # noqa: E402


def times(**milliseconds):
    return {name: {"seconds": value / 1000, "cores": 1.0} for name, value in milliseconds.items()}


def made_up():
    """Return a record of simple numbers: ours takes 2 ms, PyTorch 4, JAX 3; at batch 1, JAX 1."""
    points = []
    for threads in (1, 2):
        for mode in ("train", "inference"):
            for cell in GATES:
                for shape in (Shape(10, 1, 1, 32), Shape(100, 64, 128, 256)):
                    row = {"threads": threads, "mode": mode, "cell": cell, **shape._asdict()}
                    row["times"] = times(rnn_xp=2, rnn_xp_avx2=1, torch=4, jax=1 if shape.B == 1 else 3)
                    row["sgemm"] = {"rnn_xp": 1e11, "rnn_xp_avx2": 2e11, "torch": 1e11}
                    points.append({**row, "operations": 1.7e8, "agreement": {}})
    blas = {"internal_api": "openblas", "architecture": "Haswell"}
    loops = times(**{"tutorial's program": 1000, "rnn_xp": 900, "rnn_xp_avx2": 800, "torch": 6300})
    loops |= times(**{"jax, a jitted step a sequence": 300})
    fit = {"exponent": 1.01, "r2": 0.9999, "fixed": 1e-4, "each": 2e-5, "off": 0.01}
    record = {
        "benchmark": "cpu",
        "date": "2031-02-03T04:05:06+00:00",
        "machine": {"cpu": "Some CPU", "cores": 2, "system": "Linux"},
        "versions": {"python": "3.12.0", "torch": "9.1"},
        "dry_run": False,
        "complete": True,
        "failures": [],
        "left_out": {"JapaneseVowels": "no aeon"},
        "absent": {"onnxruntime": "No module named 'onnxruntime'"},
        "settings": {},
        "contenders": {
            "rnn_xp": {"blas": blas},
            "rnn_xp_avx2": {"blas": {**blas, "architecture": "SkylakeX"}},
            "torch": {},
            "jax": {},
        },
        "grid": {"points": points},
        "jobs": {
            "tutorial": {
                "spec": {"epochs": 10},
                "loops": loops,
                "processes": {name: {"seconds": own["seconds"] + 0.5} for name, own in loops.items()},
                "losses": {},
                "difference": {"torch": 3e-5},
            }
        },
        "streaming": {"points": [{"D": 32, "H": 32, "times": times(rnn_xp=0.012, torch=0.02, numpy=0.01)}]},
        "memory": {
            "points": [
                {"cell": "LSTM", **Shape(100, 64, 128, 256)._asdict(), "formula": 6e7}
                | {"bytes": {"rnn_xp": 6.3e7, "torch": 1e8, "jax": 1.6e8}}
            ]
        },
        "scaling": {
            letter: {
                "points": [{**Shape(n, n, 3, 4)._asdict(), "seconds": n / 1000} for n in (10, 100)],
                "fit": fit,
            }
            for letter in "TB"
        },
        "threads": {
            "points": [
                {"job": "fit", "alone": times(**{"1": 10, "2": 8}), "busy": times(**{"1": 11, "2": 99})}
            ]
        },
    }
    return record | {"criteria": criteria.of(record)}


def value(record, target, what, own="rnn_xp"):
    (found,) = [
        each
        for each in record["criteria"]
        if (each["target"], each["contender"]) == (target, own) and what in each["what"]
    ]
    return found["value"], found["met"]


def test_targets_are_measured():
    record = made_up()
    assert value(record, 1, "training, one thread, times PyTorch: geometric mean") == (
        pytest.approx(2.0),
        True,
    )
    assert value(record, 1, "times PyTorch: worst, B = 1") == (pytest.approx(2.0), True)
    assert value(record, 1, "one thread, times the better") == (pytest.approx(1.5), True)
    assert value(record, 1, "one thread, times the better", "rnn_xp_avx2") == (pytest.approx(3.0), True)
    assert value(record, 2, "worst, LSTM") == (pytest.approx(0.85), True)
    assert value(record, 2, "worst, GRU", "rnn_xp_avx2") == (pytest.approx(0.85), True)
    assert value(record, 3, "loop alone: time over the tutorial's program") == (pytest.approx(0.9), True)
    assert value(record, 3, "loop alone: times PyTorch") == (pytest.approx(7.0), True)
    assert value(record, 3, "whole process: time over PyTorch's") == (pytest.approx(1.4 / 6.8), True)
    assert value(record, 3, "time over JAX's") == (pytest.approx(1.4 / 0.8), False)
    assert value(record, 4, "loop alone") == (None, None)
    assert value(record, 5, "LSTMCell") == (pytest.approx(0.6), True)
    assert value(record, 5, "ONNX") == (None, None)
    assert value(record, 6, "over PyTorch's: worst") == (pytest.approx(0.63), True)
    assert value(record, 6, "off the formula") == (pytest.approx(0.05), True)
    assert value(record, 6, "exponent") == (1.01, True)


def test_a_target_is_missed_by_its_worst_point():
    record = made_up()
    record["grid"]["points"][1]["times"]["torch"]["seconds"] = 0.001  # RNN, B 64, training, one thread
    found = criteria.of(record)
    assert value({"criteria": found}, 1, "worst, B >= 32") == (pytest.approx(0.5), False)
    assert value({"criteria": found}, 1, "worst, B = 1") == (pytest.approx(2.0), True)


def test_a_mean_of_what_is_left_is_no_mean():
    record = made_up() | {"failures": ["grid: GRU: the answers differ"]}
    found = {"criteria": criteria.of(record)}
    assert value(found, 1, "training, one thread, times PyTorch: geometric mean") == (None, None)
    assert value(found, 5, "LSTMCell") == (pytest.approx(0.6), True)


def page(record, folder):
    store(folder / "record.json", record)
    return report.main(["--cpu", str(folder / "record.json"), "--out", str(folder)])


def test_a_record_becomes_a_table_and_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    assert page(made_up(), tmp_path) == 0
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    for expected in (
        "Not measured: JapaneseVowels: no aeon.",
        "Not measured: ONNX Runtime: No module named 'onnxruntime'.",
        "rnn_xp 100 GFLOP/s, OpenBLAS's Haswell kernels; rnn_xp, AVX2 BLAS 200 GFLOP/s",
        "| training, 1 thread, rnn_xp | 2.00 (2.00) | 2.00 (2.00) | 0.87 (0.50) | 1.50 (1.50) |",
        "| LSTM | 100, 64, 128, 256 | 2 | 1 | 4 | 3 | 2.00 / 4.00 | 1.50 / 3.00 | 85% / 85% |",
        "| RNN | 10, 1, 1, 32 | 2 | 1 | 4 | 1 | 2.00 / 4.00 | 0.50 / 1.00 | 85% / 85% |",
        "JAX is ahead of rnn_xp at 3 of 6 points, 3 of batch 1 by 2.00 to 2.00. At batch 1 calls",
        "| inference, 2 threads, ms |",
        "| JAX, a jitted step a sequence | 0.30 | 0.80 |",
        "agree with ours to 3e-05 of the first one.",
        "| PyTorch | 20.0 |",
        "| LSTM | 100, 64, 128, 256 | 63.0 | 100.0 | 160.0 | 60.0 |",
        "grows as T to the power of 1.010",
        "| fit | 0.01 | 0.008 | 0.011 | 0.099 |",
        "by T, B, D, H: 10, 1, 1, 32: 1.00; 100, 64, 128, 256: 1.00.",
        "times PyTorch: geometric mean | at least 1.8, aim 2.2 | 2, met | 4, met |",
        "| at most 1 | 1.75, **missed** | 1.62, **missed** |",
        "| at least 1.5 | not measured | not measured |",
        "](cpu.png)",
        "2031-02-03, Some CPU with 2 cores, python 3.12.0, torch 9.1.</sub>",
    ):
        assert expected in text, expected
    assert "None" not in text
    for name in ("cpu.png", "cpu_scaling.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_readme_leaves_out_most_points():
    text = "\n".join(report.cpu(made_up()))
    assert "threads, ms |" not in text
    assert "AVX2" not in text.partition("![")[0].partition("| times as fast")[2]
    assert "](benchmarks/results/cpu.png)" in text
    assert "[Every point of this run](benchmarks/results/cpu.md)" in text
    whole = report.cpu_page(made_up())
    for expected in ("| training, 1 thread, ms |", "| inference, 2 threads, ms |", ", rnn_xp, AVX2 BLAS | "):
        assert expected in whole


@pytest.mark.parametrize("part", ["grid", "jobs", "streaming", "memory", "scaling", "threads"])
def test_a_part_may_be_absent(part, tmp_path):
    record = made_up()
    del record[part]
    assert "<sub>" not in "\n".join(report.cpu(record | {"criteria": criteria.of(record)}))


def test_what_went_wrong_heads_the_table():
    record = made_up() | {"complete": False, "failures": ["grid: LSTM | wrong", "more"]}
    lines = report.cpu(record)
    assert lines[0].startswith("**incomplete**")
    assert lines[2] == "**failed**: 2 of its points; the first: grid: LSTM / wrong"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"benchmark": "gpu_check"}, "it is no record of benchmarks/cpu.py"),
        ({"dry_run": True}, "it is of a dry run, which measures nothing"),
        ({"grid": {"points": [{}]}}, "KeyError|is missing|'"),
    ],
)
def test_a_bad_record_is_refused_in_one_line(change, why, tmp_path, capsys):
    assert page(made_up() | change, tmp_path) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{tmp_path / 'record.json'}: ")
    assert any(each in told for each in why.split("|"))
    assert not (tmp_path / "table.md").exists()
