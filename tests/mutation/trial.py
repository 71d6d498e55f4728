"""One mutant against some tests, in a process of its own.

The package on disk stays as it is: the parent imports what the tests need, but not the package; each child
that it forks imports the changed file in place of the real one.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "rnn_xp"
WARM = ("numpy", "pytest", "hypothesis", "array_api_strict", "torch", "mpmath", "gmpy2", "safetensors.numpy")
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not gpu")
WARM_IS_FINE = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # hypothesis has been imported already


class Answer(NamedTuple):
    """What became of a mutant, or of the package itself."""

    verdict: str  # "survived"; or caught: "test", "error" where no test could be collected, "time" or "crash"
    # ("not loaded" where no test imports the file, "broken" where the trial itself is)
    by: str = ""  # the test that failed first
    seconds: float = 0.0
    durations: dict[str, float] = {}  # noqa: RUF012  (of every file of tests)


class Recorder:
    """A plugin of pytest: it notes what failed first, and how long every file took."""

    def __init__(self) -> None:
        self.failed, self.durations = "", Counter[str]()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a test."""
        self.durations[report.nodeid.split("::")[0]] += report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        """Note a file."""
        if report.failed:
            self.failed = self.failed or report.nodeid


class Planted(importlib.machinery.SourceFileLoader):
    """Finds and loads one module of the package: from the given code."""

    def __init__(self, file: str, code: CodeType) -> None:
        name = "rnn_xp." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        super().__init__(name, str(PACKAGE / file))
        self.code, self.loaded = code, False

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """Answer for the one module."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        """Return the code with the mistake."""
        self.loaded = True
        return self.code


class Trial:
    """A run of some tests, with a tree in place of a file of the package."""

    def __init__(
        self, tests: Sequence[str], limit: float, file: str = "", tree: ast.Module | None = None
    ) -> None:
        context = get_context("fork")
        self.answers, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_run, args=(theirs, tests, file, tree))
        self.start, self.limit = time.monotonic(), limit
        self.process.start()
        theirs.close()

    def answer(self) -> Answer | None:
        """Return what came of it, or None as long as it runs."""
        seconds = time.monotonic() - self.start
        told, late = self.answers.poll(), seconds > self.limit
        if not told and not late and self.process.is_alive():
            return None
        answer = Answer("time" if late else "crash")
        if told:
            with contextlib.suppress(EOFError):  # the end of a process that said nothing
                answer = self.answers.recv()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.join()
        self.answers.close()
        return answer._replace(seconds=seconds)


def _run(answers: Connection, tests: Sequence[str], file: str, tree: ast.Module | None) -> None:
    """Send the answer: the work of the child."""
    os.setsid()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    try:
        answers.send(_tested(tests, file, tree))
    except BaseException:
        answers.send(Answer("broken", traceback.format_exc()))


def _tested(tests: Sequence[str], file: str, tree: ast.Module | None) -> Answer:
    """Run the tests."""
    import pytest

    planted = None
    if tree is not None:
        planted = Planted(file, compile(tree, str(PACKAGE / file), "exec"))
        sys.meta_path.insert(0, planted)
    recorder = Recorder()
    status = pytest.main([*PYTEST, *WARM_IS_FINE, *tests], plugins=[recorder])
    verdict = "survived" if status == 0 else "test" if "::" in recorder.failed else "error"
    if verdict == "survived" and planted is not None and not planted.loaded:
        verdict = "not loaded"
    return Answer(verdict, recorder.failed, 0.0, dict(recorder.durations))


def prepare() -> None:
    """Import what the children need, on one thread each, and keep what they write out of the checkout."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    folder = tempfile.mkdtemp(prefix="rnn_xp-mutation-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # the children leave without it
    sys.dont_write_bytecode, sys.pycache_prefix = False, folder
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in WARM:
        if importlib.util.find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    from hypothesis import settings

    settings.register_profile("mutation", derandomize=True, deadline=None, database=None)
    settings.load_profile("mutation")
    assert not any(name.partition(".")[0] == "rnn_xp" for name in sys.modules)
