"""An ONNX Runtime session as the property suite of `rnn_xp.verify` asks it: on host arrays, time-major."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.interop.host_adapter import features, floating

Host: TypeAlias = NDArray[Any]
State: TypeAlias = tuple[Host, ...]

DTYPES = {"tensor(float16)": "float16", "tensor(float)": "float32", "tensor(double)": "float64"}
STATES = {"initial_h": "Y_h", "initial_c": "Y_c"}


class OnnxRuntimeAdapter:
    """A graph with the inputs and outputs of ONNX' operators RNN, GRU and LSTM, as far as it has them.

    Parameters
    ----------
    session
        An onnxruntime.InferenceSession. Its inputs are X (T, B, D), sequence_lens (B,), initial_h and
        initial_c (dirs, B, H); its outputs Y, (T, dirs, B, H) as the operators give it or (T, B, K) or
        (B, K), Y_h and Y_c.
    names
        What the graph calls those of them that it calls otherwise: ``{"X": "input"}``.
    input_size
        Features of x; None where the graph tells.
    reverse
        How many of the last features of y run against time; None: each may have read both ways. By default 0,
        or half of those of a Y (T, 2, B, H).
    name
        What reports call it.

    Raises
    ------
    ValueError
        If the graph has no X or Y of that name, an X that is not (T, B, D), or a state of unknown size.
    TypeError
        If X is of integers, or `input_size` is needed.
    """

    def __init__(
        self,
        session: Any,
        *,
        names: Mapping[str, str] | None = None,
        input_size: int | None = None,
        reverse: int | str | None = "by direction",
        name: str | None = None,
    ) -> None:
        known = {key: key for key in ("X", "sequence_lens", "Y", *STATES, *STATES.values())}
        known |= dict(names or {})
        nodes = {node.name: node for node in (*session.get_inputs(), *session.get_outputs())}
        self._nodes = {key: nodes[each] for key, each in known.items() if each in nodes}
        for key in ("X", "Y"):
            if key not in self._nodes:
                msg = f"`names` must say what the graph calls {key}; it has {', '.join(nodes)}."
                raise ValueError(msg)
        x, y = self._nodes["X"], self._nodes["Y"]
        self.session, self.name = session, name or "onnxruntime session"
        self.dtype = DTYPES[floating(x.type, "Check what follows an embedding by itself.", DTYPES)]
        if len(x.shape) != 3:
            msg = f"the graph must take X (T, B, D); got the shape {tuple(x.shape)}."
            raise ValueError(msg)
        self.input_size = features(x.shape[2] if input_size is None else input_size)
        self.takes_lengths = "sequence_lens" in self._nodes
        self._starts = [key for key in STATES if key in self._nodes]
        self.takes_state = bool(self._starts) and all(STATES[key] in self._nodes for key in self._starts)
        if reverse == "by direction":
            reverse = y.shape[3] if len(y.shape) == 4 and y.shape[1] == 2 else 0
        self.reverse = None if reverse is None else checks.integer("reverse", reverse, 0)

    def forward(
        self, x: Host, lengths: Host | None = None, state_0: State | None = None
    ) -> tuple[Host, State | None]:
        """Run the graph; without lengths all are T, without a state it is 0."""
        steps, batch = x.shape[:2]
        feed = {"X": x}
        if self.takes_lengths:
            ends = np.full(batch, steps) if lengths is None else lengths
            feed["sequence_lens"] = ends.astype(np.int32)
        for i, key in enumerate(self._starts):
            feed[key] = self._zero(key, batch) if state_0 is None else state_0[i]
        wanted = [self._nodes[key].name for key in ("Y", *STATES.values()) if key in self._nodes]
        y, *state_T = self.session.run(wanted, {self._nodes[key].name: value for key, value in feed.items()})
        if y.ndim == 4:
            y = y.transpose(0, 2, 1, 3).reshape(steps, batch, y.shape[1] * y.shape[3])
        return y, tuple(state_T) or None

    def _zero(self, key: str, batch: int) -> Host:
        """Return an initial state of 0."""
        directions, _, size = self._nodes[key].shape
        if not isinstance(directions, int) or not isinstance(size, int):
            must = f"the graph must give {key} a number of directions and a size"
            msg = f"{must}; got {directions!r} and {size!r}."
            raise ValueError(msg)
        return np.zeros((directions, batch, size), self.dtype)
