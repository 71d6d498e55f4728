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
        r"`validation` must be a share, \(X, y\) or .*; got 1 parts",
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
    (None, X * 1e300, CLASSES, {"backend": "numpy"}, ValueError, "`X` holds -?inf at sample 0, step 0"),
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
        "`y` holds nan at sample 2, step 0, feature 1",
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
        {"weights": [-1.0] * N},
        ValueError,
        "`weights` must be finite, not negative and not all 0",
    ),
    (
        None,
        X,
        CLASSES,
        {"weights": [np.nan] * N},
        ValueError,
        "`weights` must be finite, not negative and not all 0",
    ),
    (
        None,
        X,
        CLASSES,
        {"weights": [0.0] * N},
        ValueError,
        "`weights` must be finite, not negative and not all 0",
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
    with pytest.raises(ValueError, match=r"`y` must have shape \(T, N\) with T = 7, N = 7; got \(7,\)"):
        train(model, X, CLASSES)
    with pytest.raises(
        ValueError, match=r"`weights` must have shape \(T, N\) with T = 7, N = 7; got \(6, 7\)"
    ):
        train(model, X, y, weights=np.ones((N, T - 1)))
    with pytest.raises(ValueError, match=r"`y` must lie in 0\.\.1 for this loss; got 0\.\.2\."):
        train(model, X, 2.0 * np.ones((N, T, 3)), loss="binary_cross_entropy", lengths=LENGTHS)
    outside = np.where(np.arange(T)[:, None] < np.array(LENGTHS)[:, None, None], 1.0, -9.0) * np.ones(3)
    train(model, X, outside, loss="binary_cross_entropy", lengths=LENGTHS, epochs=1)


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
