"""Looking into a model: one run forward and, with targets, one back, of which everything is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.backend import backend_of
from rnn_xp.data.sequences import scatter
from rnn_xp.layers import Context, Layer, Recurrent, Residual
from rnn_xp.model import LOSSES, Sequential
from rnn_xp.probe.watch import Level, Watched, level
from rnn_xp.sequence import valid_steps
from rnn_xp.train.feed.batches import Batches
from rnn_xp.train.feed.prepare import prepare
from rnn_xp.train.feed.validation import check_counts
from rnn_xp.train.options import check_model, check_params
from rnn_xp.typing import Tree


def look(
    model: Sequential,
    params: Tree,
    X: Any,
    y: Any = None,
    *,
    loss: str = "cross_entropy",
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    weights: Any = None,
) -> list[Level]:
    """Run a model over sequences, and tell what every recurrent layer did at every step.

    Nothing is dropped. The way back goes step by step, at some 0.2 ms each: a few sequences tell enough.

    Parameters
    ----------
    model, params
    X, y, loss, layout, lengths, mask, weights
        As `fit` takes them; without y there are no gradients.

    Returns
    -------
    list of Level
        One for each direction of each depth of each recurrent layer, in the order of the computation. The
        loss L of its gradients is that of all these sequences, the weighted mean.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the model has no recurrent layer.

    Examples
    --------
    >>> import numpy as np, rnn_xp as rx
    >>> model = rx.Sequential(rx.LSTM(1, 8, bidirectional=True), rx.LastStep(), rx.Linear(16, 2))
    >>> params = model.init(rx.get_backend("numpy"))
    >>> forward, backward = rx.probe.look(model, params, np.ones((3, 5, 1)), [0, 1, 0])
    >>> backward.name, list(backward.gates), backward.states["c"].shape
    ('layer 0, backward', ['i', 'f', 'g', 'o', 'tanh_c'], (3, 5, 8))
    >>> np.sqrt((forward.gradient["h"] ** 2).sum(axis=(0, 2))).shape  # the norm of dL/dh, step by step
    (5,)
    """
    check_model(model)
    check_params(model, params)
    chosen = LOSSES[checks.one_of("loss", loss, LOSSES)]
    backend = backend_of(tree.leaves(params)[0])
    xp, own = backend.xp, None if y is None else chosen
    given = {"layout": layout, "lengths": lengths, "mask": mask, "weights": weights}
    data = prepare(model, X, y, loss=own, **given, dtype=backend.precision)
    T, N = data.x.shape[:2]
    longest = T if data.lengths is None else max(1, int(data.lengths.max()))
    x = backend.asarray(data.x[:longest])
    valid = None if data.lengths is None else valid_steps(data.lengths.tolist(), longest, x, xp=xp)
    outputs, _, kept = model.run(params, x, None, Context(xp, valid, states=False))
    layers = list(_recurrent(model, kept, ""))
    if not layers:
        msg = f"`model` must have a recurrent layer to look into; got {model!r}."
        raise ValueError(msg)
    watched = []
    for _, _, own_kept in layers:
        own_kept.runs[:] = [Watched(run) for run in own_kept.runs]
        watched.append(list(own_kept.runs))
    if y is not None:
        check_counts("X", data)
        (batch,) = Batches(data, backend, N).in_order(None)
        _, kept_by_loss = chosen.forward(outputs, batch.target, xp=xp)
        d_y = chosen.backward(batch.share, kept_by_loss, batch.target, xp=xp)
        model.run_back(params, kept, d_y, None, False, xp=xp)

    host = np.ones((N, T), dtype=bool) if data.mask is None else data.mask.T
    found = [
        level(_name(place, layer, i), layer, each, host, y is not None)
        for (place, layer, _), runs in zip(layers, watched, strict=True)
        for i, each in enumerate(runs)
    ]
    return found if mask is None else [_scattered(each, np.array(data.moved).T) for each in found]


def _recurrent(layer: Layer, kept: Any, place: str) -> Iterator[tuple[str, Recurrent, Any]]:
    """Yield the recurrent layers, where they stand, and what their runs keep."""
    match layer:
        case Recurrent():
            yield place, layer, kept
        case Residual(layer=inner):
            yield from _recurrent(inner, kept, place)
        case Layer(layers=(_, *_) as inside):
            for i, (each, own) in enumerate(zip(inside, kept, strict=True)):
                yield from _recurrent(each, own, f"{place}.{i}" if place else str(i))


def _name(place: str, layer: Recurrent, i: int) -> str:
    """Say which level this is; depth and direction where there are several."""
    depth, reverse = divmod(i, layer.directions)
    parts = [f"layer {place or 0}"]
    if layer.num_layers > 1:
        parts.append(f"depth {depth}")
    if layer.bidirectional:
        parts.append("backward" if reverse else "forward")
    return ", ".join(parts)


def _scattered(each: Level, mask: Any) -> Level:
    """Put the steps of a level back where the mask has them."""

    def one(arrays: dict[str, Any]) -> dict[str, Any]:
        return {name: scatter(array, mask) for name, array in arrays.items()}

    gradient = None if each.gradient is None else one(each.gradient)
    return each._replace(valid=mask, states=one(each.states), gates=one(each.gates), gradient=gradient)
