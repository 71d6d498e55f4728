"""Several ranks train one model as one process does; threads stand in for the ranks, see `ranks`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import by_hand
import numpy as np
import pytest
from distributed_cases import CASES, cuts, digest, draws, flat, hand, part, standing, table
from ranks import GoneError, Rank, outcomes, together

from rnn_xp import tree

ACROSS = 1e-12
SHARED = [("whole", 3), ("sharded", 4)]
"""Both ways to share, of as many ranks as divide no batch; tests/mpi has 1, 2, 3 and 4 of both."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one process gives for each case."""
    folder, known = tmp_path_factory.mktemp("alone"), {}

    def of(name: str, **more: Any) -> Any:
        key = (name, *sorted(more.items()))
        if key not in known:
            known[key] = CASES[name](folder).fit(**more)
        return known[key]

    return of


def trained(name: str, size: int, folder: Path, how: str = "whole", **more: Any) -> list[Any]:
    """Return what each rank gives for a case."""

    def one(rank: Rank) -> Any:
        own = CASES[name](folder)
        own = part(own, rank.rank, size, folder) if how == "sharded" else own
        return own.fit(distributed=rank, sharded=how == "sharded", **more)

    return together(size, one)


@pytest.mark.parametrize(("how", "size"), SHARED)
@pytest.mark.parametrize("name", CASES)
def test_weights_and_losses_are_those_of_one_process(
    name: str, how: str, size: int, alone: Any, tmp_path: Path
) -> None:
    for result in trained(name, size, tmp_path, how):
        np.testing.assert_allclose(flat(result), flat(alone(name)), rtol=0, atol=ACROSS)
        np.testing.assert_allclose(table(result), table(alone(name)), rtol=ACROSS, atol=ACROSS)


@pytest.mark.parametrize("name", ["last", "steps", "windows"])
def test_a_rank_may_have_no_sequence(name: str, alone: Any, tmp_path: Path) -> None:
    case, bounds = CASES[name](tmp_path), (0, 9, 9, 23)

    def one(rank: Rank) -> Any:
        cut = slice(*bounds[rank.rank :][:2])
        along = {key: value[cut] for key, value in case.along.items()}
        own = case._replace(X=case.X[cut], y=case.y[cut], along=along)
        return own.fit(distributed=rank, sharded=True, epochs=4)

    for result in together(3, one):
        np.testing.assert_allclose(flat(result), flat(alone(name, epochs=4)), rtol=0, atol=ACROSS)
        np.testing.assert_allclose(table(result), table(alone(name, epochs=4)), rtol=ACROSS, atol=ACROSS)


@pytest.mark.parametrize(("how", "size"), SHARED)
def test_weights_and_losses_are_those_of_loops_by_hand(how: str, size: int, tmp_path: Path) -> None:
    weights, losses = by_hand.trained()
    assert losses[-1] < losses[0] / 3

    def one(rank: Rank) -> Any:
        case = hand(tmp_path)
        own = part(case, rank.rank, size, tmp_path) if how == "sharded" else case
        return own.fit(distributed=rank, sharded=how == "sharded")

    for result in together(size, one):
        np.testing.assert_allclose(flat(result), weights, rtol=0, atol=ACROSS)
        np.testing.assert_allclose([own["loss"] for own in result.history], losses, rtol=ACROSS)


@pytest.mark.parametrize("name", ["last", "windows", "text", "accumulated", "skipped"])
def test_in_blocks_the_bits_are_those_of_one_process(name: str, alone: Any, tmp_path: Path) -> None:
    in_blocks = {"blocks": 2, "epochs": 5}
    results = [own for size in (2, 3, 4) for own in trained(name, size, tmp_path, **in_blocks)]
    assert {digest(own) for own in results} == {digest(alone(name, **in_blocks))}
    for own in results:
        np.testing.assert_array_equal(table(own), table(alone(name, **in_blocks)))


@pytest.mark.parametrize(("how", "size"), SHARED)
@pytest.mark.parametrize("kind", ["share", "set"])
def test_the_validation_set_is_that_of_one_process(kind: str, how: str, size: int, tmp_path: Path) -> None:
    X, y = draws().standard_normal((9, 5, 3)), draws().integers(0, 3, 9)
    more = {"patience": 3, "epochs": 20}

    def own(cut: slice) -> Any:
        return 0.3 if kind == "share" else (X[cut], y[cut])

    expected = CASES["last"](tmp_path).fit(validation=own(slice(None)), **more)

    def one(rank: Rank) -> Any:
        case, apart = CASES["last"](tmp_path), how == "sharded"
        if apart:
            case = part(case, rank.rank, size, tmp_path)
        held = own(slice(*cuts(9, size)[rank.rank :][:2]) if apart else slice(None))
        return case.fit(distributed=rank, sharded=apart, validation=held, **more)

    for result in together(size, one):
        assert result.best_epoch == expected.best_epoch
        np.testing.assert_allclose(flat(result), flat(expected), rtol=0, atol=ACROSS)
        np.testing.assert_allclose(table(result), table(expected), rtol=ACROSS, atol=ACROSS)


def test_a_step_is_one_sum(tmp_path: Path) -> None:
    """Of gradients, loss and a status of each rank; all else is said once an epoch."""
    case = CASES["last"](tmp_path)
    ranks: list[Rank] = []
    results = together(3, lambda rank: (ranks.append(rank), case.fit(distributed=rank, epochs=5))[1])
    size = len(flat(results[0]))
    sums = [shape for what, shape, _ in ranks[0].made if what == "sum" and shape == (size + 1 + 3,)]
    assert len(sums) == 5 * 4  # steps
    assert ranks[0].made == ranks[1].made == ranks[2].made


def test_weights_to_begin_with_are_those_of_the_first_rank(tmp_path: Path) -> None:
    case = hand(tmp_path)
    start = case.options.pop("params")

    def one(rank: Rank) -> Any:
        own = tree.map(lambda leaf: leaf + rank.rank, start)
        return case.fit(distributed=rank, params=own, epochs=2)

    expected = case.fit(params=start, epochs=2)
    for result in together(3, one):
        np.testing.assert_allclose(flat(result), flat(expected), rtol=0, atol=ACROSS)


# Going on from a checkpoint.

HALFWAY = {
    "last": {"epoch": 3, "batch": 2},
    "windows": {"epoch": 3, "batch": 1, "window": 2},
    "windows_last": {"epoch": 3, "batch": 1, "window": 2},
    "text": {"epoch": 3, "batch": 1, "window": 2},
    "skipped": {"epoch": 3, "batch": 2},
    "rolled_back": {"epoch": 1, "batch": 110},
}


def past(checkpoint: Path, **at: int) -> Callable[[], bool]:
    """Return what tells whether a checkpoint stands there, or further in that epoch."""

    def is_past() -> bool:
        stands = standing(checkpoint) if checkpoint.exists() else {}
        return bool(stands) and all(stands[name] >= least for name, least in at.items())

    return is_past


@pytest.mark.parametrize(("how", "after"), [("whole", 2), ("sharded", 1), ("sharded", 4)])
@pytest.mark.parametrize("name", HALFWAY)
def test_a_training_that_a_rank_left_goes_on_with_another_number(
    name: str, how: str, after: int, alone: Any, tmp_path: Path
) -> None:
    path, sharded = tmp_path / "checkpoint", how == "sharded"
    epochs = 2 if name == "rolled_back" else 4

    def one(rank: Rank, **more: Any) -> Any:
        own, more = CASES[name](tmp_path), {"checkpoint": path, "save_every": 0, **more}
        own = part(own, rank.rank, rank.size, tmp_path) if sharded else own
        return own.fit(distributed=rank, sharded=sharded, epochs=epochs, **more)

    left = outcomes(3, one, dies=(1, past(path, **HALFWAY[name])))
    assert all(isinstance(own, GoneError) for own in left), left
    for result in together(after, lambda rank: one(rank, resume=True)):
        np.testing.assert_allclose(flat(result), flat(alone(name, epochs=epochs)), rtol=0, atol=ACROSS)
        np.testing.assert_allclose(table(result), table(alone(name, epochs=epochs)), rtol=ACROSS, atol=ACROSS)


@pytest.mark.parametrize("name", ["last", "windows", "text"])
def test_in_blocks_a_resumed_training_has_the_same_bits(name: str, alone: Any, tmp_path: Path) -> None:
    path, in_blocks = tmp_path / "checkpoint", {"blocks": 2, "epochs": 5}

    def one(rank: Rank, **more: Any) -> Any:
        return CASES[name](tmp_path).fit(distributed=rank, checkpoint=path, save_every=0, **in_blocks, **more)

    for epoch, size in ((1, 3), (2, 2), (4, 4)):  # three are lost, one after the other
        resume, dies = path.exists(), (size - 1, past(path, epoch=epoch, batch=1))
        lost = outcomes(size, lambda rank, resume=resume: one(rank, resume=resume), dies=dies)
        assert all(isinstance(own, GoneError) for own in lost), lost
    results = together(2, lambda rank: one(rank, resume=True))
    assert {digest(own) for own in results} == {digest(alone(name, **in_blocks))}
