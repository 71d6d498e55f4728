"""What PyTorch is asked about training: 500 steps of three small models with each of four optimisers.

Data and first weights come from NumPy's frozen RandomState, so that only the answers are stored.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

EPOCHS, BATCH_SIZE = 100, 8
N, T, D, H, K = 37, 6, 3, 4, 3  # five batches an epoch, the last one smaller
KEPT = (1, 10, 40, 100)  # the epochs after which the weights are stored
STEPS = EPOCHS * -(-N // BATCH_SIZE)
OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw")


class Problem(NamedTuple):
    """A recurrent layer, whose last step a linear one reads, and how it is trained."""

    layer: str
    options: dict[str, Any]
    loss: str
    clip_norm: float | None
    shapes: tuple[tuple[int, ...], ...]  # of all weights, in PyTorch's order

    @property
    def weights(self) -> list[np.ndarray]:
        """Return the first weights."""
        random = np.random.RandomState(len(self.shapes))
        return [0.5 * random.standard_normal(shape) for shape in self.shapes]

    @property
    def target(self) -> np.ndarray:
        """Return what to learn: noise, which no model of this size learns by heart."""
        random = np.random.RandomState(1)
        return random.standard_normal((N, K)) if self.loss == "squared_error" else random.randint(0, K, N)


def _shapes(gates: int, sizes: tuple[int, ...], outputs: int) -> tuple[tuple[int, ...], ...]:
    """Return those of recurrent weights, for each of the input sizes, and of the linear layer."""
    rows = gates * H
    recurrent = [shape for size in sizes for shape in ((rows, size), (rows, H), (rows,), (rows,))]
    return (*recurrent, (K, outputs), (K,))


PROBLEMS = {
    "rnn": Problem("RNN", {}, "squared_error", 0.5, _shapes(1, (D,), H)),
    "gru": Problem("GRU", {"bidirectional": True}, "cross_entropy", None, _shapes(3, (D, D), 2 * H)),
    "lstm": Problem("LSTM", {"num_layers": 2}, "cross_entropy", 0.2, _shapes(4, (D, H), H)),
}
X = np.random.RandomState(0).standard_normal((N, T, D))
LENGTHS: list[int] = np.random.RandomState(2).randint(1, T + 1, N).tolist()
