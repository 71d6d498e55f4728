"""From flows back to layers in a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rnn_xp.configs import from_config
from rnn_xp.interop.onnx.reading.elements import Flow
from rnn_xp.layers import Layer, Recurrent
from rnn_xp.model import Sequential


def path(flow: Flow) -> Iterator[Flow]:
    """Yield a flow, the one it was made from, and so on."""
    here: Flow | None = flow
    while here is not None:
        yield here
        here = here.parent


def between(start: Flow, end: Flow) -> tuple[list[Layer], list[Any]]:
    """Return the layers that lead from one flow to another, and their parameters, from first to last.

    Recurrent layers of equal options, one upon the other, become one of their depth.
    """
    layers: list[Layer] = []
    params: list[Any] = []
    for flow in reversed([each for each in path(end) if each.first > start.first]):
        layer = flow.layer
        if layer is None:
            msg = f"it goes around {flow.made}, which no layer gives"
            raise ValueError(msg)
        stacked = _stacked(layers[-1], layer) if layers else None
        if stacked is None:
            layers.append(layer)
            params.append(flow.params)
        else:
            layers[-1], params[-1] = stacked, (*params[-1], *flow.params)
    return layers, params


def single(layers: list[Layer], params: list[Any]) -> tuple[Layer, Any]:
    """Return one layer alone, or a row of several."""
    return (layers[0], params[0]) if len(layers) == 1 else (Sequential(*layers), tuple(params))


def _stacked(below: Layer, above: Layer) -> Layer | None:
    """Return two recurrent layers as one of their depth, if they are equal but for their input."""
    if not isinstance(below, Recurrent) or not isinstance(above, Recurrent):
        return None
    config, other = below.config(), above.config()
    depth = config["num_layers"] + other["num_layers"]
    same = {"input_size": config["input_size"], "num_layers": depth}
    config, other = {**config, **same}, {**other, **same}
    return from_config(config) if config == other else None
