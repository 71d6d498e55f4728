"""Streams: a model that reads its sequences step by step gives what it gives for the whole of them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from support import (
    ACROSS,
    EXACT,
    MAKERS,
    SINGLE,
    TORCH,
    assert_close,
    normal,
    nothing_moves,
    open_backend,
    own,
    steps,
)

import rnn_xp as rx
from rnn_xp.backend import Backend, to_numpy
from rnn_xp.interop.torch import from_state_dict

T, B = 6, 3

MODELS = {
    "a head": lambda: rx.Sequential(rx.LSTM(3, 4), rx.Dropout(0.4), rx.Linear(4, 2)),
    "layers between": lambda: rx.Sequential(rx.Linear(3, 5), rx.GRU(5, 4), rx.Linear(4, 2), rx.RNN(2, 3)),
    "nested": lambda: rx.Sequential(
        rx.Dropout(0.3), rx.Sequential(rx.GRU(3, 4), rx.Sequential(rx.LSTM(4, 2), rx.Linear(2, 2)))
    ),
    "tokens": lambda: rx.Sequential(rx.Embedding(7, 3), rx.GRU(3, 4, 2, bias="input"), rx.Linear(4, 7)),
    "no state": lambda: rx.Sequential(rx.Linear(3, 2, bias=False), rx.Dropout(0.1)),
    "a table": lambda: rx.Sequential(rx.Embedding(7, 3)),
}


def feed(model: rx.Sequential, backend: Backend, batch: int = B) -> Any:
    """Return sequences that the model can read."""
    if model.intake.kind == "tokens":
        return backend.asarray(np.random.RandomState(1).randint(0, model.intake.size, (T, batch)))
    return steps(backend, (T, batch, model.intake.size), 1)


def follow(stream: rx.Stream, x: Any) -> list[Any]:
    """Return the answers to every step of x."""
    return [stream.step(x[t, ...]) for t in range(x.shape[0])]


@pytest.mark.parametrize("batch", [1, B])
@pytest.mark.parametrize("maker", MAKERS)
def test_every_cell_gives_what_it_gives_for_the_whole(
    maker: str, batch: int, backend: Backend, backend_name: str
) -> None:
    """On NumPy to the last bit, unless a step is one column: its products are then one for the whole."""
    tolerance = EXACT if backend_name not in ("torch", "cupy") else ACROSS
    model = rx.Sequential(MAKERS[maker](3, 4, 2, dropout=0.4), rx.Dropout(0.2))
    params, x = model.init(backend, seed=0), feed(model, backend, batch)
    y, state_T, _ = model.forward(params, x)
    stream = model.stream(params, batch)
    assert_close(follow(stream, x), [y[t, ...] for t in range(T)], tolerance)
    assert_close(stream.state, state_T, tolerance)


@pytest.mark.parametrize("model", MODELS)
def test_every_layer_gives_what_it_gives_for_the_whole(model: str, backend: Backend) -> None:
    model = MODELS[model]()
    params, x = model.init(backend, seed=0), feed(model, backend)
    y, state_T, _ = model.forward(params, x)
    stream = model.stream(params, B)
    assert_close(follow(stream, x), [y[t, ...] for t in range(T)], ACROSS)
    assert_close(stream.state, state_T, ACROSS)


def test_a_classifier_answers_for_what_it_has_read(backend: Backend) -> None:
    model = rx.Sequential(rx.GRU(3, 4, 2), rx.LastStep(), rx.Dropout(0.2), rx.Linear(4, 2))
    params, x = model.init(backend, seed=0), feed(model, backend)
    whole = [model.forward(params, x[: t + 1, ...])[0] for t in range(T)]
    assert_close(follow(model.stream(params, B), x), whole, ACROSS)


def test_it_agrees_with_predict() -> None:
    backend = open_backend("numpy", "float32")
    model = rx.Sequential(rx.LSTM(3, 8), rx.LastStep(), rx.Linear(8, 2))
    params, x = model.init(backend, seed=0), feed(model, backend)
    assert x.dtype == np.float32
    y = follow(model.stream(params, B), x)[-1]
    assert_close(y, rx.predict(model, params, x, layout="TNC"), SINGLE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "relu"])
def test_it_agrees_with_pytorchs_cells(name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    options = {"nonlinearity": "relu"} if name == "relu" else {}
    kind = "RNN" if options else name
    torch.manual_seed(0)
    cells = [
        getattr(torch.nn, f"{kind}Cell")(*sizes, **options).to(getattr(torch, dtype))
        for sizes in ((3, 8), (8, 8))
    ]
    backend = open_backend("numpy", dtype)
    layer = getattr(rx, kind)(3, 8, 2, **options)
    weights = {
        f"{key}_l{i}": value.detach().numpy()
        for i, cell in enumerate(cells)
        for key, value in cell.named_parameters()
    }
    params = (from_state_dict(layer, weights, backend),)
    stream = rx.Sequential(layer).stream(params, B)
    states: list[Any] = [None, None]
    for x in steps(backend, (50, B, 3), 1):
        flow = torch.from_numpy(x)
        with torch.no_grad():
            for i, cell in enumerate(cells):
                states[i] = cell(flow, states[i])
                flow = states[i][0] if name == "LSTM" else states[i]
        assert_close(stream.step(x), flow.numpy(), TORCH if dtype == "float64" else SINGLE)
    ends = zip(*states, strict=True) if name == "LSTM" else [states]
    for field, end in zip(stream.state[0], ends, strict=True):
        assert_close(field, torch.stack(list(end)).numpy(), TORCH if dtype == "float64" else SINGLE)


def test_it_agrees_with_a_sum_on_paper(backend: Backend) -> None:
    """h = tanh(0.5 x - 0.25 h + 0.125), and y = 3 h - 1."""
    model = rx.Sequential(rx.RNN(1, 1, bias="input"), rx.Linear(1, 1))
    recurrent = [[[0.5]], [[-0.25]], [0.125]]
    params = model.init(backend)
    layer = params[0][0]._replace(
        **dict(zip(("weight_ih", "weight_hh", "bias_ih"), map(backend.asarray, recurrent), strict=True))
    )
    head = params[1]._replace(weight=backend.asarray([[3.0]]), bias=backend.asarray([-1.0]))
    stream = model.stream(((layer,), head))
    h = 0.0
    for x in (0.3, -2.0, 1.5, 0.0):
        h = math.tanh(0.5 * x - 0.25 * h + 0.125)
        y = stream.step(backend.asarray([[x]]))
        assert to_numpy(y) == pytest.approx(np.array([[3 * h - 1]]), rel=1e-14)
        assert to_numpy(stream.state[0].h) == pytest.approx(np.array([[[h]]]), rel=1e-14)


@pytest.mark.parametrize("maker", MAKERS)
def test_later_steps_write_to_nothing_that_was_given(maker: str, numpy64: Backend) -> None:
    model = rx.Sequential(MAKERS[maker](3, 4, 2))
    params, x = model.init(numpy64, seed=0), feed(model, numpy64)
    parts = [model.forward(params, x[: t + 1]) for t in range(T)]
    stream, given = model.stream(params, B), np.empty((B, 3))
    answers, states = [], []
    for each in x:
        given[...] = each
        answers.append(stream.step(given))
        states.append(stream.state)
        given[...] = np.nan
    assert_close(answers, [y[-1] for y, _, _ in parts], EXACT)
    assert_close(states, [state_T for _, state_T, _ in parts], EXACT)


@pytest.mark.parametrize(
    "last",
    [(), (rx.LastStep(),), (rx.Dropout(0.1),), (rx.Linear(4, 4),)],
    ids=["", "last", "dropout", "head"],
)
def test_the_caller_may_write_to_what_was_given(last: tuple[Any, ...], numpy64: Backend) -> None:
    model = rx.Sequential(rx.LSTM(3, 4, 2), *last)
    params, x = model.init(numpy64, seed=0), feed(model, numpy64)
    expected = follow(model.stream(params, B), x)
    stream = model.stream(params, B)
    start = normal(numpy64, stream.state, 1, 0.0)
    stream.reset(start)
    for each, y in zip(x, expected, strict=True):
        for part in (*start[0], *stream.state[0]):
            part[...] = np.nan
        answer = stream.step(each)
        assert_close(answer, y, EXACT)
        assert answer.flags.c_contiguous
        answer[...] = np.nan


def test_it_begins_anew(backend: Backend) -> None:
    model = rx.Sequential(rx.GRU(3, 4, 2), rx.Sequential(rx.LSTM(4, 3, proj_size=2)))
    params, x = model.init(backend, seed=0), feed(model, backend)
    stream = model.stream(params, B)
    first = follow(stream, x)
    stream.reset()
    assert_close(follow(stream, x), first, EXACT)


def test_its_state_is_that_of_forward(backend: Backend) -> None:
    """From `forward` to the stream and back, in the middle of sequences."""
    model = rx.Sequential(rx.GRU(3, 4, 2), rx.Sequential(rx.LSTM(4, 3, proj_size=2)), rx.Linear(2, 2))
    params, x = model.init(backend, seed=0), feed(model, backend)
    start = model.forward(params, x)[1]
    start = normal(backend, start, 2)
    y, state_T, _ = model.forward(params, x, start)
    stream = model.stream(params, B)
    stream.step(x[0, ...])
    stream.reset(start)
    assert_close(stream.state, start, EXACT)
    assert_close(follow(stream, x[:2, ...]), [y[t, ...] for t in range(2)], ACROSS)
    rest, end, _ = model.forward(params, x[2:, ...], stream.state)
    assert_close((rest, end), (y[2:, ...], state_T), ACROSS)


def test_streams_of_one_model_know_nothing_of_each_other(numpy64: Backend) -> None:
    model = rx.Sequential(rx.LSTM(3, 4))
    params, x = model.init(numpy64, seed=0), feed(model, numpy64)
    one, other = model.stream(params, B), model.stream(params, B)
    for each in x:
        other.step(2.0 * one.step(each)[:, :3])
    assert_close(one.state, model.forward(params, x)[1], EXACT)


def test_a_step_waits_for_no_device(backend: Backend, backend_name: str) -> None:
    model = rx.Sequential(rx.GRU(3, 4), rx.LSTM(4, 4, 2), rx.LastStep(), rx.Linear(4, 2))
    params, x = model.init(backend, seed=0), feed(model, backend)
    expected = model.forward(params, x)[0]
    stream = model.stream(params, B)
    with nothing_moves(backend_name):
        y = follow(stream, x)[-1]
    assert_close(y, expected, ACROSS)


class Readings(np.ndarray[Any, Any]):
    """An array with a name, as users make them."""


def test_other_kinds_of_numpy_array_are_read_as_plain_ones(numpy64: Backend) -> None:
    model = rx.Sequential(rx.Linear(3, 2))
    params, x = model.init(numpy64, seed=0), feed(model, numpy64)
    y = model.stream(params, B).step(x[0].view(Readings))
    assert type(y) is np.ndarray
    assert_close(y, model.forward(params, x)[0][0], ACROSS)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ((rx.GRU(3, 4, bidirectional=True),), "GRU(3, 4, bidirectional=True)"),
        ((rx.GRU(3, 4), rx.LSTM(4, 2, reverse=True)), "LSTM(4, 2, reverse=True)"),
        ((rx.GRU(3, 4), rx.MeanPool()), "MeanPool()"),
        ((rx.Sequential(rx.GRU(3, 4), rx.MaxPool()), rx.Linear(4, 1)), "MaxPool()"),
        ((rx.LastStep(2), rx.Linear(3, 1)), "LastStep(reverse_size=2)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_the_whole_is_named(layers: tuple[Any, ...], named: str, numpy64: Backend) -> None:
    model = rx.Sequential(*layers)
    message = (
        f"`model` must answer at each step from what it has read, to be streamed; got {named}, which needs "
        "whole sequences. Take LastStep and layers that run forward, or call `forward` on whole sequences."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model.stream(model.init(numpy64))


RECURRENT = rx.Sequential(rx.LSTM(3, 4))
TOKENS = rx.Sequential(rx.Embedding(7, 3), rx.GRU(3, 4))
FLOAT32 = np.zeros((B, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("model", "x", "error", "message"),
    [
        (RECURRENT, FLOAT32, TypeError, "`x` must have dtype float64, that of the parameters; got float32."),
        (RECURRENT, np.zeros((B, 3), int), TypeError, "`x` must have dtype float64, .*; got int64."),
        (
            RECURRENT,
            np.zeros((B, 3), ">f8"),
            TypeError,
            "must have dtype float64, .*; got float64 in another order of bytes",
        ),
        (
            RECURRENT,
            np.zeros((B, 2)),
            ValueError,
            r"must have shape \(B, D\) with B = 3, D = 3; got \(3, 2\)",
        ),
        (
            RECURRENT,
            np.zeros((1, 3)),
            ValueError,
            r"must have shape \(B, D\) with B = 3, D = 3; got \(1, 3\)",
        ),
        (
            RECURRENT,
            np.zeros((1, B, 3)),
            ValueError,
            r"got \(1, 3, 3\). A stream reads one step: there is no",
        ),
        (RECURRENT, [[0.0] * 3] * B, TypeError, "must be an array; got list. Convert it"),
        (TOKENS, np.zeros((1, B), int), ValueError, r"`x` must have shape \(B\) with B = 3; got \(1, 3\)"),
        (TOKENS, np.zeros(B), TypeError, "`x` must hold integer tokens; got dtype float64"),
        (TOKENS, np.array([0, 7, 1]), ValueError, r"`x` must hold tokens in 0..V-1 with V = 7; got 0..7"),
        (TOKENS, np.array([0, -1, 1]), ValueError, r"`x` must hold tokens in 0..V-1 with V = 7; got -1..1"),
    ],
)
def test_a_wrong_step_is_refused_and_changes_nothing(
    model: rx.Sequential, x: Any, error: type[Exception], message: str, numpy64: Backend
) -> None:
    stream = model.stream(model.init(numpy64), B)
    stream.step(feed(model, numpy64)[0])
    state = stream.state
    with pytest.raises(error, match=message):
        stream.step(x)
    assert_close(stream.state, state, EXACT)


def test_arrays_of_another_library_are_refused(numpy64: Backend) -> None:
    strict = pytest.importorskip("array_api_strict")
    stream = RECURRENT.stream(RECURRENT.init(numpy64), B)
    message = r"all arrays must belong to one library; got numpy \(`params`\) and array_api_strict"
    with pytest.raises(TypeError, match=rf"{message} \(`x`\)"):
        stream.step(strict.zeros((B, 3)))
    with pytest.raises(TypeError, match=rf"{message} \(`state`\)"):
        stream.reset(own(open_backend("array_api_strict"), stream.state))


def test_other_wrong_arguments_are_refused(numpy64: Backend) -> None:
    params = RECURRENT.init(numpy64)
    stream = RECURRENT.stream(params, B)
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1; got 0"):
        RECURRENT.stream(params, 0)
    with pytest.raises(ValueError, match="`params` must be those of Sequential"):
        TOKENS.stream(params)
    with pytest.raises(ValueError, match=r"`model` must have parameters, .*; got Sequential\(LastStep\(\)\)"):
        rx.Sequential(rx.LastStep()).stream(((),))
    with pytest.raises(ValueError, match=r"`state\[0\].h` must have shape .* got \(1, 1, 4\)"):
        stream.reset(RECURRENT.stream(params).state)
    with pytest.raises(TypeError, match="`state` must be a tuple of 1 states, one a layer; got State"):
        stream.reset(stream.state[0])


def test_a_tensor_that_asks_for_gradients_is_refused_and_does_no_harm() -> None:
    torch = pytest.importorskip("torch")
    backend = open_backend("torch")
    stream = RECURRENT.stream(RECURRENT.init(backend), B)
    x = torch.zeros((B, 3), dtype=torch.float64)
    first = stream.step(x)
    with pytest.raises(ValueError, match=r"`x` must not require gradients; got .* x\.detach\(\)"):
        stream.step(torch.zeros((B, 3), dtype=torch.float64, requires_grad=True))
    stream.reset()
    assert_close(stream.step(x), first, EXACT)


def test_a_tensor_of_another_device_is_refused() -> None:
    torch = pytest.importorskip("torch")
    stream = RECURRENT.stream(RECURRENT.init(open_backend("torch")), B)
    with pytest.raises(ValueError, match="`x` must be on cpu, as the parameters are; got meta"):
        stream.step(torch.zeros((B, 3), dtype=torch.float64, device="meta"))


@pytest.mark.parametrize("batch", [1, B])
@pytest.mark.parametrize("maker", MAKERS)
def test_chunks_of_any_size_give_the_same_bits(maker: str, batch: int) -> None:
    layer = MAKERS[maker](3, 4, 2, zoneout=0.2, learn_state=True)
    size = layer.output_size
    model = rx.Sequential(layer, rx.Residual(rx.GRU(size, size)), rx.Linear(size, 2))
    backend = open_backend("numpy", "float32")
    params = normal(backend, model.init(backend), 1, 0.5)
    x = steps(backend, (150, batch, 3), 2)
    stream = model.stream(params, batch)
    whole, state_T = stream.run(x), stream.state
    for chunk in (1, 7, 64, 100):
        stream.reset()
        parts = [stream.run(x[start : start + chunk]) for start in range(0, 150, chunk)]
        assert_close((np.concatenate(parts), stream.state), (whole, state_T), EXACT)
    stream.reset()
    assert_close((np.stack(follow_all(stream, x)), stream.state), (whole, state_T), EXACT)
    y, last, _ = model.forward(params, x)
    assert_close((whole, state_T), (y, last), SINGLE)


def follow_all(stream: rx.Stream, x: Any) -> list[Any]:
    return [stream.step(row) for row in x]


def test_steps_and_chunks_take_turns(backend: Backend) -> None:
    model = MODELS["tokens"]()
    params, x = model.init(backend, seed=0), feed(model, backend)
    y, state_T, _ = model.forward(params, x)
    stream = model.stream(params, B)
    parts = [stream.run(x[:2, ...])[1, ...], stream.step(x[2, ...]), stream.run(x[3:, ...])[2, ...]]
    assert_close(parts, [y[1, ...], y[2, ...], y[5, ...]], ACROSS)
    assert_close(stream.state, state_T, ACROSS)
    rows = [model.stream(params, 1).run(x[:, b : b + 1])[:, 0, ...] for b in range(B)]
    assert_close(rows, [y[:, b, ...] for b in range(B)], ACROSS)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 3), "`x` must have shape (T, B, D) with B = 2, D = 3; got (3, 3)."),
        ((4, 1, 3), "`x` must have shape (T, B, D) with B = 2, D = 3; got (4, 1, 3)."),
        ((0, 2, 3), "`x` must have at least one step; got T = 0."),
    ],
)
def test_a_chunk_of_another_shape(shape: tuple[int, ...], words: str) -> None:
    model = rx.Sequential(rx.GRU(3, 4))
    backend = open_backend("numpy")
    stream = model.stream(model.init(backend), 2)
    with pytest.raises(ValueError, match=re.escape(words)):
        stream.run(np.zeros(shape))
