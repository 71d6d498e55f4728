"""Recomputing BPTT gives the bits of a plain run, in the memory that it was told to keep to."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from support import EXACT, MAKERS, assert_close, normal, open_backend

import rnn_xp as rx
from rnn_xp.layers import Context
from rnn_xp.random import Rng
from rnn_xp.sequence import back, segment_steps

NUMPY = open_backend("numpy")
T, B = 23, 2


def answer(layer: Any, params: Any, x: Any, recompute: Any, **given: Any) -> Any:
    y, state_T, tape = layer.forward(params, x, recompute=recompute, **given)
    d_y, d_state_T = normal(NUMPY, y, 3), normal(NUMPY, state_T, 4)
    return y, state_T, layer.backward(params, tape, d_y, d_state_T)


def segments(layer: Any, params: Any, recompute: Any) -> int:
    """Return how many segments its runs have."""
    context = Context(np, recompute=recompute)
    _, _, kept = layer.run(params, np.zeros((T, B, 3)), None, context)
    run = kept.runs[0]
    return -(-T // run.run.T)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a tile be two steps."""
    monkeypatch.setattr(back, "TILE", 2 * B)
    monkeypatch.setattr("rnn_xp.sequence.recompute.TILE", 2 * B)


@pytest.mark.parametrize("cell", MAKERS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reverse": True, "learn_state": True},
        {"num_layers": 2, "bidirectional": True, "dropout": 0.3},
        {"num_layers": 2, "zoneout": 0.2, "recurrent_dropout": 0.2, "learn_state": True},
    ],
)
@pytest.mark.parametrize("given", ["whole", "lengths", "mask and reset"])
def test_every_bit_is_that_of_a_plain_run(cell: str, options: Any, given: str) -> None:
    layer = MAKERS[cell](3, 4, **options)
    params, x = normal(NUMPY, layer.init(NUMPY), 0, 0.5), normal(NUMPY, np.zeros((T, B, 3)), 1)
    random = np.random.RandomState(0)
    more: dict[str, Any] = {
        "whole": {},
        "lengths": {"lengths": [23, 7]},
        "mask and reset": {"mask": random.rand(T, B) < 0.7, "reset": random.rand(T, B) < 0.2},
    }[given]
    plain = answer(layer, params, x, None, rng=Rng(0, 0), **more)
    least = layer.kept_bytes(T, B, 8) // layer.runs
    for recompute in (True, layer.runs * (least // 2), layer.runs * least * 2):
        assert_close(answer(layer, params, x, recompute, rng=Rng(0, 0), **more), plain, EXACT)


def test_there_are_several_segments() -> None:
    layer = rx.LSTM(3, 4)
    params = layer.init(NUMPY)
    assert segments(layer, params, True) > 2
    assert segments(layer, params, layer.kept_bytes(T, B, 8) // 2) > 1
    assert segments(layer, params, 10**9) == 1


def test_a_model_shares_its_budget() -> None:
    model = rx.Sequential(rx.GRU(3, 4), rx.Residual(rx.LSTM(4, 4)), rx.LastStep(), rx.Linear(4, 2))
    params, x = normal(NUMPY, model.init(NUMPY), 0, 0.5), normal(NUMPY, np.zeros((T, B, 3)), 1)
    plain = answer(model, params, x, None, lengths=[20, 23])
    assert_close(answer(model, params, x, 12_000, lengths=[20, 23]), plain, EXACT)
    _, _, kept = model.run(params, x, None, Context(np, recompute=12_000))
    assert [own.runs[0].run.T < T for own in kept[:2]] == [True, True]


def test_forward_forward_backward_backward() -> None:
    layer = rx.GRU(3, 4)
    params = normal(NUMPY, layer.init(NUMPY), 0, 0.5)
    xs = [normal(NUMPY, np.zeros((T, B, 3)), seed) for seed in (1, 2)]
    expected = [answer(layer, params, x, None)[2] for x in xs]
    given = [layer.forward(params, x, recompute=True) for x in xs]
    for (y, state_T, tape), one in zip(given, expected, strict=True):
        for _ in range(2):
            assert_close(
                layer.backward(params, tape, normal(NUMPY, y, 3), normal(NUMPY, state_T, 4)), one, EXACT
            )


@pytest.mark.parametrize("steps", [100, 10_000, 10**6])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_segments_are_whole_tiles_of_about_the_root(steps: int, batch: int) -> None:
    tile = 4 // batch or 1
    own = segment_steps(True, steps, batch, 8, 2)
    assert own % tile == 0
    assert 0.3 < own / (steps / 4) ** 0.5 < 3.0
    budget = 8 * steps // 3
    own = segment_steps(budget, steps, batch, 8, 2)
    assert own % tile == 0
    assert own * 8 + -(-steps // own) * 2 <= budget < (own + tile) * 8 + -(-steps // (own + tile)) * 2
    with pytest.raises(ValueError, match=f"`recompute` must be True, or at least .* for {steps} steps"):
        segment_steps(1, steps, batch, 8, 2)


def test_the_memory_is_that_of_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    model = rx.Sequential(rx.LSTM(1, 32), rx.LastStep(), rx.Linear(32, 1))
    params, x = normal(NUMPY, model.init(NUMPY), 0, 0.1), np.zeros((6000, 1, 1))

    def peak(recompute: Any) -> int:
        context = Context(np, states=False, recompute=recompute)
        tracemalloc.start()
        y, _, kept = model.run(params, x, None, context)
        model.run_back(params, kept, np.ones_like(y), None, False, xp=np)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(None)  # what is cached once
    assert peak(True) < 0.3 * peak(None)


def test_a_shorter_batch_uses_the_same_memory() -> None:
    layer = rx.LSTM(3, 4, learn_state=True)
    params, memory = normal(NUMPY, layer.init(NUMPY), 0, 0.5), {}
    for n in (T, 5, 1, 17, T):
        x = normal(NUMPY, np.zeros((n, B, 3)), n)
        answers = []
        for context in (Context(np, memory=memory, recompute=True), Context(np)):
            y, state_T, kept = layer.run(params, x, None, context)
            back_again = layer.run_back(params, kept, normal(NUMPY, y, 3), state_T, True, xp=np)
            answers.append((y, state_T, back_again))
        assert_close(*answers, EXACT)
    assert len(memory) == 1


@pytest.mark.parametrize("recompute", [None, True])
@pytest.mark.parametrize("cell", ["lstm_projected", "gru_reset_before"])
def test_the_state_at_a_step(cell: str, recompute: Any) -> None:
    layer = MAKERS[cell](3, 4, 2, zoneout=0.1)
    params, x = normal(NUMPY, layer.init(NUMPY), 0, 0.5), normal(NUMPY, np.zeros((T, B, 3)), 1)
    _, _, kept = layer.run(params, x, None, Context(np, recompute=recompute))
    for i in (1, 9, 10, T, 3):
        assert_close(layer.state_at(kept, i), layer.forward(params, x[:i])[1], EXACT)
    assert not layer.state_at(kept, 0).h.any()


@pytest.mark.parametrize("options", [{}, {"zoneout": 0.1, "recurrent_dropout": 0.1}])
@pytest.mark.parametrize("cell", MAKERS)
def test_kept_bytes_are_those_of_the_arrays(cell: str, options: Any) -> None:
    layer = MAKERS[cell](3, 4, 2, bidirectional=True, **options)
    context = Context(np, rng=Rng(0, 0))
    _, _, kept = layer.run(layer.init(NUMPY), np.zeros((400, B, 3)), None, context)
    size = 0
    for run in kept.runs:
        arrays = [run.memory.gates, run.memory.extra, *run.states, *run.operands, run.x]
        if run.between is not None:
            arrays += [*run.memory.s_prev, *run.memory.s, run.operand]
        size += sum(array.nbytes for array in arrays)
    assert layer.kept_bytes(400, B, 8) == pytest.approx(size, rel=0.005)


def test_a_budget_of_nothing_is_refused_by_every_layer() -> None:
    model = rx.Sequential(rx.GRU(3, 4), rx.GRU(4, 4))
    with pytest.raises(ValueError, match=r"`recompute` must be True, or at least \d+ bytes for 23 steps"):
        model.forward(model.init(NUMPY), np.zeros((T, B, 3)), recompute=1)


def test_the_least_budget_that_is_named_is_enough() -> None:
    layer = rx.GRU(3, 4)
    for steps in (1, 3, 23):
        with pytest.raises(ValueError, match="at least") as told:
            segment_steps(1, steps, B, 100, 30)
        least = int(str(told.value).split("at least ")[1].split()[0])
        assert segment_steps(least, steps, B, 100, 30) <= steps
        with pytest.raises(ValueError, match="at least"):
            segment_steps(least - 1, steps, B, 100, 30)
    y, state_T, tape = layer.forward(layer.init(NUMPY), np.zeros((0, B, 3)), recompute=True)
    assert y.shape == (0, B, 4)
    assert layer.backward(layer.init(NUMPY), tape, y, state_T)[1].shape == (0, B, 3)
