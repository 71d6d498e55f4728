"""`verify.cell`: cells that are right, and cells that are wrong in one place each."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support import UGRNN, ugrnn_backward, ugrnn_forward, ugrnn_partials

import rnn_xp as rx
from rnn_xp.cells import CELLS, lstm, rnn
from rnn_xp.functional import sigmoid

ALL = lstm.cell(peepholes=True, coupled=True, clip=2.0)


@pytest.mark.parametrize("cell", [*CELLS.values(), UGRNN, ALL], ids=lambda cell: cell.name)
def test_right_cells_pass(cell: rx.Cell) -> None:
    others = ("array_api_strict",) if cell is UGRNN else ()
    report = rx.verify.cell(cell, others=others).require()
    checks = {finding.check for finding in report}
    assert {"gradient", "float64 against 50 digits", "batch independence"} <= checks
    assert ("100 training steps" in checks) == (cell is UGRNN)
    gates = [finding for finding in report if ", gate " in finding.subject]
    assert len(gates) == len(cell.gates)
    assert all(finding.outcome == "passed" for finding in gates)


def with_pair(**functions: Any) -> rx.Cell:
    """Return UGRNN with some functions of its pair replaced."""
    return UGRNN._replace(name="wrong", pairs=(UGRNN.pairs[0]._replace(**functions),))


def without_gate_derivative(kept: Any, s_prev: Any, s: Any, *, xp: Any) -> Any:
    g, c = kept
    return (s_prev.h - c) * g, (1.0 - g) * (1.0 - c * c), g


def without_direct_path(d_s: Any, planes: Any) -> Any:
    d_a, _ = ugrnn_backward(d_s, planes)
    return d_a, (None,)


def gates_exchanged(d_s: Any, planes: Any) -> Any:
    (d_g, d_c), direct = ugrnn_backward(d_s, planes)
    return (d_c, d_g), direct


def slightly_off(kept: Any, s_prev: Any, s: Any, *, xp: Any) -> Any:
    h_g, h_c, h_h = ugrnn_partials(kept, s_prev, s, xp=xp)
    return h_g, h_c * (1.0 + 1e-5), h_h


@pytest.mark.parametrize(
    ("functions", "subjects"),
    [
        ({"partials": without_gate_derivative}, ["wrong pair 0, gate g"]),
        ({"backward": without_direct_path}, ["wrong pair 0, s_prev.h"]),
        ({"backward": gates_exchanged}, ["wrong pair 0, gate g", "wrong pair 0, gate c"]),
        ({"partials": slightly_off}, ["wrong pair 0, gate c"]),
    ],
    ids=lambda value: next(iter(value.values())).__name__ if isinstance(value, dict) else None,
)
def test_a_wrong_derivative_is_told_by_its_gate(functions: dict[str, Any], subjects: list[str]) -> None:
    report = rx.verify.cell(with_pair(**functions))
    assert [finding.subject for finding in report.failures] == subjects
    assert all(re.search(r"analytic \S+, numeric \S+", finding.detail) for finding in report.failures)
    skipped = {finding.check for finding in report if finding.outcome == "not applicable"}
    assert skipped == {"gradients of layers", "50 digits", "properties", "parity"}
    with pytest.raises(rx.verify.VerificationError, match=re.escape(subjects[0])):
        report.require()


def samples_mixed(a: Any, s_prev: Any, *, xp: Any) -> Any:
    """A batch normalisation of sorts: right derivatives of a column by itself, which it is not."""
    g, c = sigmoid(a[0], xp=xp), xp.tanh(a[1])
    g = g + 0.0 * c + xp.zeros_like(g) + (xp.mean(g, axis=1, keepdims=True) - g)
    return rx.State(g * s_prev.h + (1.0 - g) * c), (g, c)


def test_a_cell_that_mixes_samples_is_found() -> None:
    report = rx.verify.cell(with_pair(forward=samples_mixed), others=())
    assert not report.passed


def test_a_formula_of_another_library_is_found() -> None:
    """NumPy's own function in the place of the namespace's."""
    import numpy as np

    def forward(a: Any, s_prev: Any, *, xp: Any) -> Any:
        g = np.asarray(sigmoid(a[0], xp=xp))
        return ugrnn_forward((a[0], a[1]), s_prev, xp=xp)[0], (g, xp.tanh(a[1]))

    cell = with_pair(forward=forward)
    assert rx.verify.cell(cell, others=()).passed
    own = with_pair(forward=lambda a, s_prev, *, xp: ugrnn_forward((a[0], np.asarray(a[1])), s_prev, xp=np))
    failures = rx.verify.cell(own, others=()).failures
    assert {finding.check for finding in failures} == {"50 digits"}
    assert "must compute with the `xp` that it is given, not with NumPy" in failures[0].detail
    with pytest.raises((TypeError, RuntimeError, ValueError)):
        rx.verify.cell(cell, backend=rx.get_backend("array_api_strict", device="device1", dtype="float64"))


def rectified(function: Any) -> rx.Cell:
    """Return h = function(a), a line of slope 1 within -0.3 .. 0.3, as a user may write it."""

    def forward(a: Any, s_prev: Any, *, xp: Any) -> Any:
        inside = xp.astype(xp.abs(a[0]) < 0.3, a[0].dtype)
        return rx.State(function(a[0], xp)), (inside,)

    def partials(kept: Any, s_prev: Any, s: Any, *, xp: Any) -> Any:
        return (kept[0],)

    def backward(d_s: Any, planes: Any) -> Any:
        return (d_s.h * planes[0],), (None,)

    return rx.Cell("clipped", (rx.Pair(forward, partials, backward, reads=("a",), keeps=("inside",)),))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, xp: xp.clip(x, -0.3, 0.3),
        lambda x, xp: xp.sign(x) * xp.minimum(xp.abs(x), xp.full_like(x, 0.3)),
        lambda x, xp: xp.sin(xp.asin(xp.clip(x, -0.3, 0.3))),
    ],
    ids=["clip", "sign", "sin"],
)
def test_what_the_standard_offers_runs_at_many_digits(function: Any) -> None:
    report = rx.verify.cell(rectified(function), others=()).require()
    assert "gradient at 50 digits" in {finding.check for finding in report if finding.outcome == "passed"}


def test_a_name_that_many_digits_lack_is_told() -> None:
    def function(x: Any, xp: Any) -> Any:
        return xp.clip(x, -0.3, 0.3) + 0.0 * xp.nextafter(x, x)

    report = rx.verify.cell(rectified(function), others=()).require()
    skipped = [finding for finding in report if finding.check == "50 digits"]
    assert {finding.outcome for finding in skipped} == {"not applicable"}
    assert {finding.detail for finding in skipped} == {"high precision knows no `xp.nextafter`"}


@pytest.mark.parametrize(("cell", "seed"), [(CELLS["rnn_relu"], 7), (rnn.cell("tanh", clip=0.3), 10)])
def test_units_at_rest_are_no_fault(cell: rx.Cell, seed: int) -> None:
    assert rx.verify.cell(cell, seed=seed, others=()).passed


def test_a_pair_of_the_wrong_form_is_told() -> None:
    report = rx.verify.cell(with_pair(keeps=("g", "c", "y")), others=())
    (failure,) = report.failures
    assert "`forward` must keep 3 planes, ('g', 'c', 'y'); got 2" in failure.detail


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_xp.verify.own_cell.find_spec", lambda name: None)
    report = rx.verify.cell(CELLS["rnn_tanh"])
    assert report.passed
    details = [finding.detail for finding in report if finding.check in ("50 digits", "parity")]
    assert details == [
        'gmpy2 and mpmath are not installed: pip install "rnn-xp[verify]"',
        'gmpy2 and mpmath are not installed: pip install "rnn-xp[verify]"',
        "array_api_strict is not installed",
        "torch is not installed",
    ]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"cell": rx.GRU(2, 3)}, TypeError, "`cell` must be a rnn_xp.Cell; got GRU."),
        (
            {"others": "torch"},
            TypeError,
            "`others` must be a sequence of names of backends, such as ('torch',); got 'torch'.",
        ),
        ({"seed": -1}, ValueError, "`seed` must be an integer of at least 0; got -1."),
    ],
)
def test_words(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        rx.verify.cell(**{"cell": UGRNN, **wrong})
