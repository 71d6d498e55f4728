"""MPI by mpi4py and NCCL by CuPy, each with a stand-in: threads, whose sums Python does; see `fake_mpi`.

Real MPI runs in tests/mpi. NCCL needs GPUs: here its calls are made and answered, on memory of the host.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import fake_mpi
import numpy as np
import pytest
from distributed_cases import flat, last, table
from fake_mpi import Comm, OnDevice
from ranks import Meeting, Rank, together
from support import is_there

import rnn_xp as rx
from rnn_xp.backend import to_numpy
from rnn_xp.distributed import MPI, NCCL, Communicator, get_communicator

SIZE = 3


@pytest.fixture
def comms(monkeypatch: pytest.MonkeyPatch) -> list[Comm]:
    """Communicators of mpi4py that know each other, of which the first is the world."""
    meeting = Meeting(SIZE)
    own = [Comm(rank, SIZE, meeting) for rank in range(SIZE)]
    fake_mpi.install(monkeypatch, own[0])
    return own


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch) -> Comm:
    """One whose other ranks are dead."""
    own = Comm(1, SIZE)
    fake_mpi.install(monkeypatch, own)
    return own


def test_mpi_sums_and_broadcasts_arrays_of_the_host(comms: list[Comm]) -> None:
    def one(rank: Rank) -> Any:
        mpi = MPI(comms[rank.rank])
        numbers, words = np.arange(3) + 10.0 * rank.rank, np.full((2, 2), rank.rank)
        mpi.sum(numbers)
        mpi.broadcast(words, 1)
        mpi.barrier()
        return mpi.rank, mpi.size, numbers.tolist(), words.tolist()

    assert together(SIZE, one) == [(rank, SIZE, [30.0, 33.0, 36.0], [[1, 1], [1, 1]]) for rank in range(SIZE)]


def test_mpi_takes_the_world_or_another_communicator(comms: list[Comm]) -> None:
    assert (MPI().rank, MPI().size) == (0, SIZE)
    assert repr(MPI(comms[2])) == "MPI(rank 2 of 3)"
    assert isinstance(get_communicator("mpi"), MPI)
    given = get_communicator(comms[1])
    assert isinstance(given, MPI)
    assert isinstance(given, Communicator)
    assert given.rank == 1
    assert get_communicator(given) is given


@pytest.mark.parametrize("wrong", ["world", 3])
def test_mpi_refuses_what_is_no_communicator_of_mpi4py(wrong: Any, comms: list[Comm]) -> None:
    with pytest.raises(TypeError, match=r"`comm` must be a communicator of mpi4py, such as MPI\.COMM_WORLD"):
        MPI(wrong)


@pytest.mark.parametrize("timeout", [0, -1.0, np.inf, np.nan])
def test_a_timeout_is_a_number_of_seconds(timeout: float, comms: list[Comm]) -> None:
    with pytest.raises(ValueError, match="`timeout` must be "):
        MPI(timeout=timeout)


@pytest.mark.parametrize("what", ["sum", "broadcast", "barrier"])
def test_mpi_does_not_wait_for_the_dead(what: str, lonely: Comm, capsys: pytest.CaptureFixture[str]) -> None:
    mpi = MPI(timeout=0.05)
    with pytest.raises(SystemExit) as ended:
        getattr(mpi, what)(*([] if what == "barrier" else [np.zeros(2)]))
    assert ended.value.code == 1
    assert lonely.aborted == [1]
    told = f"rnn_xp: rank 1 of 3: waited 0.05 s for the other ranks in a {what}; "
    assert capsys.readouterr().err.startswith(told)


def test_mpi_takes_arrays_of_a_device_over_pinned_memory(
    comms: list[Comm], monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[Any] = []

    def empty_pinned(shape: Any, dtype: Any) -> np.ndarray:
        pinned.append(shape)
        return np.full(shape, np.nan, dtype)

    module = types.ModuleType("cupyx")
    module.empty_pinned = empty_pinned  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupyx", module)

    def one(rank: Rank) -> Any:
        mpi, array = MPI(comms[rank.rank]), OnDevice([1.0, rank.rank])
        mpi.sum(array)
        mpi.sum(array)
        return array.get(np.zeros(2)).tolist()

    assert together(SIZE, one) == [[9.0, 9.0]] * SIZE
    assert pinned == [(2,)] * SIZE  # once a rank, then again and again


def test_mpi_that_finds_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

    def find_spec(name: str, *_: Any) -> None:
        if name == "mpi4py.MPI":
            raise RuntimeError("cannot load MPI library\nlibmpi.so: cannot open")

    package = Broken("mpi4py")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    finder = types.SimpleNamespace(find_spec=find_spec)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    with pytest.raises(ModuleNotFoundError) as caught:
        get_communicator("mpi")
    assert str(caught.value).startswith(
        'distributed="mpi" needs an MPI, which mpi4py does not find (cannot load MPI library): pip install'
    )


def test_mpi_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    with pytest.raises(ModuleNotFoundError, match='distributed="mpi" needs mpi4py, which is not'):
        get_communicator("mpi")


# NCCL.


def test_nccl_sums_and_broadcasts_arrays_of_the_device() -> None:
    cupy = fake_mpi.cupy(SIZE)

    def one(rank: Rank) -> Any:
        nccl = NCCL(rank, cupy=cupy)
        assert (nccl.rank, nccl.size, repr(nccl)) == (rank.rank, 3, f"NCCL(rank {rank.rank} of 3)")
        made = len(rank.made)
        results = []
        for dtype in (np.float32, np.float64, np.int64):
            numbers, words = OnDevice(np.arange(3, dtype=dtype) + rank.rank), OnDevice(dtype(rank.rank))
            nccl.sum(numbers)
            nccl.broadcast(words, 2)
            results += [numbers.get(np.zeros(3)).tolist(), float(words.get(np.zeros(())))]
        assert len(rank.made) == made  # nothing of it went over the host
        return results

    assert together(SIZE, one) == [[[3.0, 6.0, 9.0], 2.0] * 3] * SIZE


def test_nccl_leaves_arrays_of_the_host_to_the_other_communicator() -> None:
    cupy = fake_mpi.cupy(2)

    def one(rank: Rank) -> Any:
        nccl, numbers = NCCL(rank, cupy=cupy), np.array([1.0 + rank.rank])
        made = len(rank.made)
        nccl.sum(numbers)
        nccl.broadcast(numbers)
        nccl.barrier()
        assert [what for what, _, _ in rank.made[made:]] == ["sum", "broadcast from 0", "barrier"]
        return numbers.tolist()

    assert together(2, one) == [[3.0]] * 2


def test_nccl_does_not_wait_for_the_dead() -> None:
    class Host(rx.distributed.Alone):
        def abort(self, message: str) -> Any:
            raise SystemExit(message)

    nccl = NCCL(Host(), timeout=0.05, cupy=fake_mpi.cupy(1, event=fake_mpi.EndlessEvent))
    for what in ("sum", "broadcast"):
        with pytest.raises(SystemExit, match=rf"^waited 0\.05 s for the other ranks in a {what}; "):
            getattr(nccl, what)(OnDevice([1.0]))


def test_nccl_that_cupy_does_not_find() -> None:
    with pytest.raises(ModuleNotFoundError, match='distributed="nccl" needs NCCL, which CuPy does not find'):
        NCCL(rx.distributed.Alone(), cupy=fake_mpi.cupy(1, available=False))


# Whole trainings, on arrays that are not NumPy's: what tells those of the device from those of the host.

STRICT = pytest.mark.skipif(not is_there("array_api_strict"), reason="needs array-api-strict")


class Strict(NCCL):
    """NCCL that finds the memory of array-api-strict's arrays, which have no address of their own."""

    def _place(self, array: Any) -> tuple[int, int, int, Any]:
        stream = self._cupy.cuda.get_current_stream()
        own = array._array
        assert own.flags.c_contiguous
        return own.ctypes.data, own.size, self._types[str(own.dtype)], stream


@STRICT
@pytest.mark.parametrize("kind", ["mpi", "nccl"])
def test_trainings_by_either_are_those_of_one_process(kind: str, comms: list[Comm], tmp_path: Path) -> None:
    cupy = fake_mpi.cupy(SIZE)
    case = last(tmp_path)
    case.options.pop("dtype")
    given = {"backend": rx.get_backend("array_api_strict", dtype="float64"), "epochs": 3}

    def one(rank: Rank) -> Any:
        mpi = MPI(comms[rank.rank])
        return case.fit(distributed=Strict(mpi, cupy=cupy) if kind == "nccl" else mpi, **given)

    expected = last(tmp_path).fit(epochs=3)
    for result in together(SIZE, one):
        weights = rx.tree.map(to_numpy, result.params)
        np.testing.assert_allclose(flat(result._replace(params=weights)), flat(expected), rtol=0, atol=1e-12)
        np.testing.assert_allclose(table(result), table(expected), rtol=1e-12, atol=1e-12)
