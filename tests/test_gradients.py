"""Every derivative in the package against central differences, element by element, in float64."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any, NamedTuple

import numpy as np
import pytest
from differences import differences, frozen
from support import ACROSS, DIFFERENCES, EXACT, MAKERS, UGRNN, assert_close, normal, open_backend

import rnn_xp
import rnn_xp as rx
from rnn_xp import sequence, tree
from rnn_xp.cells import CELLS, gru, lstm, normalized, rnn
from rnn_xp.cells.activations import ACTIVATIONS
from rnn_xp.engines.portable import Portable
from rnn_xp.functional import sigmoid
from rnn_xp.layers import LAYERS, Layer
from rnn_xp.layers.base import Context
from rnn_xp.model import LOSSES, loss_and_gradients
from rnn_xp.probe.watch import Watched
from rnn_xp.sequence import back

NUMPY = open_backend("numpy")


def zeros(value: Any) -> Any:
    return tree.map(np.zeros_like, value)


# A cell that asks for everything at once: two pairs, two fields of state, gates apart in both pairs, and
# more kept than read.


class OddState(NamedTuple):
    h: Any
    m: Any


def odd_first(a: Any, s_prev: OddState, *, xp: Any) -> tuple[Any, Any]:
    u, p = xp.tanh(a[0]), a[1] * a[2]
    return u * s_prev.m + p, (u, a[1], a[2])


def odd_first_partials(kept: Any, s_prev: OddState, s: OddState, *, xp: Any) -> Any:
    u, q, p = kept
    return s_prev.m * (1.0 - u * u), p, q, u


def odd_first_backward(d: Any, planes: Any) -> tuple[Any, Any]:
    return (d * planes[0], d * planes[1], d * planes[2]), (None, d * planes[3])


def odd_second(a: Any, s_prev: OddState, *, xp: Any) -> tuple[Any, Any]:
    z, n = sigmoid(a[0], xp=xp), xp.tanh(a[1] + 0.5 * a[2])
    m = s_prev.m + z * n
    e = xp.tanh(m)
    return OddState(e - 0.3 * s_prev.h, m), (z, n, e)


def odd_second_partials(kept: Any, s_prev: OddState, s: OddState, *, xp: Any) -> Any:
    z, n, e = kept
    return 1.0 - e * e, n * z * (1.0 - z), z * (1.0 - n * n), e


def odd_second_backward(d_s: OddState, planes: Any) -> tuple[Any, Any]:
    d_m = d_s.m + d_s.h * planes[0]
    d_n = d_m * planes[2]
    return (d_m * planes[1], d_n, 0.5 * d_n), (-0.3 * d_s.h, d_m)


ODD = rx.Cell(
    "odd",
    (
        rx.Pair(
            odd_first,
            odd_first_partials,
            odd_first_backward,
            reads=("u", "q"),
            apart=("q",),
            keeps=("u", "q", "p"),
        ),
        rx.Pair(
            odd_second,
            odd_second_partials,
            odd_second_backward,
            reads=("z", "n"),
            apart=("n",),
            keeps=("z", "n", "e"),
        ),
    ),
    state=OddState,
)


# One that asks for what is rarer: three pairs, vectors in two of them, two gates apart in one pair, and a
# field of the state that is written and never read.


class LongState(NamedTuple):
    h: Any
    m: Any
    w: Any


def long_first(a: Any, s_prev: LongState, *, xp: Any) -> tuple[Any, Any]:
    a, b, c, p_b, p_c, v = a
    u = xp.tanh(a + v * s_prev.m)
    return u + b * p_b - 0.5 * c * p_c, (u, b, c, p_b, p_c)


def long_first_partials(kept: Any, s_prev: LongState, s: LongState, *, xp: Any) -> Any:
    u, b, c, p_b, p_c, v = kept
    slope = 1.0 - u * u
    return slope, p_b, -0.5 * p_c, b, -0.5 * c, slope * s_prev.m, slope * v


def long_first_backward(d: Any, planes: Any) -> tuple[Any, Any]:
    *d_a, d_m = [d * plane for plane in planes]
    return tuple(d_a), (None, d_m, None)


def long_second(a: Any, s_prev: LongState, *, xp: Any) -> tuple[Any, Any]:
    q = xp.tanh(a[0])
    return q * s_prev.h, (q, q * q)


def long_second_partials(kept: Any, s_prev: LongState, s: LongState, *, xp: Any) -> Any:
    q, square = kept
    return s_prev.h * (1.0 - square), q


def long_second_backward(d: Any, planes: Any) -> tuple[Any, Any]:
    return (d * planes[0],), (d * planes[1], None, None)


def long_third(a: Any, s_prev: LongState, *, xp: Any) -> tuple[Any, Any]:
    f, g = sigmoid(a[0], xp=xp), a[1]
    m = f * s_prev.m + a[2] * g
    h = xp.tanh(m + a[3])
    return LongState(h, m, m * m), (f, g, h)


def long_third_partials(kept: Any, s_prev: LongState, s: LongState, *, xp: Any) -> Any:
    f, g, h, y, _ = kept
    return f * (1.0 - f) * s_prev.m, y + 0.0 * g, g, f, 1.0 - h * h, 2.0 * s.m


def long_third_backward(d_s: LongState, planes: Any) -> tuple[Any, Any]:
    m_f, m_g, m_y, m_m, h_m, w_m = planes
    d_z = d_s.h * h_m
    d_m = d_s.m + d_z + d_s.w * w_m
    return (d_m * m_f, d_m * m_g, d_m * m_y, d_z), (None, d_m * m_m, None)


LONG = rx.Cell(
    "long",
    (
        rx.Pair(
            long_first,
            long_first_partials,
            long_first_backward,
            reads=("a", "b", "c"),
            apart=("b", "c"),
            keeps=("u", "b", "c", "p_b", "p_c"),
            vectors=("v",),
        ),
        rx.Pair(long_second, long_second_partials, long_second_backward, reads=("q",), keeps=("q", "square")),
        rx.Pair(
            long_third,
            long_third_partials,
            long_third_backward,
            reads=("f", "g"),
            keeps=("f", "g", "h"),
            vectors=("y", "z"),
        ),
    ),
    state=LongState,
)


# Pairs of cells, each by itself.

EVERYTHING = {
    "peepholes": True,
    "clip": 0.8,
    "activations": (("elu", 0.7), "softsign", ("scaled_tanh", 1.5, 0.8)),
}
VARIANTS = (
    *(rnn.cell(name) for name in ACTIVATIONS if name not in ("tanh", "relu")),
    rnn.cell(("leaky_relu", 0.2), clip=0.7),
    rnn.cell("affine", clip=1.0),
    *(gru.cell(reset, ("hard_sigmoid", "softplus")) for reset in ("after", "before")),
    *(gru.cell(reset, clip=0.8) for reset in ("after", "before")),
    *(
        lstm.cell(peepholes=peepholes, coupled=coupled)
        for peepholes, coupled in ((True, False), (False, True), (True, True))
    ),
    *(lstm.cell(coupled=coupled, **EVERYTHING) for coupled in (False, True)),
    lstm.cell(clip=0.8),
    *map(normalized.cell, CELLS.values()),
)
PAIRS = [
    pytest.param(cell, number, id=f"{cell.name}-{number}")
    for cell in (*CELLS.values(), *VARIANTS, UGRNN, ODD, LONG)
    for number in range(len(cell.pairs))
]


@pytest.mark.parametrize(("cell", "number"), PAIRS)
def test_pair(cell: rx.Cell, number: int) -> None:
    random = np.random.RandomState(0)
    pair, last = cell.pairs[number], number == len(cell.pairs) - 1

    def plane(*_: Any) -> np.ndarray:
        value = random.standard_normal((3, 2))
        return np.where(abs(value) < 0.1, 0.5, value)  # away from relu's kink

    a = [plane() for _ in (*pair.reads, *pair.apart, *pair.vectors)]
    vectors = a[len(a) - len(pair.vectors) :]
    s_prev = cell.state(*map(plane, cell.state._fields))

    def forward(inputs: Any) -> Any:
        return pair.forward(*inputs, xp=np)[0]

    result, kept = pair.forward(frozen(a), frozen(s_prev), xp=np)
    assert len(kept) == len(pair.keeps)
    d_result = tree.map(plane, result)
    # what follows another pair's operand is not known to it yet: NaN would show where it is read
    s = result if last else tree.map(lambda leaf: np.full_like(leaf, np.nan), s_prev)
    kept = [*kept, *vectors]
    planes = pair.partials(frozen(kept), frozen(s_prev), frozen(s), xp=np)
    d_a, d_s_prev = pair.chain_rule(xp=np)(frozen(d_result), frozen(planes))
    d_s_prev = cell.state(*[np.zeros((3, 2)) if d is None else d for d in d_s_prev])
    (expected,) = differences(forward, (a, s_prev), [d_result])
    assert_close((list(d_a), d_s_prev), expected, DIFFERENCES)

    # the partial derivatives of several steps at once are those of each step
    several = pair.partials(
        *[tree.map(lambda leaf: np.stack([leaf, leaf + 1.0]), each) for each in (kept, s_prev, s)], xp=np
    )
    assert_close([each[0] for each in several], list(planes), EXACT)


# Losses.


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 1), (2, 2, 2)])
def test_loss(name: str, shape: tuple[int, ...]) -> None:
    random = np.random.RandomState(len(shape))
    y, d_loss = 2.0 * random.standard_normal(shape), random.standard_normal(shape[:-1])
    target = random.randint(0, shape[-1], shape[:-1]) if LOSSES[name].classes else random.uniform(size=shape)
    _, kept = LOSSES[name].forward(frozen(y), frozen(target), xp=np)
    d_y = LOSSES[name].backward(frozen(d_loss), frozen(kept), frozen(target), xp=np)
    (expected,) = differences(lambda y: LOSSES[name].forward(y, target, xp=np)[0], y, [d_loss])
    assert_close(d_y, expected, DIFFERENCES)


# Layers: (layer, shape of x, lengths); tokens have two axes.

RNG = rx.Rng(seed=1, step=2)
STEPS = (3, 2, 2)
SHORT = (4, 3, 2)
ENDS = [2, 0, 4]
LAYER_CASES: dict[str, tuple[Layer, tuple[int, ...], list[int] | None]] = {
    **{f"{name}": (make(2, 3), STEPS, None) for name, make in MAKERS.items()},
    **{f"{name}-ends": (make(2, 2, bidirectional=True), SHORT, ENDS) for name, make in MAKERS.items()},
    **{
        f"{name}-deep": (make(2, 2, 2, bidirectional=True, dropout=0.4), STEPS, [1, 3])
        for name, make in MAKERS.items()
        if name != "rnn_relu"  # the kinks of a lower layer would not show
    },
    **{f"{name}-one-bias": (make(2, 2, bias="input"), STEPS, None) for name, make in MAKERS.items()},
    **{f"{name}-no-bias": (make(2, 2, bias=False), STEPS, [3, 2]) for name, make in MAKERS.items()},
    **{f"{name}-step": (make(2, 2, bidirectional=True), (1, 2, 2), None) for name, make in MAKERS.items()},
    **{f"{name}-one-sample": (make(1, 2), (3, 1, 1), [2]) for name, make in MAKERS.items()},
    **{f"{name}-no-sample": (make(2, 2), (3, 0, 2), []) for name, make in MAKERS.items()},
    **{f"{name}-no-step": (make(2, 2, 2), (0, 2, 2), None) for name, make in MAKERS.items()},
    **{f"{name}-all-empty": (make(2, 2), (2, 2, 2), [0, 0]) for name, make in MAKERS.items()},
    "lstm-projected-deep": (rx.LSTM(2, 3, 3, proj_size=1), STEPS, [3, 1]),
    "odd": (rx.Recurrent(ODD, 2, 2, 2, bidirectional=True), STEPS, [3, 2]),
    "long": (rx.Recurrent(LONG, 2, 3), STEPS, None),
    "long-deep": (rx.Recurrent(LONG, 2, 2, 2, bidirectional=True), STEPS, [3, 2]),
    "long-no-bias": (rx.Recurrent(LONG, 2, 2, bias=False), STEPS, None),
    "odd-one-bias": (rx.Recurrent(ODD, 2, 2, bias="input"), STEPS, None),
    "linear": (rx.Linear(2, 3), STEPS, None),
    "residual": (rx.Residual(rx.LSTM(2, 2)), STEPS, None),
    "residual-ends": (rx.Residual(rx.Sequential(rx.GRU(2, 3), rx.Linear(3, 2))), SHORT, ENDS),
    "linear-ends": (rx.Linear(2, 1, bias=False), SHORT, ENDS),
    "linear-vectors": (rx.Linear(2, 3), (4, 2), None),
    "embedding": (rx.Embedding(4, 2), (3, 2), None),
    "embedding-ends": (rx.Embedding(3, 2), (4, 3), ENDS),
    "embedding-no-sample": (rx.Embedding(3, 2), (4, 0), None),
    "last": (rx.LastStep(), STEPS, None),
    "last-ends": (rx.LastStep(), SHORT, ENDS),
    "last-halves": (rx.LastStep(reverse_size=1), STEPS, None),
    "last-halves-ends": (rx.LastStep(reverse_size=1), SHORT, ENDS),
    "mean": (rx.MeanPool(), STEPS, None),
    "mean-ends": (rx.MeanPool(), SHORT, ENDS),
    "max": (rx.MaxPool(), STEPS, None),
    "max-ends": (rx.MaxPool(), SHORT, ENDS),
    "dropout": (rx.Dropout(0.4), STEPS, None),
    "dropout-ends": (rx.Dropout(0.4), SHORT, ENDS),
    "dropout-vectors": (rx.Dropout(0.4), (4, 2), None),
    "model": (
        rx.Sequential(rx.GRU(2, 2, bidirectional=True), rx.Dropout(0.3), rx.LSTM(4, 2), rx.Linear(2, 1)),
        SHORT,
        ENDS,
    ),
    "model-pooled": (
        rx.Sequential(rx.LSTM(2, 2, bidirectional=True), rx.LastStep(), rx.Linear(4, 2)),
        SHORT,
        [4, 1, 2],
    ),
    "model-deep-pooled": (
        rx.Sequential(rx.RNN(2, 2, 3, bidirectional=True, dropout=0.3), rx.LastStep()),
        STEPS,
        [1, 3],
    ),
    "model-last-state": (rx.Sequential(rx.GRU(2, 2), rx.LastStep()), SHORT, [4, 1, 2]),
    "model-tokens": (rx.Sequential(rx.Embedding(3, 2), rx.RNN(2, 2), rx.MaxPool()), (4, 3), ENDS),
    "model-nested": (
        rx.Sequential(rx.Sequential(rx.Linear(2, 2), rx.GRU(2, 2, reset="before")), rx.MeanPool()),
        SHORT,
        ENDS,
    ),
}


class Problem(NamedTuple):
    """A layer with all that goes in."""

    params: Any
    x: Any
    state_0: Any
    d_y: Any
    d_state_T: Any  # noqa: N815


def problem(layer: Layer, shape: tuple[int, ...], lengths: list[int] | None, seed: int = 0) -> Problem:
    """Draw everything, and the initial state too."""
    random = np.random.RandomState(seed)
    params = normal(NUMPY, layer.init(NUMPY), seed + 1, 0.8)
    tokens = len(shape) == 2 and not isinstance(layer, rx.Linear | rx.Dropout)
    x = random.randint(0, 3, shape) if tokens else random.standard_normal(shape)
    y, state_T, _ = layer.forward(params, x, lengths=lengths)
    likes = enumerate((state_T, y, state_T), seed + 2)
    state_0, d_y, d_state_T = (normal(NUMPY, like, number) for number, like in likes)
    return Problem(*map(frozen, (params, x, state_0, d_y, d_state_T)))


@pytest.mark.parametrize("name", LAYER_CASES)
def test_layer(name: str) -> None:
    layer, shape, lengths = LAYER_CASES[name]
    given = problem(layer, shape, lengths)
    tokens = given.x.dtype == np.int64
    inputs = (given.params, None if tokens else given.x, given.state_0)
    signs = []

    def outputs(inputs: Any) -> Any:
        params, x, state_0 = inputs
        y, state_T, _ = layer.forward(params, given.x if tokens else x, state_0, lengths, RNG)
        signs.append((y > 0).tobytes())
        return y, state_T

    _, state_T, tape = layer.forward(given.params, given.x, given.state_0, lengths, RNG)
    pairs = [
        (given.d_y, given.d_state_T),
        (given.d_y, None),
        (zeros(given.d_y), given.d_state_T),
    ]
    cotangents = [(d_y, zeros(given.d_state_T) if d_T is None else d_T) for d_y, d_T in pairs]
    for (d_y, d_state_T), expected in zip(pairs, differences(outputs, inputs, cotangents), strict=True):
        d_params, d_x, d_state_0 = layer.backward(given.params, tape, d_y, d_state_T)
        assert_close((d_params, d_x, d_state_0), expected, DIFFERENCES)
        without_d_x = layer.backward(given.params, tape, d_y, d_state_T, need_d_x=False)
        assert_close(without_d_x, (d_params, None, d_state_0), EXACT)
    # without an initial state, as training runs it
    zero = layer.forward(given.params, given.x, zeros(given.state_0), lengths, RNG)
    none = layer.forward(given.params, given.x, None, lengths, RNG)
    assert_close(none[:2], zero[:2], ACROSS)
    for d_y, d_state_T in pairs:
        answers = [layer.backward(given.params, each[2], d_y, d_state_T) for each in (none, zero)]
        assert_close(*answers, ACROSS)
    if "relu" in name:
        assert len(set(signs)) <= 1, "a kink lies within EPS: choose another seed"
    if "all-empty" in name:
        assert_close(state_T, given.state_0, EXACT)
        assert_close(layer.backward(given.params, tape, *pairs[0])[2], given.d_state_T, EXACT)


@pytest.mark.parametrize("start", [True, False], ids=["start", "no-start"])
@pytest.mark.parametrize("name", LAYER_CASES)
def test_tapes_are_apart(name: str, start: bool) -> None:
    """Forward, forward, backward, backward; the same tape twice; outputs overwritten by their owner."""
    layer, shape, lengths = LAYER_CASES[name]
    first, second = problem(layer, shape, lengths), problem(layer, shape, lengths, seed=5)

    def forward(given: Problem) -> Any:
        return layer.forward(given.params, given.x, given.state_0 if start else None, lengths, RNG)

    def backward(given: Problem, tape: Any) -> Any:
        return layer.backward(given.params, tape, given.d_y, given.d_state_T)

    expected = [backward(given, forward(given)[2]) for given in (first, second)]
    (y_1, state_1, tape_1), (y_2, state_2, tape_2) = forward(first), forward(second)
    before = tree.map(np.array, (y_2, state_2))
    results = tree.leaves((y_1, state_1, backward(first, tape_1)))
    for number, result in enumerate(results):
        for other in (*results[:number], *tree.leaves(first)):
            assert not np.shares_memory(result, other)
    for array in tree.leaves((y_1, state_1)):
        array[...] = np.nan
    assert_close(backward(first, tape_1), expected[0], EXACT)
    answer = backward(second, tape_2)
    for array in tree.leaves(backward(first, tape_1)):
        array[...] = np.nan
    assert_close(backward(first, tape_1), expected[0], EXACT)
    assert_close(backward(second, tape_2), expected[1], EXACT)
    assert_close(answer, expected[1], EXACT)
    assert_close((y_2, state_2), before, EXACT)


# The engine, where the sums are cut: parts of time and tiles of weight gradients.


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [6, 0, 3]])
@pytest.mark.parametrize(
    "cell", [*CELLS.values(), lstm.cell(peepholes=True), ODD, LONG], ids=lambda cell: cell.name
)
def test_engine(cell: rx.Cell, lengths: Any, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    T, B, D, H = 6, 3, 2, 2
    params = problem(rx.Recurrent(cell, D, H), (T, B, D), None).params[0]
    x = random.standard_normal((T, D, B))
    s_0, d_s_T = (cell.state(*[random.standard_normal((H, B)) for _ in cell.state._fields]) for _ in range(2))
    valid = sequence.valid_steps(lengths, T, x, xp=np)
    d_h = random.standard_normal((T, H, B))
    if valid is not None:
        d_h = np.where(valid.mask[:, None, :], d_h, 0.0)

    def forward(inputs: Any) -> Any:
        params, x, s_0 = inputs
        run = sequence.Run(cell, params, T, B, dtype=x.dtype, device="cpu", reverse=reverse, xp=np)
        return run.forward(x, s_0, valid), run.last()

    def backward() -> Any:
        run = sequence.Run(cell, params, T, B, dtype=x.dtype, device="cpu", reverse=reverse, xp=np)
        run.forward(frozen(x), frozen(s_0), valid)
        d_params, d_x, d_s_0 = run.backward(frozen(d_h), frozen(d_s_T), valid, True)
        return d_params, d_x, cell.state(*d_s_0)

    (expected,) = differences(forward, (params, x, s_0), [(d_h, d_s_T)])
    whole = backward()
    assert_close(whole, expected, DIFFERENCES)
    for engine in ("portable", "numpy"):
        monkeypatch.setenv("RNN_XP_ENGINE", engine)
        for tile, part in ((1, 1), (4 * B, 4 * H * B), (2 * B, 10**6), (10**6, H * B)):
            monkeypatch.setattr(back, "TILE", tile)
            monkeypatch.setattr(Portable, "part", part)
            assert_close(backward(), whole, ACROSS)


def test_embedding_adds_up_its_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = rx.Embedding(3, 2)
    given = problem(layer, (5, 3), None)
    _, _, tape = layer.forward(given.params, given.x)
    whole = layer.backward(given.params, tape, given.d_y)[0]
    expected = np.zeros((3, 2))
    np.add.at(expected, given.x, given.d_y)
    assert_close(whole.weight, expected, ACROSS)
    for rows in (1, 4, 15):
        monkeypatch.setattr("rnn_xp.layers.linear.ROWS", rows)
        assert_close(layer.backward(given.params, tape, given.d_y)[0], whole, ACROSS)


# The whole: loss and gradients of a model.


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pooled", [True, False])
def test_loss_and_gradients(loss: str, pooled: bool) -> None:
    random = np.random.RandomState(0)
    T, B, K = 3, 2, 2
    model = rx.Sequential(rx.GRU(2, 2), *([rx.MeanPool()] if pooled else []), rx.Linear(2, K))
    params = normal(NUMPY, model.init(NUMPY), 1)
    lead = (B,) if pooled else (T, B)
    target = random.randint(0, K, lead) if LOSSES[loss].classes else random.uniform(size=(*lead, K))
    share = random.uniform(size=lead)
    x = random.standard_normal((T, B, 2))
    valid = sequence.valid_steps([2, 3], T, x, xp=np)
    context = Context(np, valid)
    if not pooled:
        share = np.where(valid.mask, share, 0.0)

    def value(params: Any) -> Any:
        return loss_and_gradients(model, params, LOSSES[loss], x, target, share, context)[0]

    y = model.forward(params, x, lengths=[2, 3])[0]
    total, d_params, _ = loss_and_gradients(model, params, LOSSES[loss], x, target, share, context)
    assert total == pytest.approx(np.sum(share * LOSSES[loss].forward(y, target, xp=np)[0]), rel=1e-12)
    (expected,) = differences(value, params, [np.ones(())])
    assert_close(d_params, expected, DIFFERENCES)


@pytest.mark.parametrize("name", MAKERS)
def test_memory_used_again_changes_no_bit(name: str) -> None:
    """As in a training loop: weights that change in place, batches of other shapes and lengths in between."""
    random = np.random.RandomState(0)
    lower = MAKERS[name](2, 3, 2, bidirectional=True, dropout=0.3)
    upper = MAKERS[name](lower.output_size, 3)
    model = rx.Sequential(lower, upper, rx.LastStep(), rx.Linear(upper.output_size, 2))
    params = normal(NUMPY, model.init(NUMPY), 1)
    memory: dict[Any, Any] = {}
    for step, (T, lengths) in enumerate(
        [(3, [3, 1]), (3, None), (4, [0, 4]), (3, [2, 2]), (3, [1]), (3, [2])]
    ):
        if step == 5:  # other arrays of the same shapes
            params = tree.map(lambda leaf: leaf + 0.1, params)
        B = 2 if lengths is None else len(lengths)
        x, target, share = random.standard_normal((T, B, 2)), random.randint(0, 2, B), np.full(B, 0.5)
        valid = sequence.valid_steps(lengths, T, x, xp=np)
        contexts = [Context(np, valid, rx.Rng(0, step), kept) for kept in (memory, None)]
        loss = LOSSES["cross_entropy"]
        answers = [
            loss_and_gradients(model, params, loss, x, target, share, context)[:2] for context in contexts
        ]
        assert_close(answers[0][1], answers[1][1], EXACT)
        assert answers[0][0] == answers[1][0]
        for leaf, d in zip(tree.leaves(params), tree.leaves(answers[0][1]), strict=True):
            leaf -= 0.1 * d


def test_memory_is_kept_for_shorter_sequences() -> None:
    layer = rx.GRU(2, 3, bidirectional=True)
    params = layer.init(NUMPY)
    memory: dict[Any, Any] = {}

    def runs(T: int, B: int) -> list[Any]:
        layer.run(params, np.zeros((T, B, 2)), None, Context(np, memory=memory))
        return list(memory.values())

    def shared(one: list[Any], other: list[Any]) -> int:
        return sum(run is each for run in one for each in other)

    first = runs(4, 3)
    assert len(first) == 2
    assert shared(first, runs(3, 3)) == 2
    other = runs(4, 2)
    assert len(other) == 4
    assert shared(first, other) == 2
    assert shared(other, runs(4, 3)) == 4
    longer = runs(5, 3)
    assert len(longer) == 4
    assert shared(first, longer) == 0
    assert shared(other, longer) == 2


# Nothing is left out.


def derivatives() -> dict[Any, str]:
    """Find every function and method of the package that is named as a derivative."""
    found: dict[Any, str] = {}
    names = ("backward", "run_back", "spread")
    for info in pkgutil.walk_packages(rnn_xp.__path__, "rnn_xp."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for owner in (module, *(each for _, each in inspect.getmembers(module, inspect.isclass))):
            for name, function in vars(owner).items():
                if not inspect.isfunction(function) or getattr(function, "__isabstractmethod__", False):
                    continue
                if name.endswith("_backward") or name in names:
                    found[function] = f"{function.__module__}.{function.__qualname__}"
    return found


def test_every_derivative_is_checked() -> None:
    layers = [layer for layer, _, _ in LAYER_CASES.values()]
    assert {type(layer) for layer in layers} == {*LAYERS.values(), rx.Sequential}
    assert {layer.cell for layer in layers if isinstance(layer, rx.Recurrent)} >= set(CELLS.values())
    pairs = [pair for param in PAIRS for pair in param.values[0].pairs]
    checked = {getattr(pair.backward, "__func__", pair.backward) for pair in pairs}
    checked |= {loss.backward for loss in LOSSES.values()}
    checked |= {sequence.Run.backward, sequence.Recomputed.backward}  # that one: test_recompute.py
    checked.add(Watched.backward)  # test_probe.py
    for name in ("backward", "run_back", "spread"):
        checked |= {getattr(type(layer), name, None) for layer in layers}
    found = derivatives()
    assert len(found) >= 18
    assert sorted(name for function, name in found.items() if function not in checked) == []
