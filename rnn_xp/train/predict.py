"""Using a trained model: outputs, probabilities, scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks, tree
from rnn_xp.backend import Backend, backend_of
from rnn_xp.data.sequences import LAYOUTS, scatter
from rnn_xp.distributed import get_communicator, together
from rnn_xp.distributed.agree import joined
from rnn_xp.layers import Context
from rnn_xp.model import LOSSES, Sequential
from rnn_xp.sequence import valid_steps
from rnn_xp.train.faults.memory import explain
from rnn_xp.train.feed.prepare import Prepared, prepare
from rnn_xp.train.feed.rows import parts, take
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
    distributed: Any = None,
) -> NDArray[Any]:
    """Return the model's outputs for host data; a `numpy.memmap` is read a part at a time.

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
    distributed : {"mpi", "nccl"} or a communicator, optional
        The processes that share the work, as in `fit`; X is the same in each, and so is the answer.

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
    checks.one_of("layout", layout, LAYOUTS)
    ranks = get_communicator(distributed)
    given = {"X": X, "lengths": lengths, "mask": mask, "reset": reset}

    def answer(rows: slice | None) -> NDArray[Any]:
        own = take(given, layout, rows, per_step=model.per_step)
        data = prepare(model, own.pop("X"), layout=layout, **own, dtype=backend.precision)
        outputs = _outputs(model, params, data, backend, batch_size, loss)
        if not model.per_step:
            return outputs
        outputs = outputs.swapaxes(0, 1)
        if mask is None:
            return outputs
        return scatter(outputs, np.transpose(own["mask"]) if layout == "TNC" else own["mask"])

    with together(ranks):
        rows = parts(X, layout, ranks)
        if rows == [None]:
            return answer(None)
        answers = [answer(own) for own in rows or [slice(0, 1)]]  # one for its shape where there is none
        longest = max(map(len, X)) if isinstance(X, Sequence) and model.per_step else None
        own = np.concatenate([_padded(each, longest) for each in answers])[: None if rows else 0]
    return own if ranks.size == 1 else joined(ranks, own)


def _padded(outputs: NDArray[Any], steps: int | None) -> NDArray[Any]:
    """Return outputs (N, T, K) with so many steps; None: as they are."""
    if steps is None:
        return outputs
    return np.pad(outputs, [(0, 0), (0, steps - outputs.shape[1]), (0, 0)])


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
