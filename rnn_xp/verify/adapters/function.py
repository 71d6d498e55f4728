"""The adapter of a plain callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnn_xp import checks
from rnn_xp.interop.host_adapter import FLOATS, features
from rnn_xp.verify.adapters.protocol import AXES, Host, State


class FunctionAdapter:
    """A plain callable from x to y.

    Parameters
    ----------
    function
        Called as ``function(x)``, or ``function(x, lengths)``; it returns y, (T, B, K), (B, K) or (B,).
    input_size
        Features of x.
    dtype, takes_lengths, reverse
        As in `Adapter`. What reads both ways has ``reverse=None``.
    layout
        The axes of the callable's own x and y: "TNC", "NTC" or "NCT".
    input_gradient
        ``input_gradient(x, d_y)``, or with lengths after them, in the callable's layout.
    name
        What reports call it.

    Examples
    --------
    >>> adapter = FunctionAdapter(lambda x: x.cumsum(axis=1), 3, layout="NTC")
    >>> y, state_T = adapter.forward(np.ones((5, 2, 3)))
    >>> y[:, 0, 0].tolist(), state_T
    ([1.0, 2.0, 3.0, 4.0, 5.0], None)
    """

    takes_state = False

    def __init__(
        self,
        function: Callable[..., Any],
        input_size: int | None = None,
        *,
        dtype: str = "float32",
        layout: str = "TNC",
        takes_lengths: bool = False,
        reverse: int | None = 0,
        input_gradient: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.name = getattr(function, "__name__", type(function).__name__) if name is None else name
        self.input_size = features(input_size)
        self.dtype = checks.one_of("dtype", dtype, FLOATS)
        self.takes_lengths = checks.boolean("takes_lengths", takes_lengths)
        self.reverse = None if reverse is None else checks.integer("reverse", reverse, 0)
        self._function, self._gradient = function, input_gradient
        self._there, self._back = AXES[checks.one_of("layout", layout, AXES)]
        self.input_gradient = None if input_gradient is None else self._input_gradient

    def forward(
        self, x: Host, lengths: Host | None = None, _: State | None = None
    ) -> tuple[Host, State | None]:
        """Call the function."""
        y = np.asarray(self._function(x.transpose(self._there), *_given(lengths)))
        return y.transpose(self._back) if y.ndim == 3 else y[:, None] if y.ndim == 1 else y, None

    def _input_gradient(self, x: Host, d_y: Host, lengths: Host | None = None) -> Host:
        """Call the gradient."""
        assert self._gradient is not None
        d_y = d_y.transpose(np.argsort(self._back)) if d_y.ndim == 3 else d_y
        d_x = np.asarray(self._gradient(x.transpose(self._there), d_y, *_given(lengths)))
        return d_x.transpose(np.argsort(self._there))


def _given(lengths: Host | None) -> tuple[Host, ...]:
    """Return lengths as an argument that is there or not."""
    return () if lengths is None else (lengths,)
