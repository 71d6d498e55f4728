"""What comes in wrong is refused: by the kind of error, the argument's name, and words that help.

Every row is one of a family: an argument of a public function, and something that it must not be. Nothing may
crash, compute in silence, or change the model that it was given.
"""

from __future__ import annotations

import datetime
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import array_api_strict as strict
import numpy as np
import pytest
from support import UGRNN, open_backend

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import BackendError
from rnn_xp.cells import gru
from rnn_xp.clipping import clip_by_global_norm, clip_by_value
from rnn_xp.configs import from_config
from rnn_xp.layers import LinearParams

NAN, INF = float("nan"), float("inf")
SINGLE, DOUBLE = open_backend("numpy", "float32"), open_backend("numpy")
T, B, D, H = 5, 2, 3, 4

LSTM = rx.LSTM(D, H)
P = LSTM.init(SINGLE)
X = np.linspace(-1, 1, T * B * D, dtype=np.float32).reshape(T, B, D)
Y, STATE, TAPE = LSTM.forward(P, X)
DEEP = rx.LSTM(D, H, 2, bidirectional=True)
DEEP_P = DEEP.init(SINGLE)
MODEL = rx.Sequential(rx.GRU(D, H), rx.LastStep(), rx.Linear(H, 2))
MODEL_P = MODEL.init(SINGLE)
TAGGER = rx.Sequential(rx.GRU(D, H), rx.Linear(H, 2))
TAGGER_P = TAGGER.init(SINGLE)
TEXT = rx.Sequential(rx.Embedding(5, 2), rx.RNN(2, H), rx.Linear(H, 5))
TEXT_P = TEXT.init(SINGLE)
NUMBER = rx.Sequential(rx.LastStep(), rx.Linear(D, 1))
NUMBER_P = NUMBER.init(SINGLE)
N = 4
DATA = np.linspace(-1, 1, N * T * D).reshape(N, T, D)
CLASSES = np.array([0, 1, 0, 1])
TOKENS = np.arange(N * T).reshape(N, T) % 5
BIG_ENDIAN = X.astype(">f4")
with warnings.catch_warnings():  # of its being out of use
    warnings.simplefilter("ignore")
    MATRIX = np.asmatrix(X[:, 0])
HOLED = DATA.copy()
HOLED[2, 3, 1] = NAN


class Row(NamedTuple):
    call: Callable[[], Any]
    error: type[Exception]
    words: str


def table(call: Callable[[Any], Any], *rows: tuple[Any, type[Exception], str]) -> Iterator[Row]:
    """Yield a row for each wrong value, with what its error is and says."""
    for value, error, words in rows:
        yield Row(lambda value=value: call(value), error, words)


class Frame:
    """As far as a data frame of a library for tables is looked at: values with rules of their own."""

    shape, dtype, ndim = X.shape, X.dtype, 3

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(X)


TORCH = rx.interop.torch.to_state_dict(LSTM, P)


def fit(**given: Any) -> Any:
    return rx.fit(
        given.pop("model", MODEL),
        given.pop("X", DATA),
        given.pop("y", CLASSES),
        **{"backend": SINGLE, "params": MODEL_P, "verbose": False, "epochs": 1, **given},
    )


FAMILIES: dict[str, list[Row]] = {}


def family(name: str, *tables: Iterator[Row]) -> None:
    FAMILIES[name] = [row for each in tables for row in each]


DIMENSIONS = r"`x` must have shape \(T, B, D\) with D = 3; got "
family(
    "forward: x",
    table(
        lambda x: LSTM.forward(P, x),
        (None, TypeError, "`x`"),
        ((X, X), TypeError, "`x`"),
        (X.tolist(), TypeError, r"`x\[0\]` must be an array; got list. Convert it: `backend.asarray"),
        (1.0, TypeError, "`x`"),
        ("speed", TypeError, "`x`"),
        ({"x": X}, TypeError, "`x`"),
        (Frame(), TypeError, "`x`"),
        (np.ma.masked_array(X, X > 0), TypeError, "`x` must be an array; got numpy.MaskedArray"),
        (MATRIX, TypeError, "`x`.*matrix"),
        (X.astype(str), TypeError, "`x`"),
        (X.astype(object), TypeError, "`x`"),
        (X.astype("datetime64[s]"), TypeError, "`x`"),
        (X.view([("a", np.float32)]), TypeError, "`x`"),
        (X.astype(np.int64), TypeError, "`x` must have dtype float32, that of the parameters; got int64"),
        (X > 0, TypeError, "`x` must have dtype float32, that of the parameters; got bool"),
        (X.astype(np.complex64), TypeError, "`x` must have dtype float32, .*; got complex64"),
        (X.astype(np.float16), TypeError, "`x` must have dtype float32, .*; got float16"),
        (X.astype(np.float64), TypeError, "`x` must have dtype float32, .*; got float64. Convert it with"),
        (X.astype(np.longdouble), TypeError, "`x` must have dtype float32"),
        (BIG_ENDIAN, TypeError, "`x` must have dtype float32, .*; got float32 in another order of bytes"),
        (
            strict.asarray(X.tolist(), dtype=strict.float32),
            TypeError,
            r"got numpy \(`params`\) and array_api_strict \(`x`\). Nothing is copied",
        ),
        (X[0, 0, 0], ValueError, DIMENSIONS + r"\(\)"),
        (np.array(1.0, np.float32), ValueError, DIMENSIONS + r"\(\)"),
        (X[0, 0], ValueError, DIMENSIONS + r"\(3,\)\. Time comes first"),
        (X[:, 0], ValueError, DIMENSIONS + r"\(5, 3\)"),
        (X[None], ValueError, DIMENSIONS + r"\(1, 5, 2, 3\)"),
        (X[..., :2], ValueError, DIMENSIONS + r"\(5, 2, 2\)"),
        (X.swapaxes(1, 2), ValueError, DIMENSIONS + r"\(5, 3, 2\)"),
        (X[..., :0], ValueError, DIMENSIONS + r"\(5, 2, 0\)"),
    ),
    table(
        lambda x: rx.Embedding(5, 2).forward(TEXT_P[0], x),
        (X, ValueError, r"`x` must have shape \(T, B\); got \(5, 2, 3\)"),
        (X[..., 0], TypeError, "`x` must hold integer tokens; got dtype float32"),
        (np.array([[5]]), ValueError, r"`x` must hold tokens in 0\.\.V-1 with V = 5; got 5\.\.5"),
        (np.array([[0], [-1]]), ValueError, r"`x` must hold tokens in 0\.\.V-1 with V = 5; got -1\.\.0"),
        (np.array([[True]]), TypeError, "`x` must hold integer tokens; got dtype bool"),
        ([[1, 2]], TypeError, r"`x\[0\]` must be an array; got list"),
    ),
    table(
        lambda x: rx.Linear(D, 2).forward(LinearParams(X[0], X[0, :, 0]), x),
        (X[0, 0], ValueError, r"`x` must have shape \(B, D\) with D = 3; got \(3,\)"),
        (X[None], ValueError, r"`x` must have shape .*; got \(1, 5, 2, 3\)"),
        (X[..., :2], ValueError, r"`x` must have shape \(T, B, D\) with D = 3; got \(5, 2, 2\)"),
    ),
    table(
        lambda x: MODEL.forward(MODEL_P, x),
        (X[:0], ValueError, "`x` must have at least one step to pool; got T = 0"),
        (X[..., :1], ValueError, r"`x` must have .*D = 3.*; got .*\(5, 2, 1\)"),
    ),
    table(
        lambda x: rx.MaxPool().forward((), x),
        (X[0], ValueError, r"`x` must have shape \(T, B, D\); got \(2, 3\)"),
        (X[:0], ValueError, "`x` must have at least one step to pool; got T = 0"),
    ),
)
(p,) = P
family(
    "forward: params",
    table(
        lambda params: LSTM.forward(params, X),
        (None, ValueError, r"`params` must be those of LSTM\(3, 4\), as its init returns them: 0.bias_hh"),
        ((), ValueError, "`params` must be those of LSTM.*got absent"),
        (p, ValueError, "`params` must be those of LSTM"),
        ((p, p), ValueError, r"`params` must be those of LSTM.*1\.bias_hh absent, got \(16,\)"),
        ((p._replace(bias_hh=None),), ValueError, r"0\.bias_hh \(16,\), got absent"),
        ((p._replace(weight_hh=p.weight_ih),), ValueError, r"0\.weight_hh \(16, 4\), got \(16, 3\)"),
        ((p._replace(weight_hh=p.weight_hh.T),), ValueError, r"0\.weight_hh \(16, 4\), got \(4, 16\)"),
        ((p._replace(weight_hh=None),), ValueError, r"0\.weight_hh \(16, 4\), got absent"),
        (DEEP_P, ValueError, "`params` must be those of LSTM"),
        (MODEL_P, ValueError, "`params` must be those of LSTM"),
        ((p._replace(weight_hh=p.weight_hh.tolist()),), TypeError, "`params"),
        ((p._replace(weight_hh="weights"),), TypeError, "`params"),
        ((p._replace(weight_hh=p.weight_hh.astype(str)),), TypeError, "`params`"),
        ((p._replace(weight_hh=p.weight_hh.astype(np.float64)),), TypeError, "`params`.*float64"),
        ((p._replace(weight_hh=p.weight_hh.astype(int)),), TypeError, "`params`.*int64"),
        (tree.map(lambda leaf: leaf.astype(int), P), TypeError, "`params`"),
        (tree.map(lambda leaf: leaf.astype(np.float16), P), TypeError, "`params`"),
        (tree.map(lambda leaf: leaf.astype(np.complex64), P), TypeError, "`params`"),
        (tree.map(lambda leaf: np.ma.masked_array(leaf), P), TypeError, "`params.*MaskedArray"),
        ("weights", TypeError, "`params"),
        (3, TypeError, "`params"),
    ),
)
h, c = STATE
family(
    "forward: state_0",
    table(
        lambda state: LSTM.forward(P, X, state),
        ((h,), TypeError, r"`state_0` must be a tuple of the cell's fields \(h, c\); got tuple of 1"),
        (h, TypeError, r"`state_0` must be a tuple of the cell's fields \(h, c\); got ndarray"),
        ([h, c], TypeError, "`state_0` must be a tuple .*; got list"),
        ({"h": h, "c": c}, TypeError, "`state_0` must be a tuple .*; got dict"),
        ((), TypeError, "`state_0` must be a tuple .*; got tuple of 0"),
        ((h, None), TypeError, r"`state_0.c` must be an array of shape .*; got NoneType"),
        ((h, c[:, :1]), ValueError, r"`state_0.c` must have shape \(L\*dirs, B, H\) .*; got \(1, 1, 4\)"),
        ((h[0], c[0]), ValueError, r"`state_0.h` must have shape .*; got \(2, 4\)"),
        ((h[..., :3], c), ValueError, r"`state_0.h` must have shape .*H = 4; got \(1, 2, 3\)"),
        ((h, c.astype(np.float64)), TypeError, "`state_0.c` must have dtype float32"),
        ((h, c.astype(int)), TypeError, "`state_0.c` must have dtype float32"),
        ((h, np.ma.masked_array(c)), TypeError, r"`state_0\[1\]` must be an array; got numpy.MaskedArray"),
        ((h, c.tolist()), TypeError, "`state_0"),
        ("zero", TypeError, "`state_0"),
        (0, TypeError, "`state_0"),
    ),
    table(
        lambda state: DEEP.forward(DEEP_P, X, state),
        (STATE, ValueError, r"`state_0.h` must have shape .* with L\*dirs = 4, .*; got \(1, 2, 4\)"),
    ),
    table(
        lambda state: MODEL.forward(MODEL_P, X, state),
        (h, TypeError, "`state_0` must be a tuple of 3 states, one a layer; got ndarray"),
        (((h,), ()), TypeError, "`state_0` must be a tuple of 3 states, one a layer; got tuple of 2"),
        (
            ((h,), (h,), ()),
            TypeError,
            r"`state_0\[1\]` must be None or \(\): LastStep has no state; got tuple",
        ),
    ),
)
family(
    "forward: lengths",
    *[
        table(
            call,
            ([5, -1], ValueError, r"`lengths` must lie in 0\.\.T with T = 5; got -1 at index 1"),
            ([6, 5], ValueError, r"`lengths` must lie in 0\.\.T with T = 5; got 6 at index 0"),
            ([10**30, 5], ValueError, r"`lengths` must lie in 0\.\.T with T = 5; got 10+ at index 0"),
            ([5], ValueError, r"`lengths` must have shape \(B,\) with B = 2; got \(1,\)"),
            ([], ValueError, r"`lengths` must have shape \(B,\) with B = 2; got \(0,\)"),
            (np.array([[5, 5]]), ValueError, r"`lengths` must have shape \(B,\) with B = 2; got \(1, 2\)"),
            (np.array(5), (TypeError, ValueError), "`lengths`"),
            ([True, False], TypeError, "`lengths` must hold integers; got True at index 0"),
            (np.array([True, False]), TypeError, "`lengths` must hold integers; got True at index 0"),
            ([5.0, 4.0], TypeError, "`lengths` must hold integers; got 5.0 at index 0"),
            ([5, NAN], TypeError, "`lengths` must hold integers; got nan at index 1"),
            ([5, None], TypeError, "`lengths` must hold integers; got None at index 1"),
            (["5", "4"], TypeError, "`lengths` must hold integers; got '5' at index 0"),
            ("54", TypeError, r"`lengths` must be a list or host integer array of shape \(B,\) .*; got str"),
            (5, TypeError, "`lengths` must be a list or host integer array .*; got int"),
            ({5, 4}, TypeError, "`lengths` must be a list or host integer array .*; got set"),
            (iter([5, 4]), TypeError, "`lengths` must be a list or host integer array .*; got list_iterator"),
            (
                strict.asarray([5, 4]),
                TypeError,
                "`lengths` must be a list or host integer array .*; got Array",
            ),
        )
        for call in (
            lambda lengths: LSTM.forward(P, X, lengths=lengths),
            lambda lengths: rx.predict(MODEL, MODEL_P, DATA[:2], lengths=lengths),
        )
    ],
    table(
        lambda lengths: rx.Linear(H, 2).forward(MODEL_P[2], X[0, :, [0, 1, 2, 0]].T, lengths=lengths),
        ([1, 1], ValueError, "`lengths` must be None unless `x` has a time axis, and so 3 axes; got 2"),
    ),
)
MASK = np.ones((T, B), dtype=bool)
family(
    "forward: mask and reset",
    *[
        table(
            lambda value, name=name: LSTM.forward(P, X, **{name: value}),
            (MASK.T, ValueError, rf"`{name}` must have shape \(T, B\) with T = 5, B = 2; got \(2, 5\)"),
            (MASK[0], ValueError, rf"`{name}` must have shape \(T, B\)"),
            (MASK.astype(int), TypeError, f"`{name}`.*int64"),
            (MASK.astype(np.float32), TypeError, f"`{name}`.*float32"),
            (True, (TypeError, ValueError), f"`{name}`"),
            ("all", (TypeError, ValueError), f"`{name}`"),
        )
        for name in ("mask", "reset")
    ],
    table(
        lambda given: LSTM.forward(P, X, **given),
        ({"mask": MASK, "lengths": [5, 5]}, ValueError, "`mask`.*`lengths`|`lengths`.*`mask`"),
    ),
)
family(
    "forward: rng",
    table(
        lambda rng: DEEP.forward(DEEP_P, X, rng=rng),
        (0, TypeError, r"`rng` must be a rnn_xp.Rng\(seed, step\); got 0"),
        ("seed", TypeError, "`rng` must be a rnn_xp.Rng"),
        (np.random.default_rng(0), TypeError, r"`rng` must be a rnn_xp.Rng\(seed, step\); got Generator"),
        ((), TypeError, r"`rng` must be a rnn_xp.Rng\(seed, step\); got \(\)"),
        ([0, 1], TypeError, r"`rng` must be a rnn_xp.Rng\(seed, step\); got \[0, 1\]"),
    ),
    table(
        lambda rng: rx.Dropout(0.5).forward((), X, rng=rng),
        (rx.Rng(-1, 0), ValueError, "`rng.seed` must be an integer of at least 0"),
        (rx.Rng(0, 2**32), ValueError, "`rng.step` must be an integer .* at most 4294967295"),
        (rx.Rng(0, 1.5), TypeError, "`rng.step` must be an integer .*; got 1.5"),
        (rx.Rng(0, NAN), TypeError, "`rng.step` must be an integer .*; got nan"),
        (rx.Rng(0, 0, layer=-1), ValueError, "`rng.layer` must be an integer of at least 0"),
        (rx.Rng("0", 0), TypeError, "`rng.seed` must be an integer .*; got '0'"),
    ),
)
family(
    "backward",
    table(
        lambda d_y: LSTM.backward(P, TAPE, d_y),
        (None, TypeError, "`d_y`"),
        (Y[:-1], ValueError, r"`d_y` must have shape \(T, B, K\) with T = 5, B = 2, K = 4; got \(4, 2, 4\)"),
        (Y[..., :3], ValueError, r"`d_y` must have shape .*; got \(5, 2, 3\)"),
        (Y[0], ValueError, r"`d_y` must have shape .*; got \(2, 4\)"),
        (Y.astype(np.float64), TypeError, "`d_y` must have dtype float32"),
        (Y.astype(int), TypeError, "`d_y` must have dtype float32"),
        (Y.tolist(), TypeError, "`d_y"),
        (np.ma.masked_array(Y), TypeError, "`d_y` must be an array; got numpy.MaskedArray"),
        (Y.astype(">f4"), TypeError, "`d_y`.*order of bytes"),
    ),
    table(
        lambda d_state: LSTM.backward(P, TAPE, Y, d_state),
        ((h,), TypeError, r"`d_state_T` must be a tuple of the cell's fields \(h, c\); got tuple of 1"),
        ((h, c[:, :1]), ValueError, r"`d_state_T.c` must have shape .*; got \(1, 1, 4\)"),
        ((h, c.astype(np.float64)), TypeError, "`d_state_T.c` must have dtype float32"),
        (h, TypeError, "`d_state_T` must be a tuple"),
    ),
    table(
        lambda tape: LSTM.backward(P, tape, Y),
        (None, TypeError, "`tape` must be .*what `forward` returned; got NoneType"),
        ((), TypeError, "`tape` must be"),
        (Y, TypeError, "`tape` must be"),
        ("tape", TypeError, "`tape` must be"),
    ),
    table(
        lambda params: LSTM.backward(params, TAPE, Y),
        ((), ValueError, "`params` must be those of LSTM"),
        (MODEL_P, ValueError, "`params` must be those of LSTM"),
        ("weights", TypeError, "`params"),
    ),
)
family(
    "stream",
    table(
        lambda batch_size: MODEL.stream(MODEL_P, batch_size),
        (0, ValueError, "`batch_size` must be an integer of at least 1; got 0"),
        (-1, ValueError, "`batch_size` must be an integer of at least 1; got -1"),
        (1.0, TypeError, "`batch_size` must be an integer of at least 1; got 1.0"),
        (True, TypeError, "`batch_size` must be an integer .*; got True"),
        ("2", TypeError, "`batch_size` must be an integer .*; got '2'"),
        (None, TypeError, "`batch_size` must be an integer .*; got None"),
    ),
    table(
        lambda params: MODEL.stream(params),
        (None, ValueError, "`params` must be those of Sequential"),
        (P, ValueError, "`params` must be those of Sequential"),
        ("weights", TypeError, "`params"),
    ),
    table(
        lambda layers: rx.Sequential(*layers).stream(rx.Sequential(*layers).init(SINGLE)),
        ((rx.GRU(D, H, bidirectional=True),), ValueError, "`model` must answer at each step .*; got GRU"),
        ((rx.GRU(D, H, reverse=True),), ValueError, "`model` must answer at each step"),
        ((rx.GRU(D, H), rx.MeanPool()), ValueError, "`model` must answer at each step .*; got MeanPool"),
        ((rx.LastStep(),), ValueError, "`model` must have parameters"),
    ),
    table(
        lambda x: MODEL.stream(MODEL_P, 2).step(x),
        (None, TypeError, "`x`"),
        (X[0].tolist(), TypeError, "`x"),
        (
            X,
            ValueError,
            r"`x` must have shape \(B, D\) with B = 2, D = 3; got \(5, 2, 3\)\. A stream reads one",
        ),
        (X[0, :1], ValueError, r"`x` must have shape \(B, D\) with B = 2, D = 3; got \(1, 3\)"),
        (X[0, :, :2], ValueError, r"`x` must have shape \(B, D\) .*; got \(2, 2\)"),
        (X[0].astype(np.float64), TypeError, "`x` must have dtype float32"),
        (X[0].astype(int), TypeError, "`x` must have dtype float32"),
        (X[0].astype(">f4"), TypeError, "`x`.*order of bytes"),
        (np.ma.masked_array(X[0]), TypeError, "`x` must be an array; got numpy.MaskedArray"),
        (strict.asarray(X[0].tolist(), dtype=strict.float32), TypeError, "`x`"),
    ),
    table(
        lambda x: MODEL.stream(MODEL_P, 2).run(x),
        (X[0], ValueError, r"`x` must have shape \(T, B, D\) with B = 2, D = 3; got \(2, 3\)"),
        (X[:, :1], ValueError, r"`x` must have shape \(T, B, D\) with B = 2, D = 3; got \(5, 1, 3\)"),
        (X[:0], ValueError, "`x` must have at least one step.*; got T = 0"),
        (X.astype(np.float64), TypeError, "`x` must have dtype float32"),
        (X.tolist(), TypeError, "`x"),
    ),
    table(
        lambda x: TEXT.stream(TEXT_P).step(x),
        (np.array([5]), ValueError, r"`x` must hold tokens in 0\.\.V-1 with V = 5; got 5\.\.5"),
        (np.array([-1]), ValueError, r"`x` must hold tokens in 0\.\.V-1 with V = 5; got -1\.\.-1"),
        (np.array([1.0]), TypeError, "`x` must hold integer tokens; got dtype float64"),
        (1, TypeError, "`x`"),
    ),
    table(
        lambda state: MODEL.stream(MODEL_P, 2).reset(state),
        ((), TypeError, "`state` must be a tuple of 3 states, one a layer; got tuple of 0"),
        (h, TypeError, "`state` must be a tuple of 3 states"),
        (((h[:, :1],), (), ()), ValueError, r"`state\[0\].h` must have shape .*; got \(1, 1, 4\)"),
        (((h.astype(np.float64),), (), ()), TypeError, r"`state\[0\].h` must have dtype float32"),
    ),
)
family(
    "predict and evaluate",
    table(
        lambda model: rx.predict(model, MODEL_P, DATA),
        (None, TypeError, "`model` must be a rnn_xp.Sequential; got NoneType"),
        (
            LSTM,
            TypeError,
            r"`model` must be a rnn_xp.Sequential; got LSTM. A layer alone: rnn_xp.Sequential\(",
        ),
        (rx.LSTM, TypeError, "`model` must be a rnn_xp.Sequential; got LSTM"),
        ("model", TypeError, "`model` must be a rnn_xp.Sequential; got str"),
    ),
    table(
        lambda params: rx.predict(MODEL, params, DATA),
        (None, ValueError, "`params` must be those of Sequential"),
        (rx.Result(MODEL_P, [], 1, 0.0), TypeError, "`params` must be .*; got a Result: pass result.params"),
        (P, ValueError, "`params` must be those of Sequential"),
        ("weights", TypeError, "`params"),
        (tree.map(lambda leaf: leaf.astype(np.float16), MODEL_P), TypeError, "float16"),
        (tree.map(lambda leaf: leaf.tolist(), MODEL_P), TypeError, "`params"),
    ),
    *[
        table(
            call,
            (None, TypeError, "`X`"),
            ("speed", TypeError, "`X` must hold real numbers"),
            ({"x": DATA}, TypeError, "`X` must hold real numbers; got dtype object"),
            (iter(DATA), TypeError, "`X` must hold real numbers; got dtype object"),
            (DATA.astype(str), TypeError, "`X` must hold real numbers; got dtype <U"),
            (DATA.astype(object), TypeError, "`X` must hold real numbers; got dtype object"),
            (DATA.astype(complex), TypeError, "`X` must hold real numbers; got dtype complex128"),
            (np.ma.masked_array(DATA), TypeError, "`X` must be a plain array; got a masked one"),
            (np.full(DATA.shape, datetime.date.min), TypeError, "`X` must hold real numbers"),
            (
                HOLED,
                ValueError,
                "`X` holds nan at sample 2, step 3, feature 1; every valid step must be finite",
            ),
            (
                np.where(np.isnan(HOLED), -INF, HOLED),
                ValueError,
                "`X` holds -inf at sample 2, step 3, feature 1",
            ),
            (DATA * 1e300, ValueError, r"`X` holds .* beyond float32; dtype='float64' holds it"),
            (
                DATA[0],
                ValueError,
                r"`X` must have three axes, N, T, C \(`layout`\), .*A single channel needs an axis",
            ),
            (DATA[None], ValueError, r"`X` must have three axes, .*; got float64 of shape \(1, 4, 5, 3\)"),
            (np.array(1.0), ValueError, "`X` must have three axes"),
            (DATA[..., :2], ValueError, r"`X` must have C = 3 features in layout 'NTC'; got \(4, 5, 2\)"),
            (DATA.swapaxes(1, 2), ValueError, "Its shape would fit layout='NCT'"),
            (TOKENS, ValueError, r"`X` must have three axes \(NTC\) .*; got integers with two"),
            (
                DATA[:0],
                ValueError,
                "`X` must hold at least one sequence of at least one step; got T = 5, N = 0",
            ),
            (DATA[:, :0], ValueError, "`X` must hold at least one sequence of at least one step; got T = 0"),
            (
                [DATA[0], DATA[1, :3, :2]],
                ValueError,
                r"`sequences` must all have shape \(T_i, C\) with one C",
            ),
            ([DATA[0], None], (TypeError, ValueError), "None|NoneType|object"),
            ([], ValueError, "`X`|`sequences`"),
        )
        for call in (
            lambda X: rx.predict(MODEL, MODEL_P, X),
            lambda X: rx.evaluate(MODEL, MODEL_P, X, CLASSES),
        )
    ],
    table(
        lambda X: rx.predict(TEXT, TEXT_P, X),
        (TOKENS + 1, ValueError, r"`X` must hold tokens in 0\.\.V-1 with V = 5; got 1\.\.5"),
        (TOKENS - 1, ValueError, r"`X` must hold tokens in 0\.\.V-1 with V = 5; got -1\.\.3"),
        (TOKENS * 1.0, ValueError, "`X` must have three axes"),
        (DATA, TypeError, r"`X` must be integer tokens \(N, T\) for a model that begins with an Embedding"),
        (["abc", "de"], TypeError, "`X|`sequences"),
    ),
    table(
        lambda given: rx.predict(MODEL, MODEL_P, DATA, **given),
        ({"layout": "CNT"}, ValueError, "`layout` must be one of 'NTC', 'TNC', 'NCT'; got 'CNT'"),
        ({"layout": None}, ValueError, "`layout` must be one of"),
        ({"layout": ["NTC"]}, (TypeError, ValueError), "`layout` must be one of"),
        ({"loss": "mse"}, ValueError, "`loss` must be one of 'cross_entropy'.*; got 'mse'"),
        ({"loss": 3}, ValueError, "`loss` must be one of"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an integer of at least 1; got 0"),
        ({"batch_size": 1.5}, TypeError, "`batch_size` must be an integer .*; got 1.5"),
        ({"batch_size": None}, TypeError, "`batch_size` must be an integer .*; got None"),
        (
            {"mask": np.ones((T, N), dtype=bool)},
            ValueError,
            r"`mask` must have shape \(N, T\) .*; got \(5, 4\)",
        ),
        ({"mask": np.ones((N, T))}, TypeError, "`mask` must hold True and False; got dtype float64"),
        ({"mask": np.zeros((N, T), dtype=bool)}, ValueError, "`mask` must be True somewhere"),
        ({"mask": np.ones((N, T), dtype=bool), "lengths": [T] * N}, ValueError, "`mask` must be None where"),
        ({"mask": "all"}, TypeError, "`mask` must hold True and False"),
        (
            {"reset": np.zeros((N, T), dtype=bool)},
            ValueError,
            "`reset` must be None where the model gives one",
        ),
    ),
    table(
        lambda reset: rx.predict(TAGGER, TAGGER_P, DATA, reset=reset),
        (np.zeros((T, N), dtype=bool), ValueError, r"`reset` must have shape \(N, T\) .*; got \(5, 4\)"),
        (np.zeros((N, T)), TypeError, "`reset` must hold True and False; got dtype float64"),
        ([3], TypeError, "`reset` must hold True and False"),
    ),
)
TARGET = r"`y` must have shape \(N\) with N = 4; got "
family(
    "targets and weights",
    table(
        lambda y: rx.evaluate(MODEL, MODEL_P, DATA, y),
        (None, TypeError, "`y` must hold the targets; got None"),
        (CLASSES + 1, ValueError, r"`y` must hold classes in 0\.\.K-1, .* with K = 2; got 1\.\.2"),
        (CLASSES - 1, ValueError, r"`y` must hold classes in 0\.\.K-1, .* with K = 2; got -1\.\.0"),
        (
            CLASSES * 1.0,
            TypeError,
            r"`y` must hold integer classes 0\.\.K-1 with K = 2 .*; got dtype float64",
        ),
        (CLASSES > 0, TypeError, "`y` must hold integer classes .*; got dtype bool"),
        (
            ["a", "b", "a", "b"],
            TypeError,
            "`y` must hold numbers; got dtype <U1. For class names: rx.data.enc",
        ),
        (np.eye(2)[CLASSES].astype(int), ValueError, TARGET + r"\(4, 2\)"),
        (CLASSES[:, None], ValueError, TARGET + r"\(4, 1\)"),
        (CLASSES[:3], ValueError, TARGET + r"\(3,\)"),
        (TOKENS, ValueError, TARGET + r"\(4, 5\)"),
        (np.array(1), ValueError, TARGET + r"\(\)"),
        (np.ma.masked_array(CLASSES), TypeError, "`y` must be a plain array; got a masked one"),
        (CLASSES.astype(complex), TypeError, "`y` must hold numbers; got dtype complex128"),
        ([0, None, 1, 1], TypeError, "`y` must hold numbers; got dtype object"),
        ([[0], [1, 1], [0], [1]], ValueError, "`y` must be an array; got rows of unequal length"),
        (1, ValueError, TARGET + r"\(\)"),
    ),
    table(
        lambda y: rx.evaluate(TAGGER, TAGGER_P, DATA, y),
        (CLASSES, ValueError, r"`y` must have shape \(N, T\) with N = 4, T = 5; got \(4,\)"),
        (TOKENS.T % 2, ValueError, r"`y` must have shape \(N, T\) with N = 4, T = 5; got \(5, 4\)"),
    ),
    table(
        lambda y: rx.evaluate(NUMBER, NUMBER_P, DATA, y, loss="squared_error"),
        (np.ones((N, 2)), ValueError, r"`y` must have shape \(N, K\) with N = 4, K = 1; got \(4, 2\)"),
        (np.ones((1, N)), ValueError, r"`y` must have shape \(N, K\) with N = 4, K = 1; got \(1, 4\)"),
        (np.ones(3), ValueError, r"`y` must have shape \(N\) with N = 4; got \(3,\)"),
        ([0, 1, NAN, 0], ValueError, "`y` holds nan at sample 2.*; every target must be finite"),
        ([0, 1, 0, INF], ValueError, "`y` holds inf at sample 3.*; every target must be finite"),
        ([0, 1, 0, 1e39], ValueError, r"`y` holds 1e\+39 at sample 3, beyond float32"),
        (["1", "2", "3", "4"], TypeError, "`y` must hold numbers; got dtype <U1"),
    ),
    table(
        lambda y: rx.evaluate(NUMBER, NUMBER_P, DATA, y, loss="binary_cross_entropy"),
        ([0, 1, 2, 0], ValueError, r"`y` must lie in 0\.\.1 for this loss; got 0\.\.2"),
        ([0, 1, -1, 0], ValueError, r"`y` must lie in 0\.\.1 for this loss; got -1\.\.1"),
        ([0, 1, NAN, 0], ValueError, "`y` holds nan at sample 2"),
    ),
    table(
        lambda loss: rx.evaluate(NUMBER, NUMBER_P, DATA, CLASSES, loss=loss),
        ("cross_entropy", ValueError, "`model` must have an output for each class, at least 2"),
        ("hinge", ValueError, "`loss` must be one of"),
        (None, ValueError, "`loss` must be one of"),
    ),
    table(
        lambda weights: rx.evaluate(MODEL, MODEL_P, DATA, CLASSES, weights=weights),
        ([1, 1, -1, 1], ValueError, r"`weights` must be finite and not negative; got -1.0 at index 2"),
        ([1, 1, NAN, 1], ValueError, "`weights` must be finite and not negative; got nan at index 2"),
        ([1, 1, 1, INF], ValueError, "`weights` must be finite and not negative; got inf at index 3"),
        ([1, 1, 1], ValueError, r"`weights` must have shape \(N\) with N = 4; got \(3,\)"),
        (np.ones((N, T)), ValueError, r"`weights` must have shape \(N\) with N = 4; got \(4, 5\)"),
        (["heavy"] * N, TypeError, "`weights` must hold numbers; got dtype <U5"),
        ([0] * N, ValueError, "`X` must hold something that counts"),
        (np.ma.masked_array(np.ones(N)), TypeError, "`weights` must be a plain array; got a masked one"),
    ),
)
family(
    "backend",
    table(
        lambda name: rx.get_backend(name),
        ("jax", ValueError, "`backend` must be one of .*; got 'jax'|`name`.*'jax'"),
        ("", ValueError, "must be one of"),
        ("NUMPY", ValueError, "must be one of .*'NUMPY'"),
        (3, (TypeError, ValueError), "must be .*; got 3"),
        (np, (TypeError, ValueError), "must be .*; got <module|module"),
    ),
    table(
        lambda dtype: rx.get_backend("numpy", dtype=dtype),
        ("float16", ValueError, "`dtype` must be one of .*'float16'"),
        ("int64", ValueError, "`dtype` must be one of .*'int64'"),
        ("double", ValueError, "`dtype` must be one of"),
        (32, ValueError, "`dtype` must be one of .*; got 32"),
        (np.int64, ValueError, "`dtype` must be one of"),
    ),
    table(
        lambda device: rx.get_backend("numpy", device=device),
        (
            "cuda",
            BackendError,
            '"numpy": `device` must be None or "cpu"; got .cuda.. For a GPU: backend="cupy"',
        ),
        (0, BackendError, "`device` must be None or .cpu.; got 0"),
        (-1, BackendError, "`device` must be None or .cpu.; got -1"),
    ),
    table(
        lambda value: SINGLE.asarray(value),
        (None, TypeError, "`value`"),
        ("speed", TypeError, "`value` must hold real numbers"),
        ([1, "a"], TypeError, "`value` must hold real numbers"),
        (1j, TypeError, "`value` must hold real numbers, .*; got dtype complex128"),
        ([[1], [1, 2]], ValueError, "`value`"),
        (
            strict.asarray([1.0]),
            TypeError,
            "`value` must be a host array or an array of numpy; got array_api",
        ),
        (np.ma.masked_array([1.0]), TypeError, "`value` must be a plain array; got"),
        (datetime.date.min, TypeError, "`value`"),
    ),
    table(
        lambda array: SINGLE.to_numpy(array),
        ([1.0], TypeError, "`array`"),
        (strict.asarray([1.0]), TypeError, "`array` must be a host array or an array of numpy"),
    ),
)
SIZES = ("input_size", "hidden_size", "num_layers")
family(
    "recurrent layers",
    *[
        table(
            lambda value, name=name: rx.GRU(**{"input_size": 3, "hidden_size": 4, name: value}),
            (0, ValueError, f"`{name}` must be an integer of at least 1; got 0"),
            (-1, ValueError, f"`{name}` must be an integer of at least 1; got -1"),
            (1.0, TypeError, f"`{name}` must be an integer of at least 1; got 1.0"),
            (NAN, TypeError, f"`{name}` must be an integer of at least 1; got nan"),
            ("4", TypeError, f"`{name}` must be an integer of at least 1; got '4'"),
            (None, TypeError, f"`{name}` must be an integer of at least 1; got None"),
            (True, TypeError, f"`{name}` must be an integer of at least 1; got True"),
            (np.float64(3), TypeError, f"`{name}` must be an integer"),
            ([3], TypeError, f"`{name}` must be an integer"),
        )
        for name in SIZES
    ],
    *[
        table(
            lambda value, name=name: rx.LSTM(3, 4, 2, **{name: value}),
            (1.0, ValueError, f"`{name}` must be a finite number >= 0 and < 1; got 1"),
            (1.5, ValueError, f"`{name}` must be a finite number >= 0 and < 1; got 1.5"),
            (-0.1, ValueError, f"`{name}` must be a finite number >= 0 and < 1; got -0.1"),
            (NAN, ValueError, f"`{name}` must be a finite number >= 0 and < 1; got nan"),
            ("0.5", TypeError, f"`{name}` must be a finite number >= 0 and < 1; got '0.5'"),
            (True, TypeError, f"`{name}` must be a finite number >= 0 and < 1; got True"),
            (None, TypeError, f"`{name}` must be a finite number >= 0 and < 1; got None"),
        )
        for name in ("dropout", "recurrent_dropout")
    ],
    table(
        lambda given: rx.LSTM(3, 4, **given),
        ({"bias": "both"}, ValueError, "`bias` must be one of True, 'input', False; got 'both'"),
        ({"bias": None}, ValueError, "`bias` must be one of"),
        ({"bidirectional": 2}, ValueError, "`bidirectional` must be one of True, False; got 2"),
        ({"bidirectional": "yes"}, ValueError, "`bidirectional` must be one of True, False; got 'yes'"),
        ({"reverse": None}, ValueError, "`reverse` must be one of True, False; got None"),
        (
            {"reverse": True, "bidirectional": True},
            ValueError,
            "`reverse` must be False where `bidirectional`",
        ),
        ({"proj_size": 4}, ValueError, "`proj_size` must be an integer of at least 0 and at most 3; got 4"),
        ({"proj_size": -1}, ValueError, "`proj_size` must be an integer of at least 0"),
        ({"proj_size": 2.0}, TypeError, "`proj_size` must be an integer"),
        ({"peepholes": "all"}, ValueError, "`peepholes` must be one of True, False; got 'all'"),
        ({"coupled": 3}, ValueError, "`coupled` must be one of True, False; got 3"),
        ({"clip": 0}, ValueError, "`clip` must be a finite number > 0; got 0"),
        ({"clip": -1.0}, ValueError, "`clip` must be a finite number > 0; got -1"),
        ({"clip": INF}, ValueError, "`clip` must be a finite number > 0; got inf"),
        ({"clip": "3"}, TypeError, "`clip` must be a finite number > 0; got '3'"),
        ({"activations": ("tanh",)}, ValueError, "`activations`"),
        ({"activations": ("sigmoid", "tanh", "gelu")}, ValueError, "`activations.*'gelu'"),
        ({"activations": "tanh"}, (TypeError, ValueError), "`activations`"),
        ({"activations": (1, 2, 3)}, (TypeError, ValueError), "`activations"),
        ({"activations": ("sigmoid", "tanh", ("elu", NAN))}, ValueError, "elu|`activations"),
        ({"activations": ("sigmoid", "tanh", ("elu", 1, 2))}, ValueError, "elu|`activations"),
        ({"layer_norm": "yes"}, ValueError, "`layer_norm` must be one of True, False; got 'yes'"),
        ({"learn_state": 2}, ValueError, "`learn_state` must be one of True, False; got 2"),
        ({"variational": "yes"}, ValueError, "`variational` must be one of True, False; got 'yes'"),
        ({"zoneout": 1.0}, ValueError, "`zoneout.*` must be .*; got 1"),
        ({"zoneout": -0.1}, ValueError, "`zoneout.*` must be .*; got -0.1"),
        ({"zoneout": NAN}, ValueError, "`zoneout.*` must be .*; got nan"),
        ({"zoneout": "0.1"}, TypeError, "`zoneout.*` must be .*; got '0.1'"),
        ({"zoneout": (0.1,)}, ValueError, "`zoneout` must"),
        ({"zoneout": (0.1, 0.1, 0.1)}, ValueError, "`zoneout` must"),
        ({"zoneout": (0.1, 2)}, ValueError, "`zoneout.*` must"),
    ),
    table(
        lambda reset: rx.GRU(3, 4, reset=reset),
        ("between", ValueError, "`reset` must be one of 'after', 'before'; got 'between'"),
        (True, ValueError, "`reset` must be one of 'after', 'before'; got True"),
        (None, ValueError, "`reset` must be one of"),
    ),
    table(
        lambda name: rx.RNN(3, 4, nonlinearity=name),
        ("gelu", ValueError, "`nonlinearity` must be one of .*'tanh'.*; got 'gelu'"),
        (None, (TypeError, ValueError), "`nonlinearity` must"),
        (np.tanh, (TypeError, ValueError), "`nonlinearity` must"),
        (("leaky_relu", "0.1"), (TypeError, ValueError), "`nonlinearity"),
        ((), (TypeError, ValueError), "`nonlinearity"),
    ),
    table(
        lambda cell: rx.Recurrent(cell, 3, 4),
        ("lstm", TypeError, "`cell` must be a rnn_xp.Cell; got str"),
        (None, TypeError, "`cell` must be a rnn_xp.Cell; got NoneType"),
        (rx.LSTM, TypeError, "`cell` must be a rnn_xp.Cell"),
        (UGRNN._replace(name="lstm"), ValueError, "`cell` must have a name of its own: 'lstm' is a cell of"),
        (UGRNN._replace(pairs=()), ValueError, "`cell` must have at least one pair"),
        (UGRNN._replace(state=tuple), ValueError, "`cell` must have .* a NamedTuple `state`"),
        (UGRNN._replace(pairs=UGRNN.pairs * 2), ValueError, "the pairs of `cell` must read"),
        (UGRNN._replace(pairs="pairs"), (TypeError, ValueError), "`cell`|pair"),
    ),
    table(
        lambda proj_size: rx.Recurrent(gru.AFTER, 3, 4, proj_size=proj_size),
        (2, ValueError, "`proj_size` must be 0 with the cell 'gru', not projectable; got 2"),
    ),
)
family(
    "other layers and models",
    table(
        lambda sizes: rx.Linear(*sizes),
        ((0, 1), ValueError, "`input_size` must be an integer of at least 1; got 0"),
        ((1, -1), ValueError, "`output_size` must be an integer of at least 1; got -1"),
        ((1, 2.0), TypeError, "`output_size` must be an integer .*; got 2.0"),
        ((1, 2, 3), ValueError, "`bias` must be one of True, False; got 3"),
    ),
    table(
        lambda sizes: rx.Embedding(*sizes),
        ((0, 1), ValueError, "`num_tokens` must be an integer of at least 1; got 0"),
        ((1, None), TypeError, "`size` must be an integer of at least 1; got None"),
    ),
    table(
        lambda rate: rx.Dropout(rate),
        (1, ValueError, "`rate` must be a finite number >= 0 and < 1; got 1"),
        (-0.5, ValueError, "`rate` must be a finite number >= 0 and < 1; got -0.5"),
        (NAN, ValueError, "`rate` must be a finite number >= 0 and < 1; got nan"),
        ("half", TypeError, "`rate` must be a finite number >= 0 and < 1; got 'half'"),
    ),
    table(
        lambda size: rx.LastStep(size),
        (-1, ValueError, "`reverse_size` must be an integer of at least 0; got -1"),
        (1.5, TypeError, "`reverse_size` must be an integer of at least 0; got 1.5"),
    ),
    table(
        lambda layer: rx.layers.Residual(layer),
        (None, TypeError, "`layer` must be a layer; got NoneType"),
        (rx.GRU(3, 4), ValueError, "`layer` of a Residual must give as many features as it takes"),
        (rx.MeanPool(), ValueError, "`layer` of a Residual must"),
        (rx.Embedding(3, 3), ValueError, "`layer` of a Residual must"),
    ),
    table(
        lambda layers: rx.Sequential(*layers),
        ((), ValueError, "`layers` must hold at least one layer; got none"),
        ((rx.GRU,), TypeError, "`layers` must be layers; got type at place 0|got .*at place 0"),
        ((rx.GRU(3, 4), "linear"), TypeError, "`layers` must be layers; got str at place 1"),
        (([rx.GRU(3, 4)],), TypeError, "`layers` must be layers; got list at place 0"),
        ((rx.GRU(3, 4), rx.Linear(3, 2)), ValueError, "layer 1 does not fit .*takes 3 features"),
        ((rx.GRU(3, 4), rx.GRU(3, 4)), ValueError, "layer 1 does not fit .*takes steps of 3 features"),
        ((rx.LastStep(), rx.GRU(3, 4)), ValueError, "layer 1 does not fit"),
        ((rx.GRU(3, 4), rx.Embedding(4, 4)), ValueError, "layer 1 does not fit .*must come first"),
        ((rx.MeanPool(), rx.MeanPool()), ValueError, "layer 1 does not fit"),
    ),
    table(
        lambda config: from_config(config),
        ({}, ValueError, "`config` must describe Sequential or one of .*; got None"),
        ({"type": "Transformer"}, ValueError, "`config` must describe .*; got 'Transformer'"),
        ({"type": ["GRU"]}, ValueError, "`config` must describe"),
        ({"type": "GRU"}, ValueError, "`config` of GRU does not fit"),
        (
            {"type": "GRU", "input_size": 1, "hidden_size": 1, "size": 1},
            ValueError,
            "`config` of GRU does not",
        ),
        ({"type": "Sequential"}, ValueError, "`config`"),
        ({"type": "Sequential", "layers": {}}, ValueError, "`config`"),
        ({"type": "Sequential", "layers": []}, ValueError, "`layers`|`config`"),
        (
            {"type": "Recurrent", "cell": "mine", "input_size": 1, "hidden_size": 1},
            ValueError,
            "`cells` must hold",
        ),
        (
            {"type": "Recurrent", "cell": 3, "input_size": 1, "hidden_size": 1},
            ValueError,
            "`cells` must hold",
        ),
        (None, TypeError, "`config`"),
        ("GRU", TypeError, "`config`"),
        ([1], TypeError, "`config`"),
    ),
    table(
        lambda given: LSTM.init(**given),
        ({"backend": "numpy"}, TypeError, "`backend`"),
        ({"backend": None}, TypeError, "`backend`"),
        ({"backend": SINGLE, "seed": -1}, ValueError, "`seed` must be an integer of at least 0"),
        ({"backend": SINGLE, "seed": 1.5}, TypeError, "`seed` must be an integer"),
        ({"backend": SINGLE, "seed": None}, TypeError, "`seed` must be an integer"),
        ({"backend": SINGLE, "init": "he"}, ValueError, "`init` must be one of .*; got 'he'"),
        ({"backend": SINGLE, "init": 3}, (TypeError, ValueError), "`init` must be"),
    ),
)
family(
    "optimisers, clipping and schedules",
    *[
        table(
            lambda lr, make=make: make(lr),
            (-1.0, ValueError, "`lr` must be a finite number >= 0; got -1"),
            (INF, ValueError, "`lr` must be a finite number >= 0; got inf"),
            (NAN, ValueError, "`lr` must be a finite number >= 0; got nan"),
            ("0.1", TypeError, "`lr` must be a finite number >= 0; got '0.1'"),
            (None, TypeError, "`lr` must be a finite number >= 0; got None"),
            (True, TypeError, "`lr` must be a finite number >= 0; got True"),
            ([0.1], TypeError, "`lr` must be a finite number >= 0; got"),
        )
        for make in (rx.SGD, rx.Adam, rx.AdamW, rx.RMSprop)
    ],
    table(
        lambda given: rx.Adam(**given),
        ({"beta1": 1.0}, ValueError, "`beta1` must be a finite number >= 0 and < 1; got 1"),
        ({"beta2": -0.1}, ValueError, "`beta2` must be a finite number >= 0 and < 1; got -0.1"),
        ({"beta2": NAN}, ValueError, "`beta2` must be a finite number >= 0 and < 1; got nan"),
        ({"beta1": "0.9"}, TypeError, "`beta1` must be a finite number >= 0 and < 1; got '0.9'"),
        ({"eps": -1e-8}, ValueError, "`eps` must be a finite number"),
        ({"eps": NAN}, ValueError, "`eps` must be a finite number"),
        ({"weight_decay": -1}, ValueError, "`weight_decay` must be a finite number >= 0; got -1"),
    ),
    table(
        lambda given: rx.SGD(0.1, **given),
        ({"momentum": -0.1}, ValueError, "`momentum` must be"),
        ({"momentum": "0.9"}, TypeError, "`momentum` must be"),
        ({"nesterov": True}, ValueError, "`nesterov`|`momentum`"),
        ({"nesterov": "yes", "momentum": 0.9}, (TypeError, ValueError), "`nesterov` must be"),
        ({"weight_decay": NAN}, ValueError, "`weight_decay` must be"),
    ),
    table(
        lambda limit: clip_by_global_norm((X,), limit, xp=np),
        (-1, ValueError, "`max_norm` must be a finite number > 0; got -1"),
        (NAN, ValueError, "`max_norm` must be a finite number > 0; got nan"),
        (0, ValueError, "`max_norm` must be a finite number > 0; got 0"),
        ("1", TypeError, "`max_norm` must be a finite number > 0; got '1'"),
    ),
    table(
        lambda limit: clip_by_value((X,), limit, xp=np),
        (-1, ValueError, "`limit` must be a finite number > 0; got -1"),
        (NAN, ValueError, "`limit` must be a finite number > 0; got nan"),
        (None, TypeError, "`limit` must be a finite number > 0; got None"),
    ),
    table(
        lambda made: made(),
        (
            lambda: rx.schedules.step_decay(0, 0.5),
            ValueError,
            "`every` must be an integer of at least 1; got 0",
        ),
        (lambda: rx.schedules.step_decay(2, -1), ValueError, "`factor` must be a finite number > 0; got -1"),
        (lambda: rx.schedules.exponential(0), ValueError, "`decay` must be a finite number > 0; got 0"),
        (lambda: rx.schedules.exponential(NAN), ValueError, "`decay` must be a finite number > 0; got nan"),
        (lambda: rx.schedules.cosine(0), ValueError, "`total` must be an integer of at least 1; got 0"),
        (lambda: rx.schedules.cosine(10, -1), ValueError, "`final` must be a finite number >= 0; got -1"),
        (lambda: rx.schedules.warmup(5, "cosine"), TypeError, "`then` must be a schedule"),
        (lambda: rx.schedules.warmup(-1, rx.schedules.constant()), ValueError, "`steps` must be an integer"),
    ),
)


family(
    "fit",
    table(
        lambda given: fit(**given),
        ({"model": LSTM}, TypeError, "`model` must be a rnn_xp.Sequential; got LSTM"),
        ({"X": HOLED}, ValueError, "`X` holds nan at sample 2, step 3, feature 1"),
        ({"X": iter(DATA)}, TypeError, "`X` must hold real numbers"),
        ({"y": CLASSES + 1}, ValueError, r"`y` must hold classes in 0\.\.K-1"),
        ({"y": CLASSES[:, None]}, ValueError, TARGET + r"\(4, 1\)"),
        ({"params": P}, ValueError, "`params` must be those of Sequential"),
        ({"optimizer": "adam"}, TypeError, "`optimizer` must be an optimiser such as .*; got 'adam'"),
        ({"optimizer": rx.Adam}, TypeError, "`optimizer` must be an optimiser such as .*; got Adam"),
        ({"schedule": 0.9}, TypeError, "`schedule` must be a function of the step"),
        ({"schedule": "cosine"}, TypeError, "`schedule` must be a function of the step"),
        ({"backend": "jax"}, ValueError, "must be one of"),
        (
            {"dtype": "float16"},
            ValueError,
            "`dtype` must be 'float32', that of the Backend, or None; got 'float16'",
        ),
        ({"epochs": 0}, ValueError, "`epochs` must be an integer of at least 1; got 0"),
        ({"epochs": -1}, ValueError, "`epochs` must be an integer of at least 1; got -1"),
        ({"epochs": 1.5}, TypeError, "`epochs` must be an integer"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an integer of at least 1; got 0"),
        ({"shuffle": 1}, TypeError, "`shuffle` must be True or False; got 1"),
        ({"verbose": "yes"}, TypeError, "`verbose` must be True or False; got 'yes'"),
        ({"seed": -1}, ValueError, "`seed` must be an integer of at least 0"),
        ({"seed": 2**32}, ValueError, "`seed` must be an integer .* at most 4294967295"),
        ({"validation": "0.1"}, TypeError, "`validation` must be a share"),
        ({"validation": 1.0}, ValueError, "`validation` must be a finite number > 0 and < 1; got 1"),
        ({"patience": 0}, ValueError, "`patience` must be an integer of at least 1; got 0"),
        ({"clip_norm": -1}, ValueError, "`clip_norm` must be a finite number > 0; got -1"),
        ({"clip_norm": NAN}, ValueError, "`clip_norm` must be a finite number > 0; got nan"),
        ({"clip_value": "1"}, TypeError, "`clip_value` must be a finite number > 0; got '1'"),
        ({"callbacks": 3}, TypeError, "`callbacks` must be functions"),
        ({"weights": [1, 1, 1, -1]}, ValueError, "`weights` must be finite and not negative"),
        ({"mask": np.ones((N, T))}, TypeError, "`mask` must hold True and False"),
        ({"truncate": 0}, ValueError, "`truncate`"),
        ({"truncate": (4, 2)}, ValueError, "`truncate`"),
        ({"truncate": "4"}, TypeError, "`truncate`"),
        ({"recompute": -1}, ValueError, "`recompute`"),
        ({"recompute": "yes"}, TypeError, "`recompute`"),
        ({"accumulate": 0}, ValueError, "`accumulate` must be an integer of at least 1; got 0"),
        ({"bucket": 3}, TypeError, "`bucket` must be True or False; got 3"),
        ({"nonfinite": "ignore"}, ValueError, "`nonfinite` must be one of 'stop', 'skip', 'rollback'"),
        ({"resume": "yes"}, TypeError, "`resume` must be True or False"),
        ({"resume": True}, ValueError, "`resume`.*`checkpoint`|`checkpoint`.*`resume`"),
        ({"checkpoint": 3}, TypeError, "`checkpoint`"),
    ),
)
family(
    "data",
    table(
        lambda sequences: rx.data.pad(sequences),
        ([], ValueError, "`sequences` must hold at least one sequence; got none"),
        (3, TypeError, "`sequences`"),
        (None, TypeError, "`sequences`"),
        (["abc"], TypeError, r"`sequences\[0\]` must hold real numbers; got dtype <U3"),
        ([1.0, 2.0], ValueError, r"`sequences` must all have shape"),
        ([[1.0], [[1.0]]], ValueError, "`sequences` must all have shape"),
    ),
    table(
        lambda mask: rx.data.compact(DATA, mask),
        (np.ones((T, N), dtype=bool), ValueError, r"`X` must have shape \(N, T, ...\) .*; got \(4, 5, 3\)"),
        (np.ones((N, T)), TypeError, "`mask` must hold True and False; got dtype float64"),
        ([True], ValueError, r"`mask` must have shape \(N, T\); got \(1,\)"),
    ),
    table(
        lambda mask: rx.data.scatter(DATA, mask),
        (
            np.ones((N, T + 1), dtype=bool),
            ValueError,
            r"`Y` must have shape \(N, T', ...\) with N = 4 and T' >= 6",
        ),
        (np.ones((N, T), dtype=int), TypeError, "`mask` must hold True and False; got dtype int64"),
    ),
    table(
        lambda labels: rx.data.encode_labels(labels),
        (None, TypeError, "`y` must hold class names"),
        ([], TypeError, "`y` must hold class names"),
        (
            [1.5, NAN],
            TypeError,
            "`y` must hold class names: strings, integers or booleans; got dtype float64",
        ),
    ),
    table(
        lambda X: rx.data.fit_scaling(X),
        (DATA[0], ValueError, r"`X` must have shape \(T, N, C\); got \(5, 3\)"),
        (DATA[:0], ValueError, "`X` must hold at least one valid step"),
        (None, TypeError, "`X`"),
    ),
    table(
        lambda X: rx.data.fit_scaling(DATA).apply(X),
        (
            DATA[..., :2],
            ValueError,
            r"`X` must have shape \(..., C\) with C = 3, as in training; got \(4, 5, 2\)",
        ),
        (None, TypeError, "`X`"),
    ),
    table(
        lambda count: rx.data.sign_of_sum(count),
        (0, ValueError, "`.*` must be an integer of at least 1; got 0"),
        (1.5, TypeError, "`.*` must be an integer of at least 1; got 1.5"),
        ("9", TypeError, "`.*` must be an integer of at least 1; got '9'"),
    ),
    table(
        lambda layout: rx.data.to_time_major("X", DATA, layout),
        ("TCN", ValueError, "`layout` must be one of"),
        (3, ValueError, "`layout` must be one of"),
    ),
    table(
        lambda path: rx.data.load(path),
        (None, TypeError, "`path`"),
        (3, TypeError, "`path`"),
        ("data.xyz", ValueError, "xyz"),
    ),
)
LANES = rx.data.Lanes(np.arange(40) % 5, 4)
family(
    "text and lanes",
    table(
        lambda tokens: rx.data.Lanes(tokens, 2),
        ("abcdef", TypeError, "`tokens` must hold integers"),
        ([0.5, 1.5, 2.5], TypeError, "`tokens` must hold integers .*; got dtype float64"),
        ([True, False, True], TypeError, "`tokens` must hold integers .*; got dtype bool"),
        (TOKENS, ValueError, r"`tokens` must have shape .*; got \(4, 5\)"),
        ([1, 2], ValueError, r"`tokens` must hold at least count \+ 1 = 3 tokens; got 2"),
        ([], (TypeError, ValueError), "`tokens` must hold"),
        (None, TypeError, "`tokens` must hold integers"),
        (np.ma.masked_array([1, 2, 3, 4]), TypeError, "`tokens` must be a plain array"),
    ),
    table(
        lambda count: rx.data.Lanes(np.arange(40), count),
        (0, ValueError, "`count` must be an integer of at least 1; got 0"),
        (2.0, TypeError, "`count` must be an integer of at least 1; got 2.0"),
        (40, ValueError, r"`tokens` must hold at least count \+ 1 = 41 tokens; got 40"),
    ),
    table(
        lambda bounds: LANES.window(*bounds),
        ((-1, 3), ValueError, "`start` must be an integer of at least 0 .*; got -1"),
        ((3, 3), ValueError, "`stop` must be an integer of at least 4 .*; got 3"),
        ((0, 99), ValueError, "`stop` must be an integer .* at most 9; got 99"),
        ((0.0, 3), TypeError, "`start` must be an integer"),
    ),
    table(
        lambda given: fit(model=TEXT, X=LANES, params=TEXT_P, **given),
        ({}, (TypeError, ValueError), "`y` must be None"),
        ({"y": None, "lengths": [5] * 4}, (TypeError, ValueError), "`lengths`"),
        ({"y": None, "mask": MASK}, (TypeError, ValueError), "`mask`"),
    ),
    table(
        lambda model: fit(model=model, X=LANES, y=None, params=None),
        (TAGGER, (TypeError, ValueError), "`model`|`X`"),
        (rx.Sequential(rx.Embedding(4, 2), rx.Linear(2, 5)), ValueError, "tokens|V = 4|`X`"),
    ),
    table(
        lambda text: rx.data.vocabulary(text),
        ("", ValueError, "`text`"),
        (None, TypeError, "`text`"),
        (3, TypeError, "`text`"),
    ),
    table(
        lambda text: rx.data.vocabulary("abc").encode(text),
        ("abcd", ValueError, "'d'"),
        (None, TypeError, "`text`"),
        (["a"], TypeError, "`text`"),
    ),
)
family(
    "converters and checks",
    table(
        lambda mapping: rx.interop.torch.from_state_dict(LSTM, mapping, SINGLE),
        ({}, (KeyError, ValueError), "weight_ih_l0"),
        (None, TypeError, "`source`"),
        ([1], TypeError, "`source`"),
        (TORCH | {"weight_ih_l1": X}, ValueError, "weight_ih_l1"),
        ({**TORCH, "weight_hh_l0": X}, ValueError, "weight_hh_l0"),
        ({**TORCH, "weight_hh_l0": None}, (TypeError, ValueError), "weight_hh_l0"),
        ({key.replace("hh", "hhh"): value for key, value in TORCH.items()}, ValueError, "weight_hhh_l0"),
    ),
    table(
        lambda layer: rx.interop.torch.to_state_dict(layer, P),
        (None, TypeError, "`model`"),
        (rx.GRU(D, H), ValueError, "`params` must be those of GRU"),
        ("lstm", TypeError, "`model`"),
    ),
)
family(
    "metrics",
    table(
        lambda arrays: rx.metrics.accuracy(*arrays),
        (([0, 1], [0]), ValueError, "shape"),
        (([0.5], [1.0]), TypeError, "labels"),
        (([0], [1], [False]), ValueError, "nothing|left|count|at least one"),
    ),
    table(
        lambda arrays: rx.metrics.confusion_matrix(*arrays),
        (([0, 2], [0, 1], 2), ValueError, r"`predicted` must hold class indices in 0\.\.1; got 2"),
        (([0, 1], [0, -1], 2), ValueError, r"`target` must hold class indices in 0\.\.1; got -1"),
        (([0], [0], 0), ValueError, "`num_classes` must be an integer of at least 1; got 0"),
    ),
)
ROWS = [pytest.param(row, id=f"{name} {i}") for name, rows in FAMILIES.items() for i, row in enumerate(rows)]


def test_there_are_many() -> None:
    assert len(ROWS) > 450


@pytest.mark.parametrize("row", ROWS)
def test_it_is_refused(row: Row) -> None:
    with pytest.raises(row.error) as caught:
        row.call()
    told = str(caught.value)
    assert re.search(row.words, told), f"{told!r} does not say {row.words!r}"
    assert type(caught.value) in (TypeError, ValueError, BackendError), "and nothing derived from them"


def test_files(tmp_path: Path) -> None:
    """Beside what a damaged or hostile file is refused for."""
    path = tmp_path / "model.safetensors"
    rows: list[tuple[Callable[[], Any], Any, str]] = [
        (lambda: rx.save(path, None, MODEL_P), TypeError, "`model`"),
        (lambda: rx.save(path, MODEL, None), ValueError, "`params` must be the parameters of `model`"),
        (lambda: rx.save(path, MODEL, P), ValueError, "`params` must be the parameters of `model`"),
        (lambda: rx.save(None, MODEL, MODEL_P), TypeError, "PathLike"),
        (lambda: rx.save(3, MODEL, MODEL_P), TypeError, "PathLike"),
        (lambda: rx.save(tmp_path / "absent" / "m", MODEL, MODEL_P), FileNotFoundError, "absent"),
        (lambda: rx.load(path, "numpy"), FileNotFoundError, "model.safetensors"),
        (lambda: rx.load(None, "numpy"), TypeError, "PathLike"),
        (lambda: rx.load(3, "numpy"), TypeError, "PathLike"),
        (lambda: rx.load(tmp_path, "numpy"), rx.CheckpointError, "it is no regular file"),
    ]
    for call, error, words in rows:
        with pytest.raises(error, match=re.escape(words)):
            call()
    assert list(tmp_path.iterdir()) == []
    path.write_text("no tensors")
    with pytest.raises(rx.CheckpointError, match=r"model\.safetensors"):
        rx.load(path, "numpy")


@pytest.fixture(scope="module", autouse=True)
def unchanged() -> Iterator[None]:
    """Whatever was refused, the models' weights, the data and the tape are what they were."""
    kept = (P, DEEP_P, MODEL_P, TAGGER_P, TEXT_P, NUMBER_P, X, DATA, STATE, Y)
    before = [leaf.tobytes() for leaf in tree.leaves(kept)]
    gradients = [leaf.tobytes() for leaf in tree.leaves(LSTM.backward(P, TAPE, Y))]
    yield
    assert [leaf.tobytes() for leaf in tree.leaves(kept)] == before
    assert [leaf.tobytes() for leaf in tree.leaves(LSTM.backward(P, TAPE, Y))] == gradients
