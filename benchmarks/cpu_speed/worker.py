"""A contender: a process that does what it is asked for, a line of JSON at a time.

    python -m cpu_speed.worker LIBRARY

The environment says how many threads. It lives as long as its standard input. What a library prints goes
to standard error.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np  # before all that sets its threads anew

STILL = 0.1  # of a core: threads that do not wait for work


class Worker:
    """What there is to be asked for: every public method."""

    def __init__(self, library: str) -> None:
        self._threads = int(os.environ["OMP_NUM_THREADS"])
        self._library = import_module(f"cpu_speed.by_{library}")
        self._calls: dict[str, Callable[[], Any]] = {}
        self._results: dict[str, Any] = {}
        self._facts = self._library.start()

    def facts(self) -> dict[str, Any]:
        """Say what computes."""
        return self._facts

    def prepare(
        self, job: str, spec: dict[str, Any], prefix: str = "", answers: str | None = None
    ) -> list[str]:
        """Make a job ready, and leave its answers in a file; return the names of its calls."""
        ready = self._library.JOBS[job](**spec)
        calls = {prefix + name: call for name, call in ready.calls.items()}
        self._calls |= calls
        if answers is not None:
            np.savez(answers, **ready.answers())
        return list(calls)

    def warm(self, call: str, seconds: float) -> dict[str, int]:
        """Compile and warm up; return how many calls fill the seconds, and how many lead in to them."""
        run = self._calls[call]
        run()  # compiles
        start = time.perf_counter()
        run()
        one = time.perf_counter() - start
        if one < seconds / 10:
            times = max(3, int(seconds / 4 / one))
            start = time.perf_counter()
            for _ in range(times):
                run()
            one = (time.perf_counter() - start) / times
        return {"count": max(1, round(seconds / one)), "lead": int(one < 4 * seconds)}

    def block(self, call: str, count: int = 1, lead: int = 0) -> dict[str, float]:
        """Return the seconds and the seconds of CPU that a call takes, the mean of `count`."""
        run, result = self._calls[call], None
        for _ in range(lead):  # brings its data back into the cache
            run()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            result = run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self._results[call] = result
        if self._threads > 1:
            still()
        return {"seconds": wall / count, "cpu": cpu / count}

    def result(self, call: str) -> Any:
        """Return what the last call of a block returned, numbers only."""
        return self._results[call]

    def forget(self) -> None:
        """Let go of all that was prepared."""
        self._calls.clear()
        self._results.clear()
        gc.collect()


def still(most: float = 0.5) -> None:
    """Wait until the threads that wait for work have gone to sleep: they would take the next one's core."""
    end = time.perf_counter() + most
    while time.perf_counter() < end:
        wall, cpu = time.perf_counter(), time.process_time()
        time.sleep(0.005)
        if time.process_time() - cpu < STILL * (time.perf_counter() - wall):
            return


def answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for; an error is an answer too."""
    try:
        return {"result": getattr(worker, request.pop("do"))(**request)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Serve until there is nobody left to ask."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        worker = Worker(sys.argv[1])
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=channel)
        return
    print(json.dumps({"result": worker.facts()}), file=channel)
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=channel)


if __name__ == "__main__":
    main()
