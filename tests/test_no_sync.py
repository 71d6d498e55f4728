"""Nothing within an epoch waits for the device, or moves between it and the host.

array_api_strict on a device that is not the host's plays the GPU; where there is one, CuPy is asked too.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from support import (
    ACROSS,
    MAKERS,
    MODELS,
    PORTABLE,
    READS,
    SINGLE,
    UGRNN,
    assert_close,
    nothing_moves,
    open_backend,
    own,
    smallest_standard,
)

import rnn_xp as rx
from rnn_xp.backend import Backend, get_backend
from rnn_xp.model import LOSSES
from rnn_xp.train.feed.batches import Batches
from rnn_xp.train.feed.prepare import prepare
from rnn_xp.train.loop.step import Stepper

T, N = 4, 5

FACTORS: dict[str, Sequence[Any]] = {
    "cell": tuple(MAKERS),
    "model": tuple(MODELS),
    "loss": tuple(LOSSES),
    "optimizer": (
        rx.SGD(0.1),
        rx.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        rx.RMSprop(0.01, momentum=0.9),
        rx.Adam(0.01, weight_decay=0.1),
        rx.AdamW(0.01),
    ),
    "clip": ((None, None), (0.1, None), (None, 0.01), (0.1, 0.01)),
    "schedule": (None, rx.schedules.warmup(2, rx.schedules.cosine(9))),
    "lengths": (None, (4, 2, 1, 3, 2), (0, 4, 0, 2, 0)),
    "weights": (None, "a sequence", "a step"),
    "shuffle": (False, True),
    "engine": ("portable", "cupy"),
    "dtype": ("float32", "float64"),
}


def pairs(case: Mapping[str, int]) -> set[Any]:
    """Return the pairs of levels in a case."""
    return set(itertools.combinations(case.items(), 2))


def covering_design(sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """Choose cases, one after the other, until every two levels of two factors have met in one."""
    random = np.random.default_rng(0)
    left = {
        ((one, a), (other, b))
        for one, other in itertools.combinations(sizes, 2)
        for a in range(sizes[one])
        for b in range(sizes[other])
    }
    cases = []
    while left:
        first, second = min(left)
        tries = [
            {name: int(random.integers(size)) for name, size in sizes.items()} | dict((first, second))
            for _ in range(30)
        ]
        cases.append(max(tries, key=lambda case: len(pairs(case) & left)))
        left -= pairs(cases[-1])
    return cases


CASES = [
    {name: FACTORS[name][level] for name, level in case.items()}
    for case in covering_design({name: len(levels) for name, levels in FACTORS.items()})
]


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.gpu) if name == "cupy" else name
        for name in PORTABLE
        if name in ("array_api_strict", "cupy")
    ]
)
def device(request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> str:
    """A library that tells what moves."""
    record_property("backend", request.param)
    return request.param


def an_epoch(case: Mapping[str, Any], backend: Backend, name: str) -> Any:
    """Train for an epoch, in which nothing moves; return the losses and norms, and the weights."""
    model, loss = MODELS[case["model"]](case["cell"]), LOSSES[case["loss"]]
    random, per_step, K = np.random.default_rng(0), model.per_step, model.output_size
    tokens = model.intake.kind == "tokens"
    X = random.integers(0, 5, (N, T)) if tokens else random.standard_normal((N, T, 3))
    lead = (N, T) if per_step else (N,)
    y = random.integers(0, K, lead) if loss.classes else random.uniform(size=(*lead, K))
    fine = per_step and case["weights"] == "a step"
    weights = None if case["weights"] is None else random.uniform(size=(N, T) if fine else N)
    data = prepare(model, X, y, loss=loss, lengths=case["lengths"], weights=weights, dtype=backend.precision)
    options = {**dict(zip(("clip_norm", "clip_value"), case["clip"], strict=True)), "seed": 3}
    params = model.init(backend, seed=1)
    stepper = Stepper(model, params, loss, case["optimizer"], backend, schedule=case["schedule"], **options)
    order = np.array([3, 0, 4, 1, 2]) if case["shuffle"] else None
    batches = Batches(data, backend, 2).in_order(order)
    with nothing_moves(name):
        answers = [stepper.step(batch) for batch in batches]
    assert stepper.first_bad() is None
    return answers, stepper.snapshot()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['cell']}-{case['model']}")
def test_an_epoch_moves_nothing(case: Any, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = get_backend("numpy", dtype=case["dtype"])
    with np.errstate(all="ignore"):
        expected = an_epoch(case, numpy, "numpy")
    monkeypatch.setenv("RNN_XP_ENGINE", case["engine"])
    backend = open_backend(device, case["dtype"])
    with smallest_standard(device):
        answer = an_epoch(case, backend, device)
    assert_close(answer, own(backend, expected), SINGLE if case["dtype"] == "float32" else ACROSS)


def test_every_two_choices_meet() -> None:
    names = {name: list(map(str, levels)) for name, levels in FACTORS.items()}
    for one, other in itertools.combinations(FACTORS, 2):
        met = {(str(case[one]), str(case[other])) for case in CASES}
        assert met == set(itertools.product(names[one], names[other])), (one, other)


# --- the probe can fail

strict = pytest.mark.skipif("array_api_strict" not in PORTABLE, reason="array_api_strict is not installed")

VIOLATIONS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a number": (lambda a, xp: float(a[0, 0]), "__float__ reads a value on the host"),
    "a choice": (lambda a, xp: 1 if a[0, 0] > 0 else 0, "__bool__ reads a value"),
    "an index": (lambda a, xp: range(4)[xp.argmax(a[:, 0])], "__index__ reads a value"),
    "a line printed": (lambda a, xp: f"{a}", "__repr__ reads a value|__str__ reads a value"),
    "NumPy": (lambda a, xp: np.asarray(a), "reads a value"),
    "the host": (lambda a, xp: a.to_device(xp.Device("CPU_DEVICE")), "to_device reads a value"),
    "a list": (lambda a, xp: xp.asarray([0.5], device=a.device), "a value of the host is copied"),
    "a scalar": (lambda a, xp: xp.asarray(0.5, device=a.device), "a value of the host is copied"),
    "many arrays": (lambda a, xp: xp.stack([a] * 9), "stack copies the addresses of more than 8"),
    "a mask": (lambda a, xp: a[a > 0], "boolean"),
    "what is not 0": (lambda a, xp: xp.nonzero(a), "data-dependent|data dependent"),
    "clip": (lambda a, xp: xp.clip(a, -1.0, 1.0), "clip waits on CuPy"),
    "sign": (lambda a, xp: xp.sign(a), "sign waits on CuPy"),
}


def stepper_of(cell: rx.Cell, optimizer: Any = None) -> tuple[Stepper, Any]:
    """Return a stepper on array_api_strict, and its one batch."""
    backend = open_backend("array_api_strict")
    model = rx.Sequential(rx.Recurrent(cell, 3, 4), rx.MeanPool())
    loss = LOSSES["squared_error"]
    data = prepare(model, np.ones((N, T, 3)), np.ones((N, 4)), loss=loss, dtype="float64")
    options = {"seed": 0, "schedule": None, "clip_norm": None, "clip_value": None}
    stepper = Stepper(model, model.init(backend), loss, optimizer or rx.SGD(0.1), backend, **options)
    (batch,) = Batches(data, backend, N).in_order(None)
    return stepper, batch


@strict
@pytest.mark.parametrize("what", VIOLATIONS)
@pytest.mark.parametrize("engine", ["portable", "cupy"])
def test_a_cell_that_would_wait_is_found(what: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNN_XP_ENGINE", engine)
    violate, message = VIOLATIONS[what]
    at_work = False

    def forward(a: Any, s_prev: Any, *, xp: Any) -> Any:
        if at_work:
            violate(a[0], xp)
        return UGRNN.pairs[0].forward(a, s_prev, xp=xp)

    stepper, batch = stepper_of(rx.Cell("waits", (UGRNN.pairs[0]._replace(forward=forward),)))
    with nothing_moves("array_api_strict"):
        stepper.step(batch)
    at_work = True
    with nothing_moves("array_api_strict"), pytest.raises((AssertionError, RuntimeError), match=message):
        stepper.step(batch)


@strict
def test_an_optimizer_that_would_wait_is_found() -> None:
    class Waiting(rx.SGD):
        def update(self, params: Any, grads: Any, *args: Any, xp: Any, **options: Any) -> Any:
            rate = 0.5 if xp.any(grads > 1.0) else 1.0
            return super().update(params, rate * grads, *args, xp=xp, **options)

    stepper, batch = stepper_of(UGRNN, Waiting(0.1))
    stepper.step(batch)
    with nothing_moves("array_api_strict"), pytest.raises(AssertionError, match="__bool__ reads a value"):
        stepper.step(batch)


@strict
def test_a_batch_that_comes_from_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, model = open_backend("array_api_strict"), MODELS["mean"]("gru")
    data = prepare(model, np.ones((N, T, 3)), np.ones((N, 4)), loss=LOSSES["huber"], dtype="float64")
    monkeypatch.setattr(Backend, "free_memory", 0)
    flow = Batches(data, backend, 2).in_order(None)
    with nothing_moves("array_api_strict"), pytest.raises(AssertionError, match="of the host is copied"):
        next(flow)


# --- what an epoch does move


@strict
@pytest.mark.parametrize("batch_size", [1, 2, N])
def test_an_epoch_moves_one_index_and_three_numbers(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order goes over; the mean loss, the mean norm and the count of bad steps come back."""
    backend = open_backend("array_api_strict")
    xp, array = backend.xp, type(backend.asarray(0.0))
    moved: Counter[str] = Counter()
    asarray = xp.asarray

    def counted(value: Any, **options: Any) -> Any:
        moved["to the device"] += not isinstance(value, array)
        return asarray(value, **options)

    monkeypatch.setattr(xp, "asarray", counted)
    for method in READS:
        read = getattr(array, method)

        def counting(self: Any, *args: Any, method: str = method, read: Any = read, **options: Any) -> Any:
            moved[method] += 1
            return read(self, *args, **options)

        monkeypatch.setattr(array, method, counting)

    model = rx.Sequential(rx.GRU(3, 4), rx.Dropout(0.5), rx.MeanPool(), rx.Linear(4, 2))
    given: dict[str, Any] = {"lengths": [4, 2, 1, 3, 2], "weights": np.linspace(0.1, 1.0, N)}
    given |= {"loss": "squared_error", "backend": backend, "batch_size": batch_size, "verbose": False}

    def of_a_run(epochs: int) -> Counter[str]:
        moved.clear()
        rx.fit(model, np.ones((N, T, 3)), np.ones((N, 2)), epochs=epochs, **given)
        return Counter(moved)

    assert of_a_run(3) - of_a_run(2) == {"to the device": 1, "__float__": 2, "__int__": 1}
