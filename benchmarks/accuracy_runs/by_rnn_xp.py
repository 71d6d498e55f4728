"""The recipe in rnn_xp."""

from __future__ import annotations

import numpy as np

import rnn_xp as rx
from accuracy_runs.sets import Recipe


def network(recipe: Recipe, channels: int, classes: int) -> rx.Sequential:
    """Return a recurrent layer that reads both ways, one number for each unit, and a readout."""
    layer, pool = getattr(rx, recipe.cell), getattr(rx, recipe.pool)
    return rx.Sequential(
        layer(channels, recipe.hidden, bidirectional=True),
        pool(),
        rx.Dropout(recipe.dropout),
        rx.Linear(2 * recipe.hidden, classes),
    )


def learn(
    recipe: Recipe, train: rx.data.Dataset, test: rx.data.Dataset, seed: int, epochs: int
) -> tuple[np.ndarray, float]:
    """Train; return the probabilities for the test part, and the last epoch's loss."""
    model = network(recipe, train.X.shape[2], len(train.classes))
    batches = -(-len(train.X) // recipe.batch_size)
    result = rx.fit(
        model,
        train.X,
        train.y,
        lengths=train.lengths,
        optimizer=rx.Adam(recipe.lr),
        schedule=rx.schedules.cosine(epochs * batches),
        clip_norm=1.0,
        epochs=epochs,
        batch_size=recipe.batch_size,
        seed=seed,
        backend="numpy",
        dtype="float32",
        verbose=False,
    )
    probabilities = rx.predict(model, result.params, test.X, lengths=test.lengths, loss="cross_entropy")
    return probabilities, result.history[-1]["loss"]
