"""Keras' layers and models as the property suite of `rnn_xp.verify` asks them: on host arrays, time-major."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.interop.host_adapter import features, floating

Host: TypeAlias = NDArray[Any]
State: TypeAlias = tuple[Host, ...]


class KerasAdapter:
    """A layer or model of Keras, on any of its backends; it has a gradient where that is PyTorch.

    Lengths become a `mask` (B, T), a state `initial_state`. What a recurrent layer returns is up to its own
    `return_sequences` and `return_state`; only with the latter does it take a state here.

    Parameters
    ----------
    model
    input_size
        Features of x.
    takes_lengths
        Whether the model takes a `mask`; None: recurrent layers do, others do not.
    reverse
        How many of the last features of y run against time; None: each may have read both ways. It is known
        of recurrent layers.
    name
        What reports call it.

    Raises
    ------
    ValueError
        If a layer has go_backwards=True, and so y in the order of reading, or gives two y (merge_mode=None).
    TypeError
        If it computes in what host arrays have not (bfloat16), or `input_size` is needed.
    """

    def __init__(
        self,
        model: Any,
        input_size: int | None = None,
        *,
        takes_lengths: bool | None = None,
        reverse: int | None = 0,
        name: str | None = None,
    ) -> None:
        import keras

        both = isinstance(model, keras.layers.Bidirectional)
        recurrent = both or isinstance(model, keras.layers.RNN)
        if getattr(model, "go_backwards", False) or getattr(model, "merge_mode", "") is None:
            must = "`model` must have one y in the order of x: no go_backwards, no merge_mode=None"
            msg = f"{must}; got {model!r}."
            raise ValueError(msg)
        merged = both and model.merge_mode != "concat"
        if recurrent:
            reverse = None if merged else model.forward_layer.cell.output_size if both else 0
        self.model, self.name = model, name or f"keras.{type(model).__name__}"
        self.input_size = features(input_size)
        self.dtype = floating(model.compute_dtype, 'Build it with dtype="float32".')
        takes_lengths = recurrent if takes_lengths is None else takes_lengths
        self.takes_lengths = checks.boolean("takes_lengths", takes_lengths)
        self.takes_state = recurrent and model.return_state
        self.reverse = None if reverse is None else checks.integer("reverse", reverse, 0)
        self.flipped: Callable[[], _Twin] | None = None
        if both and not merged:
            self.flipped = self._flipped
        self.input_gradient = self._input_gradient if keras.backend.backend() == "torch" else None

    def forward(
        self, x: Host, lengths: Host | None = None, state_0: State | None = None
    ) -> tuple[Host, State | None]:
        """Call the model."""
        from keras import ops

        y, state_T = self._call(ops.convert_to_tensor(x.swapaxes(0, 1)), lengths, state_0)
        y = np.array(ops.convert_to_numpy(y))
        state = tuple(np.array(ops.convert_to_numpy(part)) for part in state_T)
        return y.swapaxes(0, 1) if y.ndim == 3 else y, state or None

    def _call(self, x: Any, lengths: Host | None, state_0: State | None) -> tuple[Any, tuple[Any, ...]]:
        """Call the model with x (B, T, D)."""
        from keras import ops

        options: dict[str, Any] = {}
        if lengths is not None:
            options["mask"] = ops.convert_to_tensor(np.arange(x.shape[1]) < lengths[:, None])
        if state_0 is not None:
            options["initial_state"] = [ops.convert_to_tensor(part) for part in state_0]
        y, *state_T = self.model(x, **options) if self.takes_state else (self.model(x, **options),)
        return y, tuple(state_T)

    def _input_gradient(self, x: Host, d_y: Host, lengths: Host | None = None) -> Host:
        """Call the model, and differentiate with PyTorch."""
        import torch
        from keras import ops

        tensor = ops.convert_to_tensor(x.swapaxes(0, 1)).detach().requires_grad_()
        y, _ = self._call(tensor, lengths, None)
        d_y = d_y.swapaxes(0, 1) if d_y.ndim == 3 else d_y
        (d_x,) = torch.autograd.grad(y, tensor, ops.convert_to_tensor(d_y))
        return np.array(ops.convert_to_numpy(d_x)).swapaxes(0, 1)

    def _flipped(self) -> _Twin:
        """Return the layer with the weights of its directions exchanged."""
        twin = type(self.model).from_config(self.model.get_config())
        self.model.build((None, None, self.input_size))
        twin.build((None, None, self.input_size))
        twin.forward_layer.set_weights(self.model.backward_layer.get_weights())
        twin.backward_layer.set_weights(self.model.forward_layer.get_weights())
        return _Twin(KerasAdapter(twin, self.input_size))


class _Twin:
    """A layer with its directions exchanged, that speaks in the places of the one it was made from."""

    def __init__(self, adapter: KerasAdapter) -> None:
        self._adapter = adapter

    def forward(
        self, x: Host, lengths: Host | None = None, state_0: State | None = None
    ) -> tuple[Host, State | None]:
        """Run the layer, with features and states where they were."""
        y, state_T = self._adapter.forward(x, lengths, _turned(state_0))
        return np.roll(y, y.shape[-1] // 2, -1), _turned(state_T)


def _turned(state: State | None) -> State | None:
    """Exchange the directions' parts: the first half is of the one, the second of the other."""
    return None if state is None else state[len(state) // 2 :] + state[: len(state) // 2]
