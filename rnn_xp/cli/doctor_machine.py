"""What `rnn-xp doctor` says of Python, NumPy and threads; and what each of its lines is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

REQUIRED = {"numpy": "2.1", "array-api-compat": "1.12"}
"""What the package cannot do without, and the least version of it."""

VARIABLES = {
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "accelerate": "VECLIB_MAXIMUM_THREADS",
}
"""By whose name a BLAS goes, and what tells it how many threads to run."""


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
    variable = next((name for part, name in VARIABLES.items() if part in kind), "OMP_NUM_THREADS")
    limits = [str(system[name]) for name in (variable, "OMP_NUM_THREADS") if name in system]
    limit = next((each for each in limits if each.isdecimal()), str(system["cores"] or 1))  # else every core
    known = re.match(r"\d+", str(system["blas threads"]))
    count = int(known[0] if known else limit)
    if count > 1:
        yield Line(
            "threads",
            f"{count} in the BLAS" + ("" if known else ", as far as can be told"),
            "small products gain nothing from more than one, and lose much beside busy programs "
            "(hidden sizes of 128 or more, with batches of 32 or more, may gain)",
            f"export {variable}=1",
        )


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
