"""What the command line says of wrong files and options: in its own names, with the name of the file."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import checkpoint
from rnn_xp.cli import doctor, language, main
from rnn_xp.cli.errors import in_options
from rnn_xp.cli.runs import About

X, Y = np.ones((4, 3, 2)), np.array(["a", "b", "a", "b"])


@pytest.fixture
def fails(capsys):
    """Run a command that fails; return its exit code and its one message."""

    def call(*argv):
        code = main([str(argument) for argument in argv])
        err = capsys.readouterr().err.splitlines()
        assert err[-1].startswith("rnn-xp: error: ")
        return code, err[-1].removeprefix("rnn-xp: error: ")

    return call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a folder with a trained model and its data the current one."""
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", X=X, y=Y)
    assert main(["train", "--data", "data.npz", "--epochs", "1", "--hidden-size", "2", "--out", "run"]) == 0
    return tmp_path


# options


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("train --data=", "argument --data: must not be empty."),
        ("predict run --data data.npz --out=", "argument --out: must not be empty."),
        ("predict run --data data.npz --out ./data.npz", "argument --out: ./data.npz is --data itself."),
        ("train --out data.npz", "argument --out: data.npz must be a directory; it is a file."),
        (
            "train --data data.npz --target y",
            "argument --target: not here: it goes with .csv files; got .npz.",
        ),
        ("predict run --data data.npz --id y", "argument --id: not here: it goes with .csv files; got .npz."),
        (
            "train --data x.csv --layout TNC",
            "argument --layout: not here: it goes with .npz files; got .csv.",
        ),
        ("evaluate run --data x.ts --layout TNC", "it goes with .npz files; got .ts."),
        ("train --layout TNC", "argument --layout: not here: it goes with --data, a file of sequences."),
        (
            "train --embedding-size 3",
            "argument --embedding-size: not here: --task sign-of-sum has no tokens.",
        ),
        ("train --data data.npz --embedding-size 3", "--embedding-size: not here: data.npz has no tokens."),
    ],
)
def test_usage(fails, folder, argv, message):
    before = (folder / "data.npz").read_bytes()
    code, told = fails(*argv.split())
    assert message in told
    assert code == 2
    assert (folder / "data.npz").read_bytes() == before


def test_a_missing_target(fails, folder):
    (folder / "data.csv").write_text("id,time,v,label\n1,1,0.5,a\n2,1,0.5,b\n")
    for command in (("train",), ("evaluate", "run")):
        code, message = fails(*command, "--data", "data.csv", "--target", "nope")
        assert code == 1
        assert message == (
            "data.csv: there must be a column 'nope' (--target); got 'id', 'time', 'v', 'label'."
        )


def test_a_model_may_be_named_itself(folder, capsys):
    assert main(["evaluate", "run/model.safetensors", "--data", "data.npz"]) == 0
    alone = capsys.readouterr().out
    assert main(["evaluate", "run", "--data", "data.npz"]) == 0
    assert alone.endswith(capsys.readouterr().out)


# names of the library


@pytest.mark.parametrize(
    ("library", "told"),
    [
        ('To run on the CPU: backend="numpy".', "To run on the CPU: --backend numpy."),
        ("or clip the gradient (`clip_norm`).", "or clip the gradient (--clip-norm)."),
        ('are numbers: task="regression".', "are numbers: --targets numbers."),
        ('pip install "rnn-xp[aeon]"', 'pip install "rnn-xp[aeon]" (in a clone: pip install ".[aeon]")'),
    ],
)
def test_names_of_options(library, told):
    assert in_options(library) == told


def test_clipping_is_advised_by_its_option(fails, folder):
    fast = ("--optimizer", "sgd", "--lr", "1e38")
    _, message = fails("train", "--data", "data.npz", *fast, "--clip-norm", "none")
    assert "(--clip-norm)" in message


def test_why_a_backend_is_missing_in_short():
    assert doctor.short("available (2.4.0, cpu)") == "available (2.4.0, cpu)"
    missing = (
        "backend \"torch\": ModuleNotFoundError: No module named 'torch'. Install it: pip install torch."
    )
    assert doctor.short(missing) == "not installed"
    cupy = 'backend "cupy": CuPy is not installed, and no NVIDIA driver was found. Install it: pip.'
    assert doctor.short(cupy) == "not installed, and no NVIDIA driver was found"


# names of files


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": np.array([[0, -1], [1, 2], [0, 1], [0, 0]]), "y": Y},
        {"X": np.array([1, "a", None], dtype=object), "y": Y},
    ],
)
def test_the_file_is_named(fails, folder, arrays):
    np.savez("wrong.npz", **arrays)
    for command in (("train",), ("evaluate", "run")):
        code, message = fails(*command, "--data", "wrong.npz")
        assert code == 1
        assert message.startswith("wrong.npz: ")
        assert "pickle" not in message


def test_no_valid_step(fails, folder):
    np.savez("wrong.npz", X=X, y=Y, lengths=[0, 0, 0, 0])
    code, message = fails("train", "--data", "wrong.npz")
    assert code == 1
    assert message.startswith("wrong.npz: `X` must hold at least one valid step")


def test_targets_of_another_shape(fails, folder):
    np.savez("steps.npz", X=X, y=np.tile(np.array(["a", "b", "a"]), (4, 1)))
    code, message = fails("evaluate", "run", "--data", "steps.npz")
    assert code == 1
    assert message.startswith("steps.npz: ")


def test_labels_of_steps_that_happen_to_be_constant(folder, capsys):
    header = "id,time,v,target\n"
    (folder / "train.csv").write_text(header + "1,1,0.5,a\n1,2,0.7,b\n2,1,0.1,b\n2,2,0.2,a\n")
    (folder / "test.csv").write_text(header + "1,1,0.5,a\n1,2,0.7,a\n2,1,0.1,b\n2,2,0.2,b\n")
    options = ["--test", "test.csv", "--epochs", "1", "--out", "steps", "--json"]
    assert main(["train", "--data", "train.csv", *options]) == 0
    trained = json.loads(capsys.readouterr().out.splitlines()[-1])["result"]["metrics"]
    assert main(["evaluate", "steps", "--data", "test.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["metrics"] == trained
    assert [sum(row) for row in trained["confusion"]] == [2, 2]


def test_a_damaged_archive(fails, folder):
    content = (folder / "data.npz").read_bytes()
    (folder / "cut.npz").write_bytes(content[: len(content) // 2])
    with zipfile.ZipFile("junk.npz", "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x01\x00nonsense")
    for name in ("cut.npz", "junk.npz"):
        _, message = fails("train", "--data", name)
        assert message.startswith(f"{name}: the archive is damaged")


# what a run says of itself

ABOUT = About("data", 0, "cross_entropy", classes=("a", "b"), features=("x0", "x1"))
SCALING = rx.data.fit_scaling(np.random.default_rng(0).normal(size=(3, 4, 2)))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"classes": ("a", "b", "c")}, "does not fit its model"),
        ({"features": ("x0",), "scaling": None}, "does not fit its model"),
        ({"classes": None}, "does not fit its model"),
        ({"classes": ("a", "a")}, "classes"),
        ({"features": (1, 2)}, "features"),
        ({"scaling": SCALING._replace(std=np.zeros(2))}, "scaling"),
        ({"scaling": SCALING._replace(mean=np.zeros(3))}, "scaling"),
        ({"task": "chess"}, "task"),
        ({"seed": "one"}, "seed"),
        ({"loss": "pain"}, "loss"),
        ({"dtype": "int8"}, "dtype"),
        ({"layout": "CNT"}, "layout"),
        ({"id": 3}, "columns"),
        ({"vocabulary": rx.data.vocabulary("ab")}, "vocabulary"),
    ],
)
def test_an_inconsistent_description(fails, folder, change, word):
    model, params = rx.load("run/model.safetensors", "numpy")
    about = replace(replace(ABOUT, scaling=SCALING), **change)
    checkpoint.save("run/model.safetensors", model, params, {"about": about.to_json()})
    code, message = fails("predict", "run", "--data", "data.npz")
    assert code == 1
    assert message.startswith("run/model.safetensors is damaged: ")
    assert word in message


@pytest.mark.parametrize(
    "change",
    [
        {"scaling": 3},
        {"classes": 7},
        {"features": None},
        {"vocabulary": 5},
        {"scaling": {"mean": [1]}},
        {"more": 1},
    ],
)
def test_a_description_of_wrong_types(fails, folder, change):
    model, params = rx.load("run/model.safetensors", "numpy")
    about = json.loads(json.dumps({**ABOUT.to_json(), **change}))
    checkpoint.save("run/model.safetensors", model, params, {"about": about})
    code, message = fails("predict", "run", "--data", "data.npz")
    assert code == 1
    assert message.startswith("run/model.safetensors ")


def test_a_sample_begins_with_what_can_be_seen():
    assert "".join(language.opening(iter("\n\n  def f\nmore"), 6)) == "def f\n"
    assert "".join(language.opening(iter(" " * 20), 3)) == "   "
