"""Processes under mpiexec end with the weights and losses of one process: after 200 steps, to 1e-12."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import by_hand
import job
import numpy as np
import pytest
from distributed_cases import CASES

ACROSS = 1e-12
SHORT = ("last", "windows", "memmap")  # with 2 ranks: what CI runs
IN_16 = {"batch_size": 23, "accumulate": 1, "blocks": 16}  # 16 and 7 sequences: some ranks have none
BLOCKS = {"last": IN_16, "windows": IN_16, "accumulated": IN_16, "text": {"blocks": 2}}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each rank of a job of so many ranks gives for cases; a job for each number of ranks."""
    known: dict[Any, tuple[Path, job.Done]] = {}

    def of(size: int, name: str, how: str) -> list[dict[str, np.ndarray]]:
        short = size == 2 and name in SHORT
        if (size, short) not in known:
            folder = tmp_path_factory.mktemp(f"ranks{size}")
            names = SHORT if short else (*(CASES if size != 2 else set(CASES) - set(SHORT)), "hand")
            asked = [(own, how, {}) for own in names for how in ("whole", "sharded")]
            asked += [(own, "blocks", BLOCKS[own]) for own in BLOCKS if own in names]
            known[size, short] = folder, job.run(size, "cases", folder, cases=asked)
        folder, done = known[size, short]
        assert done.status == 0, done.told
        files = [folder / f"{name}.{how}.{rank}.npz" for rank in range(size)]
        return [dict(np.load(path)) for path in files]

    return of


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What this process gives, without MPI."""
    from distributed_cases import flat, table

    folder, known = tmp_path_factory.mktemp("alone"), {}

    def of(name: str, **more: Any) -> tuple[np.ndarray, np.ndarray]:
        key = (name, *more)
        if key not in known:
            result = CASES[name](folder).fit(**more)
            known[key] = flat(result), table(result)
        return known[key]

    return of


def sizes(names: Any) -> list[Any]:
    """Return all numbers of ranks with all names; all but the short ones take longer."""
    return [
        pytest.param(size, name, marks=() if size == 2 and name in SHORT else pytest.mark.slow)
        for name in names
        for size in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("how", ["whole", "sharded"])
@pytest.mark.parametrize(("size", "name"), sizes(CASES))
def test_weights_and_losses_are_those_of_one_process(
    size: int, name: str, how: str, answers: Any, alone: Any
) -> None:
    weights, history = alone(name)
    for own in answers(size, name, how):
        np.testing.assert_allclose(own["flat"], weights, rtol=0, atol=ACROSS)
        np.testing.assert_allclose(own["table"], history, rtol=ACROSS, atol=ACROSS)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["whole", "sharded"])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_weights_and_losses_are_those_of_loops_by_hand(size: int, how: str, answers: Any) -> None:
    weights, losses = by_hand.trained()
    for own in answers(size, "hand", how):
        np.testing.assert_allclose(own["flat"], weights, rtol=0, atol=ACROSS)
        np.testing.assert_allclose(own["table"][:, 1], losses, rtol=ACROSS)


@pytest.mark.parametrize(("size", "name"), sizes(BLOCKS))
def test_in_blocks_all_have_the_bits_of_one_process(size: int, name: str, answers: Any, alone: Any) -> None:
    weights, history = alone(name, **BLOCKS[name])
    expected = hashlib.sha256(weights.tobytes()).hexdigest()
    for own in answers(size, name, "blocks"):
        assert hashlib.sha256(own["flat"].tobytes()).hexdigest() == expected
        np.testing.assert_array_equal(own["table"], history)
