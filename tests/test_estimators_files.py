"""Estimators in files, without pickle."""

import numpy as np
import pytest
from support import UGRNN

import rnn_xp as rx
from rnn_xp.estimators import RNNClassifier, RNNForecaster, RNNRegressor
from rnn_xp.safetensors import CheckpointError

SMALL = {"hidden_size": 3, "epochs": 2, "random_state": 0}
X = np.random.default_rng(0).normal(size=(12, 5, 2))
Y = np.arange(12) % 3


@pytest.fixture
def path(tmp_path):
    return tmp_path / "estimator.safetensors"


def learnt(estimator):
    """What was learnt but the model, the weights and the history."""
    kept = ("scaling_", "target_scaling_", "classes_", "n_outputs_", "n_features_in_", "n_channels_", "seed_")
    return {name: np.asarray(getattr(estimator, name)).tolist() for name in kept if hasattr(estimator, name)}


@pytest.mark.parametrize(
    "labels",
    [
        ["c", "a", "b"],
        [3, -1, 7],
        [0.0, 2.0, 5.0],
        np.array(["ü", "v", "w"], object),
        [np.int8(1), np.int8(2), np.int8(3)],
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_classifier(path, labels, dtype):
    y = np.array(labels)[Y]
    weights = dict.fromkeys(np.array(labels).tolist(), 2.0)
    one = RNNClassifier(**SMALL, dtype=dtype, class_weight=weights, backend="numpy", callbacks=[print]).fit(
        X, y
    )
    one.save(path)
    again = RNNClassifier.load(path)
    assert again.predict_proba(X).tobytes() == one.predict_proba(X).tobytes()
    assert again.predict(X).tolist() == one.predict(X).tolist()
    assert again.predict(X).dtype == one.predict(X).dtype
    assert learnt(again) == learnt(one)
    assert again.get_params() == {**one.get_params(), "backend": None, "callbacks": ()}
    assert again.fit(X, y).predict_proba(X).tobytes() == one.predict_proba(X).tobytes()


def test_a_regressor_of_several_numbers(path):
    y = np.stack([Y, Y**2 + 0.1], axis=1)
    for options in (
        {},
        {"scale": False},
        {"optimizer": rx.SGD(0.02, momentum=0.9)},
        {"hidden_size": np.int64(4)},
    ):
        one = RNNRegressor(**{**SMALL, **options}).fit(X, y)
        one.save(path)
        again = RNNRegressor.load(path, "numpy")
        assert again.predict(X).tobytes() == one.predict(X).tobytes()
        assert learnt(again) == learnt(one)
        assert again.optimizer == one.optimizer


def test_a_forecaster_needs_a_series(path):
    series = X[0]
    one = RNNForecaster(**SMALL, window=2, horizon=2).fit(series)
    one.save(path)
    again = RNNForecaster.load(path)
    assert again.predict(series).tobytes() == one.predict().tobytes()
    with pytest.raises(
        ValueError, match="`series` must be given to a forecaster from a file, which keeps none"
    ):
        again.predict()


def test_the_model_alone_is_in_the_file_too(path):
    one = RNNClassifier(**SMALL, scale=False).fit(X, Y)
    one.save(path)
    model, params = rx.load(path, "numpy")
    assert model == one.model_
    assert rx.predict(model, params, X, loss="cross_entropy").tobytes() == one.predict_proba(X).tobytes()


def test_a_cell_of_ones_own(path):
    one = RNNClassifier(**SMALL, cell=UGRNN).fit(X, Y)
    one.save(path)
    again = RNNClassifier.load(path, cells={"own": UGRNN, UGRNN.name: UGRNN})
    assert again.cell is UGRNN
    assert again.predict_proba(X).tobytes() == one.predict_proba(X).tobytes()
    with pytest.raises(
        CheckpointError, match="cannot be loaded: its model cannot be built: `cells` must hold"
    ):
        RNNClassifier.load(path)


def test_names_of_columns(path):
    class Frame:
        columns = ("a", "b", "c", "d", "e")

        def __array__(self, dtype=None, copy=None):
            return X[:, :, 0]

    one = RNNClassifier(**SMALL).fit(Frame(), Y)
    one.save(path)
    again = RNNClassifier.load(path)
    assert again.feature_names_in_.tolist() == list(Frame.columns)
    assert again.predict(Frame()).tolist() == one.predict(Frame()).tolist()


@pytest.mark.parametrize(
    ("name", "value", "came"),
    [
        ("schedule", rx.schedules.constant(), "_Constant"),
        ("random_state", np.random.RandomState(0), "RandomState"),
        ("init", rx.initializers.INITIALIZERS["pytorch"], "Initializer"),
    ],
)
def test_what_a_file_cannot_describe(path, name, value, came):
    one = RNNClassifier(**{**SMALL, name: value}).fit(X, Y)
    words = (
        f"`{name}` must be something that a file can describe, for `save`; got {came}. Pickle holds it, or"
    )
    with pytest.raises(TypeError, match=words):
        one.save(path)
    assert not path.exists()
    one.set_params(**{name: RNNClassifier().get_params()[name]}).save(path)
    assert RNNClassifier.load(path).predict_proba(X).tobytes() == one.predict_proba(X).tobytes()


def test_another_kind(path):
    RNNRegressor(**SMALL).fit(X, Y).save(path)
    with pytest.raises(
        CheckpointError, match="must hold an RNNClassifier to be loaded as one; it holds RNNRegressor"
    ):
        RNNClassifier.load(path)
    model = rx.Sequential(rx.GRU(2, 3), rx.LastStep(), rx.Linear(3, 2))
    rx.save(path, model, model.init(rx.get_backend("numpy")))
    with pytest.raises(CheckpointError, match="it holds a model alone, which rnn_xp\\.load reads"):
        RNNClassifier.load(path)
    with pytest.raises(FileNotFoundError):
        RNNClassifier.load(path.with_name("none"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about: about.pop("learnt"), "KeyError"),
        (lambda about: about["arguments"].update(hidden=3), "got 'hidden'"),
        (lambda about: about["arguments"].update(cell={"cell": "unknown"}), "KeyError.'unknown'"),
        (lambda about: about["learnt"].pop("classes_"), "it lacks classes_"),
        (
            lambda about: about["learnt"].update(scaling_={"mean": [0.0], "std": [1.0]}),
            "scaling_ is not that of its model",
        ),
        (
            lambda about: about["learnt"].update(scaling_={"mean": [0.0, 0.0], "std": [1.0]}),
            "scaling_ is not that",
        ),
        (
            lambda about: about["learnt"].update(classes_={"dtype": "<i8", "values": [1, 2]}),
            "classes_ is not that",
        ),
        (
            lambda about: about["learnt"].update(classes_={"dtype": "<M8[s]", "values": [1, 2, 3]}),
            "an array of dtype <M8",
        ),
    ],
)
def test_files_that_do_not_fit(path, change, words):
    one = RNNClassifier(**SMALL).fit(X, Y)
    one.save(path)
    extra = rx.read_extra(path)
    change(extra["estimator"])
    rx.save(path, one.model_, one.params_, extra)
    with pytest.raises(CheckpointError, match=f"what it says of its RNNClassifier does not fit: .*{words}"):
        RNNClassifier.load(path)


def test_a_layer_is_no_model_of_an_estimator(path):
    one = RNNClassifier(**SMALL).fit(X, Y)
    one.save(path)
    extra = rx.read_extra(path)
    layer = rx.LSTM(2, 3)
    rx.save(path, layer, layer.init(rx.get_backend("numpy")), extra)
    with pytest.raises(CheckpointError, match="its model is no Sequential"):
        RNNClassifier.load(path)
