"""Asking an adapter, and telling what its answers mean.

Sums of the same terms in another order, as a batch of another size or order brings, differ by tens of eps
relative to the largest value of the tensor; a fault of the kind looked for moves it by a hundredth and more.
In between lies the limit, `EQUAL` eps: below it a thing has not changed, above it it has.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnn_xp.verify.adapters.protocol import Adapter, Host
from rnn_xp.verify.report import FAILED, PASSED, SKIPPED, Finding, measured
from rnn_xp.verify.suite.data import Answer, Case, Gap, check_y, distance, largest, worst

EQUAL = 1000.0
MOST = 0.05  # for half precision, of which 1000 eps would allow anything
STEPS, BATCH = 7, 4
LENGTHS = (4, 7, 1, 5)  # neither sorted nor all of them short; none is 0, which not every library takes


class UnansweredError(Exception):
    """A property cannot be measured: the adapter raised, or gave nothing to compare."""


class Probe:
    """An adapter, the cases that it can take, and the scale of its answers."""

    def __init__(self, adapter: Adapter, seed: int, tolerance: float | None) -> None:
        self.adapter = adapter
        self.input_gradient: Any = getattr(adapter, "input_gradient", None)
        self.random = np.random.default_rng(seed)
        self.full = Case("all steps", self.draw(STEPS, BATCH, adapter.input_size))
        y, state = adapter.forward(self.full.x.copy(), None, None)  # what raises here, raises as it is
        check_y(y, self.full.x)
        self.shape, self.per_step = y.shape, y.ndim == 3
        self.eps = max(float(np.finfo(each).eps) for each in (adapter.dtype, y.dtype))
        self.limit = min(EQUAL * self.eps, MOST) if tolerance is None else tolerance
        self.scales = [largest(part) for part in (y, *(state or ()))]
        self.padded: Case | None = None
        self.cases = [self.full]
        if adapter.takes_lengths:
            self.padded = self.full._replace(name="with lengths", lengths=LENGTHS)
            self.cases.append(self.padded)
        self.stateless = list(self.cases)
        if adapter.takes_state:
            state_0 = tuple(self.draw(*part.shape) for part in state or ())
            last = self.cases[-1]
            self.cases.append(last._replace(name=f"{last.name} and a state", state_0=state_0))

    def draw(self, *shape: int) -> Host:
        """Return normal numbers in the adapter's dtype."""
        return self.random.standard_normal(shape).astype(self.adapter.dtype)

    # asking

    def run(self, case: Case, forward: Any = None) -> Answer:
        """Return the answer to a case, from the adapter or from another `forward`."""
        with answering(case):
            own = case.each(np.copy)
            y, state = (forward or self.adapter.forward)(own.x, array(case.lengths), own.state_0)
            check_y(y, case.x)
        y = np.where(case.valid, y, 0) if y.ndim == 3 else np.array(y)
        return Answer(y, tuple(np.array(part) for part in state or ()))

    def gradient(self, case: Case, d_y: Host) -> Host:
        """Return d_x of ``sum(y * d_y)``."""
        with answering(case):
            d_x = self.input_gradient(case.x.copy(), d_y.copy(), array(case.lengths))
        if d_x.shape != case.x.shape:
            msg = f"d_x has shape {d_x.shape}, and x {case.x.shape}"
            raise UnansweredError(msg)
        return np.array(d_x)

    # telling

    def gap(self, answer: Answer, expected: Answer) -> Gap:
        """Return the largest difference, relative to the largest value of its tensor in the first answer."""
        counts = len(answer.state), len(expected.state)
        if counts[0] != counts[1]:
            return Gap(np.inf, f"state_T has {counts[0]} parts, and {counts[1]} in another call")
        names = ["y", *(f"state_T[{i}]" for i in range(len(expected.state)))]
        pairs = zip((answer.y, *answer.state), (expected.y, *expected.state), strict=True)
        return worst(distance(*p, s, n) for p, s, n in zip(pairs, self.scales, names, strict=False))

    def unchanged(self, subject: str, gaps: Iterable[Gap], hint: str = "") -> Finding:
        """Return the finding on gaps that must not be there."""
        gap = worst(gaps)
        detail = "" if gap.value <= self.limit else "; ".join(filter(None, (gap.where, hint)))
        return measured("", subject, gap.value, self.limit, "relative", detail)

    def changed(self, subject: str, gaps: Iterable[Gap], hint: str = "") -> Finding:
        """Return the finding on gaps that must all be there: the least of them."""
        gap = worst(Gap(-gap.value, gap.where) for gap in gaps)
        good = -gap.value > self.limit
        detail = "; ".join(filter(None, (gap.where, f"must be above {self.limit:.3g}", hint)))
        outcome = PASSED if good else FAILED
        return Finding("", subject, outcome, -gap.value, None, "relative", "" if good else detail)


def skipped(subject: str, reason: str) -> Finding:
    """Return the finding of what does not apply."""
    return Finding("", subject, SKIPPED, detail=reason)


def refused(subject: str, error: UnansweredError) -> Finding:
    """Return the finding of data that a library openly refuses (NaN, no steps): that is no wrong number."""
    return skipped(subject, f"refused: {error}")


def array(lengths: tuple[int, ...] | None) -> Host | None:
    """Return lengths as adapters take them."""
    return None if lengths is None else np.array(lengths, dtype=np.int64)


@contextmanager
def answering(case: Case) -> Iterator[None]:
    """Tell what the adapter raises as `UnansweredError`, and let it compute with NaN and 1e30 in peace."""
    try:
        with np.errstate(all="ignore"):
            yield
    except Exception as error:
        words = re.sub("\x1b[^m]*m", "", f"{type(error).__name__}: {error}")  # without colours
        msg = textwrap.shorten(f"{case.name}: it raises {words}", 160, placeholder=" ...")
        raise UnansweredError(msg) from error
