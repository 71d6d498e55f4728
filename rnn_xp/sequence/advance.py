"""A run of one step that goes on from where it ended: what a stream repeats."""

from __future__ import annotations

from collections.abc import Callable

from rnn_xp.sequence.params import Noise
from rnn_xp.sequence.run import Run
from rnn_xp.typing import Array


def advance(run: Run, noise: Noise) -> Callable[[Array], Array]:
    """Return read(x (B, D)) -> h (B, H or P), a view, which goes one step on from `run.last`.

    The parameters must not change meanwhile.
    """
    run.load_weight()
    if run.between is not None:
        run.between.noise = noise
    ((_, x, a),) = run.parts(1)
    place, weight, multiply, steps = run.place_x[0, ...].T, run.weight, run.engine.multiply, run.steps
    first, last = run.slots
    states = list(zip(first, last, strict=True))
    h: Array = last[0].T

    def read(own: Array) -> Array:
        place[...] = own
        for before, after in states:
            before[...] = after
        multiply(weight, x, a)
        for step in steps:
            step(0)
        return h

    return read
