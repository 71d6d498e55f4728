"""Parity: every cell on the device and on NumPy's portable engine, the same numbers; twice, the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import rnn_xp as rx
from gpu.check import DTYPES, ENGINES, Check, engine
from gpu.session import told
from rnn_xp import tree
from rnn_xp.backend import Backend, to_numpy
from rnn_xp.cells import CELLS
from rnn_xp.verify.problems import Problem, problem

STATES = {"float32": 2e-5, "float64": 1e-12}  # max |difference| of y and the last state
GRADIENTS = {"float32": 1e-5, "float64": 1e-12}  # norm of the difference over the norm, tensor by tensor
MATMUL = 1e-5  # float32, of the norm: TF32 is off by 2e-4 or more

MAKERS: dict[str, Callable[[int, int], Any]] = {
    **{name: lambda D, H, cell=cell: rx.Recurrent(cell, D, H) for name, cell in CELLS.items()},
    "lstm, projection": lambda D, H: rx.LSTM(D, H, proj_size=H // 2),
    "lstm, 2 layers, both ways, lengths": lambda D, H: rx.LSTM(D, H, 2, bidirectional=True),
}


class Case(NamedTuple):
    """What is compared."""

    steps: int
    dtype: str
    cell: str

    def __str__(self) -> str:
        return f"{self.cell}, {self.dtype}, T = {self.steps}"


def run(check: Check, results: dict[str, Any]) -> None:
    """Compare cell by cell, and see that float32 is float32."""
    results |= {"states_limit": STATES, "gradients_limit": GRADIENTS}
    rows = results["cases"] = []
    results["engines"] = engines(check)
    cases = [Case(T, dtype, cell) for T in check.sizes.parity_steps for dtype in DTYPES for cell in MAKERS]
    for case in check.session.while_time_lasts(cases):
        try:
            found = compare(check, case)
        except Exception as error:  # the next cell may work
            check.session.fail(f"{case}: {told(error)}")
            continue
        rows += found
        errors = {row["engine"]: max(row["gradients"].values()) for row in found}
        shown = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
        check.session.say(f"{case}: worst gradient {shown}")
    results["float32_products"] = products(check)


def engines(check: Check) -> list[str]:
    """Return what the package says of the engines that it chooses by itself; on CuPy all must be cupy."""
    backend = check.open()
    told = [maker(8, 16).explain(backend) for maker in MAKERS.values()]
    for line in told:
        check.session.say(line)
        if backend.name == "cupy" and ": cupy engine" not in line:
            check.session.fail(line)
    return told


def compare(check: Check, case: Case) -> list[dict[str, Any]]:
    """Return a row for each engine."""
    B, D, H = check.sizes.parity_shape
    layer = MAKERS[case.cell](D, H)
    rng = np.random.default_rng(case.steps)
    lengths = unequal(B, case.steps) if "lengths" in case.cell else None
    x = rng.standard_normal((case.steps, B, D))
    given = problem(layer, None, x, None, lengths, None, rng)
    with engine("portable"):
        expected = answers(layer, given, rx.get_backend("numpy", dtype=case.dtype))
    rows = []
    for name in ENGINES:
        with engine(name):
            once, again = (answers(layer, given, check.open(case.dtype)) for _ in range(2))
        row = {"cell": case.cell, "dtype": case.dtype, "T": case.steps, "engine": name}
        row |= differences(once, expected)
        row["repeats"] = bytes_of(once) == bytes_of(again)
        wrong = faults(row)
        row["passed"] = not wrong
        if wrong:
            check.session.fail(f"{case}, engine {name}: {'; '.join(wrong)}")
        rows.append(row)
    return rows


def faults(row: dict[str, Any]) -> list[str]:
    """Say which limits a comparison does not keep; a NaN keeps none."""
    dtype, found = row["dtype"], []
    if not row["states"] <= STATES[dtype]:
        found.append(f"a state is off by {row['states']:.1e}")
    for name, error in row["gradients"].items():
        if not error <= GRADIENTS[dtype]:
            found.append(f"the gradient of {name} is off by {error:.1e}")
    return found if row["repeats"] else [*found, "a second run gave other bits"]


def unequal(batch: int, steps: int) -> list[int]:
    """Return lengths from 0 to `steps`, unsorted."""
    return [(7 * i + 3) % batch * steps // max(1, batch - 1) for i in range(batch)]


def answers(layer: Any, given: Problem, backend: Backend) -> dict[str, Any]:
    """Return all that forward and backward give, on the host."""
    params, x, state_0, d_y, d_state_T = tree.map(
        backend.asarray, (given.params, given.x, given.state_0, given.d_y, given.d_state_T)
    )
    y, state_T, tape = layer.forward(params, x, state_0, given.lengths)
    gradients = layer.backward(params, tape, d_y, d_state_T)
    named = dict(zip(("params", "x", "state_0"), gradients, strict=True))
    return tree.map(to_numpy, {"states": (y, state_T), "gradients": named})  # type: ignore[no-any-return]


def differences(actual: Any, expected: Any) -> dict[str, Any]:
    """Return the largest difference of a state, and that of every gradient relative to its norm."""
    states = zip(tree.leaves(actual["states"]), tree.leaves(expected["states"]), strict=True)
    pairs = zip(tree.named_leaves(actual["gradients"]), tree.leaves(expected["gradients"]), strict=True)
    return {
        "states": float(np.max([np.max(np.abs(a - e)) for a, e in states])),
        "gradients": {name: relative(a, e) for (name, a), e in pairs},
    }


def relative(actual: Any, expected: Any) -> float:
    """Return the norm of the difference over the norm, in float64."""
    size = np.linalg.norm(expected.astype(np.float64))
    gap = np.linalg.norm(actual.astype(np.float64) - expected.astype(np.float64))
    return float(gap / size) if size else float(gap)


def bytes_of(answers: Any) -> list[bytes]:
    """Return every bit."""
    return [leaf.tobytes() for leaf in tree.leaves(answers)]


def products(check: Check) -> dict[str, Any]:
    """See that float32 products, large and batched, do not round their factors to TF32."""
    rng, n, backend = np.random.default_rng(0), check.sizes.tf32, check.open("float32")
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((n, n), (4, n, n)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    own_a, own_b = backend.asarray(a), backend.asarray(b)
    errors = {
        "large": relative(backend.to_numpy(own_a @ own_b[0, ...]), exact[0]),
        "batched": relative(backend.to_numpy(own_a @ own_b), exact),
    }
    would_be = relative(tf32(a) @ tf32(b), exact)
    for name, error in errors.items():
        if not error <= MATMUL < would_be:
            check.session.fail(f"a {name} float32 product is off by {error:.1e}; in TF32 by {would_be:.1e}")
    return {**errors, "limit": MATMUL, "in_tf32": would_be}


def tf32(a: Any) -> Any:
    """Round to the 10 bits that TF32 keeps of a fraction, in float64."""
    bits = a.view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)
