"""What a cell is: one or more pairs of pure pointwise functions.

At each step the sequence adds up, for every gate, its input part ``W_ih x + b`` and its recurrent
part ``W_hh operand``, and calls the pairs one after the other. All planes that a pair sees are (H, B): units
by samples.

    forward(a, s_prev, *, xp) -> (result, kept)
        a         the pre-activations of the gates that it reads, in order; then the recurrent parts of its
                  gates `apart`; then its vectors, (H, 1)
        s_prev    the state before the step
        result    the new state; or, if another pair follows, that pair's operand
        kept      the planes that the derivative will need, in the order of `keeps`

All of them are pure: an engine may run them once, keep what it saw, and never ask again. A number that they
read from elsewhere must not change; for another one, make another cell.

The derivative comes in two halves. What does not depend on the gradient, the engine computes for several
steps at once (the planes then have a leading axis of time); what is left in the sequential loop is the chain
rule, linear in d_result.

    partials(kept, s_prev, s, *, xp) -> planes
        kept      what forward kept, and then the pair's vectors
        s         the state after the step
        planes    the partial derivatives that `backward` multiplies by

    backward(d_result, planes) -> (d_a, d_s_prev)
        d_result  the gradient of what forward returned, in the same form
        d_a       the gradients of `a`, in its order; those of a vector as planes, which the engine sums
        d_s_prev  the gradient through s_prev where forward read it itself; None in a field that it did not

A pair that is `columnwise` mixes the units of a sample, over axis -2: its backward is given xp as well, and
the portable engine runs it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from rnn_xp.typing import Array, Namespace


class State(NamedTuple):
    """The state of a cell whose output is all that it remembers."""

    h: Array


class Pair(NamedTuple):
    """A pointwise function, its derivative, and which gates they read.

    Parameters
    ----------
    forward, partials, backward : functions
        As the module describes.
    reads : tuple of str
        The gates whose pre-activations `forward` receives.
    multiplies : tuple of str, optional
        The gates whose recurrent part is a product with this pair's operand; `reads`, unless another pair
        reads them. The first pair's operand is h, that of the next what the pair before it returned.
    apart : tuple of str
        Those of the last gates whose recurrent part ``W_hh operand + b_hh`` comes by itself, not added to the
        input part.
    keeps : tuple of str
        The names of the planes in `kept`.
    vectors : tuple of str
        The names of the parameters of a number for each unit that it reads, such as peepholes.
    vectors_0 : tuple of float or None
        What each of them begins with; None, or none at all: it is drawn.
    columnwise : bool
        Whether it mixes the units of a sample; its `backward` then takes `xp` too.
    """

    forward: Callable[..., tuple[Any, tuple[Array, ...]]]
    partials: Callable[..., tuple[Array, ...]]
    backward: Callable[..., tuple[tuple[Array, ...], Any]]
    reads: tuple[str, ...]
    multiplies: tuple[str, ...] | None = None
    apart: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    vectors_0: tuple[float | None, ...] = ()
    columnwise: bool = False

    @property
    def operands(self) -> tuple[str, ...]:
        """The gates that its operand is multiplied for."""
        return self.reads if self.multiplies is None else self.multiplies

    def chain_rule(self, *, xp: Namespace) -> Callable[[Any, Any], tuple[tuple[Array, ...], Any]]:
        """Return backward(d_result, planes), to be called in the loop over time."""
        return functools.partial(self.backward, xp=xp) if self.columnwise else self.backward


class Cell(NamedTuple):
    """A recurrent cell: everything that distinguishes it from another one.

    Parameters
    ----------
    name : str
        How files call it.
    pairs : tuple of Pair
    state : type
        A NamedTuple class whose first field, ``h``, is the output.
    projectable : bool
        Whether ``weight_hr`` may stand between the cell's output and h: true only of a cell of one pair that
        reads h through its products alone.
    """

    name: str
    pairs: tuple[Pair, ...]
    state: Any = State
    projectable: bool = False

    @property
    def gates(self) -> tuple[str, ...]:
        """The row blocks of the weights, in order."""
        return tuple(gate for pair in self.pairs for gate in pair.reads)

    @property
    def vectors(self) -> tuple[str, ...]:
        """The rows of the parameter `vectors`, (V, H), in order."""
        return tuple(name for pair in self.pairs for name in pair.vectors)

    @property
    def vectors_0(self) -> tuple[float | None, ...]:
        """What each of these rows begins with; None: it is drawn."""
        values = (pair.vectors_0 or (None,) * len(pair.vectors) for pair in self.pairs)
        return tuple(value for pair in values for value in pair)


@dataclass(frozen=True)
class Formula:
    """A formula with options, whose methods are the functions of a pair.

    There is one object for one choice of options, by `interned`: cells of equal options are equal, also after
    they have been pickled.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return interned, (type(self), *[getattr(self, field.name) for field in fields(self)])


@functools.cache
def interned(formula: type[Formula], *options: Any) -> Any:
    """Return the one formula with these options."""
    return formula(*options)


def titled(name: str, **options: Any) -> str:
    """Return the name of a cell with the options that are not usual: lstm(clip=3.0)."""
    given = ", ".join(f"{key}={value!r}" for key, value in options.items() if value not in (None, ()))
    return f"{name}({given})" if given else name


def check(cell: Any) -> Cell:
    """Return `cell` if its pairs fit together."""
    if not isinstance(cell, Cell):
        msg = f"`cell` must be a rnn_xp.Cell; got {type(cell).__name__}."
        raise TypeError(msg)
    if not all(isinstance(pair, Pair) for pair in cell.pairs):
        msg = f"`pairs` of `cell` must be rnn_xp.Pair; got {cell.pairs!r}."
        raise TypeError(msg)
    if not cell.pairs or getattr(cell.state, "_fields", ("",))[0] != "h":
        must = "at least one pair and a NamedTuple `state` whose first field is h"
        msg = f"`cell` must have {must}; got {cell}."
        raise ValueError(msg)
    if cell.projectable and len(cell.pairs) > 1:
        msg = (
            "`projectable` must be False for a cell of several pairs, whose products need all of h; got True."
        )
        raise ValueError(msg)
    operands = [pair.operands for pair in cell.pairs]
    multiplied = tuple(gate for gates in operands for gate in gates)
    if len(set(cell.gates)) != len(cell.gates) or multiplied != cell.gates:
        came = f"{cell.gates} and {multiplied}"
        msg = f"the pairs of `cell` must read and multiply every gate once, in one order; got {came}."
        raise ValueError(msg)
    if len(set(cell.vectors)) != len(cell.vectors):
        msg = f"`vectors` of a cell must have names of their own; got {cell.vectors}."
        raise ValueError(msg)
    for pair in cell.pairs:
        if len(pair.vectors_0) not in (0, len(pair.vectors)):
            msg = f"`vectors_0` of a pair must hold a value for each of {pair.vectors}; got {pair.vectors_0}."
            raise ValueError(msg)
    read = known = 0
    for pair, gates in zip(cell.pairs, operands, strict=True):
        read, known = read + len(pair.reads), known + len(gates)
        if read > known:
            msg = f"a pair of `cell` must read no gate that only a later pair multiplies; got {pair.reads}."
            raise ValueError(msg)
        if pair.apart and gates[-len(pair.apart) :] != pair.apart:
            msg = f"`apart` must be the last gates that the pair multiplies; got {pair.apart} of {gates}."
            raise ValueError(msg)
        if pair.apart and pair.reads[-len(pair.apart) :] != pair.apart:
            msg = f"`apart` must be the last gates that the pair reads; got {pair.apart} of {pair.reads}."
            raise ValueError(msg)
    return cell
