"""One rank fails: all stop with an error that names it, none waits, and the next training can begin."""

from __future__ import annotations

import json
import re
from pathlib import Path

import job
import numpy as np
import pytest
from distributed_cases import flat, last

pytestmark = pytest.mark.slow

SIZE = 3

FAILS = {
    "nan": (2, r"ValueError: `X` holds nan at sample 1, step 0, feature 0; .*"),
    "wide": (1, r"ValueError: `X` must have C = 3 features .*; got \(16, 13, 4\), so C = 4\."),
    "unreadable": (1, r"OSError: \[Errno 5\] Input/output error"),
    "memory": (1, r"MemoryError: out of memory \(Unable to allocate 9\.9 GiB\): .*"),
    "disk": (0, r"OSError: \[Errno 27\] File too large: '.*/checkpoint'"),
    "callback": (0, "RuntimeError: no more"),
    "callback that exits": (0, "SystemExit: 3"),
    "optimizer": (1, "ZeroDivisionError: no step"),
    "no directory": (0, r"FileNotFoundError: \[Errno 2\] No such file or directory: '.*/none/checkpoint'"),
    "params": (1, "ValueError: `params` must be those of Sequential.*"),
    "another schedule": (1, "ZeroDivisionError: division by zero"),
}
"""The rank that fails, and what it says."""

DIFFER = {
    "other X": "X",
    "other y": "y",
    "other lengths": "X",  # what lies past them is no data
    "other weights": "weights",
    "another seed": "seed",
    "another batch_size": "batch_size",
    "another dtype": "dtype",
    "another validation": "validation",
    "another optimizer": "optimizer",
}
"""The argument that is another on rank 1."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the ranks of one job have written what they were told."""
    folder = tmp_path_factory.mktemp("failing")
    job.succeed(SIZE, "failing", folder)
    return folder


def told(folder: Path, name: str) -> list[str]:
    """Return what each rank was told."""
    return [json.loads((folder / f"told.{rank}").read_text())[name] for rank in range(SIZE)]


@pytest.mark.parametrize("name", FAILS)
def test_the_rank_has_its_own_error_and_the_others_one_that_names_it(name: str, folder: Path) -> None:
    failing, words = FAILS[name]
    for rank, error in enumerate(told(folder, name)):
        own = words if rank == failing else f"RankError: rank {failing} of {SIZE} stopped: {words}"
        assert re.fullmatch(own, error), error


def test_a_loss_that_overflows_is_told_by_rank_and_sequence(folder: Path) -> None:
    words = r"FloatingPointError: .* in epoch 1, at batch \d of 4; .*: on rank 2 of 3, the loss became inf"
    for error in told(folder, "overflow"):
        assert re.fullmatch(rf"{words} at step 4 of sample 1\. .*", error), error


@pytest.mark.parametrize("name", DIFFER)
def test_what_is_another_on_one_rank_is_refused_by_all(name: str, folder: Path) -> None:
    must = f"ValueError: `{DIFFER[name]}` must be the same on every rank"
    for error in told(folder, name):
        assert error.startswith(f"{must}; got another on rank 1 than on rank 0."), error


def test_after_a_full_disk_the_last_checkpoint_goes_on(folder: Path) -> None:
    expected = flat(last(folder).fit(epochs=4))
    for rank in range(SIZE):
        np.testing.assert_allclose(np.load(folder / f"weights.{rank}.npy"), expected, rtol=0, atol=1e-12)
