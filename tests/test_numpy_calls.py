"""Cells that come close to what the engines refuse: which of them run, and on which engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import ACROSS, assert_close, normal, open_backend, steps

import rnn_xp as rx

NUMPY = open_backend("numpy")


def keeping_a_part(a: Any, s_prev: rx.State, *, xp: Any) -> Any:
    """Return h = tanh(x + R h), and keep R h, which comes apart, behind the place that has its number."""
    own, recurrent = a
    h = xp.tanh(own + recurrent)
    return rx.State(1.0 * h), (h, 2.0 * h, recurrent)


def slopes(kept: Any, s_prev: rx.State, s: rx.State, *, xp: Any) -> Any:
    return (1.0 - kept[0] * kept[0],)


def chain(d_s: rx.State, planes: Any) -> Any:
    d = d_s.h * planes[0]
    return (d, 1.0 * d), (None,)


def layer_of(forward: Any) -> rx.Recurrent:
    pair = rx.Pair(forward, slopes, chain, reads=("g",), apart=("g",), keeps=("h", "twice", "part"))
    return rx.Recurrent(rx.Cell("own", (pair,)), 3, 5)


@pytest.mark.parametrize("engine", ["portable", "numpy", "cupy"])
def test_what_comes_apart_may_be_kept_in_any_place(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNN_XP_ENGINE", engine)
    layer = layer_of(keeping_a_part)
    params = normal(NUMPY, layer.init(NUMPY, seed=1), 2, 0.5)
    x, h = steps(NUMPY, (6, 4, 3), 3), np.zeros((4, 5))
    own = params[0]
    expected = []
    for t in range(6):
        h = np.tanh(x[t] @ own.weight_ih.T + own.bias_ih + h @ own.weight_hh.T + own.bias_hh)
        expected.append(h)
    assert_close(layer.forward(params, x)[0], np.array(expected), ACROSS)


def test_a_write_to_a_part_of_a_plane_is_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    def clearing(a: Any, s_prev: rx.State, *, xp: Any) -> Any:
        a[0][:2] = 0.0
        return keeping_a_part(a, s_prev, xp=xp)

    monkeypatch.delenv("RNN_XP_ENGINE", raising=False)
    assert layer_of(keeping_a_part).explain("numpy").startswith("Recurrent(own, 3, 5): numpy engine")
    assert "portable engine, since its cell cannot be traced" in layer_of(clearing).explain("numpy")
