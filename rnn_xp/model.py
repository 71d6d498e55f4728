"""Layers in a row, and the loss of a model with its gradients."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from rnn_xp.layers import Context, LastStep, Layer, Recurrent, Signal
from rnn_xp.losses import LOSSES as LOSSES
from rnn_xp.losses import Loss as Loss
from rnn_xp.stream import Stream
from rnn_xp.typing import Array, Namespace, Tree


class Sequential(Layer):
    """Layers in a row; itself a layer, whose params and states are tuples with one entry a layer.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> model = rx.Sequential(rx.LSTM(12, 64, bidirectional=True), rx.LastStep(), rx.Linear(128, 9))
    >>> backend = rx.get_backend("numpy")
    >>> params = model.init(backend, seed=0)
    >>> y, state_T, tape = model.forward(params, backend.asarray([[[0.0] * 12] * 2] * 20), lengths=[20, 7])
    >>> y.shape
    (2, 9)
    """

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            msg = "`layers` must hold at least one layer; got none."
            raise ValueError(msg)
        signal: Signal | None = None
        fitted: list[Layer] = []
        for place, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                msg = f"`layers` must be layers; got {type(layer).__name__} at place {place}."
                raise TypeError(msg)
            try:
                connected, signal = layer.connect(signal)
            except ValueError as error:
                msg = f"layer {place} does not fit the one before it: {error}"
                raise ValueError(msg) from None
            fitted.append(connected)
        self._assemble(fitted, signal)

    def _assemble(self, fitted: list[Layer], signal: Signal | None) -> None:
        """Take layers that are fitted to one another."""
        self._layers, self._signal = tuple(fitted), signal
        # a LastStep after a recurrent layer is that layer's last state, with no need of the steps between
        self._only_last = {
            i
            for i, (layer, after) in enumerate(pairwise(fitted))
            if isinstance(layer, Recurrent) and isinstance(after, LastStep)
        }

    @property
    def layers(self) -> tuple[Layer, ...]:  # type: ignore[override]
        """The layers, fitted to one another."""
        return self._layers

    @property
    def intake(self) -> Signal:
        """What the first layer takes; its size as the first layer that minds says."""
        sizes = (layer.intake.size for layer in self._layers)
        return Signal(self._layers[0].intake.kind, next((size for size in sizes if size is not None), None))

    @property
    def per_step(self) -> bool:
        """Whether y has one output a step."""
        return self._signal is not None and self._signal.kind == "steps"

    @property
    def output_size(self) -> int | None:
        """How many outputs y has, as far as the layers tell."""
        return None if self._signal is None else self._signal.size

    @property
    def streams(self) -> int:  # type: ignore[override]
        """Those of all layers."""
        return sum(layer.streams for layer in self._layers)

    @property
    def runs(self) -> int:  # type: ignore[override]
        """Those of all layers."""
        return sum(layer.runs for layer in self._layers)

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """Whether all layers are."""
        return all(layer.causal for layer in self._layers)

    @property
    def pools(self) -> bool:  # type: ignore[override]
        """Whether a layer does."""
        return any(layer.pools for layer in self._layers)

    def __eq__(self, other: object) -> bool:
        """Compare layer by layer."""
        return isinstance(other, Sequential) and self._layers == other._layers

    def __hash__(self) -> int:
        """Hash the layers."""
        return hash(self._layers)

    def __repr__(self) -> str:
        """Write the call that builds it."""
        return f"Sequential({', '.join(map(repr, self._layers))})"

    def config(self) -> dict[str, Any]:
        """Return the layers' arguments as JSON values."""
        return {"type": "Sequential", "layers": [layer.config() for layer in self._layers]}

    def engines(self, xp: Namespace) -> list[str]:
        """Return the lines of its layers."""
        return [line for layer in self.layers for line in layer.engines(xp)]

    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Connect anew, to what comes in."""
        fitted = []
        for layer in self._layers:
            connected, signal = layer.connect(signal)
            fitted.append(connected)
        assert signal is not None
        model = Sequential.__new__(Sequential)
        model._assemble(fitted, signal)
        return model, signal

    def spec(self) -> Tree:
        """Return the layers' parameters."""
        return tuple(layer.spec() for layer in self._layers)

    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Check what the first layer takes: the rest fits."""
        self._layers[0].check(params[0], x, xp=xp)
        if x.shape[0] == 0 and not self.per_step:
            msg = "`x` must have at least one step to pool; got T = 0."
            raise ValueError(msg)
        kind, size, _ = self.intake
        if kind == "steps":
            self.check_dtype("x", params, x)
            if size is not None and x.shape[-1] != size:
                msg = f"`x` must have D = {size} features; got shape {tuple(x.shape)}."
                raise ValueError(msg)

    def check_state(self, params: Tree, state: Tree, batch: int, name: str = "state_0") -> None:
        """Check every layer's."""
        if not isinstance(state, tuple) or len(state) != len(self._layers):
            came = type(state).__name__ + (f" of {len(state)}" if isinstance(state, tuple) else "")
            msg = f"`{name}` must be a tuple of {len(self._layers)} states, one a layer; got {came}."
            raise TypeError(msg)
        for place, (layer, p, s) in enumerate(zip(self._layers, params, state, strict=True)):
            layer.check_state(p, s, batch, f"{name}[{place}]")

    def stream(self, params: Tree, batch_size: int = 1) -> Stream:
        """Return the model at the start of `batch_size` sequences whose steps arrive one by one: a live feed.

        Nothing is dropped. `params` must not be written to while the stream is in use. A model that ends in
        LastStep and Linear answers at every step for what it has read so far.

        Examples
        --------
        >>> import rnn_xp as rx
        >>> model = rx.Sequential(rx.LSTM(3, 16), rx.LastStep(), rx.Linear(16, 2))
        >>> backend = rx.get_backend("numpy")
        >>> stream = model.stream(model.init(backend, seed=0))
        >>> stream.step(backend.asarray([[0.1, 0.2, 0.3]])).shape
        (1, 2)
        """
        return Stream(self, params, batch_size)

    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Array, Tree, Any]:
        """Run the layers in order, each with dropout streams of its own."""
        xp, rng, budget = context.xp, context.rng, context.recompute
        states: list[Tree] = []
        tapes: list[Any] = []
        for i, layer in enumerate(self._layers):
            s_0 = None if state_0 is None else state_0[i]
            if budget and budget is not True:  # every run has its share
                context = context._replace(recompute=max(1, budget * layer.runs // max(1, self.runs)))
            if x is None:  # this is the LastStep after a layer that gave only its state
                x, s_T, kept = self._layers[i - 1].last(tapes[-1], xp=xp), (), None
            elif s_0 is None and i in self._only_last:
                x, s_T, kept = layer.run(params[i], x, None, context._replace(steps=False))
            else:
                x, s_T, kept = layer.run(params[i], x, s_0, context)
            if rng is not None:
                rng = rng.further(layer.streams)
                context = context._replace(rng=rng)
            states.append(s_T)
            tapes.append(kept)
        return x, tuple(states), tuple(tapes)

    def run_back(
        self, params: Tree, kept: Any, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Run back through the layers; the first one's d_x only where it is asked for."""
        count = len(self._layers)
        d_ends = [None] * count if d_state_T is None else list(d_state_T)
        d_params: list[Tree] = [()] * count
        d_starts: list[Tree] = [()] * count
        d: Any = d_y
        extra: dict[str, Any] = {}
        for i in range(count - 1, -1, -1):
            if kept[i] is None and i - 1 in self._only_last:
                d, extra = None, {"d_last": d}
                continue
            d_params[i], d, d_starts[i] = self._layers[i].run_back(
                params[i], kept[i], d, d_ends[i], need_d_x or i > 0, xp=xp, **extra
            )
            extra = {}
        return tuple(d_params), d, tuple(d_starts)

    def state_at(self, kept: Any, i: int) -> Tree:
        """Return every layer's."""
        return tuple(layer.state_at(own, i) for layer, own in zip(self._layers, kept, strict=True))

    def kept_bytes(self, steps: int, batch: int, itemsize: int) -> int:
        """Return what the runs of all layers keep."""
        return sum(layer.kept_bytes(steps, batch, itemsize) for layer in self._layers)


def loss_and_gradients(
    model: Layer,
    params: Tree,
    loss: Loss,
    x: Array,
    target: Array,
    share: Array,
    context: Context,
    state_0: Tree | None = None,
) -> tuple[Array, Tree, Any]:
    """Return the weighted loss of a batch and its gradients; nothing is checked or waits for the device.

    Parameters
    ----------
    x : array (T, B, D), or tokens (T, B)
        Finite in its padding, as `target` is.
    target : array
        Class indices (B,) or (T, B); numbers (B, K) or (T, B, K).
    share : array (B,) or (T, B)
        What each loss counts for: its weight over the sum of all weights; 0 in the padding.
    state_0 : tree, optional
        The state that the sequences go on from, a constant.

    Returns
    -------
    loss : array of no axes
    d_params : tree
    kept
        What `Layer.state_at` reads.
    """
    xp = context.xp
    y, _, kept = model.run(params, x, state_0, context)
    losses, kept_by_loss = loss.forward(y, target, xp=xp)
    d_y = loss.backward(share, kept_by_loss, target, xp=xp)
    d_params, _, _ = model.run_back(params, kept, d_y, None, False, xp=xp)
    if losses.ndim == 2 or state_0 is not None:  # a loss that counts for nothing here may be infinite
        losses = xp.where(xp.astype(share, xp.bool), losses, 0.0)
    total = losses @ share if losses.ndim == 1 else xp.sum(losses * share)
    return total, d_params, kept
