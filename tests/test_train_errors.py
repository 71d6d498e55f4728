"""What fit, predict and evaluate refuse, and how they say it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from training import (
    CLASSES,
    LENGTHS,
    NUMPY,
    N,
    T,
    X,
    classifier,
    train,
)

import rnn_xp as rx

TOKENS = rx.Sequential(rx.Embedding(5, 2), rx.LastStep(), rx.Linear(2, 3))
ROWS = [X[i, :length] for i, length in enumerate(LENGTHS)]
HOLED = X.copy()
HOLED[2, 3, 1] = np.nan
FIT_FAULTS: list[tuple[Any, Any, Any, dict[str, Any], type[Exception], str]] = [
    (None, X, CLASSES, {"loss": "mse"}, ValueError, "`loss` must be one of 'cross_entropy', .*; got 'mse'"),
    (None, X, CLASSES, {"epochs": 0}, ValueError, "`epochs` must be an integer of at least 1; got 0"),
    (
        None,
        X,
        CLASSES,
        {"batch_size": 2.5},
        TypeError,
        "`batch_size` must be an integer of at least 1; got 2.5",
    ),
    (None, X, CLASSES, {"seed": -1}, ValueError, "`seed` must be an integer of at least 0 .*; got -1"),
    (None, X, CLASSES, {"clip_norm": 0}, ValueError, "`clip_norm` must be a finite number > 0; got 0"),
    (None, X, CLASSES, {"clip_value": -1}, ValueError, "`clip_value` must be a finite number > 0; got -1"),
    (None, X, CLASSES, {"patience": 0}, ValueError, "`patience` must be an integer of at least 1; got 0"),
    (None, X, CLASSES, {"init": "magic"}, ValueError, "`init` must be one of .*; got 'magic'"),
    (None, X, CLASSES, {"params": ((), (), ())}, ValueError, "`params` must be those of Sequential"),
    (
        None,
        X,
        CLASSES,
        {"validation": 1.0},
        ValueError,
        "`validation` must be a finite number > 0 and < 1; got 1",
    ),
    (
        None,
        X,
        CLASSES,
        {"validation": 0.99},
        ValueError,
        "`validation` must leave a sequence to train on; got 0.99 of 7",
    ),
    (
        None,
        X,
        CLASSES,
        {"validation": (X,)},
        ValueError,
        r"`validation` must be a share, a Dataset, \(X, y\), .* or \(X, y, lengths, weights\); got 1 parts",
    ),
    (
        None,
        X,
        CLASSES,
        {"layout": "CNT"},
        ValueError,
        "`layout` must be one of 'NTC', 'TNC', 'NCT'; got 'CNT'",
    ),
    (
        None,
        X,
        CLASSES,
        {"lengths": [1, 2]},
        ValueError,
        r"`lengths` must have shape \(B,\) with B = 7; got \(2,\)",
    ),
    (
        None,
        X,
        CLASSES,
        {"lengths": [8] * N},
        ValueError,
        r"`lengths` must lie in 0\.\.T with T = 7; got 8 at index 0",
    ),
    (
        None,
        ROWS,
        CLASSES,
        {"lengths": LENGTHS},
        ValueError,
        "`lengths` must be None where `X` is a list of unequal",
    ),
    (
        None,
        ROWS,
        CLASSES,
        {"layout": "TNC"},
        ValueError,
        "`layout` must be 'NTC' where `X` is a list .*; got 'TNC'",
    ),
    (
        None,
        X[:0],
        CLASSES[:0],
        {},
        ValueError,
        "`X` must hold at least one sequence of .* step; got T = 7, N = 0",
    ),
    (
        None,
        X[:, :0],
        CLASSES,
        {},
        ValueError,
        "`X` must hold at least one sequence of .* step; got T = 0, N = 7",
    ),
    (
        None,
        X[..., :1],
        CLASSES,
        {},
        ValueError,
        r"C = 2 features in layout 'NTC'; got \(7, 7, 1\), so C = 1\.$",
    ),
    (None, np.swapaxes(X, 1, 2), CLASSES, {}, ValueError, r"so C = 7\. Its shape would fit layout='NCT'"),
    (None, X[..., 0], CLASSES, {}, ValueError, "`X` must have three axes.*A single channel needs an axis"),
    (
        None,
        np.ones((N, T), int),
        CLASSES,
        {},
        ValueError,
        r"`X` must have three axes \(NTC\) .*; got integers with two",
    ),
    (None, HOLED, CLASSES, {}, ValueError, "`X` holds nan at sample 2, step 3, feature 1; every valid step"),
    (
        None,
        X * 1e300,
        CLASSES,
        {"backend": "numpy"},
        ValueError,
        r"`X` holds -?\d\.\d+e\+299 at sample 0, step 0, feature 0, beyond float32; dtype='float64' holds it",
    ),
    (
        TOKENS,
        X,
        CLASSES,
        {},
        TypeError,
        "`X` must be integer tokens .* Embedding; got float64 with three axes",
    ),
    (
        TOKENS,
        np.full((N, T), 5),
        CLASSES,
        {},
        ValueError,
        r"`X` must hold tokens in 0\.\.V-1 with V = 5; got 5\.\.5",
    ),
    (TOKENS, np.full((N, T), -1), CLASSES, {}, ValueError, r"`X` must hold tokens .* = 5; got -1\.\.-1"),
    (
        None,
        X,
        list("abcabca"),
        {},
        TypeError,
        "`y` must hold numbers; got dtype <U1. .*rx.data.encode_labels",
    ),
    (
        None,
        X,
        [[0], [1, 2]],
        {},
        ValueError,
        "`y` must be an array; got rows of unequal length. .*rx.data.pad",
    ),
    (
        None,
        X,
        CLASSES / 2,
        {},
        TypeError,
        r"`y` must hold integer classes 0\.\.K-1 with K = 3 .*; got dtype float64",
    ),
    (None, X, CLASSES[:3], {}, ValueError, r"`y` must have shape \(N\) with N = 7; got \(3,\)"),
    (None, X, CLASSES + 1, {}, ValueError, r"`y` must hold classes in 0\.\.K-1, .* with K = 3; got 1\.\.3"),
    (None, X, CLASSES - 1, {}, ValueError, r"`y` must hold classes .* with K = 3; got -1\.\.1"),
    (
        None,
        X,
        X[:, 0],
        {"loss": "huber"},
        ValueError,
        r"`y` must have shape \(N, K\) with N = 7, K = 3; got \(7, 2\)",
    ),
    (
        None,
        X,
        HOLED[:, 3, [0, 1, 1]],
        {"loss": "huber"},
        ValueError,
        "`y` holds nan at sample 2, feature 1; every target must be finite",
    ),
    (
        None,
        X,
        np.full((N, 3), 1.5),
        {"loss": "binary_cross_entropy"},
        ValueError,
        r"`y` must lie in 0\.\.1 .*; got 1\.5",
    ),
    (
        None,
        X,
        CLASSES,
        {"weights": [1.0] * (N - 1) + [-1.0]},
        ValueError,
        "`weights` must be finite and not negative; got -1.0 at index 6",
    ),
    (
        None,
        X,
        CLASSES,
        {"weights": [np.nan] * N},
        ValueError,
        "`weights` must be finite and not negative; got nan at index 0",
    ),
    (
        None,
        X,
        CLASSES,
        {"weights": [0.0] * N},
        ValueError,
        "`X` must hold something that counts; got only what lies past `lengths` or weighs 0",
    ),
    (
        None,
        X,
        CLASSES,
        {"weights": [1.0]},
        ValueError,
        r"`weights` must have shape \(N\) with N = 7; got \(1,\)",
    ),
]


@pytest.mark.parametrize(("model", "data", "y", "options", "error", "message"), FIT_FAULTS)
def test_what_fit_refuses(
    model: Any, data: Any, y: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(model or classifier(), data, y, **options)


def test_what_a_model_with_an_output_a_step_refuses() -> None:
    model, y = classifier(per_step=True), np.zeros((N, T), dtype=int)
    with pytest.raises(ValueError, match=r"`y` must have shape \(N, T\) with N = 7, T = 7; got \(7,\)"):
        train(model, X, CLASSES)
    with pytest.raises(
        ValueError, match=r"`weights` must have shape \(N, T\) with N = 7, T = 7; got \(7, 6\)"
    ):
        train(model, X, y, weights=np.ones((N, T - 1)))
    with pytest.raises(ValueError, match=r"`y` must lie in 0\.\.1 for this loss; got 0\.\.2\."):
        train(model, X, 2.0 * np.ones((N, T, 3)), loss="binary_cross_entropy", lengths=LENGTHS)
    outside = np.where(np.arange(T)[:, None] < np.array(LENGTHS)[:, None, None], 1.0, -9.0) * np.ones(3)
    train(model, X, outside, loss="binary_cross_entropy", lengths=LENGTHS, epochs=1)


TWENTY = np.zeros((20, 9, 2))
COUNT = r"`X` must hold something that counts; got only what lies past `lengths` or weighs 0"
MASKED = np.ma.MaskedArray(CLASSES, CLASSES == 0)
WRONG_KINDS: list[tuple[dict[str, Any], str]] = [
    ({"optimizer": "adam"}, r"`optimizer` must be an optimiser such as rnn_xp.Adam\(1e-3\); got 'adam'"),
    ({"optimizer": rx.Adam}, r"`optimizer` must be an optimiser .*; got Adam\."),
    ({"schedule": 0.5}, "`schedule` must be a function of the step .*; got 0.5"),
    ({"callbacks": 3}, "`callbacks` must be functions of an rnn_xp.Epoch; got 3"),
    ({"callbacks": [3]}, r"`callbacks` must be functions of an rnn_xp.Epoch; got \[3\]"),
    ({"shuffle": 1}, "`shuffle` must be True or False; got 1"),
    ({"verbose": "no"}, "`verbose` must be True or False; got 'no'"),
    ({"y": None}, "`y` must hold the targets; got None"),
    ({"validation": X}, "`validation` must be a share, a Dataset, .*; got ndarray"),
    ({"validation": True}, "`validation` must be a share, a Dataset, .*; got bool"),
    ({"validation": (X, None)}, "`validation`: `y` must hold the targets; got None"),
    ({"validation": rx.data.Dataset(X)}, "`validation`: `y` must hold the targets; got None"),
    ({"y": MASKED}, "`y` must be a plain array; got a masked one"),
    ({"weights": MASKED}, "`weights` must be a plain array; got a masked one"),
    ({"weights": list(MASKED[None])}, "`weights` must be a plain array; got a masked one"),
    ({"weights": ["1"] * N}, "`weights` must hold numbers; got dtype <U1"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_KINDS)
def test_kinds_are_told_before_anything_is_trained(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"y": CLASSES, "callbacks": [lambda _: pytest.fail("trained")], **options}
    with pytest.raises(TypeError, match=message):
        train(classifier(), X, arguments.pop("y"), **arguments)


def test_a_layer_alone_is_no_model() -> None:
    for model, came in ((rx.GRU(2, 3), "GRU"), (rx.Sequential, "Sequential")):
        for use in (
            lambda model: train(model, X, CLASSES),
            lambda model: rx.predict(model, (), X),
            lambda model: rx.evaluate(model, (), X, CLASSES),
        ):
            with pytest.raises(TypeError, match=f"`model` must be a rnn_xp.Sequential; got {came}"):
                use(model)


def test_a_backend_of_another_dtype_is_refused() -> None:
    with pytest.raises(
        ValueError, match="`dtype` must be 'float64', that of the Backend, or None; got 'float32'"
    ):
        train(classifier(), X, CLASSES, dtype="float32")
    with pytest.raises(ValueError, match=r"`backend` must be one of .*; got 'nonsense'"):
        train(classifier(), X, CLASSES, backend="nonsense")


@pytest.mark.parametrize(
    ("layout", "shape", "words"),
    [
        ("NTC", (9, 20), r"\(N, T\) with N = 20, T = 9; got \(9, 20\)"),
        ("TNC", (20, 9), r"\(T, N\) with T = 9, N = 20; got \(20, 9\)"),
        ("NCT", (9, 20), r"\(N, T\) with N = 20, T = 9; got \(9, 20\)"),
    ],
)
def test_shapes_are_told_in_the_layout_of_the_user(layout: str, shape: tuple[int, ...], words: str) -> None:
    data = TWENTY.transpose(["NTC".index(axis) for axis in layout])
    wrong, right = np.zeros(shape, dtype=int), np.zeros(shape[::-1], dtype=int)
    with pytest.raises(ValueError, match="`y` must have shape " + words):
        train(classifier(per_step=True), data, wrong, layout=layout)
    with pytest.raises(ValueError, match="`weights` must have shape " + words):
        train(classifier(per_step=True), data, right, weights=wrong + 1, layout=layout)


def test_numbers_a_step_are_told_in_the_layout_of_the_user() -> None:
    options = {"loss": "huber", "layout": "NCT"}
    words = r"`y` must have shape \(N, K, T\) with N = 20, K = 3, T = 9; got \(20, 9, 3\)"
    with pytest.raises(ValueError, match=words):
        train(classifier(per_step=True), np.swapaxes(TWENTY, 1, 2), np.zeros((20, 9, 3)), **options)


def test_a_wrong_number_of_sequences_hints_at_the_layout() -> None:
    y = np.zeros(20, dtype=int)
    words = r"`y` must have shape \(N\) with N = 9; got \(20,\)\. It would fit layout='NTC'\."
    with pytest.raises(ValueError, match=words):
        train(classifier(), TWENTY, y, layout="TNC")
    with pytest.raises(ValueError, match=r"`weights` must have .*; got \(9,\)\. It would fit layout='TNC'"):
        train(classifier(), TWENTY, y, weights=np.ones(9))
    with pytest.raises(ValueError, match=r"with N = 20; got \(3,\)\.$"):
        train(classifier(), TWENTY, y[:3])


def test_training_in_which_nothing_counts_is_refused() -> None:
    tagger, y = classifier(per_step=True), np.zeros((N, T), dtype=int)
    past = np.arange(T) >= np.array(LENGTHS)[:, None]
    nothing = [0] * N
    for options in ({"lengths": nothing}, {"lengths": LENGTHS, "weights": past}):
        with pytest.raises(ValueError, match=COUNT):
            train(tagger, X, y, **options)
    with pytest.raises(ValueError, match=COUNT):
        rx.evaluate(tagger, tagger.init(NUMPY), X, y, lengths=nothing)
    for validation in ((X, y, nothing), [X, y, LENGTHS, past]):
        with pytest.raises(ValueError, match="`validation` must hold something that counts"):
            train(tagger, X, y, validation=validation)
    single = rx.Sequential(rx.LastStep(), rx.Linear(2, 1))
    with pytest.raises(
        ValueError, match=r"`model` must have an output for each class, .*; got 1\. Yes or no"
    ):
        train(single, X, np.zeros(N, dtype=int))


def test_numbers_that_are_none_or_too_large_are_told_by_their_place() -> None:
    model, y = rx.Sequential(rx.LastStep(), rx.Linear(2, 1)), np.zeros(N)
    y[4] = np.nan
    with pytest.raises(ValueError, match="`y` holds nan at sample 4; every target must be finite"):
        train(model, X, y, loss="huber")
    y[3] = 1e39
    words = r"`y` holds 1e\+39 at sample 3, beyond float32; dtype='float64' holds it"
    with pytest.raises(ValueError, match=words):
        train(model, X, y, loss="huber", backend="numpy")
    with pytest.raises(ValueError, match="`X` holds inf at sample 1, step 2, feature 0; every valid step"):
        train(model, np.where(X[1, 2, 0] == X, np.inf, X), np.zeros(N), loss="huber", backend="numpy")


def test_ragged_targets_say_how_to_pad_them() -> None:
    labels = [np.zeros(length, dtype=int) for length in LENGTHS]
    with pytest.raises(ValueError, match=r"got rows of unequal length\. Pad them: rx.data.pad\(y\)\[0\]"):
        train(classifier(per_step=True), X, labels, lengths=LENGTHS)
    train(classifier(per_step=True), X, rx.data.pad(labels)[0], lengths=LENGTHS, epochs=1)
    labels[2] = labels[2][1:]
    with pytest.raises(ValueError, match="`y` must have as many steps as `X`, 7 at index 2; got 6"):
        train(classifier(per_step=True), ROWS, labels)
    with pytest.raises(ValueError, match=r"`X` must be an array; got rows of unequal length"):
        train(classifier(), [[[1.0], [1.0, 2.0]]] * N, CLASSES)


def test_a_validation_set_is_named() -> None:
    with pytest.raises(ValueError, match=r"`validation`: `y` must have shape \(N\) with N = 7; got \(3,\)"):
        train(classifier(), X, CLASSES, validation=(X, CLASSES[:3]))


def test_a_result_is_not_its_weights() -> None:
    model = classifier()
    result = train(model, X, CLASSES, epochs=1)
    for use in (
        lambda: rx.predict(model, result, X),
        lambda: rx.evaluate(model, result, X, CLASSES),
        lambda: train(model, X, CLASSES, params=result),
    ):
        with pytest.raises(TypeError, match=r"`params` must be .*; got a Result: pass result\.params"):
            use()


def test_what_predict_and_evaluate_refuse() -> None:
    model = classifier()
    params = model.init(NUMPY)
    with pytest.raises(ValueError, match=r"`loss` must be one of 'cross_entropy'.*; got 'mse'"):
        rx.predict(model, params, X, loss="mse")
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1; got 0"):
        rx.predict(model, params, X, batch_size=0)
    with pytest.raises(ValueError, match="`params` must be those of Sequential"):
        rx.predict(model, params[:2], X)
    with pytest.raises(ValueError, match=r"`loss` must be one of 'cross_entropy'.*; got 'mse'"):
        rx.evaluate(model, params, X, CLASSES, loss="mse")
    with pytest.raises(ValueError, match="`params` must be those of Sequential"):
        rx.evaluate(model, params[:2], X, CLASSES)
