"""Depth and direction: the runs of a recurrent layer, one upon the other and side by side."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

from rnn_xp.cells import Cell
from rnn_xp.layers.base import Context, Layer
from rnn_xp.layers.dropout import drop
from rnn_xp.layers.noise import between_layers, within_run
from rnn_xp.random import Rng
from rnn_xp.sequence import QUIET, Noise, Recomputed, Run, Valid, segment_steps, state_size, step_size
from rnn_xp.typing import Array, Namespace, Tree


class Kept(NamedTuple):
    """What `run_back` needs: a run for layer * directions + direction, the padding and the dropout masks."""

    runs: list[Run | Recomputed]
    valid: Valid | None
    masks: list[Array | None]
    states: bool  # whether they are wanted


class Stack(Layer):
    """What `Recurrent` describes, at work."""

    cell: Cell
    hidden_size: int
    num_layers: int
    bidirectional: bool
    reverse: bool
    dropout: float
    proj_size: int
    variational: bool
    recurrent_dropout: float
    zoneout: float | tuple[float, ...]
    learn_state: bool

    @property
    def directions(self) -> int:
        """1, or 2 where bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def ways(self) -> tuple[bool, ...]:
        """Of each direction, whether it runs against time."""
        return (False, True) if self.bidirectional else (self.reverse,)

    @property
    def output_size(self) -> int:
        """Features of y: P or H for each direction."""
        return (self.proj_size or self.hidden_size) * self.directions

    @property
    def runs(self) -> int:  # type: ignore[override]
        """One for every layer and direction."""
        return self.num_layers * self.directions

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """Whether it runs with time alone."""
        return self.ways == (False,)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The units of every field of the state: P or H for h, H for the rest."""
        return (self.proj_size or self.hidden_size, *[self.hidden_size] * (len(self.cell.state._fields) - 1))

    @cached_property
    def noises(self) -> int:
        """How many masks a run draws."""
        return bool(self.recurrent_dropout) + len(self.zoneouts) * any(self.zoneouts)

    @property
    def zoneouts(self) -> tuple[float, ...]:
        """The rate of every field of the state."""
        rates = self.zoneout
        return rates if isinstance(rates, tuple) else (rates,) * len(self.cell.state._fields)

    @property
    def streams(self) -> int:  # type: ignore[override]
        """One dropout mask between every two layers; then those of every run."""
        return self.num_layers - 1 + self.runs * self.noises

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Any, Tree, Kept]:
        """Run layer upon layer, feature-first in between."""
        xp, valid, rng, steps = context.xp, context.valid, context.rng, context.steps
        T, B = x.shape[:2]
        new = {"dtype": x.dtype, "device": x.device}
        flow = xp.permute_dims(x, (0, 2, 1))
        reset, noise, count = context.reset, QUIET, self.noises
        runs: list[Run | Recomputed] = []
        masks: list[Array | None] = []
        for layer in range(self.num_layers):
            outputs: list[Any] = []
            last = layer == self.num_layers - 1
            for reverse in self.ways:
                i = len(runs)
                if count:
                    noise = self.noise(rng, i, T, B, new, context)
                between = reset is not None or noise is not QUIET
                run = self._open(i, params[i], T, B, reverse, between, steps or not last, new, context)
                s_0 = None if state_0 is None else [field[i, ...].T for field in state_0]
                outputs.append(run.forward(flow, s_0, valid, _begins(reset, reverse, xp=xp), noise))
                runs.append(run)
            if steps or not last:
                flow = _blank(outputs[0] if len(outputs) == 1 else xp.concat(outputs, axis=1), valid, xp=xp)
            if not last:
                key = None if rng is None else rng.further(layer)
                shape = (T, self.output_size, B)
                mask = between_layers(
                    key, self.dropout, self.variational, shape, valid, device=x.device, xp=xp
                )
                flow = self._drop(flow, mask, xp=xp)
                masks.append(mask)
        state_T = self._gather([run.last() for run in runs], B, new, xp=xp) if context.states else None
        return _time_major(flow, xp=xp) if steps else None, state_T, Kept(runs, valid, masks, context.states)

    def key_of_run(self, rng: Rng, i: int) -> Rng:
        """Return the key of the masks within run i: they come after those between the layers."""
        return rng.further(self.num_layers - 1 + i * self.noises)

    def noise(self, rng: Rng | None, i: int, T: int, B: int, new: dict[str, Any], context: Context) -> Noise:
        """Draw what happens to the state of run i; without a key, return what is to be expected of it."""
        if not self.noises:
            return QUIET
        rng = None if rng is None else self.key_of_run(rng, i)
        zoneout, valid, xp = self.zoneouts, context.valid, context.xp
        own = within_run(rng, self.recurrent_dropout, zoneout, self.sizes, T, B, valid, xp=xp, **new)
        return QUIET if own.drop is None and own.keep is None else own

    def _open(
        self,
        i: int,
        params: Any,
        T: int,
        B: int,
        reverse: bool,
        between: bool,
        outputs: bool,
        new: dict[str, Any],
        context: Context,
    ) -> Run | Recomputed:
        """Return run i, of at least T steps: a training loop's own, or a new one."""
        memory, key = context.memory, (id(params), i, B, between)  # i: parameters may be shared
        run: Run | Recomputed | None = None if memory is None else memory.get(key)
        if run is not None and run.T >= T:
            if isinstance(run, Recomputed):
                run.outputs = outputs  # its last use may have wanted others
            return run
        steps = T
        if context.recompute:
            itemsize = context.xp.finfo(new["dtype"]).bits // 8 * B
            sizes = step_size(self.cell, params, between=between), state_size(self.cell, params)
            budget = context.recompute
            if budget is not True:
                budget = max(1, budget // self.runs)
            steps = segment_steps(budget, T, B, *[size * itemsize for size in sizes])
        options = {**new, "reverse": reverse, "between": between, "xp": context.xp}
        run = Run(self.cell, params, steps, B, **options)
        if context.recompute:
            run = Recomputed(run, T, outputs)
        if memory is not None:
            memory[key] = run
        return run

    def run_back(
        self,
        params: Tree,
        kept: Kept,
        d_y: Array | None,
        d_state_T: Tree | None,
        need_d_x: bool,
        *,
        xp: Namespace,
        d_last: Array | None = None,
    ) -> tuple[Tree, Array | None, Tree]:
        """Run back, from the last layer to the first; a d_y of None is zero, d_last that of `last`."""
        if d_last is not None and kept.valid is not None:  # a sequence of length 0 has no last step
            d_last = xp.where(_any_step(kept.valid, xp=xp), d_last, xp.zeros_like(d_last))
        dirs = self.directions
        d_params: list[Any] = [None] * len(params)
        d_starts: list[Any] = [None] * len(params)
        d_flow: Any = None if d_y is None else xp.permute_dims(d_y, (0, 2, 1))
        for layer in range(self.num_layers - 1, -1, -1):
            if layer < self.num_layers - 1:
                d_flow = _blank(self._drop(d_flow, kept.masks[layer], xp=xp), kept.valid, xp=xp)
            size = self.output_size // dirs
            d_input: Any = None
            for way in range(dirs):
                i = layer * dirs + way
                d_h = d_flow
                if dirs > 1 and d_flow is not None:
                    d_h = d_flow[:, way * size : (way + 1) * size, :]
                run, need = kept.runs[i], need_d_x or layer > 0
                d_s_T = run.zeros if d_state_T is None else [field[i, ...].T for field in d_state_T]
                if d_last is not None and layer == self.num_layers - 1:
                    part = d_last[:, way * size : (way + 1) * size].T
                    d_s_T = [part if d_state_T is None else d_s_T[0] + part, *d_s_T[1:]]
                d_params[i], d_x, d_starts[i] = run.backward(d_h, d_s_T, kept.valid, need)
                d_input = d_x if d_input is None or d_x is None else d_input + d_x
            d_flow = d_input
        run = kept.runs[0]
        d_state_0 = self._gather(d_starts, run.B, run.new, xp=xp) if kept.states else None
        return tuple(d_params), _time_major(d_flow, xp=xp) if need_d_x else None, d_state_0

    def _gather(self, ends: list[list[Array]], B: int, new: dict[str, Any], *, xp: Namespace) -> Tree:
        """Return the fields (H or P, B) of every layer and direction as a state."""
        state = self.cell.state(*[xp.empty((len(ends), B, size), **new) for size in self.sizes])
        for i, fields in enumerate(ends):
            for field, part in zip(state, fields, strict=True):
                field[i, ...] = part.T
        return state

    def last(self, kept: Kept, *, xp: Namespace) -> Array:
        """Return what each direction of the last layer has read in the end, (B, output_size)."""
        ends = [run.last()[0].T for run in kept.runs[-self.directions :]]
        if len(ends) == 1 and not kept.states and not self.learn_state:
            return ends[0]  # nobody sees that it is the run's own memory
        last: Array = xp.concat(ends, axis=1)
        if self.learn_state and kept.valid is not None:  # a sequence of length 0 gives 0
            last = xp.where(_any_step(kept.valid, xp=xp), last, xp.zeros_like(last))
        return last

    def state_at(self, kept: Kept, i: int) -> Tree:
        """Return a copy of the state after i of the steps that were run."""
        run = kept.runs[0]
        return self._gather([each.at(i) for each in kept.runs], run.B, run.new, xp=run.xp)

    def kept_bytes(self, steps: int, batch: int, itemsize: int) -> int:
        """Return what the runs keep of a batch."""
        sizes = [step_size(self.cell, spec, between=bool(self.noises)) for spec in self.spec()]
        return sum(sizes) * steps * batch * itemsize

    def _drop(self, flow: Array, mask: Array | None, *, xp: Namespace) -> Array:
        """Return flow where mask, scaled to keep its mean, and 0 elsewhere; its own derivative."""
        return flow if mask is None else drop(flow, mask, self.dropout, xp=xp)


def _begins(reset: Array | None, reverse: bool, *, xp: Namespace) -> Array | None:
    """Return before which steps a run begins anew: against time, at the last step of every sequence."""
    if reset is None or not reverse or reset.shape[0] == 0:
        return reset
    first: Array = xp.concat([reset[1:, :], xp.zeros_like(reset[:1, :])], axis=0)
    return first


def _any_step(valid: Valid, *, xp: Namespace) -> Array:
    """Return which sequences have a step at all, (B, 1)."""
    return xp.any(valid.mask, axis=0)[:, None]  # type: ignore[no-any-return]


def _blank(flow: Array, valid: Valid | None, *, xp: Namespace) -> Array:
    """Return flow (T, N, B) with 0 in the padding, whatever stood there."""
    if valid is None:
        return flow
    blank: Array = xp.where(valid.mask[:, None, :], flow, xp.zeros((), dtype=flow.dtype, device=flow.device))
    return blank


def _time_major(flow: Array, *, xp: Namespace) -> Array:
    """Return flow (T, N, B) as (T, B, N), in memory of its own."""
    T, N, B = flow.shape
    y: Array = xp.empty((T, B, N), dtype=flow.dtype, device=flow.device)
    y[...] = xp.permute_dims(flow, (0, 2, 1))
    return y
