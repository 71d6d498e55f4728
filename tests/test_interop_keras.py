"""Keras' weights: its formulas written out, files that it wrote, and, where it can run, Keras itself."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import UGRNN

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.cells import gru, lstm, rnn
from rnn_xp.interop.keras import from_weights, save, to_weights

BACKEND = rx.get_backend("numpy", dtype="float64")
SINGLE = rx.get_backend("numpy", dtype="float32")
ANSWERS = Path(__file__).parent / "keras_answers"
MODELS = {
    "sequential": rx.Sequential(
        rx.Embedding(7, 3),
        rx.Dropout(0.2),
        rx.LSTM(3, 2, bidirectional=True),
        rx.LSTM(4, 3),
        rx.GRU(3, 2, bidirectional=True, reset="before"),
        rx.GRU(4, 3),
        rx.Linear(3, 4),
        rx.RNN(4, 2),
        rx.LastStep(),
        rx.Linear(2, 3, bias=False),
    ),
    "functional": rx.Sequential(
        rx.Residual(rx.Sequential(rx.GRU(3, 4), rx.Linear(4, 3))),
        rx.Sequential(rx.Linear(3, 2), rx.LSTM(2, 4), rx.LastStep()),
        rx.Linear(4, 2),
    ),
}
LAYERS = {
    "rnn": rx.RNN(3, 4),
    "relu": rx.RNN(3, 4, nonlinearity="relu"),
    "gru": rx.GRU(3, 4),
    "gru_before": rx.GRU(3, 4, reset="before"),
    "lstm": rx.LSTM(3, 4),
    "hard": rx.LSTM(3, 4, activations=(("hard_sigmoid", 1 / 6, 0.5), "tanh", "tanh")),
}


def normal(shapes: Any, seed: int = 0) -> list[Any]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for shape in shapes]


def assert_bits(actual: Any, expected: Any) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (e.dtype, e.shape, e.tobytes())


# --- Keras' formulas, on Keras' weights


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x: Any) -> Any:
    return np.clip(x / 6 + 0.5, 0, 1)


def rnn_step(x: Any, h: Any, kernel: Any, recurrent: Any, bias: Any, f: Any = np.tanh) -> tuple[Any, ...]:
    return (f(x @ kernel + bias + h @ recurrent),)


def gru_step(x: Any, h: Any, kernel: Any, recurrent: Any, bias: Any) -> tuple[Any, ...]:
    x_z, x_r, x_h = np.split(x @ kernel + bias[0], 3, -1)
    h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3, -1)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    return (z * h + (1 - z) * np.tanh(x_h + r * h_h),)


def gru_before_step(x: Any, h: Any, kernel: Any, recurrent: Any, bias: Any) -> tuple[Any, ...]:
    x_z, x_r, x_h = np.split(x @ kernel + bias, 3, -1)
    u_z, u_r, u_h = np.split(recurrent, 3, -1)
    z, r = sigmoid(x_z + h @ u_z), sigmoid(x_r + h @ u_r)
    return (z * h + (1 - z) * np.tanh(x_h + (r * h) @ u_h),)


def lstm_step(
    x: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any, gate: Any = sigmoid
) -> tuple[Any, ...]:
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, -1)
    c = gate(f) * c + gate(i) * np.tanh(g)
    return gate(o) * np.tanh(c), c


STEPS: dict[str, Any] = {
    "rnn": rnn_step,
    "relu": lambda *given: rnn_step(*given, f=lambda a: np.maximum(a, 0)),
    "gru": gru_step,
    "gru_before": gru_before_step,
    "lstm": lstm_step,
    "hard": lambda *given: lstm_step(*given, gate=hard_sigmoid),
}


def run(name: str, x: Any, weights: list[Any]) -> Any:
    state = (np.zeros((x.shape[1], 4)),) * (2 if name in ("lstm", "hard") else 1)
    ys = []
    for row in x:
        state = STEPS[name](row, *state, *weights)
        ys.append(state[0])
    return np.stack(ys)


def shapes_of(name: str, size: int = 3) -> list[tuple[int, ...]]:
    gates = {"rnn": 1, "relu": 1, "gru": 3, "gru_before": 3, "lstm": 4, "hard": 4}[name]
    return [(size, 4 * gates), (4, 4 * gates), (2, 12) if name == "gru" else (4 * gates,)]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_answers_by_the_written_formula(name: str) -> None:
    weights, x = normal(shapes_of(name)), np.random.default_rng(1).standard_normal((6, 2, 3))
    params = from_weights(LAYERS[name], weights, BACKEND)
    y = LAYERS[name].forward(params, x)[0]
    np.testing.assert_allclose(y, run(name, x, weights), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["rnn", "gru", "gru_before", "lstm"])
def test_without_a_bias_there_are_two_weights(name: str) -> None:
    layer = {
        "rnn": rx.RNN(3, 4, bias=False),
        "gru": rx.GRU(3, 4, bias=False),
        "gru_before": rx.GRU(3, 4, bias=False, reset="before"),
        "lstm": rx.LSTM(3, 4, bias=False),
    }[name]
    shapes, x = shapes_of(name), np.random.default_rng(1).standard_normal((6, 2, 3))
    weights = normal(shapes[:2])
    params = from_weights(layer, weights, BACKEND)
    expected = run(name, x, [*weights, np.zeros(shapes[2])])
    np.testing.assert_allclose(layer.forward(params, x)[0], expected, rtol=0, atol=1e-14)
    assert_bits(to_weights(layer, params), weights)


def test_directions_and_depths_are_in_keras_order() -> None:
    layer = rx.GRU(3, 4, num_layers=2, bidirectional=True)
    weights = normal([*shapes_of("gru") * 2, *shapes_of("gru", 8) * 2])
    x = np.random.default_rng(1).standard_normal((6, 2, 3))
    expected = x
    for depth in range(2):
        ahead, back = weights[6 * depth : 6 * depth + 3], weights[6 * depth + 3 : 6 * depth + 6]
        both = run("gru", expected, ahead), run("gru", expected[::-1], back)[::-1]
        expected = np.concatenate(both, -1)
    params = from_weights(layer, weights, BACKEND)
    np.testing.assert_allclose(layer.forward(params, x)[0], expected, rtol=0, atol=1e-14)


# --- files and answers of Keras


@pytest.fixture(scope="module")
def answers() -> Any:
    with np.load(ANSWERS / "answers.npz") as stored:
        return dict(stored)


def weights_of(answers: Any, name: str) -> list[Any]:
    return [answers[key] for key in sorted(answers) if key.startswith(f"{name}_")]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_keras_did(name: str, answers: Any) -> None:
    model, x = MODELS[name], answers[f"x_{name}"]
    lengths = (x > 0).sum(1) if x.ndim == 2 else [6, 6, 6, 6]
    params = from_weights(model, weights_of(answers, name), SINGLE)
    y = model.forward(params, SINGLE.asarray(x.swapaxes(0, 1)), lengths=lengths)[0]
    np.testing.assert_allclose(y, answers[f"y_{name}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_keras_files_hold_what_get_weights_returned(name: str, answers: Any) -> None:
    pytest.importorskip("h5py")
    weights = weights_of(answers, name)
    params = from_weights(MODELS[name], ANSWERS / f"{name}.weights.h5", SINGLE)
    MODELS[name].check_params(params)
    assert_bits(tree.leaves(params), tree.leaves(from_weights(MODELS[name], weights, SINGLE)))
    assert_bits(to_weights(MODELS[name], params), weights)


@pytest.mark.parametrize("name", MODELS)
def test_files_have_keras_layout(name: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    theirs, ours = ANSWERS / f"{name}.weights.h5", tmp_path / "model.weights.h5"
    save(ours, MODELS[name], from_weights(MODELS[name], theirs, SINGLE))
    found: dict[Path, dict[str, Any]] = {}
    for path in (theirs, ours):
        with h5py.File(path, "r") as file:
            items: dict[str, Any] = {}
            file.visititems(items.__setitem__)
            sets = {name: item for name, item in items.items() if isinstance(item, h5py.Dataset)}
            found[path] = {
                name: (item.dtype, item.shape, item[...].tobytes())
                for name, item in sets.items()
                if not name.startswith("optimizer/")
            }
    assert found[ours] == found[theirs]


# --- there and back


def shapes_in(model: Any) -> list[Any]:
    return [weight.shape for weight in to_weights(model, model.init(BACKEND))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", [*MODELS.values(), *LAYERS.values()], ids=[*MODELS, *LAYERS])
def test_keras_weights_come_back_bit_for_bit(model: Any, dtype: str, tmp_path: Path) -> None:
    backend = rx.get_backend("numpy", dtype=dtype)
    weights = [weight.astype(dtype) for weight in normal(shapes_in(model))]
    for weight in weights:
        weight.reshape(-1)[:2] = -0.0, 0.0
    params = from_weights(model, weights, backend)
    assert_bits(to_weights(model, params), weights)
    pytest.importorskip("h5py")
    save(tmp_path / "a.weights.h5", model, params)
    assert_bits(to_weights(model, from_weights(model, tmp_path / "a.weights.h5", backend)), weights)
    save(tmp_path / "b.weights.h5", model, params)
    assert (tmp_path / "a.weights.h5").read_bytes() == (tmp_path / "b.weights.h5").read_bytes()


@pytest.mark.parametrize("name", ["rnn", "gru", "gru_before", "lstm"])
def test_two_biases_become_their_sum_where_keras_has_one(name: str) -> None:
    layer, x = LAYERS[name], np.random.default_rng(1).standard_normal((6, 2, 3))
    params = layer.init(BACKEND, seed=3)
    again = from_weights(layer, to_weights(layer, params), BACKEND)
    if name == "gru":
        assert_bits(tree.leaves(again), tree.leaves(params))
    else:
        assert not again[0].bias_hh.any()
    np.testing.assert_allclose(layer.forward(again, x)[0], layer.forward(params, x)[0], rtol=0, atol=1e-15)


@pytest.mark.parametrize("kind", [rx.RNN, rx.GRU, rx.LSTM])
def test_a_layer_of_one_bias_keeps_it(kind: Any) -> None:
    layer = kind(3, 4, bias="input")
    params = layer.init(BACKEND, seed=3)
    params[0].bias_ih[0] = -0.0
    assert_bits(tree.leaves(from_weights(layer, to_weights(layer, params), BACKEND)), tree.leaves(params))


def test_a_gru_of_one_bias_cannot_take_two() -> None:
    layer, weights = rx.GRU(3, 4, bias="input", bidirectional=True), normal(shapes_of("gru") * 2)
    must = r"`model` must have bias=True: bidirectional/forward_layer/cell bias\[1\] is not 0 in the gate n, "
    with pytest.raises(ValueError, match=must):
        from_weights(layer, weights, BACKEND)
    for bias in weights[2::3]:
        bias[1, 8:] = 0.0
    params = from_weights(layer, weights, BACKEND)
    x = np.random.default_rng(1).standard_normal((6, 2, 3))
    y = run("gru", x, weights[:3]), run("gru", x[::-1], weights[3:])[::-1]
    np.testing.assert_allclose(layer.forward(params, x)[0], np.concatenate(y, -1), rtol=0, atol=1e-14)


def test_nothing_shares_memory_and_rows_are_rows() -> None:
    weights = normal([(3, 4), (4,)])
    params = from_weights(rx.Linear(3, 4), weights, BACKEND)
    assert all(array.flags.c_contiguous for array in (*params, *to_weights(rx.Linear(3, 4), params)))
    for ours, theirs in zip(to_weights(rx.Linear(3, 4), params), weights, strict=True):
        for leaf in params:
            assert not np.shares_memory(leaf, theirs)
            assert not np.shares_memory(leaf, ours)


def test_other_backends_give_and_take_host_arrays() -> None:
    pytest.importorskip("array_api_strict")
    strict = rx.get_backend("array_api_strict", device="device1", dtype="float64")
    weights = normal(shapes_of("gru"))
    params = from_weights(LAYERS["gru"], weights, strict)
    assert {leaf.device for leaf in tree.leaves(params)} == {strict.device}
    assert_bits(to_weights(LAYERS["gru"], params), weights)


def test_weights_take_the_backends_dtype() -> None:
    weights = [np.ones((3, 4), np.float16), [1, 2, 3, 4]]
    params = from_weights(rx.Linear(3, 4), weights, "numpy")
    assert params.weight.dtype == params.bias.dtype == np.float32
    np.testing.assert_array_equal(params.bias, [1, 2, 3, 4])


# --- refusals


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (rx.LSTM(3, 4, proj_size=2), ValueError, "its LSTM has no projection; got LSTM.*Leave it to PyTorch"),
        (
            rx.LSTM(3, 4, peepholes=True),
            ValueError,
            r"got the cell 'lstm\(peepholes=True\)'\. It knows Simple",
        ),
        (rx.LSTM(3, 4, coupled=True), ValueError, r"got the cell 'lstm\(coupled=True\)'"),
        (rx.GRU(3, 4, clip=2.0), ValueError, r"got the cell 'gru\(clip=2.0\)'"),
        (rx.RNN(3, 4, clip=2.0), ValueError, r"got the cell 'rnn_tanh\(clip=2.0\)'"),
        (
            rx.GRU(3, 4, layer_norm=True),
            ValueError,
            r"got the cell 'layer_norm\(gru\)'\. .* without layer_norm",
        ),
        (
            rx.LSTM(3, 4, activations=("sigmoid", "tanh", "relu")),
            ValueError,
            r"got the cell .lstm\(activations=",
        ),
        (rx.Recurrent(UGRNN, 3, 4), ValueError, "got the cell 'ugrnn'"),
        (rx.Recurrent(lstm.LSTM._replace(name="mine"), 3, 4), ValueError, "got the cell 'mine'"),
        (rx.GRU(3, 4, reverse=True), ValueError, "in the order of x; got GRU.* with reverse=False"),
        (rx.RNN(3, 4, learn_state=True), ValueError, r"learns no initial state; got RNN.* state_0=None"),
    ],
)
def test_layers_that_keras_lacks_are_refused_both_ways(layer: Any, error: Any, message: str) -> None:
    model = rx.Sequential(layer, rx.LastStep())
    with pytest.raises(error, match=f"`model` must be made of layers that Keras has too.*{message}"):
        from_weights(model, [], BACKEND)
    with pytest.raises(error, match=message):
        to_weights(model, model.init(BACKEND))


def test_other_layers_are_refused() -> None:
    class Scale(rx.Linear):
        pass

    class Own(rx.Dropout):
        def spec(self) -> Any:
            return rx.Linear(3, 3).spec()

    from_weights(Scale(3, 4), normal([(3, 4), (4,)]), BACKEND)
    with pytest.raises(
        TypeError, match=r"Bidirectional, Dense and Embedding, and what has no parameters; got "
    ):
        from_weights(Own(0.5), [], BACKEND)
    with pytest.raises(TypeError, match="`model` must be a layer or a Sequential; got str"):
        to_weights("lstm", ())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`params` must be those of Linear\(3, 4\)"):
        to_weights(rx.Linear(3, 4), rx.Linear(3, 5).init(BACKEND))


@pytest.mark.parametrize("cell", [rnn.RELU, gru.AFTER, gru.BEFORE, lstm.LSTM])
def test_cells_by_themselves_count_as_the_layers_that_have_them(cell: Any) -> None:
    layer = rx.Recurrent(cell, 3, 4)
    assert to_weights(layer, layer.init(BACKEND))[0].shape[0] == 3


def test_all_that_is_wrong_with_weights_is_told_at_once() -> None:
    model = rx.Sequential(rx.LSTM(3, 4, 2), rx.LastStep(), rx.Linear(4, 2))
    weights = normal(shapes_in(model))
    with pytest.raises(ValueError, match=r"`source` must hold Keras' weights of Sequential\(LSTM") as caught:
        from_weights(model, [weights[0].T, *weights[1:7]], BACKEND)
    for fault in (
        "lstm/cell kernel must have shape (3, 16), got (16, 3)",
        "dense bias (2,) is missing",
        "It holds 7 arrays.",
    ):
        assert fault in str(caught.value)
    assert "lstm_1" not in str(caught.value)
    with pytest.raises(ValueError, match=r"source\[8\] \(5,\) is unexpected"):
        from_weights(model, [*weights, np.zeros(5)], BACKEND)


def test_a_source_must_be_one() -> None:
    with pytest.raises(
        TypeError, match=r"`source` must be a list of arrays, as .*\.weights\.h5 file; got dict"
    ):
        from_weights(rx.Linear(3, 4), {}, BACKEND)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "weights"])
def test_other_files_are_refused(name: str, tmp_path: Path) -> None:
    layer = rx.Linear(3, 4)
    with pytest.raises(
        ValueError, match=rf"`source` must be .* a \.weights\.h5 file; got '.*{name}'\. .*save_weights"
    ):
        from_weights(layer, tmp_path / name, BACKEND)
    with pytest.raises(ValueError, match=r"`path` must be the path of a \.weights\.h5 file"):
        save(str(tmp_path / name), layer, layer.init(BACKEND))
    with pytest.raises(FileNotFoundError):
        from_weights(layer, tmp_path / "none.weights.h5", BACKEND)


def test_a_file_needs_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = r'A \.weights\.h5 file needs h5py, which is not installed: pip install "rnn-xp\[keras\]"'
    with pytest.raises(ModuleNotFoundError, match=message):
        from_weights(rx.Linear(3, 4), ANSWERS / "sequential.weights.h5", BACKEND)


def h5(path: Path, **sets: Any) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        for name, value in sets.items():
            given = value if isinstance(value, dict) else {"data": value}
            file.create_dataset(name.replace("__", "/"), **given)
    return path


def test_all_that_is_wrong_with_a_file_is_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "model.weights.h5"
    h5(path, layers__dense__vars__0=np.ones((4, 3)), lstm__cell__vars__0=np.ones((3, 16)))
    with pytest.raises(ValueError, match=r"Keras' weights of Linear\(3, 4\)") as caught:
        from_weights(rx.Linear(3, 4), path, BACKEND)
    for fault in (
        "dense kernel must have shape (3, 4), got (4, 3)",
        "dense bias (4,) is missing",
        "lstm/cell/vars/0 (3, 16) is unexpected",
        "give model.get_weights()",
    ):
        assert fault in str(caught.value)


def test_what_else_a_file_holds_is_passed_over(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    kernel, bias = normal([(3, 4), (4,)])
    path = h5(
        tmp_path / "model.weights.h5",
        layers__dense__vars__0=kernel,
        layers__dense__vars__1=bias,
        layers__dropout__seed_generator__vars__0=np.zeros(2, np.uint32),
        optimizer__vars__0=np.zeros((), np.int64),
        metrics__mean__vars__0=np.ones(()),
    )
    assert_bits(to_weights(rx.Linear(3, 4), from_weights(rx.Linear(3, 4), path, BACKEND)), [kernel, bias])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": np.ones((3, 4), np.int8)}, r"its layers/dense/vars/0 must hold floats .*; it holds int8\."),
        ({"data": np.ones((3, 4), "V2")}, r"it holds \|V2"),
        ({"data": np.ones((3, 4)), "compression": "gzip"}, "in the file itself, uncompressed"),
        ({"shape": (3, 1 << 40), "dtype": "f8", "chunks": (3, 4)}, "in the file itself, uncompressed"),
        ({"shape": (3, 4), "dtype": "f8", "external": "other.bin"}, "in the file itself, uncompressed"),
    ],
)
def test_weights_that_are_not_stored_as_keras_does_are_refused(
    given: Any, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("h5py")
    path = h5(tmp_path / "model.weights.h5", layers__dense__vars__0=given)
    with pytest.raises(rx.CheckpointError, match=rf"`.*model\.weights\.h5` cannot be read: .*{message}"):
        from_weights(rx.Linear(3, 4), path, BACKEND)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path, good = tmp_path / "model.weights.h5", (ANSWERS / "sequential.weights.h5").read_bytes()
    for damaged in (b"", b"PK\x03\x04", good[: len(good) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(rx.CheckpointError, match="cannot be read: "):
            from_weights(MODELS["sequential"], path, SINGLE)


def test_links_lead_nowhere(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    secret = h5(tmp_path / "other.h5", secret=np.ones((3, 4)))
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink(str(secret), "secret")
        file["layers/dense/vars/1"] = np.ones(4)
    with pytest.raises(ValueError, match=r"dense kernel \(3, 4\) is missing"):
        from_weights(rx.Linear(3, 4), path, BACKEND)


# --- Keras itself


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras on what it can run on here; its NumPy backend needs jax."""
    if "KERAS_BACKEND" not in os.environ:
        found = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
        if not found:
            pytest.skip("what Keras could run on, PyTorch or jax, is not installed")
        os.environ["KERAS_BACKEND"] = {"torch": "torch", "jax": "numpy"}[found[0]]
    return pytest.importorskip("keras")


on_any = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own


@on_any
@pytest.mark.parametrize("name", MODELS)
def test_keras_takes_our_files(name: str, keras: Any, tmp_path: Path) -> None:
    sys.path.insert(0, str(ANSWERS))
    try:
        import make_keras
    finally:
        sys.path.pop(0)
    theirs, ours = getattr(make_keras, name)(keras), MODELS[name]
    params = from_weights(ours, normal(shapes_in(ours)), SINGLE)
    save(tmp_path / "model.weights.h5", ours, params)
    theirs.load_weights(tmp_path / "model.weights.h5")
    assert_bits(theirs.get_weights(), to_weights(ours, params))
    if name == "functional":  # the other masks the token 0
        assert rx.interop.parity.compare(ours, params, rx.interop.parity.of_keras(theirs)) < 1e-6
