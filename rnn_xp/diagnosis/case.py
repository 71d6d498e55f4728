"""What the checks look at: data, a part of them to run, the losses, and the levels of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import tree
from rnn_xp.backend import Backend, backend_of
from rnn_xp.diagnosis import flow, readout
from rnn_xp.diagnosis.constant import constant_outputs
from rnn_xp.losses import LOSSES, Loss
from rnn_xp.model import Sequential
from rnn_xp.optim import Optimizer
from rnn_xp.probe import Level, look
from rnn_xp.train.feed.prepare import Prepared
from rnn_xp.train.predict import predict
from rnn_xp.train.scores import evaluate_prepared
from rnn_xp.typing import Tree

Host = NDArray[Any]

SCORED = 100_000
"""Steps that the model is run over for its scores: some seconds at most."""

PROBED = 96
"""Sequences that are looked into: shares of gates are then known to some percent."""

PROBED_STEPS = 40_000
"""Steps of them in all: every value of every gate is kept."""


@dataclass(frozen=True)
class Case:
    """A model, its data and its history; what is dear is computed once, and only if it is asked for."""

    model: Sequential
    params: Tree
    data: Prepared
    loss: str
    history: Sequence[Mapping[str, Any]]
    optimizer: Optimizer
    clip_norm: float | None

    @property
    def backend(self) -> Backend:
        """Where the params are."""
        return backend_of(tree.leaves(self.params)[0])

    @property
    def function(self) -> Loss:
        """The loss, and what is known of it."""
        return LOSSES[self.loss]

    @cached_property
    def sample(self) -> Prepared:
        """Sequences to score, evenly from all."""
        return self._part(SCORED // len(self.data.x))

    @cached_property
    def few(self) -> Prepared:
        """Sequences to look into."""
        return self._part(min(PROBED, PROBED_STEPS // len(self.data.x)))

    def _part(self, count: int) -> Prepared:
        """Return at most so many of the sequences that count, at least one."""
        places = np.flatnonzero(self.data.counts > 0)
        chosen = np.linspace(0, len(places) - 1, max(1, min(count, len(places))))
        return self.data.take(places[chosen.round().astype(np.int64)])

    @cached_property
    def scores(self) -> dict[str, Any]:
        """Return what `evaluate` says of the sample."""
        return evaluate_prepared(self.model, self.params, self.sample, self.loss, self.backend)

    @cached_property
    def prior(self) -> float:
        """The loss of the best answer that is the same for all: what there is to know without X."""
        target, weight = valid_rows(self.sample)
        outputs = constant_outputs(self.loss, target, weight, self.model.output_size or 1)
        losses: Any = self.function.forward(outputs, target, xp=np)[0]
        return float(np.average(losses, weights=weight))

    @cached_property
    def answers(self) -> Host:
        """What the model answers to the sample, as probabilities where it can, (n, K); as `valid_rows`."""
        answers = predict(self.model, self.params, **only_inputs(self.sample), loss=self.loss)
        if not self.sample.per_step:
            return answers
        answers = answers.swapaxes(0, 1)
        valid = self.sample.mask
        return answers.reshape(-1, answers.shape[-1]) if valid is None else answers[valid]

    @cached_property
    def explained(self) -> float:
        """The share of the targets' variance that the model's answers explain, classes as indicators."""
        target, _ = valid_rows(self.sample)
        return readout.share(readout.indicators(self.loss, target, self.answers.shape[-1]), self.answers)

    @cached_property
    def readout(self) -> readout.Readout:
        """What a linear map of X's averages explains, and of which steps."""
        return readout.read(self.sample, self.loss, self.model.output_size or 1)

    @cached_property
    def fails(self) -> bool:
        """Whether answers are hardly better than one answer for all, or much worse than a linear map's."""
        return self.explained < LEARNT or self.explained < self.readout.share - BEHIND

    @cached_property
    def levels(self) -> list[Level]:
        """What every level does on the few sequences."""
        return look(self.model, self.params, **arguments(self.few), loss=self.loss)

    @cached_property
    def flows(self) -> list[flow.Flow]:
        """How the gradient of the loss at the end of each run gets back through every level."""
        if not self.few.per_step:
            return [flow.of(level) for level in self.levels]
        T, N = self.few.x.shape[:2]
        ends = np.full(N, T) if self.few.lengths is None else self.few.lengths
        last = self._of_one_step(np.maximum(ends - 1, 0))
        first = self._of_one_step(np.zeros(N)) if any(level.reverse for level in last) else last
        return [flow.of(b if a.reverse else a) for a, b in zip(last, first, strict=True)]

    def _of_one_step(self, step: Host) -> list[Level]:
        """Look at the few sequences where only the loss at one step (N,) of each counts."""
        asked = arguments(self.few)
        asked["weights"] = (np.arange(len(self.few.x)) == step[:, np.newaxis]).astype(np.float64)
        return look(self.model, self.params, **asked, loss=self.loss)

    @cached_property
    def begin(self) -> Tree:
        """Weights such as a training begins with."""
        return self.model.init(self.backend)

    @property
    def rate(self) -> float:
        """The learning rate, before any schedule lowered it."""
        return float(self.curve("lr").max(initial=0.0)) or self.optimizer.lr

    def curve(self, name: str) -> NDArray[np.float64]:
        """Return a column of the history; empty where it has none."""
        return np.array(
            [record[name] for record in self.history if record.get(name) is not None], dtype=float
        )


LEARNT = 0.05
"""Of the targets' variance: less is hardly more than one answer for all."""

BEHIND = 0.1
"""Of the targets' variance: a network should be no further behind a linear map of a few averages."""


def only_inputs(data: Prepared) -> dict[str, Any]:
    """Return the arguments of `predict` for prepared data."""
    return {"X": data.x.swapaxes(0, 1), "lengths": data.lengths}


def arguments(data: Prepared) -> dict[str, Any]:
    """Return the arguments of `probe.look` for prepared data."""
    target, weight = data.target, data.weight
    assert target is not None
    if data.per_step:
        target = target.swapaxes(0, 1)
        weight = None if weight is None else weight.swapaxes(0, 1)
    return {**only_inputs(data), "y": target, "weights": weight}


def valid_rows(data: Prepared) -> tuple[Host, Host]:
    """Return the targets (n,) or (n, K) that count, and their weights (n,)."""
    target = data.target
    assert target is not None
    shape = target.shape[:2] if data.per_step else target.shape[:1]
    weight = np.ones(shape) if data.weight is None else data.weight
    if data.per_step:
        valid = np.ones(shape, dtype=bool) if data.mask is None else data.mask
        target, weight = target[valid], weight[valid]
    return target, weight
