"""Trainings that are killed, interrupted and refused, and what `rnn-xp train --resume` makes of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import main
from rnn_xp.cli.directory import Directory

fcntl = pytest.importorskip("fcntl", reason="POSIX signals and locks")
resource = pytest.importorskip("resource", reason="POSIX signals and locks")

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(rx.__file__).parents[1])}
FILES = ["checkpoint.safetensors", "history.jsonl", "model.safetensors"]
SMALL = "--hidden-size 8 --epochs 12 --save-every 0.001"
TRAININGS = {
    "sequences": f"--data data.npz --validation 0.25 --batch-size 4 --dropout 0.3 --schedule cosine {SMALL}",
    "truncated": f"--data steps.npz --cell lstm --truncate 3,5 --batch-size 3 --dtype float64 {SMALL}",
    "text": f"--task text --data text --window 12 --accumulate 2 --validation 0.2 {SMALL}",
    "lanes": f"--task text --data text --lanes 3 --window 10 {SMALL}",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write the files that the trainings read, into a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 11, 2))
    np.savez("data.npz", X=X, y=(X[:, 0, 0] > 0).astype(int), lengths=rng.integers(1, 12, 40))
    np.savez("steps.npz", X=X, y=(X[:, :, 0].cumsum(axis=1) > 0).astype(int))
    Path("text").write_text("the cat sat on the mat; the rat sat on the cat. " * 15)
    return tmp_path


@pytest.fixture
def whole(tmp_path_factory, folder, monkeypatch):
    """Train without an interruption, from another folder and other names; return the files in the end."""

    def train(name):
        elsewhere = tmp_path_factory.mktemp("whole")
        shutil.copytree(folder, elsewhere / "files")
        monkeypatch.chdir(elsewhere)
        options = TRAININGS[name].replace("--data ", "--data files/").split()
        assert main(["train", *options, "--out", "another"]) == 0
        monkeypatch.chdir(folder)
        return elsewhere / "another"

    return train


def start(options, **more):
    """Begin a training in `run`, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rnn_xp", "train", *options.split(), "--out", "run", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **more,
    )


def cut_short(options, number, epochs=3):
    """Send a signal to a training after so many epochs; return its exit code and its last words."""
    process = start(options)
    for _ in range(epochs):
        process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err.decode()
    return process.returncode, err.decode().splitlines()[-1]


def history(folder):
    """Return the records of a history without what the clock says."""
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if "second" not in name} for record in records]


def same(run, whole):
    """Whether two trainings have come to the same, and left nothing else."""
    return (
        sorted(os.listdir(run)) == FILES
        and (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
        and history(run) == history(whole)
    )


def fails(capsys, *argv):
    """Run a command that fails; return its exit code and its one message."""
    code = main([str(argument) for argument in argv])
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("rnn-xp: error: ")
    return code, message.removeprefix("rnn-xp: error: ")


# it goes on


@pytest.mark.parametrize("name", TRAININGS)
def test_a_killed_training_ends_as_if_nothing_had_happened(folder, whole, name, monkeypatch, tmp_path):
    code, _ = cut_short(TRAININGS[name], signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert 3 <= len(history(folder / "run")) < 12
    (folder / "run/.model.safetensors.1.0123456789abcdef.tmp").touch()  # as a kill while saving leaves it
    expected = whole(name)
    monkeypatch.chdir("/")
    assert main(["train", "--resume", str(folder / "run"), "--quiet", "--save-every", "5"]) == 0
    assert same(folder / "run", expected)
    assert str(tmp_path.parent).encode() not in (folder / "run/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "number", "status", "word"),
    [
        ("sequences", signal.SIGINT, 130, "interrupted"),
        ("lanes", signal.SIGTERM, 143, "terminated"),
    ],
)
def test_signals(folder, whole, name, number, status, word):
    code, message = cut_short(TRAININGS[name], number)
    kept = len(history(folder / "run"))
    assert (code, message) == (
        status,
        f"rnn-xp: error: {word} in epoch {kept + 1}; run/checkpoint.safetensors holds everything. "
        f"run keeps epoch {kept}. Go on with: rnn-xp train --resume run",
    )
    assert rx.read_extra("run/model.safetensors")["epoch"] == kept >= 3
    assert main(["train", "--resume", "run"]) == 0
    assert same(folder / "run", whole(name))


def test_signals_without_a_directory(folder):
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
        process = subprocess.Popen(
            [sys.executable, "-m", "rnn_xp", "train", "--epochs", "100000", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        process.stdout.readline()
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == status


# it has finished


def seen(folder):
    """Return all that can be seen of a directory and its files."""
    paths = [folder, *sorted(folder.iterdir())]
    return [(path.name, path.stat().st_mtime_ns, path.stat().st_ino, path.stat().st_size) for path in paths]


@pytest.mark.parametrize("name", ["sequences", "lanes"])
def test_a_finished_training_is_left_alone(folder, capsys, name):
    assert main(["train", *TRAININGS[name].split(), "--out", "run", "--json"]) == 0
    first = capsys.readouterr().out.splitlines()[-1]
    before = seen(folder / "run")
    assert main(["train", "--resume", "run", "--json"]) == 0
    out, err = capsys.readouterr()
    assert seen(folder / "run") == before
    assert out.splitlines() == [first]
    assert "run: this training is finished\n" in err


def test_what_a_kill_left_undone_is_done(folder):
    assert main(["train", *TRAININGS["sequences"].split(), "--lr", "0.3", "--out", "run"]) == 0
    model, log = folder / "run/model.safetensors", folder / "run/history.jsonl"
    content = model.read_bytes(), log.read_bytes()
    assert rx.read_extra(model)["epoch"] < 12
    last, params = rx.load(model, "numpy")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    rx.save(model, last, params, {**rx.read_extra(model), "epoch": 12})  # the last epoch, not the best
    assert main(["train", "--resume", "run"]) == 0
    assert (model.read_bytes(), log.read_bytes()) == content
    model.unlink()
    log.unlink()
    assert main(["train", "--resume", "run"]) == 0
    assert (model.read_bytes(), log.read_bytes()) == content


# it does not go on


def test_there_is_no_whole_checkpoint(folder, capsys):
    words = "argument --resume: run holds no whole checkpoint: "
    assert fails(capsys, "train", "--resume", "run") == (2, f"{words}there is no such directory.")
    Path("run").mkdir()
    assert fails(capsys, "train", "--resume", "run") == (2, f"{words}there is no checkpoint.safetensors.")
    assert os.listdir("run") == []
    assert main(["train", "--epochs", "1", "--out", "run"]) == 0
    path = folder / "run/checkpoint.safetensors"
    whole, model = path.read_bytes(), (folder / "run/model.safetensors").read_bytes()
    flipped = bytearray(whole)
    flipped[-9] ^= 4
    for content in (whole[: len(whole) // 2], bytes(flipped), b"", model):
        path.write_bytes(content)
        code, message = fails(capsys, "train", "--resume", "run")
        assert code == 2
        assert message.startswith(words)
        assert path.read_bytes() == content
    path.write_bytes(whole)
    assert main(["train", "--resume", "run"]) == 0


def test_a_checkpoint_of_the_library(folder, capsys):
    data = rx.data.sign_of_sum(20, seed=0)
    model = rx.Sequential(rx.GRU(1, 2), rx.LastStep(), rx.Linear(2, 2))
    Path("run").mkdir()
    rx.fit(model, data.X, data.y, epochs=1, checkpoint="run/checkpoint.safetensors", verbose=False)
    words = "run holds no whole checkpoint: checkpoint.safetensors is none of `rnn-xp train`."
    assert fails(capsys, "train", "--resume", "run") == (2, f"argument --resume: {words}")


@pytest.mark.parametrize(
    "option", ["--epochs 40", "--lr 0.1", "--out other", "--backend numpy", "--layout TNC"]
)
def test_nothing_else_may_be_said(folder, capsys, option):
    code, message = fails(capsys, "train", "--resume", "run", *option.split())
    name = option.split()[0]
    assert (code, message) == (
        2,
        f"argument {name}: not here: --resume goes on with what the run was told.",
    )


def test_data_that_changed(folder, capsys):
    cut_short(TRAININGS["sequences"], signal.SIGKILL)
    before = Path("run/checkpoint.safetensors").read_bytes()
    arrays = dict(np.load("data.npz"))
    arrays["X"][7, 0, 1] += 1e-3
    np.savez("data.npz", **arrays)
    code, message = fails(capsys, "train", "--resume", "run")
    assert code == 1
    assert message.startswith(f"{folder}/data.npz: `X`")
    assert message.endswith(
        f"must be as they were when the checkpoint run/{FILES[0]} was written; got others. "
        "Give the same ones (--data), or train anew with another --out."
    )
    assert Path("run/checkpoint.safetensors").read_bytes() == before
    Path("data.npz").unlink()
    words = "No such file or directory. --data and --test say where files are now."
    assert fails(capsys, "train", "--resume", "run") == (1, f"{folder}/data.npz: {words}")


def test_two_at_once(folder, capsys):
    assert main(["train", "--epochs", "1", "--out", "run"]) == 0
    descriptor = os.open("run", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # as the other process does
    for option in ("--resume", "--out"):
        assert fails(capsys, "train", option, "run") == (
            2,
            f"argument {option}: another training writes to run now.",
        )
    os.close(descriptor)
    assert main(["train", "--resume", "run"]) == 0


def test_the_other_process_locks(folder, capsys):
    with start(TRAININGS["sequences"].replace("--epochs 12", "--epochs 100000")) as process:
        process.stdout.readline()
        assert fails(capsys, "train", "--resume", "run")[0] == 2
        process.kill()
        process.communicate()
    with Directory("run", resumed=True):
        pass


def test_a_directory_that_holds_a_run(folder, capsys):
    cut_short(TRAININGS["sequences"], signal.SIGKILL, epochs=1)
    code, message = fails(capsys, "train", "--out", "run")
    assert code == 2
    assert message == (
        "argument --out: run/model.safetensors is there: run holds a run. "
        "Name another directory, or remove that one. Go on with: rnn-xp train --resume run"
    )


# it cannot write


def test_a_full_disk(folder, whole):
    cut_short(TRAININGS["sequences"], signal.SIGKILL)
    before = Path("run/checkpoint.safetensors").read_bytes()
    code = "import sys; from rnn_xp.cli import main; sys.exit(main(['train', '--resume', 'run', '--quiet']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("rnn-xp: error: run/")
    assert "safetensors: File too large. run keeps epoch " in message
    assert message.endswith(". Go on with: rnn-xp train --resume run")
    assert Path("run/checkpoint.safetensors").read_bytes() == before
    assert sorted(os.listdir("run")) == FILES
    assert main(["train", "--resume", "run"]) == 0
    assert same(folder / "run", whole("sequences"))


def test_a_directory_that_vanishes(folder, capsys, monkeypatch):
    keep = Directory.keep

    def vanish(directory, *args):
        keep(directory, *args)
        shutil.rmtree(directory.path)

    monkeypatch.setattr(Directory, "keep", vanish)
    code, message = fails(capsys, "train", *TRAININGS["sequences"].split(), "--out", "run")
    assert code == 1
    assert message == "run/checkpoint.safetensors: No such file or directory. run is not there any more."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_becomes_read_only(folder, capsys):
    cut_short(TRAININGS["sequences"], signal.SIGKILL)
    before = seen(folder / "run")[1:]
    Path("run").chmod(0o500)
    code, message = fails(capsys, "train", "--resume", "run")
    assert code == 1
    assert message.startswith("run/checkpoint.safetensors: Permission denied. run keeps epoch ")
    assert seen(folder / "run")[1:] == before


def test_a_batch_that_does_not_fit(folder, capsys, monkeypatch):
    def fit(*_, **__):
        words = "out of memory: a batch of 32 sequences of 9 steps takes about 5 MB; 2 MB are free. "
        raise MemoryError(
            f"{words}batch_size=8 should fit or recompute=True, which keeps about sqrt(T) steps."
        )

    monkeypatch.setattr(rx, "fit", fit)
    assert fails(capsys, "train", "--data", "data.npz") == (
        1,
        "out of memory: a batch of 32 sequences of 9 steps takes about 5 MB; 2 MB are free. "
        "--batch-size 8 should fit or --recompute, which keeps about sqrt(T) steps.",
    )


def test_how_much_is_kept_may_be_said_anew(folder, whole):
    cut_short(TRAININGS["sequences"], signal.SIGKILL)
    assert main(["train", "--resume", "run", "--recompute", "--quiet"]) == 0
    assert same(folder / "run", whole("sequences"))


@pytest.mark.parametrize(
    ("recompute", "way_on"), [(False, "Go on with: rnn-xp train --resume run --recompute"), (True, "")]
)
def test_out_of_memory_says_what_may_go_on(folder, capsys, monkeypatch, recompute, way_on):
    def fit(*_, checkpoint, **__):
        checkpoint.touch()
        raise MemoryError

    monkeypatch.setattr(rx, "fit", fit)
    more = ["--recompute"] if recompute else []
    _, message = fails(capsys, "train", "--data", "data.npz", *more, "--out", "run")
    assert message.endswith(f"run keeps no whole epoch yet. {way_on}".rstrip())
