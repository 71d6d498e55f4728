"""Our layers and ONNX's RNN, GRU and LSTM: the same weights in both forms.

An operator's inputs are X (T, B, D), W (dirs, G*H, D), R (dirs, G*H, H), B (dirs, 2*G*H), P (dirs, 3*H),
initial_h and initial_c (dirs, B, H); its gates stand in the order z, r, h and i, o, f, c, its peepholes as
i, o, f.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.sequence import Params

# where our gates stand among theirs; of coupled gates, f is there too and does not count
ORDER = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
COUPLED = (0, 3, 1)
PEEPHOLES, COUPLED_PEEPHOLES = (0, 2, 1), (0, 1)  # p_i, p_f, p_o
USUAL = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
NAMES = {
    "leakyrelu": "leaky_relu",
    "thresholdedrelu": "thresholded_relu",
    "scaledtanh": "scaled_tanh",
    "hardsigmoid": "hard_sigmoid",
}


def activation(name: str, alpha: float | None, beta: float | None) -> Any:
    """Return ours."""
    name = NAMES.get(name.lower(), name.lower())
    constants = [value for value in (alpha, beta) if value is not None]
    return (name, *constants) if constants else name


def layers(
    op: str, attributes: dict[str, Any], D: int, H: int, bias: bool, peepholes: bool
) -> list[rx.Recurrent]:
    """Return the layer of an operator; two of them, if its directions have different activations."""
    direction, clip = attributes["direction"], attributes.get("clip")
    ways = 2 if direction == "bidirectional" else 1
    size = len(USUAL[op])
    names = attributes.get("activations") or USUAL[op] * ways
    alphas, betas = (attributes.get(f"activation_{k}") or [None] * len(names) for k in ("alpha", "beta"))
    found = [activation(*each) for each in zip(names, alphas, betas, strict=True)]
    sets = [tuple(found[start : start + size]) for start in range(0, len(found), size)]

    def layer(activations: Sequence[Any], **way: bool) -> rx.Recurrent:
        if op == "RNN":
            return rx.RNN(D, H, nonlinearity=activations[0], clip=clip, bias=bias, **way)
        if op == "GRU":
            reset = "after" if attributes.get("linear_before_reset") else "before"
            return rx.GRU(D, H, reset=reset, activations=activations, clip=clip, bias=bias, **way)
        coupled = bool(attributes.get("input_forget"))
        options = {"peepholes": peepholes, "coupled": coupled, "clip": clip, "bias": bias}
        return rx.LSTM(D, H, activations=activations, **options, **way)

    if ways == 2 and sets[0] != sets[1]:
        return [layer(sets[0]), layer(sets[1], reverse=True)]
    return [layer(sets[0], bidirectional=ways == 2, reverse=direction == "reverse")]


def rows(array: np.ndarray, order: Sequence[int], blocks: int) -> np.ndarray:
    """Return some blocks of rows, in this order."""
    parts = np.split(array, blocks)
    return np.concatenate([parts[place] for place in order])


def ours(op: str, inputs: dict[str, np.ndarray], direction: int, coupled: bool = False) -> Params:
    """Return the parameters of one direction."""
    order, blocks = COUPLED if coupled else ORDER[op], len(ORDER[op])
    bias, vectors = (None, None), None
    if "B" in inputs:
        bias = tuple(rows(half, order, blocks) for half in np.split(inputs["B"][direction], 2))
    if "P" in inputs:
        peepholes = COUPLED_PEEPHOLES if coupled else PEEPHOLES
        vectors = np.stack([np.split(inputs["P"][direction], 3)[place] for place in peepholes])
    W, R = (rows(inputs[name][direction], order, blocks) for name in ("W", "R"))
    return Params(W, R, *bias, None, vectors)


def theirs(op: str, params: Sequence[Params]) -> dict[str, np.ndarray]:
    """Return the weights of a layer whose gates are not coupled, in ONNX's form."""
    order, blocks = ORDER[op], len(ORDER[op])
    back = np.argsort(order)
    weights = {
        "W": np.stack([rows(p.weight_ih, back, blocks) for p in params]),
        "R": np.stack([rows(p.weight_hh, back, blocks) for p in params]),
    }
    if params[0].bias_ih is not None:
        halves = [[rows(b, back, blocks) for b in (p.bias_ih, p.bias_hh)] for p in params]
        weights["B"] = np.stack([np.concatenate(both) for both in halves])
    if params[0].vectors is not None:
        weights["P"] = np.stack([p.vectors[np.argsort(PEEPHOLES)].reshape(-1) for p in params])
    return weights


def answers(op: str, attributes: dict[str, Any], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what our layers give for an operator's inputs: Y (T, dirs, B, H), Y_h and Y_c (dirs, B, H)."""
    x, H = inputs["X"], inputs["R"].shape[2]
    T, B, D = x.shape
    lengths = [int(n) for n in inputs.get("sequence_lens", [T] * B)]
    found: list[dict[str, np.ndarray]] = []
    first = 0
    for layer in layers(op, attributes, D, H, "B" in inputs, "P" in inputs):
        dirs = slice(first, first + layer.directions)
        coupled = bool(attributes.get("input_forget"))
        params = tuple(ours(op, inputs, i, coupled) for i in range(dirs.start, dirs.stop))
        zeros = np.zeros((layer.directions, B, H), x.dtype)
        starts = [
            inputs[f"initial_{f}"][dirs] if f"initial_{f}" in inputs else zeros
            for f in layer.cell.state._fields
        ]
        y, state_T, _ = layer.forward(params, x, layer.cell.state(*starts), lengths)
        Y = np.stack(np.split(y, layer.directions, axis=2), axis=1)
        found.append({"Y": Y, **{f"Y_{name}": value for name, value in tree.named_leaves(state_T)}})
        first = dirs.stop
    return {
        name: np.concatenate([each[name] for each in found], axis=1 if name == "Y" else 0)
        for name in found[0]
    }
