"""A model that follows a live feed: one step at a time, its state in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rnn_xp import checks, tree
from rnn_xp.backend import namespace
from rnn_xp.layers import Context, Dropout, Embedding, LastStep, Layer, Linear, Recurrent, Residual
from rnn_xp.sequence import Run, advance
from rnn_xp.typing import Array, Namespace, Tree

CHUNK = 64
"""Steps of a chunk that are run at once."""


class Stream:
    """A model in the middle of its sequences; `Sequential.stream` makes it.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> model, backend = rx.Sequential(rx.GRU(3, 16), rx.Linear(16, 2)), rx.get_backend("numpy")
    >>> stream = model.stream(model.init(backend), batch_size=4)
    >>> for _ in range(100):
    ...     y = stream.step(backend.asarray([[0.1, 0.2, 0.3]] * 4))
    >>> y.shape, stream.state[0].h.shape
    ((4, 2), (1, 4, 16))
    """

    def __init__(self, model: Layer, params: Tree, batch_size: int) -> None:
        batch = checks.integer("batch_size", batch_size)
        model.check_params(params)
        self._leaves = tree.leaves(params)
        if not self._leaves:
            msg = f"`model` must have parameters, which say where it is computed; got {model!r}."
            raise ValueError(msg)
        self._xp = xp = namespace(params=self._leaves)
        self._model, self._params, self._batch = model, params, batch
        like = self._leaves[0]
        part = _part(model, params, batch, {"dtype": like.dtype, "device": like.device}, xp=xp)
        self._run, self._chunk, self._state, self._restart = part
        kind, size, _ = model.intake
        self._shape = (batch, size) if kind == "steps" else (batch,)
        # an x that is of these, and of this shape, needs no closer look; tokens always do
        self._kind, self._dtype = type(like) if kind == "steps" else None, like.dtype
        self._device = like.device
        self._restart(None)

    def step(self, x: Array) -> Array:
        """Read one step of every sequence, and return the outputs after it.

        Parameters
        ----------
        x : array
            (B, D), in the dtype of the parameters; tokens (B,) are integers, whose values are looked at.

        Returns
        -------
        y : array (B, K)
            What `forward` gives at this step of the whole sequences; the caller's own.
        """
        if (
            type(x) is not self._kind
            or x.shape != self._shape
            or x.dtype != self._dtype
            or x.device != self._device
            or getattr(x, "requires_grad", False)
        ):
            x = self._checked(x)
        return self._run(x)

    def run(self, x: Array) -> Array:
        """Read several steps of every sequence at once, and return the outputs after each of them.

        Parameters
        ----------
        x : array
            (T, B, D), or tokens (T, B), as `step` takes them.

        Returns
        -------
        y : array (T, B, K)
            On NumPy with the bits of as many calls of `step`, or of any other chunks; the caller's own.
        """
        x = self._checked_steps(x)
        if x.shape[0] == 0:
            msg = "`x` must have at least one step; got T = 0."
            raise ValueError(msg)
        return self._chunk(x)

    @property
    def state(self) -> Tree:
        """The state after the last step, in the form that `forward` takes and returns; a copy."""
        return self._state()

    def reset(self, state: Tree | None = None) -> None:
        """Begin anew, from zero or from a state in the form of `state`, which is copied."""
        if state is not None:
            namespace(params=self._leaves, state=tree.leaves(state))
            self._model.check_state(self._params, state, self._batch, "state")
        self._restart(state)

    def _checked(self, x: Array) -> Array:
        """Return x as a plain array if it is one step of the feed."""
        namespace(params=self._leaves, x=x)
        letters = ", ".join("BD"[: len(self._shape)])
        checks.shape("x", x, letters, self._shape, "A stream reads one step: there is no axis of time.")
        return self._checked_steps(x[None, ...])[0, ...]

    def _checked_steps(self, x: Array) -> Array:
        """Return x as a plain array if it is steps of the feed."""
        namespace(params=self._leaves, x=x)
        if x.device != self._device:
            msg = f"`x` must be on {self._device}, as the parameters are; got {x.device}. Move it there."
            raise ValueError(msg)
        if getattr(x, "requires_grad", False):
            msg = "`x` must not require gradients; got a tensor that does. A stream gives none: x.detach()."
            raise ValueError(msg)
        checks.shape("x", x, ", ".join("TBD"[: len(self._shape) + 1]), (None, *self._shape))
        self._model.check(self._params, x, xp=self._xp)
        return self._xp.asarray(x)  # type: ignore[no-any-return]


class _Part(NamedTuple):
    """A layer at work: functions that share its memory."""

    step: Callable[[Array], Array]  # (B, D) or (B,) to (B, K), which nothing writes to later
    chunk: Callable[[Array], Array]  # (T, B, D) or (T, B) to (T, B, K), with the bits of T steps
    state: Callable[[], Tree]  # a copy
    restart: Callable[[Tree | None], None]  # from a state; None is the beginning


def _part(layer: Layer, params: Tree, batch: int, new: dict[str, Any], *, xp: Namespace) -> _Part:
    """Put a layer to work."""
    match layer:
        case Recurrent(causal=True):
            return _recurrent(layer, params, batch, new, xp=xp)
        case Linear() | Embedding():
            context = Context(xp)
            return _stateless(lambda x: layer.run(params, x, None, context)[0], xp=xp)
        case Dropout() | LastStep(reverse_size=0):
            return _Part(lambda x: x, lambda x: x, lambda: (), lambda state: None)  # noqa: ARG005
        case Residual(layer=inner):
            own = _part(inner, params, batch, new, xp=xp)
            return own._replace(step=lambda x: x + own.step(x), chunk=lambda x: x + own.chunk(x))
        case Layer(layers=(_, *_) as layers):
            return _row([_part(*own, batch, new, xp=xp) for own in zip(layers, params, strict=True)])
    must = "`model` must answer at each step from what it has read, to be streamed"
    way_out = "Take LastStep and layers that run forward, or call `forward` on whole sequences."
    msg = f"{must}; got {layer!r}, which needs whole sequences. {way_out}"
    raise ValueError(msg)


def _stateless(step: Callable[[Array], Array], *, xp: Namespace) -> _Part:
    """Return a part that remembers nothing."""

    def chunk(x: Array) -> Array:
        return xp.stack([step(x[t, ...]) for t in range(x.shape[0])])  # type: ignore[no-any-return]

    return _Part(step, chunk, lambda: (), lambda state: None)  # noqa: ARG005


def _row(parts: Sequence[_Part]) -> _Part:
    """Return parts in a row as one."""
    steps, chunks = [part.step for part in parts], [part.chunk for part in parts]

    def step(x: Array) -> Array:
        for each in steps:
            x = each(x)
        return x

    def chunk(x: Array) -> Array:
        for each in chunks:
            x = each(x)
        return x

    def restart(state: Tree | None) -> None:
        for i, part in enumerate(parts):
            part.restart(None if state is None else state[i])

    return _Part(step, chunk, lambda: tuple(part.state() for part in parts), restart)


def _recurrent(layer: Recurrent, params: Tree, batch: int, new: dict[str, Any], *, xp: Namespace) -> _Part:
    """Return a stack of runs of one step, each of which goes on from its own last state."""
    noises = [layer.noise(None, i, 1, batch, new, Context(xp)) for i in range(layer.runs)]
    options: dict[str, Any] = {**new, "reverse": False, "between": noises[0].keep is not None, "xp": xp}

    def opened(steps: int) -> list[Run]:
        return [Run(layer.cell, p, steps, batch, **options) for p in params]

    runs = opened(1)
    longer: list[Run] = []  # of CHUNK steps, made when a chunk comes
    states = [run.slots[1] for run in runs]
    reads = [advance(run, noise) for run, noise in zip(runs, noises, strict=True)]
    shape, empty = (batch, layer.output_size), xp.empty

    def step(x: Array) -> Array:
        for read in reads:
            x = read(x)
        y: Array = empty(shape, **new)
        y[...] = x
        return y

    def chunk(x: Array) -> Array:
        longer.extend(() if longer else opened(CHUNK))
        y: Array = empty((x.shape[0], *shape), **new)
        for start in range(0, x.shape[0], CHUNK):
            part = slice(start, min(start + CHUNK, x.shape[0]))
            flow = xp.permute_dims(x[part, ...], (0, 2, 1))
            for run, noise, state in zip(longer, noises, states, strict=True):
                flow = run.forward(flow, state, None, noise=noise)
                for place, field in zip(state, run.last(), strict=True):
                    place[...] = field
            y[part, ...] = xp.permute_dims(flow, (0, 2, 1))
        return y

    def state() -> Tree:
        fields = [empty((len(runs), *field.shape[::-1]), **new) for field in states[0]]
        for i, own in enumerate(states):
            for field, part in zip(fields, own, strict=True):
                field[i, ...] = part.T
        return layer.cell.state(*fields)

    def restart(state: Tree | None) -> None:
        for i, (run, own) in enumerate(zip(runs, states, strict=True)):
            for k, (place, start) in enumerate(zip(own, run.start(), strict=True)):
                place[...] = start if state is None else state[k][i, ...].T

    return _Part(step, chunk, state, restart)
