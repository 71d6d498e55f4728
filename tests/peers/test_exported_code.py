"""The code that `rnn-xp export` shows for PyTorch and Keras takes the file, and answers as the model does."""

import os
from pathlib import Path

import numpy as np
import pytest

from rnn_xp.cli import main

pytest.importorskip("torch")
pytest.importorskip("keras")
NAMES = {"torch": "PyTorch", "keras": "Keras"}
SUFFIXES = {"torch": ".safetensors", "keras": ".weights.h5"}


@pytest.mark.parametrize("to", SUFFIXES)
@pytest.mark.parametrize(
    ("options", "bound"),
    [
        (("--cell", "lstm", "--bidirectional"), 1e-5),
        (("--cell", "gru", "--num-layers", "3", "--residual", "--dropout", "0.5", "--pool", "mean"), 1e-5),
        (("--cell", "rnn", "--num-layers", "2", "--bidirectional", "--pool", "max"), 1e-5),
        (("--cell", "lstm", "--loss", "binary_cross_entropy", "--dtype", "float64"), 1e-12),
        (("--cell", "gru", "--task", "text"), 1e-5),
    ],
)
def test_code(capsys, monkeypatch, tmp_path, to, options, bound):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    rng = np.random.default_rng(0)
    np.savez(
        "data", X=rng.normal(30, 4, (24, 6, 2)), y=np.array(["lo", "hi"] * 12), lengths=[1, 2, 3, 4, 5, 6] * 4
    )
    Path("text").write_text("the cat sat on the mat. " * 40)
    data = ("--data", "text" if "text" in options else "data.npz", "--epochs", "1", "--hidden-size", "5")
    assert main(["train", *data, "--out", "run", *options]) == 0
    capsys.readouterr()
    assert main(["export", "run", "--to", to, "--out", f"model{SUFFIXES[to]}"]) == 0
    (verdict,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("parity: ")]
    number, _, rest = verdict.removeprefix("parity: ").partition(", ")
    # Keras multiplies numbers of 64 bits in 32 on PyTorch
    assert float(number) < (1e-5 if to == "keras" else bound), verdict
    assert f"on 20 random sequences, {NAMES[to]} " in rest
