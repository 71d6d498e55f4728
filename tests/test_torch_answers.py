"""Layers and losses against what PyTorch answers (torch_answers/make_layers.py and make_losses.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import TORCH, assert_close
from torch_answers.cases import COUNT, KINDS, Case, case, loss_cases

import rnn_xp as rx
from rnn_xp.backend import Backend
from rnn_xp.model import LOSSES
from rnn_xp.sequence import Params

FOLDER = Path(__file__).parent / "torch_answers"
LAYERS = np.load(FOLDER / "layers.npz")
ANSWERS = np.load(FOLDER / "losses.npz")
CASES = [case(index) for index in range(COUNT)]


def ours(given: Case, values: dict[str, np.ndarray]) -> tuple[Params, ...]:
    """Return parameters, or their gradients, in the package's form."""
    suffixes = [f"_l{depth}{end}" for depth in range(given.sizes[2]) for end in ("", "_reverse")]
    suffixes = [suffix for suffix in suffixes if "weight_ih" + suffix in values]
    return tuple(Params(*[values.get(name + suffix) for name in Params._fields]) for suffix in suffixes)


def with_nan_padding(array: np.ndarray, lengths: list[int] | None) -> np.ndarray:
    """Return a copy that holds NaN past the ends."""
    copy = array.copy()
    for sample, length in enumerate(lengths or ()):
        copy[length:, sample] = np.nan
    return copy


def stored(given: Case, row: np.ndarray) -> dict[str, np.ndarray]:
    """Cut the row of answers into arrays."""
    sizes = [int(np.prod(shape)) for shape in given.shapes.values()]
    assert sum(sizes) == len(row)
    parts = zip(given.shapes.items(), np.split(row, np.cumsum(sizes)[:-1]), strict=True)
    return {name: part.reshape(shape) for (name, shape), part in parts}


def test_the_cases_are_distinct_and_hold_every_option() -> None:
    assert len({(given.name, given.x.tobytes()) for given in CASES}) == COUNT == 200
    for lengths in (True, False):
        chosen = [given for given in CASES if (given.lengths is not None) == lengths]
        options = {(g.kind, g.sizes[2], g.options["bidirectional"], g.options["bias"]) for g in chosen}
        assert len(options) == len(KINDS) * 3 * 2 * 2
    assert any(given.lengths is not None and given.lengths != sorted(given.lengths)[::-1] for given in CASES)


@pytest.mark.parametrize("index", range(COUNT), ids=[given.name for given in CASES])
def test_layer(index: int, numpy64: Backend) -> None:
    given = CASES[index]
    layer: Any = getattr(rx, given.layer)(*given.sizes, **given.options)
    if given.kind == "rnn_relu":
        assert layer.nonlinearity == "relu"
    form = layer.cell.state
    answers = stored(given, LAYERS[str(index)])
    params = ours(given, given.params)

    x, d_y = with_nan_padding(given.x, given.lengths), with_nan_padding(given.d_y, given.lengths)
    state_0 = None if given.state_0 is None else form(*given.state_0)
    y, state_T, tape = layer.forward(params, x, state_0, given.lengths)
    d_params, d_x, d_state_0 = layer.backward(params, tape, d_y, form(*given.d_state_T))

    fields = range(len(form._fields))
    assert_close(y, answers["y"], TORCH, "y")
    assert_close(state_T, form(*[answers[f"state_T.{i}"] for i in fields]), TORCH, "state_T")
    d_expected = ours(given, {name: answers[f"d_{name}"] for name in given.params})
    assert_close(d_params, d_expected, TORCH, "d_params")
    assert_close(d_x, answers["d_x"], TORCH, "d_x")
    if state_0 is not None:
        assert_close(d_state_0, form(*[answers[f"d_state_0.{i}"] for i in fields]), TORCH, "d_state_0")
    if given.lengths is not None:
        for sample, length in enumerate(given.lengths):
            assert not y[length:, sample].any()
            assert not d_x[length:, sample].any()


LOSS_CASES = [(loss, name) for loss, cases in loss_cases().items() for name in cases]


def test_every_loss_has_answers() -> None:
    assert {loss for loss, _ in LOSS_CASES} == set(LOSSES)


@pytest.mark.parametrize(("loss", "name"), LOSS_CASES)
def test_loss(loss: str, name: str, backend: Backend) -> None:
    given = loss_cases()[loss][name]
    y, target, d_loss = (backend.asarray(value) for value in given)
    losses, kept = LOSSES[loss].forward(y, target, xp=backend.xp)
    d_y = LOSSES[loss].backward(d_loss, kept, target, xp=backend.xp)
    assert_close(losses, backend.asarray(ANSWERS[f"{loss}.{name}.loss"]), TORCH)
    assert_close(d_y, backend.asarray(ANSWERS[f"{loss}.{name}.d_y"]), TORCH)
