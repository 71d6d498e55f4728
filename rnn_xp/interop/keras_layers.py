"""Where Keras keeps the weights of our layers, and in which form.

Keras 3 holds a kernel (D, G*H), a recurrent kernel (H, G*H) and one bias (G*H,), or (2, 3*H) in a GRU with
reset after; a GRU's gates are in the order z, r, n. Every depth is a layer of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnn_xp import checks, tree
from rnn_xp.cells import Cell, gru, lstm, rnn
from rnn_xp.interop.weights import REVERSE, STATE, Host, one_bias
from rnn_xp.layers import Embedding, Layer, Linear, Recurrent, Residual

_KNOWN = "SimpleRNN, GRU, LSTM, Bidirectional, Dense and Embedding"


class Group(NamedTuple):
    """The weights that Keras keeps in one place, and the part of our parameters that they are."""

    path: str  # in a file: "layers/bidirectional/forward_layer/cell"
    layer: Any
    spec: Any  # the part's NamedTuple of shapes

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of Keras' weights, by its names, in its order."""
        if isinstance(self.layer, Embedding):
            return {"embeddings": self.spec.weight.shape}
        if isinstance(self.layer, Linear):
            shapes = {"kernel": self.spec.weight.shape[::-1]}
            return shapes | {"bias": self.spec.bias.shape} if self.layer.bias else shapes
        rows, size = self.spec.weight_ih.shape
        shapes = {"kernel": (size, rows), "recurrent_kernel": self.spec.weight_hh.shape[::-1]}
        if self.layer.bias:
            shapes["bias"] = (2, rows) if _two_biases(self.layer.cell) else (rows,)
        return shapes

    @property
    def names(self) -> list[str]:
        """The places of Keras' weights, for messages."""
        return [f"{self.path.removeprefix('layers/')} {name}" for name in self.shapes]

    def ours(self, arrays: Sequence[Host]) -> list[Host]:
        """Return the leaves of our part."""
        if isinstance(self.layer, Embedding):
            return list(arrays)
        if isinstance(self.layer, Linear):
            return [arrays[0].T, *arrays[1:]]
        cell, biases = self.layer.cell, []
        if self.layer.bias:
            bias_ih, *rest = arrays[2].reshape(-1, arrays[2].shape[-1])
            bias_hh = rest[0] if rest else np.zeros_like(bias_ih)
            if self.layer.bias == "input":
                biases = [one_bias(cell, bias_ih, bias_hh, f"{self.names[2]}[1]")]
            else:
                biases = [bias_ih, bias_hh]
        return [_turned(array, cell) for array in (arrays[0].T, arrays[1].T, *biases)]

    def keras(self, leaves: Sequence[Host]) -> list[Host]:
        """Return Keras' weights from the leaves of our part."""
        if isinstance(self.layer, Embedding):
            return list(leaves)
        if isinstance(self.layer, Linear):
            return [leaves[0].T, *leaves[1:]]
        cell = self.layer.cell
        kernel, recurrent, *biases = [_turned(leaf, cell) for leaf in leaves]
        if biases:
            bias_hh = biases[1] if len(biases) == 2 else np.zeros_like(biases[0])
            two = _two_biases(cell)
            biases = [
                np.stack([biases[0], bias_hh]) if two else one_bias(cell, biases[0], bias_hh, "bias_hh")
            ]
        return [kernel.T, recurrent.T, *biases]


def groups(model: Layer) -> list[Group]:
    """Return where Keras keeps a model's weights, in the order of ``model.get_weights()``."""
    checks.kind("model", model, Layer, "a layer or a Sequential")
    return list(_in_a_row(list(_flat(model)), "layers"))


def _flat(model: Layer) -> Iterator[Layer]:
    """Yield the layers that stand in one row of Keras'; of a Residual, what is within it."""
    if isinstance(model, Residual):
        yield from _flat(model.layer)
    else:
        for layer in model.layers or [model]:
            if isinstance(layer, Residual):
                yield from _flat(layer)
            else:
                yield layer


def _in_a_row(layers: Sequence[Layer], path: str) -> Iterator[Group]:
    """Yield the groups of layers in a row; a file counts those of a kind."""
    seen: Counter[str] = Counter()

    def place(kind: str) -> str:
        seen[kind] += 1
        return f"{path}/{kind}" if seen[kind] == 1 else f"{path}/{kind}_{seen[kind] - 1}"

    for layer in layers:
        if layer.layers:
            yield from _in_a_row(list(_flat(layer)), f"{place('sequential')}/layers")
        elif not tree.leaves(layer.spec()):
            continue
        elif isinstance(layer, Recurrent):
            kind = _kind(layer)
            for i, spec in enumerate(layer.spec()):
                if layer.directions == 1:
                    yield Group(f"{place(kind)}/cell", layer, spec)
                    continue
                if i % 2 == 0:
                    both = place("bidirectional")
                yield Group(f"{both}/{'backward' if i % 2 else 'forward'}_layer/cell", layer, spec)
        elif isinstance(layer, Linear | Embedding):
            yield Group(place("dense" if isinstance(layer, Linear) else "embedding"), layer, layer.spec())
        else:
            must = f"`model` must be made of layers that Keras has too: {_KNOWN}, and what has no parameters"
            msg = f"{must}; got {layer!r}."
            raise TypeError(msg)


def _kind(layer: Recurrent) -> str:
    """Return Keras' name of a recurrent layer, if it has such a one."""
    must = "`model` must be made of layers that Keras has too"
    kind = _kind_of_cell(layer.cell)
    if kind is None:
        way = "It knows SimpleRNN, GRU and LSTM, without layer_norm, clip, peepholes and the like."
        msg = f"{must}; got the cell {layer.cell.name!r}. {way}"
        raise ValueError(msg)
    if layer.proj_size:
        msg = f"{must}: its LSTM has no projection; got {layer!r}. Leave it to PyTorch: rnn_xp.interop.torch."
        raise ValueError(msg)
    if layer.reverse:
        msg = f"{must}, with y in the order of x; got {layer!r}. {REVERSE}"
        raise ValueError(msg)
    if layer.learn_state:
        msg = f"{must}: it learns no initial state; got {layer!r}. {STATE}"
        raise ValueError(msg)
    return kind


def _kind_of_cell(cell: Cell) -> str | None:
    """Return Keras' name of a cell: of ours, its formula tells the activations, and these all of it."""
    match getattr(cell.pairs[-1].forward, "__self__", None):
        case rnn.Elman(f=f):
            kind, twin = "simple_rnn", rnn.cell(f.spec)
        case gru.Update(gate=gate, candidate=candidate) as formula:
            reset = "after" if isinstance(formula, gru.After) else "before"
            kind, twin = "gru", gru.cell(reset, (gate.spec, candidate.spec))
        case lstm.Memory(gate=gate, candidate=candidate):  # Keras' output has the activation of the candidate
            kind, twin = "lstm", lstm.cell((gate.spec, candidate.spec, candidate.spec))
        case _:
            return None
    return kind if cell == twin else None


def _two_biases(cell: Cell) -> bool:
    """Return whether a gate keeps the two biases apart."""
    return any(pair.apart for pair in cell.pairs)


def _turned(rows: Host, cell: Cell) -> Host:
    """Exchange the gates z and r of a GRU; other cells have Keras' order."""
    if cell.gates != ("r", "z", "n"):
        return rows
    first, second, third = np.split(rows, 3)
    return np.concatenate([second, first, third])
