"""Layers from their descriptions: what `Layer.config` returned, and a file may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnn_xp import checks
from rnn_xp.cells import CELLS, Cell
from rnn_xp.layers import LAYERS, Layer
from rnn_xp.model import Sequential


def from_config(config: Mapping[str, Any], cells: Mapping[str, Cell] | None = None) -> Layer:
    """Build a layer from what its `config` returned; names are looked up in fixed tables, never imported.

    Parameters
    ----------
    config : mapping
    cells : mapping of str to Cell, optional
        The user's own cells by name.

    Raises
    ------
    ValueError
        If a layer, a cell or an argument is unknown.

    Examples
    --------
    >>> from_config({"type": "Linear", "input_size": 3, "output_size": 2})
    Linear(3, 2)
    """
    arguments = dict(checks.kind("config", config, Mapping, "a mapping, as a layer's `config` returns it"))
    kind = arguments.pop("type", None)
    if kind == "Sequential" and isinstance(arguments.get("layers"), list):
        return Sequential(*[from_config(layer, cells) for layer in arguments["layers"]])
    if not isinstance(kind, str) or kind not in LAYERS:
        msg = f"`config` must describe Sequential or one of {', '.join(LAYERS)}; got {kind!r}."
        raise ValueError(msg)
    if isinstance(arguments.get("layer"), Mapping):
        arguments["layer"] = from_config(arguments["layer"], cells)
    if "cell" in arguments:
        known = {**CELLS, **(cells or {})}
        name = arguments["cell"]
        if not isinstance(name, str) or name not in known:
            must = f"`cells` must hold the cell {name!r} that this model was built with"
            msg = f"{must}; known are {', '.join(known)}."
            raise ValueError(msg)
        arguments["cell"] = known[name]
    try:
        return LAYERS[kind](**arguments)
    except TypeError as error:
        msg = f"`config` of {kind} does not fit: {error}."
        raise ValueError(msg) from None
