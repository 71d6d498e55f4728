"""The tests marked `gpu`, by pytest in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from record import ROOT

from gpu.check import Check

REAL = ["tests", "-m", "gpu"]
DRY = (["tests", "-m", "gpu", "--collect-only"], ["tests/test_functional.py", "-k", "array_api_strict"])
"""A dry run collects the tests, and runs some of another library."""

FLAGS = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--tb=short"]


def run(check: Check, results: dict[str, Any]) -> None:
    """Run the tests; a dry run collects them, and runs some others."""
    if importlib.util.find_spec("pytest") is None:
        check.session.fail("pytest is not installed: pip install pytest, or leave the tests out with --parts")
        return
    if check.dry_run:
        collected, ran = DRY
        results["collected"] = {}
        fill(results["collected"], check, collected, "cupy")
        fill(results, check, ran, "array_api_strict")
    else:
        fill(results, check, REAL, "cupy")


def fill(results: dict[str, Any], check: Check, arguments: list[str], backend: str) -> None:
    """Put into the results what pytest shows, also where Ctrl-C ends it."""
    answer = pytest(check, arguments, backend)
    results |= judged(check, answer)
    if answer["end"] == "interrupted":
        raise KeyboardInterrupt


def pytest(check: Check, arguments: list[str], backend: str) -> dict[str, Any]:
    """Run pytest for as long as this part may take; return what it told and printed, and how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        lines, output = Path(folder, "outcomes.jsonl"), Path(folder, "output.txt")
        lines.touch()
        path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")])),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # whatever else is installed there
            "RNN_XP_TEST_BACKENDS": f"numpy,{backend}",
        }
        command = [sys.executable, "-m", "gpu.outcomes", str(lines), *arguments, *FLAGS]
        with output.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
            try:
                end = "by itself" if ended(check, process, lines) else "cut"
            except KeyboardInterrupt:
                end = "interrupted"
            finally:
                process.kill()
                process.wait()
        told = [
            json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines() if line[-1] == "}"
        ]
        last = output.read_text(encoding="utf-8", errors="replace")[-2000:].replace(str(ROOT), ".")
    return {"told": told, "end": end, "status": process.returncode, "output": last, "arguments": arguments}


def ended(check: Check, process: subprocess.Popen[Any], lines: Path) -> bool:
    """Wait for the end, and say now and then how far it is; False where time is over before."""
    next_word = time.monotonic() + 15
    while process.poll() is None:
        if check.session.part_left <= 0:
            return False
        if time.monotonic() > next_word:
            done = lines.read_text(encoding="utf-8").count('"kind": "test"')
            check.session.say(f"{done} tests so far")
            next_word += 15
        time.sleep(0.2)
    return True


def judged(check: Check, answer: dict[str, Any]) -> dict[str, Any]:
    """Sum up what pytest told; all but a pass, a skip or a file that needs another library is a failure."""
    told, session = answer["told"], check.session
    tests = [each for each in told if each["kind"] == "test"]
    uncollected = {each["file"]: each for each in told if each["kind"] == "uncollected"}
    found = sum(each["tests"] for each in told if each["kind"] == "found")
    failed = [each for each in tests if each["outcome"] in ("failed", "error")]
    result = {
        "command": f"pytest {' '.join(answer['arguments'])}",
        "found": found,
        "outcomes": dict(Counter(each["outcome"] for each in tests)),
        "failures": {each["name"]: each["message"] for each in failed},
        "skipped": dict(Counter(each["message"] for each in tests if each["outcome"] == "skipped")),
        "uncollected": {name: each["absent"] or each["message"] for name, each in uncollected.items()},
    }
    session.say(f"{result['command']}: {found} found, {result['outcomes']}")
    for name, message in result["failures"].items():
        session.fail(f"{name}: {message}")
    for name, each in uncollected.items():
        if each["absent"] is None or each["absent"].startswith("rnn_xp"):
            session.fail(f"{name} could not be read: {each['message']}")
        else:
            session.say(f"{name} was not read: it needs {each['absent']}")
    if answer["end"] == "cut":
        session.leave_out([f"{found - len(tests)} tests" if found else "all tests"])
    elif answer["end"] == "by itself" and not (found and any(each["kind"] == "finished" for each in told)):
        result["output"] = answer["output"]
        session.fail(
            f"pytest ended with status {answer['status']} and {found} tests found: {answer['output']}"
        )
    return result
