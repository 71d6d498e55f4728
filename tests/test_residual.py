"""The residual layer: what it computes, its derivatives, and what may stand in it."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import get_backend
from rnn_xp.configs import from_config
from rnn_xp.layers import Residual

NUMPY = get_backend("numpy", dtype="float64")
KEY = rx.Rng(seed=3, step=4)
T, B, D = 6, 3, 4
ENDS = [2, 6, 0]

INNER = {
    "LSTM": rx.LSTM(D, D),
    "both ways": rx.GRU(D, D // 2, 2, bidirectional=True, dropout=0.3),
    "projected": rx.LSTM(D, 5, proj_size=D),
    "row": rx.Sequential(rx.LSTM(D, 5), rx.Dropout(0.5), rx.Linear(5, D)),
    "nested": Residual(rx.RNN(D, D)),
    "dropout": rx.Dropout(0.5),
}
inner = pytest.mark.parametrize("layer", INNER.values(), ids=INNER)


def steps(seed: int) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal((T, B, D))


@inner
@pytest.mark.parametrize("rng", [None, KEY], ids=["whole", "dropped"])
def test_it_adds_what_came(layer: Any, rng: Any) -> None:
    """Outputs, states and gradients are those of the layer, with x and d_y added, but in the padding."""
    residual, x, d_y = Residual(layer), steps(0), steps(1)
    params = layer.init(NUMPY, seed=2)
    padding = np.arange(T)[:, None] >= np.array(ENDS)
    _, state, _ = layer.forward(params, x)
    state_0 = tree.map(lambda leaf: leaf + 0.5, state)
    for lengths, padded in ((None, np.zeros((T, B), dtype=bool)), (ENDS, padding)):
        y, state_T, tape = layer.forward(params, x, state_0, lengths, rng)
        d_params, d_x, d_state_0 = layer.backward(params, tape, d_y)
        came, state_came, own_tape = residual.forward(params, x, state_0, lengths, rng)
        d_came = residual.backward(params, own_tape, d_y)
        np.testing.assert_array_equal(came, np.where(padded[:, :, None], 0.0, x + y))
        np.testing.assert_array_equal(d_came[1], np.where(padded[:, :, None], 0.0, d_x + d_y))
        assert (d_x[~padded] != 0).any() or isinstance(layer, rx.Dropout)
        for one, other in zip(
            tree.leaves((state_came, d_came[0], d_came[2])),
            tree.leaves((state_T, d_params, d_state_0)),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
        assert residual.backward(params, own_tape, d_y, need_d_x=False)[1] is None


@inner
@pytest.mark.parametrize("rng", [None, KEY], ids=["whole", "dropped"])
def test_gradients(layer: Any, rng: Any) -> None:
    """Central differences; garbage in the padding has no effect, and d_x is exactly 0 there."""
    model = rx.Sequential(rx.Linear(2, D), Residual(layer), rx.Linear(D, 2))
    report = rx.verify.gradcheck(model, lengths=[3, 5, 1], rng=rng).require()
    passed = {finding.check for finding in report if finding.outcome == "passed"}
    assert {"gradient", "gradient of the padding", "padding of d_y", "backward twice"} <= passed
    alone = rx.verify.gradcheck(Residual(layer), lengths=[3, 5, 1], rng=rng).require()
    subjects = {finding.subject for finding in alone if finding.outcome == "passed"}
    assert "x" in subjects
    assert isinstance(layer, rx.Dropout) or any(name.startswith("state_0") for name in subjects)


def test_written_out() -> None:
    """Two residual steps of an RNN, by hand."""
    params = (rx.sequence.Params(np.array([[0.5]]), np.array([[0.25]])),)
    y, state, _ = Residual(rx.RNN(1, 1, bias=False)).forward(params, np.array([[[1.0]], [[2.0]]]))
    first = np.tanh(0.5)
    second = np.tanh(1.0 + 0.25 * first)
    np.testing.assert_allclose(y[:, 0, 0], [1.0 + first, 2.0 + second], rtol=1e-15)
    np.testing.assert_allclose(state.h, [[[second]]], rtol=1e-15)


def test_vectors() -> None:
    layer = rx.Linear(2, 2)
    model = rx.Sequential(rx.LSTM(3, 2), rx.LastStep(), Residual(layer))
    assert model.output_size == 2
    assert not model.per_step
    params, x = layer.init(NUMPY), np.random.RandomState(0).standard_normal((5, 2))
    y = Residual(layer).forward(params, x)[0]
    np.testing.assert_allclose(y, x + x @ params.weight.T + params.bias, rtol=1e-14)
    rx.verify.gradcheck(model).require()


def test_the_reverse_half_stays_one() -> None:
    """What runs against time behind a residual layer is still taken from the first step."""
    model = rx.Sequential(rx.Linear(3, 4), Residual(rx.GRU(4, 2, bidirectional=True)), rx.LastStep())
    params, x = model.init(NUMPY), np.random.RandomState(0).standard_normal((T, B, 3))
    between = rx.Sequential(*model.layers[:2]).forward(params[:2], x)[0]
    y = model.forward(params, x)[0]
    np.testing.assert_array_equal(y, np.concatenate([between[-1, :, :2], between[0, :, 2:]], axis=-1))


def test_streams_are_those_of_the_layer() -> None:
    """So a mask behind it is another one than those within."""
    deep = Residual(rx.GRU(D, D, 3, dropout=0.5))
    assert deep.streams == 2
    model, x = rx.Sequential(deep, rx.Dropout(0.5)), steps(0)
    params = deep.init(NUMPY)
    whole = model.forward((params, ()), x, rng=KEY)[0]
    behind = rx.Dropout(0.5).forward((), deep.forward(params, x, rng=KEY)[0], rng=KEY._replace(layer=2))[0]
    np.testing.assert_array_equal(whole, behind)


def test_what_it_tells_of_its_layer() -> None:
    forward, both = INNER["LSTM"], INNER["both ways"]
    assert (Residual(forward).causal, Residual(both).causal, Residual(rx.Dropout(0.5)).causal) == (1, 0, 1)
    assert (Residual(forward).runs, Residual(both).runs) == (1, 4)
    assert Residual(forward).kept_bytes(T, B, 8) == forward.kept_bytes(T, B, 8) > 0
    params, x = forward.init(NUMPY), steps(0)
    _, _, kept = Residual(forward).run(params, x, None, rx.layers.Context(np))
    for i in range(T + 1):
        expected = forward.forward(params, x[:i])[1]
        for field, same in zip(Residual(forward).state_at(kept, i), expected, strict=True):
            np.testing.assert_allclose(field, same, rtol=0, atol=1e-15)


@inner
def test_description(layer: Any) -> None:
    residual = Residual(layer)
    config = json.loads(json.dumps(residual.config()))
    assert config == {"type": "Residual", "layer": json.loads(json.dumps(layer.config()))}
    assert from_config(config) == residual
    assert hash(from_config(config)) == hash(residual)
    assert eval(repr(residual), dict(vars(rx.layers)) | {"Sequential": rx.Sequential}) == residual
    assert residual != layer
    assert residual.engines(np) == layer.engines(np)
    row = rx.Sequential(residual, residual)
    assert from_config(row.config()) == row
    assert rx.Sequential(residual).intake.size == residual.intake.size


def test_checks_are_those_of_the_layer() -> None:
    layer = Residual(rx.LSTM(D, D))
    params = layer.init(NUMPY)
    with pytest.raises(ValueError, match=r"`x` must have shape \(T, B, D\) with D = 4; got \(6, 3, 5\)\."):
        layer.forward(params, np.zeros((T, B, 5)))
    with pytest.raises(TypeError, match=r"`state_0` must be a tuple of the cell's fields \(h, c\)"):
        layer.forward(params, steps(0), ())
    with pytest.raises(ValueError, match=r"`params` must be those of Residual\(LSTM\(4, 4\)\)"):
        layer.forward((), steps(0))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (rx.LSTM(3, 4), "got LSTM(3, 4), from steps of 3 to steps of 4."),
        (rx.GRU(4, 4, bidirectional=True), "from steps of 4 to steps of 8."),
        (rx.Sequential(rx.GRU(3, 3), rx.Linear(3, 2)), "from steps of 3 to steps of 2."),
        (rx.Embedding(5, 5), "got Embedding(5, 5), from tokens of 5 to steps of 5."),
        (rx.MeanPool(), "got MeanPool(), from steps to vector."),
        (rx.Sequential(rx.LSTM(3, 3), rx.LastStep()), "from steps of 3 to vector of 3."),
    ],
    ids=repr,
)
def test_layers_that_do_not_fit(layer: Any, message: str) -> None:
    must = "`layer` of a Residual must give as many features as it takes, and keep the steps; "
    with pytest.raises(ValueError, match=re.escape(must) + ".*" + re.escape(message)):
        Residual(layer)


def test_words() -> None:
    with pytest.raises(TypeError, match=r"`layer` must be a layer; got str\."):
        Residual("LSTM")  # type: ignore[arg-type]
    words = r"layer 1 does not fit .*: LSTM\(4, 4\) takes steps of 4 features; what comes in is "
    with pytest.raises(ValueError, match=words + r"steps of 3\."):
        rx.Sequential(rx.Linear(2, 3), Residual(rx.LSTM(4, 4)))
    with pytest.raises(ValueError, match=words + r"vector\."):
        rx.Sequential(rx.LastStep(), Residual(rx.LSTM(4, 4)))
