"""Layers in a row: how they fit, what a loss counts, and what files may ask for."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from support import ACROSS, EXACT, UGRNN, assert_close, normal, open_backend, steps

import rnn_xp as rx
from rnn_xp import sequence, tree
from rnn_xp.backend import Backend
from rnn_xp.cells import CELLS
from rnn_xp.configs import from_config
from rnn_xp.layers import Signal
from rnn_xp.layers.base import Context
from rnn_xp.model import LOSSES, Sequential, loss_and_gradients

NUMPY = open_backend("numpy")
KEY = rx.Rng(seed=1, step=2)


def test_a_model_is_its_layers_in_a_row(backend: Backend) -> None:
    layers = [
        rx.GRU(3, 4, bidirectional=True),
        rx.Linear(8, 3),
        rx.LSTM(3, 2),
        rx.MeanPool(),
        rx.Linear(2, 2),
    ]
    model = rx.Sequential(*layers)
    params = model.init(backend, seed=0)
    assert len(params) == len(model.layers) == 5
    x = steps(backend, (5, 2, 3), 0)
    y, state_T, tape = model.forward(params, x, lengths=[5, 3])
    flow, states, tapes = x, [], []
    for layer, p in zip(layers, params, strict=True):
        flow, state, own_tape = layer.forward(p, flow, lengths=[5, 3] if flow.ndim == 3 else None)
        states.append(state)
        tapes.append(own_tape)
    assert_close((y, state_T), (flow, tuple(states)), EXACT)
    d = d_y = normal(backend, y, 1)
    expected = []
    for layer, p, own_tape in zip(layers[::-1], params[::-1], tapes[::-1], strict=True):
        d_p, d, _ = layer.backward(p, own_tape, d)
        expected.append(d_p)
    d_params, d_x, d_state_0 = model.backward(params, tape, d_y)
    assert_close((d_params, d_x), (tuple(expected[::-1]), d), ACROSS)
    assert tree.named_leaves(d_state_0)[0][0] == "0.h"
    assert [len(tree.leaves(state)) for state in d_state_0] == [1, 0, 2, 0, 0]


def test_states_go_to_their_layers(numpy64: Backend) -> None:
    model = rx.Sequential(rx.LSTM(2, 3), rx.GRU(3, 2))
    params, x = model.init(numpy64), steps(numpy64, (6, 2, 2), 0)
    y, state_T, _ = model.forward(params, x)
    y_1, state, _ = model.forward(params, x[:4])
    y_2, state_2, _ = model.forward(params, x[4:], state)
    assert_close((np.concatenate([y_1, y_2]), state_2), (y, state_T), ACROSS)


def test_last_step_learns_which_features_run_against_time(backend: Backend) -> None:
    model = rx.Sequential(rx.LSTM(2, 3, bidirectional=True), rx.Dropout(0.5), rx.LastStep())
    assert model.layers[2] == rx.LastStep(3)
    assert rx.Sequential(rx.LSTM(2, 3), rx.LastStep()).layers[1] == rx.LastStep()
    mixed = rx.Sequential(rx.LSTM(2, 3, bidirectional=True), rx.Linear(6, 6), rx.LastStep())
    assert mixed.layers[2] == rx.LastStep()
    nested = rx.Sequential(rx.Sequential(rx.GRU(2, 3, bidirectional=True)), rx.LastStep())
    assert nested.layers[1] == rx.LastStep(3)
    projected = rx.Sequential(rx.LSTM(2, 3, bidirectional=True, proj_size=2), rx.LastStep())
    assert projected.layers[1] == rx.LastStep(2)

    params, x = model.init(backend), steps(backend, (4, 2, 2), 0)
    y, state_T, _ = model.forward(params, x, lengths=[4, 2])
    halves = backend.xp.concat([state_T[0].h[0, ...], state_T[0].h[1, ...]], axis=1)
    assert_close(y, halves, EXACT)


@pytest.mark.parametrize(
    ("layers", "tokens", "per_step", "size"),
    [
        ((rx.LSTM(2, 3, bidirectional=True),), False, True, 6),
        ((rx.LSTM(2, 3), rx.LastStep()), False, False, 3),
        ((rx.Embedding(5, 2), rx.GRU(2, 3), rx.Linear(3, 4)), True, True, 4),
        ((rx.MeanPool(),), False, False, None),
        ((rx.Dropout(0.5),), False, True, None),
        ((rx.MaxPool(), rx.Dropout(0.5), rx.Linear(7, 2)), False, False, 2),
    ],
    ids=repr,
)
def test_what_a_model_tells_of_itself(layers: Any, tokens: bool, per_step: bool, size: int | None) -> None:
    model = rx.Sequential(*layers)
    assert (model.intake.kind == "tokens", model.per_step, model.output_size) == (tokens, per_step, size)
    assert isinstance(model.connect(None)[1], Signal)


def test_every_place_draws_its_own_mask() -> None:
    model = rx.Sequential(rx.Dropout(0.5), rx.Dropout(0.5))
    x = np.ones((4, 3, 16))
    y = model.forward(((), ()), x, rng=KEY)[0]
    first = rx.Dropout(0.5).forward((), x, rng=KEY)[0]
    second = rx.Dropout(0.5).forward((), first, rng=KEY._replace(layer=1))[0]
    assert_close(y, second, EXACT)
    assert 0.1 < (y > 0).mean() < 0.4  # both have to keep: a quarter of 192, not half


def test_need_d_x_reaches_the_first_layer() -> None:
    model = rx.Sequential(rx.Linear(2, 2), rx.RNN(2, 2))
    params, x = model.init(NUMPY), np.ones((3, 1, 2))
    y, _, tape = model.forward(params, x)
    whole, without = (model.backward(params, tape, y, need_d_x=need) for need in (True, False))
    assert without[1] is None
    assert whole[1].shape == x.shape
    assert_close(without[0], whole[0], EXACT)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_weighted_over_valid_steps(name: str, backend: Backend) -> None:
    """sum of weight * loss over the sum of weights: halves of a batch add up, and padding counts nothing."""
    random = np.random.RandomState(0)
    xp, T, B, K = backend.xp, 4, 3, 2
    model = rx.Sequential(rx.RNN(2, 3), rx.Linear(3, K))
    params, lengths = model.init(backend), [4, 1, 3]
    x = random.standard_normal((T, B, 2))
    target = random.randint(0, K, (T, B)) if LOSSES[name].classes else random.uniform(size=(T, B, K))
    weight = random.uniform(size=(T, B)) * (np.arange(T)[:, None] < lengths)
    share = weight / weight.sum()

    def answer(samples: list[int], steps: int = T) -> Any:
        part = [backend.asarray(value[:steps, samples]) for value in (x, target, share)]
        valid = sequence.valid_steps([lengths[i] for i in samples], steps, part[0], xp=xp)
        return loss_and_gradients(model, params, LOSSES[name], *part, Context(xp, valid))[:2]

    whole = answer([0, 1, 2])
    y = model.forward(params, backend.asarray(x), lengths=lengths)[0]
    losses = LOSSES[name].forward(y, backend.asarray(target), xp=xp)[0]
    assert whole[0].shape == ()
    assert_close(whole[0], xp.sum(losses * backend.asarray(share)), ACROSS)
    parts = [answer([1], 1), answer([2], 3), answer([0])]
    assert_close(whole, tree.map(lambda *each: sum(each), *parts), ACROSS)


WORDS = [
    (lambda: Sequential(), ValueError, "`layers` must hold at least one layer; got none."),
    (lambda: Sequential(rx.LSTM(2, 3), "linear"), TypeError, "`layers` must be layers; got str at place 1."),
    (lambda: Sequential(rx.LSTM), TypeError, "`layers` must be layers; got "),
    (
        lambda: Sequential(rx.LSTM(2, 3), rx.Linear(4, 2)),
        ValueError,
        "layer 1 does not fit the one before it: ",
    ),
    (
        lambda: Sequential(rx.LSTM(2, 3), rx.Linear(4, 2)),
        ValueError,
        "Linear(4, 2) takes 4 features; what comes in",
    ),
    (
        lambda: Sequential(rx.LSTM(2, 3), rx.LSTM(2, 3)),
        ValueError,
        "takes steps of 2 features; what comes in is ",
    ),
    (
        lambda: Sequential(rx.MeanPool(), rx.GRU(2, 3)),
        ValueError,
        "takes steps of 2 features; what comes in is vector",
    ),
    (
        lambda: Sequential(rx.MeanPool(), rx.LastStep()),
        ValueError,
        "LastStep() takes steps; what comes in is vector",
    ),
    (
        lambda: Sequential(rx.RNN(2, 3), rx.Embedding(3, 2)),
        ValueError,
        "takes tokens, so it must come first;",
    ),
    (
        lambda: Sequential(rx.Sequential(rx.MeanPool()), rx.Sequential(rx.LSTM(2, 3))),
        ValueError,
        "layer 1 does not fit the one before it: ",
    ),
    (
        lambda: Sequential(rx.LSTM(2, 3)).forward(
            Sequential(rx.LSTM(2, 3)).init(NUMPY), np.ones((1, 1, 2)), ()
        ),
        TypeError,
        "`state_0` must be a tuple of 1 states, one a layer; got tuple of 0.",
    ),
    (
        lambda: Sequential(rx.RNN(2, 3)).forward(
            Sequential(rx.RNN(2, 3)).init(NUMPY), np.ones((1, 1, 2)), [1]
        ),
        TypeError,
        "`state_0",
    ),
    (
        lambda: Sequential(rx.RNN(2, 3)).forward(
            Sequential(rx.RNN(2, 3)).init(NUMPY), np.ones((1, 1, 2)), ((np.ones((1, 2, 3)),),)
        ),
        ValueError,
        "`state_0[0].h` must have shape (L*dirs, B, H) with L*dirs = 1, B = 1, H = 3; got (1, 2, 3).",
    ),
    (
        lambda: from_config({"type": "Conv"}),
        ValueError,
        "`config` must describe Sequential or one of RNN, GRU, LSTM, ",
    ),
    (lambda: from_config({}), ValueError, "got None."),
    (
        lambda: from_config({"type": "Recurrent", "cell": "ugrnn", "input_size": 2, "hidden_size": 3}),
        ValueError,
        "`cells` must hold the cell 'ugrnn' that this model was built with; known are rnn_tanh, ",
    ),
    (
        lambda: from_config({"type": "Linear", "input_size": 2, "output_size": 3, "colour": 1}),
        ValueError,
        "`config` of Linear does not fit: ",
    ),
    (
        lambda: from_config({"type": "Linear", "input_size": 2}),
        ValueError,
        "`config` of Linear does not fit: ",
    ),
    (
        lambda: from_config({"type": "GRU", "input_size": 0, "hidden_size": 1}),
        ValueError,
        "`input_size` must be",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), WORDS, ids=[text[:60] for *_, text in WORDS])
def test_words(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=re.escape(text)):
        call()


def test_dropout_takes_no_tokens() -> None:
    with pytest.raises(ValueError, match=re.escape("Dropout(0.5) takes features; what comes in is tokens.")):
        rx.Dropout(0.5).connect(Signal("tokens", None))


def test_own_cells_come_back_by_name() -> None:
    layer = rx.Recurrent(UGRNN, 2, 3)
    assert from_config(layer.config(), {"ugrnn": UGRNN}) == layer
    assert from_config(rx.Sequential(layer).config(), {"ugrnn": UGRNN}) == rx.Sequential(layer)


@pytest.mark.parametrize("pool", [rx.LastStep(), rx.MeanPool(), rx.MaxPool()], ids=repr)
def test_a_sequence_of_no_steps_pools_to_zero(pool: Any, backend: Backend) -> None:
    """Whatever state it starts from."""
    model = rx.Sequential(rx.GRU(2, 3, bidirectional=True), pool)
    params, x = model.init(backend), steps(backend, (3, 2, 2), 0)
    start = (normal(backend, model.forward(params, x)[1][0], 1), ())
    for state_0 in (None, start):
        y = model.forward(params, x, state_0, lengths=[0, 2])[0]
        assert_close(y[0, ...], backend.asarray(np.zeros(6)), EXACT)


def test_last_step_of_an_empty_sequence_has_no_gradient():
    """The shortcut for LastStep after a recurrent layer agrees with the layers taken one by one."""
    backend = rx.get_backend("numpy", dtype="float64")
    model = rx.Sequential(rx.GRU(1, 2, bidirectional=True), rx.LastStep())
    params = model.init(backend, seed=0)
    x, lengths = np.random.default_rng(0).standard_normal((3, 2, 1)), [3, 0]
    y, _, tape = model.forward(params, x, lengths=lengths)
    np.testing.assert_array_equal(y[1], 0)
    d_params, d_x, d_state_0 = model.backward(params, tape, np.ones_like(y))
    np.testing.assert_array_equal(d_state_0[0].h[:, 1], 0)

    steps, _, inner = model.layers[0].forward(params[0], x, lengths=lengths)
    _, _, pooled = model.layers[1].forward((), steps, lengths=lengths)
    _, d_steps, _ = model.layers[1].backward((), pooled, np.ones_like(y))
    expected = model.layers[0].backward(params[0], inner, d_steps)
    np.testing.assert_allclose(d_x, expected[1], rtol=0, atol=1e-15)
    np.testing.assert_allclose(d_state_0[0].h, expected[2].h, rtol=0, atol=1e-15)
    for actual, wanted in zip(d_params[0][0], expected[0][0], strict=True):
        if actual is not None:
            np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-14)


def test_a_plain_tuple_is_a_state():
    backend = rx.get_backend("numpy", dtype="float64")
    model = rx.Sequential(rx.LSTM(1, 2), rx.LastStep())
    params = model.init(backend, seed=0)
    y, _, tape = model.forward(params, np.ones((3, 2, 1)))
    h, c = np.ones((1, 2, 2)), np.full((1, 2, 2), 2.0)
    plain = model.backward(params, tape, np.zeros_like(y), ((h, c), ()))
    named = model.layers[0].backward(
        params[0], model.layers[0].forward(params[0], np.ones((3, 2, 1)))[2], np.zeros((3, 2, 2)), (h, c)
    )
    np.testing.assert_allclose(plain[1], named[1], rtol=0, atol=1e-15)


def test_every_bias_is_a_bias():
    for bias in (1, np.True_, True):
        assert rx.LSTM(3, 4, bias=bias).spec()[0].bias_hh is not None


def test_pooling_needs_a_step():
    backend = rx.get_backend("numpy")
    for pool in (rx.LastStep(), rx.MeanPool(), rx.MaxPool()):
        model = rx.Sequential(rx.LSTM(1, 2), pool)
        with pytest.raises(ValueError, match="at least one step to pool; got T = 0"):
            model.forward(model.init(backend), backend.asarray(np.zeros((0, 2, 1))))


def test_the_tape_does_not_watch_the_callers_array():
    backend = rx.get_backend("numpy", dtype="float64")
    layer = rx.LSTM(2, 3)
    params, x = layer.init(backend), np.random.default_rng(0).standard_normal((4, 2, 2))
    y, _, tape = layer.forward(params, x)
    before = layer.backward(params, tape, y)[0][0].weight_ih.copy()
    x[...] = 0
    np.testing.assert_array_equal(layer.backward(params, tape, y)[0][0].weight_ih, before)


def test_a_cell_needs_a_name_of_its_own():
    cell = CELLS["gru"]._replace(name="lstm")
    with pytest.raises(ValueError, match="name of its own: 'lstm'"):
        rx.Recurrent(cell, 1, 2)


def test_a_pair_reads_no_gate_that_a_later_one_multiplies():
    def nothing(*_: object) -> None:
        raise AssertionError

    pairs = (
        rx.Pair(nothing, nothing, nothing, reads=("z", "n"), multiplies=("z",)),
        rx.Pair(nothing, nothing, nothing, reads=("m",), multiplies=("n", "m")),
    )
    with pytest.raises(ValueError, match="only a later pair multiplies"):
        rx.Recurrent(rx.Cell("odd", pairs), 1, 2)


def test_models_within_models_are_built_in_time_that_does_not_double() -> None:
    model: Any = rx.LSTM(2, 2)
    for _ in range(60):
        model = rx.Sequential(model)
    assert from_config(model.config()) == model


def test_a_loss_that_counts_for_nothing_may_be_infinite() -> None:
    model = rx.Sequential(rx.RNN(1, 2), rx.Linear(2, 1))
    params, x = model.init(NUMPY, seed=0), np.ones((3, 1, 1))
    target, share = np.array([[[1e200]], [[1.0]], [[2.0]]]), np.array([[0.0], [0.5], [0.5]])
    with np.errstate(over="ignore"):
        total, d_params, _ = loss_and_gradients(
            model, params, LOSSES["squared_error"], x, target, share, Context(np)
        )
    y = model.forward(params, x)[0]
    assert_close(total, 0.5 * (y[1, 0, 0] - 1.0) ** 2 + 0.5 * (y[2, 0, 0] - 2.0) ** 2, ACROSS)
    assert all(np.isfinite(leaf).all() for leaf in tree.leaves(d_params))
