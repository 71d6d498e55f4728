"""PyTorch's state dicts: its keys by hand, and, where it is installed, its own modules and their answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import safetensors, tree
from rnn_xp.cells import gru, lstm
from rnn_xp.interop.torch import from_state_dict, save, to_state_dict

BACKEND = rx.get_backend("numpy", dtype="float64")
LAYERS = {
    "rnn": rx.RNN(3, 4),
    "relu": rx.RNN(3, 4, nonlinearity="relu", num_layers=2),
    "gru": rx.GRU(3, 4, num_layers=2, bidirectional=True),
    "lstm": rx.LSTM(3, 4, bidirectional=True),
    "lstm_projected": rx.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2),
    "no_bias": rx.GRU(3, 4, bidirectional=True, bias=False),
    "noisy": rx.LSTM(3, 4, recurrent_dropout=0.5),  # only while training
    "linear": rx.Linear(3, 4),
    "linear_no_bias": rx.Linear(3, 4, bias=False),
    "embedding": rx.Embedding(7, 3),
}
HAND = {
    "relu": {
        "weight_ih_l0": (4, 3),
        "weight_hh_l0": (4, 4),
        "bias_ih_l0": (4,),
        "bias_hh_l0": (4,),
        "weight_ih_l1": (4, 4),
        "weight_hh_l1": (4, 4),
        "bias_ih_l1": (4,),
        "bias_hh_l1": (4,),
    },
    "lstm_projected": {
        "weight_ih_l0": (16, 3),
        "weight_hh_l0": (16, 2),
        "bias_ih_l0": (16,),
        "bias_hh_l0": (16,),
        "weight_hr_l0": (2, 4),
        "weight_ih_l0_reverse": (16, 3),
        "weight_hh_l0_reverse": (16, 2),
        "bias_ih_l0_reverse": (16,),
        "bias_hh_l0_reverse": (16,),
        "weight_hr_l0_reverse": (2, 4),
        "weight_ih_l1": (16, 4),
        "weight_hh_l1": (16, 2),
        "bias_ih_l1": (16,),
        "bias_hh_l1": (16,),
        "weight_hr_l1": (2, 4),
        "weight_ih_l1_reverse": (16, 4),
        "weight_hh_l1_reverse": (16, 2),
        "bias_ih_l1_reverse": (16,),
        "bias_hh_l1_reverse": (16,),
        "weight_hr_l1_reverse": (2, 4),
    },
    "no_bias": {
        "weight_ih_l0": (12, 3),
        "weight_hh_l0": (12, 4),
        "weight_ih_l0_reverse": (12, 3),
        "weight_hh_l0_reverse": (12, 4),
    },
    "linear": {"weight": (4, 3), "bias": (4,)},
    "linear_no_bias": {"weight": (4, 3)},
    "embedding": {"weight": (7, 3)},
}


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {key: random.standard_normal(shape) for key, shape in shapes.items()}


# --- keys by hand


@pytest.mark.parametrize("name", HAND)
def test_the_keys_are_pytorchs(name: str) -> None:
    state = to_state_dict(LAYERS[name], LAYERS[name].init(BACKEND))
    assert {key: array.shape for key, array in state.items()} == HAND[name]
    assert list(state) == list(HAND[name])


def test_every_key_has_its_place() -> None:
    layer, mapping = LAYERS["lstm_projected"], drawn(HAND["lstm_projected"])
    params = from_state_dict(layer, mapping, BACKEND)
    for place, suffix in enumerate(("_l0", "_l0_reverse", "_l1", "_l1_reverse")):
        for field in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"):
            np.testing.assert_array_equal(getattr(params[place], field), mapping[field + suffix])
    linear = from_state_dict(LAYERS["linear"], drawn(HAND["linear"]), BACKEND)
    np.testing.assert_array_equal(linear.weight, drawn(HAND["linear"])["weight"])
    np.testing.assert_array_equal(linear.bias, drawn(HAND["linear"])["bias"])
    table = from_state_dict(LAYERS["embedding"], drawn(HAND["embedding"]), BACKEND)
    np.testing.assert_array_equal(table.weight, drawn(HAND["embedding"])["weight"])


@pytest.mark.parametrize("name", LAYERS)
def test_back_and_forth_changes_nothing(name: str) -> None:
    layer = LAYERS[name]
    params = layer.init(BACKEND, seed=3)
    again = from_state_dict(layer, to_state_dict(layer, params), BACKEND)
    layer.check_params(again)
    assert type(again) is type(params)
    for a, b in zip(tree.leaves(again), tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.shares_memory(a, b)


def test_gradients_have_the_same_keys() -> None:
    layer = LAYERS["lstm"]
    params = layer.init(BACKEND)
    y, _, tape = layer.forward(params, BACKEND.asarray(np.ones((2, 1, 3))))
    d_params, _, _ = layer.backward(params, tape, y)
    state = to_state_dict(layer, d_params)
    np.testing.assert_array_equal(state["weight_hh_l0_reverse"], d_params[1].weight_hh)
    assert list(state) == list(to_state_dict(layer, params))


def test_the_order_of_keys_does_not_matter_and_numbers_take_the_backends_dtype() -> None:
    mapping = {"bias": [1, 2, 3, 4], "weight": np.ones((4, 3), dtype=np.float16)}
    params = from_state_dict(LAYERS["linear"], mapping, rx.get_backend("numpy"))
    assert params.weight.dtype == params.bias.dtype == np.float32
    np.testing.assert_array_equal(params.bias, [1, 2, 3, 4])


def test_nothing_shares_memory() -> None:
    mapping = drawn(HAND["linear"])
    params = from_state_dict(LAYERS["linear"], mapping, BACKEND)
    state = to_state_dict(LAYERS["linear"], params)
    assert not np.shares_memory(params.weight, mapping["weight"])
    assert not np.shares_memory(params.weight, state["weight"])


def test_other_backends_give_and_take_host_arrays() -> None:
    pytest.importorskip("array_api_strict")
    strict = rx.get_backend("array_api_strict", device="device1", dtype="float64")
    mapping = drawn(HAND["relu"])
    params = from_state_dict(LAYERS["relu"], mapping, strict)
    assert {leaf.device for leaf in tree.leaves(params)} == {strict.device}
    for key, array in to_state_dict(LAYERS["relu"], params).items():
        assert type(array) is np.ndarray
        np.testing.assert_array_equal(array, mapping[key])


# --- whole models

MODEL = rx.Sequential(
    rx.Embedding(5, 3),
    rx.Sequential(rx.GRU(3, 4, bidirectional=True, bias="input"), rx.Dropout(0.1), rx.Linear(8, 3)),
    rx.Residual(rx.RNN(3, 3, bias=False)),
    rx.Residual(rx.Sequential(rx.LSTM(3, 4, proj_size=2), rx.Linear(2, 3, bias=False))),
    rx.LastStep(),
    rx.Linear(3, 2),
)
KEYS = {
    "0": ["weight"],
    "1.0": [
        f"{name}_l0{suffix}"
        for suffix in ("", "_reverse")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ],
    "1.2": ["weight", "bias"],
    "2": ["weight_ih_l0", "weight_hh_l0"],
    "3.0": ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"],
    "3.1": ["weight"],
    "5": ["weight", "bias"],
}
NAMES = ("embed", "encoder.gru", "encoder.fc", "skip", "lstm", "back", "head")


def assert_bits(actual: Any, expected: Any) -> None:
    pairs = zip(tree.named_leaves(actual), tree.named_leaves(expected), strict=True)
    for (name, a), (other, e) in pairs:
        assert (name, a.dtype, a.shape, a.tobytes()) == (other, e.dtype, e.shape, e.tobytes())


@pytest.mark.parametrize("names", [None, NAMES])
def test_a_models_keys_have_names_before_them(names: Any) -> None:
    params = MODEL.init(BACKEND, seed=1)
    params[1][0][0].bias_ih[0] = -0.0
    state = to_state_dict(MODEL, params, names)
    starts = dict(zip(KEYS, names or KEYS, strict=True))
    assert list(state) == [f"{starts[place]}.{key}" for place, keys in KEYS.items() for key in keys]
    assert_bits(from_state_dict(MODEL, state, BACKEND, names), params)
    assert_bits(from_state_dict(MODEL, dict(reversed(state.items())), BACKEND, names), params)


def test_what_has_one_layer_needs_no_name_but_may_have_one() -> None:
    layer = rx.Residual(rx.Linear(3, 3))
    params = layer.init(BACKEND)
    assert list(to_state_dict(layer, params)) == ["weight", "bias"]
    state = to_state_dict(layer, params, ("fc",))
    assert list(state) == ["fc.weight", "fc.bias"]
    assert_bits(from_state_dict(layer, state, BACKEND, ["fc"]), params)
    bare = rx.Sequential(rx.LastStep(), rx.Linear(3, 3))
    assert list(to_state_dict(bare, bare.init(BACKEND), ("",))) == ["weight", "bias"]
    assert to_state_dict(rx.LastStep(), ()) == {}


def test_without_names_the_error_shows_those_of_the_mapping() -> None:
    model = rx.Sequential(rx.GRU(3, 4), rx.LastStep(), rx.Linear(4, 2))
    params = model.init(BACKEND)
    state = to_state_dict(model, params, ("module.rnn", "fc"))
    with pytest.raises(ValueError, match=r"`source` must hold the parameters of Sequential\(") as caught:
        from_state_dict(model, state, BACKEND)
    for words in (
        "0.weight_ih_l0 (12, 3) is missing; ",
        "module.rnn.weight_ih_l0 is unexpected; ",
        "Its names are 'fc', 'module.rnn': give names=(...), one each for GRU(3, 4) and Linear(4, 2).",
    ):
        assert words in str(caught.value)
    state = to_state_dict(model, params) | {"2.bias": np.zeros(3)}
    with pytest.raises(ValueError, match=r"2\.bias must have shape \(2,\), got \(3,\)\.$"):
        from_state_dict(model, state, BACKEND)


@pytest.mark.parametrize(
    ("names", "error", "came"),
    [
        (("a",), ValueError, r"got \('a',\)\."),
        (("a", "a"), ValueError, r"got \('a', 'a'\)\."),
        ("ab", TypeError, "got 'ab'"),
        ((0, 1), TypeError, r"got \(0, 1\)"),
        (2, TypeError, "got 2"),
    ],
)
def test_names_must_be_one_a_layer(names: Any, error: Any, came: str) -> None:
    model = rx.Sequential(rx.GRU(3, 4), rx.Linear(4, 2))
    message = r"`names` must be a tuple of 2 different names, one each for GRU\(3, 4\) and Linear\(4, 2\); "
    with pytest.raises(error, match=message + came):
        to_state_dict(model, model.init(BACKEND), names)


# --- files


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_files_are_those_of_the_library(dtype: str, tmp_path: Any) -> None:
    library = pytest.importorskip("safetensors.numpy")
    backend = rx.get_backend("numpy", dtype=dtype)
    params, ours, theirs = MODEL.init(backend, seed=2), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    state = to_state_dict(MODEL, params, NAMES)
    save(ours, MODEL, params, NAMES)
    assert_bits(dict(sorted(library.load_file(ours).items())), dict(sorted(state.items())))
    library.save_file(state, theirs, metadata={"format": "pt"})
    assert_bits(from_state_dict(MODEL, theirs, backend, NAMES), params)
    assert_bits(from_state_dict(MODEL, str(ours), backend, NAMES), params)
    assert safetensors.read(ours.read_bytes())[1] == {"format": "pt"}


def test_half_precision_is_widened_and_bfloat16_refused(tmp_path: Any) -> None:
    library = pytest.importorskip("safetensors.numpy")
    path, halves = tmp_path / "half.safetensors", np.array([[0.5, -3.0]], np.float16)
    library.save_file({"weight": halves}, path)
    params = from_state_dict(rx.Linear(2, 1, bias=False), path, "numpy")
    assert params.weight.dtype == np.float32
    np.testing.assert_array_equal(params.weight, halves)

    text = b'{"weight":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\x00\x3f\x40\xc0")
    with pytest.raises(
        rx.CheckpointError, match=r"dtype 'BF16'; .* store module\.float\(\)\.state_dict\(\)\."
    ):
        from_state_dict(rx.Linear(2, 1, bias=False), path, "numpy")


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "pytorch_model.bin", "model"])
def test_pickles_are_never_read(name: str, tmp_path: Any) -> None:
    (tmp_path / name).write_bytes(b"cposix\nsystem\n(S'false'\ntR.")
    layer = rx.Linear(2, 1)
    line = r"safetensors\.torch\.save_file\(module\.state_dict\(\), 'model\.safetensors'\)\."
    with pytest.raises(
        ValueError, match=rf"`source` must be .* a \.safetensors file; got '.*{name}'\. .*{line}"
    ):
        from_state_dict(layer, tmp_path / name, BACKEND)
    with pytest.raises(ValueError, match=rf"`path` must be .*; got '.*{name}'"):
        save(str(tmp_path / name), layer, layer.init(BACKEND))


def test_files_that_hold_no_state_dict_are_refused(tmp_path: Any) -> None:
    layer, path = rx.Linear(2, 1), tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError):
        from_state_dict(layer, path, BACKEND)
    path.write_bytes(b"PK\x03\x04" + b"\xff" * 20)
    with pytest.raises(
        rx.CheckpointError, match=r"`.*model\.safetensors` cannot be read: its header would take"
    ):
        from_state_dict(layer, path, BACKEND)
    rx.save(path, layer, layer.init(BACKEND))
    with pytest.raises(rx.CheckpointError, match=r"rnn_xp\.save wrote it: rnn_xp\.load gives its model"):
        from_state_dict(layer, path, BACKEND)


# --- one bias


@pytest.mark.parametrize("kind", [rx.RNN, rx.LSTM])
def test_a_single_bias_is_the_sum_of_two(kind: Any) -> None:
    one, two = kind(3, 4, bias="input"), kind(3, 4)
    mapping = to_state_dict(two, two.init(BACKEND))
    params = from_state_dict(one, mapping, BACKEND)
    assert params[0].bias_hh is None
    np.testing.assert_array_equal(params[0].bias_ih, mapping["bias_ih_l0"] + mapping["bias_hh_l0"])
    state = to_state_dict(one, params)
    assert list(state) == list(mapping)
    assert not state["bias_hh_l0"].any()
    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    np.testing.assert_allclose(
        one.forward(params, x)[0],
        two.forward(from_state_dict(two, state, BACKEND), x)[0],
        rtol=0,
        atol=1e-14,
    )


def test_a_gru_cannot_sum_the_biases_of_its_gate_n() -> None:
    one, two = rx.GRU(3, 4, bias="input", bidirectional=True), rx.GRU(3, 4, bidirectional=True)
    mapping = to_state_dict(two, two.init(BACKEND))
    message = r"`model` must have bias=True: bias_hh_l0 is not 0 in the gate n, which does not add it\."
    with pytest.raises(ValueError, match=message):
        from_state_dict(one, mapping, BACKEND)
    mapping["bias_hh_l0"][8:] = 0.0
    mapping["bias_hh_l0_reverse"][8:] = 0.0
    params = from_state_dict(one, mapping, BACKEND)
    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    expected = two.forward(from_state_dict(two, mapping, BACKEND), x)[0]
    np.testing.assert_allclose(one.forward(params, x)[0], expected, rtol=0, atol=1e-14)


# --- refusals


def test_all_that_is_wrong_with_a_mapping_is_told_at_once() -> None:
    mapping = drawn(HAND["relu"])
    mapping["weight_ih_l2"] = mapping.pop("weight_ih_l1")
    mapping["weight_hh_l0"] = mapping["weight_hh_l0"][:3]
    mapping["bias_hh_l0"] = mapping["bias_hh_l0"][None]
    with pytest.raises(ValueError, match=r"`source` must hold the parameters of RNN\(3, 4, ") as caught:
        from_state_dict(LAYERS["relu"], mapping, BACKEND)
    for fault in (
        "weight_ih_l1 (4, 4) is missing",
        "weight_ih_l2 is unexpected",
        "weight_hh_l0 must have shape (4, 4), got (3, 4)",
        "bias_hh_l0 must have shape (4,), got (1, 4)",
    ):
        assert fault in str(caught.value)


def test_a_mapping_must_be_one() -> None:
    message = r"`source` must be a dict of arrays by PyTorch's keys, or .* a \.safetensors file; got list\."
    with pytest.raises(TypeError, match=message):
        from_state_dict(LAYERS["linear"], [np.ones((4, 3))], BACKEND)  # type: ignore[arg-type]


def test_params_of_another_layer_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`params` must be those of Linear\(3, 4\)"):
        to_state_dict(LAYERS["linear"], LAYERS["embedding"].init(BACKEND))


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (
            rx.GRU(3, 4, reset="before"),
            ValueError,
            r"`model` must be made of layers that PyTorch has too; .*'gru_reset_before'\. .*reset=\"after\"",
        ),
        (
            rx.LSTM(3, 4, peepholes=True),
            ValueError,
            r"got the cell 'lstm\(peepholes=True\)'\. It knows RNN, GRU and LSTM, without .* peepholes",
        ),
        (
            rx.GRU(3, 4, layer_norm=True),
            ValueError,
            r"got the cell 'layer_norm\(gru\)'\. It knows RNN, GRU and LSTM, without layer_norm, ",
        ),
        (
            rx.LSTM(3, 4, reverse=True),
            ValueError,
            r"got LSTM\(3, 4, reverse=True\)\. .* has the parameters of the same layer with reverse=False\.",
        ),
        (
            rx.LSTM(3, 4, learn_state=True),
            ValueError,
            r"it learns no initial state; got LSTM\(3, 4, learn_state=True\)\. .*state_0=None\.",
        ),
        (
            rx.Recurrent(lstm.LSTM._replace(name="mine"), 3, 4),
            ValueError,
            r"got the cell 'mine'\. It knows RNN, GRU and LSTM, ",
        ),
    ],
)
def test_layers_that_pytorch_lacks_are_refused_both_ways(layer: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        from_state_dict(layer, {}, BACKEND)
    with pytest.raises(error, match=message):
        to_state_dict(layer, layer.init(BACKEND))
    with pytest.raises(error, match=message):
        from_state_dict(rx.Sequential(rx.Dropout(0.5), layer), {}, BACKEND)


def test_layers_of_ones_own_are_refused() -> None:
    class Own(rx.Dropout):
        def spec(self) -> Any:
            return rx.Linear(3, 3).spec()

    with pytest.raises(TypeError, match=r"Linear, Embedding and what has no parameters; got Own\(0\.5\)\."):
        from_state_dict(Own(0.5), {}, BACKEND)
    with pytest.raises(TypeError, match="`model` must be a layer or a Sequential; got NoneType"):
        from_state_dict(None, {}, BACKEND)  # type: ignore[arg-type]


def test_cells_by_themselves_count_as_the_layers_that_have_them() -> None:
    layer = rx.Recurrent(gru.AFTER, 3, 4)
    assert next(iter(to_state_dict(layer, layer.init(BACKEND)))) == "weight_ih_l0"


# --- PyTorch itself


def module_of(layer: Any) -> Any:
    """Return PyTorch's module of the same arguments, in float64."""
    nn = pytest.importorskip("torch").nn
    if isinstance(layer, rx.Linear):
        module = nn.Linear(layer.input_size, layer.output_size, layer.bias)
    elif isinstance(layer, rx.Embedding):
        module = nn.Embedding(layer.num_tokens, layer.size)
    else:
        options = {"num_layers": layer.num_layers, "bias": layer.bias, "bidirectional": layer.bidirectional}
        if isinstance(layer, rx.LSTM):
            options["proj_size"] = layer.proj_size
        if isinstance(layer, rx.RNN):
            options["nonlinearity"] = layer.nonlinearity
        module = getattr(nn, type(layer).__name__)(layer.input_size, layer.hidden_size, **options)
    return module.double()


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_equal_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    layer, random = LAYERS[name], np.random.default_rng(1)
    module = module_of(layer)
    params = from_state_dict(layer, module.state_dict(), BACKEND)
    x = random.integers(0, 7, (5, 2)) if name == "embedding" else random.standard_normal((5, 2, 3))
    expected = module(torch.from_numpy(x))
    expected = expected[0] if isinstance(expected, tuple) else expected
    y, _, tape = layer.forward(params, BACKEND.asarray(x))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-13)

    d_y = random.standard_normal(y.shape)
    expected.backward(torch.from_numpy(d_y))
    gradients = to_state_dict(layer, layer.backward(params, tape, d_y)[0])
    assert list(gradients) == list(module.state_dict())
    for key, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[key], parameter.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_pytorch_loads_what_it_is_given(name: str) -> None:
    torch = pytest.importorskip("torch")
    layer, module = LAYERS[name], module_of(LAYERS[name])
    state = to_state_dict(layer, layer.init(BACKEND, seed=5))
    module.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()}, strict=True)
    for key, array in module.state_dict().items():
        np.testing.assert_array_equal(array.numpy(), state[key])
