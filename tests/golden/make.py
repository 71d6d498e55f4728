"""Write the golden files of this version: models, what goes into them, and what comes out in float64.

    python tests/golden/make.py

Once a version is released its folder is never written again: later versions must read these very bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import rnn_xp as rx

FOLDER = Path(__file__).parent
EXTRA = {
    "classes": ["a", "ü", "漢"],
    "scaling": {"mean": [0.5, -1e-300], "std": [1.0, 2.0]},
    "epoch": 3,
    "none": None,
}


def models() -> dict[str, tuple[rx.Sequential, str, dict[str, Any] | None]]:
    """Return, by name, a model, the dtype of its weights, and what is saved with it."""
    return {
        "lstm": (
            rx.Sequential(
                rx.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.25), rx.LastStep(), rx.Linear(8, 2)
            ),
            "float32",
            None,
        ),
        "gru": (rx.Sequential(rx.GRU(2, 3, reset="before")), "float32", None),
        "rnn": (rx.Sequential(rx.RNN(2, 3, nonlinearity="relu"), rx.Linear(3, 1)), "float32", None),
        "text": (rx.Sequential(rx.Embedding(5, 3), rx.LSTM(3, 4), rx.Linear(4, 5)), "float32", EXTRA),
        "float64": (rx.Sequential(rx.GRU(2, 3, num_layers=2), rx.Linear(3, 2)), "float64", None),
    }


def main() -> None:
    """Write them all."""
    folder = FOLDER / rx.__version__
    folder.mkdir(exist_ok=True)
    for seed, (name, (model, dtype, extra)) in enumerate(models().items()):
        bits = np.random.default_rng(seed)
        if model.intake.kind == "tokens":
            x = bits.integers(0, model.intake.size, (7, 2))
        else:
            x = bits.standard_normal((7, 2, model.intake.size))
        path = folder / f"{name}.safetensors"
        rx.save(path, model, model.init(rx.get_backend("numpy", dtype=dtype), seed=seed), extra)
        model, params = rx.load(path, rx.get_backend("numpy", dtype="float64"))
        np.savez(path.with_suffix(".npz"), x=x, y=model.forward(params, x)[0])


if __name__ == "__main__":
    main()
