"""Where a batch stops being finite: faults are planted, and a loop written out here says where they show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import EXACT, MAKERS, MODELS, assert_close, normal, open_backend, steps

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.layers import Context
from rnn_xp.model import LOSSES
from rnn_xp.sequence import valid_steps
from rnn_xp.train.faults.nonfinite import _Search, describe
from rnn_xp.train.faults.place import Place

SINGLE = open_backend("numpy", "float32")
HUGE = np.float32(3e38)  # twice it is too much
T, B = 7, 3


def place(model: Any, params: Any, x: Any, target: Any, loss: str = "squared_error", **context: Any) -> Place:
    """Describe a batch whose losses all count alike."""
    state_0 = context.pop("state_0", None)
    share = np.full(np.shape(target)[: 2 if model.per_step else 1], 0.1, dtype=np.float32)
    with np.errstate(all="raise"):  # it is quiet itself
        return describe(
            model,
            params,
            LOSSES[loss],
            x,
            target,
            share,
            Context(np, memory={}, states=False, **context),  # as a training's
            state_0=state_0,
        )


def first_bad(planes: Any, order: Any) -> tuple[int, int]:
    """Return the first step in `order`, and its first sample, at which planes (T, B, N) are not finite."""
    bad = ~np.isfinite(planes).all(axis=-1)
    t = next(t for t in order if bad[t].any())
    return t, int(np.flatnonzero(bad[t])[0])


def regression(cell: Any, features: int) -> tuple[Any, Any]:
    model = rx.Sequential(cell, rx.LastStep(), rx.Linear(features, 1))
    return model, model.init(SINGLE)


# Forward.


def test_what_comes_in() -> None:
    model, params = regression(rx.GRU(2, 3), 3)
    x = np.zeros((T, B, 2), np.float32)
    x[4, 2, 1], x[5, 0, 0] = np.nan, np.inf
    assert place(model, params, x, np.zeros((B, 1), np.float32)) == ("the input was nan", 4, 2, False)
    x[4, 2, 1] = -np.inf
    assert str(place(model, params, x, np.zeros((B, 1), np.float32))) == (
        "the input was inf at step 4 of sample 2"
    )


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def lstm_step(a: Any, p: Any, s: Any) -> Any:
    i, f, g, o = np.split(a + p, 4, axis=-1)
    c = sigmoid(f) * s[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(a: Any, p: Any, s: Any) -> Any:
    (a_r, a_z, a_n), (p_r, p_z, p_n) = np.split(a, 3, axis=-1), np.split(p, 3, axis=-1)
    z = sigmoid(a_z + p_z)
    return ((1 - z) * np.tanh(a_n + sigmoid(a_r + p_r) * p_n) + z * s[0],)


def rnn_step(a: Any, p: Any, s: Any) -> Any:
    return (np.tanh(a + p),)


CELLS = {
    "lstm": (rx.LSTM, lstm_step, "ifgo"),
    "gru": (rx.GRU, gru_step, "rzn"),
    "rnn": (rx.RNN, rnn_step, "a"),
}


def walk(step: Any, p: Any, x: Any, s: Any) -> Any:
    """Return every h (T, B, H), by a loop."""
    hs = []
    with np.errstate(all="ignore"):
        for x_t in x:
            s = step(x_t @ p.weight_ih.T + p.bias_ih, s[0] @ p.weight_hh.T + p.bias_hh, s)
            hs.append(s[0])
    return np.stack(hs)


@pytest.mark.parametrize(("cell", "gate"), [(cell, gate) for cell in CELLS for gate in CELLS[cell][2]])
@pytest.mark.parametrize("padded", [False, True])
def test_a_gate_whose_two_parts_overflow(cell: str, gate: str, padded: bool) -> None:
    """Its input part is inf in one step of one sample alone, its recurrent part is -inf: their sum is nan."""
    make, step, gates = CELLS[cell]
    model, params = regression(make(1, 4), 4)
    (p,) = params[0]
    rows = slice(4 * gates.index(gate), 4 * gates.index(gate) + 4)
    p.bias_ih[...] = 10.0  # gates are open: the state stays near 1
    p.weight_ih[rows], p.weight_hh[rows] = HUGE, -HUGE
    x = np.zeros((T, B, 1), np.float32)
    x[4, 1] = 10.0
    state = [np.ones((B, 4), np.float32)] * (2 if cell == "lstm" else 1)
    assert first_bad(walk(step, p, x, state), range(T)) == (4, 1)  # the plant

    state_0 = (type(model.forward(params, x[:1])[1][0])(*[s[None] for s in state]), (), ())
    valid = valid_steps([7, 6, 2], T, x, xp=np) if padded else None
    found = place(model, params, x, np.zeros((B, 1), np.float32), state_0=state_0, valid=valid)
    assert found == (f"gate {gate} of layer 0, {model.layers[0]!r}, became nan", 4, 1, False)


def test_a_relu_that_blows_up() -> None:
    """h is x * 1e10 ** t: sample 1 begins with the larger x, and is the first to overflow."""
    model, params = regression(rx.RNN(1, 1, nonlinearity="relu", bias=False), 1)
    (p,) = params[0]
    p.weight_ih[...], p.weight_hh[...] = 1.0, 1e10
    x = np.zeros((T, B, 1), np.float32)
    x[0, :, 0] = 1.0, 1e9, 1.0
    found = place(model, params, x, np.zeros((B, 1), np.float32))
    name = "layer 0, RNN(1, 1, nonlinearity='relu', bias=False)"
    assert found == (f"gate a of {name}, became inf", 3, 1, False)  # 1e39; the others are 1e30
    assert str(found) == f"gate a of {name}, became inf at step 3 of sample 1"
    valid = valid_steps([7, 3, 7], T, x, xp=np)  # sample 1 ends before
    assert place(model, params, x, np.zeros((B, 1), np.float32), valid=valid)[1:3] == (4, 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_learnt_state_that_overflows(reverse: bool) -> None:
    """1e30 meets a weight of 1e10 where a sequence begins: at once, or after a reset."""
    cell = rx.RNN(1, 1, nonlinearity="relu", bias=False, learn_state=True, reverse=reverse)
    model = rx.Sequential(cell)
    params = model.init(SINGLE)
    (p,) = params[0]
    p.weight_ih[...], p.weight_hh[...], p.state_0.h[...] = 1.0, 1e10, 1e30
    x, target = np.zeros((T, B, 1), np.float32), np.zeros((T, B, 1), np.float32)
    told = f"gate a of layer 0, {cell!r}{', against time' if reverse else ''}, became inf"
    assert place(model, params, x, target) == (told, T - 1 if reverse else 0, 0, False)
    state_0 = (type(p.state_0)(np.zeros((1, B, 1), np.float32)),)
    reset = np.zeros((T, B), dtype=bool)
    reset[4, 1] = True  # against time, the step before begins
    found = place(model, params, x, target, state_0=state_0, reset=reset)
    assert found == (told, 3 if reverse else 4, 1, False)


def test_the_memory_of_an_lstm_may_overflow_alone() -> None:
    """c = 1e30 c_prev + 1 where the gates are identities; h = o tanh(c) stays within 1."""
    cell = rx.LSTM(1, 1, bias="input", activations=("relu", "relu", "tanh"))
    model, params = regression(cell, 1)
    (p,) = params[0]
    p.weight_ih[...], p.weight_hh[...] = 0.0, 0.0
    p.bias_ih[...] = [1.0, 1e30, 1.0, 1.0]  # c_t = 1, 1e30, inf
    found = place(model, params, np.zeros((T, B, 1), np.float32), np.zeros((B, 1), np.float32))
    assert found == (f"the state c of layer 0, {cell!r}, became inf", 2, 0, False)


def test_a_level_that_runs_against_time() -> None:
    """The second level's reverse half: the longest sequence is at its second step in that order."""
    cell = rx.RNN(2, 4, 2, bidirectional=True)
    model, params = regression(cell, 8)
    for p in params[0][:2]:
        p.bias_ih[...] = 10.0  # the first level gives 1
    p = params[0][3]
    p.weight_ih[...], p.weight_hh[...] = HUGE, -HUGE  # h = tanh(inf) = 1, then inf - inf
    x, lengths = np.zeros((T, B, 2), np.float32), [4, 6, 6]
    valid = valid_steps(lengths, T, x, xp=np)
    found = place(model, params, x, np.zeros((B, 1), np.float32), valid=valid)
    assert found == (f"gate a of layer 0, {cell!r}, level 1, against time, became nan", 4, 1, False)


def test_within_a_residual() -> None:
    inner = rx.Sequential(rx.Linear(2, 2), rx.RNN(2, 2, nonlinearity="relu"))
    model = rx.Sequential(rx.Dropout(0.1), rx.layers.Residual(inner), rx.MeanPool())
    params = model.init(SINGLE)
    params[1][0].weight[...] = HUGE
    x = np.zeros((T, B, 2), np.float32)
    x[2:, 1] = 2.0
    found = place(model, params, x, np.zeros((B, 2), np.float32))
    assert found == ("the output of layer 1.0, Linear(2, 2), became inf", 2, 1, False)


@pytest.mark.parametrize("per_step", [False, True])
def test_the_loss(per_step: bool) -> None:
    model = rx.Sequential(rx.GRU(2, 3), *([] if per_step else [rx.LastStep()]), rx.Linear(3, 2))
    params = model.init(SINGLE)
    target = np.zeros((T, B, 2) if per_step else (B, 2), np.float32)
    target[(3, 2) if per_step else 2] = 1e30  # its square overflows
    found = place(model, params, np.zeros((T, B, 2), np.float32), target)
    assert found == ("the loss became inf", 3 if per_step else None, 2, False)
    assert str(found).endswith("at step 3 of sample 2" if per_step else "inf in sample 2")


def test_the_sum_of_the_losses() -> None:
    model, params = regression(rx.GRU(2, 3), 3)
    x, target = np.zeros((T, B, 2), np.float32), np.full((B, 1), 1.8e19, np.float32)  # 3.2e38 each
    share = np.ones(B, np.float32)
    found = describe(model, params, LOSSES["squared_error"], x, target, share, Context(np))
    assert found == ("the sum of the losses became inf", None, None, False)


# Back.


@pytest.mark.parametrize("reverse", [False, True])
def test_a_gradient_that_blows_up(reverse: bool) -> None:
    """h = x * 1e3 ** t is finite from 1e-38 on; back from the last step, d_h = 1e3 ** k is not."""
    cell = rx.RNN(1, 1, nonlinearity="relu", bias=False, reverse=reverse)
    model, params = regression(cell, 1)
    (p,), _, out = params
    p.weight_ih[...], p.weight_hh[...], out.weight[...], out.bias[...] = 1.0, 1e3, 1.0, 0.0
    x = np.full((20, B, 1), 1e-38, np.float32)
    x[:, 0] = 0.0  # relu(0): no gradient
    d = np.float32(0.1)  # share times the slope of the loss
    k = 0
    with np.errstate(over="ignore"):
        while np.isfinite(d):
            d, k = d * np.float32(1e3), k + 1
    found = place(model, params, x, np.zeros((B, 1), np.float32), "huber")
    told = ", against time" if reverse else ""
    assert found.what in {
        f"the gradient of weight_ih of layer 0, {cell!r}{told}, became {kind}" for kind in ("inf", "nan")
    }
    assert found[1:] == (k if reverse else 19 - k, 1, False)


def test_the_gradient_of_a_gate_alone() -> None:
    """Where i, g and o are saturated their slopes are 0; that of f is not, and meets an x of 3e38."""
    cell = rx.LSTM(1, 2)
    model, params = regression(cell, 2)
    (p,), _, out = params
    p.weight_ih[...] = 0.0
    p.bias_ih[...] = np.repeat([200.0, 0.0, 200.0, 200.0], 2)
    out.weight[...] = 100.0
    x = np.full((T, B, 1), HUGE)
    found = place(model, params, x, np.full((B, 1), 1e4, np.float32))
    assert found.what.startswith(f"the gradient of weight_ih, gate f, of layer 0, {cell!r}, became")
    assert found[1:] == (None, None, False)


def test_the_norm_and_the_step() -> None:
    """w = 1, x = 1e15: the gradient, 2 e x / 10 with e = 1e15, is 2e29, and its square 4e58."""
    model = rx.Sequential(rx.LastStep(), rx.Linear(1, 1, bias=False))
    params = tree.map(np.ones_like, model.init(SINGLE))
    x = np.zeros((1, 2, 1), np.float32)
    x[0, 0] = 1e15
    found = place(model, params, x, np.zeros((2, 1), np.float32))
    told = "the largest gradient, 2e+29, is that of weight of layer 1, Linear(1, 1, bias=False)"
    words = f"the square of the gradient's norm is too large for float32; {told}"
    assert found == (words, None, None, pytest.approx(4e58, rel=1e-6))
    assert found.finite
    found = place(model, params, np.ones((1, 2, 1), np.float32), np.zeros((2, 1), np.float32))
    told = "the largest gradient, 0.4, is that of weight of layer 1, Linear(1, 1, bias=False)"
    words = f"the step of the optimiser was too large for float32; {told}"
    assert found == (words, None, None, pytest.approx(0.16, rel=1e-6))


# What it computes is what training computes.


NOISY = {"dropout": 0.5, "recurrent_dropout": 0.4, "zoneout": 0.3, "learn_state": True}
EVERY = MODELS | {
    "deep": lambda cell: rx.Sequential(MAKERS[cell](3, 4, 3, dropout=0.5), rx.Dropout(0.5)),
    "residual": lambda cell: rx.Sequential(
        rx.layers.Residual(
            rx.Sequential(rx.Dropout(0.5), MAKERS[cell](3, 4), rx.Linear(MAKERS[cell](3, 4).output_size, 3))
        ),
        rx.Dropout(0.5),
    ),
    "noisy": lambda cell: rx.Sequential(
        MAKERS[cell](3, 4, 3, bidirectional=True, **NOISY), rx.Dropout(0.5, variational=True)
    ),
    "variational": lambda cell: rx.Sequential(MAKERS[cell](3, 4, 2, variational=True, **NOISY)),
}


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("cell", MAKERS)
@pytest.mark.parametrize("name", EVERY)
def test_layer_by_layer_is_the_model(cell: str, name: str, begun: bool) -> None:
    """Its outputs bit for bit, and the gradients; with states and lengths, or with resets."""
    backend, model = open_backend("numpy"), EVERY[name](cell)
    params = normal(backend, model.init(backend), 1, 0.3)
    x = np.arange(T * B).reshape(T, B) % 5 if name == "tokens" else steps(backend, (T, B, 3), 2)
    valid, reset, state_0 = valid_steps([7, 3, 5], T, x, xp=np), None, None
    if begun or not model.per_step:
        state_0 = normal(backend, model.forward(params, x)[1], 5, 0.1)
    else:
        reset = np.random.default_rng(7).random((T, B)) < 0.3
        times = np.arange(T)[:, None] - np.maximum.accumulate(np.where(reset, np.arange(T)[:, None], 0))
        valid = valid._replace(times=times)
    x = x * (valid.mask if name == "tokens" else valid.mask[..., None])
    context = Context(np, valid, rx.Rng(3, 4), reset=reset)
    y, _, kept = model.run(params, x, state_0, context)
    search = _Search(context)
    own, back = search.ahead("", model, params, x, state_0, context.rng)
    assert_close(own, y, EXACT)
    d_y = steps(backend, y.shape, 6)
    d_y = d_y * valid.mask[..., None] if y.ndim == 3 else d_y
    d_params, d_x, _ = model.run_back(params, kept, d_y, None, True, xp=np)
    assert_close(back(d_y), d_x, 1e-12)
    largest = max(np.abs(leaf).max() for leaf in tree.leaves(d_params))
    assert search.largest == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("t", range(T))
def test_in_time_with_all_that_happens_to_a_state(t: int, reverse: bool) -> None:
    """Halving meets resets, zoneout, dropout and lengths as the whole run does: the step is that of its y."""
    cell = rx.RNN(
        1, 4, nonlinearity="relu", reverse=reverse, recurrent_dropout=0.3, zoneout=0.5, learn_state=True
    )
    model = rx.Sequential(cell)
    params = model.init(SINGLE)
    (p,) = params[0]
    p.weight_ih[...] = 1.0
    p.weight_hh[...] = 1e12 * np.eye(4)
    p.bias_ih[...], p.bias_hh[...], p.state_0.h[...] = 0.0, 0.0, 1e9
    x = np.zeros((T, B, 1), np.float32)
    x[t, 1] = 1e20
    reset = np.random.default_rng(t).random((T, B)) < 0.3
    times = np.arange(T)[:, None] - np.maximum.accumulate(np.where(reset, np.arange(T)[:, None], 0))
    valid = valid_steps([7, 7, 5], T, x, xp=np)._replace(times=times if t % 2 else None)
    given = {"valid": valid, "rng": rx.Rng(1, t), "reset": reset}
    with np.errstate(all="ignore"):
        y = model.run(params, x, None, Context(np, **given))[0]
    expected = first_bad(y, range(T)[:: -1 if reverse else 1])
    found = place(model, params, x, np.zeros((T, B, 4), np.float32), **given)
    told = ", against time" if reverse else ""
    assert found[1:3] == expected
    assert found.what.startswith(f"gate a of layer 0, {cell!r}{told}, became")
