"""`rnn-xp evaluate` and `predict`: trained models meet new data, and say what the library says."""

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import r2_score

import rnn_xp as rx
from rnn_xp.cli import main


@pytest.fixture
def run(capsys):
    """Run a command that succeeds; return what it wrote to standard output."""

    def call(*argv):
        code = main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return call


@pytest.fixture
def trained(run, tmp_path):
    """Train on arrays, and return the directory of the run and the path of the data."""

    def call(*options, **arrays):
        path, directory = tmp_path / "data.npz", tmp_path / "run"
        np.savez(path, **arrays)
        run("train", "--data", path, "--epochs", "3", "--hidden-size", "4", "--out", directory, *options)
        return directory, path

    return call


def outputs(directory, path, loss):
    """Return what the library predicts, with the scaling worked out here."""
    with np.load(path) as arrays:
        X, lengths = arrays["X"], arrays.get("lengths")
    steps = np.concatenate(
        [x[:end] for x, end in zip(X, lengths if lengths is not None else [len(X[0])] * len(X), strict=True)]
    )
    scaled = (X - steps.mean(axis=0)) / steps.std(axis=0)
    model, params = rx.load(directory / "model.safetensors", rx.get_backend("numpy"))
    return rx.predict(model, params, scaled, lengths=lengths, loss=loss)


def rows(text):
    header, *body = csv.reader(text.splitlines())
    return header, body


@pytest.fixture(name="X")
def noise():
    return np.random.default_rng(1).normal(3.0, 2.0, (6, 4, 2))


NAMES = np.array(["cat", "dog", "emu", "cat", "dog", "emu"])


def test_probabilities_of_classes(run, trained, X):
    directory, path = trained(X=X, y=NAMES, lengths=[4, 3, 2, 1, 4, 4])
    header, body = rows(run("predict", directory, "--data", path))
    p = outputs(directory, path, "cross_entropy")
    assert header == ["id", "label", "p_cat", "p_dog", "p_emu"]
    assert [row[0] for row in body] == list("012345")
    assert [row[1] for row in body] == [("cat", "dog", "emu")[k] for k in p.argmax(axis=1)]
    np.testing.assert_array_equal(np.array([row[2:] for row in body], dtype=np.float32), p)


def test_probabilities_of_two_classes_from_one_output(run, trained, X):
    y = np.array(["no", "yes"] * 3)
    directory, path = trained("--loss", "binary_cross_entropy", X=X, y=y)
    header, body = rows(run("predict", directory, "--data", path))
    p = outputs(directory, path, "binary_cross_entropy")[:, 0]
    assert header == ["id", "label", "p_no", "p_yes"]
    assert [row[1] for row in body] == [("no", "yes")[int(value > 0.5)] for value in p]
    np.testing.assert_array_equal(np.array([row[3] for row in body], dtype=np.float32), p)
    np.testing.assert_array_equal(np.array([row[2] for row in body], dtype=np.float32), 1 - p)


def test_numbers(run, trained, X):
    directory, path = trained(X=X, y=X.sum(axis=(1, 2)))
    header, body = rows(run("predict", directory, "--data", path))
    assert header == ["id", "prediction"]
    expected = outputs(directory, path, None)[:, 0]
    np.testing.assert_array_equal(np.array([row[1] for row in body], dtype=np.float32), expected)


def test_many_numbers(run, trained, X):
    directory, path = trained(X=X, y=X.sum(axis=1))
    header, body = rows(run("predict", directory, "--data", path))
    assert header == ["id", "prediction_0", "prediction_1"]
    expected = outputs(directory, path, None)
    np.testing.assert_array_equal(np.array([row[1:] for row in body], dtype=np.float32), expected)


def test_a_row_for_every_valid_step(run, trained, X):
    lengths = [4, 3, 2, 1, 4, 4]
    directory, path = trained(X=X, y=np.tile(np.array([["a", "b", "a", "b"]]), (6, 1)), lengths=lengths)
    header, body = rows(run("predict", directory, "--data", path))
    assert header == ["id", "step", "label", "p_a", "p_b"]
    assert [(int(row[0]), int(row[1])) for row in body] == [
        (n, t) for n in range(6) for t in range(lengths[n])
    ]
    p = outputs(directory, path, "cross_entropy")
    expected = np.concatenate([p[n, : lengths[n]] for n in range(6)])
    np.testing.assert_array_equal(np.array([row[3:] for row in body], dtype=np.float32), expected)


def test_predictions_in_a_file(run, trained, X, tmp_path):
    directory, path = trained(X=X, y=NAMES)
    printed = run("predict", directory, "--data", path)
    assert run("predict", directory, "--data", path, "--out", tmp_path / "out.csv") == ""
    assert (tmp_path / "out.csv").read_text() == printed


def test_tables_keep_their_names(run, tmp_path):
    lines = [
        f"{who},{day},{day * sign},{mood}"
        for who, sign, mood in (("ann", 1, "up"), ("bob", -1, "down"))
        for day in (1, 2)
    ]
    (tmp_path / "train.csv").write_text("who,day,change,mood\n" + "\n".join(lines))
    options = ("--id", "who", "--time", "day", "--target", "mood")
    run("train", "--data", tmp_path / "train.csv", *options, "--epochs", "1", "--out", tmp_path / "run")
    (tmp_path / "new.csv").write_text("who,day,change\nzoe,1,0.5\nyan,1,2\nzoe,2,1\n")
    header, body = rows(
        run("predict", tmp_path / "run", "--data", tmp_path / "new.csv")
    )  # columns are remembered
    assert header == ["id", "label", "p_down", "p_up"]
    assert [row[0] for row in body] == ["zoe", "yan"]


def test_layout_is_remembered(run, trained, X):
    directory, path = trained(X=X, y=NAMES)
    expected = run("predict", directory, "--data", path)
    np.savez(path, X=X.transpose(1, 0, 2))
    assert run("predict", directory, "--data", path, "--layout", "TNC") == expected
    other = directory.parent / "other"
    np.savez(path, X=X.transpose(1, 0, 2), y=NAMES)
    options = ("--layout", "TNC", "--epochs", "3", "--hidden-size", "4")
    run("train", "--data", path, *options, "--out", other)
    assert run("predict", other, "--data", path) == expected


# scores


def test_scores_of_classes(run, trained, X):
    directory, path = trained(X=X, y=NAMES)
    p = outputs(directory, path, "cross_entropy").astype(float)
    true = np.array([0, 1, 2, 0, 1, 2])
    metrics = json.loads(run("evaluate", directory, "--data", path, "--json"))["result"]["metrics"]
    assert metrics["loss"] == pytest.approx(-np.mean(np.log(p[np.arange(6), true])), rel=1e-5)
    assert metrics["accuracy"] == np.mean(p.argmax(axis=1) == true)
    counts = [[np.sum((true == k) & (p.argmax(axis=1) == j)) for j in range(3)] for k in range(3)]
    assert metrics["confusion"] == counts
    table = run("evaluate", directory, "--data", path)
    assert metrics["commonest_class"] == 1 / 3
    assert table.startswith(
        f"loss {metrics['loss']:.4f}  accuracy {metrics['accuracy']:.4f}  commonest class 0.3333\n"
    )
    assert [line.split() for line in table.splitlines()[-3:]] == [
        [name, *map(str, row)] for name, row in zip(("cat", "dog", "emu"), counts, strict=True)
    ]


def test_scores_of_classes_in_another_order(run, trained, X):
    directory, path = trained(X=X, y=NAMES)
    whole = json.loads(run("evaluate", directory, "--data", path, "--json"))["result"]["metrics"]
    np.savez(path, X=X[[2, 5]], y=NAMES[[2, 5]])  # emus alone: their index here is 0
    part = json.loads(run("evaluate", directory, "--data", path, "--json"))["result"]["metrics"]
    assert part["confusion"][2] == whole["confusion"][2]
    assert sum(map(sum, part["confusion"])) == 2
    assert part["commonest_class"] == 1.0


def test_scores_of_two_classes_from_one_output(run, trained, X):
    y = np.array(["no", "yes"] * 3)
    directory, path = trained("--loss", "binary_cross_entropy", X=X, y=y)
    guess = (outputs(directory, path, "binary_cross_entropy")[:, 0] > 0.5).astype(int)
    metrics = json.loads(run("evaluate", directory, "--data", path, "--json"))["result"]["metrics"]
    true = np.array([0, 1] * 3)
    assert metrics["confusion"] == [[np.sum((true == k) & (guess == j)) for j in (0, 1)] for k in (0, 1)]
    assert metrics["accuracy"] == np.mean(guess == true)


def test_scores_of_numbers(run, trained, X):
    y = X.sum(axis=(1, 2))
    directory, path = trained(X=X, y=y)
    metrics = json.loads(run("evaluate", directory, "--data", path, "--json"))["result"]["metrics"]
    error = outputs(directory, path, None)[:, 0] - y
    assert metrics == {
        "loss": pytest.approx(np.mean(error**2), rel=1e-5),
        "mean_absolute_error": pytest.approx(np.mean(np.abs(error)), rel=1e-5),
        "r2": pytest.approx(r2_score(y, y + error), rel=1e-5),
    }
    assert run("evaluate", directory, "--data", path).endswith(f"  r2 {metrics['r2']:.4f}\n")


@pytest.mark.parametrize("steps", [False, True])
def test_the_share_of_the_variance_explained(run, trained, X, steps):
    """Of several numbers it is the mean of their shares; of a number a step, valid steps count."""
    lengths = np.array([4, 3, 2, 1, 4, 4]) if steps else np.full(6, 4)
    y = 172 + 32 * X.sum(axis=2) if steps else [172, -5000] + X.sum(axis=1) * [32, 800]
    directory, path = trained(X=X, y=y, lengths=lengths)
    metrics = json.loads(run("evaluate", directory, "--data", path, "--json"))["result"]["metrics"]
    answers = outputs(directory, path, None)
    if steps:
        valid = np.arange(4) < lengths[:, None]
        y, answers = y[valid], answers[valid]
    assert metrics["r2"] == pytest.approx(r2_score(y, answers), rel=1e-5)


def test_yes_or_no_for_several_labels_have_no_share(run, trained, X):
    directory, path = trained("--loss", "binary_cross_entropy", X=X, y=np.eye(6, 2))
    metrics = json.loads(run("evaluate", directory, "--data", path, "--json"))["result"]["metrics"]
    assert list(metrics) == ["loss", "accuracy"]


def test_a_task_has_test_data_of_its_own(run, tmp_path):
    options = ("--epochs", "1", "--batch-size", "100", "--seed", "4", "--json", "--out", tmp_path)
    trained = json.loads(run("train", *options).splitlines()[-1])["result"]["metrics"]
    assert json.loads(run("evaluate", tmp_path, "--json"))["result"]["metrics"] == trained


def test_test_file_is_scaled_like_the_training(run, trained, X, tmp_path):
    np.savez(tmp_path / "test.npz", X=X[:2] * 2, y=NAMES[:2])
    directory, _ = trained("--test", tmp_path / "test.npz", X=X, y=NAMES)
    alone = run("evaluate", directory, "--data", tmp_path / "test.npz", "--json")
    other = ("--epochs", "3", "--hidden-size", "4", "--json", "--test", tmp_path / "test.npz")
    lines = run("train", "--data", tmp_path / "data.npz", *other).splitlines()
    assert json.loads(lines[-1])["result"]["metrics"] == json.loads(alone)["result"]["metrics"]


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ([172.0], [0.0], "in its description these cannot be right: target_scaling."),
        ([[172.0]], [[32.0]], "in its description these cannot be right: target_scaling."),
        ([172.0, 3.0], [32.0, 1.0], "its description does not fit its model, Sequential("),
    ],
)
def test_a_scaling_of_targets_that_cannot_be(capsys, trained, X, mean, std, words):
    directory, path = trained(X=X, y=X.sum(axis=(1, 2)))
    file = directory / "model.safetensors"
    extra = rx.read_extra(file)
    extra["about"]["target_scaling"] = {"mean": mean, "std": std}
    rx.save(file, *rx.load(file, rx.get_backend("numpy")), extra=extra)
    assert main(["evaluate", str(directory), "--data", str(path)]) == 1
    assert words in capsys.readouterr().err
