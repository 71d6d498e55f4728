"""Recomputing BPTT: of a long run only the states between segments are kept (Chen et al. 2016).

On the way back every segment is run again, from the state that it began with. Segments are whole tiles of the
way back, so that the sums of the weight gradients are taken as in a plain run: the numbers are the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rnn_xp.cells import Cell
from rnn_xp.engines import extra_planes
from rnn_xp.sequence.back import TILE
from rnn_xp.sequence.params import Noise, Params, Valid
from rnn_xp.sequence.run import QUIET, Run, Sums
from rnn_xp.sequence.workspace import cut
from rnn_xp.typing import Array


class Recomputed:
    """A `Run` over up to `steps` steps, made of runs over segments; constructed on the run of one segment.

    Parameters
    ----------
    run : Run
        Of so many steps as a segment has.
    steps : int
    outputs : bool
        Whether the outputs of all steps are wanted.
    watch : function of a segment and a list of arrays, optional
        Called on the way back with the gradients of the state before each segment.
    """

    def __init__(
        self,
        run: Run,
        steps: int,
        outputs: bool,
        watch: Callable[[slice, list[Any]], None] | None = None,
    ) -> None:
        self.run, self.T, self.outputs, self.watch = run, steps, outputs, watch
        self.B, self.new, self.zeros, self.xp, self.n = run.B, run.new, run.zeros, run.xp, 0
        count = max(1, -(-steps // run.T))
        self._starts = [run.empty(count, *field.shape) for field in run.zeros]
        self._given: tuple[Array, Valid | None, Array | None, Noise]
        self._begins, self._there = True, slice(0, 0)

    def forward(
        self,
        x: Array,
        s_0: Sequence[Array] | None,
        valid: Valid | None,
        reset: Array | None = None,
        noise: Noise = QUIET,
    ) -> Array | None:
        """Run as `Run.forward` does, over an x that must not change before the way back."""
        self.n, self._begins, self._given = x.shape[0], s_0 is None, (x, valid, reset, noise)
        h = self.run.empty(self.n, *self.zeros[0].shape) if self.outputs else None
        for segment in self._segments():
            if s_0 is not None:
                for place, field in zip(self._start(segment), s_0, strict=True):
                    place[...] = field
            own = self._forward(segment, s_0)
            if h is not None:
                h[segment, ...] = own
            s_0 = self.run.last()
        return h

    def last(self) -> list[Array]:
        """Return the state after the last step, (H or P, B) a field: views."""
        return self.run.last()

    def at(self, i: int) -> list[Array]:
        """Return the state after i of the steps, as `Run.at` does."""
        segment = self._segments()[max(0, i - 1) // self.run.T]
        self._again(segment)
        return self.run.at(i - segment.start)

    def backward(
        self, d_h: Array | None, d_s_T: Sequence[Array], valid: Valid | None, need_d_x: bool
    ) -> tuple[Params, Array | None, list[Any]]:
        """Back-propagate as `Run.backward` does."""
        run = self.run
        d_x = run.empty(*self._given[0].shape) if need_d_x else None
        total, d_s = Sums(), list(d_s_T)
        for segment in reversed(self._segments()):
            self._again(segment)
            total, d_s = run.back(
                None if d_h is None else d_h[segment, ...],
                d_s,
                None if valid is None else valid.cut(segment),
                None if d_x is None else d_x[segment, ...],
                total,
            )
            if self.watch is not None:
                self.watch(segment, d_s)
        return run.gradients(total, d_s, self._begins), d_x, d_s

    def _again(self, segment: slice) -> None:
        """Run over a segment once more, unless it was the last one."""
        if segment != self._there:
            begins = self._begins and segment == self._segments()[0]
            self._forward(segment, None if begins else self._start(segment))

    def _forward(self, segment: slice, s_0: Sequence[Array] | None) -> Array:
        """Run over a segment."""
        x, valid, reset, noise = self._given
        self._there = segment
        return self.run.forward(
            x[segment, ...],
            s_0,
            None if valid is None else valid.cut(segment),
            None if reset is None else reset[segment, :],
            noise.cut(segment),
        )

    def _segments(self) -> list[slice]:
        """Return the segments in the order of the run."""
        return cut(slice(0, self.n), self.run.T, not self.run.reverse) or [slice(0, 0)]

    def _start(self, segment: slice) -> list[Array]:
        """Return the place of the state that a segment begins with."""
        return [field[segment.start // self.run.T, ...] for field in self._starts]


def step_size(cell: Cell, params: Params, *, between: bool = False) -> int:
    """Return how many numbers a run keeps of a step of one sequence; `params` are arrays or their shapes."""
    rows, D = params.weight_ih.shape
    P, H = params.weight_hh.shape[1], rows // len(cell.gates)
    state = state_size(cell, params)
    operands = H * (len(cell.pairs) - 1 + (params.weight_hr is not None))
    apart = 2 * state + P if between else 0
    return rows + H * extra_planes(cell) + state + operands + apart + D + (params.bias_ih is not None)


def state_size(cell: Cell, params: Params) -> int:
    """Return how many numbers the state of one sequence has."""
    rows, P = params.weight_hh.shape
    return P + rows // len(cell.gates) * (len(cell.state._fields) - 1)


def segment_steps(recompute: int | bool, steps: int, batch: int, per_step: int, per_state: int) -> int:
    """Return the steps of a segment: whole tiles, about sqrt(T) steps or as many as a budget allows.

    Parameters
    ----------
    recompute : True, or int
        Where it is a number: so many bytes.
    steps, batch : int
    per_step, per_state : int
        Bytes that are kept of a step, and of a state, of the whole batch.
    """
    steps, tile = max(1, steps), max(1, TILE // max(1, batch))
    best = max(1, round(math.sqrt(steps * per_state / max(1, per_step)) / tile)) * tile
    if recompute is True:
        return min(best, steps)

    def kept(size: int) -> int:
        return size * per_step + -(-steps // size) * per_state

    most = -(-steps // tile)
    if kept(steps) <= recompute:
        return steps
    fitting = [count * tile for count in range(1, most) if kept(count * tile) <= recompute]
    if not fitting:
        least = min(kept(min(count * tile, steps)) for count in range(1, most + 1))
        msg = (
            f"`recompute` must be True, or at least {least} bytes for {steps} steps of a batch of {batch} "
            f"in each direction of each layer, among which it is shared; got {recompute} for one here."
        )
        raise ValueError(msg)
    return fitting[-1]
