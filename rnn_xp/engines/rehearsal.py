"""What is to be known of a pair before it is compiled."""

from __future__ import annotations

import functools
from typing import NamedTuple

from rnn_xp.cells import Cell
from rnn_xp.engines import contract
from rnn_xp.engines.base import Plan
from rnn_xp.typing import Array, Namespace


class Rehearsal(NamedTuple):
    """What a pair has shown."""

    reads: tuple[bool, ...]  # which fields of s_prev get gradients of their own
    slopes: int  # how many partial derivatives there are


@functools.cache
def rehearse(cell: Cell, plan: Plan, *, xp: Namespace) -> Rehearsal:
    """Run the pair as it is on a few numbers, and check it."""
    pair = plan.pair

    def numbers(count: int, columns: int) -> list[Array]:
        return [xp.full((2, columns), 0.5, dtype=xp.float32) for _ in range(count)]

    state = cell.state(*numbers(len(cell.state._fields), 3))
    read, vectors = numbers(len(plan.gates) + len(plan.apart), 3), numbers(len(plan.vectors), 1)
    answer = pair.forward([*read, *vectors], state, xp=xp)
    contract.check_result(plan, len(state), read[: len(plan.gates)], answer)
    kept = [xp.astype(plane, xp.float32) for plane in answer[1]]  # as a run keeps them, conditions too
    slopes = pair.partials([*kept, *vectors], state, state, xp=xp)
    contract.check_slopes(slopes, (2, 3))
    answer = pair.chain_rule(xp=xp)(state if plan.last else state[0], slopes)
    contract.check_gradients(plan, len(state), (2, 3), answer)
    return Rehearsal(tuple(d is not None for d in answer[1]), len(slopes))
