"""One training step, on flat buffers; it never waits for the device."""

from __future__ import annotations

from typing import Any

from rnn_xp import tree
from rnn_xp.backend import Backend
from rnn_xp.clipping import clip_by_global_norm, clip_by_value
from rnn_xp.layers import Context
from rnn_xp.model import Loss, Sequential, loss_and_gradients
from rnn_xp.optim import Optimizer
from rnn_xp.random import Rng
from rnn_xp.schedules import Schedule
from rnn_xp.train.batches import Batch
from rnn_xp.typing import Array, Tree


class Stepper:
    """The weights in training, and what it takes to move them.

    All weights are views of one flat array, so that an optimiser is a few operations whatever the model. A
    step whose loss, gradient or result is not finite, and every step after it, leaves the weights as they
    were; the device remembers which it was, and the host asks `first_bad` when it reads the losses: at least
    once in `readings` steps.
    """

    def __init__(
        self,
        model: Sequential,
        params: Tree,
        loss: Loss,
        optimizer: Optimizer,
        backend: Backend,
        *,
        seed: int,
        schedule: Schedule | None,
        clip_norm: float | None,
        clip_value: float | None,
        readings: int = 1024,
    ) -> None:
        xp = backend.xp
        self.model, self.loss, self.optimizer, self.schedule = model, loss, optimizer, schedule
        self.seed, self.clip_norm, self.clip_value = seed, clip_norm, clip_value
        self.xp, self.steps = xp, 0
        self._drops = model.streams > 0
        self._context = Context(xp, memory={}, states=False)
        self._flat, self.params = _flatten(params, backend)
        self._d_flat, d_params = _flatten(params, backend)
        self._places = list(zip(tree.leaves(d_params), tree.paths(d_params), strict=True))
        self._state: Any = optimizer.init(self._flat, xp=xp)
        self._good = xp.full((), True, dtype=xp.bool, device=backend.device)
        self._flags = xp.full((readings,), True, dtype=xp.bool, device=backend.device)  # `_good` of each step

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self.optimizer.lr * (1.0 if self.schedule is None else self.schedule(self.steps))

    def step(self, batch: Batch) -> tuple[Array, Array]:
        """Move the weights; return the loss before that, and the norm of the gradient before clipping."""
        xp = self.xp
        context = self._context
        if self._drops or batch.valid is not None:
            rng = Rng(self.seed, self.steps) if self._drops else None
            context = context._replace(valid=batch.valid, rng=rng)
        loss, d_params = loss_and_gradients(
            self.model, self.params, self.loss, batch.x, batch.target, batch.share, context
        )
        for place, path in self._places:
            d: Any = d_params
            for key in path:
                d = d[key]
            place[...] = d
        d_flat = self._d_flat
        if self.clip_norm is None:
            norm = xp.sqrt(d_flat @ d_flat)
        else:
            d_flat, norm = clip_by_global_norm(d_flat, self.clip_norm, xp=xp)
        if self.clip_value is not None:
            d_flat = clip_by_value(d_flat, self.clip_value, xp=xp)
        lr = None if self.schedule is None else self.lr
        flat, self._state = self.optimizer.update(self._flat, d_flat, self._state, lr, xp=xp)
        # the last term catches a step that is finite and still too large for the dtype
        self._good = good = self._good & xp.isfinite(loss + norm + flat @ flat)
        self._flags[self.steps % self._flags.shape[0], ...] = good
        self._flat[...] = xp.where(good, flat, self._flat)
        self.steps += 1
        return loss, norm

    def first_bad(self) -> int | None:
        """Wait for the device; return the number, from 0, of the first step that was not finite, or None."""
        since = int(self.xp.sum(self.xp.astype(~self._flags, self.xp.int64)))
        return self.steps - since if since else None

    def snapshot(self) -> Tree:
        """Return a copy of the weights."""
        return tree.map(lambda leaf: self.xp.asarray(leaf, copy=True), self.params)


def _flatten(params: Tree, backend: Backend) -> tuple[Array, Tree]:
    """Return a flat copy of the leaves, and the tree of views of it."""
    xp = backend.xp
    leaves = tree.leaves(params)
    sizes = [leaf.shape[0] * (leaf.shape[1] if leaf.ndim == 2 else 1) for leaf in leaves]
    flat = xp.empty((sum(sizes),), dtype=backend.dtype, device=backend.device)
    views, start = [], 0
    for leaf, size in zip(leaves, sizes, strict=True):
        view = xp.reshape(flat[start : start + size], leaf.shape)
        view[...] = leaf
        views.append(view)
        start += size
    return flat, tree.unflatten(params, views)
