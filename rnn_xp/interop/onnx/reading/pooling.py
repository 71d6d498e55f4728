"""From the steps of a sequence to one vector: means, largest values, and steps that are chosen by a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnn_xp.interop.onnx.reading.elements import BLANK, LOW, OTHER, Call, Elements, Flow, Host, Names, moved
from rnn_xp.interop.onnx.reading.moves import reduced
from rnn_xp.layers import MaxPool, MeanPool

SUM = "a sum over the steps"


def reduction(call: Call) -> tuple[Names, ...]:
    """Read ReduceMean, ReduceMax, ReduceSum, and the global pools of (N, C, T)."""
    op, names = call.node.op, call.made(0)
    if op.startswith("Global"):
        axes, keep = tuple(range(2, names.ndim)), True
    else:
        axes, keep = (
            reduced(call.node, [names, *call.inputs[1:]]),
            bool(call.node.attributes.get("keepdims", 1)),
        )
    rest = [axis for axis in range(names.ndim) if axis not in axes]
    lead = [names.shape[axis] for axis in rest]
    fibres = names.transpose(*rest, *axes).reshape(int(np.prod(lead)), -1)
    shape = [1 if i in axes else size for i, size in enumerate(names.shape)] if keep else lead
    pooled: Names = _pooled(call.elements, op, fibres)
    return (pooled.reshape(shape),)


def _pooled(elements: Elements, op: str, fibres: Names) -> Any:
    """Return what comes of each fibre, (n,)."""
    flow = elements.owner(fibres)
    if op == "ReduceSum" and (fibres >= 0).sum(axis=1).max() == 1 and (fibres >= BLANK).all():
        return fibres.max(axis=1)  # the one that a mask left over
    places = _over_steps(
        elements, flow, fibres, {"ReduceMax": LOW, "GlobalMaxPool": LOW, "ReduceSum": BLANK}.get(op)
    )
    if op == "ReduceSum":
        out = elements.add((flow.shape[1], flow.shape[2]), SUM, parent=flow)
    else:
        out = elements.apply(flow, MaxPool() if "Max" in op else MeanPool(), ())
    return out.all[places]


def _over_steps(elements: Elements, flow: Flow, fibres: Names, filler: int | None) -> tuple[Any, ...]:
    """Return of which sequence and feature each fibre holds all valid steps, and else the filler alone."""
    if flow.signal is None or flow.signal.kind != "steps":
        msg = f"it goes over {flow.made}, which has no steps"
        raise ValueError(msg)
    best = fibres.max(axis=1)
    if best.min() < 0:
        msg = "it goes over padding alone"
        raise ValueError(msg)
    _, n, c = flow.local(best)
    valid = elements.example.valid
    wanted = np.where(valid[:, n], flow.all[:, n, c], BLANK)  # (T, n fibres)
    came = np.where(fibres >= 0, fibres, np.where(fibres == filler, BLANK, OTHER)).T  # a 0 may be the largest
    size = max(len(wanted), len(came))
    if not np.array_equal(_sorted(wanted, size), _sorted(came, size)):
        msg = f"it does not go over all valid steps, and them alone, of {flow.made}"
        raise ValueError(msg)
    return n, c


def _sorted(names: Names, size: int) -> Names:
    """Return columns of names in order, filled up to a size."""
    lacking = ((0, size - len(names)), (0, 0))
    return np.sort(np.pad(names, lacking, constant_values=BLANK), axis=0)


def mean(elements: Elements, names: Names, flow: Flow, values: Host, *, divide: bool) -> Names:
    """Return the names of a sum over the steps, divided by their number."""
    counts = np.asarray(elements.example.ends, dtype=np.float64)[flow.local(names)[0]]
    if (names < 0).any() or not np.allclose(values if divide else 1.0 / values, counts, rtol=1e-5):
        msg = "it does not divide the sum over the steps by their number"
        raise ValueError(msg)
    assert flow.parent is not None
    return moved(names, flow, elements.apply(flow.parent, MeanPool(), ()))
