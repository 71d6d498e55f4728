"""Maps of features: Linear, Embedding, the way around layers, and the scaling of X."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rnn_xp.interop.onnx.reading.elements import (
    BLANK,
    OTHER,
    Call,
    Elements,
    Flow,
    Host,
    Made,
    Names,
    moved,
    renamed,
)
from rnn_xp.interop.onnx.reading.pooling import SUM, mean
from rnn_xp.interop.onnx.reading.sequential import between, path, single
from rnn_xp.layers import Embedding, EmbeddingParams, Linear, LinearParams, Residual


class Affine(NamedTuple):
    """What was done to the features of X so far, (X - mean) / std."""

    mean: Host
    std: Host


def matmul(call: Call) -> tuple[Names, ...]:
    """Read x W' as a Linear."""
    x = call.made(0, "a Linear has its features last")
    return (_linear(call.elements, x, call.constant(1).T, None),)


def gemm(call: Call) -> tuple[Names, ...]:
    """Read x W' + b as a Linear."""
    x = call.made(0, "a Linear has its features last")
    options = call.node.attributes
    if options.get("transA"):
        msg = "it reads its first factor transposed"
        raise ValueError(msg)
    weight = call.constant(1) if options.get("transB") else call.constant(1).T
    weight = _times(weight, options.get("alpha", 1.0))
    if len(call.inputs) < 3 or call.inputs[2] is None:
        return (_linear(call.elements, x, weight, None),)
    bias = _times(call.constant(2), options.get("beta", 1.0))
    if bias.ndim and bias.shape[-1] != bias.size:
        msg = f"its bias has the shape {bias.shape}"
        raise ValueError(msg)
    return (_linear(call.elements, x, weight, np.broadcast_to(bias.reshape(-1), weight.shape[:1])),)


def _times(array: Host, factor: float) -> Host:
    return array if factor == 1.0 else array * np.float32(factor)


def _linear(elements: Elements, x: Names, weight: Any, bias: Any) -> Names:
    """Return the names of x W' + b."""
    names, flow = elements.readable(x)
    if weight.ndim != 2 or weight.shape[1] != flow.shape[-1] or weight.dtype.kind != "f":
        msg = f"its matrix has the shape {weight.T.shape}, where {flow.made} has {flow.shape[-1]} features"
        raise ValueError(msg)
    rows = elements.rows(names, flow)
    layer = Linear(weight.shape[1], weight.shape[0], bias is not None)
    out = elements.apply(flow, layer, LinearParams(weight, bias))
    return renamed(rows, out, names.shape[:-1])


def embedding(call: Call) -> tuple[Names, ...]:
    """Read rows of a table, chosen by tokens, as an Embedding."""
    table: Any = call.constant(0)
    tokens = call.made(1)
    flow = call.elements.owner(tokens)
    if flow.signal is None or flow.signal.kind != "tokens":
        msg = f"it chooses rows by {flow.made}, which are no tokens"
        raise ValueError(msg)
    if table.ndim != 2 or call.node.attributes.get("axis", 0) not in (0, -2) or table.dtype.kind != "f":
        msg = f"it chooses from {table.dtype} of the shape {table.shape}, which is no table (V, D)"
        raise ValueError(msg)
    out = call.elements.apply(flow, Embedding(*table.shape), EmbeddingParams(table))
    rows = np.where(tokens < 0, OTHER, tokens - flow.first).reshape(-1)
    return (renamed(rows, out, tokens.shape),)


def add(call: Call) -> tuple[Names, ...]:
    """Read a sum: the way around layers, the bias of a Linear, or a part of a scaling."""
    a, b = call.inputs
    if isinstance(a, Made) and isinstance(b, Made):
        return (_residual(call.elements, a.names, b.names),)
    x, values = (0, 1) if isinstance(a, Made) else (1, 0)
    return (_shifted(call.elements, call.made(x), call.constant(values)),)


def subtract(call: Call) -> tuple[Names, ...]:
    """Read a difference as a sum."""
    return (_shifted(call.elements, call.made(0, "no layer turns a sign"), -call.constant(1)),)


def multiply(call: Call) -> tuple[Names, ...]:
    """Read a product: a mask, a mean, or a part of a scaling."""
    x, values = (0, 1) if isinstance(call.inputs[0], Made) else (1, 0)
    return (_scaled(call.elements, call.made(x), call.constant(values), divide=False),)


def divide(call: Call) -> tuple[Names, ...]:
    """Read a quotient as a product."""
    x = call.made(0, "no layer divides by what another gives")
    return (_scaled(call.elements, x, call.constant(1), divide=True),)


def _shifted(elements: Elements, x: Names, values: Host) -> Names:
    """Return the names of x + values."""
    names, values = np.broadcast_arrays(x, values)
    if not values.any():
        return names
    flow = elements.owner(names)
    if _is_input(flow):
        mean, std = _affine(flow)
        by = _by_feature(names, values, flow)
        return _rescaled(elements, names, flow, Affine(mean - std * by, std))
    if isinstance(flow.layer, Linear) and not flow.layer.bias and flow.parent is not None:
        layer = Linear(flow.layer.input_size, flow.layer.output_size)
        params = LinearParams(flow.params.weight, _by_feature(names, values, flow))
        return moved(names, flow, elements.apply(flow.parent, layer, params))
    msg = f"it adds constants to {flow.made}; a bias belongs right behind the product of a Linear"
    raise ValueError(msg)


def _scaled(elements: Elements, x: Names, values: Host, *, divide: bool) -> Names:
    """Return the names of x / values, or x * values."""
    names, values = np.broadcast_arrays(x, values)
    flow = elements.owner(names)
    if flow.made == SUM:
        return mean(elements, names, flow, values, divide=divide)
    if np.isin(values, (0, 1)).all() and not (divide and (values == 0).any()):
        return np.where(values == 1, names, BLANK)
    if _is_input(flow):
        mean_, std = _affine(flow)
        by = _by_feature(names, values, flow).astype(np.float64)
        return _rescaled(elements, names, flow, Affine(mean_, std * by if divide else std / by))
    msg = f"it multiplies {flow.made} by constants, as no layer does"
    raise ValueError(msg)


def _is_input(flow: Flow) -> bool:
    """Whether a flow is X, or X scaled."""
    return flow.layer is None and flow.signal is not None and flow.signal.kind == "steps"


def _affine(flow: Flow) -> Affine:
    C = flow.shape[-1]
    return flow.params or Affine(np.zeros(C), np.ones(C))


def _rescaled(elements: Elements, names: Names, flow: Flow, params: Affine) -> Names:
    if not (np.isfinite(params.mean) & np.isfinite(params.std) & (params.std != 0)).all():
        msg = "it scales features of X by 0, or by what is not finite"
        raise ValueError(msg)
    return moved(names, flow, elements.add(flow.shape, "X, scaled", flow.signal, parent=flow, params=params))


def _by_feature(names: Names, values: Host, flow: Flow) -> Any:
    """Return constants that are the same for all elements of a feature, (C,)."""
    real = names >= 0
    features, own = flow.local(names[real])[-1], values[real]
    found = np.zeros(flow.shape[-1], values.dtype)
    found[features] = own
    if not np.array_equal(found[features], own) or len(np.unique(features)) != len(found):
        msg = "its constants are not one for each feature"
        raise ValueError(msg)
    return found


def _residual(elements: Elements, a: Names, b: Names) -> Names:
    """Return the names of x + layer(x)."""
    (a, below), (b, above) = elements.readable(a), elements.readable(b)
    if above.first < below.first:
        a, below, b, above = b, above, a, below
    if below is above or below not in path(above) or below.shape != above.shape or a.shape != b.shape:
        msg = f"it adds {below.made} and {above.made}; only a layer's input is added to its output (Residual)"
        raise ValueError(msg)
    real = (a >= 0) & (b >= 0)
    if not np.array_equal(a[real] - below.first, b[real] - above.first):
        msg = f"it adds elements of {below.made} to others of {above.made}"
        raise ValueError(msg)
    layer, params = single(*between(below, above))
    out = elements.apply(below, Residual(layer), params)
    return np.where(real, b - above.first + out.first, OTHER)
