"""Adapters: what they hand over is what the library itself answers, and the suite runs on it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import UGRNN, normal, open_backend

import rnn_xp as rx
from rnn_xp.interop.keras_adapter import KerasAdapter
from rnn_xp.interop.onnxruntime_adapter import OnnxRuntimeAdapter
from rnn_xp.interop.torch_adapter import ModuleAdapter, RecurrentAdapter
from rnn_xp.verify.adapters.choose import adapt
from rnn_xp.verify.adapters.function import FunctionAdapter
from rnn_xp.verify.adapters.layer import LayerAdapter
from rnn_xp.verify.adapters.protocol import Adapter
from rnn_xp.verify.report import SKIPPED
from rnn_xp.verify.suite.run import properties

LENGTHS = np.array([4, 7, 1, 5])


def x_of(*shape: int, dtype: str = "float64") -> Any:
    return np.random.RandomState(0).standard_normal(shape).astype(dtype)


def faults(report: Any) -> set[str]:
    return {finding.check for finding in report.failures}


def skipped(report: Any) -> set[tuple[str, str]]:
    return {(finding.check, finding.subject) for finding in report if finding.outcome == SKIPPED}


# The choice.


def test_an_adapter_is_taken_as_it_is() -> None:
    adapter = FunctionAdapter(np.sin, 3)
    assert isinstance(adapter, Adapter)
    assert adapt(adapter) is adapter


def test_a_layer_and_a_callable_have_adapters() -> None:
    assert isinstance(adapt(rx.GRU(3, 4)), LayerAdapter)
    assert isinstance(adapt(np.sin, input_size=3), FunctionAdapter)


def test_options_beside_an_adapter_raise() -> None:
    with pytest.raises(
        TypeError, match="`model` must be no adapter where options are given; got dtype beside"
    ):
        adapt(FunctionAdapter(np.sin, 3), dtype="float64")


def test_what_is_no_model_raises() -> None:
    with pytest.raises(
        TypeError, match="`model` must be a layer, a model, a session, a callable or an adapter; got list"
    ):
        adapt([1.0])


# Plain callables.


@pytest.mark.parametrize(("layout", "axes"), [("TNC", "tbd"), ("NTC", "btd"), ("NCT", "bdt")])
def test_a_callable_sees_its_own_layout(layout: str, axes: str) -> None:
    x, seen = x_of(7, 4, 3), []

    def function(own: Any, lengths: Any) -> Any:
        seen.append(lengths)
        np.testing.assert_array_equal(own, np.einsum(f"tbd->{axes}", x))
        return 2.0 * own

    adapter = FunctionAdapter(function, 3, layout=layout, takes_lengths=True)
    y, state_T = adapter.forward(x, LENGTHS)
    np.testing.assert_array_equal(y, 2.0 * x)
    assert state_T is None
    assert seen[0] is LENGTHS


@pytest.mark.parametrize(("layout", "axes"), [("TNC", "tbd"), ("NTC", "btd"), ("NCT", "bdt")])
def test_a_callables_gradient_does_too(layout: str, axes: str) -> None:
    x, d_y = x_of(7, 4, 3), np.arange(140.0).reshape(7, 4, 5)

    def gradient(own: Any, own_d_y: Any) -> Any:
        np.testing.assert_array_equal(own_d_y, np.einsum(f"tbd->{axes}", d_y))
        return 3.0 * own

    adapter = FunctionAdapter(np.sin, 3, layout=layout, input_gradient=gradient)
    assert adapter.input_gradient is not None
    np.testing.assert_array_equal(adapter.input_gradient(x, d_y), 3.0 * x)


def test_one_number_a_sample_is_a_vector_of_one() -> None:
    adapter = FunctionAdapter(lambda x: x.sum(axis=(0, 2)), 3)
    assert adapter.forward(x_of(7, 4, 3))[0].shape == (4, 1)


def test_a_callable_with_a_gradient_is_checked_whole() -> None:
    def function(x: Any, lengths: Any = None) -> Any:
        return np.cumsum(np.tanh(x), axis=0)

    def gradient(x: Any, d_y: Any, lengths: Any = None) -> Any:
        d = np.cumsum(d_y[::-1], axis=0)[::-1] / np.cosh(x) ** 2
        ends = np.full(x.shape[1], len(x)) if lengths is None else lengths
        return np.where((np.arange(len(x))[:, None] < ends)[:, :, None], d, 0.0)

    options = {"input_size": 3, "dtype": "float64", "takes_lengths": True}
    report = properties(function, input_gradient=gradient, **options).require()
    assert not any(check.startswith(("gradient", "directional")) for check, _ in skipped(report))
    report = properties(function, input_gradient=lambda *args: 1.001 * gradient(*args), **options)
    assert faults(report) == {"directional derivative"}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, TypeError, "`model` must tell the features of x; got None. Give them: input_size=3, say"),
        ({"input_size": 0}, ValueError, "`input_size` must be an integer of at least 1; got 0"),
        ({"input_size": 3, "dtype": "int8"}, ValueError, "`dtype` must be one of 'float16', .*; got 'int8'"),
        ({"input_size": 3, "layout": "CNT"}, ValueError, "`layout` must be one of 'TNC', 'NTC', 'NCT'; got"),
        ({"input_size": 3, "reverse": -1}, ValueError, "`reverse` must be an integer of at least 0; got -1"),
        ({"input_size": 3, "takes_lengths": 1}, TypeError, "`takes_lengths` must be True or False; got 1"),
    ],
)
def test_wrong_arguments_of_a_callable_raise(arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        FunctionAdapter(np.sin, **arguments)


# This package's layers.


@pytest.mark.parametrize(
    ("layer", "reverse"),
    [
        (rx.GRU(3, 4, 2), 0),
        (rx.GRU(3, 4, 2, reverse=True), 4),
        (rx.LSTM(3, 4, bidirectional=True), 4),
        (rx.LSTM(3, 4, bidirectional=True, proj_size=2), 2),
        (rx.LSTM(3, 4, 2, bidirectional=True), None),
        (rx.Sequential(rx.Linear(3, 2), rx.RNN(2, 4, bidirectional=True), rx.Dropout(0.1)), 4),
        (rx.Sequential(rx.RNN(3, 4, bidirectional=True), rx.Linear(8, 2)), None),
        (rx.Sequential(rx.RNN(3, 4, reverse=True), rx.Linear(4, 2)), 2),
        (rx.Sequential(rx.RNN(3, 4, reverse=True), rx.RNN(4, 2)), None),
        (rx.Sequential(rx.RNN(3, 4, bidirectional=True), rx.RNN(8, 2, bidirectional=True)), None),
        (rx.Sequential(rx.Linear(3, 2), rx.Dropout(0.1)), 0),
    ],
    ids=repr,
)
def test_which_features_run_against_time(layer: Any, reverse: int | None) -> None:
    assert LayerAdapter(layer).reverse == reverse


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layers_answers_are_its_own(dtype: str) -> None:
    backend = open_backend("numpy", dtype)
    model = rx.Sequential(rx.LSTM(3, 4, bidirectional=True), rx.GRU(8, 2), rx.Linear(2, 5))
    params = normal(backend, model.init(backend), 1)
    adapter = LayerAdapter(model, params)
    assert (adapter.name, adapter.input_size, adapter.dtype) == (repr(model), 3, dtype)
    x = x_of(7, 4, 3, dtype=dtype)
    state_0 = tuple(x_of(*shape, dtype=dtype) for shape in ((2, 4, 4), (2, 4, 4), (1, 4, 2)))
    nested = (rx.layers.Recurrent, (state_0[0], state_0[1]), (state_0[2],), ())[1:]
    expected, ends, tape = model.forward(params, x, nested, LENGTHS.tolist())
    y, state_T = adapter.forward(x, LENGTHS, state_0)
    np.testing.assert_array_equal(y, expected)
    for part, end in zip(state_T, (*ends[0], *ends[1]), strict=True):
        np.testing.assert_array_equal(part, end)
    *_, tape = model.forward(params, x, None, LENGTHS.tolist())
    d_y = x_of(7, 4, 5, dtype=dtype)
    np.testing.assert_array_equal(
        adapter.input_gradient(x, d_y, LENGTHS), model.backward(params, tape, d_y)[1]
    )


def test_a_layer_runs_on_any_backend(backend: Any) -> None:
    options = {} if backend.name == "torch" else {"params": rx.GRU(3, 4).init(backend)}
    adapter = LayerAdapter(rx.GRU(3, 4), backend=backend, dtype="float64", **options)
    expected = LayerAdapter(rx.GRU(3, 4)).forward(x_of(7, 4, 3), LENGTHS)
    y, state_T = adapter.forward(x_of(7, 4, 3), LENGTHS)
    for ours, theirs in zip((y, *state_T), (expected[0], *expected[1]), strict=True):
        assert type(ours) is np.ndarray
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_twin_is_not_the_layer_itself() -> None:
    """Else a reversal would prove nothing: on sequences as they are, it gives something else."""
    adapter = LayerAdapter(rx.GRU(3, 4, bidirectional=True))
    assert adapter.flipped is not None
    x = x_of(7, 4, 3)
    assert abs(adapter.flipped().forward(x)[0] - adapter.forward(x)[0]).max() > 0.1


def test_a_cell_of_ones_own_has_a_twin_too() -> None:
    report = properties(rx.Recurrent(UGRNN, 3, 4, 2)).require()
    assert ("reversal", "y, state_T") not in skipped(report)


def test_a_layer_computes_in_the_dtype_of_its_backend() -> None:
    for dtype in ("float32", "float64"):
        backend = open_backend("numpy", dtype)
        assert LayerAdapter(rx.GRU(3, 4), backend=backend).dtype == dtype
        assert LayerAdapter(rx.GRU(3, 4), backend="numpy", dtype=dtype).dtype == dtype
        assert LayerAdapter(rx.GRU(3, 4), backend=backend, dtype=dtype).dtype == dtype
    assert LayerAdapter(rx.GRU(3, 4)).dtype == "float64"
    properties(rx.GRU(3, 4), backend=open_backend("numpy", "float32")).require()
    with pytest.raises(ValueError, match="`dtype` must be 'float64', that of the Backend, or None; got 'flo"):
        LayerAdapter(rx.GRU(3, 4), backend=backend, dtype="float32")


def test_a_layer_knows_its_own_input_size() -> None:
    words = (
        "the options of GRU must be of params, backend, dtype, name; got input_size. It tells the features"
    )
    with pytest.raises(TypeError, match=words):
        properties(rx.GRU(2, 8), input_size=2)
    with pytest.raises(
        TypeError, match=r"the options of ufunc must be of input_size, .*; got colour, size.$"
    ):
        properties(np.sin, colour=1, size=3)


def test_params_of_another_layer_raise() -> None:
    with pytest.raises(ValueError, match="`params` must be those of GRU"):
        LayerAdapter(rx.GRU(3, 4), rx.GRU(3, 5).init(open_backend("numpy")))


@pytest.mark.parametrize(
    "layer", [rx.Embedding(5, 3), rx.Sequential(rx.Embedding(5, 3), rx.GRU(3, 4)), rx.MeanPool()]
)
def test_a_layer_that_takes_no_known_features_raises(layer: Any) -> None:
    with pytest.raises(ValueError, match="`model` must take steps of a known number of features; got"):
        LayerAdapter(layer)


# PyTorch.


@pytest.fixture
def torch() -> Any:
    module = pytest.importorskip("torch", reason="PyTorch is not installed")
    module.manual_seed(0)
    return module


PADDING_OF_NAN = {("gradient padding", f"padding of {value}") for value in ("inf", "-inf", "nan")}
REFUSED = {("zero length", subject) for subject in ("one of length 0", "all of length 0", "T = 0")}
TORCH_MODULES = {
    "RNN": ({}, {("reversal", "y, state_T")}),
    "GRU": ({"num_layers": 2, "batch_first": True}, {("reversal", "y, state_T")}),
    "LSTM": ({"bidirectional": True, "batch_first": True}, {("chunks", "y, state_T")}),
}
MIXED = {("chunks", "y, state_T"), ("causality", "y"), ("gradient causality", "d_x")}


@pytest.mark.parametrize("kind", TORCH_MODULES)
def test_torchs_layers_pass(kind: str, torch: Any) -> None:
    options, not_applicable = TORCH_MODULES[kind]
    report = properties(getattr(torch.nn, kind)(3, 4, **options)).require()
    assert skipped(report) == REFUSED | not_applicable


def test_torchs_stacked_projected_layers_pass(torch: Any) -> None:
    module = torch.nn.LSTM(3, 4, num_layers=3, bidirectional=True, proj_size=2, dtype=torch.float64)
    report = properties(module).require()
    assert skipped(report) == REFUSED | MIXED
    assert {finding.limit for finding in report if finding.unit == "relative"} >= {1000 * 2.0**-52}


@pytest.mark.parametrize("batch_first", [False, True])
def test_torchs_answers_are_its_own(batch_first: bool, torch: Any) -> None:
    module = torch.nn.LSTM(3, 4, bidirectional=True, batch_first=batch_first)
    adapter = adapt(module)
    assert isinstance(adapter, RecurrentAdapter)
    assert adapter.name == f"torch.nn.{module!r}"
    x, states = x_of(7, 4, 3, dtype="float32"), tuple(x_of(2, 4, 4, dtype="float32") for _ in "hc")
    y, (h, c) = adapter.forward(x, LENGTHS, states)
    for b, end in enumerate(LENGTHS):  # each sample by itself, without padding
        one = torch.tensor(x[:end, b])
        own_y, (own_h, own_c) = module(one, tuple(torch.tensor(state[:, b]) for state in states))
        for ours, theirs in ((y[:end, b], own_y), (h[:, b], own_h), (c[:, b], own_c)):
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-6)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_torchs_gradient_is_its_own(torch: Any) -> None:
    module = torch.nn.GRU(3, 4, dtype=torch.float64)
    x, d_y = x_of(7, 4, 3), x_of(7, 4, 4)
    tensor = torch.tensor(x, requires_grad=True)
    (module(tensor)[0] * torch.tensor(d_y)).sum().backward()
    module.zero_grad()
    np.testing.assert_allclose(adapt(module).input_gradient(x, d_y), tensor.grad.numpy(), rtol=0, atol=1e-14)
    assert all(parameter.grad is None for parameter in module.parameters())


def classifier(torch: Any, batch_first: bool) -> Any:
    """Return a module on (B, T, D) that takes the last step of a GRU."""

    class Classifier(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(3, 4, batch_first=batch_first)
            self.drop, self.head = torch.nn.Dropout(0.5), torch.nn.Linear(4, 2)

        def forward(self, x: Any, lengths: Any = None) -> Any:
            y, _ = self.gru(x)
            last = y[:, -1] if lengths is None else y[torch.arange(len(x)), lengths - 1]
            return self.head(self.drop(last))

    return Classifier()


def test_a_module_of_ones_own_passes(torch: Any) -> None:
    module = classifier(torch, batch_first=True).eval()
    properties(module, input_size=3, layout="NTC").require()
    report = properties(module, input_size=3, layout="NTC", takes_lengths=True)
    assert report.title == "properties of Classifier"
    # right going forward; going back, the steps past the last one give 0 * NaN
    assert {(finding.check, finding.subject) for finding in report.failures} == PADDING_OF_NAN


def test_a_module_that_reads_the_batch_as_time_is_told_so(torch: Any) -> None:
    module = classifier(torch, batch_first=False).eval()
    report = properties(module, input_size=3, layout="NTC")
    assert faults(report) >= {
        "batch independence",
        "batch of one",
        "permutation",
        "gradient batch independence",
    }
    assert "batch_first" in report.failures[0].detail


def test_a_module_in_training_is_told_of_its_dropout_and_left_in_training(torch: Any) -> None:
    module = classifier(torch, batch_first=True).train()
    report = properties(module, input_size=3, layout="NTC")
    assert faults(report) == {"determinism"}
    assert module.training
    assert module.drop.training


def test_a_module_per_step_whose_first_item_is_y_passes(torch: Any) -> None:
    class Wrapped(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(3, 4)

        def forward(self, x: Any) -> Any:
            return self.gru(x)

    adapter = adapt(Wrapped(), input_size=3, name="wrapped")
    assert isinstance(adapter, ModuleAdapter)
    assert properties(adapter).require().title == "properties of wrapped"


def test_a_module_without_parameters_is_float32(torch: Any) -> None:
    assert adapt(torch.nn.Tanh(), input_size=3).dtype == "float32"
    assert faults(properties(torch.nn.Tanh(), input_size=3)) == {"memory", "gradient causality"}


def test_a_module_needs_an_input_size(torch: Any) -> None:
    with pytest.raises(
        TypeError, match=r"`model` must tell the features of x; got None\. Give them: input_size="
    ):
        properties(torch.nn.Tanh())


def test_a_torch_layer_knows_its_own_input_size(torch: Any) -> None:
    words = "the options of GRU must be of name; got input_size. It tells the features of x itself."
    with pytest.raises(TypeError, match=words):
        properties(torch.nn.GRU(3, 4), input_size=3)


@pytest.mark.parametrize("make", [lambda torch: torch.nn.GRU(3, 4), lambda torch: torch.nn.Linear(3, 4)])
def test_what_numpy_has_no_numbers_for_raises(make: Any, torch: Any) -> None:
    module = make(torch).to(torch.bfloat16)
    options = {} if isinstance(module, torch.nn.GRU) else {"input_size": 3}
    words = "must compute in one of float16, float32, float64; got bfloat16. Check a copy of it: copy"
    with pytest.raises(TypeError, match=words):
        properties(module, **options)


# ONNX Runtime.

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def session(op: str, direction: str, states: Any = None, y: str = "Y", symbolic: bool = False) -> Any:
    """Return a session of one operator with drawn weights."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, dtypes = onnx.helper, onnx.TensorProto
    directions, gates = 2 if direction == "bidirectional" else 1, GATES[op]
    if states is None:
        states = ["h", "c"] if op == "LSTM" else ["h"]
    random = np.random.RandomState(0)
    weights = [
        helper.make_tensor(name, dtypes.FLOAT, shape, 0.5 * random.standard_normal(shape).ravel())
        for name, shape in (("W", (directions, gates * 4, 3)), ("R", (directions, gates * 4, 4)))
    ]
    starts, ends = [f"initial_{state}" for state in states], [f"Y_{state}" for state in states]
    node = helper.make_node(
        op, ["X", "W", "R", "", "sequence_lens", *starts], [y, *ends], hidden_size=4, direction=direction
    )
    sizes = ("D", "B", "H") if symbolic else (directions, "B", 4)
    inputs = [
        helper.make_tensor_value_info("X", dtypes.FLOAT, ("T", "B", 3)),
        helper.make_tensor_value_info("sequence_lens", dtypes.INT32, ("B",)),
        *[helper.make_tensor_value_info(start, dtypes.FLOAT, sizes) for start in starts],
    ]
    outputs = [helper.make_tensor_value_info(name, dtypes.FLOAT, None) for name in (y, *ends)]
    graph = helper.make_graph([node], "graph", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("direction", ["forward", "bidirectional", "reverse"])
@pytest.mark.parametrize("op", GATES)
def test_onnx_runtime_passes_but_for_lengths_of_0(op: str, direction: str) -> None:
    """It gives a state of 0, not the initial one; ONNX says nothing of it."""
    options = {"reverse": 4} if direction == "reverse" else {}
    report = properties(session(op, direction), **options)
    assert {(finding.check, finding.subject) for finding in report.failures} == {
        ("zero length", "one of length 0, its own"),
        ("zero length", "all of length 0, its own"),
        ("zero length", "T = 0, its own"),
    }
    assert not any("raises" in finding.detail for finding in report)


def test_onnx_runtimes_answers_are_its_own() -> None:
    own = session("GRU", "bidirectional")
    x, h = x_of(7, 4, 3, dtype="float32"), x_of(2, 4, 4, dtype="float32")
    Y, Y_h = own.run(None, {"X": x, "sequence_lens": LENGTHS.astype(np.int32), "initial_h": h})
    adapter = adapt(own)
    assert isinstance(adapter, OnnxRuntimeAdapter)
    assert (adapter.reverse, adapter.dtype, adapter.input_size) == (4, "float32", 3)
    y, state_T = adapter.forward(x, LENGTHS, (h,))
    np.testing.assert_array_equal(y[:, :, :4], Y[:, 0])
    np.testing.assert_array_equal(y[:, :, 4:], Y[:, 1])
    np.testing.assert_array_equal(state_T[0], Y_h)


def test_onnx_names_can_be_others() -> None:
    own = session("RNN", "forward", y="hidden")
    with pytest.raises(
        ValueError, match="`names` must say what the graph calls Y; it has X, sequence_lens, "
    ):
        adapt(own)
    adapter = adapt(own, names={"Y": "hidden"})
    assert adapter.forward(x_of(7, 4, 3, dtype="float32"))[0].shape == (7, 4, 4)


def test_a_graph_without_states_takes_none() -> None:
    adapter = adapt(session("LSTM", "forward", states=[]))
    assert (adapter.takes_lengths, adapter.takes_state) == (True, False)
    assert adapter.forward(x_of(7, 4, 3, dtype="float32"))[1] is None


def test_a_state_of_unknown_size_raises() -> None:
    adapter = adapt(session("RNN", "forward", symbolic=True))
    with pytest.raises(
        ValueError, match="the graph must give initial_h a number of directions and a size; got 'D'"
    ):
        adapter.forward(x_of(7, 4, 3, dtype="float32"))


def test_an_unknown_input_size_raises() -> None:
    def node(name: str, *shape: Any) -> Any:
        return SimpleNamespace(name=name, shape=shape, type="tensor(double)")

    own = SimpleNamespace(
        get_inputs=lambda: [node("X", "T", "B", "D")], get_outputs=lambda: [node("Y", "T", "B", "K")]
    )
    with pytest.raises(
        TypeError, match=r"`model` must tell the features of x; got 'D'\. Give them: input_size="
    ):
        OnnxRuntimeAdapter(own)
    adapter = OnnxRuntimeAdapter(own, input_size=3, reverse=None, name="mine")
    assert (adapter.input_size, adapter.dtype, adapter.reverse, adapter.name) == (3, "float64", None, "mine")
    assert not adapter.takes_lengths


@pytest.mark.parametrize(
    ("shape", "kind", "error", "words"),
    [
        (("T", "B", 3), "tensor(int64)", TypeError, r"must compute in one of .*; got tensor\(int64\). Check"),
        (
            ("B", 3),
            "tensor(float)",
            ValueError,
            r"the graph must take X \(T, B, D\); got the shape \('B', 3\)",
        ),
    ],
)
def test_an_x_that_is_no_steps_of_features_raises(shape: Any, kind: str, error: Any, words: str) -> None:
    nodes = [SimpleNamespace(name=name, shape=shape, type=kind) for name in "XY"]
    own = SimpleNamespace(get_inputs=lambda: nodes[:1], get_outputs=lambda: nodes[1:])
    with pytest.raises(error, match=words):
        OnnxRuntimeAdapter(own)


# Keras.


@pytest.fixture
def keras() -> Any:
    if "KERAS_BACKEND" not in os.environ:
        pytest.importorskip("torch", reason="PyTorch, to run Keras on, is not installed")
        os.environ["KERAS_BACKEND"] = "torch"
    module = pytest.importorskip("keras", reason="Keras is not installed")
    module.utils.set_random_seed(0)
    return module


STEPS = {"return_sequences": True, "return_state": True}
on_torch = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own


@on_torch
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", GATES)
def test_keras_layers_pass_but_for_the_gradient_beside_padding_of_nan(
    kind: str, both: bool, keras: Any
) -> None:
    layer = getattr(keras.layers, {"RNN": "SimpleRNN"}.get(kind, kind))(4, **STEPS)
    report = properties(keras.layers.Bidirectional(layer) if both else layer, input_size=3)
    expected = PADDING_OF_NAN if keras.backend.backend() == "torch" else set()
    assert {(finding.check, finding.subject) for finding in report.failures} == expected
    assert (("reversal", "y, state_T") in skipped(report)) != both
    assert (("chunks", "y, state_T") in skipped(report)) == both


@on_torch
def test_keras_answers_are_its_own(keras: Any) -> None:
    layer = keras.layers.Bidirectional(keras.layers.LSTM(4, **STEPS))
    x, states = x_of(7, 4, 3, dtype="float32"), tuple(x_of(4, 4, dtype="float32") for _ in "hchc")
    adapter = adapt(layer, input_size=3)
    assert isinstance(adapter, KerasAdapter)
    assert (adapter.name, adapter.reverse, adapter.takes_state) == ("keras.Bidirectional", 4, True)
    y, state_T = adapter.forward(x, LENGTHS, states)
    for b, end in enumerate(LENGTHS):  # each sample by itself, without padding
        own_y, *own_state = layer(x[None, :end, b], initial_state=[state[b : b + 1] for state in states])
        pairs = zip((y[:end, b], *(part[b] for part in state_T)), (own_y, *own_state), strict=True)
        for ours, theirs in pairs:
            theirs = keras.ops.convert_to_numpy(theirs)[0]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@on_torch
def test_a_keras_model_passes(keras: Any) -> None:
    model = keras.Sequential([keras.layers.GRU(4), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    adapter = adapt(model, input_size=3, name="mine")
    assert not adapter.takes_lengths
    assert properties(adapter).require().title == "properties of mine"


def test_other_merges_are_not_told_apart(keras: Any) -> None:
    layer = keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True), merge_mode="sum")
    adapter = adapt(layer, input_size=3)
    assert (adapter.reverse, adapter.flipped) == (None, None)


def test_keras_layers_without_one_y_in_order_raise(keras: Any) -> None:
    two = keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True), merge_mode=None)
    for layer in (keras.layers.GRU(4, go_backwards=True), two):
        with pytest.raises(ValueError, match="`model` must have one y in the order of x: no go_backwards"):
            adapt(layer, input_size=3)


def test_a_keras_layer_in_bfloat16_raises(keras: Any) -> None:
    words = "must compute in one of float16, float32, float64; got bfloat16. Build it with dtype="
    with pytest.raises(TypeError, match=words):
        adapt(keras.layers.GRU(4, dtype="bfloat16"), input_size=3)


def test_a_keras_layer_needs_an_input_size(keras: Any) -> None:
    with pytest.raises(
        TypeError, match=r"`model` must tell the features of x; got None\. Give them: input_size="
    ):
        properties(keras.layers.GRU(4))
