"""The engines: each gives the portable one's numbers, and a step costs so many operations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import EXACT, MAKERS, assert_close, normal, open_backend, own, run, steps

import rnn_xp as rx
from rnn_xp import sequence
from rnn_xp.engines.choose import choose

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("launches", ROOT / "benchmarks" / "launches.py")
launches = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launches)

NUMPY = open_backend("numpy")

CASES = {
    "whole": {},
    "lengths": {"lengths": [3, 0, 6, 1], "state_0": True},
    "states": {"state_0": True, "d_state_T": True},
    "reverse": {"lengths": [6, 2, 0, 5], "state_0": True, "d_state_T": True, "reverse": True},
    "stacked, both ways": {
        "lengths": [6, 2, 1, 5],
        "num_layers": 2,
        "bidirectional": True,
        "rng": rx.Rng(1, 2),
    },
}


def answers(maker: str, case: dict[str, Any], backend: rx.Backend) -> dict[str, Any]:
    """Return all that a layer answers, from numbers drawn on the host."""
    given = dict(case)
    options = {name: given.pop(name) for name in ("reverse", "num_layers", "bidirectional") if name in given}
    layer = MAKERS[maker](3, 5, dropout=0.3 if "rng" in given else 0.0, **options)
    params = layer.init(NUMPY, seed=1)
    x = steps(NUMPY, (6, 4, 3), 2)
    y, state_T, _ = layer.forward(params, x)
    for seed, name in enumerate(("state_0", "d_state_T"), 4):
        if name in given:
            given[name] = own(backend, normal(NUMPY, state_T, seed))
    return run(layer, own(backend, params), own(backend, x), own(backend, steps(NUMPY, y.shape, 3)), **given)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("maker", MAKERS)
def test_the_engines_give_the_portable_ones_numbers(
    maker: str, case: str, backend_name: str, backend: rx.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNN_XP_ENGINE", "portable")
    expected = answers(maker, CASES[case], backend)
    for engine in ("numpy", "cupy") if backend_name.startswith("numpy") else ("cupy",):
        monkeypatch.setenv("RNN_XP_ENGINE", engine)
        assert_close(
            answers(maker, CASES[case], backend), expected, EXACT if backend_name != "cupy" else 1e-12
        )


@pytest.mark.parametrize("maker", MAKERS)
def test_what_stands_in_a_kernel_gives_numpys_numbers(maker: str) -> None:
    """The whole way of CuPy's arrays, its namespace for kernels included, on a stand-in for CuPy."""
    layer = MAKERS[maker](3, 5)
    params, x, d_h = layer.init(NUMPY, seed=1)[0], steps(NUMPY, (6, 3, 4), 2), steps(NUMPY, (6, 9, 4), 3)
    results = []
    for xp in (np, launches.CountingNamespace("cupy")):
        with launches.standing_in(launches.CountingNamespace("cupy") if xp is np else xp):
            assert choose(layer.cell, xp=xp).name == ("numpy" if xp is np else "cupy")
            one = sequence.Run(layer.cell, params, 6, 4, dtype=x.dtype, device=None, reverse=False, xp=xp)
            valid = sequence.valid_steps([6, 2, 4, 0], 6, x, xp=np)
            y = one.forward(x, None, valid)
            d = one.backward(d_h[:, : y.shape[1]], one.zeros, valid, True)
            results.append(
                [launches.plain(array) for array in (y, *d[0], *d[1:2], *d[2]) if array is not None]
            )
    assert_close(results[1], results[0], EXACT)


def test_the_environment_chooses_and_explain_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    model = rx.Sequential(rx.LSTM(3, 4), rx.GRU(4, 5), rx.LastStep(), rx.Linear(5, 2))
    monkeypatch.delenv("RNN_XP_ENGINE", raising=False)
    own = "numpy engine, since what is pointwise in a step becomes ufunc calls that write in place"
    assert model.explain("numpy") == f"LSTM(3, 4): {own}\nGRU(4, 5): {own}"
    told = "RNN(3, 4): portable engine, since array_api_strict has no engine of its own"
    assert rx.RNN(3, 4).explain("array_api_strict") == told
    monkeypatch.setenv("RNN_XP_ENGINE", "portable")
    assert rx.RNN(3, 4).explain("numpy") == "RNN(3, 4): portable engine, since RNN_XP_ENGINE asks for it"
    monkeypatch.setenv("RNN_XP_ENGINE", "cupy")
    told = "RNN(3, 4): cupy engine, since RNN_XP_ENGINE asks for it, though the arrays are those of numpy"
    assert rx.RNN(3, 4).explain("numpy") == told
    assert rx.Linear(5, 2).explain("numpy") == ""


def test_the_environment_names_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNN_XP_ENGINE", "cuda")
    with pytest.raises(
        ValueError, match=r"`RNN_XP_ENGINE` must be one of 'auto', 'portable', 'numpy', 'cupy'; got 'cuda'"
    ):
        rx.RNN(3, 4).explain("numpy")


# one formula


@pytest.mark.parametrize("part", ["forward", "partials", "backward"])
@pytest.mark.parametrize("maker", ["rnn_tanh", "gru", "gru_reset_before", "lstm"])
def test_every_engine_runs_the_cells_own_function(
    maker: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell whose function is another one has other numbers, and they are the same on every engine."""
    layer = MAKERS[maker](3, 5)
    usual = layer.cell.pairs[-1]
    replaced = usual._replace(**{part: twisted(getattr(usual, part), part)})
    cell = layer.cell._replace(name="twisted", pairs=(*layer.cell.pairs[:-1], replaced))
    other = rx.Recurrent(cell, 3, 5)
    params, x = layer.init(NUMPY, seed=1), steps(NUMPY, (6, 4, 3), 2)
    d_y = steps(NUMPY, (6, 4, 5), 3)
    told = {}
    for engine in ("portable", "numpy", "cupy"):
        monkeypatch.setenv("RNN_XP_ENGINE", engine)
        told[engine] = run(other, params, x, d_y)
        before = run(layer, params, x, d_y)
        changed = "y" if part == "forward" else "d_x"
        assert np.abs(told[engine][changed] - before[changed]).max() > 1e-3
    assert_close(told["cupy"], told["portable"], EXACT)
    assert_close(told["numpy"], told["portable"], EXACT)


def twisted(function: Any, part: str) -> Any:
    """Return the function with what it gives first scaled by 0.9."""

    def forward(a: Any, s_prev: Any, *, xp: Any) -> Any:
        result, kept = function(a, s_prev, xp=xp)
        return result._replace(h=0.9 * result.h), kept

    def partials(kept: Any, s_prev: Any, s: Any, *, xp: Any) -> Any:
        first, *others = function(kept, s_prev, s, xp=xp)
        return (0.9 * first, *others)

    def backward(d_s: Any, planes: Any) -> Any:
        (first, *others), d_s_prev = function(d_s, planes)
        return (0.9 * first, *others), d_s_prev

    return {"forward": forward, "partials": partials, "backward": backward}[part]


# operations of a step

COUNTS = {  # portable, numpy, cupy; and of a step that is padding
    "RNN": ((4, 4), (3, 3), (2, 2), (6, 7), (5, 7), (3, 3)),
    "GRU": ((22, 13), (13, 8), (2, 2), (24, 16), (15, 12), (3, 3)),
    "GRU, reset before": ((22, 13), (16, 9), (4, 4), (24, 16), (18, 13), (5, 5)),
    "LSTM": ((27, 13), (14, 7), (2, 2), (31, 19), (18, 15), (3, 3)),
    "LSTM, peepholes": ((33, 19), (21, 9), (2, 2), (37, 25), (25, 17), (3, 3)),
    "LSTM, projection": ((29, 15), (16, 10), (4, 5), (33, 21), (20, 17), (6, 6)),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_step_costs_so_many_operations(name: str) -> None:
    layer = launches.LAYERS[name]
    counted = [
        launches.per_step(layer, engine, lengths=lengths)
        for lengths in (False, True)
        for engine in ("portable", "numpy", "cupy")
    ]
    assert tuple(counted) == COUNTS[name]


def test_every_layer_is_counted_and_the_page_shows_it() -> None:
    assert list(COUNTS) == list(launches.LAYERS)
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert "\n".join(["<!-- launches -->", *launches.table(), "<!-- end -->"]) in readme


def test_an_operation_more_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the operand before the product, and a temporary inside the formula."""
    usual = rx.RNN(3, 5).cell.pairs[0]

    def copying(a: Any, s_prev: Any, *, xp: Any) -> Any:
        return usual.forward([xp.asarray(a[0], copy=True)], s_prev, xp=xp)

    cell = rx.Cell("copying", (usual._replace(forward=copying),))
    assert launches.per_step(rx.Recurrent(cell, 3, 5), "portable", lengths=False) == (5, 4)

    from rnn_xp.engines import cupy as engine

    real = engine.Cupy.forward_step

    def strided(self: Any, stage: Any, memory: Any, operands: Any, outs: Any) -> Any:
        step = real(self, stage, memory, operands, outs)

        def copy_and_step(t: int) -> None:
            operands[t][...] = operands[t] * 1.0
            step(t)

        return copy_and_step

    monkeypatch.setattr(engine.Cupy, "forward_step", strided)
    assert launches.per_step(rx.LSTM(3, 5), "cupy", lengths=False) == (4, 2)
