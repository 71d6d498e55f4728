"""The estimators on recorded data, in scikit-learn's pipelines and searches, with what aeon gives."""

from pathlib import Path

import aeon
import numpy as np
import pytest
from aeon.datasets import load_from_ts_file
from aeon.transformations.collection import Normalizer
from aeon.transformations.collection.unequal_length import Padder
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

import rnn_xp as rx
from rnn_xp.estimators import RNNClassifier, RNNForecaster

DATA = Path(aeon.__file__).parent / "datasets" / "data"
QUICK = {"layout": "NCT", "hidden_size": 32, "learning_rate": 0.02, "epochs": 30, "random_state": 0}


def load(name):
    """Return X and y as aeon gives them: (N, C, T), or a list of (C, T_i), and strings."""
    parts = [load_from_ts_file(str(DATA / name / f"{name}_{part}.ts")) for part in ("TRAIN", "TEST")]
    return [each for part in parts for each in part]


def differences(X):
    """Add each channel's change since the step before, to series (C, T_i)."""
    return [np.concatenate([x, np.diff(x, axis=1, prepend=x[:, :1])]) for x in X]


def test_a_search_over_a_pipeline_on_vowels_of_unequal_length():
    X, y, X_test, y_test = load("JapaneseVowels")
    assert isinstance(X, list)
    assert X[0].shape[0] == 12
    pipeline = Pipeline([("change", FunctionTransformer()), ("network", RNNClassifier(**QUICK))])
    grid = {"change__func": [None, differences], "network__epochs": [1, 20]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    assert search.best_params_["network__epochs"] == 20
    assert search.best_score_ > 0.9
    assert search.score(X_test, y_test) > 0.93
    assert search.classes_.tolist() == list("123456789")


def test_a_search_over_a_pipeline_of_aeons_on_motions():
    X, y, X_test, y_test = load("BasicMotions")
    assert X.shape == (40, 6, 100)
    pipeline = Pipeline([("normal", Normalizer()), ("network", RNNClassifier(**{**QUICK, "epochs": 60}))])
    grid = {"normal": ["passthrough", Normalizer()], "network__pooling": ["mean", "max"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_["normal"] == "passthrough"  # how strong a motion is tells it
    assert search.best_score_ > 0.85
    assert search.score(X_test, y_test) > 0.9
    assert set(search.predict(X_test)) == {"badminton", "running", "standing", "walking"}


def test_vowels_come_from_either_library_alike():
    """The package's own reader gives padded arrays and indices, aeon's lists and strings: one model."""
    X, y, X_test, _ = load("JapaneseVowels")
    train, test = rx.data.japanese_vowels()
    own = RNNClassifier(**{**QUICK, "layout": "NTC", "epochs": 2})
    own.fit([x[:n] for x, n in zip(train.X, train.lengths, strict=True)], train.y)
    theirs = RNNClassifier(**{**QUICK, "epochs": 2}).fit(X, y)
    ours = own.predict_proba([x[:n] for x, n in zip(test.X, test.lengths, strict=True)])
    assert ours.tobytes() == theirs.predict_proba(X_test).tobytes()


def test_a_padder_of_aeons_makes_an_array_of_a_list():
    X, y, X_test, y_test = load("JapaneseVowels")
    pipeline = make_pipeline(
        Padder(padded_length=30), RNNClassifier(**{**QUICK, "epochs": 5, "pooling": "mean"})
    ).fit(X, y)
    assert pipeline.score(X_test, y_test) > 0.7


def test_by_default_it_learns():
    X, y, X_test, y_test = load("ItalyPowerDemand")
    estimator = RNNClassifier(layout="NCT", random_state=0).fit(X, y)
    assert estimator.score(X_test, y_test) > 0.93
    table = RNNClassifier(random_state=0).fit(X[:, 0], y)  # series of one channel
    assert table.predict(X_test[:, 0]).tolist() == estimator.predict(X_test).tolist()
    assert cross_val_score(RNNClassifier(layout="NCT", random_state=0), X, y, cv=2).mean() > 0.85


def test_the_wrong_layout_is_told():
    X, y, X_test, _ = load("JapaneseVowels")
    with pytest.raises(ValueError, match="Their shapes would fit layout='NCT'"):
        RNNClassifier(epochs=1).fit(X, y)
    X, y, X_test, _ = load("BasicMotions")
    estimator = RNNClassifier(epochs=1, layout="NCT").fit(X, y)
    with pytest.raises(ValueError, match="Its shape would fit layout='NTC'"):
        estimator.predict(X_test.transpose(0, 2, 1))


def test_a_forecast_beats_the_seasonal_one():
    from aeon.datasets import load_airline

    series = np.log(np.asarray(load_airline(), dtype=float).ravel())
    assert series.shape == (144,)
    train, test = rx.data.split_series(series, 36, 24)
    forecaster = RNNForecaster(window=24, horizon=12, epochs=100, random_state=0).fit(train)
    error = forecaster.backtest(test, season=12).mean_absolute_error
    assert error["model"].mean() < min(error["seasonal"].mean(), error["last"].mean())
