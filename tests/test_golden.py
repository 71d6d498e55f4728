"""The files of every release load, and their models answer as they did; other means check the answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from golden.make import EXTRA, FOLDER, models
from support import ACROSS, TORCH

import rnn_xp as rx
from rnn_xp.safetensors import read

FILES = sorted(FOLDER.glob("*/*.safetensors"))
NOW = [path for path in FILES if path.parent.name == rx.__version__]
NAMES = {path: f"{path.parent.name}-{path.stem}" for path in FILES}


def stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return what goes into a model, and what comes out."""
    with np.load(path.with_suffix(".npz")) as arrays:
        return arrays["x"], arrays["y"]


def test_there_are_files_of_this_version():
    assert {path.stem for path in NOW} == set(models())
    assert sum(path.stat().st_size for path in FOLDER.glob("*/*")) < 100_000


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_a_file_loads_and_its_model_answers_as_ever(path):
    model, params = rx.load(path, rx.get_backend("numpy", dtype="float64"))
    assert model == models()[path.stem][0]
    assert rx.read_extra(path) == (EXTRA if path.stem == "text" else {})
    x, y = stored(path)
    np.testing.assert_allclose(model.forward(params, x)[0], y, rtol=ACROSS, atol=ACROSS)


@pytest.mark.parametrize("path", NOW, ids=NAMES.get)
def test_a_file_of_this_version_is_saved_with_the_same_bytes(path, tmp_path, monkeypatch):
    model, params = rx.load(path, "numpy")
    versions = json.loads(read(path.read_bytes())[1]["rnn_xp"])["versions"]
    monkeypatch.setattr(np, "__version__", versions["numpy"])
    rx.save(tmp_path / "again", model, params, rx.read_extra(path))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


# the answers, by a loop that says what the formulas are


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn_step(p, x, h, c):
    return np.maximum(p["weight_ih"] @ x + p["bias_ih"] + p["weight_hh"] @ h + p["bias_hh"], 0), c


def lstm_step(p, x, h, c):
    i, f, g, o = np.split(p["weight_ih"] @ x + p["bias_ih"] + p["weight_hh"] @ h + p["bias_hh"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(before):
    def step(p, x, h, c):
        x_r, x_z, x_n = np.split(p["weight_ih"] @ x + p["bias_ih"], 3)
        W_r, W_z, W_n = np.split(p["weight_hh"], 3)
        b_r, b_z, b_n = np.split(p["bias_hh"], 3)
        r, z = sigmoid(x_r + W_r @ h + b_r), sigmoid(x_z + W_z @ h + b_z)
        n = np.tanh(x_n + (W_n @ (r * h) + b_n if before else r * (W_n @ h + b_n)))
        return (1 - z) * n + z * h, c

    return step


def run(step, p, xs):
    """Return h after every step."""
    h = c = np.zeros(p["weight_hh"].shape[1])
    hs = []
    for x in xs:
        h, c = step(p, x, h, c)
        hs.append(h)
    return np.array(hs)


def reference(name, tensors, xs):
    """Return what the model of that name answers to one sequence."""
    tensors = {key: tensor.astype("f8") for key, tensor in tensors.items()}

    def of(prefix):
        return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}

    def linear(number, hs):
        return hs @ tensors[f"{number}.weight"].T + tensors[f"{number}.bias"]

    match name:
        case "lstm":
            ys = xs
            for layer in (0, 1):
                fore = run(lstm_step, of(f"0.{2 * layer}."), ys)
                back = run(lstm_step, of(f"0.{2 * layer + 1}."), ys[::-1])[::-1]
                ys = np.hstack([fore, back])
            return linear(2, np.hstack([fore[-1], back[0]]))
        case "gru":
            return run(gru_step(before=True), of("0.0."), xs)
        case "rnn":
            return linear(1, run(rnn_step, of("0.0."), xs))
        case "text":
            return linear(2, run(lstm_step, of("1.0."), tensors["0.weight"][xs]))
        case "float64":
            return linear(
                1, run(gru_step(before=False), of("0.1."), run(gru_step(before=False), of("0.0."), xs))
            )


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_the_answers_are_those_of_the_formulas(path):
    tensors, _ = read(path.read_bytes())
    x, y = stored(path)
    for b in range(x.shape[1]):
        expected = reference(path.stem, tensors, x[:, b])
        np.testing.assert_allclose(y[..., b, :], expected, rtol=ACROSS, atol=ACROSS)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "gru"], ids=NAMES.get)
def test_the_answers_are_those_of_pytorch(path):
    torch = pytest.importorskip("torch")
    tensors, _ = read(path.read_bytes())
    tensors = {name: torch.tensor(tensor, dtype=torch.float64) for name, tensor in tensors.items()}
    layer = {
        "lstm": torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True),
        "rnn": torch.nn.RNN(2, 3, nonlinearity="relu"),
        "text": torch.nn.LSTM(3, 4),
        "float64": torch.nn.GRU(2, 3, num_layers=2),
    }[path.stem].double()
    x, y = (torch.tensor(array) for array in stored(path))
    place = "1" if path.stem == "text" else "0"
    ways = 2 if path.stem == "lstm" else 1
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            kind, _, number = name.removesuffix("_reverse").partition("_l")
            weight.copy_(tensors[f"{place}.{int(number) * ways + name.endswith('_reverse')}.{kind}"])
        got = layer(tensors["0.weight"][x] if path.stem == "text" else x)[0]
        if path.stem == "lstm":
            got = torch.cat([got[-1, :, :4], got[0, :, 4:]], dim=-1)
        last = max(name.partition(".")[0] for name in tensors)
        got = got @ tensors[f"{last}.weight"].T + tensors[f"{last}.bias"]
    np.testing.assert_allclose(got.numpy(), y.numpy(), rtol=TORCH, atol=TORCH)
