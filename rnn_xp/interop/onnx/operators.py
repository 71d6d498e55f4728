"""A recurrent layer of ours, and ONNX' operators RNN, GRU and LSTM: the same options, the same weights.

W is (dirs, G*H, D), R (dirs, G*H, H), B (dirs, 2*G*H), with the input's bias before the recurrent one, and P
(dirs, 3*H). An operator has no projection; one is exact all the same: where h = W_hr h~, it runs on h~ with
R = W_hh W_hr, and W_hr comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp.cells import Cell
from rnn_xp.cells.activations import ACTIVATIONS, Name
from rnn_xp.cells.gru import After, Update
from rnn_xp.cells.lstm import Memory
from rnn_xp.cells.normalized import Normalized
from rnn_xp.cells.rnn import Elman
from rnn_xp.layers import GRU, LSTM, RNN, Recurrent
from rnn_xp.sequence import Params

Host: TypeAlias = NDArray[Any]

GATES = {"RNN": ("a",), "GRU": ("z", "r", "n"), "LSTM": ("i", "o", "f", "g")}
"""The row blocks of W, R and of both halves of B, in ONNX' order, by our names."""

PEEPHOLES = ("p_i", "p_o", "p_f")
"""The blocks of P."""

FUNCTIONS = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "affine": "Affine",
    "leaky_relu": "LeakyRelu",
    "thresholded_relu": "ThresholdedRelu",
    "scaled_tanh": "ScaledTanh",
    "hard_sigmoid": "HardSigmoid",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}
"""ONNX' names of the activations."""

OURS = {theirs.lower(): ours for ours, theirs in FUNCTIONS.items()}
USUAL = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
NO_DEFAULT = ("affine", "scaled_tanh")  # ONNX Runtime takes 0 where their constants are missing
WAYS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


def operator(layer: Recurrent, place: str) -> tuple[str, dict[str, Any]]:
    """Return the operator that computes a layer, and its attributes; errors name the layer's place."""
    formula = getattr(layer.cell.pairs[-1].forward, "__self__", None)
    attributes: dict[str, Any] = {"hidden_size": layer.hidden_size}
    if any(layer.zoneouts):
        raise _none(layer, place, "no zoneout", "Train without it; `recurrent_dropout` leaves no trace.")
    if type(formula) is Elman:
        op, functions = "RNN", [formula.f]
    elif type(formula) in (After, Update):
        op, functions = "GRU", [formula.gate, formula.candidate]  # type: ignore[union-attr]
        attributes["linear_before_reset"] = int(type(formula) is After)
    elif type(formula) is Memory:
        op, functions = "LSTM", [formula.gate, formula.candidate, formula.output]
        attributes["input_forget"] = int(formula.coupled)
    elif isinstance(formula, Normalized):
        raise _none(layer, place, "no layer normalisation", "Train with layer_norm=False.")
    else:
        raise _none(layer, place, f"not the cell {layer.cell.name!r}", "Take rx.RNN, rx.GRU or rx.LSTM.")
    every = functions * layer.directions
    attributes["activations"] = [FUNCTIONS[f.name] for f in every]
    for k, name in enumerate(("activation_alpha", "activation_beta")):
        values = [f.constants[k] for f in every if len(f.constants) > k]
        if values:
            attributes[name] = values
    if functions[0].clip is not None:
        attributes["clip"] = functions[0].clip
    attributes["direction"] = next(name for name, ways in WAYS.items() if ways == layer.ways)
    return op, attributes


def _none(layer: Recurrent, place: str, lack: str, way_out: str) -> ValueError:
    """Return the error of a layer that no operator computes."""
    must = f"`model` must be of what ONNX' operators RNN, GRU and LSTM compute: {lack}"
    return ValueError(f"{must}; got {layer!r} at place {place}. {way_out}")


def weights(op: str, cell: Cell, params: Sequence[Any]) -> dict[str, Host]:
    """Return W, R, and B and P where there are any, from the directions' params (host arrays)."""

    def gates(array: Host) -> Host:
        return _blocks(array, cell.gates, GATES[op])

    recurrent = [p.weight_hh if p.weight_hr is None else _product(p.weight_hh, p.weight_hr) for p in params]
    found = {
        "W": np.stack([gates(p.weight_ih) for p in params]),
        "R": np.stack([gates(each) for each in recurrent]),
    }
    if params[0].bias_ih is not None:
        halves = [(p.bias_ih, np.zeros_like(p.bias_ih) if p.bias_hh is None else p.bias_hh) for p in params]
        found["B"] = np.stack([np.concatenate([gates(half) for half in both]) for both in halves])
    if params[0].vectors is not None:
        flat = [_blocks(p.vectors.reshape(-1), cell.vectors, PEEPHOLES) for p in params]
        found["P"] = np.stack(flat)
    return found


def projection(params: Sequence[Any]) -> Host | None:
    """Return the matrix (dirs*H, dirs*P) that comes after the operator; None: none does."""
    if params[0].weight_hr is None:
        return None
    P, H = params[0].weight_hr.shape
    matrix = np.zeros((len(params) * H, len(params) * P), params[0].weight_hr.dtype)
    for k, p in enumerate(params):
        matrix[k * H : (k + 1) * H, k * P : (k + 1) * P] = p.weight_hr.T
    return matrix


def starts(params: Sequence[Any], place: str) -> list[Host] | None:
    """Return the learnt state that sequences begin with, (dirs, 1, H) a field; None: it is zero."""
    if params[0].state_0 is None:
        return None
    fields = [list(p.state_0) for p in params]
    for own, p in zip(fields, params, strict=True):
        if p.weight_hr is not None:
            own[0] = _unprojected(own[0], p.weight_hr, place)
    return [np.stack(each)[:, np.newaxis, :] for each in zip(*fields, strict=True)]


def _product(left: Host, right: Host) -> Host:
    """Return the product, rounded once."""
    return (left.astype(np.float64) @ right.astype(np.float64)).astype(left.dtype)


def _unprojected(h: Host, weight_hr: Host, place: str) -> Host:
    """Return an h~ with W_hr h~ = h."""
    found = np.linalg.lstsq(weight_hr.astype(np.float64), h.astype(np.float64))[0]
    if not np.allclose(weight_hr @ found, h, atol=1e-6):
        must = "`params` must have a learnt h that the projection can give"
        msg = f"{must}; got a weight_hr of lower rank at place {place}. Set its state_0.h to 0."
        raise ValueError(msg)
    return found.astype(h.dtype)


def _blocks(array: Host, names: Sequence[str], wanted: Sequence[str]) -> Host:
    """Return the blocks of rows of these names in the wanted order; 0 for one that is not there."""
    parts = dict(zip(names, np.split(array, len(names)), strict=True))
    return np.concatenate([parts.get(name, np.zeros_like(parts[names[0]])) for name in wanted])


def layer(op: str, attributes: Mapping[str, Any], given: Mapping[str, Host], learn_state: bool) -> Recurrent:
    """Return the layer of a node from its attributes and its W, R, and B and P where they are given.

    Raises
    ------
    ValueError
        If we have no such layer, or the shapes do not fit.
    """
    directions, rows, D = _shape("W", given["W"], 3)
    H = rows // len(GATES[op])
    ways = WAYS.get(attributes.get("direction", "forward"), ())
    _check_shapes(op, given, (H, D), len(ways))
    if attributes.get("layout", 0) != 0:
        msg = "layout=1; only 0, time first, is read"
        raise ValueError(msg)
    if attributes.get("hidden_size", H) != H:
        msg = f"hidden_size is {attributes['hidden_size']}, but W has {H} units"
        raise ValueError(msg)
    sets = _activations(op, attributes, directions)
    if len(set(sets)) > 1:
        msg = f"its directions have different activations, {sets[0]} and {sets[1]}; a layer has the same ones"
        raise ValueError(msg)
    options: dict[str, Any] = {
        "bias": ("input" if not _halves(given["B"])[1].any() else True) if "B" in given else False,
        "bidirectional": directions == 2,
        "reverse": ways == (True,),
        "learn_state": learn_state,
        "clip": short(attributes["clip"]) if "clip" in attributes else None,
    }
    if op == "RNN":
        return RNN(D, H, nonlinearity=sets[0][0], **options)
    if op == "GRU":
        reset = "after" if attributes.get("linear_before_reset") else "before"
        return GRU(D, H, reset=reset, activations=sets[0], **options)
    coupled = bool(attributes.get("input_forget"))
    return LSTM(D, H, activations=sets[0], peepholes="P" in given, coupled=coupled, **options)


def params(
    op: str, layer: Recurrent, given: Mapping[str, Host], state_0: Sequence[Host]
) -> tuple[Params, ...]:
    """Return the parameters of a node's layer; `state_0`: the fields (dirs, H) that it learns, if any."""
    cell = layer.cell

    def one(way: int) -> Params:
        def gates(array: Host) -> Any:
            return _blocks(array, GATES[op], cell.gates)

        halves = [gates(half) for half in _halves(given["B"])[:, way]] if layer.bias else [None, None]
        vectors: Any = None
        if cell.vectors:
            vectors = _blocks(given["P"][way], PEEPHOLES, cell.vectors).reshape(len(cell.vectors), -1)
        return Params(
            gates(given["W"][way]),
            gates(given["R"][way]),
            halves[0],
            halves[1] if layer.bias is True else None,
            None,
            vectors,
            cell.state(*[field[way] for field in state_0]) if layer.learn_state else None,
        )

    return tuple(one(way) for way in range(layer.directions))


def _halves(B: Host) -> Host:
    """Return the input's and the recurrent biases (2, dirs, G*H)."""
    return np.stack(np.split(B, 2, axis=1))


def _check_shapes(op: str, given: Mapping[str, Host], sizes: tuple[int, int], ways: int) -> None:
    """Raise unless R, B and P fit W."""
    H, D = sizes
    rows = len(GATES[op]) * H
    wanted = {
        "W": (ways, rows, D),
        "R": (ways, rows, H),
        "B": (ways, 2 * rows),
        "P": (ways, 3 * H),
    }
    for name, array in given.items():
        if array.shape != wanted[name] or not array.size:
            msg = f"{name} has the shape {array.shape}, where {wanted[name]} is wanted"
            raise ValueError(msg)
        if array.dtype.kind != "f":
            msg = f"{name} holds {array.dtype}, not numbers of floating point"
            raise ValueError(msg)


def _shape(name: str, array: Host, axes: int) -> tuple[int, ...]:
    if array.ndim != axes:
        msg = f"{name} has the shape {array.shape}, where {axes} axes are wanted"
        raise ValueError(msg)
    return array.shape


def _activations(op: str, attributes: Mapping[str, Any], directions: int) -> list[tuple[Name, ...]]:
    """Return the activations of each direction; constants go, in order, to the functions that have any."""
    size = len(USUAL[op])
    names = attributes.get("activations") or USUAL[op] * directions
    if len(names) != size * directions:
        msg = f"it has {len(names)} activations, where {size * directions} are wanted"
        raise ValueError(msg)
    given = [iter(attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta")]
    found = [_activation(name, given) for name in names]
    if any(list(rest) for rest in given):
        msg = "it has more constants of activations than functions that take one"
        raise ValueError(msg)
    return [tuple(found[k * size : (k + 1) * size]) for k in range(directions)]


def _activation(name: str, given: Sequence[Iterator[float]]) -> Name:
    """Return one activation, with its constants where they are not the usual ones."""
    if name.lower() not in OURS:
        msg = f"the activation {name!r} is none of {', '.join(FUNCTIONS.values())}"
        raise ValueError(msg)
    ours = OURS[name.lower()]
    usual = ACTIVATIONS[ours].constants
    values = [next(rest, None) for rest, _ in zip(given, usual, strict=False)]
    if None in values and ours in NO_DEFAULT:
        msg = f"the activation {name!r} lacks its constants, and what it then computes is not agreed upon"
        raise ValueError(msg)
    constants = tuple(u if v is None else short(v) for u, v in zip(usual, values, strict=True))
    return ours if constants == usual else (ours, *constants)


def short(value: float) -> float:
    """Return the shortest number that a float32 attribute may have been written from: 0.1 again."""
    return float(str(np.float32(value)))
