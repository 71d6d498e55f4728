"""One training step at a time: its dropout masks, its guard, and its count of the steps before a bad one."""

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.model import LOSSES
from rnn_xp.train.feed.batches import Batch
from rnn_xp.train.loop.step import Stepper

BACKEND = rx.get_backend("numpy", dtype="float64")


def stepper(model, optimizer, **options):
    params = model.init(BACKEND, seed=0)
    options = {"seed": 5, "schedule": None, "clip_norm": None, "clip_value": None} | options
    return Stepper(model, params, LOSSES["squared_error"], optimizer, BACKEND, **options)


def batch(x, target):
    return Batch(x, target, np.full(len(target), 1 / len(target)), None, float(len(target)))


X, Y = np.random.default_rng(0).standard_normal((4, 3, 2)), np.ones((3, 1))


def test_every_step_drops_other_units():
    """With a rate of learning of 0, only the dropout masks can change the loss."""
    model = rx.Sequential(rx.Dropout(0.5), rx.GRU(2, 8), rx.LastStep(), rx.Linear(8, 1))
    still = stepper(model, rx.SGD(0.0))
    losses = [float(still.step(batch(X, Y))[0]) for _ in range(6)]
    assert len(set(losses)) == 6
    again = stepper(model, rx.SGD(0.0))
    assert losses == [float(again.step(batch(X, Y))[0]) for _ in range(6)]


def test_a_step_drops_what_its_number_says():
    """Whatever was drawn before: the masks of a step are those of Rng(seed, step), asked for in any order."""
    model = rx.Sequential(rx.Dropout(0.5), rx.LSTM(2, 8, 2, dropout=0.5), rx.LastStep(), rx.Linear(8, 1))
    still = stepper(model, rx.SGD(0.0))
    losses = [float(still.step(batch(X, Y))[0]) for _ in range(6)]
    for step in (4, 0, 5, 2, 1, 3):
        y = model.forward(still.params, X, rng=rx.Rng(5, step))[0]
        assert losses[step] == pytest.approx(np.mean((y - Y) ** 2), rel=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_a_bad_step_changes_nothing_and_is_counted(bad):
    """1e200 is finite, and its square, the loss, is not."""
    model = rx.Sequential(rx.LastStep(), rx.Linear(2, 1))
    step = stepper(model, rx.Adam(0.1))
    for _ in range(3):
        step.step(batch(X, Y))
    before = step.snapshot()
    assert step.first_bad() is None
    step.step(batch(X, bad * Y))
    step.step(batch(X, Y))
    assert step.first_bad() == 3
    for leaf, kept in zip(step.params[1], before[1], strict=True):
        np.testing.assert_array_equal(leaf, kept)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_finite_step_that_overflows_changes_nothing():
    model = rx.Sequential(rx.LastStep(), rx.Linear(2, 1))
    step = stepper(model, rx.SGD(1e308))
    before = step.snapshot()
    step.step(batch(X, 100 * Y))
    assert step.first_bad() == 0
    np.testing.assert_array_equal(step.params[1].weight, before[1].weight)


def test_clip_value_bounds_the_move():
    model = rx.Sequential(rx.LastStep(), rx.Linear(2, 1))
    step = stepper(model, rx.SGD(1.0), clip_value=1e-3)
    before = step.snapshot()
    step.step(batch(X, 100 * Y))
    np.testing.assert_allclose(abs(step.params[1].weight - before[1].weight), 1e-3, rtol=1e-12)


def test_batches_of_many_sizes_take_the_memory_of_one():
    """Of a step, a process that has data of its own takes now more sequences, now fewer."""
    model = rx.Sequential(rx.GRU(2, 8), rx.LastStep(), rx.Linear(8, 1))
    step = stepper(model, rx.SGD(0.1))
    for size in (3, 2, 1, 2, 3):
        step.step(batch(X[:, :size], Y[:size])._replace(sample=np.arange(size)))
        assert len(step._memory) == 1
