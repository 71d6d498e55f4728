"""Targets that are numbers: of any size, in every command, and what is said of them."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import r2_score

import rnn_xp as rx
from rnn_xp.cli import main, scores


@pytest.fixture
def run(capsys):
    """Run a command that succeeds; return what it wrote to standard output, and to standard error."""

    def call(*argv):
        code = main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    return call


def table(path, size, offset=0.0, *, steps=False):
    """Write sequences of unequal length, and what is to be learnt of each, or of its steps; return that."""
    rng, lines, targets = np.random.default_rng(0), ["id,time,a,b,target"], []
    for n in range(30):
        X = rng.standard_normal((4 + n % 3, 2))
        y = X.sum(axis=1).cumsum() if steps else np.full(len(X), X.sum())
        y = y * size + offset
        targets += y.tolist() if steps else y[:1].tolist()
        rows = np.c_[X, y].tolist()
        lines += [f"s{n},{t},{a!r},{b!r},{value!r}" for t, (a, b, value) in enumerate(rows)]
    path.write_text("\n".join(lines))
    return np.array(targets)


def answers(text):
    """Return the numbers that `rnn-xp predict` wrote."""
    return np.array([float(line.split(",")[-1]) for line in text.splitlines()[1:]])


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize(("size", "offset"), [(1.0, 0.0), (1e6, 3e6), (1e-6, -3e-6), (1e-30, 0.0)])
def test_every_command_answers_in_their_units(run, tmp_path, size, offset, steps):
    """The scores are those of the answers, by hand; and a graph elsewhere gives the same answers."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path, directory = tmp_path / "data.csv", tmp_path / "run"
    y = table(path, size, offset, steps=steps)
    options = ("--epochs", "60", "--hidden-size", "8", "--lr", "0.03", "--dtype", "float32")
    run("train", "--data", path, *options, "--out", directory)
    found = answers(run("predict", directory, "--data", path)[0])
    metrics = json.loads(run("evaluate", directory, "--data", path, "--json")[0])["result"]["metrics"]
    assert metrics["r2"] == pytest.approx(r2_score(y, found), rel=1e-4)
    assert metrics["r2"] > 0.6
    assert metrics["mean_absolute_error"] == pytest.approx(np.mean(np.abs(y - found)), rel=1e-4, abs=0)
    assert metrics["loss"] == pytest.approx(np.mean((y - found) ** 2), rel=1e-4, abs=1e-44)
    run("export", directory, "--to", "onnx", "--out", tmp_path / "model.onnx")
    data = rx.data.load(path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    other = session.run(None, {"X": data.X.astype(np.float32), "lengths": data.lengths})[0]
    valid = np.arange(data.X.shape[1]) < data.lengths[:, np.newaxis]
    other = other[..., 0][valid] if steps else other[:, 0]
    np.testing.assert_allclose(other, found, rtol=0, atol=2e-6 * np.max(np.abs(found)))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2.8349199, "2.8349"),
        (-0.23664, "-0.2366"),
        (0.0, "0.0000"),
        (0.0012345, "0.0012"),
        (99999.0, "99999.0000"),
        (2.5e-6, "2.5e-06"),
        (2834920944951.75, "2.835e+12"),
        (float("inf"), "inf"),
    ],
)
def test_scores_of_any_size_can_be_read(value, words):
    assert scores.in_words({"mean_absolute_error": value}) == f"mean absolute error {words}"


@pytest.mark.parametrize(
    ("size", "dtype", "more"),
    [(3e19, "float32", ", or train with --dtype float64."), (1e160, "float64", ".")],
)
def test_the_squares_of_errors_must_be_numbers(capsys, tmp_path, size, dtype, more):
    np.savez(tmp_path / "data.npz", X=np.ones((4, 2, 1)), y=np.full(4, size))
    command = ["train", "--data", str(tmp_path / "data.npz"), "--dtype", dtype, "--epochs", "1"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err
    most = {"float32": "1.8e+19", "float64": "1.3e+154"}[dtype]
    assert f"the targets must be below {most} for {dtype}, which must hold squares of errors" in err
    assert err.endswith(f"got a size of {size:.2g}. Scale them down{more}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("size", "dtype", "coarse"), [(1e-44, "float32", True), (1e-44, "float64", False)])
def test_targets_that_are_too_small(run, tmp_path, size, dtype, coarse):
    """Below 1.2e-38, numbers of float32 are 1.4e-45 apart."""
    table(tmp_path / "data.csv", size)
    err = run("train", "--data", tmp_path / "data.csv", "--dtype", dtype, "--epochs", "1")[1]
    assert ("warning: the targets differ by little, for float32" in err) == coarse


@pytest.mark.parametrize(
    ("y", "more", "words"),
    [
        (np.arange(40) % 2 * 1.0, [], "the 2 different whole numbers in the targets are taken for amounts;"),
        (np.arange(40) % 2 * 1.0, ["--targets", "numbers"], None),
        (np.arange(40) % 2 * 1.0, ["--loss", "huber"], None),
        (np.arange(40) % 2 * 0.5, [], None),
        (np.arange(40) * 1.0, [], None),
        (np.full(40, 2.5), [], "all targets are 2.5: there is nothing to tell apart"),
        (np.arange(40), [], "the 40 different whole numbers in the targets are taken for names of classes;"),
        (np.arange(40), ["--loss", "cross_entropy"], None),
    ],
)
def test_what_targets_are_taken_for_is_told_where_it_may_be_wrong(run, tmp_path, y, more, words):
    np.savez(tmp_path / "data.npz", X=np.ones((40, 2, 1)), y=y)
    err = run("train", "--data", tmp_path / "data.npz", "--epochs", "1", "--backend", "numpy", *more)[1]
    assert [line.startswith(f"warning: {words}") for line in err.splitlines()] == [True] * (words is not None)


KILLED = """
import os, signal, sys
from rnn_xp.cli import directory, main
keep, stop = directory.Directory.keep, int(sys.argv.pop(1))
def after(self, model, params, about, record):
    keep(self, model, params, about, record)
    if record["epoch"] == stop:
        os.kill(os.getpid(), signal.SIGKILL)
directory.Directory.keep = after
main(sys.argv[1:])
"""


def test_a_kill_leaves_no_trace(run, tmp_path):
    """Killed twice, the second time after it had gone on: the weights are those of a whole training."""
    table(tmp_path / "data.csv", 1e6, 3e6, steps=True)
    more = ("--epochs", "6", "--hidden-size", "4", "--batch-size", "4", "--dropout", "0.2", "--truncate", "2")
    options = ("--data", tmp_path / "data.csv", "--validation", "0.2", *more)
    run("train", *options, "--out", tmp_path / "whole")
    go_on = ["train", "--resume", tmp_path / "run"]
    for stop, argv in ((2, ["train", *options, "--out", tmp_path / "run"]), (4, go_on)):
        command = [sys.executable, "-c", KILLED, str(stop), *map(str, argv)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    run(*go_on)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert models[0] == models[1]
    history = [(tmp_path / name / "history.jsonl").read_text().splitlines() for name in ("run", "whole")]
    losses = [[json.loads(line)["val_loss"] for line in lines] for lines in history]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6
