"""What the numpy engine refuses, and what it takes that is easily got wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from support import both_engines

import rnn_xp as rx
from rnn_xp import tree


class Two(NamedTuple):
    h: Any
    c: Any


def cell(**functions: Any) -> rx.Cell:
    """Return h = tanh(a0), c = c_prev / 2 + a1, or what these functions make of it."""

    def forward(a: Any, s_prev: Two, *, xp: Any) -> Any:
        h = xp.tanh(a[0])
        return Two(h, 0.5 * s_prev.c + a[1]), (h, 1.0 * a[1])

    def partials(kept: Any, s_prev: Two, s: Two, *, xp: Any) -> Any:
        return 1.0 - kept[0] * kept[0], kept[1]

    def backward(d_s: Two, planes: Any) -> Any:
        return (d_s.h * planes[0], d_s.c * planes[1]), (None, 0.5 * d_s.c)

    usual = {"forward": forward, "partials": partials, "backward": backward}
    return rx.Cell("own", (rx.Pair(**{**usual, **functions}, reads=("a", "b"), keeps=("p", "q")),), state=Two)


def first(function: Callable[..., Any]) -> rx.Cell:
    """Return a cell whose tanh(a0) is of function(a0, xp)."""

    def forward(a: Any, s_prev: Two, *, xp: Any) -> Any:
        h = xp.tanh(function(a[0], xp))
        return Two(h, 0.5 * s_prev.c + a[1]), (h, 1.0 * a[1])

    return cell(forward=forward)


def negating(d_s: Two, planes: Any) -> Any:
    d_h = d_s.h
    d_h *= planes[0]
    return (d_h, d_s.c), (None, d_s.c)


def spoiling(kept: Any, s_prev: Two, s: Two, *, xp: Any) -> Any:
    kept[0][...] = 2.0 * kept[0]
    return kept[0], kept[1]


def asserting(kept: Any, s_prev: Two, s: Two, *, xp: Any) -> Any:
    assert kept[0].shape[-1] == 4, "a batch of 4"
    return kept


REFUSED = {
    "a sum over units": (first(lambda x, xp: x + xp.sum(x, axis=0)), "TypeError: sum is not pointwise"),
    "a mean by a ufunc": (first(lambda x, xp: x - xp.add.reduce(x)), "add is called in a way that is not"),
    "a product": (first(lambda x, xp: x @ x.T), "AttributeError: 'Symbol' object has no attribute 'T'"),
    "an index": (first(lambda x, xp: x[0]), "'Symbol' object is not subscriptable"),
    "a branch": (first(lambda x, xp: x if x[0, 0] > 0 else -x), "'Symbol' object is not subscriptable"),
    "a branch on all": (first(lambda x, xp: x if x > 0 else -x), "a number of a plane decides what"),
    "a shape": (first(lambda x, xp: x / x.shape[0]), "'Symbol' object has no attribute 'shape'"),
    "an array": (first(lambda x, xp: x * np.ones((5, 1))), "TypeError: a plane meets ndarray"),
    "in place": (cell(backward=negating), "multiply is called in a way that is not pointwise"),
    "out": (first(lambda x, xp: xp.tanh(x, out=x)), "tanh is called in a way that is not pointwise"),
    "a part": (first(lambda x, xp: xp.tanh(x, where=x > 0)), "tanh is called in a way that is not pointwise"),
    "two results": (first(lambda x, xp: xp.modf(x)[0]), "modf is called in a way that is not pointwise"),
    "another dtype": (first(lambda x, xp: xp.astype(x, xp.float32) * x), "store gives float32"),
    "a double": (first(lambda x, xp: x * np.float64(0.1)), "multiply gives float64"),
    "two doubles": (first(lambda x, xp: xp.where(x > 0, 1.0, 0.1) * x), "select gives float64"),
    "integers": (first(lambda x, xp: x + xp.full_like(x, 0.7, dtype=xp.int64)), "full_like is not pointwise"),
    "its dtype": (first(lambda x, xp: x + 1e6 * float(xp.finfo(x.dtype).eps)), "the dtype decides what is"),
    "a power": (first(lambda x, xp: abs(x) ** 0.5), "power has other ways for some exponents"),
    "a write": (cell(partials=spoiling), "a function writes to a plane that it is given"),
    "an assertion": (cell(partials=asserting), "AssertionError: a batch of 4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_runs_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cell, reason = REFUSED[name]
    layer = rx.Recurrent(own_cell, 3, 5)
    monkeypatch.delenv("RNN_XP_ENGINE", raising=False)
    assert "portable engine, since its cell cannot be traced: " in layer.explain("numpy")
    assert reason in layer.explain("numpy")
    monkeypatch.setenv("RNN_XP_ENGINE", "numpy")
    with pytest.raises(
        ValueError, match="`RNN_XP_ENGINE` must be auto or portable for the cell own; got numpy: "
    ):
        layer.explain("numpy")


def test_other_libraries_have_other_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNN_XP_ENGINE", "numpy")
    with pytest.raises(ValueError, match="for arrays of array_api_strict; got numpy, for NumPy's arrays"):
        rx.LSTM(3, 5).explain("array_api_strict")


def flags_kept(a: Any, s_prev: Two, *, xp: Any) -> Any:
    on = a[0] > 0
    return Two(xp.where(~on, a[0], 0.1 * a[1]), xp.where(on & (a[1] > 0), s_prev.c, a[1])), (on, on + on)


def swapped(d_s: Two, planes: Any) -> Any:
    return (d_s.c * planes[0], d_s.h * planes[1]), (d_s.c, d_s.h)


TAKEN = {
    "flags that are kept": cell(forward=flags_kept),
    "a flag and a bool": first(lambda x, xp: xp.where((x > 0) & True, x, 0.5 * x)),
    "zeros of two signs": first(lambda x, xp: xp.copysign(x, -0.0) + 2.0 * xp.copysign(2.0 * x, 0.0)),
    "a flag filled": first(lambda x, xp: x * xp.full_like(x > 0, 2)),
    "gradients swapped": cell(backward=swapped),
    "a constant's function": first(lambda x, xp: x + xp.tanh(xp.full_like(x, 0.3))),
    "negated in parts": rx.LSTM(3, 1, activations=("sigmoid", "softplus", "softplus")).cell,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [5, 1])
@pytest.mark.parametrize("name", TAKEN)
def test_what_is_easily_got_wrong(name: str, size: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    portable, numpy = both_engines(rx.Recurrent(TAKEN[name], 3, size), monkeypatch, 7, size, dtype)
    for (path, a), (_, e) in zip(tree.named_leaves(numpy), tree.named_leaves(portable), strict=True):
        np.testing.assert_array_equal(a, e, err_msg=path)
