"""What may happen to the state between two steps: resets, zoneout, and dropout of the recurrent connection.

A step then takes and gives memory of its own, and the state goes from one to the next through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnn_xp.engines import Engine
from rnn_xp.sequence.params import Noise
from rnn_xp.typing import Array, Namespace


class Between:
    """What a run calls around its steps.

    Parameters
    ----------
    earlier, later : states, by step
        The states that the run passes on: before a step, and after it.
    s_prev, s : state of (T, P or H, B)
        What a step takes, and what it gives.
    operand : array (T, P or H, B)
        What W_hh meets.
    start : sequence of (P or H, 1) or (P or H, B)
        The state at the beginning of a sequence.
    engine : Engine
    """

    def __init__(
        self,
        earlier: Sequence[Any],
        later: Sequence[Any],
        s_prev: Any,
        s: Any,
        operand: Array,
        start: Sequence[Array],
        engine: Engine,
        *,
        xp: Namespace,
    ) -> None:
        steps = range(len(earlier))
        self.earlier, self.later, self.start, self.engine, self.xp = earlier, later, start, engine, xp
        self.before, self.after = (
            [type(s)(*[f[t, ...] for f in state]) for t in steps] for state in (s_prev, s)
        )
        self.operands = [operand[t, ...] for t in steps]
        self.reset: Array | None = None
        self.noise = Noise()

    def enter(self, t: int) -> None:
        """Give step t the state before it: a new one where a sequence begins."""
        for place, old, start in zip(self.before[t], self.earlier[t], self.start, strict=True):
            place[...] = old if self.reset is None else self.xp.where(self.reset[t, :], start, old)
        h, drop = self.before[t][0], self.noise.drop
        self.operands[t][...] = h if drop is None else h * drop

    def leave(self, t: int) -> None:
        """Pass on what step t gave; zoneout keeps some of the state before it (Krueger et al. 2016)."""
        for i, (place, new, old) in enumerate(zip(self.later[t], self.after[t], self.before[t], strict=True)):
            keep = None if self.noise.keep is None else self.noise.keep[i]
            if keep is None:
                place[...] = new
            elif isinstance(keep, float):
                place[...] = (1.0 - keep) * new + keep * old
            else:
                place[...] = self.xp.where(keep[t, ...], old, new)

    def leave_back(self, t: int, d_s: Sequence[Any]) -> tuple[list[Any], list[Any] | None]:
        """Return the gradients of what step t gave, and those that zoneout passes to the state before it."""
        if self.noise.keep is None:
            return list(d_s), None
        through, past = [], []
        for d, keep in zip(map(self.engine.value, d_s), self.noise.keep, strict=True):
            if isinstance(keep, float):
                through.append((1.0 - keep) * d)
                past.append(keep * d)
            else:
                through.append(self.xp.where(keep[t, ...], 0.0, d))
                past.append(self.xp.where(keep[t, ...], d, 0.0))
        return through, past

    def enter_back(
        self, t: int, d_s: Sequence[Any], d_start: list[Array] | None
    ) -> tuple[list[Any], list[Array] | None]:
        """Return the gradients of the state before a reset, and d_start with what goes to the beginning."""
        if self.reset is None:
            return list(d_s), d_start
        where, reset = self.xp.where, self.reset[t, :]
        values = [self.engine.value(d) for d in d_s]
        own = [where(reset, d, 0.0) for d in values]
        if d_start is not None:
            own = [total + d for total, d in zip(d_start, own, strict=True)]
        return [where(reset, 0.0, d) for d in values], own

    def operand_back(self, d: Any) -> Any:
        """Return the gradient of h from that of what W_hh met."""
        return d if self.noise.drop is None else self.engine.value(d) * self.noise.drop
