"""The state between two steps: masks, resets, zoneout, recurrent dropout, a learnt beginning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from differences import differences
from support import (
    ACROSS,
    DIFFERENCES,
    EXACT,
    MAKERS,
    UGRNN,
    assert_close,
    both_engines,
    normal,
    open_backend,
)

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import Backend
from rnn_xp.layers import Context
from rnn_xp.random import Rng, keep_mask

NUMPY = open_backend("numpy")
T, B = 6, 3
RESET = np.zeros((T, B), dtype=bool)
RESET[[0, 2, 5, 3, 4], [0, 0, 0, 1, 1]] = True
MASK = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=bool)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "learnt": {"learn_state": True},
    "zoneout": {"zoneout": 0.3},
    "dropout": {"recurrent_dropout": 0.4},
    "all": {
        "learn_state": True,
        "zoneout": 0.25,
        "recurrent_dropout": 0.4,
        "dropout": 0.3,
        "variational": True,
        "num_layers": 2,
        "bidirectional": True,
    },
}
GIVEN: dict[str, dict[str, Any]] = {
    "whole": {},
    "reset": {"reset": RESET},
    "mask": {"mask": MASK},
    "lengths and reset": {"lengths": [6, 0, 4], "reset": RESET},
}


def drawn(layer: Any, backend: Backend = NUMPY, seed: int = 0) -> Any:
    return normal(backend, layer.init(backend), seed, 0.6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize(
    ("cell", "options"),
    [("lstm_projected", name) for name in OPTIONS]
    + [(cell, "all") for cell in ("gru", "gru_reset_before", "lstm_coupled", "own_cell")],
)
def test_gradients(cell: str, given: str, options: str, training: bool) -> None:
    layer = MAKERS[cell](2, 2, **OPTIONS[options])
    rng = Rng(3, 1) if training else None
    with_state = options != "learnt"
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 2)), 1)
    state_0 = normal(NUMPY, layer.forward(params, x)[1], 2) if with_state else None
    y, state_T, tape = layer.forward(params, x, state_0, rng=rng, **GIVEN[given])
    d_y, d_state_T = normal(NUMPY, y, 3), normal(NUMPY, state_T, 4)

    def forward(inputs: Any) -> Any:
        params, x, state_0 = inputs
        return layer.forward(params, x, state_0, rng=rng, **GIVEN[given])[:2]

    (expected,) = differences(forward, (params, x, state_0), [(d_y, d_state_T)])
    d_params, d_x, d_state_0 = layer.backward(params, tape, d_y, d_state_T)
    assert_close((d_params, d_x, d_state_0 if with_state else None), expected, DIFFERENCES)


@pytest.mark.parametrize("cell", MAKERS)
@pytest.mark.parametrize("given", ["reset", "mask"])
def test_engines_agree(cell: str, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = MAKERS[cell](3, 4, 2, bidirectional=True, zoneout=0.2, recurrent_dropout=0.2, learn_state=True)
    one, other = both_engines(layer, monkeypatch, T, B, "float32", rng=Rng(0, 0), **GIVEN[given])
    assert_close(other, one, EXACT)


# Resets are separate sequences.


def pieces(reset: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (sample, start, stop) of every sequence in the rows."""
    found = []
    for b in range(reset.shape[1]):
        starts = sorted({0, *np.flatnonzero(reset[:, b]).tolist()})
        found += [(b, start, stop) for start, stop in zip(starts, [*starts[1:], len(reset)], strict=True)]
    return found


@pytest.mark.parametrize("cell", MAKERS)
@pytest.mark.parametrize("options", [{}, {"learn_state": True, "zoneout": 0.2, "num_layers": 2}])
@pytest.mark.parametrize("way", [{}, {"reverse": True}, {"bidirectional": True}])
def test_a_reset_begins_a_separate_sequence(cell: str, options: Any, way: Any) -> None:
    layer = MAKERS[cell](3, 4, **options, **way)
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    y, _, tape = layer.forward(params, x, reset=RESET)
    d_y = normal(NUMPY, y, 3)
    d_params, d_x, _ = layer.backward(params, tape, d_y)
    total = None
    for b, start, stop in pieces(RESET):
        part = slice(start, stop), slice(b, b + 1)
        own, _, own_tape = layer.forward(params, x[part])
        assert_close(y[part], own, ACROSS)
        d_own, d_x_own, _ = layer.backward(params, own_tape, d_y[part])
        assert_close(d_x[part], d_x_own, ACROSS)
        total = d_own if total is None else tree.map(np.add, total, d_own)
    assert_close(d_params, total, ACROSS)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_row_of_sequences_leaves_the_state_of_the_last(options: str) -> None:
    layer = rx.LSTM(3, 4, **{**OPTIONS[options], "bidirectional": False})
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    state_0 = normal(NUMPY, layer.forward(params, x)[1], 2)
    _, state_T, _ = layer.forward(params, x, state_0, reset=RESET)
    _, last, _ = layer.forward(params, x[4:, 1:2])
    assert_close([field[:, 1:2] for field in state_T], list(last), ACROSS)


# Any mask.


@pytest.mark.parametrize("cell", MAKERS)
@pytest.mark.parametrize("way", [{}, {"reverse": True}, {"bidirectional": True, "num_layers": 2}])
def test_a_mask_is_as_if_the_rest_were_not_there(cell: str, way: Any) -> None:
    layer = MAKERS[cell](3, 4, **way)
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    x[~MASK] = np.nan
    y, state_T, tape = layer.forward(params, x, mask=MASK)
    d_y, d_state_T = normal(NUMPY, y, 3), normal(NUMPY, state_T, 4)
    d_params, d_x, d_state_0 = layer.backward(
        params, tape, np.where(MASK[:, :, None], d_y, np.nan), d_state_T
    )
    assert not y[~MASK].any()
    assert not d_x[~MASK].any()
    total = None
    for b in range(B):
        part, one = (MASK[:, b], slice(b, b + 1)), slice(b, b + 1)
        own, own_T, own_tape = layer.forward(params, x[part])
        d = layer.backward(params, own_tape, d_y[part], tree.map(lambda f, one=one: f[:, one], d_state_T))
        assert_close(y[part], own, ACROSS)
        assert_close(tree.map(lambda f, one=one: f[:, one], state_T), own_T, ACROSS)
        assert_close(d_x[part], d[1], ACROSS)
        assert_close(tree.map(lambda f, one=one: f[:, one], d_state_0), d[2], ACROSS)
        total = d[0] if total is None else tree.map(np.add, total, d[0])
    assert_close(d_params, total, ACROSS)


@pytest.mark.parametrize("pool", [rx.LastStep(), rx.MeanPool(), rx.MaxPool()], ids=repr)
def test_pooling_goes_by_the_mask(pool: Any) -> None:
    model = rx.Sequential(rx.GRU(3, 4, 2, bidirectional=True, dropout=0.3), pool, rx.Linear(8, 2))
    params, x = drawn(model), normal(NUMPY, np.zeros((T, B, 3)), 1)
    y, _, tape = model.forward(params, x, mask=MASK, rng=Rng(0, 0))
    d_y = normal(NUMPY, y, 3)
    d_params, d_x, _ = model.backward(params, tape, d_y)
    ends = MASK.sum(axis=0)
    packed = np.zeros_like(x)
    for b, end in enumerate(ends):
        packed[:end, b] = x[MASK[:, b], b]
    other, _, tape = model.forward(params, packed, lengths=ends, rng=Rng(0, 0))
    d_other, d_packed, _ = model.backward(params, tape, d_y)
    assert_close((y, d_params), (other, d_other), ACROSS)
    for b, end in enumerate(ends):
        assert_close(d_x[MASK[:, b], b], d_packed[:end, b], ACROSS)
    apart, _, tape = pool.forward((), y_steps(model, params, x), mask=MASK)  # the layer by itself
    assert_close(apart, pool.forward((), y_steps(model, params, packed), lengths=ends)[0], ACROSS)


def y_steps(model: Any, params: Any, x: Any) -> Any:
    """Return numbers a step, the same ones for the same x."""
    return np.sin(x @ np.arange(24.0).reshape(3, 8))


@pytest.mark.parametrize("fill", [0.0, 1e30, np.nan, np.inf])
@pytest.mark.parametrize("cell", MAKERS)
def test_what_padding_holds_changes_no_bit(cell: str, fill: float) -> None:
    layer = MAKERS[cell](3, 4, 2, bidirectional=True, zoneout=0.2, learn_state=True)
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)

    def answer(fill: float) -> Any:
        given = np.where(MASK[:, :, None], x, fill)
        y, state_T, tape = layer.forward(params, given, mask=MASK, reset=RESET, rng=Rng(0, 0))
        return y, state_T, layer.backward(params, tape, np.where(MASK[:, :, None], np.ones_like(y), fill))

    assert_close(answer(fill), answer(7.0), EXACT)


# Noise.


def test_zoneout_keeps_what_its_masks_say() -> None:
    layer = rx.LSTM(3, 4, zoneout=(0.2, 0.6))
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    rng = Rng(5, 2, layer=1)
    y, state_T, _ = layer.forward(params, x, rng=rng)
    old = [~keep_mask(rng._replace(layer=1 + k), rate, (T, 4, B), xp=np) for k, rate in enumerate((0.2, 0.6))]
    plain, state = rx.LSTM(3, 4), None
    for t in range(T):
        _, new, _ = plain.forward(params, x[t : t + 1], state)
        if state is None:
            state = tree.map(np.zeros_like, new)
        state = rx.cells.lstm.State(
            *[np.where(keep[t].T, was, now) for keep, was, now in zip(old, state, new, strict=True)]
        )
        assert_close(y[t], state.h[0], ACROSS)
    assert_close(state_T, state, ACROSS)


def test_without_training_zoneout_is_what_is_to_be_expected() -> None:
    layer, plain = rx.GRU(3, 4, zoneout=0.3), rx.GRU(3, 4)
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    y, _, _ = layer.forward(params, x)
    h = np.zeros((1, B, 4))
    for t in range(T):
        new = plain.forward(params, x[t : t + 1], rx.State(h))[1].h
        h = 0.7 * new + 0.3 * h
        assert_close(y[t], h[0], ACROSS)


def test_recurrent_dropout_drops_the_same_units_of_h_at_all_steps() -> None:
    layer = rx.RNN(3, 4, recurrent_dropout=0.5)
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    rng = Rng(5, 2)
    y, _, _ = layer.forward(params, x, rng=rng)
    stay = keep_mask(rng, 0.5, (T, 4, B), same=True, xp=np)[0].T * 2.0
    (p,), h = params, np.zeros((B, 4))
    for t in range(T):
        h = np.tanh(x[t] @ p.weight_ih.T + p.bias_ih + p.bias_hh + (h * stay) @ p.weight_hh.T)
        assert_close(y[t], h, ACROSS)
    assert_close(layer.forward(params, x)[0], rx.RNN(3, 4).forward(params, x)[0], EXACT)


def test_without_training_recurrent_dropout_costs_nothing() -> None:
    layer, memory = rx.RNN(3, 4, recurrent_dropout=0.5), {}
    x = np.zeros((T, B, 3))
    for rng, apart in ((None, False), (Rng(0, 0), True)):
        memory.clear()
        layer.run(drawn(layer), x, None, Context(np, rng=rng, memory=memory))
        assert [run.between is not None for run in memory.values()] == [apart]


def test_variational_dropout_between_layers_is_one_mask() -> None:
    layer = rx.RNN(3, 4, 2, dropout=0.5, variational=True)
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    rng = Rng(5, 2)
    lower, upper = rx.RNN(3, 4), rx.RNN(4, 4)
    stay = keep_mask(rng, 0.5, (T, 4, B), same=True, xp=np)[0].T * 2.0
    flow = lower.forward(params[:1], x)[0] * stay
    assert_close(layer.forward(params, x, rng=rng)[0], upper.forward(params[1:], flow)[0], ACROSS)


def test_masks_of_runs_are_all_different() -> None:
    layer = rx.LSTM(3, 4, 2, bidirectional=True, dropout=0.1, recurrent_dropout=0.1, zoneout=0.1)
    model = rx.Sequential(layer, rx.Dropout(0.5))
    assert layer.streams == 1 + 4 * 3
    assert model.streams == layer.streams + 1
    assert rx.LSTM(3, 4, 3, dropout=0.1).streams == 2


def test_the_learnt_state_is_where_sequences_begin() -> None:
    layer = rx.LSTM(3, 4, 2, proj_size=2, learn_state=True)
    params, x = drawn(layer), normal(NUMPY, np.zeros((T, B, 3)), 1)
    assert [p.state_0.h.shape + p.state_0.c.shape for p in params] == [(2, 4), (2, 4)]
    assert not any(leaf.any() for p in layer.init(NUMPY) for leaf in p.state_0)
    ends = [np.stack([np.tile(getattr(p.state_0, f), (B, 1)) for p in params]) for f in ("h", "c")]
    plain = rx.LSTM(3, 4, 2, proj_size=2)
    own = tuple(p._replace(state_0=None) for p in params)
    expected = plain.forward(own, x, rx.cells.lstm.State(*ends), lengths=[6, 0, 2])[:2]
    assert_close(layer.forward(params, x, lengths=[6, 0, 2])[:2], expected, EXACT)
    model = rx.Sequential(rx.LSTM(3, 4, learn_state=True), rx.LastStep())
    y, _, _ = model.forward(drawn(model), x, lengths=[6, 0, 2])
    assert not y[1].any()


# Every backend.


@pytest.mark.parametrize("given", GIVEN)
def test_on_every_backend(backend: Backend, given: str) -> None:
    layer = rx.LSTM(3, 4, 2, bidirectional=True, zoneout=(0.2, 0.1), recurrent_dropout=0.2, learn_state=True)
    results = []
    for one in (NUMPY, backend):
        params, x = drawn(layer, one), normal(one, np.zeros((T, B, 3)), 1)
        y, state_T, tape = layer.forward(params, x, rng=Rng(0, 0), **GIVEN[given])
        answer = (y, state_T, layer.backward(params, tape, y, state_T))
        results.append(tree.map(backend.asarray, tree.map(one.to_numpy, answer)))
    assert_close(results[1], results[0], ACROSS)


def test_no_steps_at_all(backend: Backend) -> None:
    layer = rx.LSTM(2, 3, bidirectional=True, learn_state=True)
    params, none = drawn(layer, backend), np.zeros((0, B), dtype=bool)
    y, state_T, tape = layer.forward(params, backend.asarray(np.zeros((0, B, 2))), reset=none)
    assert y.shape == (0, B, 6)
    d_params, _, _ = layer.backward(params, tape, y, state_T)
    assert_close(d_params[0].state_0.h, backend.xp.sum(state_T.h[0, ...], axis=0), ACROSS)


# Bad input.

X = np.zeros((T, B, 2))
BAD = [
    ({"mask": MASK, "lengths": [1, 2, 3]}, ValueError, "`mask` must be None where `lengths` are given"),
    ({"mask": MASK.T}, ValueError, "`mask` must have shape .T, B. with T = 6, B = 3; got .3, 6.."),
    ({"mask": [[1, 0, 1]] * T}, TypeError, "`mask` must be booleans of shape .T, B.; got dtype int64"),
    ({"mask": [[True], [True, False]]}, TypeError, "`mask` must be booleans of shape"),
    ({"reset": RESET[1:]}, ValueError, "`reset` must have shape .T, B. with T = 6"),
    ({"reset": RESET.astype(float)}, TypeError, "`reset` must be booleans of shape"),
    ({"recompute": 0}, ValueError, "`recompute` must be an integer of at least 1; got 0"),
    ({"recompute": 8}, ValueError, "`recompute` must be True, or at least "),
    ({"recompute": "yes"}, TypeError, "`recompute` must be an integer"),
]


@pytest.mark.parametrize(("given", "error", "words"), BAD)
def test_bad_input(given: Any, error: type[Exception], words: str) -> None:
    layer = rx.GRU(2, 3)
    with pytest.raises(error, match=words):
        layer.forward(layer.init(NUMPY), X, **given)


def test_a_model_that_pools_takes_no_reset() -> None:
    model = rx.Sequential(rx.GRU(2, 3), rx.LastStep())
    with pytest.raises(ValueError, match="`reset` must be None for a model that makes one vector of a row"):
        model.forward(model.init(NUMPY), X, reset=RESET)
    with pytest.raises(ValueError, match="`mask` must be None unless `x` has a time axis, and so 3 axes"):
        rx.Dropout(0.1).forward((), X[0], mask=MASK)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"zoneout": 1.0}, ValueError, "`zoneout` must be .* got 1"),
        ({"zoneout": (0.1, 0.2)}, ValueError, "`zoneout` must be a rate, or one for each .*h.; got 2 rates"),
        ({"zoneout": (-0.1,)}, ValueError, "`zoneout.0.` must be"),
        ({"recurrent_dropout": -1}, ValueError, "`recurrent_dropout` must be"),
        ({"variational": 2}, ValueError, "`variational` must be one of True, False; got 2"),
        ({"learn_state": "yes"}, ValueError, "`learn_state` must be one of True, False; got 'yes'"),
    ],
)
def test_bad_options(options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        rx.Recurrent(UGRNN, 2, 3, **options)
