"""Truncated back-propagation: its gradients against differences, and fit against a loop of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import PORTABLE, open_backend
from training import NUMPY, assert_near, classifier, draw, log_softmax, train

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import to_numpy
from rnn_xp.train.feed.windows import window
from rnn_xp.train.gradients import window_gradients

N, T = 4, 6
LENGTHS = [6, 2, 0, 5]
X = draw(N, T, 2)
STEPS = np.random.default_rng(1).integers(0, 3, (N, T))
FINE = np.random.default_rng(2).uniform(0.5, 2.0, (N, T)) * (np.arange(T) != 2)
RESET = np.zeros((N, T), dtype=bool)
RESET[0, [0, 3]] = RESET[1, 1] = RESET[3, [1, 2, 4]] = True
WHOLE = [T] * N


def model_of(kind: str, per_step: bool = True) -> rx.Sequential:
    layers = {"gru": rx.GRU(2, 2), "lstm": rx.LSTM(2, 2, num_layers=2), "rnn": rx.RNN(2, 2)}
    return rx.Sequential(layers[kind], *([] if per_step else [rx.LastStep()]), rx.Linear(2, 3))


def steps_of(model: Any, params: Any, x: np.ndarray, state: Any, begins: Any) -> tuple[list[Any], list[Any]]:
    """Run a sequence (t, D) a step at a time; return the first layer's outputs and the states after each."""
    outputs, states = [], []
    for t in range(len(x)):
        state = None if begins is not None and begins[t] else state
        y, state, _ = model.layers[0].forward(params[0], x[t, None, None], state)
        outputs.append(y[0, 0])
        states.append(state)
    return outputs, states


class Objective:
    """What truncated back-propagation goes down in a window, from its definition, sequence by sequence."""

    def __init__(self, kind: str, per_step: bool, lengths: Any, weights: Any, resets: bool) -> None:
        self.model, self.per_step = model_of(kind, per_step), per_step
        self.params = self.model.init(NUMPY, seed=3)
        self.given = {"lengths": lengths, "weights": weights, "reset": RESET if resets else None}
        self.lengths = WHOLE if lengths is None else lengths
        self.weights = np.ones(N) if weights is None else weights
        self.begins = list(RESET) if resets else [None] * N
        rows = zip(X, self.begins, strict=True)
        self.states = [steps_of(self.model, self.params, x, None, begins)[1] for x, begins in rows]  # fixed

    def sums(self, start: int, begin: int, end: int) -> tuple[float, float]:
        """Return the weighted sum of the losses of a window, and that of their weights."""
        total = count = 0.0
        for i, length in enumerate(self.lengths):
            stop = min(end, length)
            own = None if self.begins[i] is None else self.begins[i][start:stop]
            state = self.states[i][start - 1] if start else None
            outputs, _ = steps_of(self.model, self.params, X[i, start:stop], state, own)
            if length == 0 and begin == 0 and not self.per_step:  # it has read nothing
                outputs, stop, length = [np.zeros(2)], 1, 1
            for t in range(begin, stop):
                if self.per_step or t == length - 1:
                    logits = self.params[-1].weight @ outputs[t - start] + self.params[-1].bias
                    weight = self.weights[i, t] if self.weights.ndim == 2 else self.weights[i]
                    total -= weight * log_softmax(logits)[STEPS[i, t if self.per_step else 0]]
                    count += weight
        return total, count

    def gradients(self, truncate: Any) -> Any:
        y = STEPS if self.per_step else STEPS[:, 0]
        return window_gradients(self.model, self.params, X, y, truncate=truncate, **self.given)


CASES = [
    ("gru", True, None, None, False),
    ("gru", True, LENGTHS, FINE, False),
    ("rnn", True, LENGTHS, np.arange(1.0, 5.0), True),
    ("lstm", True, None, FINE, True),
    ("lstm", False, LENGTHS, None, False),
    ("rnn", False, LENGTHS, np.arange(1.0, 5.0), False),
    ("gru", False, None, None, False),
]


def differences(f: Callable[[], float], params: Any, eps: float = 1e-5) -> list[np.ndarray]:
    """Return central differences of f by every component of the parameters, which f reads."""
    result = []
    for leaf in tree.leaves(params):
        d = np.zeros_like(leaf)
        for place in np.ndindex(*leaf.shape):
            old = leaf[place]
            leaf[place] = old + eps
            above = f()
            leaf[place] = old - eps
            d[place] = (above - f()) / (2 * eps)
            leaf[place] = old
        result.append(d)
    return result


@pytest.mark.parametrize("truncate", [(1, 1), (1, 3), (2, 2), (2, 5), (3, 4), (4, 9), (6, 6)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[4]}")
def test_windows_have_the_losses_of_the_definition(case: Any, truncate: tuple[int, int]) -> None:
    objective, (k1, k2) = Objective(*case), truncate
    ends = [*range(k1, T, k1), T]
    places = [(max(0, end - k2), before, end) for before, end in zip([0, *ends], ends, strict=False)]
    expected = [(*place, *objective.sums(*place)) for place in places if objective.sums(*place)[1] > 0]
    windows = objective.gradients(truncate)
    assert [own[:3] for own in windows] == [own[:3] for own in expected]
    for own, (*_, total, count) in zip(windows, expected, strict=True):
        assert own.weight == pytest.approx(count, rel=1e-14)
        assert own.loss == pytest.approx(total / count, abs=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[4]}")
@pytest.mark.parametrize("truncate", [(1, 2), (2, 2), (2, 3), (3, 5), (4, 9)], ids=str)
def test_gradients_are_those_of_the_objective(case: Any, truncate: tuple[int, int]) -> None:
    objective = Objective(*case)
    for own in objective.gradients(truncate)[1:3]:

        def mean(place: Any = own[:3], weight: float = own.weight) -> float:
            return objective.sums(*place)[0] / weight

        for d, expected in zip(tree.leaves(own.d_params), differences(mean, objective.params), strict=True):
            np.testing.assert_allclose(d, expected, rtol=0, atol=2e-9)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[4]}")
@pytest.mark.parametrize("truncate", [(1, 6), (2, 6), (3, 8), (5, 20)], ids=str)
def test_windows_that_reach_back_to_the_beginning_add_up_to_the_whole(
    case: Any, truncate: tuple[int, int]
) -> None:
    objective = Objective(*case)
    (whole,) = objective.gradients(T)
    windows = objective.gradients(truncate)
    total = sum(own.weight for own in windows)
    assert total == pytest.approx(whole.weight, rel=1e-14)
    parts = [tree.map(lambda d, own=own: d * (own.weight / total), own.d_params) for own in windows]
    added = [sum(leaves) for leaves in zip(*map(tree.leaves, parts), strict=True)]
    assert_near(added, tree.leaves(whole.d_params))


def test_dropout_masks_are_those_of_the_whole_too() -> None:
    model = rx.Sequential(rx.LSTM(2, 3, num_layers=2, dropout=0.4), rx.Dropout(0.3), rx.Linear(3, 3))
    params, y = model.init(NUMPY), STEPS
    options = {"lengths": LENGTHS, "rng": rx.Rng(3, 5)}
    (whole,) = window_gradients(model, params, X, y, truncate=T, **options)
    windows = window_gradients(model, params, X, y, truncate=(2, T), **options)
    total = sum(own.weight for own in windows)
    added = [0.0] * len(tree.leaves(params))
    for own in windows:
        added = [a + d * (own.weight / total) for a, d in zip(added, tree.leaves(own.d_params), strict=True)]
    assert_near(added, tree.leaves(whole.d_params))
    other = window_gradients(model, params, X, y, truncate=T, lengths=LENGTHS)[0]
    assert not np.allclose(tree.leaves(other.d_params)[0], tree.leaves(whole.d_params)[0])


@pytest.mark.parametrize("resets", [False, True])
def test_masks_go_by_the_time_of_the_sequence(resets: bool) -> None:
    """At fixed weights windows compute what one run does; in fit, a step has masks of its own."""
    model = rx.Sequential(rx.LSTM(2, 3, num_layers=2, dropout=0.4), rx.Dropout(0.3), rx.Linear(3, 3))
    params, reset, rng = model.init(NUMPY), RESET if resets else None, rx.Rng(3, 5)
    begins = None if reset is None else reset.T

    def losses(model: Any, params: Any, rng: rx.Rng) -> np.ndarray:
        out = model.forward(params, X.swapaxes(0, 1), rng=rng, reset=begins)[0]
        return -np.take_along_axis(log_softmax(out), STEPS.T[..., None], axis=2)[..., 0]

    whole = losses(model, params, rng)
    for own in window_gradients(model, params, X, STEPS, truncate=(2, 3), reset=reset, rng=rng):
        assert own.loss == pytest.approx(whole[own.begin : own.end].mean(), abs=1e-12)

    flat = rx.Sequential(rx.Dropout(0.5), rx.Linear(2, 3))
    params = flat.init(NUMPY)
    options = {"params": params, "optimizer": rx.SGD(0.0), "shuffle": False, "epochs": 1, "batch_size": N}
    result = train(flat, X, STEPS, truncate=(2, 3), reset=reset, seed=7, **options)
    own = [losses(flat, params, rx.Rng(7, step))[2 * step : 2 * step + 2] for step in range(3)]
    assert result.history[0]["loss"] == pytest.approx(np.mean(own), abs=1e-12)


@pytest.mark.parametrize("truncate", [None, (2, 5)], ids=str)
def test_recomputing_changes_no_bit(truncate: Any) -> None:
    model, runs = model_of("lstm"), []
    for recompute in (False, True, 10**7):
        options = {"truncate": truncate, "recompute": recompute, "epochs": 2, "batch_size": 2}
        runs.append(train(model, X, STEPS, lengths=LENGTHS, **options).params)
    assert_near(runs[1], runs[0], 0.0)
    assert_near(runs[2], runs[0], 0.0)


def test_recomputing_changes_no_bit_of_a_model_that_pools() -> None:
    """Windows before the sequences' ends only carry the state; the last one goes on from it."""
    random = np.random.default_rng(0)
    X, y = random.standard_normal((4, 12, 1)), [0, 1, 0, 1]
    model = rx.Sequential(rx.GRU(1, 3), rx.LastStep(), rx.Linear(3, 2))
    plain, again = (
        rx.fit(model, X, y, truncate=4, recompute=recompute, epochs=2, backend="numpy", verbose=False)
        for recompute in (False, True)
    )
    for one, other in zip(tree.leaves(plain.params), tree.leaves(again.params), strict=True):
        assert np.array_equal(one, other)


# --- fit


@pytest.mark.parametrize("truncate", [T, (T, 99), (50, 50)], ids=str)
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows_of_everything_are_back_propagation_through_all_time(
    truncate: Any, per_step: bool, dtype: str
) -> None:
    pool = [] if per_step else [rx.LastStep()]
    model = rx.Sequential(rx.LSTM(2, 3, num_layers=2, dropout=0.4), *pool, rx.Dropout(0.3), rx.Linear(3, 3))
    y = STEPS if per_step else STEPS[:, 0]
    options = {"backend": "numpy", "dtype": dtype, "lengths": LENGTHS, "epochs": 2, "batch_size": 3}
    options["weights"] = FINE if per_step else np.arange(1.0, 5.0)
    whole = train(model, X, y, **options)
    result = train(model, X, y, truncate=truncate, **options)
    assert_near(result.params, whole.params, 0.0)
    for one, other in zip(result.history, whole.history, strict=True):
        assert (one["loss"], one["gradient_norm"]) == (other["loss"], other["gradient_norm"])


@pytest.mark.parametrize("backend_name", ["numpy", *PORTABLE])
@pytest.mark.parametrize("truncate", [(1, 1), (2, 3), (2, 5), (4, 4)], ids=str)
@pytest.mark.parametrize("per_step", [False, True])
def test_fit_steps_from_window_to_window(
    truncate: tuple[int, int], per_step: bool, backend_name: str
) -> None:
    """Against a loop that runs from the last window's state, with the weights as they were then."""
    k1, k2 = truncate
    model, y = model_of("lstm", per_step), STEPS if per_step else STEPS[:, 0]
    lengths = [6, 3, 1, 5]
    params = start = model.init(NUMPY, seed=2)
    losses, weights, state, begin = [], [], None, 0
    time_major = X.swapaxes(0, 1)
    for end in [*range(k1, T, k1), T]:
        first, after = (max(0, own - k2) for own in (end, min(end + k1, T)))
        left = np.clip(np.array(lengths) - first, 0, end - first)
        out, _, tape = model.forward(params, time_major[first:end], state, lengths=left.tolist())
        if after > first:
            part = np.clip(np.array(lengths) - first, 0, after - first).tolist()
            state = model.forward(params, time_major[first:after], state, lengths=part)[1]
        if per_step:
            times = np.arange(first, end)[:, None]
            share = ((times >= begin) & (times < np.array(lengths))).astype(float)
            hot = np.eye(3)[y.T[first:end]]
        else:
            share = ((np.array(lengths) > begin) & (np.array(lengths) <= end)).astype(float)
            hot = np.eye(3)[y]
        begin = end
        if share.sum() == 0:
            continue
        losses.append(-(log_softmax(out) * hot * share[..., None]).sum())
        weights.append(share.sum())
        d_y = (np.exp(log_softmax(out)) - hot) * (share / share.sum())[..., None]
        gradient = model.backward(params, tape, d_y)[0]
        params = tree.map(lambda p, g: p - 0.5 * g, params, gradient)
    options = {"lengths": lengths, "shuffle": False, "batch_size": N, "epochs": 1}
    backend = open_backend(backend_name, "float64")
    own = tree.map(lambda leaf: backend.asarray(leaf), start)
    options |= {"backend": backend, "optimizer": rx.SGD(0.5), "params": own, "truncate": truncate}
    result = train(model, X, y, **options)
    assert_near([to_numpy(leaf) for leaf in tree.leaves(result.params)], tree.leaves(params))
    assert result.history[0]["loss"] == pytest.approx(sum(losses) / sum(weights), abs=1e-12)


def test_windows_that_weigh_nothing_take_no_step() -> None:
    """With momentum, one would move the weights; the last two windows end the batch early."""
    weights = np.tile([0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (N, 1))
    options = {"optimizer": rx.SGD(0.1, momentum=0.9), "epochs": 2, "batch_size": N, "shuffle": False}
    for size in (N, 1):  # the next batch does not go on from where this one ended
        options["batch_size"] = size
        result = train(model_of("gru"), X, STEPS, weights=weights, truncate=(1, 3), **options)
        short = train(model_of("gru"), X[:, :3], STEPS[:, :3], weights=weights[:, :3], **options)
        assert_near(result.params, short.params)


def test_what_is_refused() -> None:
    faults: list[tuple[Any, type[Exception], str]] = [
        ((3, 2), ValueError, r"`truncate` must be \(k1, k2\) with k2 >= k1: .*; got \(3, 2\)"),
        ((1, 2, 3), ValueError, r"`truncate` must be \(k1, k2\), or an integer for both; got 3 numbers"),
        (0, ValueError, "`truncate` must be an integer of at least 1; got 0"),
        ("2", TypeError, "`truncate` must be an integer of at least 1; got '2'"),
    ]
    for truncate, error, message in faults:
        with pytest.raises(error, match=message):
            train(model_of("gru"), X, STEPS, truncate=truncate)
    for model in (
        classifier(),
        rx.Sequential(rx.GRU(2, 3, reverse=True), rx.Linear(3, 3)),
        rx.Sequential(rx.GRU(2, 3), rx.MeanPool(), rx.Linear(3, 3)),
    ):
        y = STEPS if model.per_step else STEPS[:, 0]
        with pytest.raises(ValueError, match="`truncate` must be None unless the model answers at each step"):
            train(model, X, y, truncate=2)


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (2, 3), (3, 7), (5, 5), (9, 11)])
def test_each_window_begins_where_the_one_before_left_a_state(k1: int, k2: int) -> None:
    for steps in range(1, 20):
        count = -(-steps // k1)
        for before, after in zip(range(count), range(1, count), strict=False):
            one, other = window(before, steps, k1, k2), window(after, steps, k1, k2)
            assert one.start + one.carry == other.start
            assert one.end == other.begin
            assert 0 <= one.carry <= one.end - one.start
        assert window(count - 1, steps, k1, k2)[2:] == (steps, 0)
