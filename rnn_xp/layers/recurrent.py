"""Recurrent layers: depth, direction and dropout composed around the sequence engine."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, NamedTuple

from rnn_xp import checks
from rnn_xp.cells import CELLS, Cell
from rnn_xp.cells import check as check_cell
from rnn_xp.engines import choose
from rnn_xp.initializers import Spec
from rnn_xp.layers.base import Context, Layer, Signal
from rnn_xp.layers.dropout import drop
from rnn_xp.random import keep_mask
from rnn_xp.sequence import Params, Run, Valid
from rnn_xp.typing import Array, Namespace, Tree


class Kept(NamedTuple):
    """What `run_back` needs: a run for layer * directions + direction, the padding and the dropout masks."""

    runs: list[Run]
    valid: Valid | None
    masks: list[Array | None]
    states: bool  # whether they are wanted


@dataclass(frozen=True, repr=False)
class Recurrent(Layer):
    """A stack of recurrent layers of one cell; depth, direction and dropout are those of PyTorch.

    Parameters
    ----------
    cell : Cell
        The formula of a step: one of `rnn_xp.cells`, or your own.
    input_size, hidden_size, num_layers : int
    bias : {True, "input", False}
        Two bias vectors in every layer and direction, as PyTorch has them; only `bias_ih`; none.
    bidirectional : bool
        y then holds both directions' outputs side by side.
    reverse : bool
        Whether the one direction runs against time, from each sequence's end.
    dropout : float
        Rate at which the outputs of every layer but the last are dropped, while training.
    proj_size : int
        Size of h after a projection; 0 for none. Only for a cell that is projectable.

    Notes
    -----
    Parameters are a tuple over layer * directions + direction of `rnn_xp.sequence.Params`. States are
    NamedTuples of the cell's fields, h (L*dirs, B, H or P) and, in an LSTM, c (L*dirs, B, H).
    """

    cell: Cell
    input_size: int
    hidden_size: int
    num_layers: int = 1
    _: KW_ONLY
    bias: bool | str = True
    bidirectional: bool = False
    reverse: bool = False
    dropout: float = 0.0
    proj_size: int = 0

    def __post_init__(self) -> None:
        """Check every argument."""
        check_cell(self.cell)
        if CELLS.get(self.cell.name, self.cell) != self.cell:
            msg = f"`cell` must have a name of its own: {self.cell.name!r} is a cell of the package."
            raise ValueError(msg)
        for name in ("input_size", "hidden_size", "num_layers"):
            object.__setattr__(self, name, checks.integer(name, getattr(self, name)))
        bias = checks.one_of("bias", self.bias, (True, "input", False))
        object.__setattr__(self, "bias", bias if isinstance(bias, str) else bool(bias))
        for name in ("bidirectional", "reverse"):
            object.__setattr__(self, name, bool(checks.one_of(name, getattr(self, name), (True, False))))
        if self.bidirectional and self.reverse:
            msg = "`reverse` must be False where `bidirectional` is True, which runs both ways; got True."
            raise ValueError(msg)
        object.__setattr__(self, "dropout", checks.number("dropout", self.dropout, high=1.0))
        proj_size = checks.integer("proj_size", self.proj_size, 0, self.hidden_size - 1)
        if proj_size and not self.cell.projectable:
            msg = f"`proj_size` must be 0 with the cell {self.cell.name!r}, not projectable; got {proj_size}."
            raise ValueError(msg)
        object.__setattr__(self, "proj_size", proj_size)

    @property
    def directions(self) -> int:
        """1, or 2 where bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def _ways(self) -> tuple[bool, ...]:
        """Of each direction, whether it runs against time."""
        return (False, True) if self.bidirectional else (self.reverse,)

    @property
    def output_size(self) -> int:
        """Features of y: P or H for each direction."""
        return (self.proj_size or self.hidden_size) * self.directions

    @property
    def streams(self) -> int:  # type: ignore[override]
        """One dropout mask between every two layers."""
        return self.num_layers - 1

    @property
    def intake(self) -> Signal:
        """Steps of `input_size` features."""
        return Signal("steps", self.input_size)

    def config(self) -> dict[str, Any]:
        """Return the arguments as JSON values; the cell by its name."""
        values = super().config()
        return {**values, "cell": self.cell.name} if "cell" in values else values

    def engines(self, xp: Namespace) -> list[str]:
        """Return one line."""
        _, name, why = choose(self.cell, xp=xp)
        return [f"{self!r}: {name} engine, {why}"]

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Take steps of `input_size` features."""
        if signal is not None and (signal.kind != "steps" or signal.size not in (None, self.input_size)):
            msg = f"{self!r} takes steps of {self.input_size} features; what comes in is {signal}."
            raise ValueError(msg)
        size = self.output_size
        return self, Signal("steps", size, size // self.directions if self._ways[-1] else 0)

    def spec(self) -> Tree:
        """Return one Params of shapes for every layer and direction."""
        H, P, gates, vectors = self.hidden_size, self.proj_size, self.cell.gates, self.cell.vectors
        rows, out = H * len(gates), P or H

        def one(size: int) -> Params:
            def spec(role: str, *shape: int) -> Any:
                return Spec(shape, role, fan_in=shape[-1], hidden_size=H, gates=gates)

            return Params(
                spec("weight_ih", rows, size),
                spec("weight_hh", rows, out),
                spec("bias_ih", rows) if self.bias else None,
                spec("bias_hh", rows) if self.bias is True else None,
                spec("weight_hr", P, H) if P else None,
                spec("vectors", len(vectors), H) if vectors else None,
            )

        sizes = [self.input_size] + [self.output_size] * (self.num_layers - 1)
        return tuple(one(size) for size in sizes for _ in range(self.directions))

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Raise unless x is (T, B, D)."""
        checks.shape("x", x, "T, B, D", (None, None, self.input_size), "Time comes first.")
        self.check_dtype("x", params, x)

    def check_state(self, params: Tree, state: Tree, batch: int, name: str = "state_0") -> None:
        """Raise unless `state` holds the cell's fields, (L*dirs, B, H or P)."""
        fields = self.cell.state._fields
        if not isinstance(state, tuple) or len(state) != len(fields):
            came = type(state).__name__ + (f" of {len(state)}" if isinstance(state, tuple) else "")
            msg = f"`{name}` must be a tuple of the cell's fields ({', '.join(fields)}); got {came}."
            raise TypeError(msg)
        for field, array, size in zip(fields, state, self._sizes, strict=True):
            shape = (self.num_layers * self.directions, batch, size)
            checks.shape(f"{name}.{field}", array, "L*dirs, B, H", shape)
            self.check_dtype(f"{name}.{field}", params, array)

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Any, Tree, Kept]:
        """Run layer upon layer, feature-first in between."""
        xp, valid, rng, memory, states, steps = context
        T, B = x.shape[:2]
        flow = xp.permute_dims(x, (0, 2, 1))
        runs: list[Run] = []
        masks: list[Array | None] = []
        for layer in range(self.num_layers):
            outputs = []
            for reverse in self._ways:
                i = len(runs)
                run = None if memory is None else memory.get(id(params[i]))
                if run is None or run.T != T or run.B != B:
                    new = {"dtype": x.dtype, "device": x.device}
                    run = Run(self.cell, params[i], T, B, **new, reverse=reverse, xp=xp)
                    if memory is not None:
                        memory[id(params[i])] = run
                s_0 = None if state_0 is None else [field[i, ...].T for field in state_0]
                outputs.append(run.forward(flow, s_0, valid))
                runs.append(run)
            if steps or layer < self.num_layers - 1:
                flow = _blank(outputs[0] if len(outputs) == 1 else xp.concat(outputs, axis=1), valid, xp=xp)
            if layer < self.num_layers - 1:
                mask = None
                if rng is not None and self.dropout:
                    key = rng._replace(layer=rng.layer + layer)
                    mask = keep_mask(key, self.dropout, (T, self.output_size, B), device=x.device, xp=xp)
                flow = self._drop(flow, mask, xp=xp)
                masks.append(mask)
        state_T = self._gather([run.last() for run in runs], B, runs[0].new, xp=xp) if states else None
        return _time_major(flow, xp=xp) if steps else None, state_T, Kept(runs, valid, masks, states)

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
            d_last = xp.where(kept.valid.mask[0, :][:, None], d_last, xp.zeros_like(d_last))
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
        state = self.cell.state(*[xp.empty((len(ends), B, size), **new) for size in self._sizes])
        for i, fields in enumerate(ends):
            for field, part in zip(state, fields, strict=True):
                field[i, ...] = part.T
        return state

    def last(self, kept: Kept, *, xp: Namespace) -> Array:
        """Return what each direction of the last layer has read in the end, (B, output_size)."""
        ends = [run.last()[0].T for run in kept.runs[-self.directions :]]
        if len(ends) == 1 and not kept.states:
            return ends[0]  # nobody sees that it is the run's own memory
        last: Array = xp.concat(ends, axis=1)
        return last

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        """The units of every field of the state: P or H for h, H for the rest."""
        return (self.proj_size or self.hidden_size, *[self.hidden_size] * (len(self.cell.state._fields) - 1))

    def _drop(self, flow: Array, mask: Array | None, *, xp: Namespace) -> Array:
        """Return flow where mask, scaled to keep its mean, and 0 elsewhere; its own derivative."""
        return flow if mask is None else drop(flow, mask, self.dropout, xp=xp)


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
