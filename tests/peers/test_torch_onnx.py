"""What torch.onnx.export writes, by both of its exporters, read as models that give what PyTorch gives."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.functional import sigmoid, softmax
from rnn_xp.interop import onnx as interop

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

TOLERANCE = 1e-5
EXPORTERS = {"dynamo": True, "torchscript": False}


class Net(nn.Module):
    """A recurrent module, and one of the heads that people put on it."""

    def __init__(self, rnn: nn.Module, head: str, end: str = "") -> None:
        super().__init__()
        self.rnn, self.head, self.end = rnn, head, end
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(rnn.hidden_size * (1 + rnn.bidirectional), 2)

    def forward(self, x: Any) -> Any:
        y, state = self.rnn(x)
        h = state[0] if isinstance(state, tuple) else state
        if self.head == "last":
            y = y[:, -1]
        elif self.head == "state":
            y = torch.cat([h[-2], h[-1]], 1) if self.rnn.bidirectional else h[-1]
        elif self.head == "mean":
            y = y.mean(1)
        elif self.head == "max":
            y = y.max(1).values
        y = self.fc(self.drop(y))
        return getattr(torch, self.end)(y, *([] if self.end == "sigmoid" else [-1])) if self.end else y


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.rnn = nn.Embedding(10, 4), nn.GRU(4, 5, num_layers=2, batch_first=True)
        self.fc = nn.Linear(5, 10)

    def forward(self, x: Any) -> Any:
        return self.fc(self.rnn(self.table(x))[0])


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.LSTM(3, 5, batch_first=True, bidirectional=True), nn.Linear(10, 2)

    def forward(self, x: Any, lengths: Any) -> Any:
        pack = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(pack)[0], batch_first=True)
        return self.fc(y)


class Gathered(nn.Module):
    """The last valid step, taken out of steps that were computed with the padding."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Any, lengths: Any) -> Any:
        y, _ = self.rnn(x)
        places = (lengths - 1).view(-1, 1, 1).expand(-1, 1, y.size(2))
        return self.fc(y.gather(1, places).squeeze(1))


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.LSTM(3, 5, 2, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Any, h: Any, c: Any) -> Any:
        y, (h, c) = self.rnn(x, (h, c))
        return self.fc(y), h, c


def exported(
    module: nn.Module, inputs: tuple[Any, ...], axes: tuple[dict[int, str], ...], dynamo: bool
) -> Any:
    """Return the graph of a module; `axes` names the sizes that are open."""
    module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            dims = {name: torch.export.Dim(name) for each in axes for name in each.values()}
            shapes = tuple({axis: dims[name] for axis, name in each.items()} for each in axes)
            program = torch.onnx.export(
                module, inputs, dynamo=True, dynamic_shapes=shapes or None, verbose=False
            )
            return program.model_proto
        names = [f"input_{k}" for k in range(len(inputs))]
        open_axes = dict(zip(names, axes, strict=True)) if axes else None
        buffer = io.BytesIO()
        torch.onnx.export(module, inputs, buffer, dynamo=False, input_names=names, dynamic_axes=open_axes)
    return onnx.load_from_string(buffer.getvalue())


def compare(module: nn.Module, proto: Any, *inputs: Any, lengths: list[int] | None = None) -> interop.Reading:
    """Read the graph, and compare what the model gives with what the module gives."""
    found = interop.read(proto, "numpy")
    with torch.no_grad():
        expected = module(*inputs)
    expected = (expected[0] if isinstance(expected, tuple) else expected).numpy()
    y = rx.predict(found.model, found.params, inputs[0].numpy(), layout=found.layout, lengths=lengths)
    if found.end:
        y = sigmoid(y, xp=np) if found.end == "sigmoid" else softmax(y, xp=np)
        y = np.log(y) if found.end == "log_softmax" else y
    if y.ndim == 3 and found.layout == "TNC":
        y = y.swapaxes(0, 1)
    assert y.shape == expected.shape
    if lengths is not None and y.ndim == 3:
        valid = np.arange(y.shape[1]) < np.asarray(lengths)[:, np.newaxis]
        y, expected = y[valid], expected[valid]
    np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE)
    return found


BATCH = ({0: "batch", 1: "steps"},)
HEADS = [
    ("last", "log_softmax"),
    ("state", "softmax"),
    ("mean", ""),
    ("max", "sigmoid"),
    ("steps", "softmax"),
]


def check_head(kind: str, both: bool, head: str, end: str, dynamo: bool) -> None:
    torch.manual_seed(0)
    rnn = getattr(nn, kind)(3, 5, num_layers=2, batch_first=True, bidirectional=both)
    module = Net(rnn, head, end)
    proto = exported(module, (torch.randn(2, 6, 3),), BATCH, dynamo)
    found = compare(module, proto, torch.randn(3, 9, 3))
    assert (found.end or "") == end
    assert found.model.layers[0].num_layers == 2
    assert found.model.layers[0].bidirectional == both


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("both", [False, True])
def test_heads_by_torchscript(kind: str, both: bool) -> None:
    for head, end in HEADS:
        check_head(kind, both, head, end, dynamo=False)


def test_heads_by_dynamo() -> None:
    """Some of them: an export takes this exporter seconds. It writes nn.RNN out, step by step."""
    check_head("LSTM", True, "state", "softmax", dynamo=True)
    check_head("GRU", False, "max", "sigmoid", dynamo=True)
    check_head("GRU", True, "last", "log_softmax", dynamo=True)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_parameters_are_those_of_the_module(exporter: str) -> None:
    """To the bit: they are those that `rx.interop.torch` reads from the state dict."""
    for rnn in (nn.LSTM(3, 5, 2, bidirectional=True), nn.GRU(3, 5, 2))[: 1 if EXPORTERS[exporter] else 2]:
        proto = exported(rnn, (torch.randn(4, 2, 3),), ({1: "batch"},), EXPORTERS[exporter])
        model, (params,) = interop.load(proto, "numpy")
        state = {name: value.numpy() for name, value in rnn.state_dict().items()}
        expected = rx.interop.torch.from_state_dict(model.layers[0], state, "numpy")
        for own, other in zip(params, expected, strict=True):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                np.testing.assert_array_equal(getattr(own, name), getattr(other, name))


def test_sizes_that_are_fixed() -> None:
    for N, T, dynamo in ((2, 6, False), (1, 6, False), (1, 1, False), (1, 6, True)):
        module, x = Net(nn.GRU(3, 5, batch_first=True), "last"), torch.randn(N, T, 3)
        compare(module, exported(module, (x,), (), dynamo), x)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_tokens_states_and_lengths(exporter: str) -> None:
    dynamo = EXPORTERS[exporter]
    language, tokens = Language(), torch.randint(0, 10, (2, 6))
    compare(language, exported(language, (tokens,), BATCH, dynamo), tokens)
    stateful = Stateful()
    inputs = torch.randn(2, 6, 3), torch.zeros(2, 2, 5), torch.zeros(2, 2, 5)
    axes = (*BATCH, {1: "batch"}, {1: "batch"})
    compare(stateful, exported(stateful, inputs, axes, dynamo), *inputs)
    x, lengths, axes = torch.randn(4, 7, 3), torch.tensor([3, 7, 1, 4]), (*BATCH, {0: "batch"})
    gathered = Gathered()
    compare(gathered, exported(gathered, (x, lengths), axes, dynamo), x, lengths, lengths=lengths.tolist())
    if not dynamo:  # torch.export has no packed sequences
        packed = Packed()
        compare(packed, exported(packed, (x, lengths), axes, dynamo), x, lengths, lengths=lengths.tolist())


def test_a_loop_that_was_written_out() -> None:
    proto = exported(nn.RNN(3, 5), (torch.randn(4, 2, 3),), (), True)
    with pytest.raises(
        ValueError, match=r"no RNN, GRU or LSTM: torch\.onnx\.export keeps an nn\.RNN with dynamo"
    ):
        interop.load(proto, "numpy")
