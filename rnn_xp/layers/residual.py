"""The way around a layer: y = x + layer(x) (He et al. 2016; for deep LSTMs, Wu et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnn_xp.layers.base import Context, Layer, Signal
from rnn_xp.typing import Array, Namespace, Tree


@dataclass(frozen=True, repr=False)
class Residual(Layer):
    """y = x + layer(x). Its parameters and its state are those of the layer.

    Parameters
    ----------
    layer : Layer
        One that gives as many features as it takes; a `Sequential` too.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> rx.Residual(rx.Sequential(rx.LSTM(8, 16), rx.Linear(16, 8)))
    Residual(Sequential(LSTM(8, 16), Linear(16, 8)))
    >>> backend = rx.get_backend("numpy", dtype="float64")
    >>> params = rx.layers.LinearParams(backend.asarray([[3.0]]), None)
    >>> rx.Residual(rx.Linear(1, 1, bias=False)).forward(params, backend.asarray([[2.0]]))[0]
    array([[8.]])
    """

    layer: Layer

    def __post_init__(self) -> None:
        """Check the layer."""
        if not isinstance(self.layer, Layer):
            msg = f"`layer` must be a layer; got {type(self.layer).__name__}."
            raise TypeError(msg)
        _connect(self.layer, None)

    @property
    def streams(self) -> int:  # type: ignore[override]
        """Those of the layer."""
        return self.layer.streams

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """Whether the layer is."""
        return self.layer.causal

    @property
    def runs(self) -> int:  # type: ignore[override]
        """Those of the layer."""
        return self.layer.runs

    @property
    def intake(self) -> Signal:
        """What the layer takes."""
        return self.layer.intake

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Take features, and give as many."""
        fitted, out = _connect(self.layer, signal)
        return Residual(fitted), out

    def spec(self) -> Tree:
        """Return the layer's parameters."""
        return self.layer.spec()

    def config(self) -> dict[str, Any]:
        """Return the layer's arguments as JSON values."""
        return {"type": "Residual", "layer": self.layer.config()}

    def __repr__(self) -> str:
        """Write the call that builds it."""
        return f"Residual({self.layer!r})"

    def engines(self, xp: Namespace) -> list[str]:
        """Return the layer's lines."""
        return self.layer.engines(xp)

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Check what the layer takes."""
        self.layer.check(params, x, xp=xp)

    def check_state(self, params: Tree, state: Tree, batch: int, name: str = "state_0") -> None:
        """Check the layer's."""
        self.layer.check_state(params, state, batch, name)

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Array, Tree, Any]:
        """Run the layer, and add x."""
        y, state_T, kept = self.layer.run(params, x, state_0, context)
        return x + y, state_T, kept

    def run_back(
        self, params: Tree, kept: Any, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Run back through the layer, and around it."""
        d_params, d_x, d_state_0 = self.layer.run_back(params, kept, d_y, d_state_T, need_d_x, xp=xp)
        return d_params, None if d_x is None else d_y + d_x, d_state_0

    def state_at(self, kept: Any, i: int) -> Tree:
        """Return a copy of the layer's state after i of the steps that were run."""
        return self.layer.state_at(kept, i)

    def kept_bytes(self, steps: int, batch: int, itemsize: int) -> int:
        """Return what the layer keeps of a batch."""
        return self.layer.kept_bytes(steps, batch, itemsize)


def _connect(layer: Layer, signal: Signal | None) -> tuple[Layer, Signal]:
    """Return the layer fitted to what comes in, and what goes out, if the two can be added."""
    x = layer.intake if signal is None else signal
    fitted, y = layer.connect(signal)
    if x.kind != y.kind or (x.size != y.size and None not in (x.size, y.size)):
        must = "`layer` of a Residual must give as many features as it takes, and keep the steps"
        msg = f"{must}; got {layer!r}, from {x} to {y}. A Linear after it, within, can bring the size back."
        raise ValueError(msg)
    return fitted, y
