"""The cupy engine on CuPy's own arrays, without a driver: one kernel a step and direction, and no copies."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fake_cupy import USABLE, tracing
from support import MAKERS

import rnn_xp as rx
from rnn_xp import sequence
from rnn_xp.engines.choose import choose
from rnn_xp.engines.rehearsal import Rehearsal

pytestmark = pytest.mark.skipif(
    not USABLE, reason="needs the CuPy wheel, and a machine without a CUDA driver"
)

PLAIN = {
    "RNN": rx.RNN(2, 5),
    "GRU": rx.GRU(2, 5),
    "LSTM": rx.LSTM(2, 5),
}


def traced(layer: Any, dtype: str, *, lengths: bool = False, weight_hh: Any = None) -> tuple[Any, list[str]]:
    """Run a layer forward and back over three steps; return the trace, and the launches of a middle step."""
    with tracing() as (xp, trace):
        new = {"dtype": getattr(xp, dtype)}
        spec = layer.spec()[0]
        params = sequence.Params(*[None if one is None else xp.empty(one.shape, **new) for one in spec])
        if weight_hh is not None:
            params = params._replace(weight_hh=weight_hh(xp, params.weight_hh))
        launches = {}
        for T in (3, 4):
            run = sequence.Run(layer.cell, params, T, 4, **new, device=None, reverse=False, xp=xp)
            valid = sequence.Valid(xp.empty((T, 4), dtype=xp.bool), 1) if lengths else None
            x, d_h = xp.empty((T, 2, 4), **new), xp.empty(run.memory.s.h.shape, **new)
            run.forward(x, None, valid)
            run.backward(d_h, run.zeros, valid, True)
            start = len(trace.launches)
            run.forward(x, None, valid)
            middle = len(trace.launches)
            run.backward(d_h, run.zeros, valid, True)
            launches[T] = trace.launches[start:middle], trace.launches[middle:]
    assert choose(layer.cell, xp=xp).name == "cupy"
    step = [more_than(late, early) for late, early in zip(launches[4], launches[3], strict=True)]
    return trace, step


def more_than(late: list[str], early: list[str]) -> list[str]:
    """Return what is in one list more often than in the other."""
    rest = list(late)
    for name in early:
        rest.remove(name)
    return sorted(rest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_step_is_a_product_and_one_kernel(name: str, dtype: str) -> None:
    layer = PLAIN[name]
    trace, (forward, backward) = traced(layer, dtype)
    own = f"rnn_xp_{layer.cell.name}"
    assert forward == ["product", f"{own}_forward"]
    assert backward == ["product", f"{own}_backward"]
    assert {kernel for kernel, _ in trace.kernels} == {f"{own}_forward", f"{own}_backward"}


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("maker", MAKERS)
def test_every_cell_is_kernels_of_its_dtype_and_nothing_is_copied(maker: str, lengths: bool) -> None:
    layer = MAKERS[maker](2, 5)
    trace, (forward, backward) = traced(layer, "float32", lengths=lengths)
    pairs, projected = len(layer.cell.pairs), bool(layer.proj_size)
    kernels = [name for name in forward + backward if name.startswith("rnn_xp_")]
    masks = lengths * (1 + projected)  # fields of one shape at a time
    assert len(kernels) == 2 * pairs + 2 * masks
    # besides: a projection's product, and storing h; on the way back first the sum of two gradients
    assert len(forward) == 2 * pairs + masks + 2 * projected
    assert len(backward) == 2 * pairs + masks + (3 - lengths) * projected
    assert trace.copies == []
    for (name, _), kernel in trace.kernels.items():
        code = re.sub(r"const double v\d+ = ", "", kernel.operation)  # a number of the source, cast on use
        assert "double" not in code, name
        assert "double &" not in kernel.preamble, name


def test_an_output_of_one_unit_is_not_spread_over_the_memory() -> None:
    trace, _ = traced(rx.LSTM(2, 5, proj_size=1), "float32", lengths=True)
    assert trace.copies == []


def test_a_copy_at_every_step_would_be_noticed() -> None:
    def column_slice(xp: Any, weight: Any) -> Any:
        rows, columns = weight.shape
        return xp.empty((rows, columns + 3), dtype=weight.dtype)[:, :columns]

    trace, _ = traced(PLAIN["LSTM"], "float32", weight_hh=column_slice)
    assert any(re.match(r"a product copies \(20, 5\) with strides \(32, 4\)", copy) for copy in trace.copies)


def looking_around(a: Any, s_prev: Any, *, xp: Any) -> Any:
    h = xp.tanh(a[0] - xp.sum(a[0], axis=0))
    return rx.State(h), ()


def deciding(a: Any, s_prev: Any, *, xp: Any) -> Any:
    return rx.State(xp.tanh(a[0]) if a[0] is not None and bool(a[0] > 0.0) else a[0]), ()


def counting(a: Any, s_prev: Any, *, xp: Any) -> Any:
    return rx.State(xp.tanh(a[0] - a[0][4, :])), ()


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (looking_around, "Shape mismatch"),
        (deciding, "Can't cast to bool"),
        (counting, "IndexError: Index 4 is out of bounds"),
    ],
)
def test_a_cell_that_is_no_kernel_runs_on_the_portable_engine_and_explain_says_why(
    forward: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = rx.RNN(2, 5).cell.pairs[0]
    cell = rx.Cell(forward.__name__, (usual._replace(forward=forward),))
    with tracing() as (xp, _):
        if forward is deciding:  # fake arrays have no values
            monkeypatch.setattr("rnn_xp.engines.cupy.rehearse", lambda *_, xp: Rehearsal((False,), 1))
        line = "; ".join(rx.Recurrent(cell, 2, 5).engines(xp))
        assert re.search(rf": portable engine, since cupy\.fuse cannot make one kernel .*{reason}", line)
        monkeypatch.setenv("RNN_XP_ENGINE", "cupy")
        message = rf"`RNN_XP_ENGINE` must be auto or portable for the cell {cell.name}; got cupy: .*{reason}"
        with pytest.raises(ValueError, match=message):
            choose(cell, xp=xp)


def test_a_kernel_of_any_cell_has_a_name_that_a_compiler_reads() -> None:
    cell = rx.RNN(2, 5).cell._replace(name="größe α(1, 2)")
    trace, _ = traced(rx.Recurrent(cell, 2, 5), "float32")
    names = {name for name, _ in trace.kernels}
    assert len(names) == 2
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names)


def test_what_cupy_would_run_as_several_kernels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.engines import cupy as engine

    class Several:
        new_fusion = object()

        def __call__(self, *planes: Any) -> None:
            pass

    monkeypatch.setattr(engine, "_forward", lambda *_: engine.Kernel(Several(), 1))
    with tracing() as (xp, _):
        assert engine.refusal(rx.RNN(2, 5).cell, xp=xp) == "it takes several"


def test_the_line_of_a_cell_that_is_kernels() -> None:
    with tracing() as (xp, _):
        (line,) = rx.LSTM(2, 5).engines(xp)
    assert line.startswith("LSTM(2, 5): cupy engine, since cupy.fuse makes one kernel of what is pointwise")
