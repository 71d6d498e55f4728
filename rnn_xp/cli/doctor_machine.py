"""What `rnn-xp doctor` says of Python, NumPy and threads; and what each of its lines is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

REQUIRED = {"numpy": "2.1", "array-api-compat": "1.12"}
"""What the package cannot do without, and the least version of it."""

OMP, NOT_SET = "OMP_NUM_THREADS", "not set"

VARIABLES = {
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "accelerate": "VECLIB_MAXIMUM_THREADS",
}
"""By whose name a BLAS goes, and what tells it how many threads to run."""


A_COUNT = re.compile(r"\s*([1-9][0-9]*)\s*")
"""What such a variable must be."""

A_COUNT_A_LEVEL = re.compile(rf"{A_COUNT.pattern}(,{A_COUNT.pattern})*")
"""What OMP_NUM_THREADS may be: a number for each level of what runs at once."""


class Line(NamedTuple):
    """Something that was looked at."""

    name: str
    found: str
    wrong: str = ""  # what is wrong with it; empty where nothing is
    mend: str = ""  # the command that mends it
    fatal: bool = False  # whether the package cannot work so


def required(system: Mapping[str, Any]) -> Iterator[Line]:
    """Compare what is required with what is there."""
    for name, least in REQUIRED.items():
        found = str(system[name])
        if older(found, least):
            wrong = f"rnn_xp needs {name} {least} or newer"
            yield Line(name, found, wrong, f'pip install --upgrade "{name}>={least}"', fatal=True)


def threads(system: Mapping[str, Any]) -> Iterator[Line]:
    """Say where a BLAS runs more threads than small products gain from."""
    kind = str(system["blas"]).lower()
    variable = next((name for part, name in VARIABLES.items() if part in kind), OMP)
    yield from _no_counts(system)
    limits = [A_COUNT_A_LEVEL.fullmatch(str(system[name])) for name in (variable, OMP) if name in system]
    limit = next((int(each[1]) for each in limits if each), int(system["cores"] or 1))  # else every core
    known = re.match(r"\d+", str(system["blas threads"]))
    count = int(known[0]) if known else limit
    if count > 1:
        yield Line(
            "threads",
            f"{count} in the BLAS" + ("" if known else ", as far as can be told"),
            "small products gain nothing from more than one, and lose much beside busy programs "
            "(hidden sizes of 128 or more, with batches of 32 or more, may gain)",
            f"export {variable}=1",
        )


def _no_counts(system: Mapping[str, Any]) -> Iterator[Line]:
    """Say which variables are set to what is no number of threads."""
    for name in (OMP, *VARIABLES.values()):
        value, right = str(system.get(name, NOT_SET)), A_COUNT_A_LEVEL if name == OMP else A_COUNT
        if value.strip() and value != NOT_SET and not right.fullmatch(value):
            wrong = "it must be a number of threads, 1 or more; libraries take no notice of anything else"
            yield Line(name, value, wrong, f"export {name}=1")


def older(version: str, least: str) -> bool:
    """Return whether a version comes before another; what has no number comes before all.

    Examples
    --------
    >>> older("2.10.1", "2.9"), older("2.0rc1", "2.1"), older("not installed", "1.0")
    (False, True, True)
    """
    return _numbers(version) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with."""
    begin = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, begin[0].split("."))) if begin else ()
