"""Batches: what is in them, and that it is the same whether the data lies on the device or does not fit."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from support import EXACT, assert_close, nothing_moves, open_backend
from training import LENGTHS, NUMPY, N, T, classifier, draw

import rnn_xp as rx
from rnn_xp.backend import Backend, to_numpy
from rnn_xp.model import LOSSES
from rnn_xp.train.feed.batches import Batch, Batches
from rnn_xp.train.feed.prepare import Prepared, prepare

CLASSES = LOSSES["cross_entropy"]
ORDER = np.array([2, 0, 6, 1, 5, 3, 4])


def data_of(per_step: bool, lengths: Any, weights: str | None, dtype: str = "float64") -> Prepared:
    random = np.random.default_rng(0)
    y = random.integers(0, 3, (N, T) if per_step else N)
    shapes = {"a sequence": (N,), "a step": (N, T) if per_step else (N,)}
    given = random.uniform(size=shapes[weights]) if weights else None
    options = {"loss": CLASSES, "lengths": lengths, "weights": given, "dtype": dtype}
    return prepare(classifier(per_step), draw(N, T, 2), y, **options)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS, [0, 2, 7, 0, 0, 0, 3]], ids=["whole", "short", "none"])
@pytest.mark.parametrize("weights", [None, "a sequence", "a step"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_is_its_sequences_and_what_they_count_for(
    per_step: bool, lengths: Any, weights: str | None, dtype: str, backend_name: str
) -> None:
    backend, data = open_backend(backend_name, dtype), data_of(per_step, lengths, weights, dtype)
    batches = Batches(data, backend, 3)
    assert len(batches) == 3
    for order in (None, ORDER):
        flow = batches.in_order(order)
        with nothing_moves(backend_name):
            cut = list(flow)
        for start, batch in zip((0, 3, 6), cut, strict=True):
            check(batch, data, np.arange(N)[start : start + 3] if order is None else order[start : start + 3])
            assert batch.x.dtype == batch.share.dtype == backend.dtype
            assert all(array.device == backend.device for array in batch[:3])


def check(batch: Batch, data: Prepared, chosen: Any) -> None:
    """Compare a batch with the sequences `chosen`."""
    ends = np.full(len(chosen), T) if data.lengths is None else data.lengths[chosen]
    steps = max(1, ends.max())
    mask = np.arange(steps)[:, None] < ends
    np.testing.assert_array_equal(to_numpy(batch.x), data.x[:steps, chosen])
    assert data.target is not None
    target = data.target[:steps, chosen] if data.per_step else data.target[chosen]
    np.testing.assert_array_equal(to_numpy(batch.target), target)
    assert (batch.valid is None) == mask.all()
    if batch.valid is not None:
        assert batch.valid.full == ends.min()
        np.testing.assert_array_equal(to_numpy(batch.valid.mask), mask)
    share = mask.astype(float) if data.per_step else np.ones(len(chosen))
    if data.weight is not None:
        share = data.weight[:steps, chosen] * share if data.per_step else data.weight[chosen]
    assert batch.total == pytest.approx(share.sum(), rel=1e-15)
    host = to_numpy(batch.share)
    assert host.tobytes() == (share / (batch.total or 1.0)).astype(host.dtype).tobytes()


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("weights", [None, "a step"])
def test_a_data_set_that_does_not_fit_gives_the_same_batches(
    per_step: bool, lengths: Any, weights: str | None, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(per_step, lengths, weights)
    whole = Batches(data, backend, 3)
    monkeypatch.setattr(Backend, "free_memory", 100)
    apart = Batches(data, backend, 3)
    assert (whole.resident, apart.resident) == (True, False)
    for order in (None, ORDER):
        for one, other in zip(apart.in_order(order), whole.in_order(order), strict=True):
            assert_close(one[:3], other[:3], EXACT)
            assert one.total == other.total
            assert (one.valid is None) == (other.valid is None)
            if one.valid is not None and other.valid is not None:
                assert_close(one.valid.mask, other.valid.mask, EXACT)
                assert one.valid.full == other.valid.full


SIZE = 8 * (N * T * 2 + N + N + N)  # bytes: float64 features, classes, weights, lengths


@pytest.mark.parametrize(("free", "fits"), [(None, True), (2 * SIZE, True), (2 * SIZE - 1, False)])
def test_half_of_the_free_memory_is_for_the_data(
    free: int | None, fits: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = data_of(False, LENGTHS, "a sequence")
    monkeypatch.setattr(Backend, "free_memory", free)
    with caplog.at_level(logging.INFO, logger="rnn_xp"):
        assert Batches(data, NUMPY, 3).resident == fits
    assert len(caplog.messages) == (not fits)


def test_training_is_the_same_where_the_data_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    X, y = draw(N, T, 2), np.arange(N) % 3
    given: dict[str, Any] = {"lengths": LENGTHS, "batch_size": 3, "epochs": 2, "verbose": False}
    results = []
    with caplog.at_level(logging.INFO, logger="rnn_xp"):
        for free in (None, 1000):
            monkeypatch.setattr(Backend, "free_memory", free)
            results.append(rx.fit(classifier(), X, y, backend=NUMPY, **given))
    assert_close(results[1].params, results[0].params, EXACT)
    assert [r["loss"] for r in results[1].history] == [r["loss"] for r in results[0].history]
    assert caplog.messages == [
        "the data set (0.000896 MB) stays on the host, and its batches are moved one at a time: "
        "it may take 50% of the 0.001 MB that are free on device cpu"
    ]
