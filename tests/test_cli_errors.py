"""What the command line refuses: one message, the right exit code, no traceback, nothing half-written."""

import os
import sys

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import main

X, Y = np.ones((4, 3, 2)), np.array(["a", "b", "a", "b"])


@pytest.fixture
def fails(capsys):
    """Run a command that fails; return its exit code and its one message."""

    def call(*argv):
        code = main([str(argument) for argument in argv])
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith("rnn-xp: error: ")
        return code, message.removeprefix("rnn-xp: error: ")

    return call


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **{"X": X, "y": Y, **arrays})
        return path

    return write


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Train a model on two features and two classes; return its directory."""
    folder = tmp_path_factory.mktemp("model")
    np.savez(folder / "data.npz", X=X, y=Y)
    assert (
        main(["train", "--data", str(folder / "data.npz"), "--epochs", "1", "--out", str(folder / "run")])
        == 0
    )
    return folder / "run"


# wrong usage: 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("", "the following arguments are required: COMMAND. See: rnn-xp --help"),
        ("fly", "argument COMMAND: invalid choice: 'fly'"),
        ("train --colour", "unrecognized arguments: --colour. See: rnn-xp --help"),
        ("train --cell elman", "argument --cell: invalid choice: 'elman'"),
        (
            "train --epochs 0",
            "argument --epochs: `epochs` must be an integer of at least 1; got 0. See: rnn-xp train",
        ),
        ("train --epochs few", "argument --epochs: `epochs` must be an integer of at least 1; got 'few'."),
        ("train --epochs 1.5", "argument --epochs: `epochs` must be an integer of at least 1; got '1.5'."),
        ("train --hidden-size -3", "`hidden-size` must be an integer of at least 1; got -3."),
        ("train --seed 4294967296", "`seed` must be an integer of at least 0 and at most 4294967295; got"),
        ("train --lr 0", "argument --lr: `lr` must be a finite number > 0; got 0."),
        ("train --lr fast", "argument --lr: `lr` must be a number; got 'fast'."),
        ("train --dropout 1", "`dropout` must be a finite number >= 0 and < 1; got 1."),
        ("train --clip-norm nan", "`clip-norm` must be a finite number > 0; got nan."),
        ("train --validation 1", "`validation` must be a finite number > 0 and < 1; got 1."),
        ("train --backend jax", "argument --backend: invalid choice: 'jax'"),
        (
            "train --task text --pool mean",
            "argument --pool: not here: a language model has an output for every step.",
        ),
        ("train --task text --bidirectional", "a language model must not read what it is to predict."),
        (
            "train --task text --loss huber",
            "argument --loss: not here: a language model has the cross-entropy.",
        ),
        (
            "train --task sign-of-sum --data x.csv",
            "argument --data: not here: --task sign-of-sum has data of its own.",
        ),
        ("train --test x.csv", "argument --test: not here: it goes with --data, a file of sequences."),
        ("train --targets numbers", "argument --targets: not here: it goes with --data"),
        ("train --window 3", "argument --window: not here: it goes with --task text."),
        (
            "train --optimizer adam --momentum 0.9",
            "argument --momentum: not here: --optimizer adam has none.",
        ),
        ("train --loss huber", "argument --loss: huber is for numbers; sign-of-sum has classes."),
        ("predict x", "the following arguments are required: --data. See: rnn-xp predict --help"),
        ("generate x --prompt=", "argument --prompt: `prompt` must hold at least one character; got none."),
    ],
)
def test_usage(fails, argv, message):
    code, told = fails(*argv.split())
    assert message in told
    assert code == 2


def test_a_directory_that_holds_a_run(fails, model):
    before = (model / "model.safetensors").read_bytes()
    code, message = fails("train", "--out", model)
    assert code == 2
    assert message == (
        f"argument --out: {model / 'model.safetensors'} is there: {model} holds a run. "
        f"Name another directory, or remove that one. Go on with: rnn-xp train --resume {model}"
    )
    assert (model / "model.safetensors").read_bytes() == before


def test_losses_that_do_not_fit(fails, npz):
    three = npz(X=np.ones((3, 2, 1)), y=["a", "b", "c"])
    code, message = fails("train", "--data", three, "--loss", "binary_cross_entropy")
    assert (code, message) == (
        2,
        f"argument --loss: binary_cross_entropy is for two classes, or numbers; {three} has 3 classes.",
    )
    numbers = npz(y=[0.5, 1.0, 2.0, 3.0])
    code, message = fails("train", "--data", numbers, "--loss", "cross_entropy")
    assert (code, message) == (
        2,
        f"argument --loss: cross_entropy is for classes; {numbers} has numbers. See --targets.",
    )


def test_pooling_where_there_is_a_class_for_every_step(fails, npz):
    path = npz(y=np.array([["a", "b", "a"]] * 4))
    code, message = fails("train", "--data", path, "--pool", "mean")
    assert (code, message) == (2, f"argument --pool: not here: {path} has a class for every step.")


def test_evaluation_without_the_data(fails, model):
    code, message = fails("evaluate", model)
    assert code == 2
    assert message.startswith("argument --data: must be given: this model was trained on a file")


def test_generation_without_a_language(fails, model):
    code, message = fails("generate", model)
    assert code == 2
    assert message == (
        f"argument DIR: {model} holds no language model; `rnn-xp train --task text` makes one."
    )


# failures: 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones(4)}, "`X` must have three axes, N, T, C (`layout`)"),  # rank
        ({"X": np.array([[["one"]]])}, "`X` must hold real numbers; got dtype <U3."),  # dtype
        ({"y": Y[:3]}, "`y` must have shape (N,), (N, T)"),  # layout
        ({"lengths": [1, 2, 3, 4]}, "`lengths` must lie in 0..T with T = 3; got 4 at index 3."),
        (
            {"X": np.where(np.arange(24) == 7, np.nan, 1.0).reshape(4, 3, 2)},
            "`X` holds nan at sample 1, step 0, feature 1",
        ),
        ({"y": np.array(["a"] * 4)}, "there must be at least two classes to tell apart; got 'a' alone."),
    ],
)
def test_files_that_cannot_be_learnt_from(fails, npz, arrays, message):
    path = npz(**arrays)
    code, told = fails("train", "--data", path)
    assert told.startswith(f"{path}: ")
    assert message in told
    assert code == 1


def test_data_without_targets(fails, tmp_path):
    np.savez(tmp_path / "data.npz", X=X)
    code, message = fails("train", "--data", tmp_path / "data.npz")
    assert (code, message) == (
        1,
        f"{tmp_path / 'data.npz'}: there must be targets: an array `y`, or a column 'target'.",
    )


def test_labels_out_of_range(fails, npz, model):
    path = npz(y=np.array(["a", "b", "c", "a"]))
    code, message = fails("evaluate", model, "--data", path)
    assert (code, message) == (1, f"{path}: `y` must hold only the known classes 'a', 'b'; got 'c'.")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_other_features(fails, npz, model, command):
    path = npz(X=np.ones((4, 3, 5)))
    code, message = fails(command, model, "--data", path)
    assert code == 1
    assert message == (
        f"{path}: the features must be those of the training, x0, x1; got x0, x1, x2, x3, x4. "
        "Does --layout fit?"
    )


def test_nan_in_new_data(fails, npz, model):
    path = npz(X=np.full((4, 3, 2), np.nan))
    code, message = fails("predict", model, "--data", path)
    assert code == 1
    assert message.startswith(f"{path}: `X` holds nan at sample 0, step 0, feature 0")


def test_files_that_cannot_be_read(fails, tmp_path, model):
    assert fails("train", "--data", tmp_path / "no.npz") == (
        1,
        f"{tmp_path / 'no.npz'}: No such file or directory.",
    )
    assert fails("predict", tmp_path, "--data", "x.npz") == (
        1,
        f"{tmp_path / 'model.safetensors'}: No such file or directory.",
    )
    (tmp_path / "data.npz").write_bytes(b"nonsense")
    code, message = fails("train", "--data", tmp_path / "data.npz")
    assert code == 1
    assert "the file is no .npz archive" in message
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    code, message = fails("evaluate", tmp_path)
    assert code == 1
    assert f"`{tmp_path / 'model.safetensors'}` cannot be loaded" in message


def test_a_text_that_is_none(fails, tmp_path):
    (tmp_path / "text").write_bytes(b"caf\xe9")
    code, message = fails("train", "--task", "text", "--data", tmp_path / "text")
    assert (code, message) == (
        1,
        f"{tmp_path / 'text'}: a text must be in UTF-8; got the byte 0xe9 at position 3. Save it as UTF-8.",
    )
    (tmp_path / "text").write_text("short")
    code, message = fails("train", "--task", "text", "--data", tmp_path / "text")
    assert code == 1
    assert message.startswith(f"{tmp_path / 'text'} is too short to learn from: ")


def test_a_model_of_another_program(fails, tmp_path):
    linear = rx.Linear(1, 1)
    rx.save(tmp_path / "model.safetensors", linear, linear.init(rx.get_backend("numpy")))
    code, message = fails("evaluate", tmp_path)
    assert code == 1
    assert message.startswith(f"{tmp_path / 'model.safetensors'} does not say what it was trained on")


def test_a_directory_that_cannot_be_made_is_found_before_training(fails, tmp_path, monkeypatch):
    monkeypatch.setattr(rx, "fit", lambda *_, **__: pytest.fail("the training began"))
    (tmp_path / "file").touch()
    code, message = fails("train", "--out", tmp_path / "file" / "run")
    assert code == 1
    assert message in (f"{tmp_path / 'file' / 'run'}: Not a directory.", f"{tmp_path / 'file'}: File exists.")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_to_is_found_before_training(fails, tmp_path, monkeypatch):
    monkeypatch.setattr(rx, "fit", lambda *_, **__: pytest.fail("the training began"))
    tmp_path.chmod(0o500)
    code, message = fails("train", "--out", tmp_path)
    assert code == 1
    assert message.endswith("Permission denied.")


def test_a_backend_that_is_not_there(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    code, message = fails("train", "--backend", "cupy")
    assert code == 1
    assert message.startswith('backend "cupy": ')
    monkeypatch.setenv("RNN_XP_BACKEND", "abacus")
    code, message = fails("train")
    assert code == 1
    assert message.startswith("`RNN_XP_BACKEND` must be one of 'numpy', ")


def test_a_device_that_is_not_there(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    code, message = fails("train", "--device", "cuda:7")
    assert code == 1
    assert message.startswith('backend "cupy": ')
    code, message = fails("train", "--device", "cuda:7", "--backend", "numpy")
    assert code == 1
    assert message.startswith('backend "numpy": `device` must be None or "cpu"; got \'cuda:7\'.')


def test_aeon_that_is_not_there(fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "aeon", None)
    code, message = fails("train", "--task", "japanese-vowels")
    assert code == 1
    assert message.endswith('pip install "rnn-xp[aeon]" (in a clone: pip install ".[aeon]")')
    assert "japanese-vowels needs the aeon package; " in message


def test_out_of_memory(fails):
    code, message = fails("train", "--hidden-size", 10**7)
    assert code == 1
    assert message.startswith("out of memory (Unable to allocate ")
    assert message.endswith("); choose a smaller --batch-size or --hidden-size.")


def test_a_validation_part_of_everything(fails, npz):
    code, message = fails("train", "--data", npz(), "--validation", "0.9")
    assert code == 1
    assert message == "--validation 0.9 must leave a sequence to train on; there are 4 in all."


def test_divergence_says_what_is_kept(fails, npz, tmp_path):
    fast = ("--optimizer", "sgd", "--lr", "1e38", "--clip-norm", "none")
    code, message = fails("train", "--data", npz(), *fast, "--out", tmp_path / "run")
    assert code == 1
    assert "stopped being finite in epoch 1" in message
    assert message.endswith(f"{tmp_path / 'run'} keeps no whole epoch yet.")
    assert os.listdir(tmp_path / "run") == ["checkpoint.safetensors"]


# the rest


def test_interrupted_before_the_training(fails, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rnn_xp.cli.doctor.doctor", interrupted)
    assert fails("doctor") == (130, "interrupted.")


def test_predictions_are_written_whole_or_not_at_all(fails, npz, model, tmp_path):
    code, message = fails("predict", model, "--data", npz(), "--out", tmp_path / "no/such/folder.csv")
    assert (code, message) == (1, f"{tmp_path / 'no/such/folder.csv'}: No such file or directory.")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def wrong(_):
        raise KeyError("a bug")

    monkeypatch.setattr("rnn_xp.cli.doctor.doctor", wrong)
    with pytest.raises(KeyError):
        main(["doctor"])


def test_debugging_shows_tracebacks(monkeypatch):
    monkeypatch.setenv("RNN_XP_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        main(["train", "--data", "no.npz"])
