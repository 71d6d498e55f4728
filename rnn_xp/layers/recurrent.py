"""Recurrent layers: depth, direction and dropout composed around the sequence engine."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import rnn_xp.sequence as engine
from rnn_xp import checks
from rnn_xp.cells import CELLS, Cell, gru, lstm, rnn
from rnn_xp.cells import check as check_cell
from rnn_xp.initializers import Spec
from rnn_xp.layers.base import Layer, Signal
from rnn_xp.random import Rng, keep_mask
from rnn_xp.typing import Array, Namespace, Tree


class Kept(NamedTuple):
    """What `run_back` needs: the engine's tapes over layer * directions + direction, the padding and the dropout masks."""

    tapes: tuple[engine.Tape, ...]
    valid: engine.Valid | None
    masks: tuple[Array | None, ...]


@dataclass(frozen=True, repr=False)
class Recurrent(Layer):
    """A stack of recurrent layers of one cell, as PyTorch's RNN, GRU and LSTM define depth, direction and dropout.

    Parameters
    ----------
    cell : Cell
        The formula of a step: one of `rnn_xp.cells`, or your own.
    input_size, hidden_size, num_layers : int
    bias : {True, "input", False}
        Two bias vectors in every layer and direction, as PyTorch has them; only `bias_ih`; none.
    bidirectional : bool
        y then holds both directions' outputs side by side.
    dropout : float
        Rate at which the outputs of every layer but the last are dropped, while training.
    proj_size : int
        Size of h after a projection; 0 for none. Only for a cell that is projectable.

    Notes
    -----
    Parameters are a tuple over layer * directions + direction of `rnn_xp.sequence.Params`. States are NamedTuples of the
    cell's fields, h (L*dirs, B, H or P) and, in an LSTM, c (L*dirs, B, H).
    """

    cell: Cell
    input_size: int
    hidden_size: int
    num_layers: int = 1
    _: KW_ONLY
    bias: bool | str = True
    bidirectional: bool = False
    dropout: float = 0.0
    proj_size: int = 0

    def __post_init__(self) -> None:
        """Check every argument."""
        check_cell(self.cell)
        for name in ("input_size", "hidden_size", "num_layers"):
            object.__setattr__(self, name, checks.integer(name, getattr(self, name)))
        checks.one_of("bias", self.bias, (True, "input", False))
        checks.one_of("bidirectional", self.bidirectional, (True, False))
        object.__setattr__(self, "dropout", checks.number("dropout", self.dropout, high=1.0))
        object.__setattr__(self, "proj_size", checks.integer("proj_size", self.proj_size, 0, self.hidden_size - 1))
        if self.proj_size and not self.cell.projectable:
            msg = f"`proj_size` must be 0 with the cell {self.cell.name!r}, which is not projectable; got {self.proj_size}."
            raise ValueError(msg)

    @property
    def directions(self) -> int:
        """1, or 2 where bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Features of y: P or H for each direction."""
        return (self.proj_size or self.hidden_size) * self.directions

    @property
    def streams(self) -> int:  # type: ignore[override]
        """One dropout mask between every two layers."""
        return self.num_layers - 1

    def config(self) -> dict[str, Any]:
        """Return the arguments as JSON values; the cell by its name."""
        values = super().config()
        return {**values, "cell": self.cell.name} if "cell" in values else values

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Take steps of `input_size` features."""
        if signal is not None and (signal.kind != "steps" or signal.size not in (None, self.input_size)):
            msg = f"{self!r} takes steps of {self.input_size} features; what comes in is {signal.kind} of {signal.size}."
            raise ValueError(msg)
        return self, Signal("steps", self.output_size, self.output_size // 2 if self.bidirectional else 0)

    def spec(self) -> Tree:
        """Return one Params of shapes for every layer and direction."""
        H, P, gates = self.hidden_size, self.proj_size, self.cell.gates
        rows, out = H * len(gates), P or H

        def one(size: int) -> engine.Params:
            def spec(role: str, *shape: int) -> Spec:
                return Spec(shape, role, fan_in=shape[-1], hidden_size=H, gates=gates)

            return engine.Params(
                spec("weight_ih", rows, size),
                spec("weight_hh", rows, out),
                spec("bias_ih", rows) if self.bias else None,
                spec("bias_hh", rows) if self.bias is True else None,
                spec("weight_hr", P, H) if P else None,
            )

        sizes = [self.input_size] + [self.output_size] * (self.num_layers - 1)
        return tuple(one(size) for size in sizes for _ in range(self.directions))

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:  # noqa: ARG002
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
        for field, array, size in zip(fields, state, self._state_sizes(), strict=True):
            shape = (self.num_layers * self.directions, batch, size)
            checks.shape(f"{name}.{field}", array, "L*dirs, B, H", shape)
            self.check_dtype(f"{name}.{field}", params, array)

    def run(
        self, params: Tree, x: Array, state_0: Tree | None, valid: engine.Valid | None, rng: Rng | None, *, xp: Namespace
    ) -> tuple[Array, Tree, Kept]:
        """Run layer upon layer, feature-first in between."""
        B, new = x.shape[1], {"dtype": x.dtype, "device": x.device}
        sizes = self._state_sizes()
        flow = xp.permute_dims(x, (0, 2, 1))
        zeros = [xp.zeros((s, B), **new) for s in sizes]
        state_T = self.cell.state(*[xp.empty((self.num_layers * self.directions, B, s), **new) for s in sizes])
        tapes: list[engine.Tape] = []
        masks: list[Array | None] = []
        for layer in range(self.num_layers):
            outputs = []
            for reverse in range(self.directions):
                i = len(tapes)
                s_0 = zeros if state_0 is None else [field[i, ...].T for field in state_0]
                h, tape = engine.forward(
                    self.cell, params[i], flow, s_0, valid=valid, reverse=bool(reverse), xp=xp
                )
                for field, steps in zip(state_T, tape.states, strict=True):
                    field[i, ...] = steps[0 if reverse else steps.shape[0] - 1, ...].T
                outputs.append(h)
                tapes.append(tape)
            flow = _blank(outputs[0] if len(outputs) == 1 else xp.concat(outputs, axis=1), valid, xp=xp)
            if layer < self.num_layers - 1:
                mask = None
                if rng is not None and self.dropout:
                    key = rng._replace(layer=rng.layer + layer)
                    mask = keep_mask(key, self.dropout, flow.shape, device=x.device, xp=xp)
                flow = self._drop(flow, mask, xp=xp)
                masks.append(mask)
        return _time_major(flow, xp=xp), state_T, Kept(tuple(tapes), valid, tuple(masks))

    def run_back(
        self, params: Tree, kept: Kept, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Run back, from the last layer to the first."""
        dirs, new = self.directions, {"dtype": d_y.dtype, "device": d_y.device}
        B = d_y.shape[1]
        sizes = self._state_sizes()
        d_state_0 = self.cell.state(*[xp.empty((self.num_layers * dirs, B, s), **new) for s in sizes])
        if d_state_T is None:
            ends = [[xp.zeros((s, B), **new) for s in sizes]] * len(kept.tapes)
        else:
            ends = [[field[i, ...].T for field in d_state_T] for i in range(len(kept.tapes))]
        d_params: list[Any] = [None] * len(kept.tapes)
        d_flow = xp.permute_dims(d_y, (0, 2, 1))
        for layer in range(self.num_layers - 1, -1, -1):
            if layer < self.num_layers - 1:
                d_flow = self._drop(d_flow, kept.masks[layer], xp=xp)
            d_flow = _blank(d_flow, kept.valid, xp=xp)
            size = d_flow.shape[1] // dirs
            d_input: Any = None
            for reverse in range(dirs):
                i = layer * dirs + reverse
                d_params[i], d_x, d_s_0 = engine.backward(
                    self.cell,
                    params[i],
                    kept.tapes[i],
                    d_flow[:, reverse * size : (reverse + 1) * size, :],
                    ends[i],
                    valid=kept.valid,
                    reverse=bool(reverse),
                    need_d_x=need_d_x or layer > 0,
                    xp=xp,
                )
                for field, d in zip(d_state_0, d_s_0, strict=True):
                    field[i, ...] = d.T
                d_input = d_x if d_input is None or d_x is None else d_input + d_x
            d_flow = d_input
        return tuple(d_params), _time_major(d_flow, xp=xp) if need_d_x else None, d_state_0

    def _state_sizes(self) -> list[int]:
        """Return the units of every field: P or H for h, H for the rest."""
        return [self.proj_size or self.hidden_size] + [self.hidden_size] * (len(self.cell.state._fields) - 1)

    def _drop(self, flow: Array, mask: Array | None, *, xp: Namespace) -> Array:
        """Return flow where mask, scaled to keep its mean, and 0 elsewhere; its own derivative."""
        return flow if mask is None else drop(flow, mask, self.dropout, xp=xp)


def drop(x: Array, mask: Array, rate: float, *, xp: Namespace) -> Array:
    """Return x / (1 - rate) where mask, and 0 elsewhere."""
    dropped: Array = xp.where(mask, x * (1.0 / (1.0 - rate)), xp.zeros((), dtype=x.dtype, device=x.device))
    return dropped


def _blank(flow: Array, valid: engine.Valid | None, *, xp: Namespace) -> Array:
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


class RNN(Recurrent):
    """Elman RNN; `nonlinearity` is "tanh" or "relu". The rest is as in `Recurrent`.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> backend = rx.get_backend("numpy", dtype="float64")
    >>> layer = rx.RNN(3, 4, nonlinearity="relu")
    >>> params = layer.init(backend, seed=0)
    >>> y, state_T, tape = layer.forward(params, backend.asarray([[[1.0, 2.0, 3.0]]] * 5))
    >>> y.shape, state_T.h.shape
    ((5, 1, 4), (1, 1, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool | str = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        cell = CELLS["rnn_" + checks.one_of("nonlinearity", nonlinearity, ("tanh", "relu"))]
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias=bias, bidirectional=bidirectional, dropout=dropout
        )

    @property
    def nonlinearity(self) -> str:
        """The function of the step."""
        return "relu" if self.cell is rnn.RELU else "tanh"


class GRU(Recurrent):
    """Gated recurrent unit; gates r, z, n; `reset` is "after" (PyTorch, cuDNN) or "before" the product (Cho et al. 2014).

    Examples
    --------
    >>> import rnn_xp as rx
    >>> rx.GRU(3, 4, reset="before").init(rx.get_backend("numpy"), seed=0)[0].weight_hh.shape
    (12, 4)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset: str = "after",
        bias: bool | str = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        cell = {"after": gru.AFTER, "before": gru.BEFORE}[checks.one_of("reset", reset, ("after", "before"))]
        super().__init__(
            cell, input_size, hidden_size, num_layers, bias=bias, bidirectional=bidirectional, dropout=dropout
        )

    @property
    def reset(self) -> str:
        """Where the reset gate acts."""
        return "before" if self.cell is gru.BEFORE else "after"


class LSTM(Recurrent):
    """Long short-term memory; gates i, f, g, o; `proj_size` projects h (Sak et al. 2014).

    Examples
    --------
    >>> import rnn_xp as rx
    >>> layer = rx.LSTM(3, 4, num_layers=2, bidirectional=True)
    >>> params = layer.init(rx.get_backend("numpy"), seed=0)
    >>> len(params), params[2].weight_ih.shape
    (4, (16, 8))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool | str = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
        proj_size: int = 0,
    ) -> None:
        super().__init__(
            lstm.LSTM,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            bidirectional=bidirectional,
            dropout=dropout,
            proj_size=proj_size,
        )
