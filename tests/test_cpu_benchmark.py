"""The CPU benchmark: a dry run of all its parts, its contenders, and that it fails where it should."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "cpu.py"


def load():
    """Load the script as a module; it puts its own folder on the path."""
    spec = importlib.util.spec_from_file_location("cpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cpu = load()

from cpu_speed import contenders, turns  # noqa: E402
from cpu_speed.contenders import Contender, FailedError, Roster, environment  # noqa: E402
from cpu_speed.sizes import GATES  # noqa: E402
from cpu_speed.worker import Worker  # noqa: E402

PEERS = ("torch", "jax", "onnxruntime", "threadpoolctl")


@pytest.fixture(scope="module")
def dry(tmp_path_factory):
    """Run all of it where no peer can be imported; return the process and the record."""
    folder = tmp_path_factory.mktemp("dry")
    for name in PEERS:
        (folder / f"{name}.py").write_text(f'raise ImportError("No module named {name!r}")\n')
    process = subprocess.run(
        [sys.executable, str(SCRIPT), "--dry-run", "--out", "record.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process, json.loads((folder / "record.json").read_text(encoding="utf-8"))


def test_a_dry_run_measures_every_part(dry):
    process, record = dry
    assert record["benchmark"] == "cpu"
    assert record["complete"] is True
    assert record["dry_run"] is True
    assert record["failures"] == []
    assert str(ROOT) not in json.dumps(record)
    points = {
        (row["threads"], row["mode"], row["cell"], row["T"], row["B"], row["D"], row["H"])
        for row in record["grid"]["points"]
    }
    shapes = [(2, 1, 1, 3), (3, 4, 2, 3)]
    assert points == {
        (n, mode, cell, *shape)
        for n in (1, 2)
        for mode in ("train", "inference")
        for cell in GATES
        for shape in shapes
    }
    for row in record["grid"]["points"]:
        assert set(row["times"]) == {"rnn_xp"}
        assert row["times"]["rnn_xp"]["seconds"] > 0
        assert row["sgemm"]["rnn_xp"] > 0
    for job, programs in {
        "tutorial": {"tutorial's program", "rnn_xp", "rnn_xp float64"},
        "vowels": {"rnn_xp"},
    }.items():
        own = record["jobs"][job]
        assert set(own["loops"]) == set(own["processes"]) == set(own["losses"]) == programs
        assert all(len(losses) == 2 for losses in own["losses"].values())
    (row,) = record["streaming"]["points"]
    assert set(row["times"]) == {"rnn_xp", "numpy"}
    assert row["agreement"]["numpy"] < 1e-5
    assert [row["cell"] for row in record["memory"]["points"]] == list(GATES)
    assert [row["T"] for row in record["scaling"]["T"]["points"]] == [2, 4, 8]
    assert [row["B"] for row in record["scaling"]["B"]["points"]] == [1, 2]
    assert len(record["threads"]["points"]) == 2
    assert all(
        set(row[state]) == {"1", "2"} for row in record["threads"]["points"] for state in ("alone", "busy")
    )
    assert "RNN, T 2, B 1, D 1, H 3, train, threads 1: ms: rnn_xp " in process.stdout


def test_who_is_not_there_is_named_with_the_reason(dry):
    process, record = dry
    absent = {name: f"ImportError: No module named '{name}'" for name in PEERS if name != "threadpoolctl"}
    reason = record["absent"].pop("rnn_xp_avx2")
    assert record["absent"] == absent
    assert reason in (
        "this CPU has no AVX-512",
        "threadpoolctl, which says what kernels OpenBLAS runs, is not installed",
    )
    assert "absent: jax: ImportError: No module named 'jax'" in process.stdout
    first = record["criteria"][0]
    assert (first["target"], first["value"], first["met"]) == (1, None, None)


# --- the command line


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "--out"),
        (["--out", "nowhere/record.json"], "--out must name a file in a folder that is there; got nowhere"),
        (["--out", "record.json", "--parts", "speed"], "invalid choice: 'speed'"),
        (["--out", "record.json", "--seconds", "0"], "--seconds must be above 0 and finite; got 0"),
        (["--out", "record.json", "--seconds", "inf"], "--seconds must be above 0 and finite; got inf"),
    ],
)
def test_wrong_usage_is_refused_at_the_start(arguments, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cpu.main(arguments)
    assert stopped.value.code == 2
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def run_parts(tmp_path, monkeypatch, **parts):
    monkeypatch.setattr(cpu, "PARTS", parts)
    out = tmp_path / "record.json"
    code = cpu.main(["--dry-run", "--out", str(out), "--parts", *parts])
    return code, json.loads(out.read_text(encoding="utf-8"))


def test_a_part_that_crashes_fails_and_the_next_one_runs(tmp_path, monkeypatch, capsys):
    code, record = run_parts(
        tmp_path,
        monkeypatch,
        one=lambda session, results: 1 / 0,
        two=lambda session, results: results.update(a=1),
    )
    assert code == 1
    assert record["failures"][0].startswith("one: ZeroDivisionError: division by zero")
    assert record["two"]["a"] == 1
    assert "FAILED one: ZeroDivisionError" in capsys.readouterr().out


def test_an_interrupted_run_is_marked(tmp_path, monkeypatch, capsys):
    def stop(session, results):
        raise KeyboardInterrupt

    code, record = run_parts(tmp_path, monkeypatch, one=lambda session, results: None, two=stop)
    assert (code, record["complete"]) == (130, False)
    assert "interrupted" in capsys.readouterr().err


# --- contenders


def test_environments(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    monkeypatch.setenv("RNN_XP_ENGINE", "portable")
    plain, other, two = environment("rnn_xp", 1), environment("rnn_xp_avx2", 1), environment("jax", 2)
    assert "OPENBLAS_CORETYPE" not in plain  # OpenBLAS chooses
    assert other["OPENBLAS_CORETYPE"] == "Haswell"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PJRT_NPROC"):
        assert (plain[name], two[name]) == ("1", "2")
    assert "intra_op_parallelism_threads=1" in plain["XLA_FLAGS"]
    assert "XLA_FLAGS" not in two
    assert "RNN_XP_ENGINE" not in plain


HASWELL = {"internal_api": "openblas", "architecture": "Haswell"}
SKYLAKE = {**HASWELL, "architecture": "SkylakeX"}


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"simd": ["X86_V4"], "blas": SKYLAKE}, None),
        ({"simd": ["AVX2", "AVX512_SKX"], "blas": SKYLAKE}, None),
        ({"simd": ["X86_V3"], "blas": HASWELL}, "this CPU has no AVX-512"),
        ({"simd": ["X86_V4"], "blas": None}, "threadpoolctl, which says"),
        ({"simd": ["X86_V4"], "blas": HASWELL}, "runs its Haswell kernels"),
        ({"simd": ["X86_V4"], "blas": {**HASWELL, "internal_api": "mkl"}}, "NumPy's BLAS is mkl"),
    ],
)
def test_where_other_kernels_have_something_to_show(facts, why):
    found = contenders.no_other_kernels(facts)
    assert found is None if why is None else why in found


def test_a_contender_answers_errors_and_its_end_is_noticed():
    with Roster() as roster:
        there = roster.call(["numpy"])
        contender = there["numpy"]
        assert roster.facts["numpy"]["numpy"] == np.__version__
        with pytest.raises(FailedError, match="KeyError: 'layer'"):
            contender.ask("prepare", job="layer", spec={})
        calls = contender.ask("prepare", job="stream", spec={"D": 2, "H": 3, "steps": 1})
        assert contender.ask("block", call=calls[0], count=3)["seconds"] > 0
        assert roster.call(["numpy"])["numpy"] is contender
        contender._process.kill()
        with pytest.raises(FailedError, match="its process ended with exit code -9"):
            contender.ask("forget")
        assert roster.call(["numpy"]) == {}
        assert roster.absent["numpy"].startswith("its process ended with exit code -9")


def test_what_a_library_prints_is_no_answer(tmp_path, monkeypatch):
    (tmp_path / "threadpoolctl.py").write_text("print('hello')\ndef threadpool_info(): return []\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    contender = Contender("rnn_xp", 1)
    assert contender.hello()["blas"] is None
    contender.close()


# --- turns


class Clock:
    """A contender that takes so many seconds, and remembers who was asked."""

    def __init__(self, name, log):
        self.name, self.log, self.turn = name, log, 0

    def ask(self, do, *, call, count, lead):
        assert (do, call, count, lead) == ("block", "train", 7, 1)
        self.log.append(self.name)
        self.turn += 1
        return {"seconds": float(self.turn), "cpu": 2.0 * self.turn}


def test_turns_rotate_and_medians_are_taken():
    log = []
    made = {name: turns.Turn(Clock(name, log), "train", 7, 1) for name in "abc"}
    found = turns.in_turns(made, 0, 4, drop=1)
    assert "".join(log) == "abc" + "bca" + "cab" + "abc" + "bca"
    assert found["a"] == {"seconds": 3.5, "quartiles": [2.75, 4.25], "cores": 2.0, "calls": [4, 7]}


def test_a_contender_is_warmed_until_a_block_is_full(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    worker = Worker("numpy")
    calls = []
    worker._calls["call"] = lambda: calls.append(sum(range(2000)))
    asked = worker.warm("call", 0.004)
    assert asked["count"] > 3
    assert asked["lead"] == 1
    before = len(calls)
    worker.block("call", 5, 1)
    assert len(calls) == before + 6
