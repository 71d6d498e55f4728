"""The property suite: right networks pass, and each fault is found by the property that should find it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import MAKERS, normal, open_backend

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.verify.adapters.layer import LayerAdapter
from rnn_xp.verify.report import FAILED, PASSED, SKIPPED
from rnn_xp.verify.suite.run import FIRST, OF_D_X, OF_Y, properties

NAMES = [each.__name__.replace("_", " ") for each in (*FIRST, *OF_Y, *OF_D_X)]


def outcomes(report: Any) -> dict[str, str]:
    """Return the worst outcome of each property: failed before passed before skipped."""
    found: dict[str, str] = {}
    for finding in report:
        order = (FAILED, PASSED, SKIPPED)
        before = found.get(finding.check, SKIPPED)
        found[finding.check] = min(before, finding.outcome, key=order.index)
    return found


def failed(report: Any) -> set[str]:
    return {finding.check for finding in report.failures}


# This package's own layers.

LAYERS = {
    "stacked": lambda: rx.GRU(3, 4, num_layers=2),
    "stacked, both ways": lambda: rx.LSTM(3, 4, num_layers=2, bidirectional=True),
    "against time": lambda: rx.LSTM(3, 4, num_layers=2, reverse=True),
    "a model per step": lambda: rx.Sequential(
        rx.Linear(3, 5), rx.Dropout(0.5), rx.GRU(5, 4), rx.Linear(4, 2)
    ),
    "last step": lambda: rx.Sequential(rx.RNN(3, 4, bidirectional=True), rx.LastStep(), rx.Linear(8, 2)),
    "last step against time": lambda: rx.Sequential(rx.GRU(3, 4, reverse=True), rx.LastStep()),
    "mean": lambda: rx.Sequential(rx.LSTM(3, 4), rx.MeanPool(), rx.Linear(4, 2)),
    "max": lambda: rx.Sequential(rx.GRU(3, 4, bidirectional=True), rx.MaxPool()),
}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", MAKERS)
def test_every_cell_passes(cell: str, bidirectional: bool) -> None:
    report = properties(MAKERS[cell](3, 4, bidirectional=bidirectional)).require()
    found = outcomes(report)
    assert list(found) == NAMES
    skipped = {name for name, outcome in found.items() if outcome == SKIPPED}
    assert skipped == ({"chunks"} if bidirectional else set())


@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_of_layer_passes(name: str) -> None:
    report = properties(LAYERS[name]()).require()
    found = outcomes(report)
    assert list(found) == NAMES
    pooled = name in ("last step", "last step against time", "mean", "max")
    both = name in ("stacked, both ways", "last step", "max")
    skipped = {"chunks"} if both else set()
    if pooled or name == "stacked, both ways":
        skipped |= {"causality", "gradient causality"}
    assert {each for each, outcome in found.items() if outcome == SKIPPED} == skipped


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "layer",
    [
        rx.RNN(3, 2, nonlinearity="relu", bidirectional=True),
        rx.Sequential(
            rx.LSTM(3, 2, 2, bidirectional=True, proj_size=1), rx.GRU(2, 4, reverse=True), rx.MaxPool()
        ),
        rx.LSTM(3, 4, num_layers=3, clip=0.5),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_place_of_the_state_is_seen_to_be_taken(layer: Any, dtype: str, seed: int) -> None:
    report = properties(layer, dtype=dtype, seed=seed)
    found = {each.subject: each.outcome for each in report if each.check == "state"}
    assert found == {"y": PASSED, "state_T": PASSED}


@pytest.mark.parametrize(("times", "seed"), [(10.0, 2), (10.0, 21), (12.0, 21), (12.0, 26)])
def test_strongly_driven_layers_pass_and_their_wrong_gradients_do_not(times: float, seed: int) -> None:
    """Curvature spoils wide differences, rounding narrow ones; above that, a last bit grows to a failure."""

    class Wrong(LayerAdapter):
        def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
            return (1.0 + 1e-6) * super().input_gradient(x, d_y, lengths)

    backend = open_backend("numpy")
    layer = rx.RNN(3, 16)
    params = tree.map(lambda leaf: times * leaf, layer.init(backend, seed))
    properties(layer, params=params, seed=seed).require()
    assert failed(properties(Wrong(layer, params), seed=seed)) == {"directional derivative"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_params_of_ones_own_and_both_precisions_pass(dtype: str) -> None:
    backend = open_backend("numpy", dtype)
    layer = rx.LSTM(3, 4, bidirectional=True)
    report = properties(layer, params=normal(backend, layer.init(backend), 0), seed=5).require()
    eps = float(np.finfo(dtype).eps)
    limits = {finding.limit for finding in report if finding.limit}
    assert limits == {1000 * eps, 1000 * eps**0.8}


# Networks in NumPy, right ones and wrong ones.


class Elman:
    """One direction, by hand: h[t] = tanh(W' x[t] + R' h[t-1]); y = h, 0 past the lengths."""

    name = "elman"
    input_size, dtype = 3, "float64"
    takes_lengths = takes_state = True
    reverse: int | None = 0

    def __init__(self) -> None:
        random = np.random.RandomState(3)
        self.W, self.R = random.standard_normal((2, 3, 4)) * 0.7, random.standard_normal((2, 4, 4)) * 0.4

    def step(self, x: Any, h: Any, keep: Any, direction: int) -> Any:
        return np.where(keep, np.tanh(x @ self.W[direction] + h @ self.R[direction]), h)

    def scan(self, x: Any, keep: Any, h: Any, direction: int = 0) -> tuple[Any, Any]:
        y = np.zeros((*x.shape[:2], 4))
        for t in range(len(x)):
            h = self.step(x[t], h, keep[t], direction)
            y[t] = np.where(keep[t], h, 0.0)
        return y, h

    def keep(self, x: Any, lengths: Any) -> Any:
        ends = np.full(x.shape[1], len(x)) if lengths is None else lengths
        return (np.arange(len(x))[:, None] < ends)[:, :, None]

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        h = np.zeros((x.shape[1], 4)) if state_0 is None else state_0[0]
        y, h = self.scan(x, self.keep(x, lengths), h)
        return y, (h,)


class WithGradient(Elman):
    """The same with its gradient, and with its twin that runs the other way."""

    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        keep = self.keep(x, lengths)
        y, _ = self.scan(x, keep, np.zeros((x.shape[1], 4)))
        d_x, d_h = np.zeros_like(x), np.zeros((x.shape[1], 4))
        for t in reversed(range(len(x))):
            d_h = d_h + np.where(keep[t], d_y[t], 0.0)
            d_a = np.where(keep[t], (1.0 - y[t] ** 2) * d_h, 0.0)
            d_x[t] = d_a @ self.W[0].T
            d_h = np.where(keep[t], self.through(d_a), d_h)
        return d_x

    def through(self, d_a: Any) -> Any:
        return d_a @ self.R[0].T


def turned(x: Any, keep: Any) -> Any:
    """Return each sequence against time, at its own length."""
    result = x.copy()
    for b, end in enumerate(keep[:, :, 0].sum(axis=0)):
        result[:end, b] = x[:end, b][::-1]
    return result


class Both(Elman):
    """Two directions, by hand."""

    reverse = 4

    def turned(self, x: Any, keep: Any) -> Any:
        return turned(x, keep)

    def back(self, y: Any, keep: Any) -> Any:
        return turned(y, keep)

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        keep = self.keep(x, lengths)
        h, g = np.zeros((2, x.shape[1], 4)) if state_0 is None else state_0
        y, h = self.scan(x, keep, h)
        z, g = self.scan(self.turned(x, keep), keep, g, 1)
        return np.concatenate([y, self.back(z, keep)], axis=2), (h, g)

    def flipped(self) -> Any:
        return Turned(self)


class Turned:
    """A `Both` with its directions' weights exchanged, that speaks in its places."""

    def __init__(self, both: Both) -> None:
        self.twin = type(both)()
        self.twin.W, self.twin.R = both.W[::-1], both.R[::-1]

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = self.twin.forward(x, lengths, None if state_0 is None else state_0[::-1])
        return np.roll(y, 4, axis=2), state_T[::-1]


class Behind(Elman):
    """One direction, against time."""

    reverse = 4

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        keep = self.keep(x, lengths)
        y, state_T = super().forward(turned(x, keep), lengths, state_0)
        return turned(y, keep), state_T


class Last(Elman):
    """The last valid step of one direction."""

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        _, state_T = super().forward(x, lengths, state_0)
        return state_T[0], state_T


@pytest.mark.parametrize("network", [Elman, WithGradient, Both, Behind, Last])
def test_networks_by_hand_pass(network: Any) -> None:
    report = properties(network()).require()
    assert list(outcomes(report)) == NAMES
    assert report.title == "properties of elman"


# Wrong ones, each with all the properties that see it.


class BatchAsTime(Elman):
    takes_lengths = takes_state = False

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, _ = super().forward(x.swapaxes(0, 1))
        return y.swapaxes(0, 1), None


class PaddingLeaks(Elman):
    def keep(self, x: Any, lengths: Any) -> Any:
        return super().keep(x, None)


class BackwardNotReversed(Both):
    def turned(self, x: Any, keep: Any) -> Any:
        return x

    def back(self, y: Any, keep: Any) -> Any:
        return y


class BackwardNotTurnedBack(Both):
    def back(self, y: Any, keep: Any) -> Any:
        return y


class BackwardFromThePadding(Both):
    def turned(self, x: Any, keep: Any) -> Any:
        return x[::-1]

    def back(self, y: Any, keep: Any) -> Any:
        return y[::-1]


class FutureLeaks(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        x = np.where(self.keep(x, lengths), x, 0.0)
        x[:-1] += 0.1 * x[1:]
        return super().forward(x, lengths, state_0)


class StateNotCarried(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        return super().forward(x, lengths)


def only_of_empty(x: Any, lengths: Any, state_0: Any) -> Any:
    """Return a state that is 0 but for samples of no steps."""
    empty = np.full(x.shape[1], not len(x)) if lengths is None else lengths == 0
    return None if state_0 is None else tuple(part * empty[:, None] for part in state_0)


class StateNotCarriedBothWays(Both):
    """Both directions start from 0; it has no twin that could tell."""

    flipped = None

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        return super().forward(x, lengths, only_of_empty(x, lengths, state_0))


class StateOfOneDirection(Both):
    """Against time it starts from 0, and the state is one array of both."""

    flipped = None

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        if state_0 is not None:
            state_0 = (state_0[0][0], only_of_empty(x, lengths, state_0)[0][1])
        y, state_T = super().forward(x, lengths, state_0)
        return y, (np.stack(state_T),)


class StateTurnedRound(Both):
    """Each direction's last state is given as the other's."""

    flipped = None

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        return y, state_T[::-1]


class StateOfYAlone(Elman):
    """The last state is that of a start from 0."""

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, _ = super().forward(x, lengths, state_0)
        return y, super().forward(x, lengths)[1]


class StateNotCarriedBehind(Behind):
    """A chunk starts from 0 where it is shorter than the whole."""

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        return super().forward(x, lengths, None if lengths is None and 1 < len(x) < 7 else state_0)


class StateForgotten(Elman):
    """One that is said to be taken, but none is returned."""

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        return super().forward(x, lengths, state_0 or None)[0], None


class StateNotReturned(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        return y, state_T if lengths is None and state_0 is None else None


class MaskMultiplied(Elman):
    def step(self, x: Any, h: Any, keep: Any, direction: int) -> Any:
        return keep * super().step(x, h, True, direction) + (1.0 - keep) * h


class LastAtT(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        return y[-1], state_T


class LeftSorted(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        if lengths is None:
            return super().forward(x, lengths, state_0)
        order = np.argsort(lengths)[::-1]
        return super().forward(x[:, order], lengths[order], state_0)


class NoMemory(Elman):
    def step(self, x: Any, h: Any, keep: Any, direction: int) -> Any:
        return np.where(keep, np.tanh(x @ self.W[direction]), h)


class OneStepLate(Elman):
    def scan(self, x: Any, keep: Any, h: Any, direction: int = 0) -> tuple[Any, Any]:
        y, h_T = super().scan(x, keep, h, direction)
        return np.where(keep, np.concatenate([h[None], y])[:-1], 0.0), h_T


class FirstStepOnly(Last):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = Elman.forward(self, x, lengths, state_0)
        return y[0], state_T

    takes_lengths = False


class NormalisedOverTheBatch(Elman):
    def step(self, x: Any, h: Any, keep: Any, direction: int) -> Any:
        return super().step(x - x.mean(axis=0), h, keep, direction)

    takes_lengths = False


class ZeroOutput(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        return 0.0 * y, state_T


class NanOutput(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        return np.where(y > 0.5, np.nan, y), state_T


class Dropping(Elman):
    random = np.random.RandomState(0)

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        return y * self.random.binomial(1, 0.5, y.shape), state_T


class WritesToX(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        x *= self.keep(x, lengths)
        return super().forward(x, lengths, state_0)


class OneBuffer(Elman):
    buffer = np.zeros((20, 4, 4))

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        out = self.buffer[: len(x), : x.shape[1]]
        out[...] = y
        return out, state_T


class Renamed(Elman):
    """A layout whose axes are renamed by reshape, not exchanged."""

    @property
    def layouts(self) -> Any:
        def forward(x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
            return self.forward(x.swapaxes(0, 1).reshape(x.shape), lengths)

        return {"NTC": forward}


class RefusesOne(Elman):
    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        if x.shape[1] == 1:
            msg = "the batch must be larger"
            raise RuntimeError(msg)
        return super().forward(x, lengths, state_0)


class EmptyIsNan(Last):
    """A mean over no steps, say."""

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        y, state_T = super().forward(x, lengths, state_0)
        empty = np.zeros(x.shape[1], bool) if lengths is None else lengths == 0
        return np.where(empty[:, None], np.nan, y), state_T


class NoGradient(WithGradient):
    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        return np.zeros_like(x)


class GradientNotThroughTime(WithGradient):
    def through(self, d_a: Any) -> Any:
        return np.zeros_like(d_a)


class GradientNotTransposed(WithGradient):
    def through(self, d_a: Any) -> Any:
        return d_a @ self.R[0]


class GradientStopsBeforeTheFirstStep(WithGradient):
    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        d_x = super().input_gradient(x, d_y, lengths)
        d_x[0] = 0.0
        return d_x


class GradientOfThePadding(WithGradient):
    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        return super().input_gradient(x, d_y, lengths) + 0.0 * x


class GradientSummedOverTheBatch(WithGradient):
    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        d_x = super().input_gradient(x, d_y, lengths)
        return d_x.sum(axis=1, keepdims=True) * self.keep(x, lengths)


class GradientOfTheFuture(WithGradient):
    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        d_x = super().input_gradient(x, d_y, lengths)
        d_x[1:] += 1e-3 * d_x[:-1] * self.keep(x, lengths)[1:]
        return d_x


class GradientShortOfAStep(WithGradient):
    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        return super().input_gradient(x, d_y, lengths)[1:]


ORDER = "batch independence, batch of one, permutation, unsorted lengths"
OTHER_GRADIENTS = "gradient batch independence, gradient causality, gradient padding"
STEPS_OF_GRADIENTS = "gradient batch independence, gradient causality"
WRONG = {
    BatchAsTime: "batch independence, batch of one, permutation, memory",
    PaddingLeaks: "padding contents, amount of padding, zero length",
    BackwardNotReversed: "causality, memory, reversal",
    BackwardNotTurnedBack: "causality, memory, reversal",
    BackwardFromThePadding: "padding contents, amount of padding, reversal",
    FutureLeaks: "causality, chunks",
    StateNotCarried: "zero length, state, chunks",
    StateNotCarriedBothWays: "state",
    StateOfOneDirection: "state",
    StateTurnedRound: "zero length, state",
    StateOfYAlone: "zero length, state, chunks",
    StateNotCarriedBehind: "chunks",
    StateForgotten: "state, chunks",
    StateNotReturned: "amount of padding, state, chunks",
    MaskMultiplied: "padding contents",
    LastAtT: "batch independence, amount of padding",
    LeftSorted: f"{ORDER}, amount of padding, zero length",
    NoMemory: "memory, state",
    OneStepLate: "batch independence, memory",
    FirstStepOnly: "memory",
    NormalisedOverTheBatch: "batch independence, batch of one",
    Dropping: "determinism",
    ZeroOutput: "dependence",
    NanOutput: "dependence",
    WritesToX: "arguments",
    OneBuffer: "arguments",
    Renamed: "layouts",
    RefusesOne: "batch of one, amount of padding",
    EmptyIsNan: "zero length",
    NoGradient: f"directional derivative, {OTHER_GRADIENTS}",
    GradientNotThroughTime: "directional derivative, gradient causality",
    GradientNotTransposed: "directional derivative",
    GradientStopsBeforeTheFirstStep: f"directional derivative, {STEPS_OF_GRADIENTS}",
    GradientOfThePadding: "gradient padding",
    GradientSummedOverTheBatch: "directional derivative, gradient batch independence",
    GradientOfTheFuture: "directional derivative, gradient causality",
    GradientShortOfAStep: f"directional derivative, {OTHER_GRADIENTS}",
}


@pytest.mark.parametrize("network", WRONG, ids=lambda network: network.__name__)
def test_each_fault_is_found_by_the_properties_that_see_it(network: Any) -> None:
    report = properties(network())
    assert not report.passed
    assert list(outcomes(report)) == NAMES
    assert failed(report) == set(WRONG[network].split(", ")), report


@pytest.mark.parametrize("network", [ZeroOutput, NanOutput, Dropping])
def test_without_an_answer_to_look_at_nothing_passes(network: Any) -> None:
    found = outcomes(properties(network()))
    others = {outcome for name, outcome in found.items() if name not in ("dependence", "determinism")}
    assert others == {SKIPPED}


# What a finding tells.


def finding(report: Any, check: str, subject: str) -> Any:
    (one,) = [each for each in report if (each.check, each.subject) == (check, subject)]
    return one


def test_the_number_is_what_was_measured() -> None:
    """By hand: sample 1 gets a tenth of what sample 0 is, and no more."""

    def leaking(x: Any) -> Any:
        y = np.cumsum(x, axis=0)
        y[:, 1] += 0.1 * y[:, 0]
        return y

    report = properties(leaking, input_size=1, dtype="float64")
    one = finding(report, "batch independence", "others changed")
    assert one.detail.startswith("all steps: sample 1 changes when sample 0 does")
    # what changes, a tenth of another random walk of 7 steps, beside the largest value of y
    assert 0.02 < one.value < 0.2
    assert one.limit == 1000 * np.finfo("float64").eps
    assert one.unit == "relative"


def test_the_detail_names_the_steps() -> None:
    def shifted(x: Any) -> Any:
        y = np.cumsum(x, axis=0)
        y[2] += x[5]
        return y

    one = finding(properties(shifted, input_size=2), "causality", "forward features")
    assert one.detail.startswith("all steps: y[2] changes when x[5] does; if it may: state `reverse`")


def test_a_wrong_derivative_is_told_with_both_numbers() -> None:
    one = finding(properties(GradientStopsBeforeTheFirstStep()), "directional derivative", "d_x")
    assert one.detail.startswith("all steps: along x[0] it is 0, and the difference of y ")


def test_a_derivative_lost_in_rounding_has_not_passed() -> None:
    def faint(x: Any) -> Any:
        return 1.0 + 1e-12 * np.cumsum(x, axis=0)

    def gradient(x: Any, d_y: Any) -> Any:
        return 1e-12 * np.cumsum(d_y[::-1], axis=0)[::-1]

    report = properties(faint, input_size=2, dtype="float64", input_gradient=gradient)
    (one,) = report.failures
    assert one.check == "directional derivative"
    assert one.detail.startswith("all steps: y hardly moves along x, so there is nothing to compare")


@pytest.mark.parametrize(("dtype", "seed"), [("float32", 0), ("float32", 3), ("float64", 0)])
def test_a_kink_within_a_difference_is_no_wrong_gradient(dtype: str, seed: int) -> None:
    properties(rx.RNN(3, 4, nonlinearity="relu", reverse=True), dtype=dtype, seed=seed).require()


def test_a_wrong_gradient_beside_kinks_is_one() -> None:
    def kinked(x: Any) -> Any:
        return np.cumsum(np.maximum(x, 0.0), axis=0)

    def gradient(x: Any, d_y: Any) -> Any:
        return np.where(x > 0.0, np.cumsum(d_y[::-1], axis=0)[::-1], 0.0)

    options = {"input_size": 3, "dtype": "float64"}
    properties(kinked, input_gradient=gradient, **options).require()
    for wrong in (lambda x, d_y: gradient(x + 0.1, d_y), lambda x, d_y: (1.0 + 1e-6) * gradient(x, d_y)):
        assert failed(properties(kinked, input_gradient=wrong, **options)) == {"directional derivative"}


def test_any_seed_of_numpys_generators_will_do() -> None:
    assert properties(Elman(), seed=2**40).require().json() != properties(Elman()).json()


def test_what_is_refused_is_skipped_with_the_words_of_the_refusal() -> None:
    class Refusing(Elman):
        def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
            if not len(x) or (lengths is not None and not lengths.all()):
                msg = "\x1b[1mno steps\x1b[0m"
                raise RuntimeError(msg)
            return super().forward(x, lengths, state_0)

    report = properties(Refusing()).require()
    for subject in ("one of length 0", "all of length 0", "T = 0"):
        one = finding(report, "zero length", subject)
        assert (one.outcome, one.detail) == (SKIPPED, "refused: no steps: it raises RuntimeError: no steps")


def test_a_refused_nan_is_skipped_too_and_finite_numbers_are_not() -> None:
    class Finite(Elman):
        def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
            if not np.isfinite(x).all():
                msg = "not finite"
                raise ValueError(msg)
            return super().forward(x, lengths, state_0)

    report = properties(Finite()).require()
    refused = {(each.check, each.subject) for each in report if "not finite" in each.detail}
    padding = {("padding contents", value) for value in ("inf", "-inf", "nan")}
    assert refused == {("batch independence", "others NaN")} | padding
    assert finding(report, "batch independence", "others NaN").outcome == SKIPPED
    assert finding(report, "padding contents", "1e+30").outcome == PASSED


class Careful(WithGradient):
    """It refuses what is not finite, forward and back."""

    def refuse(self, x: Any) -> None:
        if not np.isfinite(x).all():
            msg = "not finite"
            raise ValueError(msg)

    def forward(self, x: Any, lengths: Any = None, state_0: Any = None) -> tuple[Any, Any]:
        self.refuse(x)
        return super().forward(x, lengths, state_0)

    def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
        self.refuse(x)
        return super().input_gradient(x, d_y, lengths)


def test_a_nan_refused_by_the_gradient_is_skipped_too() -> None:
    report = properties(Careful()).require()
    refused = {each.subject for each in report if "not finite" in each.detail and "gradient" in each.check}
    assert refused == {"others NaN", *(f"padding of {value}" for value in ("inf", "-inf", "nan"))}
    for check, subject in (
        ("gradient batch independence", "others changed"),
        ("gradient padding", "padding of other numbers"),
        ("gradient padding", "padding of 1e+30"),
        ("gradient padding", "3 steps more"),
    ):
        assert finding(report, check, subject).outcome == PASSED


def test_what_refuses_nan_is_still_told_of_its_faults() -> None:
    class Leaking(Careful):
        def input_gradient(self, x: Any, d_y: Any, lengths: Any = None) -> Any:
            d_x = super().input_gradient(x, d_y, lengths)
            return d_x + 1e-3 * np.where(self.keep(x, lengths), 0.0, x)

    report = properties(Leaking())
    assert failed(report) == {"gradient padding", "gradient causality"}
    assert finding(report, "gradient padding", "padding of other numbers").outcome == FAILED


def test_ordinary_padding_must_not_be_refused() -> None:
    class Padded(Elman):
        seen = None

        def keep(self, x: Any, lengths: Any) -> Any:
            keep = super().keep(x, lengths)
            if lengths is not None:
                self.seen = np.where(keep, 0.0, x) if self.seen is None else self.seen
                if not np.array_equal(self.seen, np.where(keep, 0.0, x)):
                    msg = "other padding"
                    raise ValueError(msg)
            return keep

    report = properties(Padded())
    one = finding(report, "padding contents", "y")
    assert one.outcome == FAILED
    assert "other padding" in one.detail


@pytest.mark.parametrize("layer", [rx.GRU(3, 4, bidirectional=True), rx.GRU(3, 4, reverse=True)], ids=repr)
def test_a_layer_that_drops_its_state_is_found_without_a_twin(layer: Any) -> None:
    class Dropped(LayerAdapter):
        def _run(self, x: Any, lengths: Any, state_0: Any) -> Any:
            return super()._run(x, lengths, only_of_empty(x, lengths, state_0))

    adapter = Dropped(layer)
    adapter.flipped = None
    report = properties(adapter)
    assert failed(report) == ({"state"} if layer.bidirectional else {"state", "chunks"})
    assert finding(report, "state", "y").detail.startswith(
        "one step and a state: y when state_0[0][0] changes;"
    )


# Plain callables, and what they are told.


def running_mean(x: Any) -> Any:
    """(B, T, D), as much else has it."""
    return np.cumsum(x, axis=1) / np.arange(1, x.shape[1] + 1)[:, None]


def test_a_plain_callable_is_one_line() -> None:
    report = properties(running_mean, input_size=3, layout="NTC").require()
    assert report.title == "properties of running_mean"
    found = outcomes(report)
    assert {name for name, outcome in found.items() if outcome == PASSED} == {
        "dependence",
        "determinism",
        "arguments",
        "batch independence",
        "batch of one",
        "permutation",
        "zero length",
        "causality",
        "memory",
    } - {"zero length"}


def test_another_layout_than_its_own_is_found() -> None:
    """Read as time-major, its steps are samples."""
    report = properties(running_mean, input_size=3)
    assert failed(report) == {"batch independence", "batch of one", "permutation", "memory"}


def test_what_reads_both_ways_must_say_so() -> None:
    def centred(x: Any) -> Any:
        return x - x.mean(axis=0)

    assert failed(properties(centred, input_size=3)) == {"causality"}
    report = properties(centred, input_size=3, reverse=None).require()
    assert finding(report, "causality", "y").outcome == SKIPPED


def test_half_precision_has_a_limit_too() -> None:
    report = properties(lambda x: np.cumsum(x, axis=0), input_size=2, dtype="float16").require()
    assert {each.limit for each in report if each.unit == "relative" and each.limit is not None} == {0.05}


def test_padding_too_large_for_half_precision_warns_nobody() -> None:
    def summed(x: Any, lengths: Any = None) -> Any:
        ends = np.full(x.shape[1], len(x)) if lengths is None else lengths
        keep = (np.arange(len(x))[:, None] < ends)[:, :, None]
        return np.cumsum(np.where(keep, x, 0), axis=0, dtype=x.dtype)

    report = properties(summed, input_size=2, dtype="float16", takes_lengths=True).require()
    assert finding(report, "padding contents", "1e+30").outcome == PASSED


def test_a_wrong_gradient_in_half_precision_is_found_too() -> None:
    def gradient(x: Any, d_y: Any) -> Any:
        return np.cumsum(d_y[::-1], axis=0)[::-1]

    def summed(x: Any) -> Any:
        return np.cumsum(x, axis=0)

    options = {"input_size": 2, "dtype": "float16"}
    properties(summed, input_gradient=gradient, **options).require()
    report = properties(summed, input_gradient=lambda *args: 1.2 * gradient(*args), **options)
    assert failed(report) == {"directional derivative"}


def test_the_coarser_of_what_goes_in_and_comes_out_sets_the_limit() -> None:
    report = properties(lambda x: np.cumsum(x, axis=0).astype("float32"), input_size=2, dtype="float64")
    limit = finding(report, "determinism", "the same call twice").limit
    assert limit == 1000 * float(np.finfo("float32").eps)


def test_a_tolerance_of_ones_own() -> None:
    def nearly(x: Any) -> Any:
        y = np.cumsum(x, axis=0)
        return y + 1e-6 * np.nan_to_num(y).mean(axis=1, keepdims=True)

    assert failed(properties(nearly, input_size=2, dtype="float64")) == {"batch independence", "batch of one"}
    properties(nearly, input_size=2, dtype="float64", tolerance=1e-5).require()


def test_one_seed_gives_one_report_and_another_another() -> None:
    first, again, other = (properties(Elman(), seed=seed).json() for seed in (1, 1, 2))
    assert first == again
    assert first != other


# Wrong arguments.


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"seed": -1}, ValueError, "`seed` must be an integer of at least 0; got -1"),
        ({"tolerance": -1.0}, ValueError, "`tolerance` must be a finite number >= 0; got -1"),
        ({"tolerance": "small"}, TypeError, "`tolerance` must be a finite number >= 0; got 'small'"),
    ],
)
def test_wrong_arguments_raise(arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        properties(Elman(), **arguments)


def test_a_y_of_another_shape_raises() -> None:
    words = (
        r"must return y \(T, B, K\) or \(B, K\) with T = 7 and B = 4; got \(4, 7, 3\). If y is \(B, T, K\)"
    )
    with pytest.raises(ValueError, match=words):
        properties(lambda x: x.swapaxes(0, 1), input_size=3)


def test_a_y_of_classes_raises() -> None:
    with pytest.raises(TypeError, match="must return floating numbers, such as class scores; got int64"):
        properties(lambda x: x.argmax(axis=2, keepdims=True), input_size=3)


def test_what_the_first_call_raises_comes_as_it_is() -> None:
    with pytest.raises(ValueError, match="matmul"):
        properties(lambda x: x @ np.ones((5, 2)), input_size=3)
