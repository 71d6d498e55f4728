"""Answers that other projects published, found through RNN_XP_PEER_CASES; in ONNX's form and gate order."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_form import ORDER, answers, layers, ours, rows, theirs

from rnn_xp import sequence

FOLDER = os.environ.get("RNN_XP_PEER_CASES")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="RNN_XP_PEER_CASES names no folder of published cases")


def load() -> list[dict[str, Any]]:
    """Return all cases, with the file's name before their own."""
    cases = []
    for path in sorted(Path(FOLDER or "").glob("*_cases.json")) if FOLDER else ():
        for case in json.loads(path.read_text(encoding="utf-8"))["cases"]:
            cases.append({**case, "name": f"{path.stem}:{case['name']}"})
    return cases


def merged(Y: np.ndarray, how: str, axis: int) -> np.ndarray:
    """Return the two directions in one, as Keras merges them."""
    ahead, back = np.take(Y, 0, axis), np.take(Y, 1, axis)
    return {"sum": ahead + back, "ave": (ahead + back) / 2, "mul": ahead * back}[how]


FORWARD = [case for case in load() if case.get("kind") != "backward"]


def test_all_cases_are_there() -> None:
    """None is left out; the gradients' file has two more forward cases."""
    assert len(FORWARD) == 94
    assert len(BACKWARD) == 2


@pytest.mark.parametrize("case", FORWARD, ids=lambda case: case["name"])
def test_forward(case: dict[str, Any]) -> None:
    inputs = {name: np.asarray(value, dtype=np.float64) for name, value in case["inputs"].items()}
    given = answers(case["op"], case, inputs)
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
def test_backward_from_a_tape_made_by_hand(case: dict[str, Any]) -> None:
    """The published gates do not follow from the inputs: they stand where forward would have left its own."""
    inputs = {name: np.asarray(value, dtype=np.float64) for name, value in case["inputs"].items()}
    op, x = case["op"], inputs["X"].transpose(0, 2, 1)
    T, D, B = x.shape
    (layer,) = layers(op, case, D, inputs["R"].shape[2], "B" in inputs, False)
    cell = layer.cell
    run = sequence.Run(cell, ours(op, inputs, 0), T, B, dtype=x.dtype, device="cpu", reverse=False, xp=np)
    cached = {name: np.asarray(value)[:, 0].transpose(0, 2, 1) for name, value in case["cache"].items()}
    run.x[..., :D] = inputs["X"]
    run.n = T
    for field, name in zip(run.states, cell.state._fields, strict=True):
        field[0], field[1:] = 0.0, cached[name.upper()]
    run.memory.gates[...] = (
        rows(cached["gates"].transpose(1, 0, 2), ORDER[op], len(cell.gates))
        .reshape(len(cell.gates), -1, T, B)
        .transpose(2, 0, 1, 3)
    )
    if op == "LSTM":
        run.memory.extra[:, 0] = np.tanh(cached["C"])
    else:
        assert cell.pairs[0].keeps == ("r",)
        run.operands[0][...] = run.memory.gates[:, 0] * run.states[0][:-1]

    d_params, d_x, _ = run.backward(inputs["dY"][:, 0].transpose(0, 2, 1), run.zeros, None, True)
    published = theirs(op, [d_params])
    given = {"dX": d_x.transpose(0, 2, 1), "dW": published["W"], "dR": published["R"], "dB": published["B"]}
    assert set(given) == set(case["expected"])
    for name, value in case["expected"].items():
        np.testing.assert_allclose(given[name], value, rtol=case["rtol"], atol=case["atol"], err_msg=name)
