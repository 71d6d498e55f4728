"""Where a number stopped being finite: a bad batch is computed again, layer by layer, forward and back.

A stack is taken apart into its levels, and those into their directions, so that each part is one run through
time. The first thing in the order of the computation that is not finite is named; what cannot be told is left
out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from rnn_xp import tree
from rnn_xp.backend import to_numpy
from rnn_xp.layers import Context, Dropout, Layer, Recurrent, Residual
from rnn_xp.model import Loss, Sequential
from rnn_xp.random import Rng
from rnn_xp.train.faults.place import Host, Place, finite, in_run, kind, several
from rnn_xp.typing import Array, Tree

Back: TypeAlias = Callable[[Any], Any]  # from the gradient of y to that of x


def describe(
    model: Sequential,
    params: Tree,
    loss: Loss,
    x: Array,
    target: Array,
    share: Array,
    context: Context,
    state_0: Tree | None = None,
) -> Place:
    """Return the first place where a training step on a batch stops being finite; `str` puts it in words.

    Parameters
    ----------
    model, params, loss, x, target, share, context, state_0
        As `loss_and_gradients` took them; the weights are those before the step, and finite.

    Returns
    -------
    Place
        Its step counts from the first one of x, its sample is the place in the batch.
    """
    search = _Search(context._replace(memory=None, states=True, steps=True))
    with np.errstate(all="ignore"):
        try:
            search.look("the input was", x)
            y, back = search.ahead("", model, params, x, state_0, context.rng)
            back(search.through_loss(loss, y, target, share))
        except _FoundError as found:
            return found.place
    like = tree.leaves(params)[0]
    told = f"the largest gradient, {search.largest:.3g}, is that of {search.name}"
    dtype = str(like.dtype).rpartition(".")[2]
    overflows = search.squares > float(context.xp.finfo(like.dtype).max)
    what = "the square of the gradient's norm is" if overflows else "the step of the optimiser was"
    return Place(f"{what} too large for {dtype}; {told}", squares=search.squares)


class _FoundError(Exception):
    """The end of the search."""

    def __init__(self, place: Place) -> None:
        super().__init__(str(place))
        self.place = place


class _Search:
    """A batch on its way through the layers, and back."""

    def __init__(self, context: Context) -> None:
        self.context, self.xp = context, context.xp
        self.largest, self.name, self.squares = 0.0, "", 0.0  # of the gradients so far

    def ahead(
        self, path: str, layer: Layer, params: Tree, x: Array, state_0: Tree, rng: Rng | None
    ) -> tuple[Array, Back]:
        """Run a layer, and return y and the way back."""
        if isinstance(layer, Residual):
            y, back = self.ahead(path, layer.layer, params, x, state_0, rng)
            return x + y, lambda d: _sum([d, back(d)])
        if isinstance(layer, Recurrent):
            return self.stack(f"{path}, {layer!r}", layer, params, x, state_0, rng)
        if not layer.layers:
            return self.part(f"{path}, {layer!r}", layer, params, x, state_0, rng)
        backs: list[Back] = []
        y = x
        for i, own in enumerate(layer.layers):
            place = f"{path}.{i}" if path else f"layer {i}"
            y, back = self.ahead(place, own, params[i], y, None if state_0 is None else state_0[i], rng)
            backs.insert(0, back)
            rng = None if rng is None else rng.further(own.streams)
        return y, _row(backs)

    def stack(
        self, name: str, layer: Recurrent, params: Tree, x: Array, state_0: Tree, rng: Rng | None
    ) -> tuple[Array, Back]:
        """Run a stack level by level, each of its directions alone."""
        options = {field.name: getattr(layer, field.name) for field in dataclasses.fields(Recurrent)}
        options |= {"num_layers": 1, "bidirectional": False, "dropout": 0.0}
        ways = (False, True) if layer.bidirectional else (layer.reverse,)
        backs: list[Back] = []
        y = x
        for level in range(layer.num_layers):
            outputs, own = [], []
            for way, reverse in enumerate(ways):
                i = level * len(ways) + way
                one = Recurrent(**options | {"reverse": reverse, "input_size": y.shape[-1]})
                key = None if rng is None else layer.key_of_run(rng, i)
                told = f", level {level}" if layer.num_layers > 1 else ""
                told += ", against time" if reverse else ""
                s_0 = None if state_0 is None else type(state_0)(*[f[i : i + 1, ...] for f in state_0])
                out, back = self.part(name + told, one, (params[i],), y, s_0, key)
                outputs.append(out)
                own.append(back)
            y = outputs[0] if len(ways) == 1 else self.xp.concat(outputs, axis=-1)
            backs.insert(0, _side_by_side(own))
            if level < layer.num_layers - 1:
                dropout = Dropout(layer.dropout, layer.variational)
                y, back = self.part(name, dropout, (), y, None, None if rng is None else rng.further(level))
                backs.insert(0, back)
        return y, _row(backs)

    def part(
        self, name: str, layer: Layer, params: Tree, x: Array, state_0: Tree, rng: Rng | None
    ) -> tuple[Array, Back]:
        """Run one direction of one level, or any other layer, and look at what it gives."""
        y, state_T, kept = layer.run(params, x, state_0, self.context._replace(rng=rng))
        if isinstance(layer, Recurrent) and not finite((y, state_T), xp=self.xp):
            raise _FoundError(in_run(name, layer, params[0], x, state_0, rng, self.context))
        self.look(f"the output of {name}, became", y)
        late = not (isinstance(layer, Recurrent) and layer.reverse)

        def back(d: Array) -> Any:
            d_params, d_x, _ = layer.run_back(params, kept, d, None, True, xp=self.xp)
            leaves = [(path.rpartition(".")[2], to_numpy(leaf)) for path, leaf in tree.named_leaves(d_params)]
            wrong = [_rows(layer, *leaf) for leaf in leaves if not np.isfinite(leaf[1]).all()]
            what = f"the gradient of {' of '.join([*wrong[:1], name])}, became"
            if d_x is not None:
                self.look(what, d_x, late=late)
            if wrong:
                raise _FoundError(Place(f"{what} inf or nan"))
            for leaf, d_leaf in leaves:
                size = float(np.abs(d_leaf).max(initial=0.0))
                self.squares += float(np.sum(d_leaf.astype(np.float64) ** 2))
                if size > self.largest:
                    self.largest, self.name = size, f"{leaf} of {name}"
            return d_x

        return y, back

    def through_loss(self, loss: Loss, y: Array, target: Array, share: Array) -> Array:
        """Return the gradient of the outputs."""
        xp = self.xp
        losses, kept = loss.forward(y, target, xp=xp)
        self.look("the loss became", losses[..., None])
        if not finite(xp.sum(losses * share), xp=xp):
            raise _FoundError(Place("the sum of the losses became inf"))
        d = loss.backward(share, kept, target, xp=xp)
        self.look("the gradient of the outputs became", d, late=True)
        return d

    def look(self, what: str, array: Array, *, late: bool = False) -> None:
        """Stop where (T, B, N), at its first step or its last, or (B, N) is not finite."""
        xp = self.xp
        if not xp.isdtype(array.dtype, "real floating"):
            return
        bad = to_numpy(xp.any(~xp.isfinite(array), axis=-1))
        if not bad.any():
            return
        t = None
        if bad.ndim == 2:
            steps = np.flatnonzero(bad.any(axis=1))
            t = int(steps[-1 if late else 0])
            bad, array = bad[t], array[t, ...]
        sample = int(np.argmax(bad))
        raise _FoundError(Place(f"{what} {kind(to_numpy(array[sample, ...]))}", t, sample))


def _row(backs: Sequence[Back]) -> Back:
    """Return the way back through layers, the last one first."""

    def back(d: Any) -> Any:
        for each in backs:
            d = each(d)
        return d

    return back


def _side_by_side(backs: Sequence[Back]) -> Back:
    """Return the way back through the directions of a level, whose outputs stand side by side."""

    def back(d: Array) -> Any:
        size = d.shape[-1] // len(backs)
        return _sum([each(d[..., i * size : (i + 1) * size]) for i, each in enumerate(backs)])

    return back


def _sum(gradients: Sequence[Any]) -> Any:
    """Add up."""
    first, *rest = gradients
    for each in rest:
        first = first + each
    return first


def _rows(layer: Layer, leaf: str, d: Host) -> str:
    """Name a parameter and, where they are not all, the gates whose rows are not finite."""
    if isinstance(layer, Recurrent) and len(d) == layer.hidden_size * len(layer.cell.gates):
        gates = layer.cell.gates
        good: list[bool] = [bool(np.isfinite(own).all()) for own in d.reshape(len(gates), -1)]
        if any(good):
            return f"{leaf}, {several('gate', [g for g, fine in zip(gates, good, strict=True) if not fine])},"
    return leaf
