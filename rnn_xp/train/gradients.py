"""The gradients of truncated back-propagation at fixed weights: what its steps would go down."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnn_xp import checks, tree
from rnn_xp.backend import backend_of
from rnn_xp.layers import Context
from rnn_xp.model import LOSSES, Sequential, loss_and_gradients
from rnn_xp.random import Rng
from rnn_xp.train.feed.batches import Batch, Batches
from rnn_xp.train.feed.prepare import prepare
from rnn_xp.train.feed.validation import check_counts
from rnn_xp.train.feed.whole import Whole
from rnn_xp.train.feed.windows import Windows
from rnn_xp.train.options import check_model, check_params, pair
from rnn_xp.typing import Tree


class WindowGradient(NamedTuple):
    """A window of truncated back-propagation, its loss and the gradient of that."""

    start: int  # the run's first step
    begin: int  # the first step whose loss counts
    end: int  # past the last step of both
    weight: float  # the sum of the weights of its losses
    loss: float  # their weighted mean
    d_params: Tree
    state_0: Tree | None  # the state before `start`, a constant; None: where sequences begin


def window_gradients(
    model: Sequential,
    params: Tree,
    X: Any,
    y: Any,
    *,
    truncate: Any,
    loss: str = "cross_entropy",
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    weights: Any = None,
    rng: Rng | None = None,
) -> list[WindowGradient]:
    """Return the gradients of the windows of one batch, all at the same weights.

    Where k2 reaches back to the beginning, they add up to that of back-propagation through all time, each
    times its share of the weight.

    Parameters
    ----------
    model, params
    X, y, truncate, loss, layout, lengths, mask, reset, weights
        As `fit` takes them; the batch is all of X.
    rng : Rng, optional
        The key of the dropout masks; without it nothing is dropped.

    Returns
    -------
    list of WindowGradient
        Of the windows whose losses count, in order.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> model = rx.Sequential(rx.GRU(1, 4), rx.Linear(4, 2))
    >>> params = model.init(rx.get_backend("numpy"))
    >>> X, y = np.ones((3, 5, 1)), np.zeros((3, 5), dtype=int)
    >>> [window[:4] for window in window_gradients(model, params, X, y, truncate=(2, 3))]
    [(0, 0, 2, 6.0), (1, 2, 4, 6.0), (2, 4, 5, 3.0)]
    """
    check_model(model)
    k1, k2 = pair("truncate", truncate, model)
    chosen = LOSSES[checks.one_of("loss", loss, LOSSES)]
    check_params(model, params)
    backend = backend_of(tree.leaves(params)[0])
    given = {"layout": layout, "lengths": lengths, "mask": mask, "reset": reset, "weights": weights}
    data = prepare(model, X, y, loss=chosen, **given, dtype=backend.precision)
    check_counts("X", data)

    def context(batch: Batch) -> Context:
        own = None if rng is None else rng._replace(time=batch.time)
        return Context(backend.xp, batch.valid, own, states=False, reset=batch.reset)

    batches = Batches(data, backend, data.x.shape[1], whole=Whole.of(data, k1))
    (group,) = Windows(batches, k1, k2).groups(None)
    found, state = [], None
    for i in range(len(group)):
        window = group.window(i)
        if group.total(i) == 0.0:
            if window.carry:
                (batch,) = group.lead(i, None if state is None else [state])
                kept = model.run(params, batch.x, state, context(batch))[2]
                state = model.state_at(kept, window.carry)
            continue
        (batch,) = group.cut(i, None if state is None else [state])
        value, d_params, kept = loss_and_gradients(
            model, params, chosen, batch.x, batch.target, batch.share, context(batch), state
        )
        own = WindowGradient(
            window.start, window.begin, window.end, batch.total, float(value), d_params, state
        )
        found.append(own)
        state = model.state_at(kept, window.carry) if window.carry else None
    return found
