"""The code that takes an exported file in its library: shown to the user, and run to be checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnn_xp import Sequential
from rnn_xp.cli.runs import About
from rnn_xp.layers import (
    Dropout,
    Embedding,
    LastStep,
    Layer,
    Linear,
    MaxPool,
    MeanPool,
    Recurrent,
    Residual,
)
from rnn_xp.model import LOSSES

ONNX = """
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({name!r})


def predict(X, lengths):
    feed = {{"X": np.asarray(X, np.{kind}), "lengths": np.asarray(lengths, np.int64)}}
    {states}return session.run(["y"], feed)[0]
"""

STATES = """for each in session.get_inputs()[2:]:
        sizes = [size if isinstance(size, int) else len(lengths) for size in each.shape]
        feed[each.name] = np.zeros(sizes, np.float32)
    """

TORCH = """
import numpy as np
import torch
from safetensors.torch import load_file


class Model(torch.nn.Sequential):
    def __init__(self):
        super().__init__(
{modules}
        )

    def forward(self, x):  # (N, T, ...), sequences of one length
{forward}
        return x


model = Model().to(torch.{dtype}).eval()
model.load_state_dict(load_file({name!r}))
{constants}

def predict(X):
    with torch.no_grad():
        y = model(torch.as_tensor({scaled}, dtype=torch.{kind}))
        return {answer}.numpy()
"""

KERAS = """
import keras
import numpy as np

keras.config.set_floatx({dtype!r})
x = inputs = keras.Input({shape}, dtype={kind!r})
{layers}
model = keras.Model(inputs, x)  # takes (N, T, ...), sequences of one length
model.load_weights({name!r})
{constants}

def predict(X):
    y = model(keras.ops.convert_to_tensor(np.asarray({scaled}, dtype={kind!r})))
    return keras.ops.convert_to_numpy({answer})
"""


def onnx(model: Sequential, name: str, dtype: str, states: bool) -> str:
    """Return the code for ONNX Runtime; scaling and probabilities are in the graph."""
    kind = "int64" if model.intake.kind == "tokens" else dtype
    return ONNX.format(name=name, kind=kind, states=STATES if states else "")


def torch(model: Sequential, about: About, name: str) -> str:
    """Return the code for PyTorch."""
    modules = [f"            {_torch_module(layer)},  # {i}" for i, layer in enumerate(model.layers)]
    forward = [f"        {line}" for line in _torch_lines(model)]
    kind = "int64" if model.intake.kind == "tokens" else about.dtype
    return TORCH.format(
        name=name,
        modules="\n".join(modules),
        forward="\n".join(forward),
        kind=kind,
        dtype=about.dtype,
        answer={"softmax": "y.softmax(-1)", "sigmoid": "y.sigmoid()", None: "y"}[_activation(about)],
        **_constants(about),
    )


def keras(model: Sequential, about: About, name: str) -> str:
    """Return the code for Keras."""
    tokens = model.intake.kind == "tokens"
    activation = _activation(about)
    return KERAS.format(
        name=name,
        dtype=about.dtype,
        shape="(None,)" if tokens else f"(None, {model.intake.size})",
        kind="int32" if tokens else about.dtype,
        layers="\n".join(_keras_lines(model)),
        answer="y" if activation is None else f"keras.ops.{activation}(y)",
        **_constants(about),
    )


def _activation(about: About) -> str | None:
    """Return the name of what makes probabilities of outputs."""
    activation = LOSSES[about.loss].activation
    return None if activation is None else activation.__name__


def _constants(about: About) -> dict[str, str]:
    """Return the numbers and names that belong to the weights, and how X is scaled."""
    lines, scaled = [], "X"
    if about.scaling is not None:
        lines += [
            f"MEAN = np.array({about.scaling.mean.tolist()})",
            f"STD = np.array({about.scaling.std.tolist()})",
        ]
        scaled = "(np.asarray(X) - MEAN) / STD"
    if about.vocabulary is not None:
        lines.append(f"CHARACTERS = {''.join(about.vocabulary.characters)!r}  # of tokens, and of outputs")
    elif about.classes is not None:
        lines.append(f"CLASSES = {list(about.classes)!r}")
    return {"constants": "".join(f"{line}\n" for line in lines), "scaled": scaled}


def _torch_module(layer: Layer) -> str:
    """Write the call that builds PyTorch's module."""
    match layer:
        case Residual(layer=inner):
            return _torch_module(inner)
        case Linear(n, m, bias):
            return f"torch.nn.Linear({n}, {m}" + (")" if bias else ", bias=False)")
        case Embedding(n, m):
            return f"torch.nn.Embedding({n}, {m})"
        case Recurrent():
            own = {name: getattr(layer, name, None) for name in ("num_layers", "bidirectional", "proj_size")}
            usual = {"num_layers": 1, "bidirectional": False, "proj_size": 0}
            options = {name: value for name, value in own.items() if value != usual[name]}
            options |= {} if layer.bias else {"bias": False}
            nonlinearity = getattr(layer, "nonlinearity", "tanh")
            options |= {} if nonlinearity == "tanh" else {"nonlinearity": nonlinearity}
            more = "".join(f", {name}={value!r}" for name, value in options.items())
            size = f"{layer.input_size}, {layer.hidden_size}"
            return f"torch.nn.{type(layer).__name__}({size}{more}, batch_first=True)"
    return "torch.nn.Identity()"


def _torch_lines(model: Sequential) -> Iterator[str]:
    """Yield what happens to x (N, T, ...), layer by layer."""
    for i, layer in enumerate(model.layers):
        match layer:
            case Residual(layer=Recurrent()):
                yield f"x = x + self[{i}](x)[0]"
            case Recurrent():
                yield f"x = self[{i}](x)[0]"
            case Linear() | Embedding():
                yield f"x = self[{i}](x)"
            case LastStep(0):
                yield "x = x[:, -1]"
            case LastStep(back):
                yield f"x = torch.cat([x[:, -1, :-{back}], x[:, 0, -{back}:]], -1)"
            case MeanPool():
                yield "x = x.mean(1)"
            case MaxPool():
                yield "x = x.amax(1)"
            case _:
                _check_known(layer)


def _keras_lines(model: Sequential) -> Iterator[str]:
    """Yield what happens to x (N, T, ...), layer by layer; every depth is a layer."""
    for layer in model.layers:
        match layer:
            case Residual(layer=Recurrent() as inner):
                *depths, last = _keras_layers(inner)
                yield "around = x"
                yield from (f"x = {each}(x)" for each in depths)
                yield f"x = keras.layers.Add()([around, {last}(x)])"
            case Recurrent():
                yield from (f"x = {each}(x)" for each in _keras_layers(layer))
            case Linear(_, size, bias):
                yield f"x = keras.layers.Dense({size}{'' if bias else ', use_bias=False'})(x)"
            case Embedding(count, size):
                yield f"x = keras.layers.Embedding({count}, {size})(x)"
            case LastStep(0):
                yield "x = x[:, -1]"
            case LastStep(back):
                yield f"x = keras.ops.concatenate([x[:, -1, :-{back}], x[:, 0, -{back}:]], -1)"
            case MeanPool():
                yield "x = keras.ops.mean(x, 1)"
            case MaxPool():
                yield "x = keras.ops.max(x, 1)"
            case _:
                _check_known(layer)


def _keras_layers(layer: Any) -> list[str]:
    """Write the calls that build Keras' layers."""
    name = {"RNN": "SimpleRNN"}.get(type(layer).__name__, type(layer).__name__)
    options = ", return_sequences=True" + ("" if layer.bias else ", use_bias=False")
    if name == "SimpleRNN" and layer.nonlinearity != "tanh":
        options += f", activation={layer.nonlinearity!r}"
    if name == "GRU" and layer.reset == "before":
        options += ", reset_after=False"
    own = f"keras.layers.{name}({layer.hidden_size}{options})"
    return [f"keras.layers.Bidirectional({own})" if layer.bidirectional else own] * layer.num_layers


def _check_known(layer: Layer) -> None:
    """Raise where a layer does something and there is no code for it."""
    if not isinstance(layer, Dropout):
        msg = f"there is no code for {layer!r}."
        raise ValueError(msg)
