"""One direction of one depth of a recurrent layer, looked into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import to_numpy
from rnn_xp.cells.activations import BOUNDS
from rnn_xp.engines import plans
from rnn_xp.layers import GRU, LSTM, RNN, Recurrent
from rnn_xp.sequence import Params, Recomputed, Run, Valid
from rnn_xp.sequence.run import QUIET
from rnn_xp.typing import Array

Host: TypeAlias = NDArray[Any]


class Level(NamedTuple):
    """One direction of one depth of a recurrent layer, on N sequences; 0 past their ends."""

    name: str  # "layer 0, depth 1, backward"
    layer: Recurrent  # the whole layer
    params: Params  # of this direction and depth, on the host
    reverse: bool
    valid: NDArray[np.bool_]  # (N, T)
    states: dict[str, Host]  # of each field the values after each step, (N, T, H or P)
    gates: dict[str, Host]  # what the cell keeps of each step, by its names, (N, T, H)
    bounds: dict[str, tuple[float, float]]  # of those gates and states that an activation bounds
    gradient: dict[str, Host] | None  # dL/d(state after the step), (N, T, H or P); None without targets


class Watched:
    """Stands for a run on the way back, goes it step by step, and remembers the gradients of every state."""

    def __init__(self, run: Run) -> None:
        self.run, self.B, self.new, self.zeros = run, run.B, run.new, run.zeros
        self.gradient: list[Array] = []  # (T, P or H, B) a field

    def backward(
        self, d_h: Array | None, d_s_T: Sequence[Array], valid: Valid | None, need_d_x: bool
    ) -> tuple[Params, Array | None, list[Any]]:
        """Back-propagate as `Run.backward` does."""
        run, xp, n = self.run, self.run.xp, self.run.n
        self.gradient = [run.empty(n, *end.shape) for end in run.zeros]

        def watch(segment: slice, d_s: list[Any]) -> None:
            after = segment.start + (1 if run.reverse else -1)  # the step that left this state
            if 0 <= after < n:
                store(after, d_s)

        def store(t: int, d_s: Sequence[Any]) -> None:
            for place, d in zip(self.gradient, d_s, strict=True):
                place[t, ...] = d
            if d_h is not None:
                self.gradient[0][t, ...] += d_h[t, ...]

        between = run.between
        one = Run(
            run.cell, run.params, 1, run.B, **run.new, reverse=run.reverse, between=between is not None, xp=xp
        )
        steps = Recomputed(one, n, False, watch)
        D = run.params.weight_ih.shape[1]
        x = xp.permute_dims(run.x[:n, :, :D], (0, 2, 1))
        reset, noise = (None, QUIET) if between is None else (between.reset, between.noise)
        steps.forward(x, None, valid, reset, noise)
        store(0 if run.reverse else n - 1, d_s_T)
        return steps.backward(d_h, d_s_T, valid, need_d_x)


def level(name: str, layer: Recurrent, watched: Watched, valid: NDArray[np.bool_], d: bool) -> Level:
    """Return what a run, and its way back, have left."""
    run, n = watched.run, watched.run.n
    own = slice(0, n) if run.reverse else slice(1, n + 1)
    names = layer.cell.state._fields

    def host(array: Array) -> Host:
        """Return (n, H, B) as (N, T, H), 0 past the ends."""
        values = to_numpy(array).transpose(2, 0, 1)
        whole = np.zeros((*valid.shape, values.shape[2]), dtype=values.dtype)
        whole[:, :n] = np.where(valid[:, :n, None], values, 0)
        return whole

    states = {field: host(values[own, ...]) for field, values in zip(names, run.states, strict=True)}
    gates: dict[str, Host] = {}
    for plan in plans(layer.cell):
        planes = [run.memory.gates[:n, g, ...] for g in plan.kept]
        planes += [run.memory.extra[:n, e, ...] for e in plan.extra]
        gates |= {gate: host(plane) for gate, plane in zip(plan.pair.keeps, planes, strict=True)}
    gradient = dict(zip(names, map(host, watched.gradient), strict=True)) if d else None
    params = Params(*[_to_host(each) for each in run.params])
    return Level(name, layer, params, run.reverse, valid, states, gates, _bounds(layer), gradient)


def _to_host(value: Any) -> Any:
    """Return an array, a state of arrays, or None, on the host."""
    if isinstance(value, tuple):
        return type(value)(*map(to_numpy, value))
    return None if value is None else to_numpy(value)


def _bounds(layer: Recurrent) -> dict[str, tuple[float, float]]:
    """Return between which values gates and states stay."""
    match layer:
        case RNN():
            of = {"h": layer.nonlinearity}
        case GRU():
            gate, candidate = layer.activations
            of = {"r": gate, "z": gate, "n": candidate, "h": candidate}
        case LSTM():
            gate, candidate, output = layer.activations
            of = {"i": gate, "f": gate, "g": candidate, "o": gate, "tanh_c": output}
            if _name(gate) in ("sigmoid", "hard_sigmoid") and not layer.proj_size:
                of["h"] = output
        case _:
            of = {}
    return {name: BOUNDS[_name(spec)] for name, spec in of.items() if _name(spec) in BOUNDS}


def _name(spec: Any) -> str:
    """Return the name of an activation that may come with constants."""
    return spec if isinstance(spec, str) else str(spec[0])
