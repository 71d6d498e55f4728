"""PyTorch's modules as the property suite of `rnn_xp.verify` asks them: on host arrays, time-major."""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.interop.host_adapter import features, floating

Host: TypeAlias = NDArray[Any]
State: TypeAlias = tuple[Host, ...]


class ModuleAdapter:
    """A module from x to y.

    Parameters
    ----------
    module
        Called as ``module(x)``; it returns y, (T, B, K) or (B, K), or a tuple whose first item is y. Its
        mode, training or evaluation, is left as it is.
    input_size
        Features of x.
    layout
        "TNC" or "NTC": the axes of the module's own x and y.
    takes_lengths
        Whether it is called as ``module(x, lengths)``, with a tensor of int64 on the CPU.
    reverse
        How many of the last features of y run against time; None: each may have read both ways.
    name
        What reports call it.

    Raises
    ------
    TypeError
        If the module computes in what host arrays have not (bfloat16), or `input_size` is needed.
    """

    takes_state = False

    def __init__(
        self,
        module: Any,
        input_size: int | None = None,
        *,
        layout: str = "TNC",
        takes_lengths: bool = False,
        reverse: int | None = 0,
        name: str | None = None,
    ) -> None:
        self.name = type(module).__name__ if name is None else name
        self.input_size = features(input_size)
        self.takes_lengths = checks.boolean("takes_lengths", takes_lengths)
        self.reverse = None if reverse is None else checks.integer("reverse", reverse, 0)
        self.layout = checks.one_of("layout", layout, ("TNC", "NTC"))
        self.module = module
        first = next(module.parameters(), None)
        self.device = None if first is None else first.device
        dtype = "float32" if first is None else str(first.dtype).removeprefix("torch.")
        self.dtype = floating(dtype, "Check a copy of it: copy.deepcopy(module).float().")

    def forward(
        self, x: Host, lengths: Host | None = None, state_0: State | None = None
    ) -> tuple[Host, State | None]:
        """Run the module."""
        import torch

        with torch.no_grad():
            state = None if state_0 is None else tuple(map(self._tensor, state_0))
            y, state_T = self.run(self._tensor(x), lengths, state)
        return _host(y), None if state_T is None else tuple(map(_host, state_T))

    def input_gradient(self, x: Host, d_y: Host, lengths: Host | None = None) -> Host:
        """Run the module forward and back; the gradients of its parameters are left alone."""
        import torch

        tensor = self._tensor(x).requires_grad_()
        y, _ = self.run(tensor, lengths, None)
        (d_x,) = torch.autograd.grad(y, tensor, self._tensor(d_y))
        return _host(d_x)

    def run(self, x: Any, lengths: Host | None, _: Any) -> tuple[Any, Any]:
        """Call the module with x (T, B, D); return y, time-major, and no state."""
        turned = self.layout == "NTC"
        x = x.transpose(0, 1) if turned else x
        y = self.module(x) if lengths is None else self.module(x, _tensor(lengths))
        y = y[0] if isinstance(y, tuple) else y
        return y.transpose(0, 1) if turned and y.ndim == 3 else y, None

    def _tensor(self, array: Host) -> Any:
        return _tensor(array, self.device)


class RecurrentAdapter(ModuleAdapter):
    """torch.nn.RNN, GRU or LSTM, with packed sequences for lengths, which must not be 0 in PyTorch.

    Parameters
    ----------
    module
    name
        What reports call it.
    """

    takes_state = True

    def __init__(self, module: Any, *, name: str | None = None) -> None:
        layout = "NTC" if module.batch_first else "TNC"
        size = module.proj_size or module.hidden_size
        reverse = (size if module.num_layers == 1 else None) if module.bidirectional else 0
        options: dict[str, Any] = {"layout": layout, "takes_lengths": True, "reverse": reverse}
        super().__init__(module, module.input_size, name=name or f"torch.nn.{module!r}", **options)
        self.flipped = self._flipped if module.bidirectional else None

    @property
    def layouts(self) -> dict[str, Any]:
        """The other order of axes, by `batch_first`."""
        other = copy.copy(self.module)  # the same weights
        other.batch_first = not self.module.batch_first
        return {"NTC" if other.batch_first else "TNC": RecurrentAdapter(other).forward}

    def run(self, x: Any, lengths: Host | None, state_0: Any) -> tuple[Any, Any]:
        """Pack, call the module, and pad."""
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        first = self.module.batch_first
        steps, x = x.shape[0], x.transpose(0, 1) if first else x
        if lengths is not None:
            x = pack_padded_sequence(x, _tensor(lengths), batch_first=first, enforce_sorted=False)
        lstm = self.module.mode == "LSTM"
        y, state_T = self.module(x, state_0 if state_0 is None or lstm else state_0[0])
        if lengths is not None:
            y, _ = pad_packed_sequence(y, batch_first=first, total_length=steps)
        return y.transpose(0, 1) if first else y, state_T if lstm else (state_T,)

    def _flipped(self) -> _Twin:
        """Return the module with the weights of its directions exchanged."""
        import torch

        twin, weights = copy.deepcopy(self.module), self.module.state_dict()
        exchanged = {}
        for name in weights:
            other = name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"
            weight = weights[other]
            if name.startswith("weight_ih") and not name.startswith("weight_ih_l0"):
                weight = torch.cat(weight.chunk(2, dim=1)[::-1], dim=1)  # what the layer below puts out
            exchanged[name] = weight
        twin.load_state_dict(exchanged)
        return _Twin(twin)


class _Twin(RecurrentAdapter):
    """A module with its directions exchanged, that speaks in the places of the one it was made from."""

    def run(self, x: Any, lengths: Host | None, state_0: Any) -> tuple[Any, Any]:
        """Run the module, with features and states where they were."""
        y, state_T = super().run(x, lengths, None if state_0 is None else _turned(state_0))
        return y.roll(y.shape[-1] // 2, -1), _turned(state_T)


def torch_adapter(module: Any) -> type[ModuleAdapter]:
    """Return the kind of adapter: `RecurrentAdapter` of torch.nn.RNN, GRU, LSTM, else `ModuleAdapter`."""
    import torch

    recurrent = isinstance(module, torch.nn.RNN | torch.nn.GRU | torch.nn.LSTM)
    return RecurrentAdapter if recurrent else ModuleAdapter


def _turned(state: Any) -> tuple[Any, ...]:
    """Exchange the directions' parts (L*2, B, H)."""
    return tuple(part.unflatten(0, (-1, 2)).flip(1).flatten(0, 1) for part in state)


def _tensor(array: Host, device: Any = None) -> Any:
    """Return a tensor of its own memory."""
    import torch

    return torch.tensor(np.ascontiguousarray(array), device=device)


def _host(tensor: Any) -> Host:
    """Return a host array of its own memory."""
    return np.array(tensor.detach().cpu().numpy())
