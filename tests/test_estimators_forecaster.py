"""Forecasts: windows as a loop writes them, nothing of the future, baselines, and what is refused."""

import pickle

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.data import sliding_windows, split_series
from rnn_xp.estimators import RNNForecaster

SMALL = {"window": 4, "horizon": 2, "hidden_size": 5, "epochs": 2, "random_state": 3}


def walk(steps=40, channels=2, seed=0):
    """A random walk (T, C)."""
    return np.cumsum(np.random.default_rng(seed).normal(size=(steps, channels)), axis=0)


# Windows


@pytest.mark.parametrize(
    ("length", "horizon", "stride"), [(3, 1, 1), (3, 2, 1), (4, 3, 2), (1, 1, 5), (8, 2, 1)]
)
def test_windows_are_those_of_a_loop(length, horizon, stride):
    series = walk(10)
    X, y = sliding_windows(series, length, horizon, stride)
    starts = [start for start in range(10) if start % stride == 0 and start + length + horizon <= 10]
    assert X.tolist() == [[series[start + t].tolist() for t in range(length)] for start in starts]
    assert y.tolist() == [[series[start + length + t].tolist() for t in range(horizon)] for start in starts]
    assert np.shares_memory(X, series)
    assert np.shares_memory(y, series)
    assert not X.flags.writeable
    single = sliding_windows(series[:, 0], length, horizon, stride)
    assert [part.tolist() for part in single] == [X[:, :, :1].tolist(), y[:, :, :1].tolist()]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.zeros(5), 3, 3), ValueError, r"at least length \+ horizon = 6 steps; got 5"),
        (
            (np.zeros((5, 1, 1)), 3, 1),
            ValueError,
            r"`series` must have shape \(T, C\), or \(T,\).*; got \(5, 1, 1\)",
        ),
        ((["a", "b"], 1, 1), TypeError, "`series` must hold real numbers"),
        ((np.zeros(5), 0, 1), ValueError, "`length` must be an integer of at least 1; got 0"),
        ((np.zeros(5), 1, 1.5), TypeError, "`horizon` must be an integer"),
        ((np.zeros(5), 1, 1, 0), ValueError, "`stride` must be an integer of at least 1"),
    ],
)
def test_windows_that_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        sliding_windows(*arguments)


@pytest.mark.parametrize(("held", "cut"), [(3, 7), (0.3, 7), (0.01, 9), (np.float32(0.5), 5)])
def test_a_series_is_split_in_time(held, cut):
    series = np.arange(10.0)
    train, test = split_series(series, held, 2)
    assert train.tolist() == list(range(cut))
    assert test.tolist() == list(range(cut - 2, 10))
    assert sliding_windows(test, 2, 1)[1][0] == cut  # the first that is forecast


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            (np.zeros(5), 3, 3),
            ValueError,
            "`held` must leave at least length = 3 of 5 steps before it; got 3",
        ),
        ((np.zeros(5), 1.5, 1), ValueError, "`held` must be a finite number > 0 and < 1; got 1.5"),
        ((np.zeros(5), "3", 1), TypeError, "`held` must be an integer"),
        ((np.zeros(5), 0, 1), ValueError, "`held` must be an integer of at least 1; got 0"),
        ((3.0, 1, 1), ValueError, r"`series` must have shape \(T, ...\); got \(\)"),
    ],
)
def test_splits_that_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        split_series(*arguments)


# Fitting


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_a_forecaster_is_fit_by_hand(relative, scale):
    series = walk(30)
    forecaster = RNNForecaster(**SMALL, relative=relative, scale=scale).fit(series)
    X, y = [], []
    for start in range(30 - 6 + 1):
        last = series[start + 3] if relative else 0.0
        X.append(series[start : start + 4] - last)
        y.append(series[start + 4 : start + 6] - last)
    X, y = np.array(X), np.array(y)
    mean = X.mean(axis=(0, 1)) if scale and not relative else 0.0
    std = X.std(axis=(0, 1)) if scale else 1.0
    model = rx.Sequential(rx.GRU(2, 5), rx.LastStep(), rx.Linear(5, 4))
    result = rx.fit(
        model,
        (X - mean) / std,
        ((y - mean) / std).reshape(25, 4),
        loss="squared_error",
        optimizer=rx.Adam(0.01),
        schedule=rx.schedules.cosine(4),
        clip_norm=1.0,
        batch_size=16,
        epochs=2,
        seed=3,
        verbose=False,
    )
    last = series[-1] if relative else 0.0
    own = rx.predict(model, result.params, ((series[-4:] - last) - mean)[np.newaxis] / std).reshape(2, 2)
    assert forecaster.model_ == model
    np.testing.assert_allclose(forecaster.predict(), own * std + mean + last, rtol=1e-5)
    assert forecaster.history_[-1]["loss"] == pytest.approx(result.history[-1]["loss"], rel=1e-5)


def test_what_comes_after_the_training_part_changes_no_bit():
    series = walk(60)
    options = {**SMALL, "epochs": 1, "validation": 0.25}
    before = RNNForecaster(**options).fit(series)
    changed = series.copy()
    changed[45:] = 1e3 * changed[45:] + 7.0
    after = RNNForecaster(**options).fit(changed)
    assert np.stack(before.scaling_).tobytes() == np.stack(after.scaling_).tobytes()
    assert before.predict(series[:45]).tobytes() == after.predict(series[:45]).tobytes()
    assert before.history_[0]["loss"] == after.history_[0]["loss"]
    assert before.history_[0]["val_loss"] != after.history_[0]["val_loss"]
    alone = RNNForecaster(**{**options, "validation": None}).fit(series[:45])
    assert alone.predict().tobytes() == before.predict(series[:45]).tobytes()
    changed = series.copy()
    changed[44] += 1.0  # the last step that is trained on
    assert RNNForecaster(**options).fit(changed).history_[0]["loss"] != before.history_[0]["loss"]


def test_windows_cross_no_border_between_series():
    first, second = walk(20, seed=1), walk(25, seed=2) + 100.0
    both = RNNForecaster(**SMALL).fit([first, second])
    changes = [np.abs(np.diff(each, axis=0)).max() for each in (first, second)]
    assert both.scaling_.std.max() < 4 * max(changes)  # a window across would jump by 100
    forecasts = both.predict()
    assert [f.shape for f in forecasts] == [(2, 2), (2, 2)]
    assert forecasts[1].tobytes() == both.predict([first, second])[1].tobytes()
    np.testing.assert_allclose(forecasts[1], both.predict(second), rtol=1e-6)


def test_a_relative_forecast_moves_with_the_level():
    series = walk(40, 1)[:, 0]
    forecaster = RNNForecaster(**SMALL, dtype="float64").fit(series)
    np.testing.assert_allclose(
        forecaster.predict(series + 50.0), forecaster.predict(series) + 50.0, rtol=1e-12
    )
    zero = rx.initializers.Initializer(*[rx.initializers.zeros] * 6)
    options = {**SMALL, "epochs": 1, "optimizer": rx.SGD(1e-30), "init": zero}
    still = RNNForecaster(**options).fit(series)
    assert still.predict().tolist() == [series[-1]] * 2  # what has learnt nothing gives the last value


def test_shapes():
    series = walk(30, 1)
    flat = RNNForecaster(**SMALL).fit(series[:, 0])
    column = RNNForecaster(**SMALL).fit(series)
    assert (flat.predict().shape, column.predict().shape, flat.n_channels_) == ((2,), (2, 1), 1)
    assert flat.predict().tobytes() == column.predict().tobytes() == flat.predict(series[-4:]).tobytes()
    assert flat.predict(series[:, 0].tolist()).tobytes() == flat.predict().tobytes()
    ones = RNNForecaster(**SMALL).fit([series[:, 0], series[:20, 0]])
    assert [f.shape for f in ones.predict()] == [(2,), (2,)]
    nested = RNNForecaster(**SMALL).fit(walk(30).tolist())  # one series (T, C)
    assert nested.predict().tobytes() == RNNForecaster(**SMALL).fit(walk(30)).predict().tobytes()
    again = pickle.loads(pickle.dumps(flat))
    assert again.predict().tobytes() == flat.predict().tobytes()


def test_it_learns_a_wave_that_climbs():
    t = np.arange(260.0)
    series = np.sin(t / 4) + t / 50
    train, test = split_series(series, 60, 24)
    forecaster = RNNForecaster(window=24, horizon=5, hidden_size=16, epochs=20, random_state=0).fit(train)
    assert forecaster.score(test) > 0.95
    assert np.abs(forecaster.predict() - series[200:205]).max() < 0.3


# Errors of forecasts


def test_a_backtest_is_a_loop():
    series, season = walk(30), 3
    forecaster = RNNForecaster(**{**SMALL, "horizon": 5}).fit(series)
    back = forecaster.backtest(series, season=season, stride=2)
    origins = list(range(4, 30 - 5 + 1, 2))
    assert back.origins.tolist() == origins
    for i, origin in enumerate(origins):
        known, future = series[:origin], series[origin : origin + 5]
        assert back.truth[i].tolist() == future.tolist()
        np.testing.assert_allclose(
            back.forecasts["model"][i], forecaster.predict(known), rtol=1e-5, atol=1e-6
        )
        assert back.forecasts["last"][i].tolist() == [known[-1].tolist()] * 5
        seasonal = [known[origin - season + step % season].tolist() for step in range(5)]
        assert back.forecasts["seasonal"][i].tolist() == seasonal
    for name, forecasts in back.forecasts.items():
        for step in range(5):
            errors = (forecasts - back.truth)[:, step].ravel()
            assert back.mean_absolute_error[name][step] == pytest.approx(np.abs(errors).mean())
            assert back.root_mean_squared_error[name][step] == pytest.approx(np.sqrt((errors**2).mean()))
    assert set(forecaster.backtest(series).forecasts) == {"model", "last"}


def test_the_score_is_the_skill_over_the_last_value():
    series = walk(30)
    forecaster = RNNForecaster(**SMALL).fit(series)
    back = forecaster.backtest(series)
    squares = {name: ((each - back.truth) ** 2).sum() for name, each in back.forecasts.items()}
    assert forecaster.score(series) == pytest.approx(1 - squares["model"] / squares["last"])
    other = walk(20, seed=5)
    by_hand = forecaster.backtest(other)
    for name, each in by_hand.forecasts.items():
        squares[name] += ((each - by_hand.truth) ** 2).sum()
    assert forecaster.score([series, other]) == pytest.approx(1 - squares["model"] / squares["last"])


# What is refused


@pytest.mark.parametrize(
    ("series", "options", "error", "words"),
    [
        (np.zeros((9, 2, 2)), {}, ValueError, r"`series` must have shape \(T, C\), or \(T,\)"),
        (
            np.zeros(5),
            {},
            ValueError,
            r"`series` must have at least 6 steps of a channel, here; got shape \(5, 1\)",
        ),
        (np.zeros((9, 0)), {}, ValueError, "steps of a channel, here; got shape"),
        (
            [np.zeros(9), np.zeros((9, 2))],
            {},
            ValueError,
            r"`series` must all have one C; got shapes \(9, 1\), \(9, 2\)",
        ),
        (
            np.where(np.arange(9) == 4, np.nan, 1.0),
            {},
            ValueError,
            "finite; got nan at step 4, channel 0. Fill what",
        ),
        (["a"] * 9, {}, TypeError, "`series` must hold real numbers"),
        (np.zeros(9), {"window": 0}, ValueError, "`window` must be an integer of at least 1; got 0"),
        (np.zeros(9), {"horizon": None}, TypeError, "`horizon` must be an integer"),
        (np.zeros(9), {"relative": "yes"}, TypeError, "`relative` must be True or False; got 'yes'"),
        (np.zeros(9), {"validation": 1.0}, ValueError, "`validation` must be a finite number > 0 and < 1"),
        (np.zeros(9), {"validation": 0.5}, ValueError, "at least window . horizon = 6 steps to train"),
        (np.zeros(9), {"validation": 0.99}, ValueError, r"got 0\.99 of 9 steps, which holds back 9"),
        (
            np.zeros(40),
            {"validation": 0.01},
            ValueError,
            "hold back at least horizon = 2; got 0.01 of 40 steps",
        ),
        (
            np.arange(9) * 1e307,
            {},
            ValueError,
            r"`series` must hold .* 1e\+150 .* at \(t, c\) = \(1, 0\)",
        ),
        (np.zeros(9), {"scale": "yes"}, TypeError, "`scale` must be True or False"),
    ],
)
def test_what_is_refused(series, options, error, words):
    with pytest.raises(error, match=words):
        RNNForecaster(**{**SMALL, **options}).fit(series)


def test_other_series_than_that_of_fit():
    series = walk(20)
    forecaster = RNNForecaster(**SMALL).fit(series)
    with pytest.raises(ValueError, match=r"C = 2 channels, as in `fit`; got shape \(20, 1\)"):
        forecaster.predict(series[:, 0])
    with pytest.raises(ValueError, match="at least 4 steps of a channel, here; got shape"):
        forecaster.predict(series[:3])
    with pytest.raises(ValueError, match="at least 6 steps of a channel, here; got shape"):
        forecaster.score(series[:5])
    with pytest.raises(ValueError, match="`season` must be an integer of at least 1 and at most 4; got 5"):
        forecaster.backtest(series, season=5)
    wild = 1.7e308 * (-1.0) ** np.arange(40).reshape(20, 2)
    for use in (forecaster.predict, forecaster.score, forecaster.backtest):
        with pytest.raises(ValueError, match=r"`series` must hold numbers of at most 1e\+150 in size"):
            use(wild)
    with pytest.raises(ValueError, match="`series` must change: the last value forecasts a constant"):
        forecaster.score(np.ones((20, 2)))
