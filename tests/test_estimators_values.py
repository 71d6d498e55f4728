"""What the estimators compute: `rx.fit` by hand, weights, scores, scaling, seeds; and what they refuse."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_class_weight
from support import UGRNN

import rnn_xp as rx
from rnn_xp.estimators import RNNClassifier, RNNRegressor
from rnn_xp.estimators.holdout import hold_back

SMALL = {"hidden_size": 5, "epochs": 3, "random_state": 7}
LABELS = np.array(["b", "c", "a"])


def unequal(count=20, channels=2, seed=0):
    """Series (T_i, C), labels and numbers."""
    rng = np.random.default_rng(seed)
    X = [3 + 2 * rng.normal(size=(steps, channels)) for steps in rng.integers(3, 9, size=count)]
    return X, LABELS[np.arange(count) % 3], np.array([x.sum() for x in X])


def by_hand(X, y, lengths, *, loss, outputs, seed=7, epochs=3, **more):
    """Train the model that an estimator describes, with what the package has below estimators."""
    _, N, C = X.shape
    layers = (rx.GRU(C, 5), rx.MaxPool(), rx.Linear(5, outputs))
    steps = epochs * -(-N // 16)
    result = rx.fit(
        rx.Sequential(*layers),
        X,
        y,
        layout="TNC",
        lengths=lengths,
        loss=loss,
        optimizer=rx.Adam(0.01),
        schedule=rx.schedules.cosine(steps),
        clip_norm=1.0,
        batch_size=16,
        epochs=epochs,
        seed=seed,
        verbose=False,
        **more,
    )
    return rx.Sequential(*layers), result


def scaled(X, lengths):
    """Scale the valid steps of time-major X, written out."""
    steps = np.concatenate([X[:n, i] for i, n in enumerate(lengths)])
    return (X - steps.mean(axis=0)) / steps.std(axis=0)


def test_a_classifier_is_fit_by_hand():
    series, names, _ = unequal()
    estimator = RNNClassifier(**SMALL).fit(series, names)
    X, lengths = rx.data.pad(series)
    X = scaled(X.swapaxes(0, 1), lengths)
    y = np.array([["a", "b", "c"].index(name) for name in names])
    model, result = by_hand(X, y, lengths, loss="cross_entropy", outputs=3)
    own = rx.predict(model, result.params, X, layout="TNC", lengths=lengths, loss="cross_entropy")
    assert (estimator.model_, estimator.classes_.tolist()) == (model, ["a", "b", "c"])
    assert estimator.predict_proba(series).tobytes() == own.tobytes()
    assert estimator.predict(series).tolist() == [["a", "b", "c"][row.argmax()] for row in own]
    np.testing.assert_allclose(np.exp(estimator.predict_log_proba(series)), own, rtol=1e-6)
    assert [record["loss"] for record in estimator.history_] == [record["loss"] for record in result.history]
    assert (estimator.seed_, estimator.best_epoch_) == (7, result.best_epoch)


def test_a_regressor_is_fit_by_hand_in_scaled_units():
    series, _, y = unequal()
    estimator = RNNRegressor(**SMALL, loss="huber").fit(series, y)
    X, lengths = rx.data.pad(series)
    X = scaled(X.swapaxes(0, 1), lengths)
    mean, std = y.mean(), y.std()
    model, result = by_hand(X, (y - mean) / std, lengths, loss="huber", outputs=1)
    own = rx.predict(model, result.params, X, layout="TNC", lengths=lengths)[:, 0] * std + mean
    assert estimator.predict(series).shape == (20,)
    np.testing.assert_allclose(estimator.predict(series), own, rtol=1e-12)


def test_without_scaling_the_numbers_are_taken_as_they_are():
    series, _, y = unequal()
    X, lengths = rx.data.pad(series)
    X, y = X.swapaxes(0, 1), np.stack([y, -y], axis=1)
    estimator = RNNRegressor(**SMALL, scale=False).fit(series, y)
    model, result = by_hand(X, y, lengths, loss="squared_error", outputs=2)
    own = rx.predict(model, result.params, X, layout="TNC", lengths=lengths)
    assert (estimator.scaling_, estimator.target_scaling_) == (None, None)
    assert estimator.predict(series).tobytes() == own.tobytes()


def test_the_arguments_reach_the_model_and_the_training():
    series, names, _ = unequal()
    options = {"num_layers": 2, "bidirectional": True, "dropout": 0.25, "pooling": "mean"}
    for cell, layer in (("rnn", rx.RNN), ("lstm", rx.LSTM), (UGRNN, None)):
        estimator = RNNClassifier(**SMALL, **options, cell=cell).fit(series, names)
        stack = (2, 5, 2)
        more = {"bidirectional": True, "dropout": 0.25}
        first = layer(*stack, **more) if layer else rx.Recurrent(UGRNN, *stack, **more)
        expected = rx.Sequential(first, rx.MeanPool(), rx.Dropout(0.25), rx.Linear(10, 3))
        assert estimator.model_ == expected
    seen = []
    for name, optimizer in (("sgd", rx.SGD(0.02)), ("rmsprop", rx.RMSprop(0.02)), ("adamw", rx.AdamW(0.02))):
        options = {**SMALL, "callbacks": seen.append, "schedule": None, "init": "glorot", "clip_norm": None}
        a = RNNClassifier(**options, optimizer=name, learning_rate=0.02).fit(series, names)
        b = RNNClassifier(**options, optimizer=optimizer).fit(series, names)
        assert a.history_[-1]["loss"] == b.history_[-1]["loss"] != seen[0].record["loss"]
    assert len(seen) == 18
    wide = RNNClassifier(**SMALL, dtype="float64", patience=1, backend="numpy").fit(series, names)
    assert wide.predict_proba(series).dtype == np.float64


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
def test_layouts_hold_the_same_series(kind):
    X = np.random.default_rng(0).normal(size=(6, 9, 3))  # N, T, C
    y = np.arange(6) % 2
    expected = kind(**SMALL).fit(X, y)
    for layout, axes in (("NCT", (0, 2, 1)), ("TNC", (1, 0, 2))):
        other = kind(**SMALL, layout=layout).fit(X.transpose(axes), y)
        assert other.predict(X.transpose(axes)).tobytes() == expected.predict(X).tobytes()
        assert other.n_features_in_ == 3
    lists = kind(**SMALL).fit(list(X), y)
    assert lists.predict(list(X)).tobytes() == expected.predict(X).tobytes()
    channels_first = kind(**SMALL, layout="NCT").fit([x.T for x in X], y)
    assert channels_first.predict(X.transpose(0, 2, 1)).tobytes() == expected.predict(X).tobytes()


def test_a_table_holds_series_of_one_channel():
    X = np.random.default_rng(0).normal(size=(8, 5))
    y = np.arange(8) % 2
    table = RNNClassifier(**SMALL).fit(X, y)
    assert table.n_features_in_ == 5
    for layout, other in (("NTC", X[:, :, np.newaxis]), ("NCT", X[:, np.newaxis]), ("NTC", list(X))):
        estimator = RNNClassifier(**SMALL, layout=layout).fit(other, y)
        assert estimator.predict_proba(other).tobytes() == table.predict_proba(X).tobytes()
        assert estimator.n_features_in_ == 1
    ragged = [x[: 3 + i % 3] for i, x in enumerate(X)]
    by_channel = RNNClassifier(**SMALL).fit([x[:, np.newaxis] for x in ragged], y)
    assert (
        RNNClassifier(**SMALL).fit(ragged, y).predict_proba(X).tobytes()
        == by_channel.predict_proba(X).tobytes()
    )


def test_padding_is_nowhere():
    """What a list gives is what its padded array gives, whatever the padding; the scaling too."""
    series, _, y = unequal()
    estimator = RNNRegressor(**SMALL).fit(series, y)
    valid = np.concatenate(series)
    np.testing.assert_allclose(estimator.scaling_.mean, valid.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(estimator.scaling_.std, valid.std(axis=0), rtol=1e-13)
    longer = [*series, np.zeros((30, 2))]
    np.testing.assert_allclose(estimator.predict(longer)[:-1], estimator.predict(series), rtol=1e-5)


# Weights


def test_balanced_class_weights_are_those_of_scikit_learn():
    series, _, _ = unequal()
    names = np.array(["a"] * 11 + ["b"] * 6 + ["c"] * 3)
    each = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=names)
    explicit = dict(zip("abc", each, strict=True))
    options = {**SMALL, "scale": False}  # a scaling knows weights of series, not those of classes
    balanced = RNNClassifier(**options, class_weight="balanced").fit(series, names)
    for same in (
        RNNClassifier(**options, class_weight=explicit).fit(series, names),
        RNNClassifier(**options).fit(series, names, sample_weight=[explicit[name] for name in names]),
    ):
        assert [r["loss"] for r in same.history_] == [r["loss"] for r in balanced.history_]
    plain = RNNClassifier(**SMALL).fit(series, names)
    assert plain.history_[0]["loss"] != balanced.history_[0]["loss"]
    part = RNNClassifier(**SMALL, class_weight={"b": 2.0}).fit(series, names)
    whole = RNNClassifier(**SMALL, class_weight={"a": 1.0, "b": 2.0, "c": 1.0, "d": 5.0}).fit(series, names)
    assert part.history_[0]["loss"] == whole.history_[0]["loss"]


@pytest.mark.parametrize("class_weight", [None, "balanced", {"a": 3.0}])
def test_a_weight_of_two_is_a_series_twice(class_weight):
    series, names, _ = unequal()
    weights = np.array([0, 1, 2, 3, 1] * 4)
    again = np.repeat(np.arange(20), weights)
    options = {**SMALL, "batch_size": 64, "dtype": "float64", "class_weight": class_weight, "epochs": 5}
    one = RNNClassifier(**options).fit(series, names, sample_weight=weights)
    two = RNNClassifier(**options).fit([series[i] for i in again], names[again])
    np.testing.assert_allclose(one.scaling_, two.scaling_, rtol=1e-13)
    np.testing.assert_allclose(one.predict_proba(series), two.predict_proba(series), rtol=1e-9)
    unweighted = RNNClassifier(**options).fit(series, names).predict_proba(series)
    assert np.abs(one.predict_proba(series) - unweighted).max() > 1e-3


def test_a_weight_of_two_is_a_number_twice():
    series, _, y = unequal()
    weights = np.array([0, 1, 2, 3, 1] * 4)
    again = np.repeat(np.arange(20), weights)
    options = {**SMALL, "batch_size": 64, "dtype": "float64", "epochs": 5}
    one = RNNRegressor(**options).fit(series, y, sample_weight=weights)
    two = RNNRegressor(**options).fit([series[i] for i in again], y[again])
    np.testing.assert_allclose(one.target_scaling_, two.target_scaling_, rtol=1e-13)
    np.testing.assert_allclose(one.predict(series), two.predict(series), rtol=1e-9)


def test_a_channel_that_never_changes_becomes_zero_whatever_the_weights():
    X = np.random.default_rng(0).normal(size=(30, 7, 2))
    X[:, :, 1] = 0.1
    weights = np.random.default_rng(1).uniform(size=30)
    scaling = RNNClassifier(**SMALL).fit(X, np.arange(30) % 2, sample_weight=weights).scaling_
    assert scaling.std[1] == 1.0
    assert scaling.mean[1] == pytest.approx(0.1)


def test_scores_are_those_of_scikit_learn():
    series, names, y = unequal()
    weights = np.random.default_rng(1).uniform(size=20)
    classifier = RNNClassifier(**{**SMALL, "epochs": 30}).fit(series, names)
    predicted, truth = classifier.predict(series), np.roll(names, 3)
    truth[0] = "unseen"
    assert classifier.score(series, truth) == accuracy_score(truth, predicted)
    expected = accuracy_score(truth, predicted, sample_weight=weights)
    assert classifier.score(series, truth, weights) == pytest.approx(expected, rel=1e-12)
    several = np.stack([y, y**2, np.ones(20)], axis=1)
    regressor = RNNRegressor(**SMALL).fit(series, several)
    predicted = regressor.predict(series)
    assert predicted.shape == (20, 3)
    for w in (None, weights):
        expected = r2_score(several, predicted, sample_weight=w)
        assert regressor.score(series, several, w) == pytest.approx(expected, rel=1e-10)
    constant = RNNRegressor(**SMALL).fit(series, np.full(20, 3.0))
    assert constant.score(series, np.full(20, 3.0)) == r2_score(np.full(20, 3.0), constant.predict(series))


@pytest.mark.parametrize("count", [1, 19, 21])
def test_a_score_asks_for_a_target_each(count):
    series, names, y = unequal()
    for kind, target in ((RNNClassifier, names), (RNNRegressor, y)):
        fitted = kind(**SMALL).fit(series, target)
        with pytest.raises(
            ValueError, match=f"`y` must have one entry for each of the N = 20 series of `X`; got {count}"
        ):
            fitted.score(series, np.resize(target, count))


# What is held back


def test_what_is_held_back_changes_nothing_but_the_choice_of_the_epoch():
    series, _, y = unequal(24)
    train, held = hold_back(0.25, 24, 7)
    assert (len(held), sorted([*train, *held])) == (6, list(range(24)))
    options = {**SMALL, "validation": 0.25}
    before = RNNRegressor(**options).fit(series, y)
    changed = [x * 1e3 if i in held else x for i, x in enumerate(series)]
    after = RNNRegressor(**options).fit(changed, np.where(np.isin(np.arange(24), held), 1e3 * y, y))
    for name in ("scaling_", "target_scaling_"):
        assert np.stack(getattr(before, name)).tobytes() == np.stack(getattr(after, name)).tobytes()
    assert [r["loss"] for r in before.history_] == [r["loss"] for r in after.history_]
    assert before.history_[0]["val_loss"] != after.history_[0]["val_loss"]
    alone = RNNRegressor(**SMALL).fit([series[i] for i in train], y[train])
    assert [r["loss"] for r in before.history_] == [r["loss"] for r in alone.history_]


def test_what_is_held_back_is_weighed_too():
    series, names, _ = unequal(24)
    weights = np.random.default_rng(1).uniform(size=24)
    classifier = RNNClassifier(**{**SMALL, "epochs": 1}, validation=0.25, class_weight={"a": 5.0})
    classifier.fit(series, names, sample_weight=weights)
    labels = np.searchsorted(["a", "b", "c"], names)
    _, held = hold_back(0.25, 24, 7, labels)
    X, lengths = rx.data.pad([classifier.scaling_.apply(series[i]) for i in held])
    counts = weights[held] * np.where(names[held] == "a", 5.0, 1.0)
    for given, same in ((counts, True), (weights[held], False)):
        loss = rx.evaluate(
            classifier.model_, classifier.params_, X, labels[held], lengths=lengths, weights=given
        )["loss"]
        assert (classifier.history_[0]["val_loss"] == pytest.approx(loss, rel=1e-6)) is same


def test_one_of_each_class_is_trained_on():
    labels = np.array([0, 0, 0, 0, 0, 1, 2, 3])
    for seed in range(10):
        train, held = hold_back(0.5, 8, seed, labels)
        assert labels[held].tolist() == [0, 0, 0, 0]
        assert sorted(labels[train]) == [0, 1, 2, 3]


def test_classes_are_held_back_alike():
    labels = np.array([0] * 40 + [1] * 8 + [2])
    np.random.default_rng(0).shuffle(labels)
    for seed in range(20):
        train, held = hold_back(0.25, 49, seed, labels)
        assert sorted([*train, *held]) == list(range(49))
        counts = np.bincount(labels[held], minlength=3)
        assert counts.sum() == 12
        assert counts[0] in (9, 10, 11)
        assert counts[1] in (1, 2, 3)
        assert counts[2] == 0  # the only one is trained on
    first, second = (hold_back(0.25, 49, seed, labels)[1].tolist() for seed in (0, 1))
    assert first != second


def test_what_is_held_back_must_leave_some():
    series, names, y = unequal(4)
    for kind, target in ((RNNClassifier, names), (RNNRegressor, y)):
        with pytest.raises(
            ValueError, match="`validation` must leave a series, of each class, to train on; got 0\\.9 of 4"
        ):
            kind(**SMALL, validation=0.9).fit(series, target)
    with pytest.raises(ValueError, match="`validation` must be a finite number > 0 and < 1; got 2"):
        RNNClassifier(**SMALL, validation=2).fit(series, names)


# Seeds


def test_what_is_held_back_or_trained_on_must_count():
    series, names, y = unequal()
    for kind, target, labels in (
        (RNNClassifier, names, np.unique(names, return_inverse=True)[1]),
        (RNNRegressor, y, None),
    ):
        trained, held = hold_back(0.25, 20, 7, labels)
        for part, words in (
            (held, "to hold back for `validation`; got 0 for all 5"),
            (trained, "to train on; got"),
        ):
            weights = np.ones(20)
            weights[part] = 0
            for scale in (True, False):
                with pytest.raises(
                    ValueError, match=f"`sample_weight`.* must count a series among those {words}"
                ):
                    kind(**SMALL, validation=0.25, scale=scale).fit(series, target, weights)
    with pytest.raises(ValueError, match=r"`sample_weight`, times `class_weight`, must .* 0 for all 20"):
        RNNClassifier(**SMALL, class_weight={"a": 0, "b": 1, "c": 1}).fit(series, names, names == "a")


def test_numbers_whose_squares_overflow_are_refused():
    """In training as in use, and by the name of the argument."""
    series, names, y = unequal()
    large = [*series[:5], 1e200 * series[5], *series[6:]]
    for kind, target in ((RNNClassifier, names), (RNNRegressor, y)):
        fitted = kind(**SMALL).fit(series, target)
        for use in (lambda X, kind=kind, target=target: kind(**SMALL).fit(X, target), fitted.predict):
            with pytest.raises(
                ValueError, match=r"`X` must hold numbers of at most 1e\+150 in size, .* = \(5, 0, 0\)"
            ):
                use(large)
    with pytest.raises(
        ValueError, match=r"`y` must hold numbers of at most 1e\+150 in size, .* at \(n,\) = \(0,\)"
    ):
        RNNRegressor(**SMALL).fit(series, 1e200 * y)
    with pytest.raises(ValueError, match=r"`y` must hold numbers of at most .* at \(n, k\) = \(0, 1\)"):
        RNNRegressor(**SMALL).fit(series, np.stack([y, 1e200 * y], axis=1))
    RNNRegressor(**SMALL).fit([1e100 * x for x in series], 1e100 * y)  # of any size below


def test_seeds():
    series, names, _ = unequal()

    def losses(random_state):
        return RNNClassifier(**{**SMALL, "random_state": random_state}).fit(series, names).history_[0]["loss"]

    assert losses(3) == losses(np.int64(3)) != losses(4)
    generator = np.random.RandomState(0)
    first, second = losses(generator), losses(generator)
    assert first != second
    assert (
        first
        == losses(np.random.RandomState(0))
        == losses(np.random.RandomState(0).randint(2**32, dtype=np.int64))
    )
    assert losses(np.random.default_rng(0)) == losses(int(np.random.default_rng(0).integers(2**32)))
    state = np.random.get_state()  # noqa: NPY002
    try:
        np.random.seed(5)  # noqa: NPY002
        by_global, another = losses(None), losses(None)
        assert by_global == losses(np.random.RandomState(5)) != another
    finally:
        np.random.set_state(state)  # noqa: NPY002


# What is refused


@pytest.mark.parametrize(
    ("X", "options", "error", "words"),
    [
        (
            np.zeros(6),
            {},
            ValueError,
            r"`X` must have three axes, N, T, C \(`layout`\), or two.*; got \(6,\)",
        ),
        (np.zeros((6, 4, 2), complex), {}, ValueError, "Complex data not supported: `X` must hold real"),
        ([["a"], ["b"]] * 3, {}, ValueError, "`X` must hold real numbers; got dtype <U1"),
        (np.array([[{}]] * 6), {}, TypeError, "`X` must hold real numbers: .*argument must be a string"),
        (np.zeros((0, 4, 2)), {}, ValueError, "Found array with 0 sample"),
        (np.zeros((6, 0, 2)), {}, ValueError, "Found array with 0 feature"),
        ([[1.0], [1.0, 2.0]] * 3, {}, ValueError, "A list of unequal series must be one of arrays"),
        (np.ma.zeros((6, 4, 2)), {}, TypeError, "`X` must be a plain array; got a masked one"),
        (np.zeros((6, 4, 2)), {"layout": "CNT"}, ValueError, "`layout` must be one of 'NTC', 'NCT', 'TNC'"),
        ([np.zeros((2, 4 + i)) for i in range(6)], {}, ValueError, "would fit layout='NCT'"),
        ([np.zeros((4 + i, 2)) for i in range(6)], {"layout": "NCT"}, ValueError, "would fit layout='NTC'"),
        (
            [np.zeros((4 + i, 2 + i)) for i in range(6)],
            {},
            ValueError,
            r"one C; got \(4, 2\) and, at index 1, \(5, 3\)\.$",
        ),
        (
            [np.zeros((4, 2))] * 6,
            {"layout": "TNC"},
            ValueError,
            "`layout` must be 'NTC' or 'NCT' where `X` is a list",
        ),
        ([np.zeros((0, 2))] * 6, {}, ValueError, "`X` must hold at least one step of one channel"),
        (
            np.zeros((4, 6, 2)),
            {},
            ValueError,
            r"N = 4 series of `X`; got 6. The shape of X would fit layout='TNC'",
        ),
        (np.zeros((4, 3, 6)), {"layout": "TNC"}, ValueError, r"N = 3 series of `X`; got 6\.$"),
        (np.zeros((3, 6, 2)), {"layout": "NCT"}, ValueError, "would fit layout='TNC'"),
        (np.full((6, 4, 2), 1e39), {"scale": False}, ValueError, "beyond float32; dtype='float64' holds it"),
    ],
)
def test_series_that_are_refused(X, options, error, words):
    with pytest.raises(error, match=words):
        RNNClassifier(**SMALL, **options).fit(X, [0, 1, 0, 1, 0, 1])


def test_sparse_data_are_refused():
    class Sparse:
        def toarray(self):
            return np.zeros((6, 4))

    with pytest.raises(TypeError, match="`X` must be dense; got sparse data"):
        RNNClassifier(**SMALL).fit(Sparse(), [0, 1] * 3)


def test_what_is_not_finite_is_refused_but_in_no_padding():
    series, names, y = unequal()
    series[3][2, 1] = np.nan
    for kind, target in ((RNNClassifier, names), (RNNRegressor, y)):
        with pytest.raises(
            ValueError, match="Input X contains NaN or infinity: `X` holds nan at sample 3, step 2, feature 1"
        ):
            kind(**SMALL).fit(series, target)
    with pytest.raises(ValueError, match=r"Input y contains NaN or infinity: `y` holds inf at index \(1,\)"):
        RNNRegressor(**SMALL).fit(np.zeros((2, 3)), [0.0, np.inf])


@pytest.mark.parametrize(
    ("kind", "y", "error", "words"),
    [
        (RNNClassifier, None, ValueError, "RNNClassifier requires y to be passed, but the target y is None"),
        (RNNRegressor, None, ValueError, "RNNRegressor requires y to be passed, but the target y is None"),
        (
            RNNClassifier,
            [0.5, 1.0, 1.5, 2.0],
            ValueError,
            "Unknown label type: .* For numbers there is RNNRegressor",
        ),
        (RNNClassifier, [[0, 1]] * 4, ValueError, r"one label for each series, \(N,\); got \(4, 2\)"),
        (RNNClassifier, [1, 1, 1, 1], ValueError, "`y` must hold at least 2 classes; got 1 class, 1"),
        (
            RNNClassifier,
            np.array(["a", 1, "b", 2], object),
            TypeError,
            "labels of one kind; got strings and others",
        ),
        (RNNClassifier, [1j, 0, 1, 0], ValueError, "Complex data not supported: `y` must hold labels"),
        (RNNClassifier, [0, 1, 0], ValueError, "one entry for each of the N = 4 series of `X`; got 3"),
        (
            RNNRegressor,
            np.zeros((4, 2, 2)),
            ValueError,
            r"`y` must have shape \(N,\) or \(N, K\); got \(4, 2, 2\)",
        ),
        (RNNRegressor, ["a", "b", "c", "d"], ValueError, "`y` must hold real numbers; got dtype <U1"),
        (RNNRegressor, np.array([{}, 1, 2, 3], object), TypeError, "`y` must hold real numbers: float"),
        (RNNRegressor, [0, 1, 0], ValueError, "one entry for each of the N = 4 series of `X`; got 3"),
    ],
)
def test_targets_that_are_refused(kind, y, error, words):
    with pytest.raises(error, match=words):
        kind(**SMALL).fit(np.zeros((4, 3, 2)), y)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, 2.0], "`sample_weight` must have one entry for each of the N = 4 series of `X`; got 2"),
        ([[1.0]] * 4, "`sample_weight` must be numbers of shape"),
        (["a"] * 4, "`sample_weight` must be numbers of shape"),
        ([1.0, -1.0, 1.0, 1.0], "`sample_weight` must be finite and not negative; got -1.0 at index 1"),
        ([1.0, 1.0, np.nan, 1.0], "`sample_weight` must be finite and not negative; got nan at index 2"),
        ([0.0] * 4, "Sample weights must contain at least one non-zero number"),
        ([1e308] * 4, r"`sample_weight` must hold numbers of at most 1e\+150 in size"),
    ],
)
def test_weights_that_are_refused(weights, words):
    for kind in (RNNClassifier, RNNRegressor):
        with pytest.raises(ValueError, match=words):
            kind(**SMALL).fit(np.zeros((4, 3, 2)), [0, 1, 0, 1], sample_weight=weights)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"cell": "mlp"},
            ValueError,
            "`cell` must be one of 'rnn', 'gru', 'lstm', or a rnn_xp.Cell; got 'mlp'",
        ),
        ({"cell": rx.GRU}, ValueError, "`cell` must be one of"),
        (
            {"pooling": "attention"},
            ValueError,
            "`pooling` must be one of 'last', 'mean', 'max'; got 'attention'",
        ),
        ({"optimizer": "lion"}, ValueError, "`optimizer` must be one of 'adam', 'adamw', 'rmsprop', 'sgd'"),
        ({"optimizer": rx.Adam}, TypeError, "`optimizer` must be an optimiser such as"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be a finite number > 0; got 0"),
        (
            {"schedule": "linear"},
            ValueError,
            "`schedule` must be 'cosine', or a function of .*; got 'linear'",
        ),
        ({"schedule": 3}, TypeError, "`schedule` must be a function of the step"),
        (
            {"schedule": rx.schedules.cosine},
            ValueError,
            "`schedule` must be .*cosine.1000.; got <function cosine",
        ),
        ({"schedule": lambda: 1.0}, TypeError, "`schedule` must be .* says of step 0: .*takes 0 positional"),
        ({"hidden_size": 0}, ValueError, "`hidden_size` must be an integer of at least 1; got 0"),
        ({"epochs": 1.5}, TypeError, "`epochs` must be an integer"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an integer of at least 1; got 0"),
        ({"scale": 1}, TypeError, "`scale` must be True or False; got 1"),
        ({"random_state": "now"}, TypeError, "`random_state` must be an integer of at least 0"),
        ({"random_state": -1}, ValueError, "`random_state` must be an integer of at least 0"),
        ({"class_weight": "even"}, ValueError, "`class_weight` must be None, 'balanced' or a mapping"),
        ({"class_weight": {0: 1.0, 2: 2.0}}, ValueError, "labels of `y`: 1 has no weight; got 2"),
        (
            {"class_weight": {0: 1.0, 1: -2.0}},
            ValueError,
            "`class_weight` must hold finite numbers of at least 0",
        ),
    ],
)
def test_arguments_that_are_refused(options, error, words):
    """At `fit`; and what was learnt before is still there."""
    X, y = np.random.default_rng(0).normal(size=(6, 4, 2)), [0, 1] * 3
    estimator = RNNClassifier(**SMALL).fit(X, y)
    before = estimator.predict_proba(X).tobytes()
    estimator.set_params(**options)
    with pytest.raises(error, match=words):
        estimator.fit(X, y)
    assert estimator.predict_proba(X).tobytes() == before


def test_a_loss_that_is_refused():
    with pytest.raises(ValueError, match="`loss` must be one of 'squared_error', 'huber'; got 'absolute'"):
        RNNRegressor(**SMALL, loss="absolute").fit(np.zeros((4, 3)), np.arange(4))


def test_other_series_than_those_of_fit_are_refused():
    X, y = np.random.default_rng(0).normal(size=(6, 4, 2)), np.arange(6) % 2
    estimator = RNNClassifier(**SMALL).fit(X, y)
    with pytest.raises(
        ValueError,
        match=r"C = 2 channels, as in `fit`; got 4 in NTC = \(6, 2, 4\). Its shape would fit layout='NCT'",
    ):
        estimator.predict(X.transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"C = 2 channels, as in `fit`; got 1 in NTC = \(6, 4, 1\)\.$"):
        estimator.predict(X[:, :, 0])
    table = RNNClassifier(**SMALL).fit(X[:, :, 0], y)
    with pytest.raises(
        ValueError, match="X has 3 features, but RNNClassifier is expecting 4 features as input"
    ):
        table.predict(X[:, :3, 0])
    with pytest.raises(
        ValueError, match=r"`y` must hold labels of `classes_`, \[0, 1\]; got none of them, \['a', 'b'\]"
    ):
        estimator.score(X, np.array(["a", "b"])[y])
    several = RNNRegressor(**SMALL).fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="`y` must have K = 2 columns, as in `fit`; got 1"):
        several.score(X, y)


def test_a_column_of_labels_is_a_row_with_a_warning():
    X, y = np.random.default_rng(0).normal(size=(6, 4, 2)), np.arange(6) % 2
    with pytest.warns(UserWarning, match="A column-vector y was passed when a 1d array was expected"):
        column = RNNClassifier(**SMALL).fit(X, y[:, np.newaxis])
    assert column.predict(X).tobytes() == RNNClassifier(**SMALL).fit(X, y).predict(X).tobytes()


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [True, False], [-1, 3], [0.0, 5.0], np.array(["u", "v"], object)]
)
def test_labels_come_back_as_they_were(labels):
    X, y = np.random.default_rng(0).normal(size=(6, 4, 2)), np.array(labels)[np.arange(6) % 2]
    estimator = RNNClassifier(**SMALL).fit(X, y)
    assert estimator.classes_.tolist() == sorted(labels)
    assert estimator.predict(X).dtype == y.dtype
