"""What a run works on: its memory, and the steps that are bound to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnn_xp.cells import Cell
from rnn_xp.engines import Forward, Memory, choose, extra_planes, rows, stages
from rnn_xp.sequence.between import Between
from rnn_xp.sequence.params import Params
from rnn_xp.typing import Array, Namespace


class Workspace:
    """One direction of one layer on sequences of one batch size.

    Parameters
    ----------
    cell : Cell
    params : Params
    steps, batch : int
        A run takes sequences of up to `steps` steps.
    dtype, device
        Those of the arrays to come.
    reverse : bool
        Whether it runs against time.
    between : bool
        Whether anything may happen between two steps: a reset, or noise.
    """

    def __init__(
        self,
        cell: Cell,
        params: Params,
        steps: int,
        batch: int,
        *,
        dtype: Any,
        device: Any,
        reverse: bool,
        between: bool = False,
        xp: Namespace,
    ) -> None:
        self.cell, self.params, self.reverse, self.xp = cell, params, reverse, xp
        self.new = {"dtype": dtype, "device": device}
        G, H = len(cell.gates), params.weight_ih.shape[0] // len(cell.gates)
        self.T, self.B, self.H = steps, batch, H
        self.stages = stages(cell, params.weight_hh, params.bias_hh, params.vectors)
        self.engine = engine = choose(cell, xp=xp).engine
        gates = self.empty(steps, G, H, batch)
        # the state before, between and after the steps; and the operands of every product after the first
        sizes = (params.weight_hh.shape[1], *[H] * (len(cell.state._fields) - 1))
        self.states = [self.empty(steps + 1, size, batch) for size in sizes]
        projected = params.weight_hr is not None
        self.operands = [self.empty(steps, H, batch) for _ in range(len(self.stages) - 1 + projected)]
        before, after = ([field[own, ...] for field in self.states] for own in _around(steps, reverse))
        self.slots = [cell.state(*[field[t, ...] for field in self.states]) for t in range(steps + 1)]
        self.zeros = [xp.zeros_like(place) for place in self.slots[0]]
        self.between: Between | None = None
        self.operand = before[0]  # of the first product
        if between:  # what a step takes and gives is then other memory than the states around it
            earlier, later = (self.slots[own] for own in _around(steps, reverse))
            before, after = ([self.empty(steps, size, batch) for size in sizes] for _ in range(2))
            self.operand = self.empty(steps, sizes[0], batch)
            s_prev, s = cell.state(*before), cell.state(*after)
            self.between = Between(earlier, later, s_prev, s, self.operand, self.start(), engine, xp=xp)
        self.memory = Memory(
            xp.reshape(gates, (steps, G * H, batch)),
            gates,
            self.empty(steps, extra_planes(cell), H, batch),
            cell.state(*before),
            cell.state(*after),
        )
        outs: list[Any] = [(operand,) for operand in self.operands]
        if projected:
            outs[-1] = (*outs[-1], *self.memory.s[1:])
        else:
            outs.append(self.memory.s)
        operands = [self.operand, *self.operands]
        self.steps = [
            engine.forward_step(stage, self.memory, operand, out)
            for stage, operand, out in zip(self.stages, operands, outs, strict=False)
        ]
        if params.weight_hr is not None:
            h = [self.memory.s.h[t, ...] for t in range(steps)]
            self.steps.append(_projection(params.weight_hr, self.operands[-1], h))
        before_hold, after_hold = (self.slots[own] for own in _around(steps, reverse))
        if self.between is not None:
            self.steps = [self.between.enter, *self.steps, self.between.leave]
            before_hold = self.between.before
        self.hold = engine.hold(before_hold, after_hold)

        # (x 1) meets (W_ih b), in parts that stay in the cache until their steps have read them
        rows_ih, D = params.weight_ih.shape
        biased = params.bias_ih is not None
        self.x = xp.ones((steps, batch, D + biased), **self.new)
        self.weight = self.empty(rows_ih, D + 1) if biased else params.weight_ih
        merged = [rows(stage.plan.merged, H) for stage in self.stages]
        self._merged = [(own, self.weight[own, -1]) for own in merged]
        self._x = xp.permute_dims(self.x, (0, 2, 1))
        self.place_x = self._x[:, :D, :]
        self.part = max(1, engine.part // max(1, H * batch))
        self._whole = self._parts(steps)

    def parts(self, steps: int) -> list[tuple[range, Array, Array]]:
        """Return parts of the first steps, in the order of the run: which they are, x and place of a."""
        return self._whole if steps == self.T else self._parts(steps)

    def _parts(self, steps: int) -> list[tuple[range, Array, Array]]:
        reverse = self.reverse
        return [
            (
                range(part.start, part.stop)[:: -1 if reverse else 1],
                self._x[part, ...],
                self.memory.a[part, ...],
            )
            for part in cut(slice(0, steps), self.part, not reverse)
        ]

    def start(self) -> list[Array]:
        """Return where sequences begin, (P or H, 1) or (P or H, B) a field: zero, or what is learnt."""
        learnt = self.params.state_0
        return self.zeros if learnt is None else [field[:, None] for field in learnt]

    def load_weight(self) -> None:
        """Copy W_ih and b_ih into the weight, and b_hh where the recurrent part does not come apart."""
        params = self.params
        if params.bias_ih is None:
            return
        self.weight[:, :-1] = params.weight_ih
        self.weight[:, -1] = params.bias_ih
        if params.bias_hh is not None:
            for own, place in self._merged:
                place += params.bias_hh[own]

    def empty(self, *shape: int) -> Array:
        """Return memory for arrays like those to come."""
        return self.xp.empty(shape, **self.new)  # type: ignore[no-any-return]


def cut(steps: slice, size: int, ascending: bool) -> list[slice]:
    """Cut steps into parts, in the order of time or against it."""
    starts = range(steps.start, steps.stop, size)
    parts = [slice(start, min(start + size, steps.stop)) for start in starts]
    return parts if ascending else parts[::-1]


def _projection(weight_hr: Array, operand: Array, h: Sequence[Array]) -> Forward:
    """Return step(t), which stores the projection of operand[t] in h[t]."""

    def step(t: int) -> None:
        h[t][...] = weight_hr @ operand[t, ...]

    return step


def _around(steps: int, reverse: bool) -> tuple[slice, slice]:
    """Return the places of the states before and after the steps."""
    earlier, later = slice(0, steps), slice(1, steps + 1)
    return (later, earlier) if reverse else (earlier, later)
