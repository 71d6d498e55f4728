"""The adapter of this package's own layers and models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnn_xp import tree
from rnn_xp.backend import Backend, backend_of, get_backend
from rnn_xp.configs import from_config
from rnn_xp.layers import Dropout, LastStep, Layer, Linear, MaxPool, MeanPool, Recurrent
from rnn_xp.model import Sequential
from rnn_xp.train.predict import predict
from rnn_xp.typing import Tree
from rnn_xp.verify.adapters.protocol import AXES, Host, State


class LayerAdapter:
    """A layer or model of this package, nothing dropped.

    Parameters
    ----------
    layer
        One that takes steps of features.
    params
        Its parameters, on the backend where they live; drawn from seed 0 by default.
    backend, dtype
        Where parameters are drawn, if they are; by default in the dtype of a `Backend`, in float64 where
        `backend` is a name.

    Raises
    ------
    ValueError
        If the layer takes tokens, or does not tell how many features.
    """

    def __init__(
        self,
        layer: Layer,
        params: Tree = None,
        *,
        backend: Backend | str = "numpy",
        dtype: str | None = None,
        name: str | None = None,
    ) -> None:
        if layer.intake.kind != "steps" or layer.intake.size is None:
            must = "`model` must take steps of a known number of features"
            msg = f"{must}; got {layer!r}. Check what follows an Embedding by itself."
            raise ValueError(msg)
        if params is None:
            named = not isinstance(backend, Backend)
            backend = get_backend(backend, dtype="float64" if named and dtype is None else dtype)
            params = layer.init(backend)
        else:
            layer.check_params(params)
            backend = backend_of(tree.leaves(params)[0])
        self.name, self.input_size, self.dtype = name or repr(layer), layer.intake.size, backend.precision
        self.layer, self.params, self.backend = layer, params, backend
        self._parts = layer.layers if isinstance(layer, Sequential) else (layer,)
        one = backend.asarray(np.zeros((1, 1, self.input_size)))
        self._state = layer.forward(params, one)[1]  # for its form
        self.takes_lengths, self.takes_state = True, bool(tree.leaves(self._state))
        self.reverse = _reverse(self._parts)
        known = (Recurrent, Linear, Dropout, LastStep, MeanPool, MaxPool)
        self.flipped = self._flipped if all(isinstance(part, known) for part in self._parts) else None
        self.layouts = {layout: self._in(layout) for layout in ("NTC", "NCT")}

    def forward(
        self, x: Host, lengths: Host | None = None, state_0: State | None = None
    ) -> tuple[Host, State | None]:
        """Run the layer."""
        y, state_T, _ = self._run(x, lengths, state_0)
        return self.backend.to_numpy(y), tuple(map(self.backend.to_numpy, tree.leaves(state_T)))

    def input_gradient(self, x: Host, d_y: Host, lengths: Host | None = None) -> Host:
        """Run the layer forward and back."""
        *_, tape = self._run(x, lengths, None)
        _, d_x, _ = self.layer.backward(self.params, tape, self.backend.asarray(d_y))
        return self.backend.to_numpy(d_x)

    def _run(self, x: Host, lengths: Host | None, state_0: State | None) -> tuple[Any, Tree, Any]:
        if state_0 is not None:
            state_0 = tree.unflatten(self._state, [self.backend.asarray(part) for part in state_0])
        ends = None if lengths is None else lengths.tolist()
        return self.layer.forward(self.params, self.backend.asarray(x), state_0, ends)

    def _in(self, layout: str) -> Callable[..., tuple[Host, None]]:
        """Return a forward by `rnn_xp.predict`, which takes data in this layout."""
        params = self.params if isinstance(self.layer, Sequential) else (self.params,)
        there, _ = AXES[layout]

        def forward(x: Host, lengths: Host | None = None, _: State | None = None) -> tuple[Host, None]:
            y = predict(Sequential(*self._parts), params, x.transpose(there), layout=layout, lengths=lengths)
            return y.swapaxes(0, 1) if y.ndim == 3 else y, None

        return forward

    def _flipped(self) -> _Twin:
        """Return the layer with the two directions of every part exchanged, or its one direction reversed."""
        order = np.arange(self.input_size)  # features of the parts' inputs, by their places in this layer
        params = self.params if isinstance(self.layer, Sequential) else (self.params,)
        parts, own, both = [], [], []
        for part, p in zip(self._parts, params, strict=True):
            if isinstance(part, Linear):
                p, order = self._reordered(p, "weight", order), np.arange(part.output_size)
            if isinstance(part, Recurrent):
                p, order = self._exchanged(part, p, order)
                both += [part.bidirectional] * len(part.cell.state._fields)
                if not part.bidirectional:
                    cells = {part.cell.name: part.cell}
                    part = from_config({**part.config(), "reverse": not part.reverse}, cells)
            parts.append(part)
            own.append(p)
        return _Twin(LayerAdapter(Sequential(*parts), tuple(own)), order, both)

    def _exchanged(self, part: Recurrent, params: Tree, order: Host) -> tuple[Tree, Host]:
        """Return the parameters with each layer's directions exchanged, and the order of what comes out."""
        own = []
        for first in range(0, len(params), part.directions):
            pair = params[first : first + part.directions]
            own += [self._reordered(p, "weight_ih", order) for p in reversed(pair)]
            order = np.roll(np.arange(part.output_size), part.output_size // part.directions)
        return tuple(own), order

    def _reordered(self, params: Any, field: str, order: Host) -> Any:
        """Return the parameters with the columns of one in another order."""
        columns = self.backend.to_numpy(getattr(params, field))[:, order]
        return params._replace(**{field: self.backend.asarray(columns)})


class _Twin:
    """A layer with its directions exchanged, that speaks in the places of the one it was made from."""

    def __init__(self, adapter: LayerAdapter, order: Host, both: list[bool]) -> None:
        self._adapter, self._places, self._both = adapter, np.argsort(order), both

    def forward(
        self, x: Host, lengths: Host | None = None, state_0: State | None = None
    ) -> tuple[Host, State | None]:
        """Run the layer, with features and states where they were."""
        y, state_T = self._adapter.forward(x, lengths, self._turned(state_0))
        return y[..., self._places], self._turned(state_T)

    def _turned(self, state: State | None) -> State | None:
        """Exchange the directions' parts (L*2, B, H)."""
        if state is None:
            return None
        return tuple(
            part.reshape(-1, 2, *part.shape[1:])[:, ::-1].reshape(part.shape) if both else part
            for part, both in zip(state, self._both, strict=True)
        )


def _reverse(parts: Sequence[Any]) -> int | None:
    """Return how many of the last features of layers in a row run against time, None where they are mixed."""
    recurrent = [part for part in parts if isinstance(part, Recurrent)]
    ways = {"both" if part.bidirectional else "back" if part.reverse else "ahead" for part in recurrent}
    if ways <= {"ahead"}:
        return 0
    if ways == {"back"}:
        return Sequential(*parts).output_size
    *_, last = (place for place, part in enumerate(parts) if part in recurrent)
    apart = all(isinstance(part, Dropout) for part in parts[last + 1 :])
    if len(recurrent) == 1 and recurrent[0].num_layers == 1 and apart:
        return recurrent[0].output_size // 2
    return None
