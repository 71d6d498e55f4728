"""What the containers run: `train`, `test` or `bench`, on the backend of the image."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path("/results")
USAGE = """\
usage: docker run [...] IMAGE train|test|bench [OPTION ...]
options: train: those of `rnn-xp train`; test: those of pytest; bench: --repetitions N in rnn-xp-cpu,
         those of benchmarks/gpu_check.py in rnn-xp-gpu
"""
INTERRUPTED = 130
OPEN = """
import sys, rnn_xp
try:
    rnn_xp.get_backend(sys.argv[1])
except rnn_xp.BackendError as error:
    sys.exit(str(error).replace('backend="numpy"', "the image rnn-xp-cpu"))
"""
"""Says what is missing; a process of its own, which leaves nothing on the GPU where others measure."""
TESTS = {"numpy": ["-n", "auto"], "cupy": ["-m", "gpu"]}
"""The options of pytest: all tests, or those that need a GPU; the others are the CPU image's."""


def train(backend: str, options: list[str]) -> NoReturn:
    """Become `rnn-xp train`."""
    os.environ["RNN_XP_BACKEND"] = backend
    become("-m", "rnn_xp", "train", *options)


def test(backend: str, options: list[str]) -> NoReturn:
    """Become pytest, which leaves no cache beside the sources."""
    os.environ["RNN_XP_TEST_BACKENDS"] = backend
    os.chdir(ROOT)
    become("-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS[backend], *options)


def become(*arguments: str) -> NoReturn:
    """Go on as Python with these arguments, so that signals reach it."""
    os.execv(sys.executable, [sys.executable, *arguments])


def bench(backend: str, options: list[str]) -> int:
    """Measure into a new folder, and then put what is there in the place of earlier results."""
    try:
        new = TemporaryDirectory(dir=RESULTS, prefix=".bench-")
    except OSError as error:
        sys.exit(
            f"bench: {RESULTS} must be a folder that user {os.getuid()} can write to; got: {error.strerror}. "
            f'Mount one of yours: docker run --user "$(id -u):$(id -g)" -v "$PWD/runs:{RESULTS}" [...]'
        )
    with new as name:
        folder = Path(name)
        try:
            code = BENCHES[backend](folder, options)
        except KeyboardInterrupt:
            code = INTERRUPTED
        made = sorted(folder.iterdir())
        for path in made:
            path.replace(RESULTS / path.name)
    sys.stdout.write(f"new in {RESULTS}: {', '.join(path.name for path in made) or 'nothing'}\n")
    return code


def bench_cpu(folder: Path, options: list[str]) -> int:
    """Time the tutorial's job and the import."""
    parser = argparse.ArgumentParser("docker run [...] rnn-xp-cpu bench", allow_abbrev=False)
    parser.add_argument("--repetitions", type=int, metavar="N", help="of each measurement")
    asked = parser.parse_args(options).repetitions
    if asked is not None and asked < 1:
        parser.error(f"--repetitions must be at least 1; got {asked}")
    both = [] if asked is None else ["--repetitions", str(asked)]
    for name in ("tutorial", "import_cost"):
        if code := call(benchmark(f"{name}.py", "--out", folder / f"{name}.json", *both)):
            return code
    return 0


def bench_gpu(folder: Path, options: list[str]) -> int:
    """Run the GPU check, and draw table and plot of its record, be its findings good or bad."""
    record = folder / "record.json"
    if commit := os.environ.get("RNN_XP_COMMIT"):
        options = ["--commit", commit, *options]
    code = answering(benchmark("gpu_check.py", "--out", record, *options))
    drawn = call(benchmark("report.py", "--gpu", record, "--out", folder)) if record.exists() else 0
    return code or drawn


def benchmark(name: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that runs a file of benchmarks/."""
    return [sys.executable, ROOT / "benchmarks" / name, *arguments]


def call(command: list[str | Path]) -> int:
    """Run a command and return its exit code; Ctrl-C and `docker stop` kill it, and are raised here."""
    return as_in_a_shell(subprocess.call(command, process_group=0))


def answering(command: list[str | Path]) -> int:
    """Run a command and return its exit code; Ctrl-C and `docker stop` are for it to answer."""
    with subprocess.Popen(command, process_group=0) as process:
        before = signal.signal(signal.SIGINT, lambda *_: process.send_signal(signal.SIGINT))
        code = process.wait()
        signal.signal(signal.SIGINT, before)
    return as_in_a_shell(code)


def as_in_a_shell(code: int) -> int:
    """Return the exit code of a process, as a shell counts where a signal ended it."""
    return code if code >= 0 else 128 - code


COMMANDS: dict[str, Callable[[str, list[str]], int]] = {"train": train, "test": test, "bench": bench}
BENCHES = {"numpy": bench_cpu, "cupy": bench_gpu}


def main(backend: str, command: str = "", *options: str) -> int:
    """Run a command where its backend is there."""
    if command not in COMMANDS:
        sys.stderr.write(USAGE)
        return 2
    try:
        return call([sys.executable, "-c", OPEN, backend]) or COMMANDS[command](backend, [*options])
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
