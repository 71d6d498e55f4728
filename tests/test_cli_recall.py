"""What `rnn-xp train --resume` takes from a checkpoint that may be anybody's, and from files that moved."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.checkpoint import write_file
from rnn_xp.cli import interrupt, main, recall
from rnn_xp.cli.directory import Directory

NONE = "argument --resume: run holds no whole checkpoint: checkpoint.safetensors is none of `rnn-xp train`."
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(rx.__file__).parents[1])}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Write a data set of two classes into a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).standard_normal((12, 5, 2))
    np.savez("data.npz", X=X, y=(X[:, 0, 0] > 0).astype(int))
    return tmp_path


@pytest.fixture
def call(capsys):
    """Run a command; return its exit code and what it wrote to both streams."""

    def call(*argv):
        code = main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def checkpoint(options):
    """Write a checkpoint that is whole, of no training, and says that it was told these options."""
    Path("run").mkdir(exist_ok=True)
    write_file("run/checkpoint.safetensors", "training", {"extra": {"options": options}}, {"a": np.ones(1)})


def train(*options):
    assert main(["train", "--data", "data.npz", "--epochs", "3", "--out", "run", "--quiet", *options]) == 0


def last(text):
    return text.splitlines()[-1].removeprefix("rnn-xp: error: ")


# options of anybody's


@pytest.mark.parametrize(
    "options",
    [
        ["--help"],
        ["--resume=b"],
        ["--out=b"],
        ["--json"],
        ["--quiet"],
        ["--save-every=1e-9"],
        ["--version"],
        ["--colour=red"],
        ["--epoch=3"],  # no abbreviations
        ["--epochs"],
        ["--epochs", "3"],
        ["--epochs=few"],
        ["--no-epochs"],
        ["--no-data=x"],
        ["-h"],
        ["--"],
        ["x"],
        ["--data=a\x1b[31mred"],
        ["--data=a\nb"],
        ["--data=" + "x" * 100_000],
        ["--bucket"] * 101,
        [3, None],
        "--epochs=3",
        {"--epochs=3": 1},
        None,
        5,
    ],
    ids=lambda options: str(options)[:30],
)
def test_options_that_no_training_writes(call, options):
    checkpoint(options)
    code, out, err = call("train", "--resume", "run")
    assert (code, out, last(err)) == (2, "", NONE)
    assert os.listdir("run") == ["checkpoint.safetensors"]


def test_a_training_reads_its_own_options():
    many = "--cell lstm --zoneout 0.1,0.2 --truncate 2,3 --no-shuffle --clip-norm none --seed 7"
    train(*many.split(), "--save-every", "5")
    told = recall.told("run/checkpoint.safetensors")
    assert told == {
        "data": os.path.abspath("data.npz"),
        "epochs": 3,
        "cell": "lstm",
        "zoneout": (0.1, 0.2),
        "truncate": (2, 3),
        "shuffle": False,
        "clip_norm": None,
        "seed": 7,
        "backend": "numpy",
    }


def test_paths_in_any_script():
    checkpoint(["--data=/tmp/a b\u3000日本/żółw é.npz"])
    assert recall.told("run/checkpoint.safetensors")["data"] == "/tmp/a b\u3000日本/żółw é.npz"


def test_options_that_do_not_go_together(call):
    checkpoint(["--task=text", "--pool=mean"])
    code, _, err = call("train", "--resume", "run")
    assert (code, last(err)) == (
        2,
        "argument --pool: not here: a language model has an output for every step.",
    )


def test_a_damaged_checkpoint_is_one_wherever_that_is_found(call):
    checkpoint([f"--data={os.path.abspath('data.npz')}"])
    code, _, err = call("train", "--resume", "run")
    assert code == 2
    assert last(err).startswith(
        "argument --resume: run holds no whole checkpoint: `run/checkpoint.safetensors` cannot be loaded: "
    )


def test_other_arguments_have_the_names_of_the_command_line(call):
    train()
    path = Path("run/checkpoint.safetensors")
    extra = rx.read_extra(path)
    X, y = np.load("data.npz").values()
    model, _ = rx.load("run/model.safetensors", "numpy")
    path.unlink()
    extra["options"] += ["--epochs=9", "--batch-size=5"]
    rx.fit(model, X, y, epochs=1, batch_size=4, checkpoint=path, extra=extra, verbose=False)
    code, _, err = call("train", "--resume", "run")
    assert code == 1
    assert "--epochs, --batch-size" in last(err)
    assert last(err).endswith("got others. Give the same ones (--data), or train anew with another --out.")


# files that are none


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
@pytest.mark.parametrize("name", ["pipe.npz", "folder.npz", "zero.npz"])
def test_data_are_read_from_files_alone(call, folder, name):
    train()
    os.mkfifo("pipe.npz")
    os.mkdir("folder.npz")
    os.symlink("/dev/zero", "zero.npz")
    path = folder / name
    words = f"argument --data: {path} must be a file; it is a directory, a pipe or a device."
    for command in (["train"], ["evaluate", "run"], ["predict", "run"]):
        code, out, err = call(*command, "--data", path)
        assert (code, out, last(err)) == (2, "", words)
    shutil.rmtree("run")
    checkpoint([f"--data={path}"])
    assert last(call("train", "--resume", "run")[2]) == words
    code, _, err = call("train", "--data", "data.npz", "--test", path)
    assert (code, last(err)) == (2, words.replace("--data", "--test"))


def test_a_link_to_a_file_is_one(folder):
    os.symlink("data.npz", "link.npz")
    assert main(["train", "--data", "link.npz", "--epochs", "1"]) == 0


# files that moved


def unfinished(*more):
    """Train for an epoch, as a kill leaves it."""
    code = f"""
import os, rnn_xp.cli.directory as d
keep = d.Directory.keep
def stop(*args):
    keep(*args)
    if args[-1]["epoch"] == 2: os._exit(9)
d.Directory.keep = stop
from rnn_xp.cli import main
main(["train", "--data", "data.npz", "--epochs", "3", "--out", "run", "--quiet", *{list(more)!r}])
"""
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 9


def test_data_that_moved(call, folder):
    train()
    expected = Path("run/model.safetensors").read_bytes()
    shutil.rmtree("run")
    shutil.copy("data.npz", "test.npz")
    unfinished("--test", "test.npz")
    os.mkdir("there")
    os.rename("data.npz", "there/moved.npz")
    code, _, err = call("train", "--resume", "run")
    words = f"{folder}/data.npz: No such file or directory. --data and --test say where files are now."
    assert (code, last(err)) == (1, words)
    os.rename("test.npz", "there/test.npz")
    moved = ("--data", "there/moved.npz", "--test", "there/test.npz")
    assert call("train", "--resume", "run", *moved)[0] == 0
    assert Path("run/model.safetensors").read_bytes() == expected
    told = recall.told("run/checkpoint.safetensors")
    assert (told["data"], told["test"]) == tuple(f"{folder}/there/{name}.npz" for name in ("moved", "test"))


def test_other_data_in_their_place(call):
    unfinished()
    arrays = dict(np.load("data.npz"))
    np.savez("other.npz", X=arrays["X"] + np.arange(5)[:, np.newaxis], y=arrays["y"])
    code, _, err = call("train", "--resume", "run", "--data", "other.npz")
    assert code == 1
    assert last(err).startswith(
        "other.npz: `X` must be as it was when the checkpoint run/checkpoint.safetensors was written"
    )
    assert last(err).endswith("(--data), or train anew with another --out.")


def test_data_where_there_were_none(call):
    assert main(["train", "--epochs", "1", "--batch-size", "500", "--out", "run"]) == 0
    for option in ("--data", "--test"):
        code, _, err = call("train", "--resume", "run", option, "data.npz")
        assert (code, last(err)) == (2, f"argument {option}: not here: the run in run was told of none.")


def test_a_finished_training_needs_no_data_to_say_so(call, folder):
    train("--validation", "0.25", "--lr", "0.5")
    os.rename("data.npz", "moved.npz")
    before = {path.name: path.stat().st_mtime_ns for path in Path("run").iterdir()}
    code, out, _ = call("train", "--resume", "run")
    told = f"run: this training is finished; {folder}/data.npz is not there to score it"
    assert (code, out.splitlines()[-1]) == (0, told)
    assert before == {path.name: path.stat().st_mtime_ns for path in Path("run").iterdir()}
    Path("run/history.jsonl").unlink()  # there is something left to do
    assert call("train", "--resume", "run")[0] == 1


def test_another_model_of_the_same_epoch_is_replaced(call):
    train()
    path = Path("run/model.safetensors")
    content = path.read_bytes()
    model, params = rx.load(path, "numpy")
    extra = rx.read_extra(path)
    params[2].bias[0] += np.float32(1.0)
    other = extra["about"] | {"classes": ["1", "0"]}
    for weights, more in ((params, extra), (rx.load(path, "numpy")[1], {**extra, "about": other})):
        rx.save(path, model, weights, more)
        assert path.read_bytes() != content
        assert call("train", "--resume", "run")[0] == 0
        assert path.read_bytes() == content


# what is left, and what is seen


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_before_the_training_leaves_no_directory():
    code = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from rnn_xp.cli import main, train
def load(_):
    print("loading", flush=True)
    time.sleep(60)
train.load_job = load
main(["train", "--out", "run"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout.readline() == b"loading\n"
        assert os.path.isdir("run")
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1].endswith(b"rnn-xp: error: interrupted.\n")
    assert process.returncode == 130
    assert not os.path.exists("run")


def test_nothing_is_left_to_undo():
    with Directory("run"):
        assert len(interrupt._to_undo) == 1
    assert interrupt._to_undo == []
    assert not os.path.exists("run")


def test_names_do_not_reach_the_terminal(call):
    X = np.ones((4, 3, 2))
    names = np.array(["up\x1b[2J", "down\n", "up\x1b[2J", "down\n"])
    np.savez("names.npz", X=X, y=names)
    code, out, _ = call(
        "train", "--data", "names.npz", "--test", "names.npz", "--epochs", "1", "--out", "run"
    )
    assert code == 0
    assert "\x1b" not in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(("down", "up"))] == [
        ["down?", "2"],
        ["up?[2J", "2"],
    ]
    code, out, _ = call("evaluate", "run", "--data", "names.npz")
    assert "\x1b" not in out
    assert out.splitlines()[-3].split() == ["class,", "taken", "for", "down?", "up?[2J"]
    result = json.loads(call("evaluate", "run", "--data", "names.npz", "--json")[1])
    assert sum(map(sum, result["result"]["metrics"]["confusion"])) == 4


def test_errors_are_one_line_without_commands(call):
    Path("a.csv").write_text("id,time,target,bad\x1b[2J\n1,1,x,1\n2,1,y,2\n")
    assert main(["train", "--data", "a.csv", "--epochs", "1", "--out", "run"]) == 0
    Path("b.csv").write_text("id,time,target,good\x1b[2J\n1,1,x,1\n")
    code, _, err = call("predict", "run", "--data", "b.csv")
    assert code == 1
    assert "bad?[2J; got good?[2J" in last(err)
    code, _, err = call("train", "--data", "no\nsuch\x1b.npz")
    assert (code, last(err)) == (1, "no?such?.npz: No such file or directory.")
