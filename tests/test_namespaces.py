"""One source on every array library: NumPy's numbers, the dtype kept, and no waiting for the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import (
    ACROSS,
    EXACT,
    MAKERS,
    MODELS,
    SINGLE,
    arrays_in,
    assert_close,
    normal,
    nothing_moves,
    open_backend,
    own,
    run,
    steps,
)

import rnn_xp as rx
from rnn_xp import sequence, tree
from rnn_xp.backend import Backend, to_numpy
from rnn_xp.clipping import clip_by_global_norm, clip_by_value, global_norm
from rnn_xp.layers.base import Context
from rnn_xp.model import LOSSES, loss_and_gradients

NUMPY = open_backend("numpy")
OPTIMIZERS = [rx.SGD(0.1, momentum=0.9, nesterov=True), rx.RMSprop(0.01), rx.Adam(0.01), rx.AdamW(0.01)]
cells = pytest.mark.parametrize("cell", MAKERS)


def tolerance(name: str) -> float:
    """array_api_strict is NumPy underneath."""
    return EXACT if name.startswith(("numpy", "array_api_strict")) else ACROSS


@cells
@pytest.mark.parametrize("lengths", [None, [5, 0, 3]])
def test_a_layer_answers_as_on_numpy(cell: str, lengths: Any, backend_name: str, backend: Backend) -> None:
    layer = MAKERS[cell](3, 4, 2, bidirectional=True, dropout=0.3)
    params = layer.init(NUMPY, seed=3)
    x = steps(NUMPY, (5, 3, 3), 0)
    y, state_T, _ = layer.forward(params, x)
    d_y, d_state_T, state_0 = (normal(NUMPY, like, seed) for seed, like in enumerate((y, state_T, state_T)))
    options: Any = {"lengths": lengths, "rng": rx.Rng(1, 2)}
    expected = own(backend, run(layer, params, x, d_y, d_state_T, state_0=state_0, **options))

    given = [own(backend, value) for value in (params, x, d_y, d_state_T)]
    answer = run(layer, *given, state_0=own(backend, state_0), **options)
    assert_close(answer, expected, tolerance(backend_name))
    assert_close(layer.init(backend, seed=3), given[0], EXACT)


def three_steps(backend: Backend, name: str, model: rx.Sequential, loss: str, optimizer: Any) -> Any:
    """Train for three steps on numbers drawn on the host; return losses, norms, gradients and weights."""
    random = np.random.RandomState(0)
    xp, ends, per_step = backend.xp, [5, 2, 4], model.per_step
    tokens = model.intake.kind == "tokens"
    x = random.randint(0, 5, (5, 3)) if tokens else random.standard_normal((5, 3, 3))
    host_params = model.init(NUMPY, seed=1)
    K = model.forward(host_params, x)[0].shape[-1]
    lead = (5, 3) if per_step else (3,)
    target = random.randint(0, K, lead) if LOSSES[loss].classes else random.uniform(size=(*lead, K))
    share = random.uniform(size=lead)
    if per_step:
        share = share * (np.arange(5)[:, None] < ends)

    params, x, target, share = (own(backend, value) for value in (host_params, x, target, share))
    valid = sequence.valid_steps(ends, 5, share, xp=xp)
    state = optimizer.init(params, xp=xp)
    rows = []
    with nothing_moves(name):
        for step in range(3):
            value, d_params, _ = loss_and_gradients(
                model, params, LOSSES[loss], x, target, share, Context(xp, valid, rx.Rng(0, step))
            )
            clipped, norm = clip_by_global_norm(d_params, 0.5, xp=xp)
            clipped = clip_by_value(clipped, 0.1, xp=xp)
            params, state = optimizer.update(params, clipped, state, 0.01, xp=xp)
            rows.append({"loss": value, "norm": norm, "after": global_norm(clipped, xp=xp), "d": d_params})
    return rows, params, [leaf for leaf in tree.leaves(state) if hasattr(leaf, "dtype")]


@cells
@pytest.mark.parametrize("kind", MODELS)
def test_a_training_step_is_numpys_and_never_waits(
    cell: str, kind: str, backend_name: str, backend: Backend
) -> None:
    number = list(MODELS).index(kind)
    loss, optimizer = list(LOSSES)[number % 4], OPTIMIZERS[number % 4]
    model = MODELS[kind](cell)
    expected = own(backend, three_steps(NUMPY, "numpy", model, loss, optimizer))
    answer = three_steps(backend, backend_name, model, loss, optimizer)
    assert_close(answer, expected, tolerance(backend_name))


@cells
@pytest.mark.parametrize("lengths", [None, [4, 1]])
def test_float32_stays_float32(cell: str, lengths: Any, backend_name: str) -> None:
    backend = open_backend(backend_name, "float32")
    layer = MAKERS[cell](3, 4, 2, bidirectional=True, dropout=0.3)
    model = rx.Sequential(layer, rx.Dropout(0.3), rx.Linear(layer.output_size, 3))
    params, x = model.init(backend, seed=0), steps(backend, (4, 2, 3), 0)
    y, state_T, tape = model.forward(params, x, lengths=lengths, rng=rx.Rng(0, 0))
    d_y, d_state_T = normal(backend, y, 1), normal(backend, state_T, 2)
    answers = model.backward(params, tape, d_y, d_state_T)
    kept = arrays_in(tape)
    assert len(kept) > 20
    for leaf in tree.leaves((params, y, state_T, kept, answers)):
        assert leaf.dtype in (backend.dtype, backend.xp.bool)
        assert leaf.device == backend.device

    wide = open_backend(backend_name, "float64")
    given = [own(wide, value) for value in (params, x, d_y, d_state_T)]
    expected = run(model, *given, lengths=lengths, rng=rx.Rng(0, 0))
    answer = {"y": y, "state_T": state_T, **dict(zip(("d_params", "d_x", "d_state_0"), answers, strict=True))}
    assert_close(own(wide, answer), expected, SINGLE)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_stay_float32(loss: str, backend_name: str) -> None:
    backend = open_backend(backend_name, "float32")
    y = steps(backend, (4, 3), 0)
    target = backend.asarray([0, 2, 1, 1]) if LOSSES[loss].classes else steps(backend, (4, 3), 1)
    losses, kept = LOSSES[loss].forward(y, target, xp=backend.xp)
    d_y = LOSSES[loss].backward(losses, kept, target, xp=backend.xp)
    assert losses.dtype == d_y.dtype == backend.dtype
    if LOSSES[loss].activation is not None:
        assert LOSSES[loss].activation(y, xp=backend.xp).dtype == backend.dtype


@pytest.mark.parametrize("layer", [rx.LastStep(), rx.LastStep(1), rx.MeanPool(), rx.MaxPool()], ids=repr)
@pytest.mark.parametrize("lengths", [None, [4, 0]])
def test_pooling_stays_float32(layer: Any, lengths: Any, backend_name: str) -> None:
    backend = open_backend(backend_name, "float32")
    y, _, tape = layer.forward((), steps(backend, (4, 2, 3), 0), lengths=lengths)
    d_x = layer.backward((), tape, y)[1]
    assert y.dtype == d_x.dtype == backend.dtype
    assert y.device == d_x.device == backend.device


@cells
def test_inputs_are_left_as_they_were(cell: str, backend: Backend) -> None:
    layer = MAKERS[cell](3, 4, 2, bidirectional=True)
    params, x = layer.init(backend, seed=0), steps(backend, (4, 2, 3), 0)
    y, state_T, _ = layer.forward(params, x)
    given = (params, x, normal(backend, y, 1), normal(backend, state_T, 2), normal(backend, state_T, 3))
    before = tree.map(to_numpy, given)
    *args, state_0 = given
    run(layer, *args, state_0=state_0, lengths=[4, 2])
    assert_close(tree.map(to_numpy, given), before, EXACT)
