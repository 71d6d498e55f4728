"""`rnn-xp train`: what it prints, what it writes, and that it trains what the options say."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.backend import available
from rnn_xp.cli import jobs, main
from rnn_xp.cli.directory import Directory
from rnn_xp.cli.options import BACKENDS
from rnn_xp.cli.settings import LR, TASKS, settle

QUICK = ("--epochs", "2", "--batch-size", "250")


@pytest.fixture
def run(capsys):
    """Run a command that succeeds; return its lines on standard output."""

    def call(*argv):
        code = main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out.splitlines()

    return call


def result(lines):
    return json.loads(lines[-1])["result"]


@pytest.fixture
def separable(tmp_path):
    """Write a file of two classes that a glance at any step tells apart, of unequal lengths, and its data."""
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    X = rng.standard_normal((24, 5, 3)) * 0.1 + 7.0
    X[:, :, 1] += np.where(y, 3.0, -3.0)[:, np.newaxis]
    lengths = rng.integers(2, 6, 24)
    path = tmp_path / "data.npz"
    np.savez(path, X=X, y=np.where(y, "up", "down"), lengths=lengths)
    return path, X, y, lengths


# the tutorial's job


def test_the_tutorial(run):
    lines = run("train", "--epochs", "1")
    assert "RNN(1, 32, bias='input'), LastStep(), Linear(32, 1)): 1121 parameters" in lines[1]
    assert "sgd(0.01), batches of 1, seed 0; numpy on cpu, float64" in lines[2]
    assert lines[3].startswith("epoch 1/1  loss 0.3")
    assert lines[-2].startswith("a new sequence: ")
    assert "predicted: " in lines[-1]


def test_the_tutorial_is_what_the_library_does_when_told_the_same(run, tmp_path):
    report = result(run("train", "--epochs", "1", "--seed", "3", "--json", "--out", tmp_path / "run"))
    data = rx.data.sign_of_sum(1000, 10, seed=3)
    model = rx.Sequential(rx.RNN(1, 32, bias="input"), rx.LastStep(), rx.Linear(32, 1))
    same = rx.fit(
        model,
        data.X,
        data.y,
        loss="binary_cross_entropy",
        optimizer=rx.SGD(0.01),
        backend="numpy",
        dtype="float64",
        epochs=1,
        batch_size=1,
        shuffle=False,
        seed=3,
        init="tutorial",
        verbose=False,
    )
    assert report["losses"] == [same.history[0]["loss"]]
    _, params = rx.load(tmp_path / "run/model.safetensors", rx.get_backend("numpy", dtype="float64"))
    np.testing.assert_array_equal(params[0][0].weight_hh, same.params[0][0].weight_hh)
    new = report["prediction"]
    p = rx.predict(
        model, same.params, np.array(new["sequence"])[None, :, None], loss="binary_cross_entropy"
    ).item()
    assert new["p_positive"] == p
    assert new["sum"] == pytest.approx(sum(new["sequence"]))


def test_test_data_are_new(run):
    report = result(run("train", *QUICK, "--json"))
    assert sum(map(sum, report["metrics"]["confusion"])) == 10_000
    for seed in (0, 1):
        assert not np.isin(rx.data.sign_of_sum(1000, 10, seed).X, jobs.sign_of_sum_test(seed).X).any()


# output


def test_json_lines(run):
    lines = run("train", *QUICK, "--json")
    records = [json.loads(line) for line in lines]
    assert [record.get("epoch") for record in records] == [1, 2, None]
    losses = [record["loss"] for record in records[:2]]
    assert records[2]["result"]["losses"] == losses
    assert records[2]["result"]["train_seconds"] > 0
    assert 0 < records[2]["result"]["metrics"]["accuracy"] <= 1


def test_json_leaves_words_to_standard_error(capsys):
    assert main(["train", *QUICK, "--json"]) == 0
    assert "epoch 1/2" in capsys.readouterr().err


def test_auto_without_cupy_is_calm_unless_asked_for(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setitem(TASKS["sign-of-sum"], "backend", None)
    monkeypatch.delenv("RNN_XP_BACKEND", raising=False)
    assert main(["train", *QUICK]) == 0
    assert capsys.readouterr().err == "backend: numpy (no CuPy here)\n"
    assert main(["train", *QUICK, "--backend", "auto"]) == 0
    err = capsys.readouterr().err
    assert "backend auto: chose numpy" in err
    assert "To run on the CPU: --backend numpy." in err


def test_quiet(run):
    assert run("train", *QUICK, "--quiet")[1].startswith("test  loss ")


def test_the_choice_of_auto_is_told(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert main(["train", *QUICK, "--backend", "auto"]) == 0
    assert "backend auto: chose numpy on device cpu" in capsys.readouterr().err
    assert main(["train", *QUICK, "--backend", "auto", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


# the directory of a run


def test_out(run, tmp_path):
    lines = run("train", *QUICK, "--json", "--out", tmp_path / "deep/run")
    assert sorted(path.name for path in (tmp_path / "deep/run").iterdir()) == [
        "checkpoint.safetensors",
        "history.jsonl",
        "model.safetensors",
    ]
    assert (tmp_path / "deep/run/history.jsonl").read_text().splitlines() == lines[:-1]
    extra = rx.read_extra(tmp_path / "deep/run/model.safetensors")
    assert extra["epoch"] == 2
    assert extra["about"]["classes"] == ["negative", "positive"]


def test_out_keeps_the_best_epoch_in_the_end(run, tmp_path, separable):
    # With a rate far too high the loss on what is held back soon rises.
    options = ("--validation", "0.3", "--lr", "1.0", "--epochs", "12", "--json", "--out", tmp_path / "run")
    lines = run("train", "--data", separable[0], *options)
    report = result(lines)
    held = [json.loads(line)["val_loss"] for line in lines[:-1]]
    assert report["best_epoch"] == 1 + int(np.argmin(held)) < 12
    assert rx.read_extra(tmp_path / "run/model.safetensors")["epoch"] == report["best_epoch"]


def test_the_last_line_says_what_was_written(run, tmp_path, separable):
    options = ("--data", separable[0], "--epochs", "12", "--lr", "1.0")
    last = run("train", *options, "--validation", "0.3", "--out", tmp_path / "run")[-1]
    epoch = rx.read_extra(tmp_path / "run/model.safetensors")["epoch"]
    assert epoch < 12
    assert last == f"{tmp_path / 'run'}: model of epoch {epoch} (best of 12), history.jsonl"
    assert run("train", *options, "--out", tmp_path / "more")[-1] == (
        f"{tmp_path / 'more'}: model of epoch 12 (the last), history.jsonl"
    )


def test_patience_stops(run, separable):
    options = ("--validation", "0.3", "--lr", "1.0", "--epochs", "50", "--patience", "2", "--json")
    report = result(run("train", "--data", separable[0], *options))
    assert len(report["losses"]) == report["best_epoch"] + 2 < 50


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_keeps_the_last_epoch(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "rnn_xp", "train", "--epochs", "100000", "--json", "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(rx.__file__).parents[1])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    seen = [json.loads(process.stdout.readline())["epoch"] for _ in range(2)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    kept = rx.read_extra(tmp_path / "model.safetensors")["epoch"]
    history = [json.loads(line)["epoch"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert kept >= seen[-1]
    assert history == list(range(1, kept + 1))
    last = err.splitlines()[-1]
    assert last.startswith("rnn-xp: error: interrupted in epoch ")
    assert last.endswith(f"{tmp_path} keeps epoch {kept}. Go on with: rnn-xp train --resume {tmp_path}")
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "rnn_xp", "train", "--epochs", "100000", "--batch-size", "1000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(rx.__file__).parents[1])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# options


def test_options_reach_the_model(run):
    report = run(
        *("train", *QUICK, "--cell", "lstm", "--hidden-size", "5", "--num-layers", "2", "--bidirectional"),
        *("--dropout", "0.25", "--pool", "max", "--optimizer", "adam", "--dtype", "float32"),
    )
    assert report[1].startswith(
        "Sequential(LSTM(1, 5, num_layers=2, bidirectional=True, dropout=0.25), MaxPool(), Dropout(0.25), "
        "Linear(10, 1)): "
    )
    assert report[2] == (
        f"binary_cross_entropy, adam({LR['adam']:g}), batches of 250, seed 0; numpy on cpu, float32"
    )


def test_schedule_and_rate_are_in_the_history(run):
    records = [json.loads(line) for line in run("train", *QUICK, "--schedule", "cosine", "--json")[:-1]]
    assert [record["lr"] for record in records] == [0.01, pytest.approx(0.005)]


def test_another_optimizer_has_a_rate_of_its_own():
    assert settle({"optimizer": "adam"}).lr == LR["adam"]
    assert settle({"optimizer": "sgd"}).lr == TASKS["sign-of-sum"]["lr"]
    assert settle({"optimizer": "adam", "lr": 0.5}).lr == 0.5


def test_batches_are_shuffled_unless_told_otherwise():
    assert not settle({}).shuffle
    assert settle({"batch_size": 2}).shuffle
    assert not settle({"batch_size": 2, "shuffle": False}).shuffle
    assert settle({"shuffle": True}).shuffle


def test_the_environment_chooses_the_backend(run, monkeypatch):
    monkeypatch.setenv("RNN_XP_BACKEND", "array_api_strict")
    pytest.importorskip("array_api_strict")
    options = ("--epochs", "1", "--batch-size", "1000", "--json")
    assert result(run("train", *options))["backend"] == "array_api_strict"
    assert result(run("train", *options, "--backend", "numpy"))["backend"] == "numpy"


def test_the_backends_are_those_of_the_package():
    assert tuple(available()) == BACKENDS[1:]


@pytest.mark.parametrize("task", TASKS)
def test_help_tells_the_defaults_of_every_task(task, capsys):
    assert main(["train", "--help"]) == 0
    header, *rows = capsys.readouterr().out.split("Defaults of")[1].splitlines()
    column = header.split().index("--data" if task == "data" else task)
    told = {row.split()[0]: row.split()[column + 1] for row in rows}
    assert told["--hidden-size"] == str(settle({"task": task}).hidden_size)


def test_help_has_a_default_for_every_number(capsys):
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    table = {line.split()[0]: line.split()[1:] for line in out.split("Defaults of")[1].splitlines()[1:]}
    for option in ("num-layers", "momentum", "weight-decay", "clip-value", "seed", "validation", "patience"):
        assert len(table[f"--{option}"]) == 4
    assert table["--window"] == ["-", "-", "64", "-"]  # order of the columns: as TASKS
    assert table["--pool"] == ["last", "mean", "-", "last"]
    assert table["--embedding-size"] == ["-", "-", "64", "64"]
    assert table["--backend"] == ["numpy", "numpy", "auto", "auto"]


# data of one's own


def test_integers_that_may_be_numbers(capsys, tmp_path):
    path = tmp_path / "data.npz"
    command = ["train", "--data", str(path), "--epochs", "1", "--hidden-size", "2"]
    note = (
        "different whole numbers in the targets are taken for names of classes; "
        "--targets numbers, if they are amounts"
    )
    for count, classes, more, expected in (
        (60, 30, [], True),
        (10, 6, [], True),
        (60, 16, [], True),
        (60, 15, [], False),
        (4, 3, [], False),
        (2000, 21, [], True),
        (60, 30, ["--targets", "classes"], False),
    ):
        np.savez(path, X=np.ones((count, 2, 1)), y=np.arange(count) % classes)
        assert main([*command, *more]) == 0
        assert (f"warning: the {classes} {note}\n" in capsys.readouterr().err) == expected
    np.savez(path, X=np.ones((60, 2, 1)), y=[f"name {n}" for n in range(60)])
    assert main(command) == 0
    assert note not in capsys.readouterr().err


def test_labels_of_steps_may_be_more_than_sequences(capsys, tmp_path):
    y = np.arange(80).reshape(4, 20) % 6
    np.savez(tmp_path / "data.npz", X=np.ones((4, 20, 1)), y=y)
    assert main(["train", "--data", str(tmp_path / "data.npz"), "--epochs", "1"]) == 0
    assert "warning" not in capsys.readouterr().err


# targets that are numbers


def sums(N, seed):
    """Draw sequences (N, 8, 3), and a noisy sum of each, of mean 172 and deviation 32."""
    rng = np.random.default_rng(seed)
    X = rng.normal([5.0, 100.0, 0.2], [2.0, 15.0, 0.05], (N, 8, 3))
    z = ((X - [5.0, 100.0, 0.2]) / [2.0, 15.0, 0.05]).mean(axis=1) @ [1.0, 2.0, -1.0]
    return X, 172 + 32 * (z / z.std() * 0.95 + rng.normal(size=N) * 0.3)


def linear(X, y, new):
    """Return what least squares on the means of the features answers to new sequences."""
    features = np.c_[X.mean(axis=1), np.ones(len(X))]
    return np.c_[new.mean(axis=1), np.ones(len(new))] @ np.linalg.lstsq(features, y, rcond=None)[0]


def test_numbers_from_a_table_are_learnt(run, tmp_path):
    (X, y), (new, truth) = sums(200, 0), sums(100, 1)
    for name, series, target in (("train.csv", X, y), ("test.csv", new, truth)):
        lines = (
            ",".join(map(str, [n, t, *values, target[n]]))
            for n, steps in enumerate(series)
            for t, values in enumerate(steps)
        )
        (tmp_path / name).write_text("\n".join(["id,time,a,b,c,target", *lines]))
    command = ("train", "--data", tmp_path / "train.csv", "--test", tmp_path / "test.csv")
    lines = run(*command, "--out", tmp_path / "run", "--json")
    metrics, told = result(lines)["metrics"], result(lines)["target_scaling"]
    assert (told["mean"], told["std"]) == ([pytest.approx(y.mean())], [pytest.approx(y.std())])
    share = 1 - np.mean((linear(X, y, new) - truth) ** 2) / truth.var()
    assert metrics["r2"] > share - 0.03
    assert metrics["mean_absolute_error"] < 14
    evaluated = run("evaluate", tmp_path / "run", "--data", tmp_path / "test.csv", "--json")
    assert result(evaluated)["metrics"] == metrics
    rows = run("predict", tmp_path / "run", "--data", tmp_path / "test.csv")[1:]
    answers = np.array([float(row.split(",")[1]) for row in rows])
    assert metrics["mean_absolute_error"] == pytest.approx(np.mean(np.abs(answers - truth)), rel=1e-5)
    assert 1 - np.mean((answers - truth) ** 2) / truth.var() == pytest.approx(metrics["r2"], rel=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("per_step", [False, True])
def test_it_is_what_the_library_does_with_scaled_targets(run, tmp_path, per_step, loss):
    """Several numbers have a mean and a deviation each; numbers of steps have one, of the valid steps."""
    X = np.random.default_rng(0).standard_normal((24, 5, 2))
    y = 172 + 32 * X.sum(axis=2) if per_step else [172, -5000] + X.sum(axis=1) * [32, 800]
    lengths = np.arange(24) % 5 + 1
    np.savez(
        tmp_path / "data.npz",
        X=X,
        y=np.where(np.arange(5) < lengths[:, None], y, 1e9) if per_step else y,
        lengths=lengths,
    )
    options = ("--epochs", "3", "--hidden-size", "4", "--validation", "0.25", "--dtype", "float64")
    run("train", "--data", tmp_path / "data.npz", *options, "--loss", loss, "--out", tmp_path / "run")
    kept = np.sort(np.random.default_rng([0, 1]).permutation(24)[6:])
    held = np.setdiff1d(np.arange(24), kept)
    valid = np.arange(5) < lengths[:, None]
    mean, std = X[kept][valid[kept]].mean(axis=0), X[kept][valid[kept]].std(axis=0)
    known = y[kept][valid[kept]] if per_step else y[kept]
    target = (y - known.mean(axis=0)) / known.std(axis=0)
    head = [rx.Linear(4, 1)] if per_step else [rx.LastStep(), rx.Linear(4, 2)]
    model = rx.Sequential(rx.GRU(2, 4), *head)
    Z = (X - mean) / std
    same = rx.fit(
        model,
        Z[kept],
        target[kept],
        lengths=lengths[kept],
        validation=(Z[held], target[held], lengths[held]),
        loss=loss,
        optimizer=rx.Adam(LR["adam"]),
        clip_norm=1.0,
        backend="numpy",
        dtype="float64",
        epochs=3,
        verbose=False,
    )
    records = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    for name in ("loss", "val_loss", "val_mean_absolute_error"):
        assert [record[name] for record in records] == pytest.approx([r[name] for r in same.history])
    _, params = rx.load(tmp_path / "run/model.safetensors", rx.get_backend("numpy", dtype="float64"))
    answers = rx.predict(model, same.params, Z, lengths=lengths) * known.std(axis=0) + known.mean(axis=0)
    found = rx.predict(model, params, Z, lengths=lengths)
    np.testing.assert_allclose(found[valid] if per_step else found, answers[valid] if per_step else answers)


def test_the_scaling_is_told(run, capsys, tmp_path):
    X, y = sums(24, 0)
    options = ("--epochs", "1", "--hidden-size", "2")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    scaled = f"by mean {y.mean():.4g} and deviation {y.std():.4g}"
    words = f"the targets are scaled, {scaled}: losses and errors of the epochs are in deviations"
    of_mean = "; a loss of 1 is that of the mean for all"
    assert words + of_mean in run("train", "--data", tmp_path / "data.npz", *options)
    assert words in run("train", "--data", tmp_path / "data.npz", *options, "--loss", "huber")
    np.savez(tmp_path / "data.npz", X=X, y=np.stack([y, -y], axis=1))
    words = words.replace(scaled, "each by its mean and deviation")
    assert words + of_mean in run("train", "--data", tmp_path / "data.npz", *options)
    np.savez(tmp_path / "data.npz", X=X, y=(y > 172) * 1.0)
    lines = run("train", "--data", tmp_path / "data.npz", *options, "--loss", "binary_cross_entropy")
    assert not any("scaled" in line for line in lines)


def test_targets_that_differ_by_little_beside_their_mean(capsys, tmp_path):
    X, y = sums(24, 0)
    words = "warning: the targets differ by little, for float32, beside their mean: --dtype float64"
    for offset, more, expected in ((0, (), False), (1e9, (), True), (1e9, ("--dtype", "float64"), False)):
        np.savez(tmp_path / "data.npz", X=X, y=y + offset)
        command = ["train", "--data", str(tmp_path / "data.npz"), "--epochs", "1", *more]
        assert main(command) == 0
        assert (words in capsys.readouterr().err) == expected


@pytest.mark.parametrize(
    ("high", "words"),
    [
        (
            1e39,
            "the targets must be below 1.8e+19 for float32, which must hold squares of errors; got a size of",
        ),
        (1e308, "column target: the spread of its values overflows"),
    ],
)
def test_targets_that_are_too_large(capsys, tmp_path, high, words):
    np.savez(tmp_path / "data.npz", X=np.ones((4, 2, 1)), y=[high, -high, 0.0, 1.0])
    assert main(["train", "--data", str(tmp_path / "data.npz"), "--epochs", "1"]) == 1
    assert f"data.npz: {words}" in capsys.readouterr().err


def test_a_target_that_is_always_the_same(run, tmp_path):
    np.savez(tmp_path / "data.npz", X=np.ones((4, 2, 1)), y=np.full(4, 172.0))
    lines = run("train", "--data", tmp_path / "data.npz", "--out", tmp_path / "run")
    assert "by mean 172 and deviation 1:" in lines[3]


def test_numbers_go_on_as_if_never_interrupted(run, tmp_path, monkeypatch):
    X, y = sums(24, 0)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    options = ("--data", tmp_path / "data.npz", "--epochs", "6", "--hidden-size", "4", "--dropout", "0.2")
    run("train", *options, "--out", tmp_path / "whole")
    keep = Directory.keep

    def interrupted(self, model, params, about, record):
        keep(self, model, params, about, record)
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Directory, "keep", interrupted)
    assert main(["train", *map(str, options), "--out", str(tmp_path / "run")]) == 130
    monkeypatch.undo()
    run("train", "--resume", tmp_path / "run")
    for _ in range(2):  # the second time it is finished, and finds its model as it is
        files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
        assert files[0] == files[1]
        time = (tmp_path / "run/model.safetensors").stat().st_mtime_ns
        run("train", "--resume", tmp_path / "run")
    assert (tmp_path / "run/model.safetensors").stat().st_mtime_ns == time


def test_a_file_of_classes(run, separable):
    lines = run("train", "--data", separable[0], "--test", separable[0], "--json", "--epochs", "15")
    assert result(lines)["metrics"]["accuracy"] == 1.0


def test_inputs_are_scaled_by_the_training_part_alone(run, tmp_path, separable):
    path, X, _, lengths = separable
    run("train", "--data", path, "--validation", "0.25", "--epochs", "1", "--out", tmp_path / "run")
    scaling = rx.read_extra(tmp_path / "run/model.safetensors")["about"]["scaling"]
    steps = [X[n, : lengths[n]] for n in range(24)]
    whole = np.concatenate(steps)
    assert np.abs(whole.mean(axis=0) - scaling["mean"]).max() > 1e-6
    kept = np.sort(np.random.default_rng([0, 1]).permutation(24)[6:])
    part = np.concatenate([steps[n] for n in kept])
    np.testing.assert_allclose(scaling["mean"], part.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaling["std"], part.std(axis=0), rtol=1e-12)


def test_a_target_a_step_gives_an_output_a_step(run, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, 4, 2))
    np.savez(tmp_path / "classes.npz", X=X, y=(X[:, :, 0] > 0).astype(int))
    np.savez(tmp_path / "numbers.npz", X=X, y=X.sum(axis=2))
    options = ("--epochs", "1", "--hidden-size", "3")
    lines = run("train", "--data", tmp_path / "classes.npz", *options)
    assert lines[1].startswith("Sequential(GRU(2, 3), Linear(3, 2))")
    lines = run("train", "--data", tmp_path / "numbers.npz", *options)
    assert lines[1].startswith("Sequential(GRU(2, 3), Linear(3, 1))")
    lines = run("train", "--data", tmp_path / "numbers.npz", *options, "--pool", "mean")
    assert lines[1].startswith("Sequential(GRU(2, 3), MeanPool(), Linear(3, 4))")
    assert lines[2].startswith("squared_error")


def test_targets_say_what_integers_are(run, tmp_path):
    np.savez(tmp_path / "data.npz", X=np.ones((4, 3, 2)), y=np.array([1, 2, 3, 1]))
    options = ("--epochs", "1", "--hidden-size", "3", "--data", tmp_path / "data.npz")
    assert "Linear(3, 3)" in run("train", *options)[1]
    assert "Linear(3, 1)" in run("train", *options, "--targets", "numbers")[1]
    assert "Linear(3, 1)" in run("train", *options, "--loss", "huber")[1]


def test_many_labels_for_a_sequence(run, tmp_path):
    np.savez(tmp_path / "data.npz", X=np.ones((4, 3, 2)), y=np.eye(4, 2))
    lines = run("train", "--data", tmp_path / "data.npz", "--loss", "binary_cross_entropy", "--epochs", "1")
    assert "Linear(64, 2)" in lines[1]


def test_tokens(run, tmp_path):
    tokens = np.array([[0, 1, 2], [2, 1, 0]])
    np.savez(tmp_path / "data.npz", X=tokens, y=np.array(["a", "b"]))
    lines = run("train", "--data", tmp_path / "data.npz", "--epochs", "1", "--embedding-size", "4")
    assert lines[1].startswith("Sequential(Embedding(3, 4), GRU(4, 64), LastStep(), Linear(64, 2))")


# the entry points


def test_python_m():
    environment = {**os.environ, "PYTHONPATH": str(Path(rx.__file__).parents[1])}
    command = [sys.executable, "-m", "rnn_xp", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == f"rnn-xp {rx.__version__}\n"


def test_the_script_is_main():
    project = tomllib.loads((Path(rx.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"rnn-xp": "rnn_xp.cli:main"}
