"""One training step, on flat buffers; unless it is asked to, it never waits for the device."""

from __future__ import annotations

import math
from typing import Any

from rnn_xp import tree
from rnn_xp.backend import Backend
from rnn_xp.clipping import clip_by_global_norm, clip_by_value
from rnn_xp.distributed.communicator import Alone, Communicator
from rnn_xp.layers import Context
from rnn_xp.model import Loss, Sequential, loss_and_gradients
from rnn_xp.optim import Optimizer
from rnn_xp.random import Rng
from rnn_xp.schedules import Schedule
from rnn_xp.train.feed.batches import Batch
from rnn_xp.train.loop.total import Total, views
from rnn_xp.train.options import factor
from rnn_xp.typing import Array, Tree

READINGS = 1024
"""Steps of which the device remembers whether they were finite: the host must look at least as often."""


class Stepper:
    """The weights in training, and what it takes to move them.

    All weights are views of one flat array, so that an optimiser is a few operations whatever the model. A
    step whose loss, gradient or result is not finite, and every step after it, leaves the weights as they
    were; the device remembers which it was, and the host asks `first_bad` when it reads the losses: at least
    once in `readings` steps. Where it `waits`, such a step is left out, and the steps after it go on.
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
        recompute: bool | int | None = None,
        readings: int = READINGS,
        waits: bool = False,
        ranks: Communicator | None = None,
        slots: int = 1,
    ) -> None:
        xp = backend.xp
        self.model, self.loss, self.optimizer, self.schedule = model, loss, optimizer, schedule
        self.seed, self.clip_norm, self.clip_value = seed, clip_norm, clip_value
        self.backend, self.xp, self.steps, self.waits = backend, xp, 0, waits
        self._drops, self.narrow = model.streams > 0, backend.precision != "float64"
        self.recomputes = recompute is not None
        self._memory: dict[Any, Any] = {}
        self._size = 0  # of the batches that it is for, where that changes from step to step
        self._context = Context(xp, memory=self._memory, states=False, recompute=recompute)
        self.flat, self.params = _flatten(params, backend)
        self.total = Total(self.params, backend, ranks or Alone(), slots)
        self.total.ranks.broadcast(self.flat)
        self.state: Any = optimizer.init(self.flat, xp=xp)
        self.left: list[Tree] = []  # the states that the last step's batches wanted
        self._good = xp.full((), True, dtype=xp.bool, device=backend.device)
        self._flags = xp.full((readings,), True, dtype=xp.bool, device=backend.device)  # `_good` of each step

    def lr(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.optimizer.lr * (1.0 if self.schedule is None else factor(self.schedule, step))

    def step(self, *batches: Batch) -> tuple[Array, Array] | None:
        """Move the weights by the gradients of several batches, added up; return what `move` does."""
        self.gradients(*batches)
        return self.move()

    def gradients(self, *batches: Batch) -> None:
        """Compute the gradients of the batches of a step that run in this process."""
        total = self.total
        total.clear()
        self.left = []
        for batch in batches:
            x, target, share, _, _, _, _, _, _, state_0, carry, slot = batch
            if batch.apart and x.shape[1] != self._size:  # of every size once would fill the memory
                self.forget()
                self._size = x.shape[1]
            context = self.context(batch, self.steps)
            loss, d_params, kept = loss_and_gradients(
                self.model, self.params, self.loss, x, target, share, context, state_0
            )
            if carry is not None:  # now: the next batch may use the same buffers
                self.left.append(self.model.state_at(kept, carry))
            total.add(slot, loss, d_params)

    def move(self) -> tuple[Array, Array] | None:
        """Move the weights; return the loss before that, and the norm of the gradient before clipping.

        None: it waited, and the step was left out.
        """
        xp = self.xp
        total = self.total.close()
        d_flat = self.total.gradient
        if self.clip_norm is None:
            norm = xp.sqrt(d_flat @ d_flat)
        else:
            d_flat, norm = clip_by_global_norm(d_flat, self.clip_norm, xp=xp)
        if self.clip_value is not None:
            d_flat = clip_by_value(d_flat, self.clip_value, xp=xp)
        lr = None if self.schedule is None else self.lr(self.steps)
        flat, state = self.optimizer.update(self.flat, d_flat, self.state, lr, xp=xp)
        # the last term catches a step that is finite and still too large for the dtype
        finite = xp.isfinite(total + norm + flat @ flat)
        self.steps += 1
        if self.waits:
            if not finite:
                return None
            self.flat[...] = flat
        else:
            self._good = good = self._good & finite
            self._flags[(self.steps - 1) % self._flags.shape[0], ...] = good
            self.flat[...] = xp.where(good, flat, self.flat)
        self.state = state
        return total, norm

    def forget(self) -> None:
        """Give back the memory that runs work on; the next ones take new."""
        self._memory.clear()

    def carry(self, batches: tuple[Batch, ...]) -> list[Tree]:
        """Run over batches without a loss; return the states after them."""
        states = []
        for batch in batches:
            context = self.context(batch, self.steps)
            _, _, kept = self.model.run(self.params, batch.x, batch.state_0, context)
            states.append(self.model.state_at(kept, batch.x.shape[0]))
        return states

    def context(self, batch: Batch, step: int) -> Context:
        """Return what the model's run goes by in a step on a batch."""
        context = self._context
        if not self._drops and batch.valid is None and batch.reset is None:
            return context
        rng = Rng(self.seed, step, sample=batch.sample, time=batch.time) if self._drops else None
        return context._replace(valid=batch.valid, rng=rng, reset=batch.reset)

    def first_bad(self) -> int | None:
        """Wait for the device; return the number, from 0, of the first step that was not finite, or None."""
        since = int(self.xp.sum(self.xp.astype(~self._flags, self.xp.int64)))
        return self.steps - since if since else None

    def mark(self, bad: int | None) -> None:
        """Have `first_bad` return `bad`: a step of the last `readings`, or None."""
        xp, size = self.xp, self._flags.shape[0]
        self._good = xp.full((), bad is None, dtype=xp.bool, device=self.backend.device)
        self._flags[...] = True
        for step in range(self.steps if bad is None else bad, self.steps):
            self._flags[step % size, ...] = False

    def held(self, before: list[Tree] | None, states: list[Tree] | None) -> list[Tree] | None:
        """Return `states`, or `before` from the first step on that was not finite."""
        if states is None or self.waits:
            return states
        xp, good = self.xp, self._good
        before = before or tree.map(xp.zeros_like, states)
        return tree.map(lambda old, new: xp.where(good, new, old), before, states)  # type: ignore[no-any-return]

    def tree(self, flat: Array) -> Tree:
        """Return a copy of flat weights as the model's."""
        return tree.unflatten(self.params, views(self.xp.asarray(flat, copy=True), self.params, self.xp))

    def snapshot(self) -> Tree:
        """Return a copy of the weights."""
        return self.tree(self.flat)


def _flatten(params: Tree, backend: Backend) -> tuple[Array, Tree]:
    """Return a flat copy of the leaves, and the tree of views of it."""
    size = sum(math.prod(leaf.shape) for leaf in tree.leaves(params))
    flat = backend.xp.empty((size,), dtype=backend.dtype, device=backend.device)
    parts = views(flat, params, backend.xp)
    for part, leaf in zip(parts, tree.leaves(params), strict=True):
        part[...] = leaf
    return flat, tree.unflatten(params, parts)
