"""What the layers' names, shapes and words mean."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import ACROSS, EXACT, MAKERS, UGRNN, assert_close, normal, open_backend, own, run, steps

import rnn_xp as rx
from rnn_xp import layers as layers_module
from rnn_xp.backend import Backend, to_numpy
from rnn_xp.cells import CELLS, gru, lstm, rnn
from rnn_xp.configs import from_config
from rnn_xp.layers import LAYERS, EmbeddingParams, LinearParams
from rnn_xp.sequence import Params

NUMPY = open_backend("numpy")
KEY = rx.Rng(seed=3, step=4)
cells = pytest.mark.parametrize("cell", MAKERS)


def words(text: str) -> str:
    """A pattern for these words somewhere."""
    return re.escape(text)


# Parameters, states and outputs.


@cells
@pytest.mark.parametrize("bidirectional", [False, True])
def test_shapes(cell: str, bidirectional: bool, backend: Backend) -> None:
    D, H, L, T, B, dirs = 3, 4, 2, 5, 2, 1 + bidirectional
    layer = MAKERS[cell](D, H, L, bidirectional=bidirectional)
    P = 3 if cell == "lstm_projected" else H
    G = 3 if cell == "lstm_coupled" else {"rnn": 1, "gru": 3, "lst": 4, "own": 2}[cell[:3]]
    V = {"lstm_peepholes": 3, "lstm_coupled": 2}.get(cell)
    params = layer.init(backend, seed=0)
    assert len(params) == L * dirs
    for i, p in enumerate(params):
        assert isinstance(p, Params)
        assert p._fields == (
            "weight_ih",
            "weight_hh",
            "bias_ih",
            "bias_hh",
            "weight_hr",
            "vectors",
            "state_0",
        )
        assert p.weight_ih.shape == (G * H, D if i < dirs else P * dirs)
        assert p.weight_hh.shape == (G * H, P)
        assert p.bias_ih.shape == p.bias_hh.shape == (G * H,)
        assert p.weight_hr is None if P == H else p.weight_hr.shape == (P, H)
        assert p.vectors is None if V is None else p.vectors.shape == (V, H)
    y, state_T, _ = layer.forward(params, steps(backend, (T, B, D), 0))
    assert y.shape == (T, B, P * dirs)
    assert layer.output_size == P * dirs
    assert type(state_T) is layer.cell.state
    assert state_T.h.shape == (L * dirs, B, P)
    if "lstm" in cell:
        assert state_T._fields == ("h", "c")
        assert state_T.c.shape == (L * dirs, B, H)
    else:
        assert state_T._fields == ("h",)


@pytest.mark.parametrize(
    ("bias", "given"), [(True, (True, True)), ("input", (True, False)), (False, (False, False))]
)
@cells
def test_bias(cell: str, bias: Any, given: Any) -> None:
    (params,) = MAKERS[cell](2, 3, bias=bias).init(NUMPY)
    assert (params.bias_ih is not None, params.bias_hh is not None) == given


def test_gates_are_named_in_the_order_of_their_rows() -> None:
    gates = {name: cell.gates for name, cell in CELLS.items()}
    assert gates == {
        "rnn_tanh": ("a",),
        "rnn_relu": ("a",),
        "lstm": ("i", "f", "g", "o"),
        "gru": ("r", "z", "n"),
        "gru_reset_before": ("r", "z", "n"),
    }


@pytest.mark.parametrize("reset", ["after", "before"])
def test_absent_biases_are_zero(reset: str) -> None:
    options: dict[str, Any] = {"bidirectional": True, "reset": reset}
    both, none = (rx.GRU(2, 3, bias=bias, **options) for bias in (True, False))
    params = both.init(NUMPY)
    x = steps(NUMPY, (4, 2, 2), 0)
    bare = tuple(p._replace(bias_ih=None, bias_hh=None) for p in params)
    zero = tuple(p._replace(bias_ih=np.zeros(9), bias_hh=np.zeros(9)) for p in params)
    assert_close(none.forward(bare, x)[0], both.forward(zero, x)[0], ACROSS)


@cells
def test_the_state_index_is_layer_times_directions_plus_direction(cell: str) -> None:
    layer = MAKERS[cell](2, 3, 2, bidirectional=True)
    params = layer.init(NUMPY)
    x = steps(NUMPY, (4, 2, 2), 0)
    y, state_T, _ = layer.forward(params, x)
    half = layer.output_size // 2
    assert_close(state_T.h[2], y[3, :, :half], EXACT)
    assert_close(state_T.h[3], y[0, :, half:], EXACT)
    start = tree_zeros(state_T)
    start.h[1] = 1.0  # the first layer's direction against time: its last step reads it first
    moved = layer.forward(params, x, start)[1]
    changed = [bool((moved.h[i] != state_T.h[i]).any()) for i in range(4)]
    assert changed == [False, True, True, True]


def tree_zeros(state: Any) -> Any:
    return type(state)(*[np.zeros_like(field) for field in state])


@cells
def test_zero_is_the_initial_state_that_is_not_given(cell: str, backend: Backend) -> None:
    layer = MAKERS[cell](2, 3, 2)
    params, x = layer.init(backend), steps(backend, (4, 2, 2), 0)
    y, state_T, _ = layer.forward(params, x)
    zero = type(state_T)(*[backend.xp.zeros_like(field) for field in state_T])
    assert_close(layer.forward(params, x, zero)[:2], (y, state_T), EXACT)


# Lengths.


@cells
@pytest.mark.parametrize(
    "lengths", [[3, 0, 5], (3, 0, 5), np.array([3, 0, 5]), np.array([3, 0, 5], dtype=np.uint8)]
)
def test_past_the_end(cell: str, lengths: Any, backend: Backend) -> None:
    layer = MAKERS[cell](2, 3, 2, bidirectional=True)
    params, x = layer.init(backend), steps(backend, (5, 3, 2), 0)
    y, state_T, _ = layer.forward(params, x)
    d_y, d_state_T, state_0 = (normal(backend, like, seed) for seed, like in enumerate((y, state_T, state_T)))
    answer = run(layer, params, x, d_y, d_state_T, state_0=state_0, lengths=lengths)
    y, d_x = to_numpy(answer["y"]), to_numpy(answer["d_x"])
    for sample, end in enumerate((3, 0, 5)):
        assert not y[end:, sample].any()
        assert not d_x[end:, sample].any()
        assert end == 0 or y[:end, sample].all() or cell == "rnn_relu"
    half = y.shape[2] // 2
    h_T = to_numpy(answer["state_T"].h)
    np.testing.assert_array_equal(h_T[2, 0], y[2, 0, :half])
    np.testing.assert_array_equal(h_T[3, 0], y[0, 0, half:])
    for state, start in ((answer["state_T"], state_0), (answer["d_state_0"], d_state_T)):
        for field, expected in zip(state, start, strict=True):
            np.testing.assert_array_equal(to_numpy(field)[:, 1], to_numpy(expected)[:, 1])


def test_full_lengths_are_no_lengths(backend: Backend) -> None:
    layer = rx.LSTM(2, 3, bidirectional=True)
    params, x = layer.init(backend), steps(backend, (4, 2, 2), 0)
    assert_close(layer.forward(params, x, lengths=[4, 4])[:2], layer.forward(params, x)[:2], EXACT)


# Pooling and other small layers, in numbers that can be read.

X = np.array(
    [[[1.0, 10.0], [-1.0, 5.0]], [[3.0, -20.0], [-2.0, 7.0]], [[2.0, 30.0], [-9.0, 9.0]]]
)  # (3, 2, 2)
POOLED = {
    "last": (rx.LastStep(), None, [[2.0, 30.0], [-9.0, 9.0]]),
    "last-ends": (rx.LastStep(), [2, 1], [[3.0, -20.0], [-1.0, 5.0]]),
    "last-halves": (rx.LastStep(1), None, [[2.0, 10.0], [-9.0, 5.0]]),
    "last-halves-ends": (rx.LastStep(1), [2, 0], [[3.0, 10.0], [0.0, 0.0]]),
    "mean": (rx.MeanPool(), None, [[2.0, 20.0 / 3.0], [-4.0, 7.0]]),
    "mean-ends": (rx.MeanPool(), [2, 0], [[2.0, -5.0], [0.0, 0.0]]),
    "max": (rx.MaxPool(), None, [[3.0, 30.0], [-1.0, 9.0]]),
    "max-ends": (rx.MaxPool(), [1, 2], [[1.0, 10.0], [-1.0, 7.0]]),
    "max-empty": (rx.MaxPool(), [0, 3], [[0.0, 0.0], [-1.0, 9.0]]),
}


@pytest.mark.parametrize("name", POOLED)
def test_pooling(name: str, backend: Backend) -> None:
    layer, lengths, expected = POOLED[name]
    x = X.copy()
    for sample, end in enumerate(lengths or ()):
        x[end:, sample] = np.nan
    y, state_T, _ = layer.forward((), backend.asarray(x), lengths=lengths)
    assert state_T == ()
    assert_close(y, backend.asarray(expected), ACROSS)


def test_the_first_of_equal_values_has_the_gradient(backend: Backend) -> None:
    x = backend.asarray([[[1.0]], [[4.0]], [[4.0]], [[4.0]]])
    _, _, tape = rx.MaxPool().forward((), x, lengths=[3])
    d_x = rx.MaxPool().backward((), tape, backend.asarray([[2.0]]))[1]
    assert_close(d_x, backend.asarray([[[0.0]], [[2.0]], [[0.0]], [[0.0]]]), EXACT)


def test_linear(backend: Backend) -> None:
    params = LinearParams(
        backend.asarray([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]]), backend.asarray([0.5, 0.0, -1.0])
    )
    layer = rx.Linear(2, 3)
    expected = [[21.5, -10.0, 2.0], [9.5, -5.0, -4.0]]
    assert_close(layer.forward(params, backend.asarray(X[0]))[0], backend.asarray(expected), EXACT)
    y = layer.forward(params, backend.asarray(X), lengths=[1, 2])[0]
    assert_close(y[0, ...], backend.asarray(expected), EXACT)
    assert_close(y[2, ...], backend.asarray(np.zeros((2, 3))), EXACT)


def test_embedding(backend: Backend) -> None:
    layer = rx.Embedding(3, 2)
    table = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    params = EmbeddingParams(backend.asarray(table))
    tokens = backend.asarray([[2, 0], [1, 1], [2, 2]])
    y, _, tape = layer.forward(params, tokens, lengths=[2, 3])
    expected = [[table[2], table[0]], [table[1], table[1]], [[0.0, 0.0], table[2]]]
    assert_close(y, backend.asarray(expected), EXACT)
    d_params, d_x, _ = layer.backward(params, tape, backend.asarray(np.ones((3, 2, 2))))
    assert d_x is None
    assert_close(d_params.weight, backend.asarray([[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]), EXACT)


# Dropout.


def test_dropout_layer(backend: Backend) -> None:
    layer, x = rx.Dropout(0.25), backend.asarray(np.ones((30, 20, 10)))
    assert_close(layer.forward((), x)[0], x, EXACT)
    assert_close(rx.Dropout(0.0).forward((), x, rng=KEY)[0], x, EXACT)
    y, _, tape = layer.forward((), x, rng=KEY)
    values = to_numpy(y)
    assert set(values.ravel().tolist()) == {0.0, 1.0 / 0.75}
    assert abs((values == 0).mean() - 0.25) < 0.02  # 4 standard deviations of 6000 draws
    assert_close(layer.backward((), tape, x)[1], y, EXACT)
    assert_close(layer.forward((), x, rng=KEY)[0], y, EXACT)
    for other in (KEY._replace(seed=4), KEY._replace(step=5), KEY._replace(layer=1)):
        assert (to_numpy(layer.forward((), x, rng=other)[0]) != values).mean() > 0.3
    vectors = layer.forward((), x[0, ...], rng=KEY)[0]
    assert_close(vectors, y[0, ...], EXACT)


def test_dropout_bits_go_with_the_sample(backend: Backend) -> None:
    """Splitting a batch and padding it longer leave a sample's mask."""
    layer, x = rx.Dropout(0.5), backend.asarray(np.ones((6, 5, 7)))
    whole = layer.forward((), x, rng=KEY)[0]
    part = layer.forward((), x[:4, 2:5, :], rng=KEY._replace(sample=2))[0]
    assert_close(part, whole[:4, 2:5, :], EXACT)


@cells
def test_dropout_is_between_layers_and_only_with_a_key(cell: str, backend: Backend) -> None:
    x = steps(backend, (4, 2, 3), 0)
    plain, dropped = MAKERS[cell](3, 8, 2), MAKERS[cell](3, 8, 2, dropout=0.5)
    params = plain.init(backend, seed=0)
    y = plain.forward(params, x)[0]
    assert_close(dropped.forward(params, x)[0], y, EXACT)
    assert_close(plain.forward(params, x, rng=KEY)[0], y, EXACT)
    once = dropped.forward(params, x, rng=KEY)
    assert_close(dropped.forward(params, x, rng=KEY)[:2], once[:2], EXACT)
    assert not (to_numpy(once[0]) == to_numpy(y)).all()
    # the first layer's state is what it was; the last layer's output is not dropped
    for field, same in zip(once[1], plain.forward(params, x)[1], strict=True):
        assert_close(field[0, ...], same[0, ...], EXACT)
    assert cell == "rnn_relu" or to_numpy(once[0]).all()
    single = MAKERS[cell](3, 8, dropout=0.5)
    one = single.init(backend, seed=0)
    assert_close(single.forward(one, x, rng=KEY)[0], single.forward(one, x)[0], EXACT)


@cells
def test_dropout_between_layers_is_the_dropout_layer(cell: str) -> None:
    """Depth, direction and lengths too; in a model, each place draws a mask of its own."""
    x, lengths = steps(NUMPY, (5, 2, 3), 0), [5, 2]
    deep = MAKERS[cell](3, 4, 3, bidirectional=True, dropout=0.4)
    size = deep.output_size
    parts = [MAKERS[cell](D, 4, bidirectional=True) for D in (3, size, size)]
    model = rx.Sequential(parts[0], rx.Dropout(0.4), parts[1], rx.Dropout(0.4), parts[2])
    params = deep.init(NUMPY)
    y = model.forward((params[:2], (), params[2:4], (), params[4:]), x, lengths=lengths, rng=KEY)[0]
    assert_close(deep.forward(params, x, lengths=lengths, rng=KEY)[0], y, ACROSS)
    assert (deep.streams, model.streams) == (2, 2)


# Descriptions.

DESCRIBED = [
    rx.Residual(rx.Sequential(rx.LSTM(4, 4, zoneout=(0.1, 0.2), layer_norm=True), rx.Linear(4, 4))),
    rx.GRU(3, 4, 2, variational=True, recurrent_dropout=0.1, learn_state=True),
    rx.RNN(2, 3),
    rx.RNN(2, 3, 2, nonlinearity="relu", bias="input", bidirectional=True, dropout=0.5),
    rx.GRU(2, 3),
    rx.GRU(2, 3, 2, reset="before", bias=False),
    rx.LSTM(2, 3),
    rx.LSTM(2, 3, 4, bidirectional=True, dropout=0.25, proj_size=2),
    rx.LSTM(2, 3, reverse=True, activations=["tanh", ["elu", 0.5], "relu"], peepholes=True, coupled=True),
    rx.GRU(2, 3, activations=["hard_sigmoid", "softplus"], clip=3.0),
    rx.RNN(2, 3, nonlinearity=["leaky_relu", 0.25], clip=2.0),
    rx.Recurrent(CELLS["lstm"], 2, 3, proj_size=1),
    rx.Recurrent(UGRNN, 2, 3, 2, bidirectional=True),
    rx.Linear(2, 3),
    rx.Linear(2, 3, bias=False),
    rx.Embedding(5, 2),
    rx.Dropout(0.5),
    rx.LastStep(),
    rx.LastStep(2),
    rx.MeanPool(),
    rx.MaxPool(),
    rx.Sequential(rx.Embedding(5, 2), rx.LSTM(2, 3, bidirectional=True), rx.LastStep(), rx.Linear(6, 2)),
    rx.Sequential(rx.Sequential(rx.GRU(2, 3), rx.Dropout(0.1)), rx.MeanPool()),
]


def test_every_layer_is_described() -> None:
    assert {type(layer) for layer in DESCRIBED} == {*LAYERS.values(), rx.Sequential}


@pytest.mark.parametrize("layer", DESCRIBED, ids=repr)
def test_descriptions(layer: Any) -> None:
    config = json.loads(json.dumps(layer.config()))
    again = from_config(config, {"ugrnn": UGRNN})
    assert again == layer
    assert type(again) is type(layer)
    assert hash(again) == hash(layer)
    assert again.config() == config
    if "Recurrent" not in repr(layer):  # a cell has no name in Python
        assert eval(repr(layer), dict(vars(rx))) == layer
    assert sum(again == other for other in DESCRIBED) == 1
    for name in [name for name in config if name != "type"] or ["anything"]:
        with pytest.raises(AttributeError):
            setattr(layer, name, 1)
    assert_close(again.init(NUMPY, seed=5), layer.init(NUMPY, seed=5), EXACT)


@pytest.mark.parametrize("layer", DESCRIBED, ids=repr)
def test_pickled_layers_are_the_same_layers(layer: Any) -> None:
    again = pickle.loads(pickle.dumps(layer))
    assert again == layer == copy.deepcopy(layer)
    assert type(again) is type(layer)
    if layer != rx.MaxPool():
        assert again != rx.MaxPool()


def test_options_share_their_cell() -> None:
    assert rx.LSTM(2, 3, clip=3).cell == rx.LSTM(4, 5, clip=3.0).cell != rx.LSTM(2, 3, clip=2.0).cell
    assert rx.LSTM(2, 3).cell == CELLS["lstm"]
    assert rx.GRU(2, 3, reset="before").cell == CELLS["gru_reset_before"]
    assert rx.RNN(2, 3, nonlinearity="relu").cell == CELLS["rnn_relu"]
    assert rx.LSTM(2, 3, clip=3.0, coupled=True).cell.name == "lstm(coupled=True, clip=3.0)"


def test_the_last_step_against_time_is_the_first() -> None:
    layer = rx.GRU(2, 3, 2, reverse=True)
    x = steps(NUMPY, (5, 2, 2), 0)
    params = layer.init(NUMPY)
    y, state_T, _ = layer.forward(params, x, lengths=[5, 3])
    model = rx.Sequential(layer, rx.LastStep())
    assert model.layers[1] == rx.LastStep(reverse_size=3)
    last = model.forward((params, ()), x, lengths=[5, 3])[0]
    assert_close(last, y[0], EXACT)
    assert_close(last, state_T.h[-1], EXACT)


def test_repr_leaves_out_defaults() -> None:
    assert repr(rx.LSTM(2, 3)) == "LSTM(2, 3)"
    assert repr(rx.GRU(2, 3, 1, reset="before", bias=True)) == "GRU(2, 3, reset='before')"
    assert repr(rx.Linear(2, 3, False)) == "Linear(2, 3, bias=False)"
    assert repr(rx.Recurrent(UGRNN, 2, 3, 2)) == "Recurrent(ugrnn, 2, 3, num_layers=2)"


def test_only_the_first_constant_is_bounded() -> None:
    for spec in (("scaled_tanh", 1.0, -0.5), ("hard_sigmoid", -0.2, -1.0), ("affine", -1.0, -1.0)):
        assert rx.RNN(2, 3, nonlinearity=spec).nonlinearity == spec


def test_cells_of_other_options_have_other_names() -> None:
    cells = [
        *[rnn.cell(name, clip=clip) for name in ("tanh", "affine", ("affine", 2.0)) for clip in (None, 3.0)],
        *[rnn.cell(("affine", alpha, beta)) for alpha, beta in ((2.0, 1.0), (1.0, 1.0))],
        *[gru.cell(reset, clip=clip) for reset in ("after", "before") for clip in (None, 3.0)],
        gru.cell(activations=("sigmoid", "relu")),
        *[lstm.cell(peepholes=p, coupled=c) for p in (False, True) for c in (False, True)],
        *[lstm.cell(activations=("sigmoid", g, h)) for g, h in (("relu", "tanh"), ("tanh", "relu"))],
        lstm.cell(clip=3.0),
    ]
    assert len({cell.name for cell in cells}) == len(cells)
    assert rnn.cell(("affine", 1.0, 0.0)) == rnn.cell("affine")


def test_all_layers_are_in_the_table() -> None:
    found = {
        name
        for name, value in vars(layers_module).items()
        if isinstance(value, type)
        and issubclass(value, layers_module.Layer)
        and value is not layers_module.Layer
    }
    assert found == set(LAYERS)


# Words.

LSTM = rx.LSTM(3, 4)
PARAMS = LSTM.init(NUMPY)
GOOD = np.zeros((5, 2, 3))
STATE = LSTM.cell.state(np.zeros((1, 2, 4)), np.zeros((1, 2, 4)))
TAPE = LSTM.forward(PARAMS, GOOD)[2]
D_Y = np.zeros((5, 2, 4))
LINEAR = rx.Linear(3, 2)
TABLE = rx.Embedding(3, 2)

CONSTRUCTION = [
    (lambda: rx.LSTM(0, 4), ValueError, "`input_size` must be an integer of at least 1; got 0."),
    (lambda: rx.LSTM(3, 4.0), TypeError, "`hidden_size` must be an integer of at least 1; got 4.0."),
    (lambda: rx.GRU(3, 4, -1), ValueError, "`num_layers` must be an integer of at least 1; got -1."),
    (
        lambda: rx.LSTM(3, 4, bias="both"),
        ValueError,
        "`bias` must be one of True, 'input', False; got 'both'.",
    ),
    (lambda: rx.RNN(3, 4, bidirectional=2), ValueError, "`bidirectional` must be one of True, False; got 2."),
    (
        lambda: rx.RNN(3, 4, nonlinearity="sin"),
        ValueError,
        "`nonlinearity` must be one of 'sigmoid', 'tanh', 'relu', 'affine', 'leaky_relu', "
        "'thresholded_relu', 'scaled_tanh', 'hard_sigmoid', 'elu', 'softsign', 'softplus'; got 'sin'.",
    ),
    (
        lambda: rx.RNN(3, 4, nonlinearity=("elu", 1.0, 2.0)),
        ValueError,
        "`nonlinearity` must give elu at most 1 constants; got [1.0, 2.0].",
    ),
    (
        lambda: rx.RNN(3, 4, nonlinearity=("leaky_relu", -0.1)),
        ValueError,
        "`nonlinearity leaky_relu` must be a finite number >= 0; got -0.1.",
    ),
    (
        lambda: rx.RNN(3, 4, nonlinearity=("scaled_tanh", 0.0)),
        ValueError,
        "`nonlinearity scaled_tanh` must be a finite number > 0; got 0.",
    ),
    (lambda: rx.LSTM(3, 4, clip=0.0), ValueError, "`clip` must be a finite number > 0; got 0."),
    (lambda: rx.LSTM(3, 4, peepholes=2), ValueError, "`peepholes` must be one of True, False; got 2."),
    (lambda: rx.LSTM(3, 4, coupled="no"), ValueError, "`coupled` must be one of True, False; got 'no'."),
    *[
        (
            lambda spec=spec: rx.RNN(3, 4, nonlinearity=spec),
            TypeError,
            f"`nonlinearity` must be a name, or a tuple of a name and its constants; got {spec!r}.",
        )
        for spec in (3, None, (), (1, 2), {"elu": 1})
    ],
    (
        lambda: rx.GRU(3, 4, activations=("tanh", 1)),
        TypeError,
        "`activations` must be a name, or a tuple of a name and its constants; got 1.",
    ),
    (
        lambda: rx.GRU(3, 4, activations={"tanh": 1, "relu": 2}),
        ValueError,
        "`activations` must hold 2 names, or tuples of a name and constants; got {'tanh': 1, 'relu': 2}.",
    ),
    (
        lambda: rx.LSTM(3, 4, activations=("tanh", "tanh")),
        ValueError,
        "`activations` must hold 3 names, or tuples of a name and constants; got ('tanh', 'tanh').",
    ),
    (
        lambda: rx.GRU(3, 4, activations="tanh"),
        ValueError,
        "`activations` must hold 2 names, or tuples of a name and constants; got 'tanh'.",
    ),
    (
        lambda: rx.GRU(3, 4, bidirectional=True, reverse=True),
        ValueError,
        "`reverse` must be False where `bidirectional` is True, which runs both ways; got True.",
    ),
    (
        lambda: rx.Recurrent(rx.Cell("twice", (UGRNN.pairs[0]._replace(vectors=("p", "p")),)), 3, 4),
        ValueError,
        "`vectors` of a cell must have names of their own; got ('p', 'p').",
    ),
    (lambda: rx.GRU(3, 4, reset="no"), ValueError, "`reset` must be one of 'after', 'before'; got 'no'."),
    (
        lambda: rx.LSTM(3, 4, dropout=1.0),
        ValueError,
        "`dropout` must be a finite number >= 0 and < 1; got 1.",
    ),
    (
        lambda: rx.LSTM(3, 4, proj_size=4),
        ValueError,
        "`proj_size` must be an integer of at least 0 and at most 3; got 4.",
    ),
    (
        lambda: rx.Recurrent(UGRNN, 3, 4, proj_size=2),
        ValueError,
        "`proj_size` must be 0 with the cell 'ugrnn'",
    ),
    (lambda: rx.Recurrent("lstm", 3, 4), TypeError, "`cell` must be a rnn_xp.Cell; got str."),
    (lambda: rx.Linear(3, 0), ValueError, "`output_size` must be an integer of at least 1; got 0."),
    (lambda: rx.Linear(3, 1, bias="input"), ValueError, "`bias` must be one of True, False; got 'input'."),
    (lambda: rx.Embedding(0, 1), ValueError, "`num_tokens` must be an integer of at least 1; got 0."),
    (lambda: rx.Embedding(2, True), TypeError, "`size` must be an integer of at least 1; got True."),
    (lambda: rx.Dropout(-0.1), ValueError, "`rate` must be a finite number >= 0 and < 1; got -0.1."),
    (lambda: rx.Dropout("half"), TypeError, "`rate` must be a finite number >= 0 and < 1; got 'half'."),
    (lambda: rx.LastStep(-1), ValueError, "`reverse_size` must be an integer of at least 0; got -1."),
]
USE = [
    (
        lambda: LSTM.forward(PARAMS, np.zeros((2, 3))),
        ValueError,
        "`x` must have shape (T, B, D) with D = 3; got (2, 3).",
    ),
    (
        lambda: LSTM.forward(PARAMS, np.zeros((5, 2, 4))),
        ValueError,
        "with D = 3; got (5, 2, 4). Time comes first.",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD.astype(np.float32)),
        TypeError,
        "`x` must have dtype float64, that of the parameters; got float32.",
    ),
    (lambda: LSTM.forward(PARAMS, [[[0.0]]]), TypeError, "must be an array; got list."),
    (
        lambda: LSTM.forward(PARAMS[0], GOOD),
        ValueError,
        "`params` must be those of LSTM(3, 4), as its init returns them: ",
    ),
    (lambda: LSTM.forward(rx.LSTM(3, 5).init(NUMPY), GOOD), ValueError, "0.bias_hh (16,), got (20,)"),
    (
        lambda: LSTM.forward(rx.LSTM(3, 4, bias=False).init(NUMPY), GOOD),
        ValueError,
        "0.bias_hh (16,), got absent",
    ),
    (lambda: rx.LSTM(3, 4, bias=False).forward(PARAMS, GOOD), ValueError, "0.bias_hh absent, got (16,)"),
    (
        lambda: LSTM.forward(PARAMS, GOOD, (STATE.h,)),
        TypeError,
        "`state_0` must be a tuple of the cell's fields (h, c); got tuple of 1.",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, [STATE.h, STATE.c]),
        TypeError,
        "`state_0` must be a tuple of the cell's fields (h, c); got list.",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, STATE.h),
        TypeError,
        "`state_0` must be a tuple of the cell's fields (h, c); got ndarray.",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, (STATE.h, STATE.c[:, :1])),
        ValueError,
        "`state_0.c` must have shape (L*dirs, B, H) with L*dirs = 1, B = 2, H = 4; got (1, 1, 4).",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, (STATE.h, STATE.c.astype("f"))),
        TypeError,
        "`state_0.c` must have dtype float64",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, lengths=[1]),
        ValueError,
        "`lengths` must have shape (B,) with B = 2; got (1,).",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, lengths=[1, 6]),
        ValueError,
        "`lengths` must lie in 0..T with T = 5; got 6 at index 1.",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, lengths=[1, 2.0]),
        TypeError,
        "`lengths` must hold integers; got 2.0 at index 1.",
    ),
    (
        lambda: LSTM.forward(PARAMS, GOOD, lengths=3),
        TypeError,
        "`lengths` must be a list or host integer array",
    ),
    (
        lambda: LSTM.backward(PARAMS, TAPE, D_Y[:4]),
        ValueError,
        "`d_y` must have shape (T, B, K) with T = 5, B = 2, K = 4; got (4, 2, 4).",
    ),
    (lambda: LSTM.backward(PARAMS, TAPE, D_Y.astype("f")), TypeError, "`d_y` must have dtype float64"),
    (
        lambda: LSTM.backward(PARAMS, TAPE, D_Y, (STATE.h,)),
        TypeError,
        "`d_state_T` must be a tuple of the cell's fields (h, c); got tuple of 1.",
    ),
    (
        lambda: LSTM.backward(PARAMS, TAPE, D_Y, (STATE.h, STATE.h[0])),
        ValueError,
        "`d_state_T.c` must have shape",
    ),
    (lambda: LSTM.backward((), TAPE, D_Y), ValueError, "`params` must be those of LSTM(3, 4)"),
    (
        lambda: LINEAR.forward(LINEAR.init(NUMPY), np.zeros((4, 4))),
        ValueError,
        "`x` must have shape (B, D) with D = 3; got (4, 4).",
    ),
    (
        lambda: LINEAR.forward(LINEAR.init(NUMPY), np.zeros((4, 4, 4))),
        ValueError,
        "`x` must have shape (T, B, D) with D = 3; got (4, 4, 4).",
    ),
    (lambda: LINEAR.forward(LINEAR.init(NUMPY), np.zeros((4, 3)), state_0=(1,)), TypeError, "`state_0"),
    (
        lambda: rx.MeanPool().forward((), GOOD, state_0=[]),
        TypeError,
        "`state_0` must be None or (): MeanPool has no state; got list.",
    ),
    (
        lambda: TABLE.forward(TABLE.init(NUMPY), np.zeros((2, 2))),
        TypeError,
        "`x` must hold integer tokens; got dtype float64.",
    ),
    (
        lambda: TABLE.forward(TABLE.init(NUMPY), np.array([[0, 3]])),
        ValueError,
        "`x` must hold tokens in 0..V-1 with V = 3; got 0..3.",
    ),
    (lambda: TABLE.forward(TABLE.init(NUMPY), np.array([[-1, 2]])), ValueError, "with V = 3; got -1..2."),
    (
        lambda: TABLE.forward(TABLE.init(NUMPY), np.array([1, 2])),
        ValueError,
        "`x` must have shape (T, B); got (2,).",
    ),
    (
        lambda: rx.MaxPool().forward((), np.zeros((2, 3))),
        ValueError,
        "`x` must have shape (T, B, D); got (2, 3).",
    ),
    (
        lambda: rx.LastStep().forward((), np.zeros((0, 2, 3))),
        ValueError,
        "`x` must have at least one step to pool; got T = 0.",
    ),
    (
        lambda: rx.Dropout(0.5).forward((), np.zeros(3)),
        ValueError,
        "`x` must have shape (T, B, D); got (3,).",
    ),
    (
        lambda: rx.Dropout(0.5).forward((), GOOD, rng=(-1, 0)),
        ValueError,
        "`rng.seed` must be an integer of at least 0",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "text"), CONSTRUCTION + USE, ids=[text[:60] for *_, text in CONSTRUCTION + USE]
)
def test_words(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=words(text)):
        call()


class Other(NamedTuple):
    c: Any
    h: Any


def pair(**options: Any) -> rx.Pair:
    return UGRNN.pairs[0]._replace(**options)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (rx.Cell("none", ()), "`cell` must have at least one pair"),
        (UGRNN._replace(state=Other), "a NamedTuple `state` whose first field is h"),
        (UGRNN._replace(state=tuple), "a NamedTuple `state` whose first field is h"),
        (
            rx.Cell("twice", (pair(), pair())),
            "must read and multiply every gate once, in one order; got ('g', 'c', 'g', 'c')",
        ),
        (rx.Cell("order", (pair(multiplies=("c", "g")),)), "got ('g', 'c') and ('c', 'g')."),
        (rx.Cell("less", (pair(multiplies=("g",)),)), "got ('g', 'c') and ('g',)."),
        (
            rx.Cell(
                "later",
                (
                    pair(reads=("a", "b")),
                    pair(reads=("c", "d"), multiplies=("c",)),
                    pair(reads=("e",), multiplies=("d", "e")),
                ),
            ),
            "must read no gate that only a later pair multiplies; got ('c', 'd').",
        ),
        (
            rx.Cell("apart", (pair(apart=("g",)),)),
            "`apart` must be the last gates that the pair multiplies; got ('g',) of ('g', 'c').",
        ),
        (
            rx.Cell(
                "apart",
                (
                    pair(reads=("r",), multiplies=("r", "z"), apart=("z",)),
                    pair(reads=("z", "n"), multiplies=("n",)),
                ),
            ),
            "`apart` must be the last gates that the pair reads; got ('z',) of ('r',).",
        ),
        (
            rx.Cell("both", (pair(reads=("r",)), pair(reads=("z",))), projectable=True),
            "`projectable` must be False for a cell of several pairs, whose products need all of h; got",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, rx.Cell) else "",
)
def test_cells_that_do_not_fit(cell: rx.Cell, text: str) -> None:
    with pytest.raises(ValueError, match=words(text)):
        rx.Recurrent(cell, 2, 3)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda a, g, c: (g, None), "must return 2 planes to keep, ('g', 'c'); got NoneType."),
        (lambda a, g, c: (g, (g,)), "must return 2 planes to keep, ('g', 'c'); got 1."),
        (lambda a, g, c: (g, (g, c[:1, :])), "must keep planes (H, B) = ("),
        (lambda a, g, c: (a[0], (g, c)), "must not return an array of `a` that a kept plane replaces"),
        (lambda a, g, c: (g, (a[1], c)), "must not return an array of `a` that a kept plane replaces"),
    ],
)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("engine", ["portable", "cupy"])
def test_what_a_forward_must_return(
    answer: Any, text: str, bidirectional: bool, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNN_XP_ENGINE", engine)

    def forward(a: Any, s_prev: Any, *, xp: Any) -> Any:
        h, kept = answer(a, xp.tanh(a[0]), xp.tanh(a[1]))
        return rx.State(h), kept

    layer = rx.Recurrent(rx.Cell("own", (pair(forward=forward),)), 2, 3, bidirectional=bidirectional)
    with pytest.raises(ValueError, match=words("a pair's forward " + text)):
        layer.forward(layer.init(NUMPY), np.zeros((4, 2, 2)))


FORM = "the last pair's forward must return a state, of 1 fields; got "


@pytest.mark.parametrize(
    ("part", "answer", "text"),
    [
        ("forward", lambda usual: None, "a pair's forward must return (result, kept); got NoneType."),
        ("forward", lambda usual: usual[0], "a pair's forward must return (result, kept); got 1."),
        ("forward", lambda usual: (usual[0].h, usual[1]), f"{FORM}ndarray."),
        ("forward", lambda usual: ((*usual[0], *usual[0]), usual[1]), f"{FORM}2."),
        (
            "forward",
            lambda usual: (rx.State(usual[0].h[:1, :]), usual[1]),
            "forward must return planes (H, B) = (",
        ),
        ("forward", lambda usual: (usual[0], (usual[1][0], 1.0)), "forward must keep planes (H, B) = ("),
        ("partials", lambda usual: usual[0], "a pair's partials must return a tuple of planes; got ndarray."),
        ("partials", lambda usual: (0.5, *usual[1:]), "a pair's partials must return planes ("),
        ("partials", lambda usual: (usual[0] > 0.0, *usual[1:]), "must return numbers; got a condition"),
        (
            "partials",
            lambda usual: (usual[0][..., :1, :], *usual[1:]),
            "a pair's partials must return planes (",
        ),
        ("backward", lambda usual: usual[0], "return 2 planes as d_a, for ('g', 'c'); got ndarray."),
        ("backward", lambda usual: (usual[0][0], usual[1]), "planes as d_a, for ('g', 'c'); got ndarray."),
        (
            "backward",
            lambda usual: (usual[0][:1], usual[1]),
            "must return 2 planes as d_a, for ('g', 'c'); got 1.",
        ),
        (
            "backward",
            lambda usual: (usual[0] * 2, usual[1]),
            "must return 2 planes as d_a, for ('g', 'c'); got 4.",
        ),
        ("backward", lambda usual: (usual[0], ()), "must return 1 planes as d_s_prev; got 0."),
        ("backward", lambda usual: ((usual[0][0][:1, :], usual[0][1]), usual[1]), "return planes (H, B) = ("),
    ],
)
@pytest.mark.parametrize("engine", ["portable", "cupy"])
def test_what_functions_of_a_cell_must_return(
    part: str, answer: Any, text: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNN_XP_ENGINE", engine)
    usual = UGRNN.pairs[0]

    def other(*given: Any, **options: Any) -> Any:
        return answer(getattr(usual, part)(*given, **options))

    layer = rx.Recurrent(rx.Cell("own", (usual._replace(**{part: other}),)), 2, 3)
    params = layer.init(NUMPY)
    with pytest.raises(ValueError, match=words(text)):
        run(layer, params, steps(NUMPY, (4, 2, 2), 0), steps(NUMPY, (4, 2, 3), 1))


def test_a_forward_may_keep_what_it_was_given() -> None:
    """Each array in its own place, where keeping it is no work."""

    def forward(a: Any, s_prev: Any, *, xp: Any) -> Any:
        return rx.State(a[0] + xp.tanh(a[1])), (a[0], a[1])

    layer = rx.Recurrent(rx.Cell("own", (pair(forward=forward),)), 2, 3)
    params, x = layer.init(NUMPY), steps(NUMPY, (1, 2, 2), 0)
    a = x[0] @ params[0].weight_ih.T + params[0].bias_ih + params[0].bias_hh
    assert_close(layer.forward(params, x)[0][0], a[:, :3] + np.tanh(a[:, 3:]), ACROSS)


def test_bad_input_leaves_the_layer_as_it_was() -> None:
    before = own(NUMPY, PARAMS)
    for call, kind, _ in USE:
        with pytest.raises(kind):
            call()
    assert_close(PARAMS, before, EXACT)
