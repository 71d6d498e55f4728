"""RNN, GRU and LSTM hand every option on to `Recurrent`, and tell it again."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

import rnn_xp as rx
from rnn_xp.cells import gru, lstm, normalized, rnn
from rnn_xp.configs import from_config

KINDS = {rx.RNN: rnn.TANH, rx.GRU: gru.AFTER, rx.LSTM: lstm.LSTM}
OPTIONS: dict[str, Any] = {
    "bias": "input",
    "reverse": True,
    "dropout": 0.25,
    "variational": True,
    "recurrent_dropout": 0.5,
    "zoneout": 0.125,
    "learn_state": True,
}
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@kinds
@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_handed_on(kind: Any, name: str) -> None:
    """It alone, under its own name, and as Recurrent has it."""
    layer, plain = kind(2, 3, 2, **{name: OPTIONS[name]}), kind(2, 3, 2)
    assert getattr(layer, name) == OPTIONS[name]
    assert {**plain.config(), name: OPTIONS[name]} == layer.config()
    own = rx.Recurrent(KINDS[kind], 2, 3, 2, **{name: OPTIONS[name]})
    assert layer.spec() == own.spec()
    assert layer.streams == own.streams


@kinds
def test_every_option_of_recurrent_is_there(kind: Any) -> None:
    """But for the cell, which is what a name stands for, and the projection, which only LSTM has."""
    own, theirs = (inspect.signature(each).parameters for each in (kind, rx.Recurrent))
    missing = {"cell"} if kind is rx.LSTM else {"cell", "proj_size"}
    assert set(theirs) - set(own) == missing
    for name in set(own) & set(theirs):
        assert own[name].default == theirs[name].default
        assert own[name].kind == theirs[name].kind


@kinds
def test_all_of_them_together_come_back(kind: Any) -> None:
    layer = kind(2, 3, 2, layer_norm=True, **OPTIONS)
    config = json.loads(json.dumps(layer.config()))
    assert from_config(config) == layer
    assert hash(from_config(config)) == hash(layer)
    assert eval(repr(layer), dict(vars(rx))) == layer
    assert layer.cell == normalized.cell(KINDS[kind])


def test_a_rate_for_each_field_comes_back() -> None:
    layer = rx.LSTM(2, 3, zoneout=(0.25, 0.5))
    assert from_config(json.loads(json.dumps(layer.config()))) == layer
