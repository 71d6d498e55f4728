"""Where in a run through time the numbers stop being finite: the step, the sample and the gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_xp import tree
from rnn_xp.backend import to_numpy
from rnn_xp.layers import Context, Recurrent
from rnn_xp.random import Rng
from rnn_xp.sequence import Params
from rnn_xp.typing import Array, Namespace, Tree

Host: TypeAlias = NDArray[Any]


class Place(NamedTuple):
    """What stopped being finite, and where in the batch, as far as it can be told; `str` puts it in words."""

    what: str
    step: int | None = None
    sample: int | None = None
    squares: float = 0.0  # where all is finite but the step of the optimiser: of the norm of the gradient

    @property
    def finite(self) -> bool:
        """Whether all is, and only the step of the optimiser is not."""
        return self.squares > 0

    def __str__(self) -> str:
        """Write, for example: gate f of layer 0, LSTM(3, 4), became nan at step 17 of sample 5."""
        step = "" if self.step is None else f" at step {self.step}"
        sample = "" if self.sample is None else f" {'of' if step else 'in'} sample {self.sample}"
        return self.what + step + sample


def in_run(
    name: str, layer: Recurrent, p: Params, x: Array, state: Tree, rng: Rng | None, context: Context
) -> Place:
    """Find the step at which one direction of one level stops: halve, and go on from the state before."""
    xp, T = context.xp, x.shape[0]
    low, high, after = 0, T, None
    while after is None or high - low > 1:
        middle = max(low + 1, (low + high) // 2)
        own = slice(T - middle, T - low) if layer.reverse else slice(low, middle)
        state = _begun(p, state, T - low if layer.reverse else low, context)
        y, state_T, _ = layer.run((p,), x[own, ...], state, _window(context, rng, own))
        if middle == high or not finite((y, state_T), xp=xp):
            high, after = middle, state_T
        else:
            low, state = middle, state_T
    t = T - 1 - low if layer.reverse else low
    fields = {key: to_numpy(field[0, ...]) for key, field in zip(after._fields, after, strict=True)}
    sample = int(np.argmax(np.any([~np.isfinite(field).all(axis=-1) for field in fields.values()], axis=0)))

    state = _begun(p, state, T - low if layer.reverse else low, context)
    h = None if p.state_0 is None else to_numpy(p.state_0.h)
    h = h if state is None else to_numpy(state.h[0, sample, ...])
    a = _preactivations(layer, p, to_numpy(x[t, sample, ...]), h)
    gates = {gate: own for gate, own in a.items() if not np.isfinite(own).all()}
    if gates:
        what = f"{several('gate', list(gates))} of {name}, became {kind(*gates.values())}"
        return Place(what, t, sample)
    wrong = {key: field[sample] for key, field in fields.items() if not np.isfinite(field[sample]).all()}
    return Place(f"the state {' and '.join(wrong)} of {name}, became {kind(*wrong.values())}", t, sample)


def _begun(p: Params, state: Tree, t: int, context: Context) -> Tree:
    """Return the state with which a run goes on: that of a beginning, where a sequence begins at step t."""
    xp, reset = context.xp, context.reset
    if state is None or reset is None or t == reset.shape[0]:
        return state
    begins = reset[t, :][None, :, None]
    starts = [0.0] * len(state) if p.state_0 is None else p.state_0
    return type(state)(*[xp.where(begins, start, field) for start, field in zip(starts, state, strict=True)])


def _window(context: Context, rng: Rng | None, own: slice) -> Context:
    """Return the context of some of the steps."""
    valid, reset = context.valid, context.reset
    if rng is not None and (valid is None or valid.times is None):
        rng = rng._replace(time=rng.time + own.start)
    return context._replace(
        valid=None if valid is None else valid.cut(own),
        rng=rng,
        reset=None if reset is None else reset[own, :],
    )


def _preactivations(layer: Recurrent, p: Params, x: Host, h: Host | None) -> dict[str, Host]:
    """Return W_ih x + b + W_hh h of one step of one sample, (H,) a gate; h is met by the first pair alone."""
    a: Host = to_numpy(p.weight_ih) @ x
    for bias in (p.bias_ih, p.bias_hh):
        a = a if bias is None else a + to_numpy(bias)
    gates, H = layer.cell.gates, layer.hidden_size
    met = H * len(layer.cell.pairs[0].operands)
    if h is not None:
        a[:met] += to_numpy(p.weight_hh)[:met] @ h
    return dict(zip(gates, a.reshape(len(gates), H), strict=True))


def finite(value: Tree, *, xp: Namespace) -> bool:
    """Say whether every number of a tree is finite."""
    return all(bool(xp.all(xp.isfinite(leaf))) for leaf in tree.leaves(value))


def kind(*arrays: Host) -> str:
    """Say what stands where numbers should be."""
    return "nan" if any(np.isnan(array).any() for array in arrays) else "inf"


def several(what: str, names: Sequence[str]) -> str:
    """Write "gate f" or "gates i, f"."""
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"
