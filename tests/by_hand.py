"""A training by loops over sequences and steps, without the package: what any number of ranks must give."""

from __future__ import annotations

import numpy as np

N, T, C, H, K = 11, 6, 2, 3, 2
BATCH, EPOCHS, LR = 4, 67, 0.05  # three steps an epoch: 201


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return X, y, lengths and weights."""
    rng = np.random.default_rng(8)
    lengths = np.array([6, 1, 3, 5, 2, 6, 4, 1, 2, 3, 5])
    return rng.standard_normal((N, T, C)), rng.standard_normal((N, K)), lengths, rng.uniform(0.5, 2.0, N)


def start() -> list[np.ndarray]:
    """Return weights: of inputs, of states, their biases, of outputs, their bias."""
    rng = np.random.default_rng(9)
    shapes = ((H, C), (H, H), (H,), (H,), (K, H), (K,))
    return [0.4 * rng.standard_normal(shape) for shape in shapes]


def trained() -> tuple[np.ndarray, list[float]]:
    """Return the weights, flat, and the mean loss of each epoch.

    h_t = tanh(W x_t + b + U h_{t-1} + c), y = V h_last + d, and the weighted mean of the squared errors.
    """
    X, target, lengths, weights = data()
    params = start()
    losses = []
    for _ in range(EPOCHS):
        of_epoch = []
        for first in range(0, N, BATCH):
            batch = range(first, min(first + BATCH, N))
            gradient = [np.zeros_like(own) for own in params]
            total, loss = sum(weights[n] for n in batch), 0.0
            for n in batch:
                W, U, b, c, V, d = params
                states = [np.zeros(H)]
                for t in range(lengths[n]):
                    states.append(np.tanh(W @ X[n, t] + b + U @ states[-1] + c))
                error = V @ states[-1] + d - target[n]
                share = weights[n] / total
                loss += share * float(error @ error) / K
                d_y = share * 2 * error / K
                gradient[4] += np.outer(d_y, states[-1])
                gradient[5] += d_y
                d_h = V.T @ d_y
                for t in reversed(range(lengths[n])):
                    d_a = d_h * (1 - states[t + 1] ** 2)
                    gradient[0] += np.outer(d_a, X[n, t])
                    gradient[1] += np.outer(d_a, states[t])
                    gradient[2] += d_a
                    gradient[3] += d_a
                    d_h = U.T @ d_a
            params = [own - LR * d_own for own, d_own in zip(params, gradient, strict=True)]
            of_epoch.append((loss, total))
        losses.append(sum(loss * total for loss, total in of_epoch) / sum(total for _, total in of_epoch))
    return np.concatenate([own.ravel() for own in params]), losses
