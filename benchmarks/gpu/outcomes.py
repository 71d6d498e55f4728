"""Run pytest, and write a line of JSON for every outcome at once: what a killed run has shown is not lost.

python -m gpu.outcomes FILE [pytest's arguments]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest


class Outcomes:
    """A plugin that follows the run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tell(self, kind: str, **values: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **values}) + "\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.tell("found", tests=len(session.items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            absent = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", report.longreprtext)
            self.tell(
                "uncollected",
                file=report.nodeid,
                absent=absent and absent[1],
                message=last_line(report),
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            message = "" if report.passed else last_line(report)
            outcome = report.outcome if report.when == "call" or report.skipped else "error"
            self.tell("test", name=report.nodeid, outcome=outcome, seconds=report.duration, message=message)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.tell("finished", status=int(exitstatus))


def last_line(report: Any) -> str:
    """Return what went wrong, or why it was skipped, in a line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longreprtext if crash is None else crash.message.partition("\n")[0]
    line = (text.strip().splitlines() or [""])[-1].removeprefix("E   ").strip()
    return line.replace(str(Path.cwd()), ".")[:300]


if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[2:], plugins=[Outcomes(Path(sys.argv[1]))]))
