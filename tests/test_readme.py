"""The README says what is so: its Python runs, its commands are understood, its tables are the records'."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

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


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("rnn-xp")]


def test_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    accuracy, *told = capsys.readouterr().out.splitlines()
    assert float(accuracy) > 0.9
    assert told[0] == "the cell ugrnn: passed"
    shown = [block.strip() for block in blocks("text") if block.startswith("failed: ")]
    assert len(shown) == 2
    for words in shown:  # to the digits that another machine may compute otherwise
        assert any(line.startswith(re.split(r"[\d.]+ \(limit", words)[0]) for line in told)
        for place in re.findall(r"worst element \[[\d, ]+\]|y\[\d+\] changes when x\[\d+\] does", words):
            assert any(place in line for line in told)
    assert names["probabilities"].shape == (1000, 2)
    assert names["d_x"].shape == (5, 2, 3)
    assert len(names["result"].history) == 3


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
    assert report.filled(README) == README
    results = ROOT / "benchmarks" / "results"
    record = json.loads((results / "cpu.json").read_text(encoding="utf-8"))
    assert (results / "cpu.md").read_text(encoding="utf-8") == report.cpu_page(record)
