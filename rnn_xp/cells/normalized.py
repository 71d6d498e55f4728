"""Layer normalisation (Ba, Kiros & Hinton 2016) of the pre-activations of any cell.

At each step, and for each sample by itself, the input parts ``W_ih x + b_ih`` of all gates together are
brought to mean 0 and variance 1 over the units, and so are the recurrent parts ``W_hh operand + b_hh``:

    a = gain_ih * normal(W_ih x + b_ih) + gain_hh * normal(W_hh operand + b_hh) + shift

The cell computes with a, by its own formula. A gate whose recurrent part comes apart, n of GRU, is normalised
by itself, as the paper has it, and has a second shift; where a pair cannot have the recurrent part of a gate
by itself, in the gates r and z of GRU with reset before, the sum of both is normalised. The memory c of an
LSTM is not: that the paper does as well, but it happens within the cell's formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from rnn_xp.cells.base import Cell, Formula, Pair, interned
from rnn_xp.typing import Array, Namespace

Planes = tuple[Array, ...]

EPSILON = 1e-5
"""What is added to the variance, as in PyTorch."""


@dataclass(frozen=True)
class Normalized(Formula):
    """A pair that normalises what it reads, and then does what another one does.

    Planes are counted as `forward` receives them: of the gates read, then the recurrent parts.
    """

    inner: Pair

    @cached_property
    def apart(self) -> tuple[str, ...]:
        """The gates whose recurrent part can come by itself: the last ones both read and multiplied for."""
        reads, operands = self.inner.reads, self.inner.operands
        count = 0
        while count < min(len(reads), len(operands)) and reads[-1 - count] == operands[-1 - count]:
            count += 1
        return reads[len(reads) - count :]

    @cached_property
    def groups(self) -> list[range]:
        """The planes that are normalised together."""
        R, A, own = len(self.inner.reads), len(self.apart), len(self.inner.apart)
        ends = [0, R - A, R - own, R, R + A - own, R + A]
        groups = [range(*around) for around in pairwise(ends)]
        return [group for group in groups if group]

    @cached_property
    def feeds(self) -> list[int]:
        """Of each plane, the one that it is added to among those that the inner pair receives."""
        R, A, own = len(self.inner.reads), len(self.apart), len(self.inner.apart)
        return [*range(R), *range(R - A, R - own), *range(R, R + own)]

    @cached_property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those of the gains, one a plane, and of the shifts, one a plane that the inner pair receives."""
        gains = [f"gain_ih_{gate}" if gate in self.apart else f"gain_{gate}" for gate in self.inner.reads]
        gains += [f"gain_hh_{gate}" for gate in self.apart]
        shifts = [f"shift_{gate}" for gate in self.inner.reads]
        return tuple(gains), (*shifts, *[f"shift_hh_{gate}" for gate in self.inner.apart])

    def forward(self, a: Planes, s_prev: Any, *, xp: Namespace) -> tuple[Any, Planes]:
        """Normalise, and return what the inner pair does; keep all that was read."""
        count = len(self.feeds)
        planes, gains, given = a[:count], a[count : 2 * count], list(a[2 * count :])
        normal, _ = self._normal(planes, xp=xp)
        for place, gain, each in zip(self.feeds, gains, normal, strict=True):
            given[place] = given[place] + gain * each  # what stands there first is the shift
        result, kept = self.inner.forward(given, s_prev, xp=xp)
        return result, (*planes, *kept)

    def partials(self, kept: Planes, s_prev: Any, s: Any, *, xp: Namespace) -> Planes:
        """Return the normalised planes, the gain and scale of each as one factor, and the inner partials."""
        count, shifts = len(self.feeds), len(self.names[1])
        end = count + len(self.inner.keeps)
        normal, scales = self._normal(kept[:count], xp=xp)
        slopes = [gain * scale for gain, scale in zip(kept[end : end + count], scales, strict=True)]
        own = (*kept[count:end], *kept[end + count + shifts :])
        return (*normal, *slopes, *self.inner.partials(own, s_prev, s, xp=xp))

    def backward(self, d_result: Any, planes: Planes, *, xp: Namespace) -> tuple[Planes, Any]:
        """Return the gradients of the planes, the gains, the shifts and the inner vectors, and of s_prev."""
        count = len(self.feeds)
        normal, slopes = planes[:count], planes[count : 2 * count]
        d_inner, d_s_prev = self.inner.backward(d_result, planes[2 * count :])
        d_a = [slope * d_inner[place] for slope, place in zip(slopes, self.feeds, strict=True)]
        d_gain = [each * d_inner[place] for each, place in zip(normal, self.feeds, strict=True)]
        for group in self.groups:
            centre = _mean([d_a[k] for k in group], xp=xp)
            along = _mean([d_a[k] * normal[k] for k in group], xp=xp)
            for k in group:
                d_a[k] = d_a[k] - centre - normal[k] * along
        return (*d_a, *d_gain, *d_inner), d_s_prev

    def _normal(self, planes: Sequence[Array], *, xp: Namespace) -> tuple[list[Array], list[Array]]:
        """Return the planes with mean 0 and variance 1 in each group, and what each was multiplied by."""
        normal, scales = list(planes), list(planes)
        for group in self.groups:
            mean = _mean([planes[k] for k in group], xp=xp)
            centred = [planes[k] - mean for k in group]
            variance = _mean([each * each for each in centred], xp=xp)
            scale = 1.0 / xp.sqrt(variance + EPSILON)
            for k, each in zip(group, centred, strict=True):
                normal[k], scales[k] = each * scale, scale
        return normal, scales


def _mean(planes: Sequence[Array], *, xp: Namespace) -> Array:
    """Return the mean over the units of all these planes, (..., 1, B)."""
    mean: Array = sum(xp.mean(plane, axis=-2, keepdims=True) for plane in planes) / len(planes)
    return mean


def cell(inner: Cell) -> Cell:
    """Return a cell with its pre-activations normalised.

    Parameters
    ----------
    inner : Cell
        One of `rnn_xp.cells`, or your own.

    Examples
    --------
    >>> from rnn_xp.cells import rnn
    >>> cell(rnn.TANH).name, cell(rnn.TANH).vectors
    ('layer_norm(rnn_tanh)', ('gain_ih_a', 'gain_hh_a', 'shift_a'))
    """

    def pair(inner: Pair) -> Pair:
        formula: Normalized = interned(Normalized, inner)
        gains, shifts = formula.names
        begin = inner.vectors_0 or (None,) * len(inner.vectors)
        return inner._replace(
            forward=formula.forward,
            partials=formula.partials,
            backward=formula.backward,
            apart=formula.apart,
            keeps=(*[f"a_{k}" for k in range(len(formula.feeds))], *inner.keeps),
            vectors=(*gains, *shifts, *inner.vectors),
            vectors_0=((1.0,) * len(gains) + (0.0,) * len(shifts) + begin),
            columnwise=True,
        )

    return inner._replace(name=f"layer_norm({inner.name})", pairs=tuple(map(pair, inner.pairs)))
