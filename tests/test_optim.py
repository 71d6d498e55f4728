"""Optimisers and clipping against what PyTorch answers (torch_answers/make_optim.py)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from rnn_xp import optim, tree
from rnn_xp.backend import Backend, get_backend
from rnn_xp.clipping import clip_by_global_norm, clip_by_value, global_norm
from rnn_xp.optim import SGD, Adam, AdamW, RMSprop

ANSWERS = np.load(Path(__file__).parent / "torch_answers" / "optim.npz")
STEPS = 25
OPTIMIZERS = {
    "sgd": SGD(0.1),
    "sgd_decay": SGD(0.1, weight_decay=0.05),
    "sgd_momentum": SGD(0.05, momentum=0.9),
    "sgd_momentum_decay": SGD(0.05, momentum=0.9, weight_decay=0.05),
    "sgd_nesterov": SGD(0.05, momentum=0.9, nesterov=True),
    "sgd_nesterov_decay": SGD(0.05, momentum=0.8, nesterov=True, weight_decay=0.05),
    "rmsprop": RMSprop(),
    "rmsprop_options": RMSprop(0.02, alpha=0.9, eps=1e-3, weight_decay=0.05),
    "rmsprop_momentum": RMSprop(0.02, momentum=0.9),
    "rmsprop_momentum_decay": RMSprop(0.02, momentum=0.9, weight_decay=0.05),
    "adam": Adam(),
    "adam_options": Adam(0.02, beta1=0.8, beta2=0.95, eps=1e-3),
    "adam_decay": Adam(0.02, weight_decay=0.05),
    "adamw": AdamW(),
    "adamw_options": AdamW(0.02, beta1=0.8, beta2=0.95, eps=1e-3, weight_decay=0.1),
}
DEVICES = {"numpy": None, "array_api_strict": "device1"}
if importlib.util.find_spec("torch"):
    DEVICES["torch"] = "cpu"


class Params(NamedTuple):
    weight: Any
    bias: Any
    rest: Any


@pytest.fixture(params=DEVICES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def backend(name: str) -> Backend:
    return get_backend(name, device=DEVICES[name], dtype="float64")


def draw(backend: Backend, random: np.random.RandomState) -> Params:
    """Draw a tree as the script does: three tensors in a row; it holds an absent part too."""
    shapes = ((3, 2), (4,), (2, 1, 3))
    weight, bias, rest = (backend.asarray(random.standard_normal(shape)) for shape in shapes)
    return Params(weight, bias, {"none": None, "list": [rest]})


def flat(backend: Backend, values: Any) -> np.ndarray:
    """Return all components in one row, having checked where they live and in what precision."""
    for leaf in tree.leaves(values):
        assert leaf.dtype == backend.dtype
        assert leaf.device == backend.device
    return np.concatenate([np.reshape(backend.to_numpy(leaf), -1) for leaf in tree.leaves(values)])


def run(optimizer: optim.Optimizer, backend: Backend, lr: Any = None) -> np.ndarray:
    """Return the parameters after each of 25 steps (STEPS, N); nothing that goes in may change."""
    random, rows = np.random.RandomState(0), []
    params = draw(backend, random)
    state = optimizer.init(params, xp=backend.xp)
    for step in range(STEPS):
        grads = draw(backend, random)
        inputs = [leaf for leaf in tree.leaves((params, grads, state)) if not isinstance(leaf, int)]
        copies = [np.array(backend.to_numpy(leaf)) for leaf in inputs]
        rate = None if lr is None else lr(step)
        params, state = optimizer.update(params, grads, state, rate, xp=backend.xp)
        for leaf, copy in zip(inputs, copies, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(leaf), copy)
        rows.append(flat(backend, params))
    return np.stack(rows)


def assert_near(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    """Norm-relative: rounding is in proportion to the largest terms of a sum."""
    assert actual.shape == expected.shape
    assert np.linalg.norm(actual - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("answer", OPTIMIZERS)
def test_optimizers_equal_pytorch(backend: Backend, answer: str) -> None:
    assert_near(run(OPTIMIZERS[answer], backend), ANSWERS[answer])


@pytest.mark.parametrize("answer", OPTIMIZERS)
def test_float32_stays_float32(name: str, answer: str) -> None:
    single = get_backend(name, device=DEVICES[name], dtype="float32")
    assert_near(run(OPTIMIZERS[answer], single), ANSWERS[answer], 1e-5)


def test_lr_of_one_step(backend: Backend) -> None:
    """A schedule's rate replaces the optimiser's own, in AdamW's decay too, as PyTorch's StepLR does."""
    rates = run(AdamW(123.0), backend, lambda step: 0.02 * 0.5 ** (step // 7))
    assert_near(rates, ANSWERS["adamw_scheduled"])


def test_numpy_scalars_as_options_promote_nothing() -> None:
    """NumPy's float64 scalars would turn float32 parameters into float64."""
    single = get_backend("numpy", dtype="float32")
    run(AdamW(np.float64(0.1), beta1=np.float64(0.5), weight_decay=np.float64(0.1)), single, np.float64)
    clipped, norm = clip_by_global_norm(draw(single, np.random.RandomState(0)), np.float64(1.0), xp=np)
    flat(single, (clipped, norm))


@pytest.mark.parametrize("limit", [0.5, 2.0, 100.0])
def test_clip_by_global_norm_equals_pytorch(backend: Backend, limit: float) -> None:
    grads = draw(backend, np.random.RandomState(1))
    clipped, norm = clip_by_global_norm(grads, limit, xp=backend.xp)
    assert_near(flat(backend, clipped), ANSWERS[f"clip_norm_{limit}"])
    assert_near(flat(backend, norm), ANSWERS["norm"][None])
    assert tuple(norm.shape) == ()
    assert_near(flat(backend, global_norm(grads, xp=backend.xp)), np.linalg.norm(flat(backend, grads))[None])


def test_clip_by_global_norm_of_zero_gradients(backend: Backend) -> None:
    clipped, norm = clip_by_global_norm((backend.asarray(np.zeros(3)),), 1.0, xp=backend.xp)
    np.testing.assert_array_equal(flat(backend, (clipped, norm)), np.zeros(4))


@pytest.mark.parametrize("limit", [0.3, 1.0])
def test_clip_by_value_equals_pytorch(backend: Backend, limit: float) -> None:
    grads = draw(backend, np.random.RandomState(1))
    clipped = clip_by_value(grads, limit, xp=backend.xp)
    np.testing.assert_array_equal(flat(backend, clipped), ANSWERS[f"clip_value_{limit}"])


def test_nan_is_not_hidden(backend: Backend) -> None:
    """Clipping keeps a NaN, so that the training step can see it."""
    grads = (backend.asarray(np.array([np.nan, 3.0])), backend.asarray(np.array([4.0])))
    np.testing.assert_array_equal(flat(backend, clip_by_value(grads, 1.0, xp=backend.xp)), [np.nan, 1.0, 1.0])
    assert np.isnan(flat(backend, clip_by_global_norm(grads, 1.0, xp=backend.xp))).all()


@pytest.mark.parametrize("answer", OPTIMIZERS)
def test_a_step_asks_for_no_value(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = get_backend("array_api_strict", device="device1", dtype="float64")
    params, grads = draw(backend, np.random.RandomState(0)), draw(backend, np.random.RandomState(1))

    def refuse(array: Any) -> None:
        msg = "the step asked the device for a value"
        raise AssertionError(msg)

    for method in ("__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(type(params.bias), method, refuse)
    optimizer = OPTIMIZERS[answer]
    clipped, _ = clip_by_global_norm(clip_by_value(grads, 0.5, xp=backend.xp), 1.0, xp=backend.xp)
    optimizer.update(params, clipped, optimizer.init(params, xp=backend.xp), xp=backend.xp)


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam, AdamW])
def test_options_out_of_range(kind: type) -> None:
    plain = {"lr": 0.1}
    for option in kind.__dataclass_fields__:
        if option == "nesterov":
            continue
        least = ">" if option == "eps" else ">="
        with pytest.raises(ValueError, match=rf"`{option}` must be a finite number {least} 0.*; got -1\."):
            kind(**{**plain, option: -1})
        with pytest.raises(TypeError, match=rf"`{option}` must be a finite number {least} 0.*; got '0\.1'\."):
            kind(**{**plain, option: "0.1"})
        if option in ("momentum", "alpha", "beta1", "beta2"):
            with pytest.raises(ValueError, match=rf"`{option}` must be .* >= 0 and < 1; got 1\."):
                kind(**{**plain, option: 1})


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match=r"`momentum` must be > 0 where `nesterov` is True; got 0\."):
        SGD(0.1, nesterov=True)
    with pytest.raises(ValueError, match=r"`nesterov` must be one of False, True; got 'yes'\."):
        SGD(0.1, momentum=0.9, nesterov="yes")


def test_rates_and_bounds_out_of_range() -> None:
    grads = np.ones(2)
    with pytest.raises(ValueError, match=r"`lr` must be a finite number >= 0; got nan\."):
        SGD(0.1).update(grads, grads, SGD(0.1).init(grads, xp=np), float("nan"), xp=np)
    with pytest.raises(ValueError, match=r"`max_norm` must be a finite number > 0; got 0\."):
        clip_by_global_norm(grads, 0, xp=np)
    with pytest.raises(ValueError, match=r"`limit` must be a finite number > 0; got -1\."):
        clip_by_value(grads, -1, xp=np)
