"""`rnn-xp export`: files for other libraries that answer as the model does, or no file."""

import errno
import fcntl
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import export, main, parity, recipes
from rnn_xp.cli.parity import Runtime
from rnn_xp.cli.runs import About, open_run

SUFFIXES = {"numpy": ".py", "onnx": ".onnx", "torch": ".safetensors", "keras": ".weights.h5"}


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own; return its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        code = main([str(argument) for argument in argv])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def trained(call):
    """Train on sequences of unequal length with these options; return nothing: the run is in `run`."""

    def train(*options, y=("lo", "hi", "mid") * 8, X=None):
        rng = np.random.default_rng(0)
        X = rng.normal(30.0, 4.0, (24, 6, 2)) if X is None else X
        np.savez("data.npz", X=X, y=np.array(y), lengths=rng.integers(1, 7, 24))
        small = ("--epochs", "1", "--hidden-size", "5")
        assert call("train", "--data", "data.npz", *small, "--out", "run", *options)[0] == 0

    return train


@pytest.fixture
def untrained(call):
    """Write a model as a run has it."""
    model = rx.Sequential(rx.GRU(1, 3), rx.LastStep(), rx.Linear(3, 1))
    about = About("sign-of-sum", 0, "binary_cross_entropy", ("negative", "positive"), ("x",))
    Path("run").mkdir()
    params = model.init(rx.get_backend("numpy"))
    rx.save("run/model.safetensors", model, params, extra={"about": about.to_json()})


def predicted(loss="cross_entropy"):
    """Return the sequences of the data, their lengths, and what the library predicts for them."""
    model, params, about = open_run({"run": "run", "backend": "numpy"})
    with np.load("data.npz") as data:
        X, lengths = data["X"], data["lengths"]
    scaled = X if about.scaling is None else (X - about.scaling.mean) / about.scaling.std
    return X, lengths, rx.predict(model, params, scaled, lengths=lengths, loss=loss)


def test_numpy(call, trained):
    trained("--cell", "gru", "--bidirectional")
    code, out, err = call("export", "run", "--to", "numpy", "--out", "model.py")
    assert (code, err) == (0, "")
    assert out == (
        "written: model.py\n"
        "parity: 0, every bit the same, in probabilities on 20 random sequences, "
        f"NumPy {np.__version__}\n"
    )
    own, (X, lengths, expected) = runpy.run_path("model.py"), predicted()
    assert own["predict"](X, lengths).tobytes() == expected.tobytes()
    assert own["CLASSES"] == ("hi", "lo", "mid")
    assert own["labels"](expected).tolist() == [("hi", "lo", "mid")[k] for k in expected.argmax(axis=1)]


def test_numbers_in_float64(call, trained):
    trained("--dtype", "float64", y=np.arange(24.0))
    code, out, _ = call("export", "run", "--to", "numpy", "--out", "model.py")
    assert code == 0
    assert "every bit the same, in outputs on" in out
    own, (X, lengths, expected) = runpy.run_path("model.py"), predicted(None)
    assert own["predict"](X, lengths).tobytes() == expected.tobytes()
    assert "labels" not in own


def test_a_language_model(call):
    Path("text.txt").write_text("the cat sat on the mat. " * 40)
    train = ("train", "--task", "text", "--data", "text.txt", "--epochs", "1", "--hidden-size", "5")
    assert call(*train, "--out", "run")[0] == 0
    assert call("export", "run", "--to", "numpy", "--out", "model.py")[0] == 0
    own = runpy.run_path("model.py")
    assert "".join(own["CLASSES"]) == " .acehmnost"
    tokens = [[own["CLASSES"].index(letter) for letter in "the cat"]]
    p = own["predict"](tokens)
    stream = own["Stream"]()
    steps = [stream.step([token])[0] for token in tokens[0]]
    assert p.shape == (1, 7, 11)
    np.testing.assert_allclose(steps, p[0], atol=1e-6)


def test_json(call, trained):
    trained()
    code, out, err = call("export", "run", "--to", "numpy", "--out", "model.py", "--json")
    (record,) = map(json.loads, out.splitlines())
    assert code == 0
    assert record["result"]["parity"].startswith("0, every bit the same")
    assert {key: record["result"][key] for key in ("out", "to", "difference", "code")} == {
        "out": "model.py",
        "to": "numpy",
        "difference": 0.0,
        "code": None,
    }
    assert err.startswith("written: model.py\nparity: 0, every bit")


# ONNX


@pytest.mark.parametrize("options", [(), ("--layout", "NCT"), ("--states",), ("--layout", "TNC", "--states")])
def test_onnx(call, trained, options):
    onnxruntime = pytest.importorskip("onnxruntime")
    trained("--cell", "lstm", *["--learn-state"] * ("--states" not in options))
    code, out, err = call("export", "run", "--to", "onnx", "--out", "model.onnx", *options)
    assert (code, err) == (0, "")
    assert out.startswith("written: model.onnx\nparity: ")
    assert out.endswith(f"on 20 random sequences, ONNX Runtime {onnxruntime.__version__}\n")
    session = onnxruntime.InferenceSession("model.onnx")
    notes = session.get_modelmeta().custom_metadata_map
    assert (json.loads(notes["classes"]), notes["loss"]) == (["hi", "lo", "mid"], "cross_entropy")
    assert len(json.loads(notes["features"])) == 2
    if "--states" in options:
        assert {each.name for each in session.get_inputs()} == {"X", "lengths", "state_0.0.h", "state_0.0.c"}
        return
    X, lengths, expected = predicted()
    axes = {"NTC": (0, 1, 2), "NCT": (0, 2, 1)}[dict([options] if options else []).get("--layout", "NTC")]
    (y,) = session.run(["y"], {"X": X.transpose(axes).astype("float32"), "lengths": lengths})
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_onnx_of_text(call):
    onnxruntime = pytest.importorskip("onnxruntime")
    Path("text.txt").write_text("the cat sat on the mat. " * 40)
    train = ("train", "--task", "text", "--data", "text.txt", "--epochs", "1", "--hidden-size", "5")
    assert call(*train, "--out", "run")[0] == 0
    code, out, _ = call("export", "run", "--to", "onnx", "--out", "model.onnx", "--states")
    assert code == 0
    assert "parity: " in out
    session = onnxruntime.InferenceSession("model.onnx")
    assert session.get_modelmeta().custom_metadata_map["vocabulary"] == " .acehmnost"


def test_what_onnx_runtime_cannot_run_is_not_checked(call, trained):
    pytest.importorskip("onnxruntime")
    trained("--dtype", "float64")
    code, out, _ = call("export", "run", "--to", "onnx", "--out", "model.onnx", "--dtype", "float64")
    assert code == 0
    assert "parity: not checked: ONNX Runtime cannot run it: " in out
    assert Path("model.onnx").exists()


# weights, and the code that takes them


@pytest.mark.parametrize("to", ["torch", "keras"])
def test_weights(call, trained, monkeypatch, to):
    """The code is run in tests/peers, where PyTorch and Keras are."""
    if to == "keras":
        pytest.importorskip("h5py")
    monkeypatch.setattr(parity, "find_spec", lambda module: None)
    trained("--cell", "gru", "--num-layers", "2", "--residual", "--dropout", "0.5")
    file = f"model{SUFFIXES[to]}"
    code, out, err = call("export", "run", "--to", to, "--out", file)
    assert (code, err) == (0, "")
    _, verdict, told, *lines = out.splitlines()
    assert verdict == f"parity: not checked: {to} is not installed: pip install {to}"
    assert told == "The file holds the weights alone. This takes them:"
    recipe = "\n".join(lines)
    compile(recipe, "recipe", "exec")
    assert f"{file!r}" in recipe
    about = open_run({"run": "run", "backend": "numpy"})[2]
    assert f"MEAN = np.array({about.scaling.mean.tolist()})" in recipe
    assert f"STD = np.array({about.scaling.std.tolist()})" in recipe
    assert "CLASSES = ['hi', 'lo', 'mid']" in recipe


def test_the_code_for_pytorch():
    """Written out by hand."""
    layers = (rx.Embedding(4, 3), rx.RNN(3, 5, 2, nonlinearity="relu", bidirectional=True), rx.MeanPool())
    model = rx.Sequential(*layers, rx.Linear(10, 1, bias=False))
    about = About("data", 0, "binary_cross_entropy", ("n", "y"), dtype="float64")
    code = recipes.torch(model, about, "a.safetensors")
    assert (
        "            torch.nn.Embedding(4, 3),  # 0\n"
        "            torch.nn.RNN(3, 5, num_layers=2, bidirectional=True, nonlinearity='relu', "
        "batch_first=True),  # 1\n"
        "            torch.nn.Identity(),  # 2\n"
        "            torch.nn.Linear(10, 1, bias=False),  # 3\n"
    ) in code
    assert (
        "        x = self[0](x)\n        x = self[1](x)[0]\n        x = x.mean(1)\n        x = self[3](x)\n"
    ) in code
    assert "y = model(torch.as_tensor(X, dtype=torch.int64))\n        return y.sigmoid().numpy()" in code
    model = rx.Sequential(rx.LSTM(2, 6, proj_size=3, bias=False), rx.MaxPool())
    code = recipes.torch(model, About("data", 0, "huber"), "a.safetensors")
    assert "torch.nn.LSTM(2, 6, proj_size=3, bias=False, batch_first=True)" in code
    assert "x = x.amax(1)" in code
    assert "return y.numpy()" in code


def test_the_code_for_keras():
    """Written out by hand."""
    layers = (
        rx.Embedding(4, 3),
        rx.RNN(3, 5, 2, nonlinearity="relu"),
        rx.Residual(rx.GRU(5, 5, reset="before")),
    )
    model = rx.Sequential(*layers, rx.Dropout(0.5), rx.LastStep(), rx.Linear(5, 2))
    code = recipes.keras(model, About("data", 0, "cross_entropy", ("n", "y")), "a.weights.h5")
    rnn = "x = keras.layers.SimpleRNN(5, return_sequences=True, activation='relu')(x)\n"
    gru = "keras.layers.GRU(5, return_sequences=True, reset_after=False)"
    assert (
        "x = inputs = keras.Input((None,), dtype='int32')\n"
        f"x = keras.layers.Embedding(4, 3)(x)\n{rnn}{rnn}"
        f"around = x\nx = keras.layers.Add()([around, {gru}(x)])\n"
        "x = x[:, -1]\nx = keras.layers.Dense(2)(x)\n"
    ) in code
    assert "keras.ops.softmax(y)" in code
    for pool, line in (
        (rx.MeanPool(), "x = keras.ops.mean(x, 1)"),
        (rx.MaxPool(), "x = keras.ops.max(x, 1)"),
    ):
        model = rx.Sequential(rx.LSTM(2, 3, bidirectional=True, bias=False), pool)
        code = recipes.keras(model, About("data", 0, "huber"), "a.weights.h5")
        both = "keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True, use_bias=False))(x)"
        assert f"x = {both}\n{line}\n" in code


@pytest.mark.parametrize("write", [recipes.torch, recipes.keras])
def test_a_layer_without_code(write):
    model = rx.Sequential(rx.Sequential(rx.GRU(2, 3)))
    with pytest.raises(ValueError, match=r"there is no code for Sequential\(GRU\(2, 3\)\)"):
        write(model, About("data", 0, "huber"), "file")


# what goes wrong


def test_a_file_that_answers_otherwise_is_not_written(call, trained, monkeypatch):
    trained()
    right = rx.predict
    monkeypatch.setattr(rx, "predict", lambda *args, **more: right(*args, **more) + np.float32(0.01))
    code, out, err = call("export", "run", "--to", "numpy", "--out", "model.py")
    assert (code, out) == (1, "")
    assert err.startswith(
        "rnn-xp: error: model.py is not written: it would not answer as the model does: 1.0e-02,"
    )
    assert not Path("model.py").exists()


def test_an_answer_that_is_no_number_is_too_far(tmp_path):
    model = rx.Sequential(rx.GRU(2, 3), rx.Linear(3, 1))
    given = (model, model.init(rx.get_backend("numpy")), About("data", 0, "squared_error"))
    code = "import numpy as np\ndef predict(X, lengths): return np.full((*X.shape[:2], 1), np.nan)"
    verdict = parity.check(tmp_path, code, Runtime("numpy", "NumPy", 1.0), *given)
    assert verdict.is_too_far
    assert verdict.words.startswith("inf, the largest difference of outputs")
    code = "def predict(X, lengths): return X[:, :, :2]"
    assert parity.check(tmp_path, code, Runtime("numpy", "NumPy", 1.0), *given).is_too_far
    code = "raise RuntimeError('no such thing')"
    verdict = parity.check(tmp_path, code, Runtime("numpy", "NumPy", 1.0), *given)
    assert verdict.words == "not checked: NumPy cannot run it: RuntimeError: no such thing"
    assert not verdict.is_too_far
    verdict = parity.check(tmp_path, code, Runtime("no_such_library", "None", 1.0), *given)
    assert verdict.words == "not checked: no_such_library is not installed: pip install no_such_library"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "numpy", "--out", "m.onnx"), "argument --out: must end in .py for --to numpy; got m.onnx."),
        (
            ("--to", "keras", "--out", "m.h5"),
            "argument --out: must end in .weights.h5 for --to keras; got m.h5.",
        ),
        (
            ("--to", "torch", "--out", "m.pt"),
            "argument --out: must end in .safetensors for --to torch; got m.pt.",
        ),
        (
            ("--to", "numpy", "--out", "m.py", "--states"),
            "argument --states: not here: it goes with --to onnx.",
        ),
        (
            ("--to", "torch", "--out", "m.safetensors", "--dtype", "float64"),
            "--dtype: not here: it goes with",
        ),
        (("--to", "keras", "--out", "m.weights.h5", "--layout", "TNC"), "--layout: not here: it goes with"),
        (("--to", "numpy"), "the following arguments are required: --out"),
        (("--out", "m.py"), "the following arguments are required: --to"),
        (("--to", "jax", "--out", "m"), "argument --to: invalid choice: 'jax'"),
        (
            ("--to", "torch", "--out", "./run/model.safetensors"),
            "argument --out: ./run/model.safetensors is a file of the run itself. Name another file.",
        ),
        (("--to", "torch", "--out", "run/checkpoint.safetensors"), "is a file of the run itself"),
    ],
)
def test_usage(call, untrained, options, message):
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    code, _, err = call("export", "run", *options)
    assert code == 2
    assert message in err
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before


def test_what_a_format_has_not(call, trained):
    trained("--cell", "lstm", "--layer-norm")
    code, _, err = call("export", "run", "--to", "torch", "--out", "model.safetensors")
    assert code == 1
    assert "layer_norm" in err
    assert not Path("model.safetensors").exists()
    assert call("export", "run", "--to", "numpy", "--out", "model.py")[0] == 0


def test_a_numpy_file_that_does_not_run_is_not_written(call, untrained, monkeypatch):
    monkeypatch.setattr(export, "source", lambda *_, **__: "raise RuntimeError('no such thing')")
    code, out, err = call("export", "run", "--to", "numpy", "--out", "model.py")
    assert (code, out) == (1, "")
    why = "it would not answer as the model does: NumPy cannot run it: RuntimeError: no such thing."
    assert err == f"rnn-xp: error: model.py is not written: {why}\n"
    assert not Path("model.py").exists()


def test_what_a_library_writes_while_it_is_asked_goes_too(call, untrained, monkeypatch, tmp_path):
    tell = "import tempfile; raise RuntimeError(tempfile.gettempdir())"
    monkeypatch.setattr(export, "source", lambda *_, **__: tell)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _, _, err = call("export", "run", "--to", "numpy", "--out", "model.py")
    assert f"RuntimeError: {tmp_path}/rnn-xp-" in err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_that_gives_no_answer(call, untrained, monkeypatch):
    monkeypatch.setattr(export, "source", lambda *_, **__: "while True: pass")
    monkeypatch.setattr(parity, "PATIENCE", 0.5)
    code, _, err = call("export", "run", "--to", "numpy", "--out", "model.py")
    assert code == 1
    assert "NumPy cannot run it: it gives no answer within 0.5 seconds." in err
    assert not Path("model.py").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_behind(untrained, tmp_path, name):
    """It comes while the file is tried out, in a Python of its own that would run for ever."""
    own, number = tmp_path / "temporary", getattr(signal, name)
    own.mkdir()
    tried = own / "tried"
    lines = ("import fcntl, time", "file = open('../tried', 'w')", "fcntl.flock(file, fcntl.LOCK_EX)")
    hangs = "\n".join([*lines, "print('!', file=file, flush=True)", "time.sleep(60)"])
    program = (
        "import sys; from rnn_xp.cli import export, main; "
        f"export.source = lambda *_, **__: {hangs!r}; "
        "sys.exit(main(['export', 'run', '--to', 'numpy', '--out', 'model.py']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(own)},
        preexec_fn=lambda: [
            signal.signal(signal.SIGINT, signal.default_int_handler),
            signal.signal(signal.SIGHUP, signal.SIG_DFL),
        ],
    )
    deadline = time.monotonic() + 50
    while not (tried.exists() and tried.read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    word = "interrupted" if name == "SIGINT" else "terminated"
    assert (process.returncode, err.decode()) == (128 + number, f"rnn-xp: error: {word}.\n")
    assert list(own.iterdir()) == [tried]
    assert not Path("model.py").exists()
    with tried.open() as file:
        while not unlocked(file):  # its lock goes with the Python that tried it
            assert time.monotonic() < deadline
            time.sleep(0.02)


def unlocked(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_a_full_directory_for_temporary_files_is_told(call, untrained, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")  # without a name, as NumPy raises it

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(np, "savez", full)
    code, _, err = call("export", "run", "--to", "numpy", "--out", "model.py")
    assert code == 1
    why = "No space left on device; TMPDIR names another directory."
    assert err == f"rnn-xp: error: {tmp_path}: {why}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_library_that_is_there_and_does_not_load(call, untrained, monkeypatch, tmp_path):
    (tmp_path / "h5py.py").write_text("raise ImportError('libhdf5.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "h5py"]:
        monkeypatch.delitem(sys.modules, name)
    code, _, err = call("export", "run", "--to", "keras", "--out", "model.weights.h5")
    assert code == 2
    assert "needs h5py, which is installed and cannot be imported: libhdf5.so: no such file." in err


def test_a_library_that_is_not_there(call, untrained, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    code, _, err = call("export", "run", "--to", "keras", "--out", "model.weights.h5")
    assert code == 2
    assert "needs h5py, which is not installed: pip install" in err


def test_no_run(call):
    code, _, err = call("export", "nowhere", "--to", "numpy", "--out", "model.py")
    assert code == 1
    assert "nowhere" in err
