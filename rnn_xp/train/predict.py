"""Using a trained model: outputs, probabilities, scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks, metrics, tree
from rnn_xp.backend import Backend, backend_of
from rnn_xp.model import LOSSES, Sequential
from rnn_xp.train.options import check_params
from rnn_xp.train.prepare import Prepared, prepare
from rnn_xp.train.validation import check_counts
from rnn_xp.typing import Tree


def predict(
    model: Sequential,
    params: Tree,
    X: Any,
    *,
    layout: str = "NTC",
    lengths: Any = None,
    loss: str | None = None,
    batch_size: int = 256,
) -> NDArray[Any]:
    """Return the model's outputs for host data.

    Parameters
    ----------
    model, params
        The trained pair; the backend is where `params` live.
    X, layout, lengths
        As `fit` takes them.
    loss : str, optional
        That of the training: the outputs then become its probabilities (softmax or sigmoid).
    batch_size : int
        Sequences that are computed at once.

    Returns
    -------
    ndarray (N, K), or (N, T, K) where the model gives an output a step
        In this order whatever the `layout` of X. Past the end of a sequence, 0.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> params = model.init(rx.get_backend("numpy"))
    >>> rx.predict(model, params, np.zeros((3, 5, 1)), loss="cross_entropy").sum(axis=1)
    array([1., 1., 1.], dtype=float32)
    """
    if loss is not None:
        checks.one_of("loss", loss, LOSSES)
    check_params(model, params)
    backend = backend_of(tree.leaves(params)[0])
    data = prepare(model, X, layout=layout, lengths=lengths, dtype=backend.precision)
    outputs = _outputs(model, params, data, backend, checks.integer("batch_size", batch_size), loss)
    return outputs.swapaxes(0, 1) if model.per_step else outputs


def evaluate(
    model: Sequential,
    params: Tree,
    X: Any,
    y: Any,
    *,
    loss: str = "cross_entropy",
    layout: str = "NTC",
    lengths: Any = None,
    weights: Any = None,
) -> dict[str, Any]:
    """Return the loss and the metrics that belong to it.

    Parameters
    ----------
    model, params, X, y, loss, layout, lengths
        As in `fit` and `predict`.
    weights : array, optional
        As in `fit`; they count in the loss alone, the other scores count all alike.

    Returns
    -------
    dict
        "loss"; for classes "accuracy", "confusion" (rows: true class), "precision" and "recall"; for
        probabilities "accuracy"; else "mean_absolute_error".
    """
    chosen = LOSSES[checks.one_of("loss", loss, LOSSES)]
    check_params(model, params)
    backend = backend_of(tree.leaves(params)[0])
    dtype = backend.precision
    data = prepare(model, X, y, loss=chosen, layout=layout, lengths=lengths, weights=weights, dtype=dtype)
    check_counts("X", data)
    return evaluate_prepared(model, params, data, loss, backend)


def evaluate_prepared(
    model: Sequential, params: Tree, data: Prepared, loss: str, backend: Backend, batch_size: int = 256
) -> dict[str, Any]:
    """Score a prepared data set."""
    chosen = LOSSES[loss]
    outputs = _outputs(model, params, data, backend, batch_size, None)
    target: Any = data.target
    mask = data.mask if model.per_step else None
    losses: Any = chosen.forward(outputs, target, xp=np)[0]
    weight = np.ones(losses.shape) if data.weight is None else data.weight
    if mask is not None:
        losses, weight = losses[mask], weight[mask]
    scores: dict[str, Any] = {"loss": float(np.average(losses.astype(np.float64), weights=weight))}
    if chosen.classes:
        predicted = outputs.argmax(axis=-1)
        confusion = metrics.confusion_matrix(predicted, target, outputs.shape[-1], mask)
        precision, recall = metrics.precision_recall(confusion)
        scores |= {"accuracy": metrics.accuracy(predicted, target, mask), "confusion": confusion.tolist()}
        return scores | {"precision": precision.tolist(), "recall": recall.tolist()}
    if mask is not None:
        mask = np.broadcast_to(mask[..., np.newaxis], target.shape)
    if chosen.activation is None:
        return scores | {"mean_absolute_error": metrics.mean_absolute_error(outputs, target, mask)}
    predicted, true = (outputs > 0).astype(int), (target > 0.5).astype(int)
    return scores | {"accuracy": metrics.accuracy(predicted, true, mask)}


def _outputs(
    model: Sequential, params: Tree, data: Prepared, backend: Backend, batch_size: int, loss: str | None
) -> NDArray[Any]:
    """Run the model over batches, without a tape that outlives its batch; time-major where per step."""
    activation = None if loss is None else LOSSES[loss].activation
    parts = []
    for start in range(0, data.x.shape[1], batch_size):
        part = slice(start, start + batch_size)
        x = backend.asarray(data.x[:, part])
        lengths = None if data.lengths is None else data.lengths[part].tolist()
        y, _, _ = model.forward(params, x, lengths=lengths)
        if activation is not None:
            y = activation(y, xp=backend.xp)
        parts.append(backend.to_numpy(y))
    outputs = np.concatenate(parts, axis=1 if model.per_step else 0)
    if model.per_step and data.mask is not None:
        outputs[~data.mask] = 0
    return outputs
