"""The estimators in scikit-learn: its own checks, clone, pipelines and searches, pickles."""

import pickle
import subprocess
import sys
import warnings
from dataclasses import MISSING, fields

import numpy as np
import pytest
import sklearn.exceptions
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted
from support import UGRNN

import rnn_xp as rx
from rnn_xp.estimators import RNNClassifier, RNNForecaster, RNNRegressor

QUICK = {"hidden_size": 16, "epochs": 20, "batch_size": 64, "learning_rate": 0.05, "random_state": 0}
CHECKED = {**QUICK, "pooling": "last", "schedule": None, "dtype": "float64"}
ALL = [RNNClassifier, RNNRegressor, RNNForecaster]

EXPECTED: dict[str, str] = {}  # scikit-learn's checks that may fail, with the reason: none

with warnings.catch_warnings():  # none of them inherits from scikit-learn's base class
    warnings.filterwarnings("ignore", message="Estimator .* does not inherit from", category=UserWarning)
    CHECKS = [
        pytest.param(
            *each, id=f"{type(each[0]).__name__}-{getattr(each[1], 'func', each[1]).__name__}-{number}"
        )
        for estimator in (RNNClassifier, RNNRegressor)
        for number, each in enumerate(
            estimator_checks.estimator_checks_generator(estimator(**CHECKED), expected_failed_checks=EXPECTED)
        )
    ]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_the_checks_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # some checks are there to see a warning
        check(estimator)


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
def test_the_names_of_columns(kind):
    pytest.importorskip("pandas")
    estimator_checks.check_dataframe_column_names_consistency(kind.__name__, kind(**QUICK))


class Frame:
    """A data frame, as far as its columns tell."""

    def __init__(self, values, columns):
        self.values, self.columns = values, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)


def test_the_names_of_columns_are_compared():
    X, y = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 2
    named = RNNClassifier(**QUICK).fit(Frame(X, ["a", "b"]), y)
    assert (named.feature_names_in_.tolist(), named.n_features_in_) == (["a", "b"], 2)
    assert (
        named.predict(Frame(X, ["a", "b"]))
        == named.fit(Frame(X, ["a", "b"]), y).predict(Frame(X, ["a", "b"]))
    ).all()
    with pytest.warns(
        UserWarning, match="X does not have valid feature names, but RNNClassifier was fitted with"
    ):
        named.predict(X)
    with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
        named.predict(Frame(X, ["b", "a"]))
    with pytest.raises(
        ValueError, match="unseen at fit time:\n- c\nFeature names seen at fit time, yet now missing:\n- b"
    ):
        named.predict(Frame(X, ["a", "c"]))
    named.fit(X, y)
    assert not hasattr(named, "feature_names_in_")
    with pytest.warns(
        UserWarning, match="X has feature names, but RNNClassifier was fitted without feature names"
    ):
        named.predict(Frame(X, ["a", "b"]))
    assert not hasattr(RNNClassifier(**QUICK).fit(Frame(X, [0, 1]), y), "feature_names_in_")


def series(count=24, seed=0):
    """Series (T_i, 2) whose class is the channel that rises."""
    rng = np.random.default_rng(seed)
    y = np.array(["first", "second", "none"])[np.arange(count) % 3]
    X = []
    for label in y:
        x = rng.normal(size=(rng.integers(5, 12), 2)) / 2
        x += np.linspace(0, 3, len(x))[:, np.newaxis] * [label == "first", label == "second"]
        X.append(x)
    return X, y


def differences(X):
    return [np.diff(x, axis=0, prepend=x[:1]) for x in X]


def test_a_search_over_a_pipeline_with_series_of_unequal_length():
    X, y = series(30)
    pipeline = Pipeline(
        [("change", FunctionTransformer()), ("network", RNNClassifier(**QUICK, pooling="max"))]
    )
    grid = {"change__func": [None, differences], "network__epochs": [1, 20], "network__cell": ["rnn", "gru"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_["network__epochs"] == 20
    assert search.best_score_ > 0.8
    assert len(search.cv_results_["params"]) == 8
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    new, truth = series(30, seed=1)
    assert search.score(new, truth) > 0.8
    assert search.predict_proba(new).shape == (30, 3)
    assert search.classes_.tolist() == ["first", "none", "second"]


def test_cross_validation_takes_arrays_lists_and_sample_weights():
    X, y = series(18)
    padded, lengths = rx.data.pad(X)
    assert len(cross_val_score(RNNClassifier(**QUICK), X, y, cv=3)) == 3
    channels_first = padded.transpose(0, 2, 1)
    estimator = RNNClassifier(**QUICK, layout="NCT")
    by_array = cross_val_predict(estimator, channels_first, y, cv=3, params={"sample_weight": np.ones(18)})
    by_list = cross_val_predict(estimator, list(channels_first), y, cv=3)
    assert by_array.tolist() == by_list.tolist()
    target = lengths.astype(float)
    scores = cross_val_score(RNNRegressor(**QUICK, pooling="mean"), X, np.stack([target, -target], 1), cv=3)
    assert scores.shape == (3,)


def test_a_search_over_the_folds_of_a_series():
    values = np.sin(np.arange(120) / 4) + np.arange(120) / 20
    forecaster = RNNForecaster(window=12, horizon=2, **QUICK)
    search = GridSearchCV(forecaster, {"relative": [False, True]}, cv=TimeSeriesSplit(3)).fit(values)
    assert search.best_params_ == {"relative": True}  # the series rises beyond what was seen
    assert search.best_score_ > 0.5
    assert search.best_estimator_.predict().shape == (2,)


def test_kinds():
    assert is_classifier(RNNClassifier())
    assert is_regressor(RNNRegressor())
    assert not is_classifier(RNNForecaster())
    assert RNNForecaster().__sklearn_tags__().target_tags.required is False
    assert RNNClassifier().__sklearn_tags__().input_tags.three_d_array
    assert "RNNClassifier(cell=&#x27;rnn&#x27;)" in make_pipeline(RNNClassifier(cell="rnn"))._repr_html_()


@pytest.mark.parametrize("kind", ALL)
def test_arguments_come_out_as_they_went_in(kind):
    values = {field.name: object() for field in fields(kind)}
    estimator = kind(**values)
    assert estimator.get_params() == values == vars(estimator)
    assert estimator.get_params(deep=False) == values
    assert all(field.default is not MISSING for field in fields(kind))


@pytest.mark.parametrize("kind", ALL)
def test_clone_and_set_params(kind):
    own = kind(cell=UGRNN, optimizer=rx.SGD(0.1), hidden_size=3, callbacks=[print])
    again = clone(own)
    assert again is not own
    assert (again.cell, again.optimizer, again.hidden_size) == (UGRNN, rx.SGD(0.1), 3)
    assert again.set_params(hidden_size=5, cell="rnn") is again
    assert (again.hidden_size, again.cell, own.hidden_size) == (5, "rnn", 3)
    with pytest.raises(ValueError, match=f"takes the arguments of {kind.__name__}: cell, .*; got 'hidden'"):
        again.set_params(hidden_size=7, hidden=4)
    assert again.hidden_size == 5


def test_repr():
    assert repr(RNNClassifier()) == "RNNClassifier()"
    told = repr(RNNRegressor(cell="rnn", loss="huber", optimizer=rx.SGD(0.5), random_state=1))
    assert told.startswith("RNNRegressor(cell='rnn', optimizer=SGD(lr=0.5")
    assert told.endswith("random_state=1, loss='huber')")
    assert repr(RNNForecaster(window=3)) == "RNNForecaster(window=3)"


def fitted(kind):
    X, y = series(12)
    if kind is RNNForecaster:
        return kind(window=4, **QUICK).fit(X[0]), X[1]
    return kind(**QUICK).fit(X, y if kind is RNNClassifier else np.arange(12.0)), X


@pytest.mark.parametrize("kind", ALL)
def test_pickles(kind):
    estimator, X = fitted(kind)
    again = pickle.loads(pickle.dumps(estimator))
    assert again.predict(X).tobytes() == estimator.predict(X).tobytes()
    assert repr(again) == repr(estimator)


@pytest.mark.parametrize("kind", ALL)
def test_what_is_not_fitted(kind):
    estimator, X = kind(), np.zeros((3, 4, 1))
    calls = [
        lambda: estimator.predict(X),
        lambda: estimator.score(X, [0, 1, 2]),
        lambda: estimator.save("file"),
    ]
    for call in calls:
        with pytest.raises(
            sklearn.exceptions.NotFittedError, match=f"This {kind.__name__} is not fitted yet: call `fit`"
        ):
            call()
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(estimator)
    check_is_fitted(fitted(kind)[0])


def test_without_scikit_learn(tmp_path):
    """Nothing of it is loaded by fitting, answering and saving; the error is then our own."""
    program = """
import sys, numpy as np
from rnn_xp.estimators import NotFittedError, RNNClassifier, RNNForecaster, RNNRegressor
X, y = np.random.default_rng(0).normal(size=(6, 4, 1)), np.arange(6) % 2
for kind in (RNNClassifier, RNNRegressor):
    one = kind(epochs=1, hidden_size=2).fit(X, y, np.ones(6))
    one.score(X, y), one.save(sys.argv[1]), kind.load(sys.argv[1]).predict(X)
RNNForecaster(epochs=1, window=2).fit(np.arange(9.0)).predict()
try:
    RNNClassifier().predict(X)
except NotFittedError as error:
    print(type(error).__mro__[1].__name__, type(error).__mro__[2].__name__)
print([name for name in sys.modules if name.startswith("sklearn")])
"""
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path / "file")], capture_output=True, text=True
    )
    assert (told.stderr, told.stdout.split("\n")[:2]) == ("", ["ValueError AttributeError", "[]"])
    assert issubclass(sklearn.exceptions.NotFittedError, ValueError)
