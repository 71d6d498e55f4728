"""What several tests share: how numbers are compared, on which backends, and a cell of a user's own."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import Backend, BackendError, get_backend, namespace, to_numpy
from rnn_xp.functional import sigmoid
from rnn_xp.random import Rng

# Tolerances, relative to the norm of what is expected; absolute where that norm is below 1.
EXACT = 0.0  # every bit: the same operations on the same shapes
ACROSS = 1e-12  # float64, other libraries or other shapes of the same sums: some hundred roundings of 1e-16
TORCH = 1e-10  # float64, PyTorch's answers: it fuses, splits and orders sums otherwise
DIFFERENCES = 1e-7  # float64, central differences with eps 1e-5: eps^2 of truncation, 1e-16 / eps of rounding
SINGLE = 1e-5  # float32: some hundred roundings of 6e-8


def assert_close(actual: Any, expected: Any, tolerance: float, what: str = "") -> None:
    """Check trees of arrays: structure, each leaf's namespace, device, dtype and shape, then its values."""
    actual_leaves, expected_leaves = tree.named_leaves(actual), tree.named_leaves(expected)
    assert [name for name, _ in actual_leaves] == [name for name, _ in expected_leaves], what
    for (name, a), (_, e) in zip(actual_leaves, expected_leaves, strict=True):
        where = f"{what} {name}".strip()
        assert namespace(a=a) is namespace(e=e), where
        assert a.device == e.device, where
        assert a.dtype == e.dtype, where
        assert a.shape == e.shape, where
        a, e = to_numpy(a), to_numpy(e)
        if tolerance == EXACT:
            assert a.tobytes() == e.tobytes(), f"{where}: {a}\ninstead of {e}"
            continue
        error, bound = np.linalg.norm(a - e), tolerance * max(1.0, np.linalg.norm(e))
        assert error <= bound, f"{where}: {error:.3g} > {bound:.3g}; {a}\ninstead of {e}"


# Backends. Those named in RNN_XP_TEST_BACKENDS, separated by commas, must be there; others may be.

DEVICES = {"numpy": None, "numpy_readonly": None, "array_api_strict": "device1", "torch": "cpu", "cupy": None}
REQUIRED = tuple(name for name in os.environ.get("RNN_XP_TEST_BACKENDS", "").split(",") if name)


def is_there(name: str) -> bool:
    """Return whether a backend can be tested here. CuPy is there where it sees a GPU too."""
    if importlib.util.find_spec(name) is None:
        return False
    try:
        return name != "cupy" or bool(get_backend("cupy", dtype="float64"))
    except BackendError:
        return False


PORTABLE = [  # all but NumPy itself
    name for name in DEVICES if not name.startswith("numpy") and (name in REQUIRED or is_there(name))
]


class ReadOnly(Backend):
    """NumPy, giving arrays that nothing can write to."""

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        array = np.array(super().asarray(value, dtype))
        array.flags.writeable = False
        return array


def open_backend(name: str, dtype: str = "float64") -> Backend:
    """Open one of `DEVICES`."""
    if name == "numpy_readonly":
        numpy = get_backend("numpy", dtype=dtype)
        return ReadOnly(*[getattr(numpy, field.name) for field in dataclasses.fields(numpy)])
    return get_backend(name, device=DEVICES[name], dtype=dtype)


@contextlib.contextmanager
def smallest_standard(name: str) -> Iterator[None]:
    """Leave array_api_strict what every library has: no boolean indexing, shapes from data, extensions."""
    if name != "array_api_strict":
        yield
        return
    import array_api_strict

    with array_api_strict.ArrayAPIStrictFlags(
        api_version="2024.12", boolean_indexing=False, data_dependent_shapes=False, enabled_extensions=()
    ):
        yield


READS = (
    *("__float__", "__bool__", "__int__", "__index__", "__complex__", "__repr__", "__str__"),
    *("__array__", "__buffer__", "__dlpack__", "to_device"),
)
"""The methods of an array that bring its values to the host."""


@contextlib.contextmanager
def nothing_moves(name: str) -> Iterator[None]:
    """Refuse what waits for a GPU, or copies between it and the host, on the libraries where that shows."""
    if name not in ("array_api_strict", "cupy"):
        yield
        return
    xp = get_backend(name, device=DEVICES[name]).xp
    array = type(xp.zeros((1,)))
    asarray, joins = xp.asarray, {"concat": xp.concat, "stack": xp.stack}

    def from_device(value: Any, **options: Any) -> Any:
        assert isinstance(value, array), "a value of the host is copied to the device"
        return asarray(value, **options)

    def few(join: str, arrays: Any, **options: Any) -> Any:
        assert len(arrays) <= 8, f"CuPy's {join} copies the addresses of more than 8 arrays to the device"
        return joins[join](arrays, **options)

    def refuse(why: str) -> Any:
        def refused(*args: Any, **options: Any) -> Any:
            raise AssertionError(why)

        return refused

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(xp, "asarray", from_device)
        for join in joins:
            patch.setattr(xp, join, functools.partial(few, join))
        for function in ("clip", "sign"):
            why = f"array-api-compat's {function} waits on CuPy: it writes through boolean masks"
            patch.setattr(xp, function, refuse(why))
        if name == "cupy":
            import cupyx

            with warnings.catch_warnings():  # it warns that it may not see everything
                warnings.simplefilter("ignore")
                stack.enter_context(cupyx.allow_synchronize(False))
        else:
            stack.enter_context(smallest_standard(name))
            for method in READS:
                patch.setattr(array, method, refuse(f"{method} reads a value on the host"), raising=False)
        yield


# Layers and cells.


def ugrnn_forward(a: Any, s_prev: rx.State, *, xp: Any) -> tuple[rx.State, Any]:
    g, c = sigmoid(a[0], xp=xp), xp.tanh(a[1])
    return rx.State(g * s_prev.h + (1.0 - g) * c), (g, c)


def ugrnn_partials(kept: Any, s_prev: rx.State, s: rx.State, *, xp: Any) -> Any:
    g, c = kept
    return (s_prev.h - c) * g * (1.0 - g), (1.0 - g) * (1.0 - c * c), g


def ugrnn_backward(d_s: rx.State, planes: Any) -> tuple[Any, Any]:
    h_g, h_c, h_h = planes
    return (d_s.h * h_g, d_s.h * h_c), (d_s.h * h_h,)


UGRNN = rx.Cell(
    "ugrnn",
    (rx.Pair(ugrnn_forward, ugrnn_partials, ugrnn_backward, reads=("g", "c"), keeps=("g", "c")),),
)
"""Collins, Sohl-Dickstein and Sussillo 2017, as a user would write it."""


MAKERS = {
    "rnn_tanh": lambda *sizes, **options: rx.RNN(*sizes, **options),
    "rnn_relu": lambda *sizes, **options: rx.RNN(*sizes, nonlinearity="relu", **options),
    "gru": lambda *sizes, **options: rx.GRU(*sizes, **options),
    "gru_reset_before": lambda *sizes, **options: rx.GRU(*sizes, reset="before", **options),
    "lstm": lambda *sizes, **options: rx.LSTM(*sizes, **options),
    "lstm_projected": lambda *sizes, **options: rx.LSTM(*sizes, proj_size=sizes[1] - 1, **options),
    "rnn_clipped": lambda *sizes, **options: rx.RNN(
        *sizes, nonlinearity=("scaled_tanh", 1.2, 0.9), clip=1.0, **options
    ),
    "gru_clipped": lambda *sizes, **options: rx.GRU(
        *sizes, activations=("sigmoid", "softsign"), clip=1.0, **options
    ),
    "lstm_peepholes": lambda *sizes, **options: rx.LSTM(*sizes, peepholes=True, **options),
    "lstm_coupled": lambda *sizes, **options: rx.LSTM(
        *sizes,
        peepholes=True,
        coupled=True,
        clip=1.0,
        activations=("hard_sigmoid", ("elu", 0.8), "tanh"),
        **options,
    ),
    "own_cell": lambda *sizes, **options: rx.Recurrent(UGRNN, *sizes, **options),
}
"""Every cell, by the arguments that all of them take."""

MODELS = {
    "last": lambda cell: rx.Sequential(
        MAKERS[cell](3, 4, 2, bidirectional=True, dropout=0.3), rx.LastStep(), rx.Dropout(0.2)
    ),
    "mean": lambda cell: rx.Sequential(MAKERS[cell](3, 4), rx.MeanPool()),
    "max": lambda cell: rx.Sequential(MAKERS[cell](3, 4, bidirectional=True), rx.MaxPool()),
    "steps": lambda cell: rx.Sequential(rx.Linear(3, 2), MAKERS[cell](2, 4), rx.Dropout(0.2)),
    "tokens": lambda cell: rx.Sequential(rx.Embedding(5, 3), MAKERS[cell](3, 4)),
}
"""Models of every layer, by their cell."""


def normal(backend: Backend, like: Any, seed: int, scale: float = 1.0) -> Any:
    """Return a tree of normal numbers, of the shapes of `like`."""
    random = np.random.RandomState(seed)
    return tree.map(lambda leaf: backend.asarray(scale * random.standard_normal(tuple(leaf.shape))), like)


def steps(backend: Backend, shape: tuple[int, ...], seed: int, scale: float = 1.0) -> Any:
    """Return an array of normal numbers."""
    return backend.asarray(scale * np.random.RandomState(seed).standard_normal(shape))


def own(backend: Backend, value: Any) -> Any:
    """Return a tree of NumPy arrays as one of the backend's, floating ones in its dtype."""
    return tree.map(lambda leaf: backend.asarray(to_numpy(leaf)), value)


def arrays_in(value: Any) -> list[Any]:
    """Return every array that a tape holds, however deep."""
    if hasattr(value, "__dlpack__"):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    elif hasattr(value, "__dict__") and type(value).__module__.startswith("rnn_xp"):
        value = list(vars(value).values())
    return [array for part in value for array in arrays_in(part)] if isinstance(value, list | tuple) else []


def run(
    layer: Any,
    params: Any,
    x: Any,
    d_y: Any,
    d_state_T: Any = None,
    *,
    state_0: Any = None,
    lengths: Any = None,
    rng: Rng | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return all that forward and backward answer."""
    y, state_T, tape = layer.forward(params, x, state_0, lengths, rng, **more)
    d_params, d_x, d_state_0 = layer.backward(params, tape, d_y, d_state_T)
    return {"y": y, "state_T": state_T, "d_params": d_params, "d_x": d_x, "d_state_0": d_state_0}


def both_engines(
    layer: Any, monkeypatch: pytest.MonkeyPatch, T: int, B: int, dtype: str, **given_more: Any
) -> list[Any]:
    """Return what the portable engine answers, and what the numpy engine does."""
    backend = open_backend("numpy", dtype)
    params = own(backend, normal(open_backend("numpy"), layer.init(open_backend("numpy"), seed=1), 2, 0.5))
    x, d_y = steps(backend, (T, B, 3), 3, 2.0), steps(backend, (T, B, layer.output_size), 4)
    state = normal(backend, layer.forward(params, x)[1], 5)
    results = []
    for name in ("portable", "numpy"):
        monkeypatch.setenv("RNN_XP_ENGINE", name)
        results.append(run(layer, params, x, d_y, state, state_0=state, **given_more))
    return results
