"""The parity number: how far two models are from one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.interop.parity import compare

BACKEND = rx.get_backend("numpy", dtype="float64")
STEPS = rx.Sequential(rx.Linear(3, 2))
POOLED = rx.Sequential(rx.Embedding(5, 3), rx.LastStep())


class Other:
    """A function that is off by `gap` at one output of every sequence, and keeps what it was asked."""

    def __init__(self, answer: Any, gap: float = 0.0) -> None:
        self.answer, self.gap, self.asked = answer, gap, []

    def __call__(self, x: Any, *lengths: Any) -> Any:
        self.asked.append((x, *lengths))
        y = np.array(self.answer(x, *lengths))
        y[0, ..., 0] += self.gap
        return y


def linear(params: Any) -> Any:
    return lambda x, lengths=None: x @ params[0].weight.T + params[0].bias


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("gap", [0.0, 0.25, -3.0, np.nan])
def test_the_largest_difference_is_found(gap: float, lengths: bool) -> None:
    params = STEPS.init(BACKEND)
    other = Other(linear(params), gap)
    found = compare(STEPS, params, other, lengths=lengths)
    assert isinstance(found, float)
    assert found == pytest.approx(abs(gap), abs=1e-14, nan_ok=True)


def test_every_sequence_is_asked_for_once_and_seeds_tell_them() -> None:
    params = STEPS.init(BACKEND)
    plain, padded, again = (Other(linear(params)) for _ in range(3))
    compare(STEPS, params, plain, sequences=9, steps=4)
    compare(STEPS, params, padded, sequences=9, steps=4, lengths=True)
    compare(STEPS, params, again, sequences=9, steps=4, seed=1)
    steps = [x.shape[0] for (x,) in plain.asked]
    assert sorted(set(steps)) == steps
    assert len(steps) > 1
    assert max(steps) <= 4
    assert sum(x.shape[1] for (x,) in plain.asked) == 9
    ((x, lengths),) = padded.asked
    assert (x.dtype, x.shape, lengths.shape) == (np.float64, (lengths.max(), 9, 3), (9,))
    assert all((x[end:, b] == 0).all() and x[:end, b].all() for b, end in enumerate(lengths))
    assert not any(np.array_equal(a[0], b[0]) for a, b in zip(plain.asked, again.asked, strict=False))


def test_what_stands_past_the_end_is_not_compared() -> None:
    params = STEPS.init(BACKEND)

    def other(x: Any, lengths: Any) -> Any:
        return np.where(np.arange(len(x))[:, None, None] < lengths[:, None], linear(params)(x), 1e9)

    assert compare(STEPS, params, other, lengths=True) < 1e-14


def test_tokens_are_drawn_from_all() -> None:
    params = POOLED.init(BACKEND)
    other = Other(lambda x, lengths: params[0].weight[x[lengths - 1, np.arange(len(lengths))]])
    assert compare(POOLED, params, other, sequences=100, lengths=True) == 0.0
    ((x, _),) = other.asked
    assert set(x.reshape(-1).tolist()) == {0, 1, 2, 3, 4}


def test_params_may_live_elsewhere() -> None:
    pytest.importorskip("array_api_strict")
    strict = rx.get_backend("array_api_strict", device="device1", dtype="float32")
    params, own = STEPS.init(strict), STEPS.init(rx.get_backend("numpy"))
    other = Other(linear(own))
    assert compare(STEPS, params, other) < 1e-6
    assert other.asked[0][0].dtype == np.float32


def test_faults_are_told() -> None:
    params = STEPS.init(BACKEND)
    with pytest.raises(
        ValueError, match=r"`other` must return y of shape \(1, \d, 2\), for x of shape .*; got "
    ):
        compare(STEPS, params, lambda x: x.swapaxes(0, 1))
    with pytest.raises(ValueError, match=r"`params` must be those of Sequential"):
        compare(STEPS, STEPS.init(BACKEND)[0], linear(params))
    unsized = rx.Residual(rx.Dropout(0.5))
    with pytest.raises(ValueError, match=r"`model` must have parameters; got Residual\(Dropout\(0\.5\)\)"):
        compare(unsized, (), linear(params))
    with pytest.raises(TypeError, match="`model` must be a layer"):
        compare(None, params, linear(params))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`sequences` must be an integer of at least 1"):
        compare(STEPS, params, linear(params), sequences=0)
    with pytest.raises(ValueError, match="`steps` must be an integer of at least 1"):
        compare(STEPS, params, linear(params), steps=0)
    with pytest.raises(TypeError, match="`lengths` must be True or False"):
        compare(STEPS, params, linear(params), lengths=[3])  # type: ignore[arg-type]
