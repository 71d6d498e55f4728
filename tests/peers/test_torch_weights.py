"""A hundred random models: PyTorch's weights taken, answered with, and given back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.interop.parity import compare, of_torch
from rnn_xp.interop.torch import from_state_dict, save, to_state_dict

torch = pytest.importorskip("torch")
files = pytest.importorskip("safetensors.torch")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}


def random_recurrent(random: np.random.Generator, size: int) -> Any:
    """Return a recurrent layer of any cell, depth, direction, projection and bias."""
    kind, hidden = random.choice(["RNN", "GRU", "LSTM"]), int(random.integers(2, 9))
    options: dict[str, Any] = {
        "num_layers": int(random.integers(1, 4)),
        "bidirectional": bool(random.integers(2)),
        "bias": bool(random.integers(3)),
    }
    if kind == "RNN":
        options["nonlinearity"] = str(random.choice(["tanh", "relu"]))
    if kind == "LSTM":
        options["proj_size"] = int(random.integers(hidden))
    return getattr(rx, str(kind))(size, hidden, **options)


def random_model(seed: int) -> Any:
    """Return a model of one to three recurrent layers, perhaps within others, over tokens or numbers."""
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 6))
    layers: list[Any] = [rx.Embedding(7, size)] if random.integers(2) else []
    for _ in range(random.integers(1, 4)):
        layer = random_recurrent(random, size)
        form = random.integers(4)
        if form == 0:
            back = rx.Linear(layer.output_size, size, bias=bool(random.integers(2)))
            layers.append(rx.Residual(rx.Sequential(layer, rx.Dropout(0.1), back)))
            continue
        layers.append(rx.Sequential(layer, rx.Dropout(0.1)) if form == 1 else layer)
        size = layer.output_size
    layers += [rx.LastStep()] if random.integers(2) else []
    layers += [rx.Linear(size, int(random.integers(1, 5)), bool(random.integers(2)))]
    return rx.Sequential(*layers)


def parts(model: Any) -> Iterator[Any]:
    """Yield the layers with weights, in order."""
    if isinstance(model, rx.Residual):
        yield from parts(model.layer)
    elif model.layers:
        for layer in model.layers:
            yield from parts(layer)
    elif tree.leaves(model.spec()):
        yield model


def module_of(layer: Any) -> Any:
    """Return PyTorch's module of the same arguments."""
    if isinstance(layer, rx.Residual):
        return module_of(layer.layer)
    if layer.layers:
        return nn.Sequential(*map(module_of, layer.layers))
    if isinstance(layer, rx.Linear):
        return nn.Linear(layer.input_size, layer.output_size, layer.bias)
    if isinstance(layer, rx.Embedding):
        return nn.Embedding(layer.num_tokens, layer.size)
    if not tree.leaves(layer.spec()):
        return nn.Identity()
    options = {name: getattr(layer, name) for name in ("num_layers", "bias", "bidirectional")}
    for name in ("nonlinearity", "proj_size"):
        if getattr(layer, name, None):
            options[name] = getattr(layer, name)
    return getattr(nn, type(layer).__name__)(layer.input_size, layer.hidden_size, **options)


class Net(nn.Module):
    """The modules of a model, under their places or under names, and what it does, in PyTorch."""

    def __init__(self, model: Any, names: tuple[str, ...] | None) -> None:
        super().__init__()
        self.model = model
        if names is None:
            for place, child in module_of(model).named_children():
                self.add_module(place, child)
        else:
            for name, layer in zip(names, parts(model), strict=True):
                self.add_module(name, module_of(layer))

    def forward(self, x: Any, lengths: Any = None) -> Any:
        kinds = nn.Linear | nn.Embedding | nn.RNNBase
        own = iter([module for module in self.modules() if isinstance(module, kinds)])
        return self.walk(self.model, x, lengths, own)

    def walk(self, layer: Any, x: Any, lengths: Any, own: Iterator[Any]) -> Any:
        if isinstance(layer, rx.Residual):
            return x + self.walk(layer.layer, x, lengths, own)
        if layer.layers:
            for each in layer.layers:
                x = self.walk(each, x, lengths, own)
            return x
        if isinstance(layer, rx.Dropout):
            return x
        if isinstance(layer, rx.LastStep):
            ends = torch.full((x.shape[1],), len(x)) if lengths is None else lengths
            last = x[ends - 1, torch.arange(x.shape[1])]
            ahead = x.shape[-1] - layer.reverse_size
            return torch.cat([last[:, :ahead], x[0, :, ahead:]], -1)
        module = next(own)
        if not isinstance(module, nn.RNNBase):
            return module(x)
        if lengths is None:
            return module(x)[0]
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(module(packed)[0], total_length=len(x))
        return y


def assert_bits(actual: Any, expected: Any) -> None:
    assert list(actual) == list(expected)
    for key in expected:
        a, e = np.asarray(actual[key]), np.asarray(expected[key])
        assert (a.dtype, a.shape, a.tobytes()) == (e.dtype, e.shape, e.tobytes()), key


def names_of(seed: int, model: Any) -> tuple[str, ...] | None:
    """Return names for every other model, in another order than that of the alphabet."""
    return tuple(f"part{-i % 10}_{i}" for i, _ in enumerate(parts(model))) if seed % 2 else None


def check(seed: int, dtype: str, directory: Path) -> float:
    """Take a random module's weights and give them back; return the largest difference of outputs."""
    torch.manual_seed(seed)
    model = random_model(seed)
    names, backend = names_of(seed, model), rx.get_backend("numpy", dtype=dtype)
    theirs, again = (Net(model, names).to(getattr(torch, dtype)) for _ in range(2))
    state = theirs.state_dict()

    params = from_state_dict(model, state, backend, names)
    back = to_state_dict(model, params, names)
    assert_bits(back, state)
    again.load_state_dict({key: torch.from_numpy(array) for key, array in back.items()})
    assert_bits(again.state_dict(), state)

    files.save_file(state, directory / "theirs.safetensors")
    params = from_state_dict(model, directory / "theirs.safetensors", backend, names)
    save(directory / "ours.safetensors", model, params, names)
    loaded = files.load_file(directory / "ours.safetensors")
    assert_bits({key: loaded[key] for key in state}, state)
    assert len(loaded) == len(state)

    own = model.init(backend, seed=seed)
    over = from_state_dict(model, to_state_dict(model, own, names), backend, names)
    assert_bits(dict(tree.named_leaves(over)), dict(tree.named_leaves(own)))

    other = of_torch(theirs, takes_lengths=True)
    return max(compare(model, params, other, seed=seed, lengths=lengths) for lengths in (False, True))


@pytest.mark.parametrize("seed", range(100))
def test_a_random_model_there_and_back(seed: int, tmp_path: Path) -> None:
    dtype = ("float32", "float64")[seed // 2 % 2]
    assert check(seed, dtype, tmp_path) <= TOLERANCES[dtype]


def test_the_models_are_of_every_kind() -> None:
    models = [random_model(seed) for seed in range(100)]
    layers = [layer for model in models for layer in parts(model)]
    recurrent = [layer for layer in layers if isinstance(layer, rx.Recurrent)]
    assert {type(layer) for layer in layers} == {rx.Embedding, rx.RNN, rx.GRU, rx.LSTM, rx.Linear}
    seen = {(type(each), each.num_layers, each.bidirectional, each.bias) for each in recurrent}
    assert len(seen) == 3 * 3 * 2 * 2
    assert {bool(each.proj_size) for each in recurrent if isinstance(each, rx.LSTM)} == {True, False}
    assert any(isinstance(layer, rx.Residual) for model in models for layer in model.layers)


def test_a_module_of_bfloat16_is_widened() -> None:
    module = nn.Linear(3, 2).bfloat16()
    params = from_state_dict(rx.Linear(3, 2), module.state_dict(), "numpy")
    np.testing.assert_array_equal(params.weight, module.weight.detach().float().numpy())


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_recurrent_module_is_compared_as_it_is(batch_first: bool) -> None:
    module = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, batch_first=batch_first).double()
    layer = rx.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    params = from_state_dict(layer, module.state_dict(), rx.get_backend("numpy", dtype="float64"))
    for lengths in (False, True):
        assert compare(layer, params, of_torch(module), lengths=lengths) < 1e-12
    params[3].weight_hr[0, 0] += 0.5
    assert compare(layer, params, of_torch(module)) > 1e-3
