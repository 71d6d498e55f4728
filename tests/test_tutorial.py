"""The tutorial's job is done exactly: every epoch's loss is that of its own program, corrected."""

import importlib.util
from pathlib import Path

import numpy as np

import rnn_xp as rx

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def test_same_weights_and_data_same_losses(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("tutorial", BENCHMARKS / "tutorial.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    data = rx.data.sign_of_sum(100, seed=0)
    job = (data.X, data.y, program.draw_weights(0), 3)
    np.testing.assert_allclose(
        program.train_rnn_xp(*job, "float64"), program.train_tutorial(*job), rtol=0, atol=1e-12
    )
