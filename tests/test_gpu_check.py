"""The GPU check, rehearsed without one: a dry run of all its parts, and that it fails where it should."""

import ast
import dataclasses
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import types
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree

pytest.importorskip("array_api_strict")

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu_check.py"


def load():
    """Load the script as a module; it puts its own folder on the path."""
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpu_check = load()

from gpu import memory, outcomes, parity, peer, products, suite, timings  # noqa: E402
from gpu.check import TINY, Check, Sizes, engine  # noqa: E402
from gpu.device import CudaDevice, HostDevice, peak_hook, version  # noqa: E402
from gpu.session import Session, UnsavedError  # noqa: E402
from record import sources_hash, store  # noqa: E402


def run(*arguments, folder, **environment):
    """Run the script in another folder, as from a plain checkout: nothing of it is on Python's path."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RNN_XP_ENGINE")}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_dry_run_runs_every_part(tmp_path):
    out = tmp_path / "record.json"
    process = run("--dry-run", "--out", "record.json", "--commit", "abc", folder=tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    record = read(out)
    assert record["complete"] is True
    assert record["dry_run"] is True
    assert record["failures"] == []
    assert record["left_out"] == {}
    assert record["commit"] == "abc"
    assert record["sources_hash"] == sources_hash()
    assert record["packages"]["numpy"] == record["versions"]["numpy"] == np.__version__

    tests = record["tests"]
    assert tests["collected"]["found"] >= 300
    assert list(tests["outcomes"]) == ["passed"]
    assert tests["outcomes"]["passed"] == tests["found"] > 50

    cases = record["parity"]["cases"]
    cells = {*rx.cells.CELLS, "lstm, projection", "lstm, 2 layers, both ways, lengths"}
    came = {(row["cell"], row["dtype"], row["T"], row["engine"]) for row in cases}
    engines, dtypes = ("cupy", "portable"), ("float32", "float64")
    assert came == {(c, d, T, e) for c in cells for d in dtypes for T in (3, 9) for e in engines}
    assert len(came) == len(cases)
    for row in cases:
        assert row["states"] <= {"float32": 2e-5, "float64": 1e-12}[row["dtype"]]
        assert {"params.0.weight_ih", "params.0.bias_hh", "x", "state_0.h"} <= set(row["gradients"])
        assert max(row["gradients"].values()) <= {"float32": 1e-5, "float64": 1e-12}[row["dtype"]]
        assert row["repeats"]
    assert any("params.0.weight_hr" in row["gradients"] for row in cases)
    assert all("portable engine, since array_api_strict" in line for line in record["parity"]["engines"])
    in_float32 = record["parity"]["float32_products"]
    assert max(in_float32["large"], in_float32["batched"]) < 1e-6 < 1e-4 < in_float32["in_tf32"]

    trainings = record["training"]["trainings"]
    assert {(row["cell"], row["dtype"]) for row in trainings} == {
        (c, d) for c in ("rnn", "gru", "lstm") for d in dtypes
    }
    assert all(row["steps"] == 20 and row["last_loss"] < row["first_loss"] for row in trainings)
    assert all(row["difference"] <= 1e-10 for row in trainings)

    assert len(record["products"]["input_products"]) == 2 * 2 * 2
    assert all(row["ratio"] > 0 for row in record["products"]["input_products"])
    assert [(row["H"], row["B"]) for row in record["products"]["steps"]] == [(4, 2)]
    assert len(record["memory"]["points"]) == 3
    assert all(row["cupy"]["peak"] > 0 for row in record["memory"]["points"])

    points = record["timings"]["points"]
    assert len({(row["cell"], row["T"], row["B"], row["H"]) for row in points}) == len(points) == 120
    torch = importlib.util.find_spec("torch") is not None
    assert ("cudnn_absent" in record) is not torch
    for row in points:
        for mode in ("train", "inference"):
            assert set(row[mode]) - {"portable"} == ({"cupy", "cudnn"} if torch else {"cupy"})
            for times in row[mode].values():
                assert 0 < times["host"] <= times["total"]
                assert times["device"] > 0
    assert sum("portable" in row["train"] for row in points) == 3 * 1 * 2 * 2
    assert not torch or [row["cell"] for row in record["timings"]["agreement"]] == ["rnn", "gru", "lstm"]
    assert "s left] lstm, T 4, B 4, H 6: train ms: cupy " in process.stdout


# --- the command line


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "--out"),
        (["--out", "nowhere/record.json"], "--out must name a file in a folder that is there; got nowhere"),
        (["--out", "."], "--out must name a file"),
        *[
            (["--out", "record.json", "--budget", budget], "--budget must be above 0 and finite; got ")
            for budget in ("0", "inf", "nan")
        ],
        (["--out", "record.json", "--parts", "speed"], "invalid choice: 'speed'"),
    ],
)
def test_wrong_usage_is_refused_at_the_start(arguments, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        gpu_check.main(arguments)
    assert stopped.value.code == 2
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["record.json", "record.json.part"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_a_file_is_replaced(name, make, tmp_path, capsys):
    make(tmp_path / name)
    before = (tmp_path / name).stat()
    with pytest.raises(SystemExit) as stopped:
        gpu_check.main(["--dry-run", "--out", str(tmp_path / "record.json")])
    assert stopped.value.code == 2
    assert "--out must name a file, or nothing yet, and so must record.json.part" in capsys.readouterr().err
    assert (tmp_path / name).stat() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("locked", "why"), [("record.json", "must name a file that"), ("", "must be in a")])
def test_what_cannot_be_written_is_refused(locked, why, tmp_path, monkeypatch, capsys):
    (tmp_path / "record.json").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / locked)  # root may all
    with pytest.raises(SystemExit) as stopped:
        gpu_check.main(["--dry-run", "--out", str(tmp_path / "record.json")])
    assert stopped.value.code == 2
    assert f"--out {why}" in capsys.readouterr().err
    assert (tmp_path / "record.json").read_text() == "old"


def test_an_unknown_engine_is_refused_at_the_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RNN_XP_ENGINE", "fast")
    with pytest.raises(SystemExit) as stopped:
        gpu_check.main(["--dry-run", "--out", str(tmp_path / "record.json")])
    assert stopped.value.code == 2
    assert "`RNN_XP_ENGINE` must be " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("absent", ["numpy", "array_api_compat"])
def test_without_what_it_needs_there_is_one_message(absent, tmp_path):
    process = run("--dry-run", "--out", "record.json", folder=tmp_path, PYTHONPATH=hidden(tmp_path, absent))
    assert (process.returncode, process.stdout) == (1, "")
    (told,) = process.stderr.splitlines()
    assert told.startswith(f"gpu_check cannot begin: No module named '{absent}'. Install what it needs: pip ")
    assert not (tmp_path / "record.json").exists()


def hidden(folder, module):
    """Return a path where a module is one that cannot be imported."""
    (folder / "path").mkdir()
    (folder / "path" / f"{module}.py").write_text(f'raise ImportError("No module named {module!r}")\n')
    return str(folder / "path")


def test_without_a_gpu_there_is_one_message(tmp_path):
    process = run("--out", "record.json", folder=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert process.returncode == 1
    assert process.stderr.startswith('backend "cupy": ')
    assert len(process.stderr.splitlines()) == 1
    assert process.stdout == ""
    assert list(tmp_path.iterdir()) == []


SMALL = dataclasses.replace(TINY, parity_steps=(2,), training_steps=2, T=(2,), B=(1, 2), H=(2, 3))


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Return main for a dry run of some parts, which gives exit code and record."""
    monkeypatch.setattr(gpu_check, "TINY", SMALL)
    monkeypatch.setattr(peer, "load", lambda device: (None, "not here"))

    def main(*arguments):
        out = tmp_path / "record.json"
        return gpu_check.main(["--dry-run", "--out", str(out), *arguments]), read(out)

    return main


def replaced(monkeypatch, name, work):
    """Put something else in the place of a part."""
    part = gpu_check.PARTS[name]
    monkeypatch.setitem(gpu_check.PARTS, name, part._replace(run=work))


def test_parts_can_be_chosen(check):
    code, record = check("--parts", "training", "products")
    assert code == 0
    assert {"training", "products"} <= set(record)
    assert not {"tests", "parity", "memory", "timings"} & set(record)


def off_by(factors):
    """Return `parity.answers` with gradients of the second backend that are off, by one factor a run."""

    def answers(layer, given, backend):
        found = original(layer, given, backend)
        if backend.name == "numpy":
            return found
        factor = next(factors)
        return found | {"gradients": tree.map(lambda leaf: leaf * factor, found["gradients"])}

    original = parity.answers
    return answers


@pytest.mark.parametrize("error", [2e-5, float("nan")])
def test_a_wrong_gradient_fails(error, check, monkeypatch):
    monkeypatch.setattr(parity, "answers", off_by(itertools.repeat(np.float32(1 + error))))
    code, record = check("--parts", "parity")
    assert code == 1
    assert len(record["failures"]) == len(record["parity"]["cases"]) == 28
    assert "a state is off" not in "".join(record["failures"])
    start = "parity: rnn_tanh, float32, T = 2, engine cupy: the gradient of params.0.weight_ih is off by "
    assert record["failures"][0].startswith(start)


def test_a_wrong_state_fails(check, monkeypatch):
    original = parity.answers

    def answers(layer, given, backend):
        found = original(layer, given, backend)
        off = 0.0 if backend.name == "numpy" else 3e-5
        return found | {"states": tree.map(lambda leaf: leaf + leaf.dtype.type(off), found["states"])}

    monkeypatch.setattr(parity, "answers", answers)
    code, record = check("--parts", "parity")
    assert code == 1
    assert [failure.split(": ")[-1] for failure in record["failures"]] == ["a state is off by 3.0e-05"] * 28


def test_gradients_that_do_not_repeat_fail(check, monkeypatch):
    monkeypatch.setattr(parity, "answers", off_by(itertools.cycle([1.0, 1 + 2.0**-51])))
    code, record = check("--parts", "parity")
    assert code == 1
    doubles = [failure for failure in record["failures"] if "float64" in failure]
    assert len(doubles) == 14
    assert all(failure.endswith(": a second run gave other bits") for failure in doubles)


class Rounding(rx.Backend):
    """A backend whose factors are TF32's."""

    def asarray(self, value, dtype=None):
        return super().asarray(parity.tf32(np.asarray(value, dtype=np.float32)), dtype)


def test_tf32_is_found(check, monkeypatch):
    def open_rounding(self, dtype="float32"):
        own = rx.get_backend("array_api_strict", device="device1", dtype=dtype)
        return Rounding(*[getattr(own, field.name) for field in dataclasses.fields(own)])

    monkeypatch.setattr(parity, "MAKERS", {})
    monkeypatch.setattr(Check, "open", open_rounding)
    code, record = check("--parts", "parity")
    assert code == 1
    assert [failure.split(" is off")[0] for failure in record["failures"]] == [
        "parity: a large float32 product",
        "parity: a batched float32 product",
    ]


def test_tf32_keeps_ten_bits():
    numbers = np.float32([1 + 2**-10, 1 + 2**-12, -1 - 2**-10, 0.0, 3 * 2**-40])
    assert parity.tf32(numbers).tolist() == [1 + 2**-10, 1.0, -1 - 2**-10, 0.0, 3 * 2**-40]


def test_another_engine_on_cupy_fails(tmp_path):
    session = Session(tmp_path / "record.json", {}, 60)
    fake = types.SimpleNamespace(
        session=session, open=lambda: dataclasses.replace(rx.get_backend("numpy"), name="cupy")
    )
    told = parity.engines(fake)
    assert len(session.record["failures"]) == len(told) == 7


def test_losses_that_differ_fail(check, monkeypatch):
    original = rx.fit

    def fit(*arguments, backend, **options):
        result = original(*arguments, backend=backend, **options)
        if backend.name != "numpy":
            result.history[-1]["loss"] *= 1.01
        return result

    monkeypatch.setattr(rx, "fit", fit)
    code, record = check("--parts", "training")
    assert code == 1
    assert len(record["failures"]) == 6


# --- the session


def test_a_crash_of_a_part_leaves_the_others(check, monkeypatch):
    def crash(check, results):
        results["so far"] = 1
        raise RuntimeError(f"no {ROOT}/kernel")

    replaced(monkeypatch, "parity", crash)
    code, record = check("--parts", "parity", "products")
    assert code == 1
    (failure,) = record["failures"]
    assert failure.startswith("parity: RuntimeError: no ./kernel (tests/test_gpu_check.py:")
    assert record["parity"]["so far"] == 1
    assert record["products"]["steps"]
    assert record["complete"] is True


def test_ctrl_c_leaves_what_was_measured(check, monkeypatch, capsys):
    def interrupted(check, results):
        results["so far"] = float("inf")
        raise KeyboardInterrupt

    replaced(monkeypatch, "products", interrupted)
    code, record = check("--parts", "training", "products", "timings")
    assert code == 130
    assert record["complete"] is False
    assert len(record["training"]["trainings"]) == 6
    assert record["products"] == {"so far": "inf"}
    assert "timings" not in record
    assert "marked as incomplete" in capsys.readouterr().err


def test_a_disk_that_is_full_later_on(check, monkeypatch, capsys, tmp_path):
    original, saves = Path.write_text, itertools.count()

    def write_text(path, text, **options):
        if next(saves) < 3:
            return original(path, text, **options)
        original(path, text[:100], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)
    code, record = check("--parts", "training", "products")
    out = tmp_path / "record.json"
    assert code == 1
    told = capsys.readouterr().err
    assert told == f"{out} cannot be written: No space left on device. A record there is older.\n"
    assert record["complete"] is False
    assert len(record["training"]["trainings"]) == 2
    assert list(tmp_path.iterdir()) == [out]


def test_a_record_that_cannot_be_saved_ends_every_part(tmp_path):
    session = Session(tmp_path / "nowhere" / "record.json", {}, 60)
    with pytest.raises(UnsavedError, match="cannot be written: No such file or directory"):
        session.run("a part", 1.0, lambda results: list(session.while_time_lasts("ab")))
    assert session.record["failures"] == []


def test_a_record_follows_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "there" / "record.json")
    store(tmp_path / "link.json", {"a": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert read(tmp_path / "there" / "record.json") == {"a": 1}


def test_what_there_is_no_time_for_is_named(check, capsys):
    code, record = check("--budget", "1e-9", "--parts", "parity", "training", "timings")
    assert code == 1
    assert record["left_out"]["parity"][0] == "rnn_tanh, float32, T = 2"
    assert [len(record["left_out"][part]) for part in ("parity", "training", "timings")] == [14, 6, 12]
    assert record["failures"] == []
    told = capsys.readouterr().out
    assert "not all of parity, training could run: give it more time with --budget" in told
    assert (
        "left out for want of time: rnn, T 2, B 1, H 2, gru, T 2, B 1, H 2, lstm, T 2, B 1, H 2 and 9" in told
    )


def test_timings_may_be_left_out(check):
    code, record = check("--budget", "1e-9", "--parts", "timings")
    assert code == 0
    assert len(record["left_out"]["timings"]) == 12


def test_a_record_is_never_half_written(tmp_path):
    session = Session(tmp_path / "record.json", {"good": 1}, 60)
    session.save()
    session.record["bad"] = object()
    with pytest.raises(TypeError):
        session.save()
    assert read(tmp_path / "record.json")["good"] == 1


# --- timings


def test_the_grid_begins_with_its_corners():
    points = timings.grid(Sizes())
    assert len(set(points)) == len(points) == 3 * 4 * 5 * 2
    first = {(point.B, point.H) for point in points[:24]}
    assert first == {(1, 32), (1, 1024), (256, 32), (256, 1024)}
    assert [point.T for point in points[:24]] == [100] * 12 + [1000] * 12
    assert [point.cell for point in points[:3]] == ["rnn", "gru", "lstm"]
    assert timings.spread((32, 128, 256, 512, 1024)) == [32, 1024, 256, 128, 512]


def test_out_of_memory_is_no_failure(check, monkeypatch):
    original = timings.ours

    def ours(check, point, name, mode):
        if point.H == 3 and mode == "train":
            raise MemoryError
        return original(check, point, name, mode)

    monkeypatch.setattr(timings, "ours", ours)
    code, record = check("--parts", "memory", "timings")
    assert code == 0
    for row in record["timings"]["points"]:
        assert (row["train"]["cupy"] == "out of memory") is (row["H"] == 3)
        assert row["inference"]["cupy"]["total"] > 0
    assert [row["cupy"] for row in record["memory"]["points"]] == [None] * 3  # their H is 3


def test_another_error_at_a_point_fails(check, monkeypatch):
    original = timings.ours

    def ours(check, point, name, mode):
        if (point.cell, point.B, point.H, mode) == ("gru", 2, 3, "inference"):
            raise RuntimeError("launch failed")
        return original(check, point, name, mode)

    monkeypatch.setattr(timings, "ours", ours)
    code, record = check("--parts", "timings")
    assert code == 1
    (failure,) = record["failures"]
    assert "gru, T 2, B 2, H 3, inference, cupy: RuntimeError: launch failed" in failure
    assert len(record["timings"]["points"]) == 12


def test_an_engine_is_chosen_for_a_while(monkeypatch):
    monkeypatch.delenv("RNN_XP_ENGINE", raising=False)
    layer = rx.RNN(2, 3)
    with engine("cupy"):
        assert "RNN_XP_ENGINE asks for it" in layer.explain("numpy")
    assert "numpy engine" in layer.explain("numpy")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_pytorch_of_other_weights_is_found(monkeypatch):
    torch, _ = peer.load("cpu")
    backend = rx.get_backend("numpy")
    layer = rx.GRU(4, 5)
    gaps = peer.agreement(torch, "cpu", "gru", layer, backend, 6, 3)
    assert max(gaps["y"], *gaps["gradients"].values()) < 1e-6
    original = rx.interop.torch.to_state_dict
    monkeypatch.setattr(
        rx.interop.torch,
        "to_state_dict",
        lambda layer, params: {name: 1.001 * array for name, array in original(layer, params).items()},
    )
    assert peer.agreement(torch, "cpu", "gru", layer, backend, 6, 3)["y"] > timings.AGREEMENT["y"]


# --- tests by pytest


def judged(tmp_path, files, budget=60.0):
    """Let the part run pytest on these files; return what it makes of it, and the session."""
    folder = tmp_path / "some"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    session = Session(tmp_path / "record.json", {}, budget)
    session.part = "tests"
    check = types.SimpleNamespace(session=session)
    return suite.judged(check, suite.pytest(check, [str(folder)], "numpy")), session.record


def test_outcomes_of_pytest_are_told_apart(tmp_path):
    good = "import pytest\ndef test_a(): pass\n@pytest.mark.skip(reason='no')\ndef test_b(): pass\n"
    bad = (
        "import pytest\n@pytest.fixture\ndef broken(): raise ValueError('what')\n"
        "def test_c(broken): pass\ndef test_d(): assert 1 == 2, 'seen'\n"
    )
    absent, own = "import a_library_that_is_absent\n", "import rnn_xp.nowhere\n"
    files = {"test_good.py": good, "test_bad.py": bad, "test_absent.py": absent, "test_own.py": own}
    result, record = judged(tmp_path, files)
    assert result["found"] == 4
    assert result["outcomes"] == {"passed": 1, "skipped": 1, "error": 1, "failed": 1}
    assert list(result["skipped"].values()) == [1]
    assert [name.split("::")[1] for name in result["failures"]] == ["test_c", "test_d"]
    assert "what" in "".join(result["failures"].values())
    assert "seen" in "".join(result["failures"].values())
    assert sorted(result["uncollected"].values()) == ["a_library_that_is_absent", "rnn_xp.nowhere"]
    assert [failure.count("test_own.py could not be read") for failure in record["failures"]] == [0, 0, 1]


def test_no_test_at_all_fails(tmp_path):
    result, record = judged(tmp_path, {"other.py": ""})
    assert result["found"] == 0
    assert "pytest ended with status 5 and 0 tests found" in record["failures"][0]


def test_tests_that_take_too_long_are_cut(tmp_path, monkeypatch):
    original = suite.ended

    def ended(check, process, lines):
        while "test_a" not in lines.read_text(encoding="utf-8"):
            time.sleep(0.05)
        return original(check, process, lines)

    monkeypatch.setattr(suite, "ended", ended)
    slow = "import time\ndef test_a(): pass\ndef test_b(): time.sleep(60)\n"
    result, record = judged(tmp_path, {"test_slow.py": slow}, budget=1e-9)
    assert result["outcomes"] == {"passed": 1}
    assert record["left_out"] == {"tests": ["1 tests"]}
    assert record["failures"] == []


def test_ctrl_c_in_the_tests_keeps_their_outcomes(check, tmp_path, monkeypatch):
    original = suite.ended

    def ended(check, process, lines):
        if "-k" in process.args:  # the second run of a dry run
            while "test_b" not in lines.read_text(encoding="utf-8"):
                time.sleep(0.05)
            signal.raise_signal(signal.SIGINT)
        return original(check, process, lines)

    slow = "import time\ndef test_a(): pass\ndef test_b(): assert False\ndef test_c(): time.sleep(60)\n"
    (tmp_path / "test_slow.py").write_text(slow, encoding="utf-8")
    collected = [str(tmp_path), "--collect-only"]
    monkeypatch.setattr(suite, "DRY", (collected, [str(tmp_path), "-k", "test"]))
    monkeypatch.setattr(suite, "ended", ended)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, record = check("--parts", "tests", "products")
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert record["complete"] is False
    assert record["tests"]["collected"]["found"] == record["tests"]["found"] == 3
    assert record["tests"]["outcomes"] == {"passed": 1, "failed": 1}
    (failure,) = record["failures"]
    assert "test_b" in failure
    assert record["left_out"] == {}
    assert "products" not in record


def test_without_pytest_the_part_fails(tmp_path, monkeypatch):
    session = Session(tmp_path / "record.json", {}, 60)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    suite.run(types.SimpleNamespace(session=session), {})
    assert "pip install pytest" in session.record["failures"][0]


def test_the_plugin_writes_as_it_goes(tmp_path):
    plugin = outcomes.Outcomes(tmp_path / "lines")
    plugin.tell("found", tests=1)
    plugin.pytest_sessionfinish(0)
    lines = (tmp_path / "lines").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["found", "finished"]


# --- the device, by a stand-in for CuPy and by CuPy's names


class Hook:
    """CuPy's base class of memory hooks, as far as it matters."""

    active = None

    def __enter__(self):
        Hook.active = self
        return self

    def __exit__(self, *_):
        Hook.active = None


def stand_in():
    """Return a module that answers as `cupy` does on a machine with a GPU."""
    moments = iter(range(10**9))

    class Event:
        def record(self):
            self.at = next(moments)

        def synchronize(self):
            assert self.at is not None

    pool = types.SimpleNamespace(used_bytes=lambda: 100, total_bytes=lambda: 4096, freed=0)
    pool.free_all_blocks = lambda: setattr(pool, "freed", pool.freed + 1)
    properties = {"name": b"Stand-in", "major": 9, "minor": 0, "totalGlobalMem": 1 << 30}
    properties |= {"multiProcessorCount": 4, "clockRate": 1000}
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: 13020, getDeviceProperties=lambda i: properties, getDeviceCount=lambda: 1
    )
    device = types.SimpleNamespace(id=0, mem_info=(1, 2), synchronize=lambda: None)
    cuda = types.SimpleNamespace(
        Device=lambda: device,
        Event=Event,
        MemoryHook=Hook,
        device=types.SimpleNamespace(get_cublas_handle=lambda: 1),
        cublas=types.SimpleNamespace(getVersion=lambda handle: 130000),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 2)),
        get_elapsed_time=lambda start, end: 2000.0 * (end.at - start.at),
        get_local_runtime_version=lambda: 13010,
        memory=types.SimpleNamespace(OutOfMemoryError=MemoryError),
        runtime=runtime,
    )
    return types.SimpleNamespace(
        __version__="14", cuda=cuda, fuse=lambda function: function, get_default_memory_pool=lambda: pool
    )


def test_the_cuda_device_as_cupy_answers(monkeypatch):
    cupy = stand_in()
    device = CudaDevice(cupy)
    assert device.timed(lambda: None).device == 2.0  # one after the other: 2000 ms

    def step():
        Hook.active.malloc_postprocess(device_id=0, size=5, mem_size=512, mem_ptr=7, pmem_id=1)
        Hook.active.malloc_postprocess(device_id=0, size=5, mem_size=1024, mem_ptr=0, pmem_id=0)  # in vain
        Hook.active.free_postprocess(device_id=0, mem_size=512, mem_ptr=7, pmem_id=1)
        Hook.active.malloc_postprocess(device_id=0, size=5, mem_size=256, mem_ptr=9, pmem_id=1)

    assert device.peak(step) == {"peak": 612, "held": 4096}
    monkeypatch.setattr("gpu.device.driver", lambda: "580.65")
    facts = device.facts()
    assert facts["name"] == "Stand-in"
    assert facts["compute_capability"] == "9.0"
    assert (facts["driver_cuda"], facts["runtime_cuda"], facts["nvrtc"]) == ("13.2", "13.1", "13.2")
    assert not any("unknown" in str(fact) for fact in facts.values())
    monkeypatch.delattr(cupy.cuda, "cublas")
    assert device.facts()["cublas"].startswith("unknown: AttributeError")

    emptied = []
    lost = type("OutOfMemoryError", (RuntimeError,), {})
    cuda = types.SimpleNamespace(empty_cache=lambda: emptied.append(1), OutOfMemoryError=lost)
    device.share_with(types.SimpleNamespace(cuda=cuda))
    device.free()
    assert emptied == [1]
    assert device.out_of_memory == (MemoryError, lost)


def test_every_part_that_measures_runs_on_the_cuda_device(tmp_path):
    session = Session(tmp_path / "record.json", {}, 60)
    check = Check(session, CudaDevice(stand_in()), "array_api_strict", "device1", SMALL, dry_run=True)
    for name, part in (("products", products), ("memory", memory), ("timings", timings)):
        session.run(name, 1.0, partial(part.run, check))
    assert session.record["failures"] == []
    assert session.record["left_out"] == {}
    assert session.record["timings"]["points"][0]["train"]["cupy"]["device"] == 2.0
    assert session.record["memory"]["points"][0]["cupy"] == {"peak": 100, "held": 4096}


def test_versions_of_cuda():
    assert [version(number) for number in (12040, 13020, 13000)] == ["12.4", "13.2", "13.0"]


def test_both_devices_have_one_interface():
    own = {name for name in vars(CudaDevice) if not name.startswith("_")}
    assert own <= {name for name in dir(HostDevice()) if not name.startswith("_")}


USED = ("Event.record", "Event.synchronize", "Device.synchronize", "Device.id", "Device.mem_info")
POOL = ("used_bytes", "total_bytes", "free_all_blocks")


def test_cupy_has_every_name_that_is_used():
    cupy = pytest.importorskip("cupy")
    source = ast.parse((ROOT / "benchmarks" / "gpu" / "device.py").read_text(encoding="utf-8"))
    chains = {ast.unparse(node) for node in ast.walk(source) if isinstance(node, ast.Attribute)}
    names = {chain.removeprefix("self.") for chain in chains}
    names = {name.removeprefix("cupy.") for name in names if name.startswith("cupy.")}
    assert {"cuda.Event", "cuda.get_elapsed_time", "cuda.runtime.driverGetVersion", "fuse"} <= names
    names |= {f"cuda.{name}" for name in USED} | {f"cuda.MemoryPool.{name}" for name in POOL}
    names -= {"cuda.cublas", "cuda.cublas.getVersion"}  # load the library itself
    for name in sorted(names):
        found = cupy
        for part in name.replace("()", "").split("."):
            assert hasattr(found, part), name
            found = getattr(found, part)
    with peak_hook(cupy.cuda.MemoryHook, 3) as hook:
        assert hook.peak == 3


def test_pytorch_has_every_name_that_is_used():
    torch = pytest.importorskip("torch")
    chains = set()
    for name in ("peer", "memory"):
        source = ast.parse((ROOT / "benchmarks" / "gpu" / f"{name}.py").read_text(encoding="utf-8"))
        chains |= {ast.unparse(node) for node in ast.walk(source) if isinstance(node, ast.Attribute)}
    names = {f"torch.{name}" for name in chains if name.startswith("cuda.")}
    names |= {name for name in chains if name.startswith("torch.") and "(" not in name}
    assert {"torch.cuda.max_memory_reserved", "torch.backends.cudnn.version", "torch.version.cuda"} <= names
    for name in [*names, "torch.cuda.empty_cache", "torch.cuda.OutOfMemoryError"]:
        found = torch
        for part in name.split(".")[1:]:
            assert hasattr(found, part), name
            found = getattr(found, part)
