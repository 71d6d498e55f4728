"""Models written as ONNX graphs, on ONNX Runtime; and read back to the bit."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.cells import gru
from rnn_xp.interop import onnx as interop
from rnn_xp.layers import Layer, LinearParams

onnx = pytest.importorskip("onnx", reason="onnx and onnxruntime are not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnx and onnxruntime are not installed")

MODELS = 100
TOLERANCE = 1e-5
V = 11
BACKEND = rx.get_backend("numpy", dtype="float32")
ACTIVATIONS = [
    "sigmoid",
    "tanh",
    "relu",
    "softsign",
    "softplus",
    ("affine", 0.6, -0.1),
    ("leaky_relu", 0.2),
    ("thresholded_relu", 0.3),
    ("scaled_tanh", 1.3, 0.7),
    ("hard_sigmoid", 0.3, 0.4),
    ("elu", 0.8),
]


def session(proto: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=providers)


def run(proto: Any, **feed: Any) -> dict[str, np.ndarray]:
    """Return the outputs of a graph by name."""
    given = {name: np.ascontiguousarray(value) for name, value in feed.items()}
    return dict(zip([each.name for each in proto.graph.output], session(proto).run(None, given), strict=True))


def recurrent(choose: random.Random, size: int, live: bool, hidden: int | None = None) -> rx.Recurrent:
    """Draw a layer with any options that have an operator; a live one answers at every step."""
    way, hidden = choose.choice(["forward", "reverse", "both"]), hidden or choose.randint(1, 7)
    way = "forward" if live else way
    options: dict[str, Any] = {
        "num_layers": choose.choice([1, 1, 2]),
        "bias": choose.choice([True, True, "input", False]),
        "bidirectional": way == "both",
        "reverse": way == "reverse",
        "learn_state": choose.random() < 0.25 and not live,
        "clip": choose.choice([None, None, 0.5]),
        "dropout": choose.choice([0.0, 0.2]),
        "recurrent_dropout": choose.choice([0.0, 0.2]),
    }
    kind, other = choose.choice(["RNN", "GRU", "LSTM"]), choose.choice(ACTIVATIONS)
    if kind == "RNN":
        return rx.RNN(size, hidden, nonlinearity=other, **options)
    if kind == "GRU":
        gates = choose.choice([("sigmoid", "tanh"), (("hard_sigmoid", 0.3, 0.4), other)])
        reset = choose.choice(["after", "before"])
        return rx.GRU(size, hidden, reset=reset, activations=gates, **options)
    gates = choose.choice([("sigmoid", "tanh", "tanh"), ("sigmoid", ("elu", 0.5), "softsign")])
    flags = {"peepholes": choose.random() < 0.4, "coupled": choose.random() < 0.4}
    projected = choose.randint(1, hidden - 1) if hidden > 1 and choose.random() < 0.3 else 0
    return rx.LSTM(size, hidden, activations=gates, proj_size=projected, **flags, **options)


def draw(number: int, live: bool = False) -> tuple[random.Random, rx.Sequential]:
    """Draw a model of any layers; a live one answers at every step."""
    choose = random.Random(number)
    size = choose.randint(1, 5)
    layers: list[Layer] = [rx.Embedding(V, size)] if choose.random() < 0.25 else []
    for _ in range(choose.randint(0, 2)):
        kind = choose.choice(["recurrent", "recurrent", "linear", "dropout", "residual", "nested"])
        if kind == "recurrent":
            layers.append(recurrent(choose, size, live))
            size = layers[-1].output_size
        elif kind == "linear":
            layers.append(rx.Linear(size, size := choose.randint(1, 5), choose.random() < 0.7))
        elif kind == "dropout":
            layers.append(rx.Dropout(0.3))
        else:
            inner = recurrent(choose, size, live, 3)
            back = rx.Linear(inner.output_size, size)
            layers.append(rx.Residual(rx.Sequential(inner, rx.Dropout(0.1), back)))
            if kind == "nested":
                layers[-1] = rx.Sequential(rx.Residual(layers[-1]), rx.Linear(size, size))
    layers.append(recurrent(choose, size, live))
    size = layers[-1].output_size
    if choose.random() < 0.3:
        layers.append(rx.Dropout(0.1))
    head = choose.choice(["last", "last", "last of linear", "last of residual", "mean", "max", "steps"])
    head = "steps" if live else head
    if head == "last of linear":
        layers.append(rx.Linear(size, size := 4))
    if head == "last of residual":
        layers.append(rx.Residual(rx.Linear(size, size)))
    if head != "steps":
        layers.append({"mean": rx.MeanPool, "max": rx.MaxPool}.get(head, rx.LastStep)())
    if choose.random() < 0.7:
        layers.append(rx.Linear(size, 3))
    return choose, rx.Sequential(*layers)


def initialised(model: rx.Sequential, seed: int) -> Any:
    """Return default parameters, with learnt states that are not 0."""
    params, noise = model.init(BACKEND, seed), np.random.RandomState(seed)
    leaves = [
        leaf + 0.3 * noise.standard_normal(leaf.shape).astype(np.float32) if "state_0" in name else leaf
        for name, leaf in tree.named_leaves(params)
    ]
    return tree.unflatten(params, leaves)


def data(choose: random.Random, model: rx.Sequential, T: int, N: int) -> np.ndarray:
    noise = np.random.RandomState(choose.randint(0, 10**6))
    kind, size, _ = model.intake
    shape = (N, T) if kind == "tokens" else (N, T, size)
    return noise.randint(0, V, shape) if kind == "tokens" else noise.standard_normal(shape).astype(np.float32)


def layouts(model: rx.Sequential) -> list[str]:
    return ["NTC", "TNC"] if model.intake.kind == "tokens" else ["NTC", "TNC", "NCT"]


def same(a: Any, b: Any) -> bool:
    """Whether two trees hold the same numbers in the same dtypes."""
    pairs = zip(tree.leaves(a), tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in pairs)


def laid(X: np.ndarray, layout: str) -> np.ndarray:
    axes = layout if X.ndim == 3 else layout.replace("C", "")
    return X.transpose(["NTC".index(axis) for axis in axes])


@pytest.mark.parametrize("first", range(0, MODELS, 25))
def test_random_models(first: int) -> None:
    for number in range(first, first + 25):
        choose, model = draw(number)
        params, layout = initialised(model, number), choose.choice(layouts(model))
        T, N = choose.choice([(1, 1), (1, 3), (9, 1), (9, 4), (30, 3)])
        X = data(choose, model, T, N)
        options: dict[str, Any] = {"lengths": choose.random() < 0.7, "layout": layout}
        loss = choose.choice([None, "cross_entropy", "binary_cross_entropy", "huber"])
        scaled, feed = X, {"X": laid(X, layout)}
        if X.ndim == 3 and choose.random() < 0.3:
            spread = np.random.RandomState(number).uniform(0.5, 2.0, (2, X.shape[2]))
            options["scaling"] = rx.data.Scaling(*spread)
            scaled = (X - spread[0]) / spread[1]
        lengths = None
        if options["lengths"]:
            lengths = np.asarray([choose.randint(0, T) for _ in range(N)])
            wild = X.copy()
            wild[np.arange(T) >= lengths[:, np.newaxis]] = np.nan if X.ndim == 3 else -99
            feed = {"X": laid(wild, layout), "lengths": lengths}
        proto = interop.export(model, params, loss=loss, **options)
        expected = rx.predict(model, params, scaled.astype(X.dtype), lengths=lengths, loss=loss)
        y = run(proto, **feed)["y"]
        assert y.dtype == expected.dtype
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE, err_msg=f"{number}: {model!r}")


def test_the_models_differ() -> None:
    """Every option is met, and most of them often."""
    models = [repr(draw(number)[1]) for number in range(MODELS)]
    words = "RNN( GRU( LSTM( Linear( Embedding( Dropout( Residual( LastStep( MeanPool( MaxPool( num_layers=2 "
    words += (
        "bidirectional reverse=True bias=False bias='input' learn_state clip proj_size peepholes coupled "
    )
    words += "reset='before' elu affine hard_sigmoid Sequential(Residual(Residual("
    for word in words.split():
        assert sum(word in model for model in models) >= 5, word
    assert len(set(models)) == MODELS


def without_what_is_for_training(model: rx.Sequential) -> list[dict[str, Any]]:
    """Return the configurations of the layers, flat, as far as they matter at inference."""
    found: list[dict[str, Any]] = []
    for layer in model.layers:
        if isinstance(layer, rx.Sequential):
            found += without_what_is_for_training(layer)
        elif isinstance(layer, rx.Residual):
            inner = layer.layer if isinstance(layer.layer, rx.Sequential) else rx.Sequential(layer.layer)
            found.append({"Residual": without_what_is_for_training(inner)})
        elif not isinstance(layer, rx.Dropout):
            found.append({k: v for k, v in layer.config().items() if "dropout" not in k})
    return found


def test_read_back() -> None:
    """The same model and the same bits; a projection is read as a Linear, and gives the same answers."""
    for number in range(MODELS):
        choose, model = draw(number)
        params = initialised(model, number)
        options: dict[str, Any] = {"lengths": choose.random() < 0.5, "layout": choose.choice(layouts(model))}
        options["states"] = "learn_state" not in repr(model) and choose.random() < 0.5
        kind, size, _ = model.intake
        spread = np.random.RandomState(number).uniform(0.5, 2.0, (2, size))
        if kind == "steps" and choose.random() < 0.3:
            options["scaling"] = rx.data.Scaling(*spread)
        found = interop.read(interop.export(model, params, **options), "numpy")
        assert found.layout == options["layout"]
        assert (found.scaling is None) == ("scaling" not in options)
        if found.scaling is not None:
            np.testing.assert_array_equal(found.scaling, spread)
        if "proj_size" in repr(model):
            X = data(choose, model, 20, 2)
            answers = [rx.predict(*each, X) for each in ((model, params), (found.model, found.params))]
            np.testing.assert_allclose(*answers, rtol=0, atol=TOLERANCE)
            continue
        assert without_what_is_for_training(found.model) == without_what_is_for_training(model)
        assert same(found.params, params)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(
    "layer", [rx.LSTM(2, 3, bidirectional=True), rx.GRU(2, 3, reverse=True), rx.RNN(2, 3, learn_state=True)]
)
def test_read_back_where_sizes_are_fixed(layer: rx.Recurrent, lengths: bool) -> None:
    """A graph may be of one T or N alone, down to 1: it is read as for all sizes."""
    size = layer.hidden_size * layer.directions
    for head in (rx.LastStep(), rx.MaxPool(), rx.Dropout(0.5)):
        model = rx.Sequential(layer, head, rx.Linear(size, 2))
        params = initialised(model, 0)
        for T, N in itertools.product((0, 1, 2, 3, 4, 5), (0, 1, 2, 6)):
            proto = interop.export(model, params, lengths=lengths)
            for value in (*proto.graph.input, *proto.graph.output):
                for dim in value.type.tensor_type.shape.dim:
                    dim.dim_value = {"T": T, "N": N}.get(dim.dim_param) or dim.dim_value
            found = interop.read(proto, "numpy")
            if T != 1 or isinstance(head, rx.Dropout):  # of one step, the last one is also the largest
                assert without_what_is_for_training(found.model) == without_what_is_for_training(model)
            X = data(random.Random(0), model, T or 6, N or 3)
            ends = np.arange(len(X)) % X.shape[1] + 1 if lengths else None
            answers = [
                rx.predict(*each, X, lengths=ends) for each in ((model, params), (found.model, found.params))
            ]
            np.testing.assert_allclose(*answers, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("lengths", [False, True])
def test_streaming(lengths: bool) -> None:
    """Chunks with their state carried give what the whole gives, where all runs go with time."""
    for number in range(400, 415):
        choose, model = draw(number, live=True)
        params = initialised(model, number)
        proto = interop.export(model, params, states=True, lengths=lengths)
        T, N = 12, 3
        X = data(choose, model, T, N)
        ends = np.asarray([12, 5, 0]) if lengths else np.full(N, T)
        expected = rx.predict(model, params, X, lengths=ends)
        shapes = {
            each.name: [dim.dim_value or N for dim in each.type.tensor_type.shape.dim]
            for each in proto.graph.input
            if each.name.startswith("state_0.")
        }
        state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        at, parts = 0, []
        for steps in (5, 1, 6):
            feed = {"X": X[:, at : at + steps], **state}
            if lengths:
                feed["lengths"] = np.clip(ends - at, 0, steps)
            results = run(proto, **feed)
            parts.append(results.pop("y"))
            state = {name.replace("state_T", "state_0"): value for name, value in results.items()}
            assert list(state) == list(shapes)
            at += steps
        np.testing.assert_allclose(np.concatenate(parts, 1), expected, rtol=0, atol=TOLERANCE)


def test_states_are_those_of_the_model() -> None:
    """Both ways and deep, from a given state, with a sequence of no step, which keeps its state."""
    model = rx.Sequential(
        rx.Residual(rx.LSTM(4, 2, 2, bidirectional=True)), rx.GRU(4, 3), rx.LastStep(), rx.Linear(3, 2)
    )
    params = initialised(model, 1)
    noise = np.random.RandomState(0)
    x, lengths = noise.standard_normal((6, 3, 4)).astype(np.float32), [6, 0, 3]
    shapes = {"0.h": (4, 3, 2), "0.c": (4, 3, 2), "1.h": (1, 3, 3)}
    state = {name: noise.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    proto = interop.export(model, params, states=True, layout="TNC")
    assert [each.name for each in proto.graph.output] == ["y", "state_T.0.h", "state_T.0.c", "state_T.1.h"]
    feed = {f"state_0.{name}": value for name, value in state.items()}
    results = run(proto, X=x, lengths=np.asarray(lengths), **feed)
    inner = model.layers[0].layer.cell.state(state["0.h"], state["0.c"])
    state_0 = (inner, gru.AFTER.state(state["1.h"]), (), ())
    y, state_T, _ = model.forward(params, x, state_0, lengths)
    np.testing.assert_allclose(results["y"], y, rtol=0, atol=TOLERANCE)
    for name, leaf in tree.named_leaves(state_T):
        np.testing.assert_allclose(results[f"state_T.{name}"], leaf, rtol=0, atol=TOLERANCE)
    for name, value in state.items():
        np.testing.assert_array_equal(results[f"state_T.{name}"][:, 1], value[:, 1])


@pytest.mark.parametrize("lengths", [None, [5, 0, 2, 1]])
def test_the_last_step_behind_a_way_around_both_directions(lengths: Any) -> None:
    """It is gathered: the first step of features that run against time; a Linear has a bias at no step."""
    model = rx.Sequential(rx.Linear(6, 6), rx.Residual(rx.GRU(6, 3, bidirectional=True)), rx.LastStep())
    params = initialised(model, 0)
    X = np.random.RandomState(0).standard_normal((4, 5, 6)).astype(np.float32)
    proto = interop.export(model, params, lengths=lengths is not None)
    feed = {} if lengths is None else {"lengths": np.asarray(lengths)}
    expected = rx.predict(model, params, X, lengths=lengths)
    np.testing.assert_allclose(run(proto, X=X, **feed)["y"], expected, rtol=0, atol=TOLERANCE)
    assert interop.load(proto, "numpy")[0] == model


def test_a_large_mean_is_subtracted_in_float64() -> None:
    model = rx.Sequential(rx.Linear(1, 1, bias=False))
    one = (LinearParams(np.ones((1, 1), np.float32), None),)
    scaling = rx.data.Scaling(np.asarray([1000.1]), np.asarray([0.01]))
    X = np.asarray([[[1000.125]]], np.float32)
    y = run(interop.export(model, one, scaling=scaling, lengths=False), X=X)["y"]
    np.testing.assert_allclose(y, [[[2.5]]], rtol=1e-6)


def test_what_is_in_a_model(tmp_path: Any) -> None:
    model = rx.Sequential(rx.LSTM(3, 4, 2), rx.LastStep())
    params = initialised(model, 0)
    notes = {"classes": '["left", "right"]'}
    proto = interop.export(model, params, metadata=notes, states=True, loss="cross_entropy")
    assert (proto.producer_name, proto.producer_version) == ("rnn_xp", rx.__version__)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", 14)]
    assert interop.read(proto, "numpy").metadata == notes
    assert interop.read(proto, "numpy").end == "softmax"
    assert sum(node.op_type == "LSTM" for node in proto.graph.node) == 2
    inputs = {
        each.name: [dim.dim_value or dim.dim_param for dim in each.type.tensor_type.shape.dim]
        for each in proto.graph.input
    }
    assert inputs == {
        "X": ["N", "T", 3],
        "lengths": ["N"],
        "state_0.0.h": [2, "N", 4],
        "state_0.0.c": [2, "N", 4],
    }
    interop.save(tmp_path / "model.onnx", model, params, metadata=notes, states=True, loss="cross_entropy")
    assert (tmp_path / "model.onnx").read_bytes() == proto.SerializeToString(deterministic=True)
    found, leaves = interop.load(tmp_path / "model.onnx", "numpy")
    assert found == model
    assert same(leaves, params)


def test_the_last_step_of_a_recurrent_layer_is_its_last_state() -> None:
    """No step is gathered, and Y is not even an output."""
    model = rx.Sequential(rx.GRU(3, 4, bidirectional=True), rx.Dropout(0.1), rx.Sequential(rx.LastStep()))
    proto = interop.export(model, initialised(model, 0))
    (node,) = (node for node in proto.graph.node if node.op_type == "GRU")
    assert list(node.output) == ["", "0.0.Y_h"]
    assert not {"ReduceSum", "Gather"} & {each.op_type for each in proto.graph.node[3 + 4 :]}


def test_the_last_state_of_nothing_is_guarded() -> None:
    """ONNX does not say what it is; where it may be the initial one, and that is not 0, a node makes it 0."""
    for learnt in (False, True):
        model = rx.Sequential(rx.GRU(3, 4, learn_state=learnt), rx.LastStep())
        nodes = interop.export(model, initialised(model, 0)).graph.node
        assert sum(node.op_type == "Where" for node in nodes) == 1 + learnt


def test_float64() -> None:
    backend = rx.get_backend("numpy", dtype="float64")
    model = rx.Sequential(rx.RNN(2, 3), rx.LastStep(), rx.Linear(3, 2))
    params = model.init(backend, seed=0)
    wide = interop.export(model, params)
    assert {each.data_type for each in wide.graph.initializer} <= {
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.INT64,
    }
    found = interop.read(wide, "numpy")
    assert all(
        np.array_equal(*pair) for pair in zip(tree.leaves(found.params), tree.leaves(params), strict=True)
    )
    narrow = interop.export(model, params, dtype="float32", lengths=False)
    X = np.random.RandomState(0).standard_normal((2, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(run(narrow, X=X)["y"], rx.predict(model, params, X), rtol=0, atol=TOLERANCE)


def test_layers_that_onnx_has_not() -> None:
    def refused(*layers: Layer, match: str, **options: Any) -> None:
        model = rx.Sequential(*layers)
        with pytest.raises(ValueError, match=match):
            interop.export(model, model.init(BACKEND), **options)

    refused(rx.GRU(2, 3, layer_norm=True), match=r"no layer normalisation; got GRU\(.*at place 0")
    refused(rx.Linear(2, 2), rx.RNN(2, 3, zoneout=0.1), match=r"no zoneout; got RNN\(.*at place 1")
    own = gru.AFTER.pairs[0]._replace(forward=lambda a, s, *, xp: own.forward(a, s, xp=xp))
    cell = gru.AFTER._replace(name="own", pairs=(own,))
    refused(rx.Sequential(rx.Recurrent(cell, 2, 3)), match=r"not the cell 'own'; got .* at place 0\.0")
    refused(rx.GRU(2, 3, learn_state=True), match="`states` must be False where a layer learns", states=True)
    scaling = rx.data.Scaling(np.zeros(3), np.ones(3))
    refused(rx.GRU(2, 3), match="`scaling` must be of the features .* got one of 3", scaling=scaling)
    refused(rx.Embedding(2, 3), match="`scaling` must be of the features", scaling=scaling)

    refused(rx.GRU(2, 3), match="`layout` must be one of", layout="CNT")

    class Strange(Layer):
        def connect(self, signal: Any) -> Any:
            return self, signal or rx.layers.Signal("steps", 2)

        def __repr__(self) -> str:
            return "Strange()"

        check = run = run_back = None  # type: ignore[assignment]

    refused(Strange(), match=r"of layers of rnn_xp; got Strange\(\) at place 0")


def test_a_state_that_no_projection_gives() -> None:
    model = rx.Sequential(rx.LSTM(2, 3, proj_size=1, learn_state=True))
    ((own,),) = model.init(BACKEND)
    own = own._replace(weight_hr=own.weight_hr * 0, state_0=own.state_0._replace(h=np.ones(1, np.float32)))
    with pytest.raises(ValueError, match=r"a learnt h that the projection can give; .* at place 0\.0"):
        interop.export(model, ((own,),))


def test_wrong_arguments() -> None:
    model = rx.Sequential(rx.RNN(2, 3))
    params = model.init(BACKEND)
    with pytest.raises(TypeError, match="`model` must be a Sequential; got RNN"):
        interop.export(model.layers[0], params[0])
    with pytest.raises(ValueError, match="`params` must be those of"):
        interop.export(model, params[0])
    with pytest.raises(TypeError, match="`states` must be True or False"):
        interop.export(model, params, states=1)
    with pytest.raises(ValueError, match="`dtype` must be one of 'float32', 'float64'"):
        interop.export(model, params, dtype="float16")
    with pytest.raises(ValueError, match="`loss` must be one of"):
        interop.export(model, params, loss="crossentropy")
    with pytest.raises(TypeError, match=r"`scaling` must be a rx\.data\.Scaling"):
        interop.export(model, params, scaling=(0.0, 1.0))
    with pytest.raises(TypeError, match="`metadata` must be a mapping"):
        interop.export(model, params, metadata="note")
    with pytest.raises(TypeError, match="`metadata` must map strings to strings; got 'n': 3"):
        interop.export(model, params, metadata={"n": 3})
