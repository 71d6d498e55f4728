"""Recurrent layers: depth, direction and dropout composed around the sequence engine."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from rnn_xp import checks
from rnn_xp.cells import CELLS, Cell
from rnn_xp.cells import check as check_cell
from rnn_xp.engines import choose
from rnn_xp.initializers import Spec
from rnn_xp.layers.base import Layer, Signal
from rnn_xp.layers.stack import Stack
from rnn_xp.sequence import Params
from rnn_xp.typing import Array, Namespace, Tree


@dataclass(frozen=True, repr=False)
class Recurrent(Stack):
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
    variational : bool
        Whether `dropout` drops the same units at all steps of a sequence (Gal and Ghahramani 2016).
    recurrent_dropout : float
        Rate at which units of h are dropped where W_hh meets it, the same ones at all steps, while training.
    zoneout : float or a tuple of them
        Rate at which units keep their old value (Krueger et al. 2016), for each field of the state, or for
        all; without training they take the expected value.
    learn_state : bool
        Whether the state that sequences begin with is a parameter, `state_0`; else it is zero.

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
    variational: bool = False
    recurrent_dropout: float = 0.0
    zoneout: float | tuple[float, ...] = 0.0
    learn_state: bool = False

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
        for name in ("bidirectional", "reverse", "variational", "learn_state"):
            object.__setattr__(self, name, bool(checks.one_of(name, getattr(self, name), (True, False))))
        if self.bidirectional and self.reverse:
            msg = "`reverse` must be False where `bidirectional` is True, which runs both ways; got True."
            raise ValueError(msg)
        for name in ("dropout", "recurrent_dropout"):
            object.__setattr__(self, name, checks.number(name, getattr(self, name), high=1.0))
        object.__setattr__(self, "zoneout", _rates(self.zoneout, self.cell.state._fields))
        proj_size = checks.integer("proj_size", self.proj_size, 0, self.hidden_size - 1)
        if proj_size and not self.cell.projectable:
            msg = f"`proj_size` must be 0 with the cell {self.cell.name!r}, not projectable; got {proj_size}."
            raise ValueError(msg)
        object.__setattr__(self, "proj_size", proj_size)

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
        return self, Signal("steps", size, size // self.directions if self.ways[-1] else 0)

    def spec(self) -> Tree:
        """Return one Params of shapes for every layer and direction."""
        H, P, gates, vectors = self.hidden_size, self.proj_size, self.cell.gates, self.cell.vectors
        rows, out = H * len(gates), P or H

        def one(size: int) -> Params:
            def spec(role: str, *shape: int, **more: Any) -> Any:
                return Spec(shape, role, fan_in=shape[-1], hidden_size=H, gates=gates, **more)

            state_0 = [Spec((size,), "state_0", fan_in=size) for size in self.sizes]
            return Params(
                spec("weight_ih", rows, size),
                spec("weight_hh", rows, out),
                spec("bias_ih", rows) if self.bias else None,
                spec("bias_hh", rows) if self.bias is True else None,
                spec("weight_hr", P, H) if P else None,
                spec("vectors", len(vectors), H, initial=self.cell.vectors_0) if vectors else None,
                self.cell.state(*state_0) if self.learn_state else None,
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
        for field, array, size in zip(fields, state, self.sizes, strict=True):
            shape = (self.num_layers * self.directions, batch, size)
            checks.shape(f"{name}.{field}", array, "L*dirs, B, H", shape)
            self.check_dtype(f"{name}.{field}", params, array)


def _rates(zoneout: Any, fields: tuple[str, ...]) -> float | tuple[float, ...]:
    """Return one rate, or one for each field of the state."""
    if not isinstance(zoneout, tuple | list):
        return checks.number("zoneout", zoneout, high=1.0)
    if len(zoneout) != len(fields):
        must = f"a rate, or one for each field of the state ({', '.join(fields)})"
        msg = f"`zoneout` must be {must}; got {len(zoneout)} rates."
        raise ValueError(msg)
    return tuple(checks.number(f"zoneout[{i}]", rate, high=1.0) for i, rate in enumerate(zoneout))
