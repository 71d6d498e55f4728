"""Using a trained model: outputs, probabilities, scores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks, metrics, tree
from rnn_xp.backend import Backend, backend_of
from rnn_xp.data.sequences import scatter
from rnn_xp.layers import Context
from rnn_xp.model import LOSSES, Sequential
from rnn_xp.sequence import valid_steps
from rnn_xp.train.faults.memory import explain
from rnn_xp.train.feed.prepare import Prepared, prepare
from rnn_xp.train.feed.validation import check_counts
from rnn_xp.train.options import check_params
from rnn_xp.typing import Array, Tree

CHUNK = 1024
"""Steps of a model that can be streamed that are computed at once: memory does not grow with T."""


def predict(
    model: Sequential,
    params: Tree,
    X: Any,
    *,
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    loss: str | None = None,
    batch_size: int = 256,
) -> NDArray[Any]:
    """Return the model's outputs for host data.

    Long sequences go through a model that can be streamed in parts, its state carried. Several threads may
    call at once.

    Parameters
    ----------
    model, params
        The trained pair; the backend is where `params` live.
    X, layout, lengths, mask, reset
        As `fit` takes them.
    loss : str, optional
        That of the training: the outputs then become its probabilities (softmax or sigmoid).
    batch_size : int
        Sequences that are computed at once.

    Returns
    -------
    ndarray (N, K), or (N, T, K) where the model gives an output a step
        In this order whatever the `layout` of X. Past the end of a sequence, and where `mask` is False, 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If a batch takes more than there is; the message says what would fit.

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
    batch_size = checks.integer("batch_size", batch_size)
    dtype = backend.precision
    data = prepare(model, X, layout=layout, lengths=lengths, mask=mask, reset=reset, dtype=dtype)
    outputs = _outputs(model, params, data, backend, batch_size, loss)
    if not model.per_step:
        return outputs
    outputs = outputs.swapaxes(0, 1)
    if mask is None:
        return outputs
    return scatter(outputs, np.transpose(mask) if layout == "TNC" else mask)


def evaluate(
    model: Sequential,
    params: Tree,
    X: Any,
    y: Any,
    *,
    loss: str = "cross_entropy",
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    weights: Any = None,
) -> dict[str, Any]:
    """Return the loss and the metrics that belong to it.

    Parameters
    ----------
    model, params, X, y, loss, layout, lengths, mask, reset
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
    given = {"layout": layout, "lengths": lengths, "mask": mask, "reset": reset, "weights": weights}
    data = prepare(model, X, y, loss=chosen, **given, dtype=backend.precision)
    check_counts("X", data)
    return evaluate_prepared(model, params, data, loss, backend)


def evaluate_prepared(
    model: Sequential, params: Tree, data: Prepared, loss: str, backend: Backend, batch_size: int = 256
) -> dict[str, Any]:
    """Score a prepared data set."""
    chosen = LOSSES[loss]
    target: Any = data.target
    mask = data.mask if model.per_step else None
    if chosen.classes and model.per_step:  # a text's logits would not fit: V for every step
        losses, predicted = np.zeros(target.shape), np.zeros(target.shape, dtype=np.int64)
        for own, y in _answers(model, params, data, backend, batch_size):
            outputs = backend.to_numpy(y)
            losses[own] = chosen.forward(outputs, target[own], xp=np)[0]
            predicted[own] = outputs.argmax(axis=-1)
    else:
        outputs = _outputs(model, params, data, backend, batch_size, None)
        losses = np.asarray(chosen.forward(outputs, target, xp=np)[0], dtype=np.float64)
        predicted = outputs.argmax(axis=-1)
    weight = np.ones(losses.shape) if data.weight is None else data.weight
    if mask is not None:
        losses, weight = losses[mask], weight[mask]
    scores: dict[str, Any] = {"loss": float(np.average(losses, weights=weight))}
    if chosen.classes:
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
    """Return what the model answers to a whole data set; time-major, and 0 in the padding, where per step."""
    activation = None if loss is None else LOSSES[loss].activation
    outputs: Any = None
    for own, y in _answers(model, params, data, backend, batch_size):
        if activation is not None:
            y = activation(y, xp=backend.xp)
        answer = backend.to_numpy(y)
        if outputs is None:
            shape = data.x.shape[:2] if model.per_step else data.x.shape[1:2]
            outputs = np.zeros((*shape, answer.shape[-1]), dtype=answer.dtype)
        outputs[own] = answer
    if model.per_step and data.mask is not None:
        outputs[~data.mask] = 0
    return outputs  # type: ignore[no-any-return]


def _answers(
    model: Sequential, params: Tree, data: Prepared, backend: Backend, batch_size: int
) -> Iterator[tuple[Any, Array]]:
    """Yield parts of the outputs, (steps, samples) or samples, and what the model answers to them.

    An answer may lie in memory that the next one writes to.
    """
    xp = backend.xp
    T, N = data.x.shape[:2]
    size = min(T, CHUNK) if model.causal else T
    buffers: dict[Any, Any] = {}
    for first in range(0, N, batch_size):
        samples = slice(first, min(first + batch_size, N))
        if samples.stop - first < batch_size:
            buffers.clear()  # they are of another size
        ends = np.full(samples.stop - first, T) if data.lengths is None else data.lengths[samples]
        longest = max(1, int(ends.max()))
        y, state = None, None
        for start in range(0, longest, size):
            steps = slice(start, min(start + size, longest))
            count, own = steps.stop - start, (steps, samples)
            again = count > CHUNK
            x = backend.asarray(data.x[own])
            left = np.clip(ends - start, 0, count)
            context = Context(
                xp,
                valid_steps(left.tolist(), count, x, xp=xp),
                memory=buffers,
                states=steps.stop < longest,
                reset=None if data.reset is None else backend.asarray(data.reset[own]),
                recompute=again or None,
            )
            try:
                answer, state = model.run(params, x, state, context)[:2]  # what it kept is not held
            except MemoryError as error:
                buffers.clear()
                given = (min(batch_size, N), np.dtype(backend.precision).itemsize)
                free = partial(getattr, backend, "free_memory")
                raise explain(error, model, count, *given, free, recompute=again, way_out="") from None
            if model.per_step:
                yield own, answer
            else:  # of a sequence that ended in an earlier chunk, the answer stands
                y = answer if y is None else xp.where(backend.asarray(left > 0)[:, None], answer, y)
        if y is not None:
            yield samples, y
