"""An ONNX graph as a model that can be trained further."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_xp import tree
from rnn_xp.backend import Backend, get_backend
from rnn_xp.data.scaling import Scaling
from rnn_xp.interop.onnx.reading.elements import Example
from rnn_xp.interop.onnx.reading.file import Input, Source, opened
from rnn_xp.interop.onnx.reading.interpret import Found, NotUnderstoodError, interpret
from rnn_xp.layers import Linear, LinearParams
from rnn_xp.model import Sequential
from rnn_xp.typing import Tree

SIZES = ((5, 3), (7, 4))
"""T and N of the two batches for which a graph is read, where it leaves them open."""

MOST = 2**20
"""Steps, of all sequences, of a batch that a graph is read for: each of their elements is followed."""


class Reading(NamedTuple):
    """What a graph was found to be."""

    model: Sequential
    params: Tree
    scaling: Scaling | None  # what it does to the features of X first
    end: (
        str | None
    )  # what it makes of the model's outputs: "softmax", "log_softmax", "sigmoid"; None: nothing
    layout: str  # of its X
    metadata: dict[str, str]


def load(source: Any, backend: Backend | str) -> tuple[Sequential, Tree]:
    """Return an ONNX graph as a model and its parameters, to be trained further.

    The graph holds RNN, GRU and LSTM operators, and around them what the layers of rnn_xp do: linear maps per
    step or on a vector, an embedding, the last step, the mean or maximum over the steps, ways around layers;
    and operators that move elements about, compute shapes or mask padding, as many as there are. What
    `export` writes is read back to the bit; so is what `torch.onnx.export` writes of such modules. Every
    element is followed on its way, for batches of two sizes: a graph is understood, or refused.

    The model gives raw outputs, as `fit` wants them, also where the graph ends in a softmax or sigmoid; where
    it scales X first, that becomes a Linear in front. `read` tells both apart. Past a sequence's end the
    model gives 0, whatever the graph has there.

    Parameters
    ----------
    source : str, path or onnx.ModelProto
        Tensors in other files are refused, and never looked at.
    backend : Backend or str
        Where the parameters shall live. A Backend has a dtype, and they are converted to it; where only a
        name is given, they keep their own.

    Returns
    -------
    model : Sequential
        Flat; recurrent nodes of equal options, one upon the other, are one layer of their depth, and a
        recurrent bias that is 0 throughout is bias="input"; what was written with a `proj_size` is a layer
        without, and a Linear. States that the graph takes start at zero.
    params : tree

    Raises
    ------
    ValueError
        If `source` is no valid model, or something in it is not understood: the message names the node.
    ModuleNotFoundError
        If the package onnx is not installed.

    Examples
    --------
    .. code-block:: python

        model, params = rx.interop.onnx.load("model.onnx", "numpy")
        result = rx.fit(model, X, y, params=params)
    """
    found = read(source, backend)
    if found.scaling is None:
        return found.model, found.params
    mean, std = found.scaling
    like = tree.leaves(found.params)[0]
    how = get_backend(backend) if isinstance(backend, str) else backend
    weight, bias = (how.asarray(each, like.dtype) for each in (np.diag(1.0 / std), -mean / std))
    front = Linear(len(mean), len(mean))
    return Sequential(front, *found.model.layers), (LinearParams(weight, bias), *found.params)


def read(source: Any, backend: Backend | str) -> Reading:
    """Return all that an ONNX graph was found to be: as `load`, with the scaling of X and the end apart.

    Parameters
    ----------
    source, backend
        As `load` takes them.

    Returns
    -------
    Reading

    Raises
    ------
    ValueError, ModuleNotFoundError
        As in `load`.

    Examples
    --------
    .. code-block:: python

        model, params, scaling, end, layout, metadata = rx.interop.onnx.read("model.onnx", "numpy")
        probabilities = rx.predict(model, params, scaling.apply(X), loss="cross_entropy")  # end is "softmax"
    """
    graph = opened(source)
    x = _x(graph)
    layouts = ("NTC", "TNC", "NCT") if x.kind == "f" else ("NTC", "TNC")
    failures: list[NotUnderstoodError] = []
    for layout in layouts:
        axes = layout if x.kind == "f" else layout.replace("C", "")
        try:
            first, second = (interpret(graph, x, axes, _example(graph, x, axes, k)) for k in range(2))
        except NotUnderstoodError as failure:
            failures.append(failure)
            continue
        if not _same(first, second):
            msg = (
                "`source` must hold one model for all sizes; what it computes depends on T, N or the lengths."
            )
            raise ValueError(msg)
        return _reading(first, backend, layout, graph.metadata)
    raise max(failures, key=lambda failure: failure.place) from None


def _x(graph: Source) -> Input:
    """Return the input that holds the sequences: the first of three axes, or of two with integers."""
    for each in graph.inputs:
        if (each.kind, len(each.shape)) in (("f", 3), ("i", 2)):
            return each
    came = ", ".join(f"{each.name} {each.shape}" for each in graph.inputs) or "none"
    must = "`source` must have an input of three axes, steps of features, or of two with integers, tokens"
    msg = f"{must}; its inputs are {came}."
    raise ValueError(msg)


def _example(graph: Source, x: Input, axes: str, number: int) -> Example:
    """Return sizes that fit X, and as many lengths, where the graph takes any: of 1 and T, and not sorted."""
    T, N = (x.shape[axes.index(axis)] or size for axis, size in zip("TN", SIZES[number], strict=True))
    if T < 1 or N < 1 or T * N > MOST:
        must = f"leave T and N of its {x.name!r} open, or fix them at {MOST:,} steps in all at most"
        msg = f"`source` must {must}; got T = {T}, N = {N}."
        raise ValueError(msg)
    takes = any(each.kind == "i" and len(each.shape) == 1 for each in graph.inputs)
    return Example(T, N, tuple((n - number) % T or T for n in range(N)) if takes else None)


def _same(a: Found, b: Found) -> bool:
    """Whether two readings found the same model."""
    if a.model != b.model or a.end != b.end or (a.scaling is None) != (b.scaling is None):
        return False
    pairs = zip(tree.leaves((a.params, a.scaling)), tree.leaves((b.params, b.scaling)), strict=True)
    return all(np.array_equal(*pair, equal_nan=True) for pair in pairs)


def _reading(found: Found, backend: Backend | str, layout: str, metadata: dict[str, str]) -> Reading:
    """Move the parameters to the backend."""
    if isinstance(backend, str):
        wide = any(leaf.dtype == np.float64 for leaf in tree.leaves(found.params))
        backend = get_backend(backend, dtype="float64" if wide else "float32")
    home = backend
    params = tree.map(lambda leaf: home.asarray(np.asarray(leaf, dtype=home.precision)), found.params)
    scaling = None if found.scaling is None else Scaling(*found.scaling)
    return Reading(found.model, params, scaling, found.end, layout, metadata)
