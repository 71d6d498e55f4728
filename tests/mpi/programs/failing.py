"""Trainings in which one rank fails: each rank notes what it is told, and goes on to the next of them."""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from distributed_cases import Case, flat, last, masked, part, text

import rnn_xp as rx

said = json.loads(sys.argv[1])
folder = Path(said["folder"])
ranks = rx.distributed.MPI(timeout=60)
told: dict[str, str] = {}


def tried(name: str, call: Callable[[], Any]) -> None:
    """Note the error of a call, or that there was none."""
    try:
        call()
    except BaseException as error:
        told[name] = f"{type(error).__name__}: {error}"
    else:
        told[name] = "nothing"


def own(case: Case, how: str = "sharded") -> Case:
    """Return what this rank has of a case."""
    return part(case, ranks.rank, ranks.size, folder) if how == "sharded" else case


def fit(case: Case, **more: Any) -> Any:
    return case.fit(distributed=ranks, **{"epochs": 2, **more})


class Failing(rx.data.Lanes):
    """Lanes of which the third window cannot be read, on one rank."""

    error: Exception = OSError(5, "Input/output error")

    def window(self, start: int, stop: int, lanes: Any = None) -> Any:
        if ranks.rank == 1 and start > 8:
            raise self.error
        return super().window(start, stop, lanes)


class Full(Failing):
    error = MemoryError("Unable to allocate 9.9 GiB")


def nan() -> None:
    """Train where the second sequence of the last rank is not finite."""
    case = own(last(folder))
    X = case.X.copy()
    if ranks.rank == 2:
        X[1, 0] = np.nan
    along = {**case.along, "lengths": np.full(len(X), 4)}
    fit(case._replace(X=X, along=along), sharded=True)


def overflow() -> None:
    """Train where the square of an error of the last rank's second sequence overflows."""
    case = own(masked(folder)._replace(along={}))
    y = case.y.copy()
    if ranks.rank == 2:
        y[1, 4] = 1e200
    fit(case._replace(y=y), sharded=True)


def wide() -> None:
    """Train where one rank has a feature too many."""
    case = own(last(folder))
    X = np.pad(case.X, [(0, 0), (0, 0), (0, 1)]) if ranks.rank == 1 else case.X
    fit(case._replace(X=X), sharded=True)


def unreadable(kind: type[Failing]) -> None:
    """Train where one rank cannot read what comes next."""
    case = own(text(folder))
    fit(case._replace(X=kind(case.X.tokens, case.X.count)), sharded=True)


def disk() -> None:
    """Train where the first rank may write no more from the second epoch on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(epoch: Any) -> None:
        if epoch.record["epoch"] == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))

    try:
        fit(last(folder), callbacks=full, checkpoint=folder / "checkpoint", epochs=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def callback(error: BaseException) -> None:
    """Train with a callback that raises, on the first rank."""

    def raises(epoch: Any) -> None:
        raise error

    fit(last(folder), callbacks=raises)


def different(name: str, *values: Any) -> None:
    """Make calls of which one argument is another on rank 1."""
    fit(own(last(folder)), sharded=True, **{name: values[ranks.rank == 1]})


class Breaking(rx.SGD):
    """An optimiser whose fifth step cannot be taken, on one rank."""

    def update(self, *args: Any, **options: Any) -> Any:
        object.__setattr__(self, "count", getattr(self, "count", 0) + 1)
        if self.count == 5 and ranks.rank == 1:
            raise ZeroDivisionError("no step")
        return super().update(*args, **options)


def other_data(name: str) -> None:
    """Give rank 1 another array, where all should have the same."""
    case = last(folder)
    parts = {"X": case.X, "y": case.y, **case.along}
    if ranks.rank == 1:
        changed = parts[name].copy()
        changed.flat[np.flatnonzero(changed.ravel())[0]] -= 1
        parts[name] = changed
    fit(Case(case.model, parts.pop("X"), parts.pop("y"), parts, case.options))


tried("nan", nan)
tried("overflow", overflow)
tried("wide", wide)
tried("unreadable", lambda: unreadable(Failing))
tried("memory", lambda: unreadable(Full))
tried("disk", disk)
tried("callback", lambda: callback(RuntimeError("no more")))
tried("callback that exits", lambda: callback(SystemExit(3)))
tried("optimizer", lambda: fit(last(folder), optimizer=Breaking(0.1)))
tried("no directory", lambda: fit(last(folder), checkpoint=folder / "none" / "checkpoint"))
tried("params", lambda: fit(last(folder), params=() if ranks.rank == 1 else None))
for name in ("X", "y", "lengths", "weights"):
    tried(f"other {name}", lambda name=name: other_data(name))
for name, *values in (
    ("seed", 3, 4),
    ("batch_size", 6, 5),
    ("dtype", "float64", "float32"),
    ("validation", 0.2, 0.4),
    ("optimizer", rx.SGD(0.1), rx.SGD(0.2)),
    ("schedule", None, lambda step: 1 / (step - 5) if ranks.rank == 1 else 1.0),
):
    tried(f"another {name}", lambda name=name, values=values: different(name, *values))
(folder / f"told.{ranks.rank}").write_text(json.dumps(told))

result = last(folder).fit(distributed=ranks, checkpoint=folder / "checkpoint", resume=True, epochs=4)
np.save(folder / f"weights.{ranks.rank}.npy", flat(result))
