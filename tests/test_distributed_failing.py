"""One rank fails, or is told other things: all of them stop. Threads stand in for the ranks, see `ranks`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed_cases import last, part, text
from ranks import Rank, outcomes
from ranks import together as run

import rnn_xp as rx
from rnn_xp.distributed import Alone, Communicator, RankError, get_communicator, together
from rnn_xp.distributed.agree import gather, joined, tell
from rnn_xp.train.saving import keeper
from rnn_xp.train.saving.signals import Noted, Terminated

SIZE = 3


def test_what_one_rank_says_all_know() -> None:
    def one(rank: Rank) -> Any:
        own = np.arange(rank.rank * 2, dtype=np.int64).reshape(rank.rank, 2) + 10 * rank.rank
        return gather(rank, [rank.rank, 7]), tell(rank, f"ä{rank.rank}", 2), tell(rank, ""), joined(rank, own)

    for table, said, nothing, whole in run(SIZE, one):
        assert table.tolist() == [[0, 7], [1, 7], [2, 7]]
        assert (said, nothing) == ("ä2", "")
        assert whole.tolist() == [[10, 11], [20, 21], [22, 23]]


def test_a_process_alone_asks_nobody() -> None:
    alone = Alone()
    assert isinstance(alone, Communicator)
    array = np.array([1.0, 2.0])
    alone.sum(array)
    alone.broadcast(array)
    alone.barrier()
    assert array.tolist() == [1.0, 2.0]
    assert gather(alone, [4.0]).tolist() == [[4.0]]
    with pytest.raises(ZeroDivisionError), together(alone):
        _ = 1 / 0
    with pytest.raises(SystemExit, match="no more"):
        alone.abort("no more")


@pytest.mark.parametrize("error", [KeyError("a"), SystemExit(3), KeyboardInterrupt()])
def test_where_one_fails_all_do(error: BaseException) -> None:
    def one(rank: Rank) -> Any:
        with together(rank):
            if rank.rank == 1:
                raise error

    own = outcomes(SIZE, one)
    assert own[1] is error
    for other in (own[0], own[2]):
        assert isinstance(other, RankError)
        assert other.rank == 1
        assert str(other) == f"rank 1 of 3 stopped: {type(error).__name__}: {error}"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("mpich", ValueError, "`distributed` must be 'mpi', 'nccl' or a communicator; got 'mpich'."),
        (4, TypeError, "`distributed` must be 'mpi', 'nccl' or a communicator; got int."),
        (Rank, TypeError, "`distributed` must be 'mpi', 'nccl' or a communicator; got type."),
    ],
)
def test_what_is_no_communicator(given: Any, error: type[Exception], words: str, tmp_path: Path) -> None:
    with pytest.raises(error) as caught:
        get_communicator(given)
    assert str(caught.value) == words
    with pytest.raises(error):
        last(tmp_path).fit(distributed=given)


def fails(call: Any, rank: int, words: str, kind: type[BaseException]) -> None:
    """Check that a call fails on all ranks, since it does on one."""
    for number, error in enumerate(outcomes(SIZE, call)):
        if number == rank:
            assert type(error) is kind, error
            assert str(error).startswith(words)
        else:
            assert isinstance(error, RankError), error
            assert error.rank == rank
            assert str(error).startswith(f"rank {rank} of 3 stopped: {kind.__name__}: {words}")


class Breaking(rx.SGD):
    """An optimiser whose fifth step cannot be taken."""

    def update(self, *args: Any, **options: Any) -> Any:
        object.__setattr__(self, "count", getattr(self, "count", 0) + 1)
        if self.count == 5:  # type: ignore[attr-defined]
            msg = "no step"
            raise ZeroDivisionError(msg)
        return super().update(*args, **options)


class Unreadable(rx.data.Lanes):
    """Lanes of which what comes after the ninth step cannot be read."""

    def window(self, start: int, stop: int, lanes: Any = None) -> Any:
        if start > 8:
            raise OSError(5, "Input/output error")
        return super().window(start, stop, lanes)


def only(rank: Rank, **given: Any) -> dict[str, Any]:
    """Return arguments that rank 1 alone is given."""
    return given if rank.rank == 1 else {}


def breaking(rank: Rank) -> Breaking:
    """Return an optimiser that breaks on rank 1 alone."""
    own = Breaking(0.1)
    object.__setattr__(own, "count", 0 if rank.rank == 1 else 1000)
    return own


def test_the_optimiser_of_one_rank_fails(tmp_path: Path) -> None:
    """After the sum of a step, which the others end; they learn of it in their next."""
    case = last(tmp_path)
    fails(lambda rank: case.fit(distributed=rank, optimizer=breaking(rank)), 1, "no step", ZeroDivisionError)


def test_the_optimisers_of_all_ranks_fail(tmp_path: Path) -> None:
    case = last(tmp_path)
    errors = outcomes(SIZE, lambda rank: case.fit(distributed=rank, optimizer=Breaking(0.1)))
    assert [type(own) for own in errors] == [ZeroDivisionError] * SIZE


def test_one_rank_cannot_read_its_file(tmp_path: Path) -> None:
    def one(rank: Rank) -> Any:
        case = part(text(tmp_path), rank.rank, SIZE, tmp_path)
        lanes = Unreadable(case.X.tokens, case.X.count) if rank.rank == 1 else case.X
        return case._replace(X=lanes).fit(distributed=rank, sharded=True)

    fails(one, 1, "[Errno 5] Input/output error", OSError)


def test_the_weights_of_one_rank_are_none_of_the_model(tmp_path: Path) -> None:
    case = last(tmp_path)
    fails(
        lambda rank: case.fit(distributed=rank, **only(rank, params=())),
        *(1, "`params` must be those of Sequential", ValueError),
    )


def test_a_schedule_of_one_rank_fails_at_first(tmp_path: Path) -> None:
    def schedule(step: int) -> float:
        return 1 / (step - 10)

    case = last(tmp_path)
    fails(
        lambda rank: case.fit(distributed=rank, **only(rank, schedule=schedule)),
        *(1, "division by zero", ZeroDivisionError),
    )


@pytest.mark.parametrize("error", [RuntimeError("no more"), SystemExit(3)])
def test_a_callback_fails(error: BaseException, tmp_path: Path) -> None:
    def callback(epoch: Any) -> None:
        raise error

    case = last(tmp_path)
    fails(lambda rank: case.fit(distributed=rank, callbacks=callback), 0, str(error), type(error))


def test_callbacks_are_called_once_and_end_all(tmp_path: Path) -> None:
    seen: list[int] = []

    def callback(epoch: Any) -> bool:
        seen.append(epoch.record["epoch"])
        return len(seen) == 2

    case = last(tmp_path)
    results = run(SIZE, lambda rank: case.fit(distributed=rank, callbacks=callback))
    assert seen == [1, 2]
    assert [len(own.history) for own in results] == [2, 2, 2]


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("seed", 4), ("batch_size", 5), ("epochs", 3), ("accumulate", 2), ("bucket", True)),
        *(("shuffle", False), ("clip_norm", 1.0), ("nonfinite", "skip"), ("patience", 2)),
        *(("dtype", "float32"), ("validation", 0.4), ("optimizer", rx.Adam(0.02))),
        *(("schedule", rx.schedules.cosine(9)), ("loss", "huber"), ("checkpoint", "file")),
    ],
)
def test_calls_that_differ_are_refused(name: str, value: Any, sharded: bool, tmp_path: Path) -> None:
    def one(rank: Rank) -> Any:
        case = last(tmp_path)
        y = np.eye(3)[case.y]  # what either loss takes
        case = case._replace(y=y, options={**case.options, "loss": "squared_error", "validation": 0.2})
        case = part(case, rank.rank, SIZE, tmp_path) if sharded else case
        return case.fit(distributed=rank, sharded=sharded, **only(rank, **{name: value}))

    for error in outcomes(SIZE, one):
        assert isinstance(error, ValueError), error
        assert str(error) == f"`{name}` must be the same on every rank; got another on rank 1 than on rank 0."


@pytest.mark.parametrize(("sharded", "others"), [(True, (0, 2)), (False, (1,))])
def test_sharded_or_not_is_the_same_on_every_rank(
    sharded: bool, others: tuple[int, ...], tmp_path: Path
) -> None:
    case = last(tmp_path)
    errors = outcomes(SIZE, lambda rank: case.fit(distributed=rank, sharded=rank.rank in others))
    assert all(str(own).startswith("`sharded` must be the same on every rank") for own in errors), errors


def test_blocks_go_with_whole_data_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`blocks` must be None where `sharded` is True"):
        last(tmp_path).fit(blocks=2, sharded=True)


def test_lanes_of_unequal_lengths_are_refused(tmp_path: Path) -> None:
    def one(rank: Rank) -> Any:
        case = text(tmp_path)
        lanes = rx.data.Lanes(case.X.tokens, 3 + rank.rank)
        return case._replace(X=lanes).fit(distributed=rank, sharded=True)

    for error in outcomes(2, one):
        assert isinstance(error, ValueError)
        assert str(error).startswith("`X` must be Lanes of as many steps on every rank; got [67, 50]. ")


@pytest.mark.parametrize("sharded", [False, True])
def test_a_checkpoint_of_other_data_is_refused_by_all(sharded: bool, tmp_path: Path) -> None:
    def one(rank: Rank, **more: Any) -> Any:
        case = last(tmp_path)
        X = case.X + more.pop("add", 0.0)
        case = case._replace(X=X)
        case = part(case, rank.rank, SIZE, tmp_path) if sharded else case
        path = tmp_path / "checkpoint"
        return case.fit(distributed=rank, sharded=sharded, checkpoint=path, epochs=1, **more)

    run(SIZE, one)
    first, *others = outcomes(SIZE, lambda rank: one(rank, resume=True, add=1e-9))
    assert isinstance(first, ValueError)
    assert str(first).startswith("`X` must be as it was when the checkpoint ")
    for other in others:
        assert isinstance(other, RankError)
        assert other.rank == 0


def test_a_signal_in_the_middle_of_a_save_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to rank 1 in its sixth save, when that has said that none came."""
    of_thread: dict[int, Noted] = {}
    saves = []

    @contextmanager
    def noted() -> Iterator[Noted]:
        yield of_thread.setdefault(threading.get_ident(), Noted())

    def interrupted(rank: Rank, numbers: list[float]) -> Any:
        told = gather(rank, numbers)
        if rank.rank == 1:
            saves.append(numbers)
            if len(saves) == 6:
                of_thread[threading.get_ident()].number = signal.SIGTERM
        return told

    monkeypatch.setattr(keeper, "noted", noted)
    monkeypatch.setattr(keeper, "gather", interrupted)
    case = last(tmp_path)
    errors = outcomes(SIZE, lambda rank: case.fit(distributed=rank, checkpoint=tmp_path / "a", save_every=0))
    assert [type(own) for own in errors] == [Terminated] * SIZE, errors
    assert saves == [[0]] * 6 + [[signal.SIGTERM]]
