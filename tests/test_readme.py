"""The README says what is so: its Python runs, its commands are understood, its tables are the records'."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import main
from rnn_xp.cli.arguments import build_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.S | re.M)


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LAUNCHED = re.compile(r"^(?:(?:mpiexec|srun) .*)?(?=rnn-xp )")
COMMANDS = [
    LAUNCHED.sub("", line) for block in blocks("sh") for line in block.splitlines() if LAUNCHED.match(line)
]
SERVING = next(block for block in blocks("python") if "onnxruntime" in block)
DIGITS = r"\d+(\.\d+)?(e-\d+)?"


def shape_of(text):
    """Return a text with every number the same: digits differ from machine to machine."""
    return [re.sub(rf"{DIGITS}|nan", "#", line) for line in text.splitlines()]


def test_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, told = {}, []
    for block in blocks("python"):
        if block != SERVING:
            exec(compile(block, "README.md", "exec"), names)
            told.append(capsys.readouterr().out)
    first, *others = (block for block in blocks("text") if block.startswith(("epoch", "failed")))
    assert shape_of(told[0]) == shape_of(first)
    accuracy = re.search(r"accuracy ([\d.]+)", told[0])[1]
    assert float(accuracy) == pytest.approx(float(re.search(r"accuracy ([\d.]+)", first)[1]), abs=0.01)
    assert "worst" in told[0]
    for words in others:
        assert shape_of(words) == shape_of(next(each for each in told if each.startswith("failed")))
        for place in re.findall(r"y\[\d+\] changes when x\[\d+\] does", words):
            assert any(place in each for each in told)
    assert names["d_x"].shape == (5, 2, 3)
    assert names["classifier"].score(names["test"].X, names["test"].y) > 0.9
    spec = importlib.util.spec_from_file_location("standalone", "standalone.py")
    standalone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(standalone)
    expected = rx.predict(names["model"], names["params"], names["test"].X, loss="cross_entropy")
    assert standalone.predict(names["test"].X).tobytes() == expected.tobytes()


def write_csv(path, count, rng, labels=True):
    """Write sequences whose pressure falls where there is a leak."""
    lines = ["run,t,speed,pressure" + ",label" * labels]
    for run in range(count):
        leak, pressure = run % 2, 1.0
        for t in range(int(rng.integers(12, 20))):
            pressure += rng.normal(0, 0.01) - 0.02 * leak
            row = f"{run},{t},{rng.normal():.3f},{pressure:.4f}"
            lines.append(row + (f",{('ok', 'leak')[leak]}" if labels else ""))
    path.write_text("\n".join(lines) + "\n")


def test_a_csv_gets_to_onnx_runtime(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, count in (("train", 60), ("test", 20), ("new", 6)):
        write_csv(tmp_path / f"{name}.csv", count, rng, labels=name != "new")
    (block,) = [block for block in blocks("sh") if "rnn-xp export" in block]
    commands = [line for line in block.splitlines() if line.startswith("rnn-xp")]
    assert [shlex.split(command)[1] for command in commands] == [
        "train", "evaluate", "predict", "plot", "diagnose", "export"
    ]  # fmt: skip
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert "parity: " in capsys.readouterr().out
    names = {"rx": rx}
    exec(compile(SERVING, "README.md", "exec"), names)
    assert capsys.readouterr().out == '(6, 2) ["leak", "ok"]\n'
    rows = [line.split(",") for line in (tmp_path / "predictions.csv").read_text().splitlines()]
    assert rows[0] == ["id", "label", "p_leak", "p_ok"]
    np.testing.assert_allclose(names["p"], [[float(p) for p in row[2:]] for row in rows[1:]], atol=1e-6)
    assert [row[1] for row in rows[1:]] == ["ok", "leak"] * 3


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command):
    build_parser().parse_args(shlex.split(command)[1:])


def test_measured_commands_are_those_of_the_readme(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    tasks = benchmark("tasks").TASKS
    assert tasks
    for task in tasks.values():
        assert f"rnn-xp train {task.options}".strip() in [
            command.partition(" --out")[0] for command in COMMANDS
        ]


def test_tables_are_those_of_the_records():
    report = benchmark("report")
    for path, text in report.pages(ROOT).items():
        assert report.filled(text, folder=report.folder(ROOT, path)) == text
    results = ROOT / "benchmarks" / "results"
    record = json.loads((results / "cpu.json").read_text(encoding="utf-8"))
    assert (results / "cpu.md").read_text(encoding="utf-8") == report.cpu_page(record)
