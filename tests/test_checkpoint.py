"""Saving and loading: what comes back, and what is refused in which words."""

import json
import random

import numpy as np
import pytest
import safetensors.numpy

import rnn_xp as rx
from rnn_xp import safetensors as codec
from rnn_xp import tree
from rnn_xp.checkpoint import CheckpointError, load, read_extra, read_file, save, write_file

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


def edit(path, tensors=(), drop=(), metadata=(), **changes):
    """Write a file of ours again with changes, and a digest that fits them."""
    old, words = codec.read(path.read_bytes())
    old = {name: tensor for name, tensor in {**old, **dict(tensors)}.items() if name not in drop}
    about = {**json.loads(words["rnn_xp"]), **changes}
    about = json.dumps({key: value for key, value in about.items() if key not in drop})
    path.write_bytes(codec.write(old, {"rnn_xp": about, **dict(metadata)}))
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
    assert sorted(words) == ["rnn_xp", "sha256"]
    assert words["rnn_xp"] == json.dumps(json.loads(words["rnn_xp"]), sort_keys=True)
    about = json.loads(words["rnn_xp"])
    assert [layer["type"] for layer in about.pop("model")["layers"]] == ["LSTM", "LastStep", "Linear"]
    assert about == {
        "format": "rnn_xp",
        "format_version": 1,
        "kind": "model",
        "gate_order": {"0.0": ["i", "f", "g", "o"]},
        "versions": {"numpy": np.__version__, "rnn_xp": rx.__version__},
        "extra": {"classes": ["a", "ü"], "mean": [0.5, None]},
    }


def test_equal_content_gives_equal_files(tmp_path, path, model, params):
    turned = tree.map(np.asfortranarray, params)
    save(tmp_path / "other", model, turned, {"mean": (0.5, None), "classes": ["a", "ü"]})
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


def test_extra(tmp_path, path, model, params):
    assert read_extra(path) == {"classes": ["a", "ü"], "mean": [0.5, None]}
    save(str(tmp_path / "none"), model, params)
    assert read_extra(str(tmp_path / "none")) == {}


def test_a_file_written_again_by_another_program_is_refused(path, backend):
    with safetensors.safe_open(path, "numpy") as opened:
        words = opened.metadata()
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load(path.read_bytes()), {**words, "a": "b"}))
    with pytest.raises(CheckpointError, match="its metadata must be 'rnn_xp' and 'sha256'"):
        load(path, backend)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_are_not_finite_load_with_a_warning(value, tmp_path, model, params):
    params[0][0].bias_ih[2] = params[2].weight[0, 0] = value
    save(tmp_path / "m", model, params)
    with pytest.warns(RuntimeWarning, match=r"`.*m` are not all finite: 0\.0\.bias_ih, 2\.weight\."):
        _, loaded = load(tmp_path / "m", "numpy")
    assert_same(loaded, params)


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

NESTED = []
for _ in range(100_000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "extra",
    [{"a": np.zeros(2)}, {"a": float("nan")}, {"a": {1, 2}}, {(1, 2): 3}, {"a": 10**100}, {"a": NESTED}],
    ids=["array", "nan", "set", "key", "long", "deep"],
)
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


def test_a_description_longer_than_a_header(tmp_path, model, params):
    with pytest.raises(ValueError, match=r"must fit into 2000000 bytes; they take 20\d{5}\. What is long"):
        save(tmp_path / "m", model, params, {"text": "x" * 2_000_000})
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "more metadata": (
        {"metadata": {"x": ""}},
        "its metadata must be 'rnn_xp' and 'sha256', a digest",
    ),
    "format": ({"format": "pt"}, "its format must be 'rnn_xp'; it is 'pt'"),
    "no format": ({"drop": ["format"]}, "its format must be 'rnn_xp'; it is None"),
    "version": ({"format_version": 2}, "its format version is 2; this rnn_xp reads 1: update it"),
    "version no integer": ({"format_version": True}, "its format version is True; this rnn_xp reads 1"),
    "no kind": ({"drop": ["kind"]}, "its description must tell its kind, model or training, and versions"),
    "a kind of list": ({"kind": []}, "its description must tell its kind, model or training, and versions"),
    "another kind": ({"kind": "training"}, "its kind must be 'model'; it is 'training'"),
    "no versions": (
        {"drop": ["versions"]},
        "its description must tell its kind, model or training, and",
    ),
    "no model": (
        {"drop": ["model"]},
        "must hold model, gate_order and extra; it holds .'extra'",
    ),
    "more keys": ({"code": "x"}, "must hold model, gate_order and extra; it holds .'code', 'extra'"),
    "model no object": ({"model": []}, "its model cannot be built: "),
    "description no JSON": ({"metadata": {"rnn_xp": "{"}}, "its description is no valid JSON"),
    "description too deep": ({"metadata": {"rnn_xp": "[" * 200_000}}, "its description is no valid JSON"),
    "description a list": (
        {"metadata": {"rnn_xp": "[]"}},
        "its description must be a JSON object; it is a list",
    ),
    "twice": ({"metadata": {"rnn_xp": '{"a": 1, "a": 1}'}}, "no valid JSON: it names 'a' twice"),
    "NaN": ({"metadata": {"rnn_xp": '{"a": NaN}'}}, "no valid JSON: it holds the number NaN"),
    "infinity": ({"metadata": {"rnn_xp": '{"a": -1e999}'}}, "no valid JSON: it holds the number -1e999"),
    "gates": (
        {"gate_order": {"0.0": ["i", "f", "o", "g"]}},
        r"its gates are in the order .*'o', 'g'.* in the order .*'g', 'o'",
    ),
    "missing": ({"drop": ["0.0.bias_ih", "2.bias"]}, "must have; missing: 0.0.bias_ih, 2.bias"),
    "unexpected": (
        {"tensors": {"../x": np.ones(1), "y\x1b": np.ones(1)}},
        r"must have; unexpected: '\.\./x', 'y.x1b'",
    ),
    "many": ({"tensors": {f"{i}": np.ones(1) for i in range(99)}}, "'0', '1', '10', '11' and 95 more"),
    "shape": ({"tensors": {"2.bias": np.ones(3)}}, r"of another shape: 2.bias \(3,\) for \(2,\)"),
    "dtype": ({"tensors": {"2.bias": np.ones(2, "i8")}}, "of another dtype: 2.bias int64"),
    "layer": ({"model": {"type": "os.system"}}, "its model cannot be built: .*os.system"),
    "no layer": ({"model": {}}, "its model cannot be built: "),
    "argument": ({"model": {"type": "Linear", "x": 1}}, "its model cannot be built: "),
    "value": (
        {"model": {"type": "LSTM", "input_size": 0, "hidden_size": 1}},
        "its model cannot be built: .*`input_size`",
    ),
    "depth": (
        {"model": {"type": "Sequential", "layers": [{"type": "LSTM", "num_layers": 10**9}]}},
        r"its model has more than 13333 layers, more than any file can hold\.$",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_ours_is_refused(case, path, backend):
    changes, words = REFUSED[case]
    with pytest.raises(CheckpointError, match=rf"model.safetensors` cannot be loaded: .*{words}"):
        load(edit(path, **changes), backend)


def test_a_description_changed_at_random_gives_a_model_or_one_error(path, backend):
    tensors, words = codec.read(path.read_bytes())
    good = words["rnn_xp"]
    refused, cases = 0, 300
    for seed in range(cases):
        bits = random.Random(seed)
        place = bits.randrange(good.index('"model"'), len(good))
        piece = bits.choice(["", "9", "-", "0", '"', "null", "[]", "{}", "1e400", "99999999999", "true"])
        changed = good[:place] + piece + good[place + bits.randrange(3) :]
        try:
            path.write_bytes(codec.write(tensors, {"rnn_xp": changed}))
            model, params = load(path, backend)
        except CheckpointError:
            refused += 1
        else:
            model.check_params(params)
    assert refused > 0.9 * cases


def test_another_programs_file(path, backend):
    path.write_bytes(safetensors.numpy.save({"a": np.ones(1)}, {"format": "pt"}))
    for function in (lambda path: load(path, backend), read_extra):
        with pytest.raises(CheckpointError, match="no entry 'rnn_xp': another program wrote it"):
            function(path)


def test_extra_that_is_damaged(path):
    for function in (read_extra, lambda path: load(path, "numpy")):
        with pytest.raises(CheckpointError, match="its extra must be a JSON object; it is a int"):
            function(edit(path, extra=3))


def test_words_of_a_file_are_short_and_printable(path, backend):
    with pytest.raises(CheckpointError) as caught:
        load(edit(path, gate_order={"\x1b[2J\ud800": "é" * 10**5}), backend)
    words = str(caught.value).removeprefix(f"`{path}` cannot be loaded: ")
    assert len(words) == 501
    assert words.isprintable()


def test_a_damaged_file(path, backend):
    good = path.read_bytes()
    for bad in (b"", good[:100], good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b"PK" + good):
        path.write_bytes(bad)
        for function in (lambda path: load(path, backend), read_extra):
            with pytest.raises(CheckpointError, match=r"model.safetensors` cannot be loaded: "):
                function(path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_keep_their_dtype_where_only_a_name_is_given(tmp_path, dtype):
    model, path = rx.LSTM(2, 3), tmp_path / "model.safetensors"
    rx.save(path, model, model.init(rx.get_backend("numpy", dtype=dtype)))
    assert rx.load(path, "numpy")[1][0].weight_ih.dtype == dtype
    assert rx.load(path, rx.get_backend("numpy"))[1][0].weight_ih.dtype == "float32"


# files of any kind


def test_what_is_written_is_read(tmp_path):
    tensors = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array([2**63], "u8"), "c": np.array(True)}
    description = {"extra": {"x": 1}, "seed": 2**130, "none": None, "words": ["ü", 0.1]}
    write_file(tmp_path / "t", "training", description, tensors)
    seen = []

    def expect(description):
        seen.append(description)
        return {"a": ((3, 2), ("float32", np.float64)), "b": ((1,), np.uint64), "c": ((), "bool")}

    assert_same(read_file(tmp_path / "t", "training", expect)[1], tensors)
    assert seen == [description]
    assert read_extra(tmp_path / "t") == {"x": 1}
    with pytest.raises(CheckpointError, match="its kind must be 'model'; it is 'training'"):
        load(tmp_path / "t", "numpy")


def test_no_extra_is_an_empty_one(tmp_path):
    write_file(tmp_path / "t", "training", {}, {})
    assert read_extra(tmp_path / "t") == {}


def test_what_the_reader_holds_against_a_description_is_the_files_fault(tmp_path):
    write_file(tmp_path / "t", "training", {"epoch": 1}, {})
    with pytest.raises(CheckpointError, match=r"t` cannot be loaded: its description .*: KeyError: 'step'"):
        read_file(tmp_path / "t", "training", lambda description: description["step"])


def test_nothing_is_read_of_what_is_not_expected(tmp_path, monkeypatch):
    write_file(tmp_path / "t", "training", {}, {"a": np.ones(2), "b": np.ones(3)})
    monkeypatch.setattr(codec, "read_tensors", None)
    expected = {"a": ((2,), "float32"), "b": ((2,), "float64"), "c": ((), "bool")}
    words = r"missing: c; of another shape: b \(3,\) for \(2,\); of another dtype: a float64"
    with pytest.raises(CheckpointError, match=words):
        read_file(tmp_path / "t", "training", lambda _: expected)


def test_arguments_of_files(tmp_path):
    for function in (lambda kind: write_file("x", kind, {}, {}), lambda kind: read_file("x", kind, dict)):
        with pytest.raises(ValueError, match="`kind` must be one of model, training; got 'other'"):
            function("other")
    with pytest.raises(ValueError, match=r"`description` must leave format, .* to the file; got kind"):
        write_file(tmp_path / "x", "model", {"kind": "model"}, {})
    with pytest.raises(TypeError, match="`description` must be a mapping that JSON can hold"):
        write_file(tmp_path / "x", "model", {"a": b""}, {})
    with pytest.raises(TypeError, match="`tensors` must map names to NumPy arrays"):
        write_file(tmp_path / "x", "model", {}, {"a": np.ones(1, "c16")})
    assert list(tmp_path.iterdir()) == []
