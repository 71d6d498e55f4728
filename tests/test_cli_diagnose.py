"""`rnn-xp diagnose`: it finds the run's data, its history and its options, and says what is wrong."""

import json

import numpy as np
import pytest

from rnn_xp.cli import main


@pytest.fixture
def call(capsys):
    """Run a command; return its exit code, and what it wrote."""

    def run(*argv):
        code = main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def kinds(call):
    """Run it with --json; return the kinds of the findings."""

    def run(*argv):
        code, out, err = call("diagnose", *argv, "--json")
        assert code == 0, err
        return [finding["kind"] for finding in json.loads(out)["result"]["findings"]]

    return run


@pytest.fixture
def trained(call, tmp_path):
    """Train on arrays in a file; return the directory."""

    def run(*options, **arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        small = ("--hidden-size", "12", "--epochs", "6", "--batch-size", "8", "--lr", "0.01")
        given = ("--data", tmp_path / "data.npz", *small, *options, "--out", tmp_path / "run", "--quiet")
        code, _, err = call("train", *given)
        assert code == 0, err
        return tmp_path / "run"

    return run


def waves(N=200, T=24):
    """Which of two frequencies?"""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    phase = np.array([0.3, 0.8])[y, None] * np.arange(T) + rng.uniform(0, 6.3, (N, 1))
    X = np.stack([np.sin(phase), np.cos(phase), rng.standard_normal((N, T))], axis=2)
    return X, np.array(["slow", "fast"])[y]


def test_a_healthy_run(trained, kinds, call):
    X, y = waves()
    run = trained(X=X, y=y)
    assert kinds(run) == []
    assert call("diagnose", run)[1].startswith("Nothing found that keeps it from learning.\n\nlooked at\n")


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize("steps", [False, True])
def test_a_healthy_run_of_numbers(steps, loss, trained, kinds, call, tmp_path):
    """Its targets are far from 0; it looks at what was learnt, and at losses of the same targets."""
    X, _ = waves()
    y = 172 + 32 * (X[:, :, 0].cumsum(axis=1) if steps else X[:, :, 0].sum(axis=1) + X[:, -1, 1])
    run = trained("--loss", loss, "--epochs", "20", X=X, y=y)
    assert kinds(run) == []
    assert kinds(run, "--data", tmp_path / "data.npz") == []
    numbers = json.loads(call("diagnose", run, "--json")[1])["result"]["numbers"]
    scaled = (y - y.mean()) / y.std()
    off = np.abs(scaled - (np.median(scaled) if loss == "huber" else 0))
    one = np.where(off < 1, off**2 / 2, off - 0.5) if loss == "huber" else off**2
    assert numbers["loss of one answer for all"] == pytest.approx(one.mean(), rel=0.01)
    (run / "checkpoint.safetensors").unlink()
    assert kinds(run, "--data", tmp_path / "data.npz") == []


def test_the_tutorial(call, kinds, tmp_path):
    assert call("train", "--epochs", "2", "--out", tmp_path / "run", "--quiet")[0] == 0
    assert kinds(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--lr", "30"), "rate-high"),
        (("--lr", "1e-6"), "rate-low"),
        (("--optimizer", "sgd", "--clip-norm", "1e-6"), "clipping"),
    ],
)
def test_a_step_of_the_wrong_length(options, kind, trained, kinds):
    X, y = waves()
    assert kinds(trained(*options, X=X, y=y)) == [kind]


def test_axes(trained, kinds):
    X, y = waves()
    assert kinds(trained("--layout", "NCT", X=X[:, :, :2], y=y)) == ["axes"]


def test_padding(trained, kinds):
    X, y = waves()
    lengths = np.random.default_rng(1).integers(8, 25, len(X))
    for row, length in zip(X, lengths, strict=True):
        row[length:] = 0
    assert kinds(trained(X=X, y=y)) == ["padding"]


def test_padding_that_is_told(trained, kinds):
    X, y = waves()
    lengths = np.random.default_rng(1).integers(8, 25, len(X))
    assert kinds(trained(X=X, y=y, lengths=lengths)) == []


def test_labels(trained, call):
    X, y = waves()
    run = trained(X=X, y=np.random.default_rng(1).permutation(y))
    _, out, _ = call("diagnose", run)
    assert out.startswith("1. labels that X does not tell (the targets)\n   Nothing in X tells the targets")


def test_the_numbers_are_those_of_the_training(trained, call):
    """The validation part is left out, as it was in training, and the features are scaled as they were."""
    X, y = waves()
    run = trained("--validation", "0.25", X=1e5 * X, y=y)
    numbers = json.loads(call("diagnose", run, "--json")[1])["result"]["numbers"]
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert (numbers["sequences"], numbers["steps"], numbers["epochs"]) == (150, 24, 6)
    assert numbers["training loss"] == [history[0]["loss"], history[-1]["loss"]]
    assert numbers["learning rate"] == history[0]["lr"] == 0.01
    assert numbers["loss of one answer for all"] == pytest.approx(np.log(2), abs=0.01)


def test_data_that_moved(trained, kinds, call, tmp_path):
    X, y = waves()
    run = trained(X=X, y=y)
    (tmp_path / "data.npz").rename(tmp_path / "moved.npz")
    code, _, err = call("diagnose", run)
    assert code == 2
    assert err.endswith("data.npz is not there any more: say where the data are now, with --data FILE.\n")
    assert kinds(run, "--data", tmp_path / "moved.npz") == []


def test_other_data(trained, kinds, tmp_path):
    X, y = waves()
    run = trained(X=X, y=y)
    np.savez(tmp_path / "other.npz", X=X, y=np.where(y == "slow", "fast", "slow"))
    assert "overfitting" in kinds(run, "--data", tmp_path / "other.npz")


def test_without_a_checkpoint(trained, kinds, tmp_path, call):
    X, y = waves()
    run = trained(X=X, y=y)
    (run / "checkpoint.safetensors").unlink()
    assert kinds(run, "--data", tmp_path / "data.npz") == []
    code, _, err = call("diagnose", run)
    assert code == 2
    assert "argument --data: must be given" in err


def test_a_training_that_kept_no_epoch(trained, call, tmp_path):
    """It failed at once; the weights that it began with tell of the step that they were to take."""
    X, y = waves()
    np.savez(tmp_path / "data.npz", X=X, y=y)
    options = (
        "--cell",
        "rnn",
        "--optimizer",
        "sgd",
        "--lr",
        "1e38",
        "--clip-norm",
        "none",
        "--out",
        tmp_path / "run",
    )
    assert call("train", "--data", tmp_path / "data.npz", *options, "--quiet")[0] == 1
    code, out, _ = call("diagnose", tmp_path / "run")
    assert code == 0
    first, _, page = out.partition("\n")
    assert first == f"{tmp_path / 'run'} keeps no whole epoch: this is about the weights that it begins with"
    assert page.splitlines()[1] == "1. a learning rate that is too high (learning rate 1e+38)"


BAD_LINES = ["{", "", "3", '{"loss": "low"}', '{"loss": [1]}', "[" * 100_000, "\xff\xfe\0"]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_damaged_history(line, trained, call, tmp_path):
    X, y = waves(20)
    run = trained("--epochs", "2", X=X, y=y)
    with (run / "history.jsonl").open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    code, _, err = call("diagnose", run, "--data", tmp_path / "data.npz")
    assert code == 1
    assert f"{run / 'history.jsonl'}, line 3: damaged: it must be the record of an epoch, numbers by" in err


@pytest.mark.parametrize("size", [3, 3000, -3])
def test_a_damaged_checkpoint_is_told(size, trained, call, tmp_path):
    X, y = waves()
    run = trained(X=X, y=y)
    path = run / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    code, out, _ = call("diagnose", run, "--data", tmp_path / "data.npz")
    first, _, page = out.partition("\n\n")
    assert code == 0
    assert first.startswith(f"`{path}` cannot be loaded: ")
    assert first.endswith(": how it was trained is not known; taken as with Adam, and unclipped")
    assert page.startswith("Nothing found")
    path.unlink()
    out = call("diagnose", run, "--data", tmp_path / "data.npz")[1]
    assert out.startswith(f"there is no checkpoint.safetensors in {run}: how it was trained is not known")


@pytest.mark.parametrize("option", ["id", "time", "target", "layout"])
def test_how_to_read_goes_with_what_to_read(option, trained, call, tmp_path):
    X, y = waves(20)
    run = trained("--epochs", "1", X=X, y=y)
    code, _, err = call("diagnose", run, f"--{option}", "TNC")
    assert code == 2
    assert f"argument --{option}: not here: it goes with --data; those of the training are read" in err
    if option != "layout":
        code, _, err = call("diagnose", run, f"--{option}", "x", "--data", tmp_path / "data.npz")
        assert code == 2
        assert f"argument --{option}: not here: it goes with .csv files; got .npz" in err


def table(path, target, N=60, T=8, **options):
    """Write numbers, or whatever, to be told of series."""
    X = np.random.default_rng(options.get("seed", 0)).standard_normal((N, T, 2))
    y = target(X)
    rows = [f"{n},{t},{X[n, t, 0]},{X[n, t, 1]},{y[n]}" for n in range(N) for t in range(T)]
    path.write_text("\n".join(["id,time,a,b,told", *rows]) + "\n")


def test_columns_are_those_that_are_told(call, kinds, tmp_path):
    """Of data that moved, and whose column has another name now."""
    table(tmp_path / "a.csv", lambda X: np.where(X[:, :, 0].sum(axis=1) > 0, "up", "down"), N=200)
    options = ("--target", "told", "--epochs", "12", "--lr", "0.01", "--hidden-size", "12")
    given = ("--data", tmp_path / "a.csv", *options, "--out", tmp_path / "run", "--quiet")
    assert call("train", *given)[0] == 0
    moved = (tmp_path / "a.csv").read_text().replace("told", "label", 1)
    (tmp_path / "b.csv").write_text(moved)
    assert kinds(tmp_path / "run", "--data", tmp_path / "b.csv", "--target", "label") == []


def test_a_training_that_kept_no_epoch_takes_data_that_moved(trained, call, tmp_path):
    X, y = waves(40)
    np.savez(tmp_path / "test.npz", X=X, y=y)
    run = trained("--epochs", "2", "--test", tmp_path / "test.npz", X=X, y=y)
    (run / "model.safetensors").unlink()
    (tmp_path / "test.npz").unlink()  # it is not asked for
    (tmp_path / "data.npz").unlink()
    assert "data.npz is not there any more: say where the data are now" in call("diagnose", run)[2]
    np.savez(tmp_path / "moved.npz", X=X[:30], y=y[:30])
    code, out, err = call("diagnose", run, "--data", tmp_path / "moved.npz", "--json")
    assert code == 0, err
    assert json.loads(out)["result"]["numbers"]["sequences"] == 30


@pytest.mark.parametrize("scale", [1e3, 1e-3])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_healthy_run_of_numbers_of_any_size(seed, scale, call, kinds, tmp_path):
    table(
        tmp_path / "data.csv",
        lambda X: scale * (5 + X[:, :, 0] @ 0.8 ** np.arange(12)[::-1]),
        *(120, 12),
        seed=seed,
    )
    options = ("--target", "told", "--epochs", "25", "--lr", "0.01", "--hidden-size", "24", "--seed", seed)
    given = ("--data", tmp_path / "data.csv", *options, "--out", tmp_path / "run", "--quiet")
    code, _, err = call("train", *given)
    assert code == 0, err
    assert kinds(tmp_path / "run") == []
    assert kinds(tmp_path / "run", "--data", tmp_path / "data.csv") == []


@pytest.mark.parametrize("lanes", [(), ("--lanes", "4")])
def test_a_text(lanes, call, kinds, tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog sat on the log. " * 120)
    options = (
        "--task",
        "text",
        "--data",
        tmp_path / "text.txt",
        "--hidden-size",
        "24",
        "--window",
        "16",
        *lanes,
    )
    assert (
        call("train", *options, "--epochs", "6", "--lr", "0.02", "--out", tmp_path / "run", "--quiet")[0] == 0
    )
    assert kinds(tmp_path / "run") == []
    assert kinds(tmp_path / "run", "--data", tmp_path / "text.txt") == []


def test_no_run(call, tmp_path):
    code, _, err = call("diagnose", tmp_path / "nowhere")
    assert code == 1
    assert "nowhere/model.safetensors: No such file or directory." in err
