"""Plant mistakes in the package, one at a time, and count those that the tests find.

    python tests/mutation/run.py                        a sample of 500, two at a time
    python tests/mutation/run.py --count 40 --seed 7    another one
    python tests/mutation/run.py --all --files optim.py cells/lstm.py

A mutant first meets the tests that are nearest to its file; what passes them meets all tests of numbers. What
runs out of time or crashes has been caught too. `equivalent.toml` lists the mutants that change nothing that
the package promises, each with the reason; they do not count. The status is 1 where less than 95 % of the
others are caught.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.connection import wait
from pathlib import Path

from mutants import Mutant, mutants, planted
from report import CAUGHT, Result, as_json, listed, score, told
from trial import PACKAGE, ROOT, Answer, Trial, prepare

FILES = (
    "cells/*.py",
    "engines/*.py",
    "sequence/*.py",
    "functional.py",
    "optim.py",
    "clipping.py",
    "layers/recurrent.py",
    "stream.py",
)
NEAREST = {  # by the file's name or its first part; the quickest to fail comes first
    "cells/activations.py": ("functional", "gradients", "layers"),
    "cells/base.py": ("layers", "gradients", "torch_answers", "properties"),
    "cells": ("gradients", "layers", "torch_answers", "properties"),
    **dict.fromkeys(
        ("engines/numpy.py", "engines/program.py", "engines/trace.py"),
        ("numpy_engine", "engines", "gradients"),
    ),
    "engines": ("engines", "gradients", "layers", "properties"),
    "sequence/advance.py": ("stream",),
    "sequence": ("layers", "gradients", "engines", "properties", "namespaces"),
    "functional.py": ("functional", "torch_answers", "gradients"),
    "optim.py": ("optim",),
    "clipping.py": ("optim", "step"),
    "layers": ("layers", "gradients", "namespaces"),
    "stream.py": ("stream",),
}
NOT_OF_NUMBERS = (
    *("aeon", "architecture", "cli", "cpu", "data", "docker", "gpu", "mutants"),
    *("nvrtc", "readme", "report", "tutorial", "verify"),
)
GOAL = 0.95


def selections(file: str) -> list[list[str]]:
    """Return the tests nearest to a file, and all others of numbers, with the examples of the package."""
    names = NEAREST.get(file) or NEAREST[file.split("/")[0]]
    near = [f"tests/test_{name}.py" for name in names]
    tests = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/test_*.py"))
    rest = [test for test in tests if test not in near and not any(word in test for word in NOT_OF_NUMBERS)]
    return [near, [*rest, "rnn_xp", "--ignore=rnn_xp/cli", "--ignore=rnn_xp/data"]]


def sample(found: dict[str, list[Mutant]], count: int, seed: int) -> list[Mutant]:
    """Return `count` mutants: of each file its share, the first ones of an order of its own."""
    total = sum(map(len, found.values()))
    shares = {file: len(of_file) * min(count, total) / total for file, of_file in found.items()}
    quotas = {file: int(share) for file, share in shares.items()}
    largest_rests = sorted(shares, key=lambda file: quotas[file] - shares[file])
    for file in largest_rests[: round(sum(shares.values())) - sum(quotas.values())]:
        quotas[file] += 1
    chosen = []
    for file, of_file in found.items():
        order = random.Random(f"{seed} {file}").sample(of_file, len(of_file))
        chosen += sorted(order[: quotas[file]], key=lambda mutant: (mutant.place, mutant.choice))
    return chosen


def durations() -> dict[str, float]:
    """Return the seconds of every file of tests, all of which the package as it is must pass."""
    trial = Trial([test for tests in selections("optim.py") for test in tests], limit=3600.0)
    wait([trial.answers])
    answer = trial.answer()
    if answer is None or answer.verdict != "survived":
        sys.exit(f"without any mistake, the tests must pass; {answer and (answer.by or answer.verdict)}")
    return answer.durations


def tried(chosen: list[Mutant], jobs: int) -> Iterator[tuple[Mutant, Answer]]:
    """Yield every mutant with its answer, `jobs` at a time."""
    seconds = durations()
    sources = {mutant.file: (PACKAGE / mutant.file).read_text(encoding="utf-8") for mutant in chosen}
    waiting = chosen[::-1]
    running: list[tuple[Mutant, Trial, list[list[str]], float]] = []  # what comes next, and the time so far

    def start(mutant: Mutant, tests: list[list[str]], spent: float) -> None:
        usual = sum(seconds[file] for file in seconds if file.startswith(tuple(tests[0])))
        trial = Trial(tests[0], 30.0 + 4.0 * usual, mutant.file, planted(sources[mutant.file], mutant))
        running.append((mutant, trial, tests[1:], spent))

    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            start(mutant, selections(mutant.file), 0.0)
        wait([trial.answers for _, trial, _, _ in running], timeout=1.0)
        for entry in list(running):
            mutant, trial, left, spent = entry
            answer = trial.answer()
            if answer is None:
                continue
            running.remove(entry)
            spent += answer.seconds
            if answer.verdict == "broken":
                raise RuntimeError(answer.by)
            if answer.verdict in CAUGHT or not left:
                yield mutant, answer._replace(seconds=round(spent, 2))
            else:
                start(mutant, left, spent)


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="how many mutants (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--all", action="store_true", help="all mutants")
    parser.add_argument("--files", nargs="+", default=FILES, help="which files of the package, as patterns")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--output", type=Path, help="a file for the results, as JSON")
    options = parser.parse_args()

    began = time.monotonic()
    found: dict[str, list[Mutant]] = {}
    for path in sorted({path for pattern in options.files for path in PACKAGE.glob(pattern)}):
        file = path.relative_to(PACKAGE).as_posix()
        of_file = mutants(file, path.read_text(encoding="utf-8"))
        if of_file:
            found[file] = of_file
    count = sum(map(len, found.values())) if options.all else options.count
    chosen = sample(found, count, options.seed)
    reasons = listed()
    prepare()
    results: list[Result] = []
    for mutant, answer in tried(chosen, options.jobs):
        results.append(Result(mutant, answer, reasons.get(mutant.key)))
        caught = sum(result.caught for result in results)
        line = f"{len(results)} of {len(chosen)} tried, {caught} caught, {time.monotonic() - began:.0f} s"
        sys.stderr.write(line + ("\r" if sys.stderr.isatty() else "\n"))
    seconds = round(time.monotonic() - began)
    sys.stdout.write(f"{told(found, results, reasons)}\n\n{seconds} s, seed {options.seed}\n")
    if options.output:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        where = {"date": date, "python": platform.python_version(), "cores": os.cpu_count()}
        text = as_json(found, results, **where, seed=options.seed, seconds=seconds)
        options.output.write_text(text, encoding="utf-8")
    return int(score(results) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
