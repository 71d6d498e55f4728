"""Answers that other projects published, found through RNN_XP_PEER_CASES; in ONNX's form and gate order."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import sequence
from rnn_xp.cells import CELLS

FOLDER = os.environ.get("RNN_XP_PEER_CASES")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="RNN_XP_PEER_CASES names no folder of published cases")

REACHED = 69  # of 94 forward cases
# where our gates stand among theirs: z, r, h and i, o, f, c
ORDER = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
PLAIN = {"RNN": ["tanh"], "GRU": ["sigmoid", "tanh"], "LSTM": ["sigmoid", "tanh", "tanh"]}


def load() -> list[dict[str, Any]]:
    """Return all cases, with the file's name before their own."""
    cases = []
    for path in sorted(Path(FOLDER or "").glob("*_cases.json")) if FOLDER else ():
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            cases.append({**case, "name": f"{path.stem}:{case['name']}"})
    return cases


def missing(case: dict[str, Any]) -> str | None:
    """Return what of a case the package does not have."""
    if "P" in case["inputs"]:
        return "peepholes"
    if case.get("clip"):
        return "clip"
    if case.get("input_forget"):
        return "coupled gates"
    names = [name.lower() for name in case.get("activations") or PLAIN[case["op"]]]
    plain = PLAIN[case["op"]]
    kinds = {tuple(names[start : start + len(plain)]) for start in range(0, len(names), len(plain))}
    relu = case["op"] == "RNN" and kinds == {("relu",)}
    return None if relu or kinds == {tuple(plain)} else "custom activations"


def rows(array: np.ndarray, op: str) -> np.ndarray:
    """Return the row blocks of the gates in our order."""
    return np.concatenate([np.split(array, len(ORDER[op]))[gate] for gate in ORDER[op]])


def cell_of(case: dict[str, Any]) -> rx.Cell:
    if case["op"] == "RNN":
        return CELLS["rnn_" + (case.get("activations") or ["tanh"])[0].lower()]
    if case["op"] == "GRU":
        return CELLS["gru" if case.get("linear_before_reset") else "gru_reset_before"]
    return CELLS["lstm"]


def params_of(op: str, inputs: dict[str, np.ndarray], direction: int) -> sequence.Params:
    W, R = inputs["W"][direction], inputs["R"][direction]
    biases: list[Any] = [None, None]
    if "B" in inputs:
        biases = [rows(half, op) for half in np.split(inputs["B"][direction], 2)]
    return sequence.Params(rows(W, op), rows(R, op), *biases)


def answers(case: dict[str, Any]) -> dict[str, np.ndarray]:
    """Run a case: through a layer, or through the engine where it runs against time only."""
    inputs = {name: np.asarray(value, dtype=np.float64) for name, value in case["inputs"].items()}
    x, cell, op = inputs["X"], cell_of(case), case["op"]
    T, B, D = x.shape
    H = inputs["R"].shape[2]
    directions = len(inputs["W"])
    params = tuple(params_of(op, inputs, direction) for direction in range(directions))
    zeros = np.zeros((directions, B, H))
    state_0 = cell.state(*[inputs.get(f"initial_{field}", zeros) for field in cell.state._fields])
    lengths = [int(n) for n in case["inputs"].get("sequence_lens", [T] * B)]
    if case["direction"] == "reverse":
        valid = sequence.valid_steps(lengths, T, x, xp=np)
        run = sequence.Run(cell, params[0], T, B, dtype=x.dtype, device="cpu", reverse=True, xp=np)
        h = run.forward(x.transpose(0, 2, 1), [field[0].T for field in state_0], valid)
        y = h.transpose(0, 2, 1).copy()
        for index, length in enumerate(lengths):
            y[length:, index] = 0.0
        state_T = cell.state(*[field.T[None] for field in run.last()])
    else:
        layer = rx.Recurrent(cell, D, H, bias="B" in inputs, bidirectional=directions == 2)
        y, state_T, _ = layer.forward(params, x, state_0, lengths)
    Y = np.stack(np.split(y, directions, axis=2), axis=1)
    return {"Y": Y, **{f"Y_{field}": value for field, value in zip(cell.state._fields, state_T, strict=True)}}


def merged(Y: np.ndarray, how: str, axis: int) -> np.ndarray:
    """Return the two directions in one, as Keras merges them."""
    ahead, back = np.take(Y, 0, axis), np.take(Y, 1, axis)
    return {"sum": ahead + back, "ave": (ahead + back) / 2, "mul": ahead * back}[how]


FORWARD = [case for case in load() if case.get("kind") != "backward"]
CASES = [case for case in FORWARD if missing(case) is None]


def test_as_many_cases_as_ever_are_reached() -> None:
    reasons = Counter(missing(case) for case in FORWARD)
    assert reasons.pop(None) == REACHED
    assert reasons == {"custom activations": 16, "peepholes": 8, "clip": 1}
    assert len(BACKWARD) == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_forward(case: dict[str, Any]) -> None:
    given = answers(case)
    compared = 0
    for name, value in case["expected"].items():
        if name == "C":  # every step's memory, which no output shows
            continue
        got = merged(given[case["post"]["of"]], case["post"]["merge"], 1) if name == "merged" else given[name]
        assert got.shape == np.shape(value)
        np.testing.assert_allclose(got, value, rtol=case["rtol"], atol=case["atol"], err_msg=name)
        compared += 1
    for element in case.get("expected_elements", ()):
        got = given[element["of"]][tuple(element["index"])]
        assert got == pytest.approx(element["value"], rel=case["rtol"], abs=case["atol"])
        compared += 1
    assert compared


BACKWARD = [case for case in load() if case.get("kind") == "backward"]


@pytest.mark.parametrize("case", BACKWARD, ids=lambda case: case["name"])
def test_backward_from_given_gates(case: dict[str, Any]) -> None:
    """The gates do not follow from the inputs: the cell's pairs run alone, between products made here."""
    inputs = {name: np.asarray(value, dtype=np.float64) for name, value in case["inputs"].items()}
    x, op, cell, d_y = inputs["X"], case["op"], cell_of(case), inputs["dY"][:, 0]
    T, B, _ = x.shape
    params = params_of(op, inputs, 0)
    weights = dict(zip(cell.gates, np.split(params.weight_hh, len(cell.gates)), strict=True))
    cached = {name: np.asarray(value)[:, 0] for name, value in case["cache"].items()}
    H = cached["H"].shape[2]
    # every step's planes by name, (H, B), and the states around them
    published = np.split(cached["gates"].transpose(0, 2, 1), len(cell.gates), axis=1)
    planes = dict(zip(cell.gates, [published[gate] for gate in ORDER[op]], strict=True))
    if op == "LSTM":
        planes["tanh_c"] = np.tanh(cached["C"].transpose(0, 2, 1))
    starts = {
        name: np.concatenate([np.zeros((1, B, H)), cached[name.upper()]]) for name in cell.state._fields
    }
    fields = [start.transpose(0, 2, 1) for start in starts.values()]
    states = [cell.state(*[field[t] for field in fields]) for t in range(T + 1)]

    d_x, d_W, d_R = np.zeros_like(x), np.zeros_like(params.weight_ih), np.zeros_like(params.weight_hh)
    d_b = np.zeros_like(params.bias_ih)
    d_s = [np.zeros((H, B)) for _ in fields]
    for t in range(T - 1, -1, -1):
        s_prev, s = states[t], states[t + 1]
        operands = [s_prev.h, planes["r"][t] * s_prev.h] if len(cell.pairs) == 2 else [s_prev.h]
        d_result: Any = cell.state(d_s[0] + d_y[t].T, *d_s[1:])
        d_s = [np.zeros((H, B)) for _ in fields]
        d_a: dict[str, np.ndarray] = {}
        d_rows: dict[str, np.ndarray] = {}
        for pair, operand in list(zip(cell.pairs, operands, strict=True))[::-1]:
            partials = pair.partials([planes[name][t] for name in pair.keeps], s_prev, s, xp=np)
            d_read, direct = pair.backward(d_result, partials)
            d_a.update(zip(pair.reads, d_read, strict=True))
            multiplied = pair.reads if pair.multiplies is None else pair.multiplies
            d_rows.update({gate: d_a[gate] @ operand.T for gate in multiplied})
            d_result = sum(weights[gate].T @ d_a[gate] for gate in multiplied)
            d_s = [d if more is None else d + more for d, more in zip(d_s, direct, strict=True)]
        d_s[0] = d_s[0] + d_result
        column = np.concatenate([d_a[gate] for gate in cell.gates])
        d_x[t] = column.T @ params.weight_ih
        d_W += column @ x[t]
        d_R += np.concatenate([d_rows[gate] for gate in cell.gates])
        d_b += column.sum(axis=1)

    def published_order(array: np.ndarray) -> np.ndarray:
        blocks = np.split(array, len(cell.gates))
        return np.concatenate([blocks[gate] for gate in np.argsort(ORDER[op])])

    bias = published_order(d_b)
    given = {"dX": d_x, "dW": published_order(d_W)[None], "dR": published_order(d_R)[None]}
    given["dB"] = np.concatenate([bias, bias])[None]
    assert set(given) == set(case["expected"])
    for name, value in case["expected"].items():
        np.testing.assert_allclose(given[name], value, rtol=case["rtol"], atol=case["atol"], err_msg=name)
