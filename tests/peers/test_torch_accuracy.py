"""The benchmark of accuracy compares like with like: from the same weights both libraries learn the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

import rnn_xp as rx

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_the_same_weights_learn_the_same(monkeypatch, cell, ragged):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from accuracy_runs import by_rnn_xp, by_torch
    from accuracy_runs.sets import Recipe, framed, scaled

    parts = []
    for seed in range(2):
        part = rx.data.sign_of_sum(30, 12, seed)
        lengths = np.random.default_rng(seed).integers(2, 13, 30) if ragged else None
        parts.append(framed(part._replace(lengths=lengths), 2))
    train, test = scaled(*parts)
    recipe = Recipe(cell=cell, hidden=8, dropout=0.0, batch_size=30)
    theirs = by_torch.Network(recipe, 2, 2)
    model = by_rnn_xp.network(recipe, 2, 2)
    params = model.init(rx.get_backend("numpy", dtype="float32"), seed=3)
    state = rx.interop.torch.to_state_dict(model, params, names=("rnn", "linear"))
    theirs.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    monkeypatch.setattr(by_torch, "Network", lambda *_: theirs)

    ours, our_loss = by_rnn_xp.learn(recipe, train, test, seed=3, epochs=20)
    answers, loss = by_torch.learn(recipe, train, test, seed=3, epochs=20)
    assert our_loss == pytest.approx(loss, rel=1e-4)
    assert loss < 0.6
    np.testing.assert_allclose(ours, answers, atol=1e-4)
