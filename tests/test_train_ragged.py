"""Ragged data in training: masks, resets, buckets, accumulated batches, lanes of a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from training import LENGTHS, NUMPY, N, Recorder, T, assert_near, classifier, draw, train

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.train.feed.order import POOL, Order
from rnn_xp.train.feed.prepare import prepare

X, STEPS = draw(N, T, 2), np.random.default_rng(1).integers(0, 3, (N, T))
CLASSES = STEPS[:, 0]
MASK = np.random.default_rng(5).uniform(size=(N, T)) > 0.4
FORWARD = rx.Sequential(rx.GRU(2, 3), rx.Dropout(0.4), rx.Linear(3, 3))


# --- masks and resets


@pytest.mark.parametrize("layout", ["NTC", "TNC", "NCT"])
@pytest.mark.parametrize("per_step", [False, True])
def test_what_a_mask_leaves_out_is_as_if_not_there(layout: str, per_step: bool) -> None:
    model, axes = classifier(per_step), {"NTC": (0, 1, 2), "TNC": (1, 0, 2), "NCT": (0, 2, 1)}[layout]
    rows = [X[i][MASK[i]] for i in range(N)]
    weights = np.random.default_rng(6).uniform(size=(N, T)) if per_step else np.linspace(1, 2, N)
    y = [STEPS[i][MASK[i]] for i in range(N)] if per_step else CLASSES
    own = rx.data.pad([weights[i][MASK[i]] for i in range(N)])[0][..., 0] if per_step else weights
    expected = train(model, rows, y, weights=own, epochs=2, batch_size=3)

    holed = np.where(MASK[..., None], X, np.nan)
    far = np.where(MASK, STEPS, 99) if per_step else CLASSES
    flat = (lambda array: array.T) if layout == "TNC" else (lambda array: array)
    steps = {"mask": flat(MASK), "weights": flat(weights) if per_step else weights}
    y = flat(far) if per_step else far
    result = train(model, holed.transpose(axes), y, **steps, layout=layout, epochs=2, batch_size=3)
    assert_near(result.params, expected.params, 0.0)
    assert [record["loss"] for record in result.history] == [record["loss"] for record in expected.history]


def test_rows_of_several_sequences_are_as_rows_of_one() -> None:
    """Without shuffling and with one batch; the resets at invalid steps move to the next valid one."""
    model = rx.Sequential(rx.LSTM(2, 3), rx.Linear(3, 3))
    reset = np.zeros((N, T), dtype=bool)
    reset[0, [0, 3]] = reset[1, [1, 2, 6]] = reset[4, 4] = True
    rows, labels = [], []
    for i in range(N):
        number = np.cumsum(reset[i])
        for k in range(number.max() + 1):
            own = MASK[i] & (number == k)
            if own.any():
                rows.append(X[i][own])
                labels.append(STEPS[i][own])
    expected = train(model, rows, labels, params=model.init(NUMPY), epochs=3, batch_size=len(rows))
    options = {"mask": MASK, "reset": reset, "params": model.init(NUMPY), "epochs": 3, "batch_size": N}
    result = train(model, X, STEPS, **options)
    assert_near(result.params, expected.params)
    assert result.history[2]["loss"] == pytest.approx(expected.history[2]["loss"], abs=1e-12)


def test_where_a_row_begins_anew_after_a_mask() -> None:
    mask = np.array([[0, 1, 1, 0, 0, 1, 1], [1, 0, 1, 0, 0, 0, 0]], dtype=bool)
    reset = np.array([[0, 1, 0, 1, 1, 0, 1], [0, 1, 0, 1, 0, 0, 0]], dtype=bool)
    data = prepare(FORWARD, X[:2], mask=mask, reset=reset)
    assert data.lengths is not None
    assert data.reset is not None
    assert data.lengths.tolist() == [4, 2]
    assert data.reset.T.astype(int).tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
    np.testing.assert_array_equal(data.x[:, 0], X[0, [1, 2, 5, 6]].astype(np.float32))
    short = prepare(FORWARD, X[:2], lengths=[3, 5], reset=reset)
    assert short.reset is not None
    assert short.reset.T.astype(int).tolist() == [[0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0]]
    only_first = np.zeros((N, T), dtype=bool)
    only_first[:, 0] = True
    assert prepare(FORWARD, X, reset=only_first).reset is None


FLAT = np.ones((N, T), dtype=bool)
REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"mask": FLAT, "lengths": LENGTHS}, ValueError, "`mask` must be None where `lengths` are given"),
    (
        {"mask": FLAT.astype(int)},
        TypeError,
        r"`mask` must hold True and False; got dtype int64\. .*mask != 0",
    ),
    ({"mask": FLAT[:, 1:]}, ValueError, r"`mask` must have shape \(N, T\) with N = 7, T = 7; got \(7, 6\)"),
    ({"mask": ~FLAT}, ValueError, "`mask` must be True somewhere; got no valid step"),
    ({"mask": np.ma.MaskedArray(FLAT)}, TypeError, "`mask` must be a plain array; got a masked one"),
    ({"reset": FLAT.astype(int)}, TypeError, "`reset` must hold True and False; got dtype int64"),
    ({"reset": FLAT[1:]}, ValueError, r"`reset` must have shape \(N, T\) with N = 7, T = 7; got \(6, 7\)"),
    ({"lengths": [0] * N}, ValueError, "`X` must hold something that counts"),
    ({"accumulate": 0}, ValueError, "`accumulate` must be an integer of at least 1; got 0"),
    ({"bucket": 1}, TypeError, "`bucket` must be True or False; got 1"),
    ({"recompute": 0}, ValueError, "`recompute` must be an integer of at least 1; got 0"),
    ({"recompute": "yes"}, TypeError, "`recompute` must be an integer of at least 1; got 'yes'"),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(FORWARD, X, STEPS, **options)


def test_what_a_model_with_one_output_a_sequence_refuses() -> None:
    with pytest.raises(ValueError, match="`reset` must be None where the model gives one output a sequence"):
        train(classifier(), X, CLASSES, reset=FLAT)
    with pytest.raises(ValueError, match="`X` must hold something that counts"):
        train(classifier(), X, CLASSES, lengths=[0] * N)
    with pytest.raises(ValueError, match="`validation` must hold something that counts"):
        train(classifier(), X, CLASSES, validation=(X, CLASSES, [0] * N))
    ragged = [X[0], X[1, :3]]
    with pytest.raises(ValueError, match="`mask` must be None where `X` is a list of unequal sequences"):
        train(classifier(), ragged, [0, 1], mask=FLAT)


# --- accumulated batches


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("more", [{}, {"truncate": (3, 5)}, {"bucket": True}], ids=str)
def test_accumulated_batches_are_one_large_batch(per_step: bool, more: dict[str, Any]) -> None:
    """Dropout masks included; the last group is short of a whole batch."""
    pool = [] if per_step else [rx.LastStep()]
    model = rx.Sequential(rx.LSTM(2, 3, num_layers=2, dropout=0.3), rx.Dropout(0.4), *pool, rx.Linear(3, 3))
    y = STEPS if per_step else CLASSES
    weights = np.random.default_rng(7).uniform(size=(N, T) if per_step else N)
    options = {"lengths": LENGTHS, "weights": weights, "epochs": 2, "seed": 3, "clip_norm": 0.5, **more}
    large = train(model, X, y, batch_size=4, **options)
    for size, accumulate in ((2, 2), (1, 4)):
        small = train(model, X, y, batch_size=size, accumulate=accumulate, **options)
        assert_near(small.params, large.params)
        for one, other in zip(small.history, large.history, strict=True):
            for name in ("loss", "gradient_norm", "lr"):
                assert one[name] == pytest.approx(other[name], abs=1e-12)


# --- buckets


def lengths_of(count: int) -> np.ndarray:
    return np.random.default_rng(8).integers(1, 100, count)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("count", [5, 8, 1003, 64 * 8])
def test_buckets_hold_each_sequence_once_and_the_short_batch_is_last(shuffle: bool, count: int) -> None:
    size, lengths = 8, lengths_of(count)
    order = Order(count, size, 3, shuffle, lengths)
    first = order.of(1)
    assert first is not None
    np.testing.assert_array_equal(np.sort(first), np.arange(count))
    np.testing.assert_array_equal(first, order.of(1))
    spread = [np.ptp(lengths[first[i : i + size]]) for i in range(0, count - size + 1, size)]
    if count >= 64 * 8:
        assert np.mean(spread) < 10 < 50 < np.ptp(lengths)
        assert np.array_equal(first, Order(count, size, 4, shuffle, lengths).of(1)) != shuffle
        assert np.array_equal(first, order.of(2)) != shuffle


def test_pools_mix_and_batches_are_in_no_order_of_length() -> None:
    count, size = 3 * POOL * 4, 4
    lengths = lengths_of(count)
    order = Order(count, size, 0, True, lengths).of(1)
    means = lengths[order].reshape(-1, size).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2
    still = Order(count, size, 0, False, lengths).of(1)
    assert set(still[: POOL * size].tolist()) == set(range(POOL * size))


def test_a_small_data_set_has_other_batches_in_every_epoch() -> None:
    size, order = 4, Order(40, 4, 0, True, lengths_of(40))
    batches = [
        {frozenset(order.of(epoch)[i : i + size].tolist()) for i in range(0, 40, size)} for epoch in (1, 2)
    ]
    assert len(batches[0] & batches[1]) < 5


def test_sequences_of_one_length_are_in_the_order_without_buckets() -> None:
    runs = [
        train(classifier(), X, CLASSES, bucket=bucket, epochs=2, batch_size=3) for bucket in (True, False)
    ]
    assert_near(runs[0].params, runs[1].params, 0.0)
    assert "padding" not in runs[0].history[0]


def test_the_share_of_padding_is_told() -> None:
    """Steps computed are those of each batch's longest sequence, here for 3, 3 and 1 sequences."""
    options: dict[str, Any] = {"lengths": LENGTHS, "shuffle": False, "epochs": 1, "batch_size": 3}
    plain = train(classifier(), X, CLASSES, **options).history[0]["padding"]
    assert plain == pytest.approx(1 - sum(LENGTHS) / (3 * 7 + 3 * 6 + 3))
    bucket = train(classifier(), X, CLASSES, bucket=True, **options).history[0]["padding"]
    assert bucket == pytest.approx(1 - sum(LENGTHS) / (3 * 3 + 3 * 6 + 7))


def test_the_progress_line_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    train(classifier(), X, CLASSES, lengths=LENGTHS, shuffle=False, batch_size=3, epochs=1, verbose=True)
    assert "  padding 33%  " in capsys.readouterr().out


# --- lanes of a corpus

TOKENS = np.random.default_rng(9).integers(0, 5, 47)
READER = rx.Sequential(rx.Embedding(5, 2), rx.GRU(2, 3), rx.Dropout(0.3), rx.Linear(3, 5))


@pytest.mark.parametrize("batch_size", [2, 5])
@pytest.mark.parametrize("truncate", [(3, 3), (4, 7)])
@pytest.mark.parametrize("reset_at", [None, 0])
def test_lanes_are_sequences_that_are_not_read_whole(
    batch_size: int, truncate: tuple[int, int], reset_at: int | None
) -> None:
    lanes = rx.data.Lanes(TOKENS, 4, reset_at=reset_at)
    options: dict[str, Any] = {"truncate": truncate, "batch_size": batch_size, "epochs": 2}
    own = TOKENS[: 4 * lanes.steps].reshape(4, -1)
    after = TOKENS[1 : 4 * lanes.steps + 1].reshape(4, -1)
    more: dict[str, Any] = {}
    model = READER
    if reset_at is not None:
        before = np.concatenate([[reset_at], TOKENS[: 4 * lanes.steps - 1]])
        more = {"reset": (before == reset_at).reshape(4, -1)}
        model = rx.Sequential(rx.Embedding(5, 2), rx.GRU(2, 3), rx.Linear(3, 5))
    expected = train(model, own, after, **more, **options)
    result = train(model, lanes, None, **options)
    assert_near(result.params, expected.params)
    assert result.history[1]["loss"] == pytest.approx(expected.history[1]["loss"], abs=1e-12)
    assert_near(
        train(model, lanes, None, **options, accumulate=2).params,
        train(model, own, after, **more, **options, accumulate=2).params,
    )


def test_lanes_validate_on_a_set_of_its_own() -> None:
    result = train(
        READER,
        rx.data.Lanes(TOKENS, 4),
        None,
        truncate=5,
        epochs=1,
        validation=(TOKENS[None, :9], TOKENS[None, 1:10]),
    )
    assert 0 < result.history[0]["val_loss"] < 5


LANES_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"truncate": None}, "`truncate` must be given where `X` is Lanes: .*; got None"),
    ({"bucket": True}, "`bucket` must be False where `X` is Lanes, which have one length; got True"),
    ({"validation": 0.1}, "`validation` must be a set of its own where `X` is Lanes; got 0.1"),
    ({"loss": "squared_error"}, "`model` must take tokens .* and `loss` be 'cross_entropy', for Lanes"),
    ({"y": TOKENS}, "`y` must be None where `X` is Lanes, which tell it; got ndarray"),
    ({"lengths": [1]}, "`lengths` must be None where `X` is Lanes, which tell it; got list"),
]


@pytest.mark.parametrize(("options", "message"), LANES_REFUSED)
def test_what_lanes_do_not_go_with(options: dict[str, Any], message: str) -> None:
    given = {"y": None, "truncate": 3, **options}
    with pytest.raises(ValueError, match=message):
        train(READER, rx.data.Lanes(TOKENS, 4), given.pop("y"), **given)


def test_tokens_that_the_model_does_not_know_are_told() -> None:
    with pytest.raises(ValueError, match=r"`X` must hold tokens in 0\.\.V-1 with V = 5; got \d\.\.7"):
        train(READER, rx.data.Lanes(np.where(TOKENS == 4, 7, TOKENS), 4), None, truncate=5)
    narrow = rx.Sequential(rx.Embedding(5, 2), rx.GRU(2, 3), rx.Linear(3, 4))
    with pytest.raises(ValueError, match=r"`X` must hold targets in 0\.\.V-1 with V = 4; got \d\.\.4"):
        train(narrow, rx.data.Lanes(TOKENS, 4), None, truncate=11)


def test_gradients_of_an_accumulated_step_are_those_of_the_whole_batch() -> None:
    """The optimiser sees one gradient a group: here of -2 i for sample i, weighted."""
    scale = rx.Sequential(rx.LastStep(), rx.Linear(1, 1, bias=False))
    start = tree.map(np.zeros_like, scale.init(NUMPY))
    recorder, weights = Recorder(), np.array([1.0, 3.0, 2.0, 2.0, 5.0])
    options = {"loss": "squared_error", "optimizer": recorder, "params": start, "weights": weights}
    y = np.arange(5.0)
    train(scale, np.ones((5, 1, 1)), y, batch_size=1, accumulate=2, shuffle=False, epochs=1, **options)
    expected = [-2 * 3 / 4, -2 * (2 * 2 + 2 * 3) / 4, -2 * 4]
    np.testing.assert_allclose(np.ravel(recorder.seen), expected, rtol=1e-15)
