"""Saving and loading: what comes back, what is refused in which words, and what an interruption leaves."""

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import rnn_xp as rx
from rnn_xp import safetensors as codec
from rnn_xp import tree
from rnn_xp.checkpoint import CheckpointError, atomic_write, load, read_extra, save

MODELS = {
    "classifier": rx.Sequential(rx.LSTM(3, 4), rx.LastStep(), rx.Linear(4, 2)),
    "deep": rx.LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2, dropout=0.25),
    "gru": rx.Sequential(
        rx.GRU(2, 3, reset="before", bias=False), rx.MeanPool(), rx.Dropout(0.5), rx.Linear(3, 1)
    ),
    "characters": rx.Sequential(rx.Embedding(7, 3), rx.RNN(3, 4, nonlinearity="relu"), rx.Linear(4, 7)),
}


@pytest.fixture(scope="module")
def backend():
    return rx.get_backend("numpy", dtype="float64")


@pytest.fixture
def model():
    return MODELS["classifier"]


@pytest.fixture
def params(model, backend):
    return model.init(backend, seed=3)


@pytest.fixture
def path(tmp_path, model, params):
    save(tmp_path / "model.safetensors", model, params, {"classes": ["a", "ü"], "mean": [0.5, None]})
    return tmp_path / "model.safetensors"


def edit(path, tensors=(), drop=(), **metadata):
    """Write a file of ours again with changes, and a digest that fits them."""
    old, words = codec.read(path.read_bytes())
    old = {name: tensor for name, tensor in {**old, **dict(tensors)}.items() if name not in drop}
    words = {name: text for name, text in {**words, **metadata}.items() if name not in drop}
    path.write_bytes(codec.write(old, words))
    return path


def assert_same(tree_1, tree_2):
    one, other = tree.named_leaves(tree_1), tree.named_leaves(tree_2)
    assert [name for name, _ in one] == [name for name, _ in other]
    for (name, a), (_, b) in zip(one, other, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_loaded_is_what_was_saved(kind, tmp_path, backend):
    model, params = MODELS[kind], MODELS[kind].init(backend, seed=1)
    save(tmp_path / "m", model, params)
    again, loaded = load(tmp_path / "m", backend)
    assert again == model
    assert again.config() == model.config()
    assert_same(loaded, params)
    save(tmp_path / "n", again, loaded)
    assert (tmp_path / "n").read_bytes() == (tmp_path / "m").read_bytes()


@pytest.mark.parametrize(
    ("name", "options"), [("array_api_strict", {"device": "device1"}), ("array_api_strict", {})]
)
def test_a_file_moves_between_backends(name, options, tmp_path, path, model, params):
    other = rx.get_backend(name, dtype="float64", **options)
    _, there = load(path, other)
    assert all(leaf.device == other.device for leaf in tree.leaves(there))
    save(tmp_path / "back", model, there)
    assert_same(load(tmp_path / "back", rx.get_backend("numpy", dtype="float64"))[1], params)


def test_a_file_is_the_same_from_every_backend(tmp_path, path, model):
    strict = rx.get_backend("array_api_strict", dtype="float64")
    save(tmp_path / "strict", model, model.init(strict, seed=3), read_extra(path))
    assert (tmp_path / "strict").read_bytes() == path.read_bytes()


def test_the_backend_chooses_the_dtype(path, params):
    _, single = load(path, rx.get_backend("numpy", dtype="float32"))
    assert_same(single, tree.map(lambda leaf: leaf.astype("float32"), params))
    assert_same(load(path, "numpy")[1], params)


def test_what_the_file_says(path, params):
    stored = safetensors.numpy.load(path.read_bytes())
    assert {name: stored[name].shape for name in stored} == {
        "0.0.weight_ih": (16, 3),
        "0.0.weight_hh": (16, 4),
        "0.0.bias_ih": (16,),
        "0.0.bias_hh": (16,),
        "2.weight": (2, 4),
        "2.bias": (2,),
    }
    assert stored["2.weight"].tobytes() == params[2].weight.tobytes()
    with safetensors.safe_open(path, "numpy") as opened:
        words = opened.metadata()
    assert words.pop("format") == "rnn_xp"
    assert words.pop("format_version") == "1"
    assert json.loads(words.pop("gate_order")) == {"0.0": ["i", "f", "g", "o"]}
    assert json.loads(words.pop("versions")) == {"numpy": np.__version__, "rnn_xp": rx.__version__}
    assert json.loads(words.pop("extra")) == {"classes": ["a", "ü"], "mean": [0.5, None]}
    assert [layer["type"] for layer in json.loads(words.pop("model"))["layers"]] == [
        "LSTM",
        "LastStep",
        "Linear",
    ]
    assert list(words) == ["sha256"]


def test_equal_content_gives_equal_files(tmp_path, path, model, params):
    turned = tree.map(np.asfortranarray, params)
    save(tmp_path / "other", model, turned, {"mean": (0.5, None), "classes": ["a", "ü"]})
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


def test_extra(tmp_path, path, model, params):
    assert read_extra(path) == {"classes": ["a", "ü"], "mean": [0.5, None]}
    save(str(tmp_path / "none"), model, params)
    assert read_extra(str(tmp_path / "none")) == {}


def test_a_file_written_again_by_the_library_loads(path, backend, params):
    with safetensors.safe_open(path, "numpy") as opened:
        words = opened.metadata()
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load(path.read_bytes()), words))
    assert_same(load(path, backend)[1], params)


def test_a_cell_of_ones_own_comes_from_the_caller(tmp_path, backend):
    cell = rx.RNN(1, 1).cell._replace(name="mine")
    model = rx.Recurrent(cell, 2, 3)
    params = model.init(backend)
    save(tmp_path / "m", model, params)
    again, loaded = load(tmp_path / "m", backend, cells={"mine": cell})
    assert again == model
    assert_same(loaded, params)
    with pytest.raises(CheckpointError, match=r"its model cannot be built: .*mine"):
        load(tmp_path / "m", backend)


# what is refused


@pytest.mark.parametrize("extra", [{"a": np.zeros(2)}, {"a": float("nan")}, {"a": {1, 2}}, {(1, 2): 3}])
def test_extra_that_json_cannot_hold(extra, tmp_path, model, params):
    with pytest.raises(TypeError, match="`extra` must be a mapping that JSON can hold; "):
        save(tmp_path / "m", model, params, extra)
    assert list(tmp_path.iterdir()) == []


def test_parameters_of_another_model(tmp_path, model, params):
    words = (
        r"`params` must be .* of `model`; missing: 2.bias; of another shape: 2.weight \(3, 4\) for \(2, 4\)\."
    )
    wrong = (*params[:2], params[2]._replace(weight=np.zeros((3, 4)), bias=None))
    with pytest.raises(ValueError, match=words):
        save(tmp_path / "m", model, wrong)
    assert list(tmp_path.iterdir()) == []


def test_no_such_file(tmp_path, backend):
    for function in (lambda path: load(path, backend), read_extra):
        with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
            function(tmp_path / "absent.safetensors")


REFUSED = {
    "format": ({"format": "pt"}, "its format must be 'rnn_xp'; it is 'pt', another program's"),
    "no format": ({"drop": ["format"]}, "its format must be 'rnn_xp'; it is None"),
    "version": ({"format_version": "2"}, "its format version is '2'; this rnn_xp reads '1': update it"),
    "no model": ({"drop": ["model"]}, "its metadata must hold a JSON object 'model'"),
    "model no JSON": ({"model": "{"}, "its metadata must hold a JSON object 'model'"),
    "model no object": ({"model": "[]"}, "its metadata must hold a JSON object 'model'"),
    "model too deep": ({"model": "[" * 200_000}, "its metadata must hold a JSON object 'model'"),
    "no gates": ({"drop": ["gate_order"]}, "its metadata must hold a JSON object 'gate_order'"),
    "gates": (
        {"gate_order": '{"0.0": ["i", "f", "o", "g"]}'},
        r"its gates are in the order .*'o', 'g'.* in the order .*'g', 'o'",
    ),
    "missing": ({"drop": ["0.0.bias_ih", "2.bias"]}, "not those of its model; missing: 0.0.bias_ih, 2.bias"),
    "unexpected": (
        {"tensors": {"../x": np.ones(1), "y": np.ones(1)}},
        r"not those of its model; unexpected: \.\./x, y",
    ),
    "shape": ({"tensors": {"2.bias": np.ones(3)}}, r"of another shape: 2.bias \(3,\) for \(2,\)"),
    "dtype": ({"tensors": {"2.bias": np.ones(2, "i8")}}, "not of a floating dtype: 2.bias int64"),
    "layer": ({"model": '{"type": "os.system"}'}, "its model cannot be built: .*os.system"),
    "no layer": ({"model": "{}"}, "its model cannot be built: "),
    "argument": ({"model": '{"type": "Linear", "x": 1}'}, "its model cannot be built: "),
    "value": (
        {"model": '{"type": "LSTM", "input_size": 0, "hidden_size": 1}'},
        "its model cannot be built: .*`input_size`",
    ),
    "depth": (
        {"model": '{"type": "Sequential", "layers": [{"type": "LSTM", "num_layers": 1000000000}]}'},
        "its model has 1000000000 layers; the file has 6 parameters",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_ours_is_refused(case, path, backend):
    changes, words = REFUSED[case]
    with pytest.raises(CheckpointError, match=rf"model.safetensors` cannot be loaded: .*{words}"):
        load(edit(path, **changes), backend)


def test_a_description_changed_at_random_gives_a_model_or_one_error(path, backend):
    good = codec.read(path.read_bytes())[1]["model"]
    refused, cases = 0, 300
    for seed in range(cases):
        bits = random.Random(seed)
        place = bits.randrange(len(good))
        piece = bits.choice(["", "9", "-", "0", '"', "null", "[]", "{}", "1e400", "99999999999", "true"])
        changed = good[:place] + piece + good[place + bits.randrange(3) :]
        try:
            model, params = load(edit(path, model=changed), backend)
        except CheckpointError:
            refused += 1
        else:
            model.check_params(params)
    assert refused > 0.9 * cases


def test_extra_that_is_damaged(path):
    with pytest.raises(CheckpointError, match="its metadata must hold a JSON object 'extra'"):
        read_extra(edit(path, extra="3"))


def test_a_damaged_file(path, backend):
    good = path.read_bytes()
    for bad in (b"", good[:100], good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b"PK" + good):
        path.write_bytes(bad)
        for function in (lambda path: load(path, backend), read_extra):
            with pytest.raises(CheckpointError, match=r"model.safetensors` cannot be loaded: "):
                function(path)


# atomic_write


def test_a_write_replaces_what_was_there(tmp_path):
    for data in (b"one", b"", b"three"):
        atomic_write(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_write_takes_the_mode_that_the_user_wants(tmp_path):
    atomic_write(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


@pytest.mark.skipif(os.name == "nt", reason="needs rights to make links")
def test_a_link_is_replaced_and_what_it_names_stays(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert (tmp_path / "link").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="the system has no fsync of directories")
def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        calls.append(
            "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size
        )
        fsync(descriptor)

    def note_replace(source, target):
        calls.append(source.parent == target.parent == tmp_path)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    atomic_write(tmp_path / "file", b"data")
    assert calls == [4, True, "directory"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"No space left on device: '.*file'$"),
        (PermissionError(errno.EACCES, "Permission denied", "x", None, "y"), r"Permission denied: '.*file'$"),
        (KeyboardInterrupt("stop"), "stop"),
        (MemoryError("full"), "full"),
    ],
)
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(function, error, words, tmp_path, monkeypatch):
    def fail(*args):
        raise error

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error), match=words):
        atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="the system has no fsync of directories")
def test_a_file_system_that_cannot_sync_directories(tmp_path, monkeypatch):
    fsync = os.fsync

    def fail(number):
        def only_directories(descriptor):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))
            fsync(descriptor)

        return only_directories

    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        atomic_write(tmp_path / "file", b"newer")


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    with pytest.raises(FileNotFoundError, match=r"absent.file'$"):
        atomic_write(tmp_path / "absent" / "file", b"")
    with pytest.raises(OSError, match=r"file.below'$"):
        atomic_write(tmp_path / "file" / "below", b"")
    with pytest.raises(OSError, match=r"directory'$"):
        atomic_write(tmp_path / "directory", b"")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["directory", "file"]


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_leaves_the_old_file(moment, tmp_path):
    program = (
        "import os, signal, sys; from rnn_xp.checkpoint import atomic_write; "
        "setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL)); "
        "atomic_write(sys.argv[1], b'new' * 10**6)"
    )
    (tmp_path / "file").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "file"), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_keep_their_dtype_where_only_a_name_is_given(tmp_path, dtype):
    model, path = rx.LSTM(2, 3), tmp_path / "model.safetensors"
    rx.save(path, model, model.init(rx.get_backend("numpy", dtype=dtype)))
    assert rx.load(path, "numpy")[1][0].weight_ih.dtype == dtype
    assert rx.load(path, rx.get_backend("numpy"))[1][0].weight_ih.dtype == "float32"
