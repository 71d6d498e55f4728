"""No answer of a run is memory that is written to later, whichever engine runs it."""

from __future__ import annotations

import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support import EXACT, MAKERS, UGRNN, assert_close, normal, open_backend, run, steps

import rnn_xp as rx
from rnn_xp import tree

NUMPY = open_backend("numpy")
LAYER = rx.LSTM(3, 5, 2, peepholes=True, bidirectional=True)
PARAMS = normal(NUMPY, LAYER.init(NUMPY, seed=1), 2, 0.5)


def given_to(seed: int) -> list[Any]:
    """Return x and d_y of some run."""
    return [steps(NUMPY, (6, 4, 3), seed), steps(NUMPY, (6, 4, 10), seed + 1)]


def test_answers_stay_as_they_are() -> None:
    answers = run(LAYER, PARAMS, *given_to(3))
    before = tree.map(np.copy, answers)
    run(LAYER, PARAMS, *given_to(5), normal(NUMPY, answers["state_T"], 7), state_0=answers["state_T"])
    assert_close(answers, before, EXACT)


@pytest.mark.parametrize("maker", MAKERS)
def test_two_tapes_are_apart(maker: str) -> None:
    layer = MAKERS[maker](3, 5)
    params = normal(NUMPY, layer.init(NUMPY, seed=1), 2, 0.5)
    (x, _), (other, _) = given_to(3), given_to(5)
    y, _, tape = layer.forward(params, x)
    z, _, second = layer.forward(params, other)
    d_y = steps(NUMPY, y.shape, 7)
    told = [layer.backward(params, own_tape, d_y) for own_tape in (tape, second, tape)]
    alone = [run(layer, params, own_x, d_y) for own_x in (x, other, x)]
    assert_close([y, z], [alone[0]["y"], alone[1]["y"]], EXACT)
    assert_close(
        told, [tuple(one[name] for name in ("d_params", "d_x", "d_state_0")) for one in alone], EXACT
    )


def test_what_is_given_may_be_written_to_after_the_call() -> None:
    x, d_y = given_to(3)
    expected = run(LAYER, PARAMS, x, d_y)
    state_0 = tree.map(np.zeros_like, expected["state_T"])
    y, state_T, tape = LAYER.forward(PARAMS, x, state_0)
    for array in (x, y, *state_0, *state_T):
        array[...] = np.nan
    told = LAYER.backward(PARAMS, tape, d_y)
    d_y[...] = np.nan
    assert_close(told, (expected["d_params"], expected["d_x"], expected["d_state_0"]), EXACT)


def test_a_stream_and_a_training_leave_earlier_answers_alone() -> None:
    model = rx.Sequential(
        rx.Recurrent(UGRNN, 3, 5), rx.GRU(5, 4, reset="before"), rx.LastStep(), rx.Linear(4, 2)
    )
    params = model.init(NUMPY, seed=1)
    x, classes = steps(NUMPY, (6, 4, 3), 3), np.arange(4) % 2
    y = model.forward(params, x)[0]
    stream = model.stream(params, batch_size=4)
    told = [stream.step(one) for one in x]
    state = stream.state
    kept = tree.map(np.copy, [y, told, state, params])
    for one in x[::-1]:
        stream.step(one)
    result = rx.fit(model, x, classes, layout="TNC", epochs=2, backend=NUMPY, params=params, verbose=False)
    assert_close([y, told, state, params], kept, EXACT)
    assert_close(told[-1], y, EXACT)
    trained = tree.map(np.copy, result.params)
    rx.fit(model, x, classes, layout="TNC", epochs=1, backend=NUMPY, params=result.params, verbose=False)
    assert_close(result.params, trained, EXACT)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_tape_is_freed_when_it_is_dropped(maker: str) -> None:
    layer = MAKERS[maker](3, 5)
    params = layer.init(NUMPY, seed=1)
    gc.disable()
    try:
        y, _, tape = layer.forward(params, steps(NUMPY, (6, 4, 3), 3))
        layer.backward(params, tape, y)
        there = weakref.ref(tape.kept.runs[0])
        assert there() is not None
        del tape
        assert there() is None
    finally:
        gc.enable()


def test_a_layer_that_has_run_can_be_pickled() -> None:
    answers = run(LAYER, PARAMS, *given_to(3))
    copied, answers_too = pickle.loads(pickle.dumps((LAYER, answers)))
    assert_close(run(copied, PARAMS, *given_to(3)), answers_too, EXACT)


def test_threads_share_a_layer() -> None:
    seeds = range(3, 19)
    expected = [run(LAYER, PARAMS, *given_to(seed)) for seed in seeds]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda seed: run(LAYER, PARAMS, *given_to(seed)), seeds))
    assert_close(told, expected, EXACT)
