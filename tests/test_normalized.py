"""Layer normalisation in cells: written out, by PyTorch's autograd, and by central differences."""

from __future__ import annotations

import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import UGRNN

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import get_backend
from rnn_xp.cells import check, gru, lstm, normalized, rnn
from rnn_xp.configs import from_config
from rnn_xp.engines import choose
from rnn_xp.initializers import INITIALIZERS

NUMPY = get_backend("numpy", dtype="float64")
T, B, D, H = 5, 3, 2, 4

LAYERS = {
    "rnn": rx.RNN(D, H, layer_norm=True),
    "gru": rx.GRU(D, H, layer_norm=True),
    "gru reset before": rx.GRU(D, H, reset="before", layer_norm=True),
    "lstm": rx.LSTM(D, H, layer_norm=True),
    "lstm peepholes": rx.LSTM(D, H, peepholes=True, layer_norm=True),
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)

FURTHER = {
    "rnn both ways": rx.RNN(D, 3, 2, bidirectional=True, layer_norm=True),
    "gru both ways": rx.GRU(D, 2, bidirectional=True, bias="input", layer_norm=True),
    "gru reset before, reverse": rx.GRU(D, 5, reset="before", reverse=True, bias=False, layer_norm=True),
    "gru of other activations": rx.GRU(D, 3, activations=("hard_sigmoid", "softsign"), layer_norm=True),
    "lstm": rx.LSTM(D, 3, layer_norm=True),
    "lstm projected": rx.LSTM(D, 3, proj_size=2, bidirectional=True, layer_norm=True),
    "lstm coupled": rx.LSTM(D, 3, peepholes=True, coupled=True, clip=1.5, reverse=True, layer_norm=True),
    "own": rx.Recurrent(normalized.cell(UGRNN), D, 3),
}


# The forms of the paper, one sample a row; m is numpy or torch, and normal brings rows to mean 0, variance 1.


def rows_normal(a: Any) -> Any:
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)


def sigmoid(a: Any, m: Any) -> Any:
    return 1.0 / (1.0 + m.exp(-a))


def written_out(layer: Any, params: Any, x: Any, state: Any, m: Any, normal: Any) -> Any:
    """Return y (T, B, H) of one layer, one way, with both biases."""
    vectors = dict(zip(layer.cell.vectors, params.vectors, strict=True))

    def all_of(kind: str, gates: str) -> Any:
        return m.concatenate([vectors[f"{kind}_{gate}"] for gate in gates])

    def step_rnn(a: Any, p: Any, h: Any) -> tuple[Any]:
        a = normal(a) * vectors["gain_ih_a"] + normal(p) * vectors["gain_hh_a"] + vectors["shift_a"]
        return (m.tanh(a),)

    def step_gru(a: Any, p: Any, h: Any) -> tuple[Any]:
        rz = normal(a[:, : 2 * H]) * all_of("gain_ih", "rz") + normal(p[:, : 2 * H]) * all_of("gain_hh", "rz")
        rz = sigmoid(rz + all_of("shift", "rz"), m)
        of_x = normal(a[:, 2 * H :]) * vectors["gain_ih_n"] + vectors["shift_n"]
        of_h = normal(p[:, 2 * H :]) * vectors["gain_hh_n"] + vectors["shift_hh_n"]
        r, z = rz[:, :H], rz[:, H:]
        return ((1.0 - z) * m.tanh(of_x + r * of_h) + z * h,)

    def step_gru_before(a: Any, p: Any, h: Any) -> tuple[Any]:
        sums = a + p
        r = sigmoid(normal(sums[:, :H]) * vectors["gain_r"] + vectors["shift_r"], m)
        z = sigmoid(normal(sums[:, H : 2 * H]) * vectors["gain_z"] + vectors["shift_z"], m)
        of_h = (r * h) @ params.weight_hh[2 * H :].T + params.bias_hh[2 * H :]
        n = normal(a[:, 2 * H :]) * vectors["gain_ih_n"] + normal(of_h) * vectors["gain_hh_n"]
        return ((1.0 - z) * m.tanh(n + vectors["shift_n"]) + z * h,)

    def step_lstm(a: Any, p: Any, h: Any, c: Any) -> tuple[Any, Any]:
        a = normal(a) * all_of("gain_ih", "ifgo") + normal(p) * all_of("gain_hh", "ifgo")
        a = a + all_of("shift", "ifgo")
        i, f, g, o = (a[:, k * H : (k + 1) * H] for k in range(4))
        if layer.peepholes:
            i, f = i + vectors["p_i"] * c, f + vectors["p_f"] * c
        c = sigmoid(f, m) * c + sigmoid(i, m) * m.tanh(g)
        if layer.peepholes:
            o = o + vectors["p_o"] * c
        return sigmoid(o, m) * m.tanh(c), c

    step: Any = {"rnn": step_rnn, "lstm": step_lstm, "gru": step_gru}[type(layer).__name__.lower()]
    if isinstance(layer, rx.GRU) and layer.reset == "before":
        step = step_gru_before
    y = []
    for x_t in x:
        a = x_t @ params.weight_ih.T + params.bias_ih
        state = step(a, state[0] @ params.weight_hh.T + params.bias_hh, *state)
        y.append(state[0])
    return m.stack(y)


def drawn(layer: Any, seed: int = 0) -> tuple[Any, np.ndarray, list[np.ndarray], np.ndarray]:
    """Return parameters of which none has its usual value, x, a state of (B, H) a field, and d_y."""
    random = np.random.RandomState(seed)
    params = tree.map(lambda leaf: leaf + 0.5 * random.standard_normal(leaf.shape), layer.init(NUMPY))
    state = [random.standard_normal((B, H)) for _ in layer.cell.state._fields]
    return params, random.standard_normal((T, B, D)), state, random.standard_normal((T, B, H))


@layers
def test_outputs_are_the_written_out_ones(layer: Any) -> None:
    params, x, state, _ = drawn(layer)
    y, _, _ = layer.forward(params, x, tuple(field[None] for field in state))
    expected = written_out(layer, params[0], x, state, np, rows_normal)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
@layers
def test_outputs_and_gradients_are_those_of_pytorch(layer: Any) -> None:
    """PyTorch's own layer_norm, and its autograd."""
    import torch

    def leaf(value: Any) -> Any:
        return torch.tensor(value, requires_grad=True)

    def normal(a: Any) -> Any:
        return torch.nn.functional.layer_norm(a, a.shape[-1:], eps=1e-5)

    params, x, state, d_y = drawn(layer, seed=1)
    theirs = tree.map(leaf, params[0]), leaf(x), [leaf(field) for field in state]
    expected = written_out(layer, *theirs, torch, normal)
    (expected * torch.tensor(d_y)).sum().backward()

    y, _, tape = layer.forward(params, x, tuple(field[None] for field in state))
    d_params, d_x, d_state_0 = layer.backward(params, tape, d_y)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-12)
    ours = [*tree.leaves(d_params[0]), d_x, *[field[0] for field in d_state_0]]
    for one, other in zip(ours, tree.leaves(list(theirs)), strict=True):
        scale = np.abs(other.grad.numpy()).max()
        np.testing.assert_allclose(one, other.grad.numpy(), rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize("layer", FURTHER.values(), ids=FURTHER)
def test_gradients(layer: Any) -> None:
    """Central differences: every parameter, x, every field of the state; unequal lengths."""
    report = rx.verify.gradcheck(layer, lengths=[2, 4]).require()
    passed = {finding.subject for finding in report if finding.outcome == "passed"}
    assert {f"params.{place}.vectors" for place in range(layer.num_layers * layer.directions)} <= passed
    assert {"x", *[f"state_0.{field}" for field in layer.cell.state._fields]} <= passed


INNER = [rnn.cell("elu"), gru.AFTER, gru.cell("before", clip=1.0), lstm.LSTM, lstm.cell(peepholes=True)]


@pytest.mark.parametrize("inner", INNER, ids=lambda cell: cell.name)
def test_derivatives_of_pairs(inner: Any) -> None:
    """Each by itself: every gate, recurrent part, gain, shift and vector."""
    cell = normalized.cell(inner)
    report = rx.verify.gradcheck_cell(cell, hidden_size=5, batch=2).require()
    passed = [finding.subject for finding in report if finding.outcome == "passed"]
    read = sum(len(pair.reads) + len(pair.apart) + len(pair.vectors) for pair in cell.pairs)
    assert len([subject for subject in passed if "s_prev" not in subject]) == read


def test_certificate() -> None:
    """Of the cell that has both kinds of normalisation: of parts, and of sums."""
    report = rx.verify.cell(normalized.cell(gru.BEFORE), others=()).require()
    assert {"batch independence", "float64 against 50 digits"} <= {finding.check for finding in report}


@layers
def test_single_precision(layer: Any) -> None:
    """Far from zero too, where a variance from the mean of squares would have lost its digits."""
    params, x, state, d_y = drawn(layer, seed=2)
    far = [each._replace(bias_ih=each.bias_ih + 100.0) for each in params]
    answers = []
    for dtype in ("float64", "float32"):
        own = tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), (tuple(far), x, d_y))
        y, _, tape = layer.forward(own[0], own[1], tuple(field[None].astype(dtype) for field in state))
        answers.append([y, *tree.leaves(layer.backward(own[0], tape, own[2]))])
    # a + 100 is held to 4e-6, of which a scale of order 1 makes as much
    for double, single in zip(*answers, strict=True):
        assert single.dtype == np.float32
        assert np.linalg.norm(single - double) < 1e-3 * np.linalg.norm(double)


def test_it_is_blind_to_scale_and_offset() -> None:
    """What normalisation is for: neither matters where epsilon is small beside the variance."""
    layer = rx.LSTM(D, 64, bias=False, layer_norm=True)
    params, x = layer.init(NUMPY), np.random.RandomState(0).standard_normal((T, B, D))
    large = (params[0]._replace(weight_ih=1e3 * params[0].weight_ih, weight_hh=1e3 * params[0].weight_hh),)
    larger = (params[0]._replace(weight_ih=1e6 * params[0].weight_ih, weight_hh=1e6 * params[0].weight_hh),)
    y = layer.forward(large, x)[0]
    np.testing.assert_allclose(layer.forward(larger, x)[0], y, rtol=0, atol=1e-5)
    assert np.abs(layer.forward(params, x)[0]).max() > 0.01


@pytest.mark.parametrize("init", INITIALIZERS)
def test_gains_begin_with_one_and_shifts_with_zero(init: str) -> None:
    layer = rx.LSTM(D, H, 2, peepholes=True, layer_norm=True)
    for params in layer.init(NUMPY, init=init):
        for name, row in zip(layer.cell.vectors, params.vectors, strict=True):
            if name.startswith("p_"):
                assert (row == 0.0).all() == (init != "pytorch")
            else:
                np.testing.assert_array_equal(row, 1.0 if name.startswith("gain") else 0.0)


def test_its_parameters() -> None:
    names = {name: layer.cell.vectors for name, layer in LAYERS.items()}
    gru_ih, gru_hh = [f"gain_ih_{gate}" for gate in "rzn"], [f"gain_hh_{gate}" for gate in "rzn"]
    assert names["gru"] == (*gru_ih, *gru_hh, "shift_r", "shift_z", "shift_n", "shift_hh_n")
    first, second = ("gain_r", "shift_r"), ("gain_z", "gain_ih_n", "gain_hh_n", "shift_z", "shift_n")
    assert names["gru reset before"] == (*first, *second)
    assert names["lstm peepholes"][-3:] == ("p_i", "p_f", "p_o")
    assert len(names["lstm"]) == 12


@layers
def test_the_portable_engine_runs_it(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ": portable engine, since its cell cannot be traced: TypeError: mean is" in layer.explain("numpy")
    monkeypatch.setenv("RNN_XP_ENGINE", "numpy")
    with pytest.raises(
        ValueError, match=r"`RNN_XP_ENGINE` must be auto or portable for the cell layer_norm\("
    ):
        choose(layer.cell, xp=np)


@layers
def test_cells_of_equal_options_are_equal(layer: Any) -> None:
    again = pickle.loads(pickle.dumps(layer))
    assert again == layer
    assert again.cell.pairs == layer.cell.pairs
    assert hash(again) == hash(layer)
    assert check(layer.cell) is layer.cell


@layers
def test_files_bring_it_back(layer: Any, tmp_path: Path) -> None:
    params, x, _, _ = drawn(layer)
    assert from_config(json.loads(json.dumps(layer.config()))) == layer
    assert "layer_norm=True" in repr(layer)
    model = rx.Sequential(layer)
    rx.save(tmp_path / "model.safetensors", model, (params,))
    again, loaded = rx.load(tmp_path / "model.safetensors", NUMPY)[:2]
    assert again == model
    np.testing.assert_array_equal(again.forward(loaded, x)[0], layer.forward(params, x)[0])


def test_files_bring_own_cells_back_by_their_name() -> None:
    layer = rx.Recurrent(normalized.cell(UGRNN), D, H)
    assert layer.config()["cell"] == "layer_norm(ugrnn)"
    assert from_config(layer.config(), {"layer_norm(ugrnn)": layer.cell}) == layer
    with pytest.raises(ValueError, match=r"`cells` must hold the cell 'layer_norm\(ugrnn\)'"):
        from_config(layer.config())


@layers
def test_the_options_of_the_cell_stay_readable(layer: Any) -> None:
    plain = type(layer)(**{k: v for k, v in layer.config().items() if k not in ("type", "layer_norm")})
    assert (plain.layer_norm, layer.layer_norm) == (False, True)
    assert {**plain.config(), "layer_norm": True} == layer.config()


@layers
def test_edges(layer: Any) -> None:
    """No samples, no steps; one unit, whose normal value is 0."""
    params = layer.init(NUMPY)
    for shape in ((T, 0, D), (0, B, D)):
        y, _, tape = layer.forward(params, np.zeros(shape))
        d_params, d_x, _ = layer.backward(params, tape, y)
        assert d_x.shape == shape
        assert all(not leaf.any() for leaf in tree.leaves(d_params))
    single = rx.RNN(D, 1, layer_norm=True)
    params = single.init(NUMPY)
    params[0].vectors[...] = [[2.0], [3.0], [0.5]]
    y = single.forward(params, np.ones((T, B, D)))[0]
    np.testing.assert_allclose(y, np.tanh(0.5), rtol=1e-15)


def test_words() -> None:
    with pytest.raises(ValueError, match=r"`layer_norm` must be one of True, False; got 'both'\."):
        rx.GRU(D, H, layer_norm="both")  # type: ignore[arg-type]
    pair = lstm.cell(peepholes=True).pairs[0]._replace(vectors_0=(0.0,))
    wrong = rnn.TANH._replace(name="wrong", pairs=(pair,))
    with pytest.raises(
        ValueError, match=r"`vectors_0` of a pair must hold a value for each of \('p_i', 'p_f',"
    ):
        check(wrong)
