"""A graph that is being written: its nodes, its constants, and what all of it asks of a batch."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.layers import Signal

Host: TypeAlias = NDArray[Any]
Axes: TypeAlias = tuple[int | str, ...]


class Value(NamedTuple):
    """A tensor of the graph: steps (T, N, C), tokens (T, N) or a vector (N, C)."""

    name: str
    signal: Signal


class Graph:
    """The nodes of a graph so far.

    Parameters
    ----------
    dtype : str
        Of its numbers.
    lengths : str or None
        The input (N,) of int64 that tells the valid steps, if there is one.
    states : bool
        Whether states are inputs and outputs.
    """

    def __init__(self, dtype: str, lengths: str | None, states: bool) -> None:
        self.onnx = checks.optional("onnx", "onnx", "rx.interop.onnx")
        self.dtype, self.lengths, self.states = dtype, lengths, states
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.constants: dict[str, Host] = {}
        self.steps = ""  # a tensor whose first two axes are T, N

    def input(self, name: str, dtype: str, shape: Axes) -> str:
        """Add an input."""
        self.inputs.append(self._described(name, dtype, shape))
        return name

    def output(self, name: str, dtype: str, shape: Axes) -> str:
        """Add an output; a node of this name makes it."""
        self.outputs.append(self._described(name, dtype, shape))
        return name

    def _described(self, name: str, dtype: str, shape: Axes) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def constant(self, name: str, array: Host) -> str:
        """Add a tensor of numbers, in the graph's dtype."""
        self.constants[name] = np.ascontiguousarray(array, dtype=self.dtype)
        return name

    def ints(self, *values: int) -> str:
        """Return a tensor of these int64, (n,)."""
        name = "ints" + "".join(f"_{value}" for value in values)
        self.constants[name] = np.asarray(values, dtype=np.int64)
        return name

    def scalar(self, value: float, dtype: str) -> str:
        """Return a number, a tensor of no axes."""
        name = f"{dtype}_{value}"
        self.constants[name] = np.asarray(value, dtype=dtype)
        return name

    def node(self, op: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Add a node of one output, and return the output's name."""
        return self.wide(op, inputs, (out or f"{op}_{len(self.nodes)}",), **attributes)[0]

    def wide(
        self, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], name: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node of several outputs; the last inputs and outputs may be ""."""
        name = name or f"{op}_{len(self.nodes)}"
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs

    def cast(self, name: str, dtype: str) -> str:
        """Return the tensor in another dtype."""
        return self.node("Cast", name, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    @property
    def zero(self) -> str:
        """A 0 of the graph's dtype."""
        return self.scalar(0, self.dtype)

    # what is asked of a batch, once

    @cached_property
    def shape(self) -> str:
        """T, N and what follows, of int64."""
        return self.node("Shape", self.steps)

    @cached_property
    def batch(self) -> str:
        """N, (1,)."""
        return self.node("Slice", self.shape, self.ints(1), self.ints(2))

    @cached_property
    def times(self) -> str:
        """0 .. T - 1, (T, 1, 1)."""
        steps = self.node("Gather", self.shape, self.scalar(0, "int64"))
        times = self.node("Range", self.scalar(0, "int64"), steps, self.scalar(1, "int64"))
        return self.node("Unsqueeze", times, self.ints(1, 2))

    @cached_property
    def ends(self) -> str:
        """Of every sequence, how many steps are valid, (1, N, 1); only of a graph with lengths."""
        return self.node("Unsqueeze", self.lengths or "", self.ints(0, 2))

    @cached_property
    def valid(self) -> str:
        """Whether a step is valid, (T, N, 1)."""
        return self.node("Less", self.times, self.ends)

    @cached_property
    def last(self) -> str:
        """Whether a step is its sequence's last, (T, N, 1)."""
        return self.node("Equal", self.times, self.node("Sub", self.ends, self.scalar(1, "int64")))

    @cached_property
    def any(self) -> str:
        """Whether a sequence has a valid step at all, (N, 1)."""
        some = self.node("Greater", self.lengths or "", self.scalar(0, "int64"))
        return self.node("Unsqueeze", some, self.ints(1))

    @cached_property
    def counts(self) -> str:
        """How many valid steps a sequence has, at least 1, (N, 1) of the graph's dtype."""
        column = self.node("Unsqueeze", self.lengths or "", self.ints(1))
        return self.node("Max", self.cast(column, self.dtype), self.scalar(1, self.dtype))

    @cached_property
    def sequence_lens(self) -> str:
        """The lengths as the recurrent operators take them; none where there are none."""
        return self.cast(self.lengths, "int32") if self.lengths else ""
