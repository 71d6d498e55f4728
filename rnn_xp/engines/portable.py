"""The portable engine: array operations of the standard, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rnn_xp.engines import contract
from rnn_xp.engines.base import (
    Backward,
    Forward,
    Gradients,
    Memory,
    Stage,
    kept_places,
    planes,
    rows,
)
from rnn_xp.typing import Array, Namespace


class Portable:
    """Runs a cell's functions as they are, on every library."""

    part = 16384  # in the cache

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp

    def forward_step(
        self,
        stage: Stage,
        memory: Memory,
        operand: Array,
        outs: Sequence[Array],
    ) -> Forward:
        """Add the product to a as one block, then call the pair on the planes of its gates."""
        plan, matrix, bias, vectors = stage
        xp, forward, apart = self.xp, plan.pair.forward, len(plan.apart)
        T, _, H, _ = memory.gates.shape
        merged, size = rows(plan.merged, H), H * len(plan.merged)
        read = [own + vectors for own in planes(memory.gates, plan.gates)]
        blocks = [memory.a[t, merged, :] for t in range(T)]
        operands = [operand[t, ...] for t in range(T)]
        s_prev = [type(memory.s_prev)(*[field[t, ...] for field in memory.s_prev]) for t in range(T)]
        places = [[out[t, ...] for out in outs] for t in range(T)]
        steps = list(zip(blocks, operands, read, s_prev, places, kept_places(plan, memory), strict=True))
        own_gates, count = len(plan.gates), range(len(plan.pair.keeps))
        checked = False

        def step(t: int) -> None:
            nonlocal checked
            block, operand, given, before, out, places = steps[t]
            if apart:
                product = matrix @ operand
                block += product[:size, :]
                product = product[size:, :]
                if bias is not None:
                    product += bias
                parts = [product[k * H : (k + 1) * H, :] for k in range(apart)]
                given = given[:own_gates] + parts + given[own_gates:]
            else:
                block += matrix @ operand
            answer = forward(given, before, xp=xp)
            if not checked:
                contract.check_result(plan, len(before), given[:own_gates], answer)
                checked = True
            result, kept = answer
            for i in count:  # an index loop: in Python, the cheapest way through one to five planes
                places[i][...] = kept[i]
            if len(out) == 1:
                out[0][...] = result[0] if isinstance(result, tuple) else result
            else:
                for place, value in zip(out, result, strict=True):
                    place[...] = value

        return step

    def hold(self, s_prev: Sequence[Any], s: Sequence[Any]) -> Callable[[int, Array], None]:
        """Choose field by field."""
        where = self.xp.where

        def hold(t: int, keep: Array) -> None:
            for new, old in zip(s[t], s_prev[t], strict=True):
                new[...] = where(keep, new, old)

        return hold

    def backward_step(
        self,
        stage: Stage,
        memory: Memory,
        d: Gradients,
        parts: Sequence[slice],
        d_result: Sequence[Array],  # noqa: ARG002
        d_operand: Array,  # noqa: ARG002
    ) -> tuple[Callable[[int], None], Backward]:
        """Compute the partial derivatives of a part's steps at once; the chain rule is left for the steps."""
        plan, matrix, _, vectors = stage
        xp, pair, transposed = self.xp, plan.pair, matrix.T
        n, _, H, B = d.gates.shape
        places = planes(d.gates, plan.gates)
        separate = d.a_h is not d.a
        count = range(len(plan.gates) + len(plan.apart) + len(plan.vectors))
        if separate:
            merged = rows(plan.merged, H)
            copies = [(d.a[t, merged, :], d.a_h[t, merged, :]) for t in range(n)]
            further = planes(d.gates_h, plan.apart)
            places = [own + more for own, more in zip(places, further, strict=True)]
        if plan.vectors:
            shares = planes(d.vectors, plan.vectors)
            places = [own + more for own, more in zip(places, shares, strict=True)]
        operands = rows(plan.operands, H)
        views = [(d.a_h[t, operands, :], own) for t, own in enumerate(places)]

        def given(part: slice) -> tuple[Any, ...]:
            kept = [memory.gates[part, g, ...] for g in plan.kept]
            kept += [memory.extra[part, e, ...] for e in plan.extra]
            around = (memory.s_prev, memory.s)
            s_prev, s = (type(state)(*[field[part, ...] for field in state]) for state in around)
            return kept + vectors, s_prev, s, part

        inputs = [given(part) for part in parts]
        slopes: list[tuple[Array, ...]] = []  # of every step of the part
        start = 0
        checked = False

        def begin(i: int) -> None:
            nonlocal slopes, start
            kept, s_prev, s, part = inputs[i]
            start = part.start
            whole = pair.partials(kept, s_prev, s, xp=xp)
            steps = range(part.stop - part.start)
            if not checked:
                contract.check_slopes(whole, (len(steps), H, B))
            slopes = list(zip(*[[plane[i, ...] for i in steps] for plane in whole], strict=True))

        backward, state = pair.chain_rule(xp=xp), type(memory.s)

        def step(t: int, d_result: Sequence[Any]) -> tuple[Array, Sequence[Any]]:
            nonlocal checked
            i = t - start
            answer = backward(state(*d_result) if plan.last else d_result[0], slopes[i])
            if not checked:
                contract.check_gradients(plan, len(memory.s), (H, B), answer)
                checked = True
            d_planes, d_direct = answer
            block, own = views[i]
            for k in count:
                own[k][...] = d_planes[k]
            if separate:
                source, target = copies[i]
                target[...] = source
            return transposed @ block, d_direct

        return begin, step

    def release(self, fields: Sequence[Array]) -> Callable[[int, Array, Sequence[Any]], tuple[Any, Any]]:  # noqa: ARG002
        """Choose field by field."""
        where = self.xp.where

        def release(t: int, keep: Array, d_s: Sequence[Any]) -> tuple[Any, Any]:  # noqa: ARG001
            return [where(keep, d, 0.0) for d in d_s], [where(keep, 0.0, d) for d in d_s]

        return release

    def multiply(self, matrix: Array, x: Array, out: Array) -> None:
        """Multiply, and copy."""
        out[...] = matrix @ x

    def plus(self, d: Array, more: Array, out: Array) -> Array:  # noqa: ARG002
        """Add."""
        return d + more

    def value(self, d: Any) -> Array:
        """Return it: every gradient is an array here."""
        own: Array = d
        return own
