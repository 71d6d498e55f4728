"""The command line on several ranks: what it takes and refuses, and that parts of a file are as the whole.

Threads stand in for the ranks (see `ranks`); tests/mpi runs the commands under mpiexec.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import ranks as threads

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.cli import doctor_ranks, errors, interrupt, main, ranks, shards, use
from rnn_xp.cli import train as command
from rnn_xp.cli.arguments import build_parser
from rnn_xp.cli.directory import Directory
from rnn_xp.cli.settings import Settings, settle
from rnn_xp.data.scaling import Moments, fit_scaling
from rnn_xp.distributed import Alone, Communicator, RankError
from rnn_xp.distributed.launched import LAUNCHERS
from rnn_xp.train.saving.signals import Terminated

N, T = 31, 6
CUTS = {1: (0, N), 2: (0, 5, N), 3: (0, 9, 17, N), 4: (0, 7, 14, 25, N)}
QUICK = "--epochs 3 --hidden-size 4 --batch-size 8 --dtype float64 --backend numpy --quiet"


@pytest.fixture(autouse=True)
def nobody_started_it(monkeypatch):
    for size, rank in LAUNCHERS.items():
        monkeypatch.delenv(size, raising=False)
        monkeypatch.delenv(rank, raising=False)


def arrays():
    """Return sequences, their lengths, classes, and numbers far from 0."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, T, 2)) * [1, 20] + [5, -300]
    lengths = rng.integers(1, T + 1, N)
    lengths[0] = T
    classes = np.array(["10", "9", "b"])[(np.arange(N) * 3) // N]  # sorted: most parts lack one
    return X, lengths, classes, 1000 + 7 * X[:, 0, 0]


def write(folder, kind="classes"):
    """Write all sequences, and the parts of 1 to 4 ranks, each as long as its own longest."""
    X, lengths, classes, numbers = arrays()
    y = classes if kind == "classes" else numbers
    np.savez(folder / "all.npz", X=X, y=y, lengths=lengths)
    for size, cuts in CUTS.items():
        for rank in range(size):
            own = slice(cuts[rank], cuts[rank + 1])
            longest = lengths[own].max()
            name = folder / f"{size}.{rank}.npz"
            np.savez(name, X=X[own, :longest], y=y[own], lengths=lengths[own])


def given(argv, rank=None):
    """Return what a command is given, with a thread as the rank."""
    told = vars(build_parser().parse_args(argv.split()))
    del told["command"]
    return told if rank is None else {**told, "distributed": rank, "quiet": True}


def train(size, argv):
    """Train on threads."""
    assert threads.together(size, lambda rank: command.train(given(argv, rank))) == [0] * size


def fails(size, call):
    """Return the errors of all ranks, which are agreed upon."""
    found = threads.outcomes(size, call)
    assert all(ranks.is_agreed(error) for error in found), found
    return [errors.told(error) for error in found]


def weights(run):
    _, params = rx.load(run / "model.safetensors", rx.get_backend("numpy", dtype="float64"))
    return np.concatenate([leaf.ravel() for leaf in tree.leaves(params)])


def history(run):
    lines = (run / "history.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0, "sequences_per_second": 0} for line in lines]


def same(one, other, across=1e-12):
    np.testing.assert_allclose(weights(one), weights(other), rtol=across, atol=across)
    for mine, its in zip(history(one), history(other), strict=True):
        assert mine == pytest.approx(its, rel=across)


# --- options


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("train --timeout 3", "argument --timeout: not here: it goes with --distributed."),
        (
            "train --distributed tcp",
            "argument --distributed: invalid choice: 'tcp'",
        ),
        ("train --blocks 0", "argument --blocks: `blocks` must be an integer of at least 1; got 0."),
        (
            "train --data x{rank}.npz",
            "argument --data: {rank} in a name goes with --distributed; got x{rank}",
        ),
        (
            "train --data x.npz --test x{rank}.npz",
            "argument --test: {rank} in a name goes with --distributed; got x{rank}.npz.",
        ),
        ("predict run --data x{rank}.npz", "argument --data: {rank} in a name goes with --distributed"),
        (
            "train --resume run --blocks 4",
            "argument --blocks: not here: --resume goes on with what the run",
        ),
    ],
)
def test_usage(capsys, argv, message):
    assert main(argv.split()) == 2
    assert message in capsys.readouterr().err


def test_blocks_do_not_go_with_parts():
    with pytest.raises(errors.UsageError, match="--blocks: not here: the sequences of a block may lie in"):
        settle(given("train --data x{rank}.npz --blocks 4", Alone()))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("train --distributed mpi", "mpi"),
        ("train --distributed=nccl --epochs many", "nccl"),
        ("train --distributed tcp", None),
        ("train --distributed", None),
        ("train --out --distributed=", None),
        ("", None),
    ],
)
def test_what_is_asked_for_is_seen_where_other_options_are_wrong(words, kind):
    assert ranks.asked(words.split()) == kind


def test_without_mpi4py_it_says_what_installs_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    assert main(["train", "--distributed", "mpi", "--epochs", "1"]) == 2
    told = capsys.readouterr().err
    assert 'pip install "rnn-xp[mpi]"' in told
    assert told.startswith('rnn-xp: error: distributed="mpi" needs mpi4py')


@pytest.mark.parametrize("size", LAUNCHERS)
def test_ranks_that_know_nothing_of_each_other_are_refused(capsys, monkeypatch, tmp_path, size):
    monkeypatch.setenv(size, "3")
    monkeypatch.setenv(LAUNCHERS[size], "0")
    argv = ["train", "--out", str(tmp_path / "run")]
    assert main(argv) == 2
    assert capsys.readouterr().err == (
        "rnn-xp: error: 3 processes were started together, and each would train by itself: "
        "--distributed mpi has them train one model. "
        f"For a training in each: env -u {size} rnn-xp ...\n"
    )
    monkeypatch.setenv(LAUNCHERS[size], "2")
    assert main(argv) == 0  # the first one tells of it, and has the job fail
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("count", ["1", "", "many"])
def test_one_process_that_a_launcher_started_is_alone(monkeypatch, tmp_path, count):
    for size in LAUNCHERS:
        monkeypatch.setenv(size, count)
    write(tmp_path)
    assert main(["train", "--data", str(tmp_path / "all.npz"), *QUICK.split()]) == 0


def test_other_options_on_another_rank():
    def take(rank):
        ranks.take_part("train", given(f"train --distributed mpi --seed {rank.rank // 2}"), rank)

    words = "every rank must be started with the same options; these are others than those of rank 0."
    assert fails(3, take) == [(2, f"rank 2 of 3: {words}")] * 3


def test_a_rank_takes_its_place():
    def take(rank):
        told = given("train --distributed mpi --json --timeout 7")
        ranks.take_part("train", told, rank)
        return told, rank.timeout

    first, second = threads.together(2, take)
    assert isinstance(first[0].pop("distributed"), Communicator)
    assert first == ({"json": True, "timeout": 7.0}, 7.0)
    assert second[0]["quiet"] is True
    assert "json" not in second[0]


def test_devices_may_be_others():
    def take(rank):
        ranks.take_part("train", given(f"train --distributed mpi --device cuda:{rank.rank}"), rank)

    threads.together(2, take)


# --- stopping together


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.UsageError("no."), 2, "no."),
        (ValueError("`X` is odd."), 1, "`X` is odd."),
        (FileNotFoundError(2, "No such file or directory", "x.npz"), 1, "x.npz: No such file or directory."),
        (OSError(28, "No space left on device", "run/x"), 1, "run/x: No space left on device."),
        (MemoryError("3 GB"), 1, "out of memory (3 GB); choose a smaller --batch-size or --hidden-size."),
        (FloatingPointError("the loss is nan."), 1, "the loss is nan."),
        (rx.CheckpointError("cut short."), 1, "cut short."),
        (KeyboardInterrupt("interrupted in epoch 3."), 130, "interrupted in epoch 3."),
        (SystemExit(143), 143, "143"),
    ],
)
def test_all_stop_with_the_words_and_the_code_of_one(error, code, words):
    def stop(rank):
        with ranks.together(rank):
            if rank.rank == 1:
                raise error

    assert fails(3, stop) == [(code, f"rank 1 of 3: {words}")] * 3
    kinds = {type(each) for each in threads.outcomes(3, stop)}
    assert kinds == {Terminated if isinstance(error, SystemExit) else type(error)}


def test_no_rank_is_named_where_all_stop_by_themselves():
    def stop(rank):
        with ranks.together(rank):
            msg = "no."
            raise ValueError(msg)

    assert fails(2, stop) == [(1, "no.")] * 2


def test_what_others_were_told_of_a_rank_is_not_what_is_told():
    def stop(rank):
        with ranks.together(rank):
            if rank.rank == 2:
                msg = "too little."
                raise ValueError(msg)
            msg = "rank 2 of 3 stopped: ValueError: too little."
            raise RankError(msg, 2)

    assert fails(3, stop) == [(1, "rank 2 of 3: too little.")] * 3


def test_where_all_know_it_by_another():
    def stop(rank):
        with ranks.together(rank):
            msg = "the weights of rank 1 became others."
            raise RankError(msg, 1)

    assert fails(2, stop) == [(1, "the weights of rank 1 became others.")] * 2


def test_an_interrupt_at_any_place_is_not_waited_with(monkeypatch):
    class LeftError(Exception):
        pass

    def leave(number):
        raise LeftError

    monkeypatch.setattr(interrupt, "leave", leave)

    def stop(rank):
        with ranks.together(rank):
            raise KeyboardInterrupt

    assert [type(error) for error in threads.outcomes(2, stop)] == [LeftError] * 2


class Two(Alone):
    """The second of two ranks, of which the other one makes no call."""

    rank, size = 1, 2

    def __init__(self):
        self.aborted = []

    def abort(self, message):
        self.aborted.append(message)
        raise SystemExit(1)


@pytest.mark.parametrize(
    ("error", "message"),
    [(KeyError("planted"), "KeyError: 'planted'"), (ValueError("by itself."), "by itself.")],
)
def test_what_is_not_agreed_upon_ends_all(monkeypatch, capsys, error, message):
    two = Two()
    monkeypatch.setattr("rnn_xp.cli.program.find", lambda words: two)

    def fail(*_):
        raise error

    monkeypatch.setattr("rnn_xp.cli.program._command", fail)
    with pytest.raises(SystemExit):
        main([])
    assert two.aborted == [message]
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, KeyError)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_rank_alone_speaks(monkeypatch, capsys, rank):
    two, waited = Two(), []
    two.rank = rank
    two.barrier = lambda: waited.append(True)
    monkeypatch.setattr("rnn_xp.cli.program.find", lambda words: two)

    def fail(*_):
        sys.stdout.write("hello")
        raise errors.UsageError("no.") from ranks.AgreedError()

    monkeypatch.setattr("rnn_xp.cli.program._command", fail)
    assert main([]) == 2
    assert capsys.readouterr() == (("", "") if rank else ("hello", "rnn-xp: error: no.\n"))
    assert waited == [True]


def test_one_alone_says_that_it_was_interrupted():
    code = (
        "import os, signal\n"
        "from rnn_xp.cli import interrupt\n"
        "with interrupt.at_once(){}: os.kill(os.getpid(), signal.SIGINT)"
    )
    for more, told in (("", "rnn-xp: error: interrupted.\n"), (", interrupt.silently()", "")):
        done = subprocess.run([sys.executable, "-c", code.format(more)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (130, told)


# --- parts of the data are as the whole


def parts(seed, size, C=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((5, 11, C)) * 10.0 ** rng.integers(-3, 3, C) + rng.integers(-9, 9, C)
    X[:, :, 0] = 0.1  # a constant, whose deviation rounding makes a tiny number of
    lengths = rng.integers(0, 6, 11)
    lengths[-1] = 5
    cuts = [0, *np.sort(rng.integers(0, 12, size - 1)), 11]
    return X, lengths, [slice(*cuts[rank : rank + 2]) for rank in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_the_scaling_of_parts_is_that_of_the_whole(seed, size):
    X, lengths, own = parts(seed, size)
    valid = np.concatenate([X[:length, n] for n, length in enumerate(lengths)])

    def fit(rank):
        mine = own[rank.rank]
        return shards.fit_scaling(X[:, mine], lengths[mine], (), None, rank, rank)

    for scaling in threads.together(size, fit):
        np.testing.assert_allclose(scaling.mean, valid.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(scaling.std[1:], valid.std(axis=0)[1:], rtol=1e-12)
        assert scaling.std[0] == 1
    if size == 1:
        assert np.array_equal(scaling, fit_scaling(X, lengths))


def test_moments_of_a_part_alone_are_its_own():
    own = Moments.of(np.array([[0.1], [0.3], [0.7]]))
    nothing = Moments(*np.zeros((5, 1)))
    assert Moments.joined([nothing, own]) is own


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.97])
def test_what_is_held_back_of_parts_is_that_of_the_whole(tmp_path, size, share):
    write(tmp_path)
    whole = rx.data.load(tmp_path / "all.npz")
    train, held, count = shards.hold_back(whole, share, 3, Alone(), Alone())
    assert (len(train.X), len(held.X)) == (N - count, count)

    def split(rank):
        first, last = CUTS[size][rank.rank : rank.rank + 2]
        own = whole._replace(X=whole.X[first:last], y=whole.y[first:last], lengths=whole.lengths[first:last])
        return shards.hold_back(own, share, 3, rank, rank)

    own = threads.together(size, split)
    for place, expected in enumerate((train, held)):
        for field in ("X", "y", "lengths"):
            joined = np.concatenate([getattr(each[place], field) for each in own])
            assert np.array_equal(joined, getattr(expected, field)), field
    assert [each[2] for each in own] == [count] * size


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize(("size", "cut"), [(2, True), (3, True), (3, False), (1, True)])
def test_ranks_keep_the_model_of_one(tmp_path, kind, size, cut):
    """Scaling and classes are those of all: no part has them."""
    write(tmp_path, kind)
    options = f"{QUICK} --validation 0.4 --dropout 0.2 --schedule cosine"
    command.train(given(f"train --data {tmp_path}/all.npz --out {tmp_path}/one {options}"))
    data = f"{size}.{{rank}}.npz" if cut else "all.npz"
    train(size, f"train --data {tmp_path}/{data} --out {tmp_path}/many {options}")
    same(tmp_path / "many", tmp_path / "one")
    about = rx.read_extra(tmp_path / "many/model.safetensors")["about"]
    assert about["classes"] == (["10", "9", "b"] if kind == "classes" else None)


@pytest.mark.parametrize("share", [0.01, 0.95])
def test_a_share_of_which_a_part_has_nothing(tmp_path, share):
    write(tmp_path)
    options = f"{QUICK} --validation {share}"
    command.train(given(f"train --data {tmp_path}/all.npz --out {tmp_path}/one {options}"))
    train(3, f"train --data {tmp_path}/3.{{rank}}.npz --out {tmp_path}/many {options}")
    same(tmp_path / "many", tmp_path / "one")


def test_blocks_keep_the_bits(tmp_path):
    write(tmp_path)
    for size in (1, 2, 3):
        train(size, f"train --data {tmp_path}/all.npz --out {tmp_path}/{size} {QUICK} --blocks 4")
    assert np.array_equal(weights(tmp_path / "1"), weights(tmp_path / "2"))
    assert np.array_equal(weights(tmp_path / "1"), weights(tmp_path / "3"))


def table(path, rows, names=("id", "time", "a", "target")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def test_a_table_whose_labels_happen_to_be_constant_is_of_steps_where_others_are(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (f"s{n}", t, f"{rng.standard_normal():.3f}", "yes" if n >= 6 and t % 2 else "no")
        for n in range(12)
        for t in range(4 if n < 6 else 5)
    ]
    table(tmp_path / "all.csv", rows)
    table(tmp_path / "0.csv", [row for row in rows if int(row[0][1:]) < 6])
    table(tmp_path / "1.csv", [row for row in rows if int(row[0][1:]) >= 6])
    command.train(given(f"train --data {tmp_path}/all.csv --out {tmp_path}/one {QUICK}"))
    train(2, f"train --data {tmp_path}/{{rank}}.csv --out {tmp_path}/two {QUICK}")
    same(tmp_path / "two", tmp_path / "one")


def test_columns_in_another_order(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(f"s{n}", t, rng.integers(9), rng.integers(9), "xy"[n % 2]) for n in range(8) for t in range(3)]
    names = ("id", "time", "a", "b", "target")
    table(tmp_path / "all.csv", rows, names)
    table(tmp_path / "0.csv", [row for row in rows if int(row[0][1:]) < 4], names)
    turned = [(i, t, b, a, y) for i, t, a, b, y in rows if int(i[1:]) >= 4]
    table(tmp_path / "1.csv", turned, ("id", "time", "b", "a", "target"))
    command.train(given(f"train --data {tmp_path}/all.csv --out {tmp_path}/one {QUICK}"))
    train(2, f"train --data {tmp_path}/{{rank}}.csv --out {tmp_path}/two {QUICK}")
    same(tmp_path / "two", tmp_path / "one")


def test_tokens(tmp_path):
    """Of which the largest is in one part alone."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 5, (12, 4)), rng.integers(0, 2, 12)
    X[9, 2] = 7
    np.savez(tmp_path / "all.npz", X=X, y=y)
    np.savez(tmp_path / "0.npz", X=X[:5], y=y[:5])
    np.savez(tmp_path / "1.npz", X=X[5:], y=y[5:])
    command.train(given(f"train --data {tmp_path}/all.npz --out {tmp_path}/one {QUICK}"))
    train(2, f"train --data {tmp_path}/{{rank}}.npz --out {tmp_path}/two {QUICK}")
    same(tmp_path / "two", tmp_path / "one")


@pytest.mark.parametrize("lanes", ["", "--lanes 4"])
def test_texts(tmp_path, lanes):
    """The vocabulary is that of all, and what is trained on the texts after each other."""
    texts = ["abcab cab bac" * 20, "xyzzy yxy abc" * 20]
    for rank, text in enumerate(texts):
        (tmp_path / f"{rank}.txt").write_text(text)
    options = f"{QUICK} --task text --window 5 --embedding-size 3 --validation 0.2 {lanes}"
    if lanes:
        options = options.replace("--batch-size 8 ", "")
    told = []

    def call(rank):
        settings = settle(given(f"train --data {tmp_path}/{{rank}}.txt {options}", rank))
        told.append(settings)
        return command.load_job(settings)

    first, second = threads.together(2, call)
    assert first.about.vocabulary == second.about.vocabulary == rx.data.vocabulary("".join(texts))
    assert first.about.vocabulary.decode(first.test.X[0]) == texts[0][-26:-1]
    assert (first.sequences, first.held) == (second.sequences, second.held)
    assert first.trigram_bits is None
    if lanes:
        assert (first.train.count, first.sequences) == (2, 4)
    else:
        assert first.sequences == len(first.train.X) + len(second.train.X)
        assert first.held == len(first.validation.X) + len(second.validation.X)
    train(2, f"train --data {tmp_path}/{{rank}}.txt --out {tmp_path}/run {options}")
    assert history(tmp_path / "run")[-1]["loss"] < history(tmp_path / "run")[0]["loss"]


def test_lanes_that_the_ranks_cannot_share(tmp_path):
    for rank in range(2):
        (tmp_path / f"{rank}.txt").write_text("abc " * 50)
    argv = f"train --task text --lanes 3 --data {tmp_path}/{{rank}}.txt --backend numpy"
    assert (
        fails(2, lambda rank: command.train(given(argv, rank)))
        == [(2, "argument --lanes: 3 must be a multiple of 2, the ranks: each has a text.")] * 2
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"y": np.arange(5.0)},
            "the targets must be names of classes, or numbers (--targets says which), as",
        ),
        ({"X": np.zeros((5, 3, 4))}, "the features must be those of rank 0, x0, x1; got x0, x1, x2, x3."),
        ({"X": np.zeros((5, 3), int)}, "the sequences must be features, or tokens, as those of rank 0 are"),
        (
            {"y": np.zeros((5, 3), int)},
            "the targets must be one for a sequence, or several, as those of rank 0",
        ),
        ({"X": np.full((5, 3, 2), np.nan)}, "`X` holds nan at sample 0, step 0, feature 0"),
    ],
)
def test_a_part_that_does_not_go_with_the_others(tmp_path, change, message):
    good = {"X": np.ones((5, 3, 2)), "y": np.array([0, 1, 0, 1, 0])}
    for rank in range(3):
        np.savez(tmp_path / f"{rank}.npz", **(good | change if rank == 2 else good))
    found = fails(3, lambda rank: command.train(given(f"train --data {tmp_path}/{{rank}}.npz {QUICK}", rank)))
    assert found == [found[0]] * 3
    assert found[0][0] == 1
    assert found[0][1].startswith(f"rank 2 of 3: {tmp_path}/2.npz: {message}")


def test_a_file_that_is_not_there(tmp_path):
    write(tmp_path)
    (tmp_path / "3.1.npz").unlink()
    out = tmp_path / "run"
    argv = f"train --data {tmp_path}/3.{{rank}}.npz --out {out} {QUICK}"
    words = f"rank 1 of 3: {tmp_path}/3.1.npz: No such file or directory."
    assert fails(3, lambda rank: command.train(given(argv, rank))) == [(1, words)] * 3
    assert not out.exists()


def test_a_directory_that_holds_a_run(tmp_path):
    write(tmp_path)
    argv = f"train --data {tmp_path}/all.npz --out {tmp_path}/run {QUICK}"
    train(2, argv)
    code, words = fails(2, lambda rank: command.train(given(argv, rank)))[1]
    assert code == 2
    assert words.startswith(f"rank 0 of 2: argument --out: {tmp_path}/run/model.safetensors is there")


def test_what_cannot_be_written(tmp_path, monkeypatch):
    """The first rank alone finds out."""
    write(tmp_path)

    def keep(*_):
        raise OSError(28, "No space left on device", "model")

    monkeypatch.setattr(Directory, "keep", keep)
    argv = f"train --data {tmp_path}/all.npz --out {tmp_path}/run {QUICK}"
    found = fails(2, lambda rank: command.train(given(argv, rank)))
    assert found[0] == (
        1,
        f"rank 0 of 2: model: No space left on device. {tmp_path}/run keeps no whole epoch yet. "
        f"Go on with: rnn-xp train --resume {tmp_path}/run --distributed rank",
    )
    assert found[1] == (1, "rank 0 of 2: model: No space left on device.")


def test_others_leave_the_directory_alone(tmp_path):
    with Directory(str(tmp_path / "run"), writes=False) as directory:
        directory.complete(None, None, None, [{"epoch": 1}], 1)
    assert list(tmp_path.iterdir()) == []


# --- going on


class StoppedError(OSError):
    pass


def interrupted(monkeypatch, size, argv):
    """Train for two epochs."""
    keep = Directory.keep

    def then(self, model, params, about, record):
        keep(self, model, params, about, record)
        if record["epoch"] == 2:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "keep", then)
        found = threads.outcomes(size, lambda rank: command.train(given(argv, rank)))
        assert all(isinstance(error, OSError) for error in found), found


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize(("before", "after"), [(3, 2), (1, 4), (3, 1)])
def test_parts_are_gone_on_with_by_another_number_of_ranks(tmp_path, monkeypatch, kind, before, after):
    """The scaling is that of before: fitted anew, it would be another one by rounding."""
    write(tmp_path, kind)
    argv = f"train --data {tmp_path}/all.npz --out {tmp_path}/one {QUICK} --validation 0.4"
    command.train(given(argv))
    argv = f"train --data {tmp_path}/{before}.{{rank}}.npz --out {tmp_path}/many {QUICK} --validation 0.4"
    interrupted(monkeypatch, before, argv)
    assert len(history(tmp_path / "many")) == 2
    train(after, f"train --resume {tmp_path}/many --data {tmp_path}/{after}.{{rank}}.npz")
    same(tmp_path / "many", tmp_path / "one")


def test_the_whole_is_gone_on_with_by_one_process(tmp_path, monkeypatch):
    write(tmp_path)
    command.train(given(f"train --data {tmp_path}/all.npz --out {tmp_path}/one {QUICK}"))
    interrupted(monkeypatch, 3, f"train --data {tmp_path}/all.npz --out {tmp_path}/many {QUICK}")
    assert main(["train", "--resume", str(tmp_path / "many"), "--quiet"]) == 0
    same(tmp_path / "many", tmp_path / "one")


def test_parts_are_not_gone_on_with_as_a_whole(tmp_path, monkeypatch, capsys):
    write(tmp_path)
    interrupted(monkeypatch, 2, f"train --data {tmp_path}/2.{{rank}}.npz --out {tmp_path}/run {QUICK}")
    resume = ["train", "--resume", str(tmp_path / "run"), "--quiet"]
    assert main(resume) == 2
    assert "{rank} in a name goes with --distributed" in capsys.readouterr().err
    assert main([*resume, "--data", str(tmp_path / "all.npz")]) == 1
    assert re.search(r"\{rank\} in --data, .* must be as they were", capsys.readouterr().err)


def test_a_damaged_scaling(tmp_path, monkeypatch):
    write(tmp_path)
    interrupted(monkeypatch, 2, f"train --data {tmp_path}/2.{{rank}}.npz --out {tmp_path}/run {QUICK}")
    argv = f"train --resume {tmp_path}/run"
    read = rx.checkpoint.read_extra
    for wrong in ({"mean": [0.0], "std": [0.0]}, {"mean": [0.0]}, 3):
        monkeypatch.setattr(
            "rnn_xp.checkpoint.read_extra", lambda path, wrong=wrong: read(path) | {"scalings": [wrong, None]}
        )
        code, words = fails(2, lambda rank: command.train(given(argv, rank)))[0]
        assert code == 2, words
        assert words.endswith("checkpoint.safetensors is damaged: its scalings can be none.")


def test_a_finished_training_whose_data_have_gone(tmp_path, capsys):
    write(tmp_path)
    train(2, f"train --data {tmp_path}/2.{{rank}}.npz --out {tmp_path}/run {QUICK}")
    (tmp_path / "2.0.npz").unlink()
    train(2, f"train --resume {tmp_path}/run")
    assert "this training is finished" in capsys.readouterr().out


# --- using a model


@pytest.fixture
def run(tmp_path):
    write(tmp_path)
    command.train(given(f"train --data {tmp_path}/all.npz --out {tmp_path}/run {QUICK}"))
    return tmp_path / "run"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(("size", "data"), [(2, "2.{rank}.npz"), (3, "all.npz"), (4, "4.{rank}.npz")])
def test_predictions_come_in_order(run, size, data):
    folder = run.parent
    assert use.predict(given(f"predict {run} --data {folder}/all.npz --out {folder}/one.csv")) == 0
    argv = f"predict {run} --data {folder}/{data} --out {folder}/many.csv"
    threads.together(size, lambda rank: use.predict(given(argv, rank)))
    one, many = rows(folder / "one.csv"), rows(folder / "many.csv")
    assert [row[:2] for row in many] == [row[:2] for row in one]
    numbers = [np.array([row[2:] for row in each[1:]], float) for each in (one, many)]
    np.testing.assert_allclose(*numbers, rtol=1e-12)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "cross_entropy", "huber"])
@pytest.mark.parametrize(("size", "data"), [(2, "2.{rank}.npz"), (3, "all.npz"), (1, "1.{rank}.npz")])
def test_scores_are_those_of_all(tmp_path, monkeypatch, loss, size, data):
    write(tmp_path, "numbers" if loss == "huber" else "classes")
    if loss == "binary_cross_entropy":
        for path in tmp_path.glob("*.npz"):
            own = dict(np.load(path))
            np.savez(path, **(own | {"y": (own["y"] == "b").astype(int)}))
    command.train(given(f"train --data {tmp_path}/all.npz --out {tmp_path}/run {QUICK} --loss {loss}"))
    found = []
    monkeypatch.setattr(use.Output, "record", lambda self, record: found.append(record["result"]["metrics"]))
    use.evaluate(given(f"evaluate {tmp_path}/run --data {tmp_path}/all.npz"))
    argv = f"evaluate {tmp_path}/run --data {tmp_path}/{data}"
    threads.together(size, lambda rank: use.evaluate(given(argv, rank)))
    one, *many = found
    assert len(many) == size
    assert ("r2" in one) == (loss == "huber")
    assert ("commonest_class" in one) == (loss != "huber")
    for own in many:
        assert own.keys() == one.keys()
        for name, value in one.items():
            np.testing.assert_allclose(own[name], value, rtol=1e-12)


def test_the_scores_of_texts_are_those_of_all(tmp_path, monkeypatch):
    """Each counts as much as it is long."""
    texts = ["abcab cab bac" * 20, "ab " * 9]
    (tmp_path / "all.txt").write_text(texts[0] * 3)
    for rank, text in enumerate(texts):
        (tmp_path / f"{rank}.txt").write_text(text)
    argv = f"train --task text --data {tmp_path}/all.txt --out {tmp_path}/run {QUICK} --window 5"
    command.train(given(argv))
    found = []
    monkeypatch.setattr(use.Output, "record", lambda self, record: found.append(record["result"]["metrics"]))
    for rank in range(2):
        use.evaluate(given(f"evaluate {tmp_path}/run --data {tmp_path}/{rank}.txt"))
    argv = f"evaluate {tmp_path}/run --data {tmp_path}/{{rank}}.txt"
    threads.together(2, lambda rank: use.evaluate(given(argv, rank)))
    expected = np.average([each["loss"] for each in found[:2]], weights=[len(text) - 1 for text in texts])
    assert [each["loss"] for each in found[2:]] == pytest.approx([expected] * 2, rel=1e-12)


# --- doctor


def test_doctor_without_mpi(monkeypatch):
    monkeypatch.setattr(doctor_ranks, "installed", lambda name: None)
    mpi, nccl = doctor_ranks.ranks("not installed")
    assert (mpi.found, nccl.found) == ("no mpi4py", "none, without CuPy and a GPU")
    assert mpi.wrong == nccl.wrong == ""


def answer(monkeypatch, **what):
    def run(command, **options):
        if isinstance(what.get("error"), Exception):
            raise what["error"]
        return types.SimpleNamespace(stdout=what["stdout"])

    monkeypatch.setattr(doctor_ranks, "installed", lambda name: "4.1.2")
    monkeypatch.setattr(subprocess, "run", run)
    return next(iter(doctor_ranks.ranks("none")))


@pytest.mark.parametrize(
    ("cuda", "told"),
    [
        ("true", "mpi4py 4.1.2, Open MPI 5.0.11, knows CUDA"),
        ("false", "mpi4py 4.1.2, Open MPI 5.0.11, knows no CUDA; arrays of a GPU go over memory of the host"),
        (
            "null",
            "mpi4py 4.1.2, Open MPI 5.0.11, does not say whether it knows CUDA; "
            "arrays of a GPU go over memory of the host",
        ),
    ],
)
def test_doctor_names_the_mpi(monkeypatch, cuda, told):
    line = answer(monkeypatch, stdout=f'a warning\n["Open MPI 5.0.11", {cuda}]\n')
    assert (line.found, line.wrong) == (told, "")


@pytest.mark.parametrize(
    ("error", "wrong"),
    [
        (
            subprocess.CalledProcessError(
                1, "x", stderr="Traceback\nRuntimeError: cannot load MPI library\n"
            ),
            "it cannot start MPI: RuntimeError: cannot load MPI library",
        ),
        (subprocess.CalledProcessError(-6, "x", stderr=""), "it cannot start MPI: exit code -6"),
        (subprocess.TimeoutExpired("x", 30), "MPI does not answer: Command 'x' timed out after 30 seconds"),
    ],
)
def test_doctor_says_what_is_wrong_with_an_mpi(monkeypatch, error, wrong):
    line = answer(monkeypatch, error=error)
    assert (line.wrong, line.mend.split(" (")[0]) == (wrong, 'pip install "rnn-xp[mpi]"')


def test_doctor_starts_nccl(monkeypatch):
    cupy = types.SimpleNamespace(
        cuda=types.SimpleNamespace(nccl=types.SimpleNamespace(get_version=lambda: 22707))
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    started = []
    monkeypatch.setattr(doctor_ranks, "NCCL", started.append)
    line = list(doctor_ranks.ranks("available (14.0)"))[1]
    assert (line.found, line.wrong) == ("2.27.7", "")
    assert isinstance(started[0], Alone)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ModuleNotFoundError("no NCCL."), ("none", "no NCCL.")),
        (RuntimeError("x"), ("unusable", "RuntimeError: x")),
    ],
)
def test_doctor_says_why_there_is_no_nccl(monkeypatch, error, found):
    def fail(host):
        raise error

    monkeypatch.setattr(doctor_ranks, "NCCL", fail)
    line = list(doctor_ranks.ranks("available (14.0)"))[1]
    assert (line.found, line.wrong) == found


# --- GPUs


def test_a_rank_computes_on_the_gpu_of_its_place(monkeypatch):
    opened = []

    def get(name, device=None):
        opened.append((name, device))
        if device == "cuda:2":
            raise rx.BackendError("one GPU is visible")

    monkeypatch.setattr(ranks, "get_backend", get)
    for local in ("1", "2"):
        monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", local)
        ranks._use_own_gpu(None)
    ranks._use_own_gpu("cuda:5")
    assert opened == [("cupy", "cuda:1"), ("cupy", "cuda:2"), ("cupy", None), ("cupy", "cuda:5")]


def test_nccl_takes_over(monkeypatch):
    opened = []
    monkeypatch.setattr(ranks, "get_backend", lambda *given, **more: opened.append(more))
    monkeypatch.setattr(ranks, "NCCL", lambda host, **more: types.SimpleNamespace(rank=0, size=1, **more))
    told = given("train --distributed nccl --timeout 9")
    ranks.take_part("train", told, Alone())
    assert (told["distributed"].timeout, told["backend"]) == (9, "cupy")
    assert opened == [{"device": None}]


def test_without_nccl_it_says_what_installs_it(monkeypatch):
    def fail(host, **more):
        msg = "needs NCCL."
        raise ModuleNotFoundError(msg)

    monkeypatch.setattr(ranks, "get_backend", lambda *given, **more: None)
    monkeypatch.setattr(ranks, "NCCL", fail)
    with pytest.raises(errors.UsageError, match="needs NCCL"):
        ranks.take_part("train", given("train --distributed nccl"), Alone())


def test_settings_of_a_rank():
    settings = Settings(data="x{rank}of{ranks}.npz", distributed=Alone())
    assert (settings.own_data, settings.parts.size) == ("x0of1.npz", 1)
    assert Settings(data="x.npz").ranks.size == 1
