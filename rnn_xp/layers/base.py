"""What every layer is: an immutable description with one interface.

`forward` and `backward` are the public face: they find the namespace, check what came, and hand on to `run`
and `run_back`, which check nothing. A layer without state has the state ().
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from rnn_xp import checks, tree
from rnn_xp.backend import Backend, get_backend, namespace
from rnn_xp.initializers import Initializer, Spec, draw, generator, resolve
from rnn_xp.layers.marks import key, recompute_of, reset_of, valid_of
from rnn_xp.layers.summary import Summarised
from rnn_xp.random import Rng
from rnn_xp.sequence import Valid
from rnn_xp.typing import Array, Namespace, Tree


class Signal(NamedTuple):
    """What flows between two layers of a model."""

    kind: str  # "tokens" (T, B), "steps" (T, B, size) or "vector" (B, size)
    size: int | None  # features
    reverse: int = 0  # of these, the last ones, which run against time

    def __str__(self) -> str:
        return self.kind if self.size is None else f"{self.kind} of {self.size}"


class Context(NamedTuple):
    """What a run goes by, besides its arguments."""

    xp: Namespace
    valid: Valid | None = None  # None: no padding
    rng: Rng | None = None  # None: nothing is dropped
    memory: dict[Any, Any] | None = None  # a training loop lets layers keep their buffers, by their params
    states: bool = True  # False: states, and their gradients, are left out
    steps: bool = True  # False: a recurrent layer leaves out y, only its last state is wanted
    reset: Array | None = None  # (T, B) bool, True where a new sequence begins
    recompute: bool | int | None = None  # what is kept for the way back: True sqrt(T) steps, or so many bytes


class Tape(NamedTuple):
    """What `Layer.backward` needs from `Layer.forward`."""

    kept: Any  # what the layer's own run kept
    shape: tuple[int, ...]  # of y
    valid: Valid | None


class Layer(Summarised, ABC):
    """A differentiable map with parameters and, perhaps, a state."""

    streams = 0
    """How many independent dropout masks it draws."""

    runs = 0
    """How many runs through time it makes."""

    causal = False
    """Whether it answers at each step from what it has read: it can be streamed, and its BPTT truncated."""

    pools = False
    """Whether it makes one vector of a sequence."""

    layers: tuple[Layer, ...] = ()
    """Of a row of layers, what it is made of."""

    # what a layer tells of itself

    @property
    def intake(self) -> Signal:
        """What comes in: steps of so many features (None: any number), or tokens of so many kinds."""
        return Signal("steps", None)

    @abstractmethod
    def connect(self, signal: Signal | None) -> tuple[Layer, Signal]:
        """Return this layer fitted to what comes in (None: anything), and what goes out."""

    def spec(self) -> Tree:
        """Return the tree of its parameters' shapes and roles."""
        return ()

    def config(self) -> dict[str, Any]:
        """Return the arguments that build it again, as JSON values, with its type."""
        names = inspect.signature(type(self)).parameters
        return {"type": type(self).__name__, **{name: _json(getattr(self, name)) for name in names}}

    def __repr__(self) -> str:
        """Write the call that builds it, without what stands at its default."""
        signature = inspect.signature(type(self)).parameters
        shown = []
        for name, value in self.config().items():
            if name == "type" or value == _json(signature[name].default):
                continue
            plain = signature[name].default is inspect.Parameter.empty
            shown.append(str(value) if plain else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def init(self, backend: Backend, seed: int = 0, init: str | Initializer = "pytorch") -> Tree:
        """Draw parameters on the host and move them to the backend.

        Parameters
        ----------
        backend : Backend
        seed : int
            The same seed gives the same parameters on every backend.
        init : {"pytorch", "glorot", "orthogonal", "tutorial"} or Initializer

        Returns
        -------
        params : tree of arrays, in the backend's dtype
        """
        checks.kind("backend", backend, Backend, "a Backend, as rnn_xp.get_backend gives it")
        rng = generator(seed)
        initializer = resolve(init)

        def one(spec: Spec) -> Array:
            return backend.asarray(draw(initializer, spec, rng))

        return tree.map(one, self.spec())

    def explain(self, backend: str | Backend | None = None) -> str:
        """Say which engine runs each recurrent layer on this backend, and why; a line for each.

        Parameters
        ----------
        backend : str or Backend, optional
            As `get_backend` takes it.

        Examples
        --------
        >>> import rnn_xp as rx
        >>> print(rx.LSTM(3, 8).explain("numpy"))
        LSTM(3, 8): numpy engine, since what is pointwise in a step becomes ufunc calls that write in place
        """
        return "\n".join(self.engines(get_backend(backend).xp))

    def engines(self, xp: Namespace) -> list[str]:
        """Return the lines of `explain`."""
        return []

    # the public face

    def forward(
        self,
        params: Tree,
        x: Array,
        state_0: Tree | None = None,
        lengths: Sequence[int] | None = None,
        rng: Rng | None = None,
        *,
        mask: Any = None,
        reset: Any = None,
        recompute: bool | int | None = None,
    ) -> tuple[Array, Tree, Any]:
        """Compute the outputs, the last state and the tape that `backward` reads.

        Parameters
        ----------
        params : tree
            As `init` returns it.
        x : array
            (T, B, D), time-major, in the dtype of the parameters; tokens (T, B) are integers.
        state_0 : tree, optional
            The initial state, in the form of the last one; zero by default.
        lengths : list or host integer array (B,), optional
            Valid steps of every sequence, in any order. Past them y is 0, the state is carried, and what x
            holds is ignored.
        rng : Rng, optional
            The key of the dropout masks; without it nothing is dropped.
        mask : bool array (T, B), optional
            Valid steps in any pattern, instead of `lengths`.
        reset : bool array (T, B), optional
            True where a new sequence begins: the state before that step is the initial one. Against time, one
            begins at the step before. Not for a model that pools, which gives a row one vector.
        recompute : bool or int, optional
            Keep the states of about sqrt(T) steps, or so many bytes, and compute the rest again on the way
            back: the same numbers, in less memory, in more time.

        Returns
        -------
        y, state_T, tape
        """
        xp = namespace(params=tree.leaves(params), x=x, state_0=tree.leaves(state_0))
        self.check_params(params)
        axes = 2 if self.intake.kind == "tokens" else 3
        valid = valid_of(lengths, mask, x, axes, xp=xp)
        if reset is not None and self.pools:
            msg = f"`reset` must be None for a model that makes one vector of a row; got one for {self!r}."
            raise ValueError(msg)
        starts, kept_bytes = reset_of(reset, x, axes, xp=xp), recompute_of(recompute)
        x = blank(x, valid, xp=xp)
        self.check(params, x, xp=xp)
        if valid is None:
            x = xp.asarray(x, copy=True)  # the tape keeps it, and the caller may write to his own
        if state_0 is not None:
            self.check_state(params, state_0, x.shape[1])
        noise = None if rng is None else key(rng)
        context = Context(xp, valid, noise, reset=starts, recompute=kept_bytes)
        y, state_T, kept = self.run(params, x, state_0, context)
        return blank(y, valid, xp=xp) if y.ndim == 3 else y, state_T, Tape(kept, tuple(y.shape), valid)

    def backward(
        self, params: Tree, tape: Any, d_y: Array, d_state_T: Tree | None = None, need_d_x: bool = True
    ) -> tuple[Tree, Array | None, Tree]:
        """Return the derivatives of ``sum(y * d_y) + sum(state_T * d_state_T)``.

        Parameters
        ----------
        params, tape
            Those of `forward`.
        d_y : array
            Like y; ignored past the end of a sequence.
        d_state_T : tree, optional
            Like state_T; zero by default.
        need_d_x : bool
            Without it, d_x is None.

        Returns
        -------
        d_params, d_x, d_state_0
            In the form of params, x and state_0. The gradient of integer tokens is None.
        """
        xp = namespace(params=tree.leaves(params), d_y=d_y, d_state_T=tree.leaves(d_state_T))
        self.check_params(params)
        checks.kind("tape", tape, Tape, "the third of what `forward` returned")
        checks.shape("d_y", d_y, ", ".join("TBK"[3 - len(tape.shape) :]), tape.shape)
        self.check_dtype("d_y", params, d_y)
        if d_state_T is not None:
            self.check_state(params, d_state_T, tape.shape[-2], "d_state_T")
        d_y = blank(d_y, tape.valid, xp=xp) if d_y.ndim == 3 else d_y
        d_params, d_x, d_state_0 = self.run_back(params, tape.kept, d_y, d_state_T, need_d_x, xp=xp)
        return d_params, d_x, d_state_0

    def check_params(self, params: Tree) -> None:
        """Raise unless `params` has the form that `init` gives, in one floating dtype."""
        namespace(params=tree.leaves(params))
        wanted = {name: spec.shape for name, spec in tree.named_leaves(self.spec())}
        checks.params(self, wanted, dict(tree.named_leaves(params)))

    def check_dtype(self, name: str, params: Tree, array: Array) -> None:
        """Raise unless `array` has the dtype of the parameters."""
        leaves = tree.leaves(params)
        if leaves:
            way_out = "Convert it with `get_backend(name, dtype=...).asarray`, whose floats have that dtype."
            checks.dtype(name, array, leaves[0].dtype, way_out)

    # what a layer implements

    @abstractmethod
    def check(self, params: Tree, x: Array, *, xp: Namespace) -> None:
        """Raise unless `forward` can take this x."""

    def check_state(self, params: Tree, state: Tree, batch: int, name: str = "state_0") -> None:
        """Raise unless `state` is one of this layer for a batch of that size."""
        if not isinstance(state, tuple) or state:
            kind = type(self).__name__
            msg = f"`{name}` must be None or (): {kind} has no state; got {type(state).__name__}."
            raise TypeError(msg)

    def state_at(self, kept: Any, i: int) -> Tree:
        """Return a copy of the state after i of the steps of a run that kept this; of a causal layer."""
        return ()

    def kept_bytes(self, steps: int, batch: int, itemsize: int) -> int:
        """Return how many bytes its runs keep of a batch for the way back."""
        return 0

    @abstractmethod
    def run(self, params: Tree, x: Array, state_0: Tree | None, context: Context) -> tuple[Any, Tree, Any]:
        """Do the work of `forward`, on an x finite in its padding; return what `run_back` needs besides."""

    @abstractmethod
    def run_back(
        self, params: Tree, kept: Any, d_y: Array, d_state_T: Tree | None, need_d_x: bool, *, xp: Namespace
    ) -> tuple[Tree, Array | None, Tree]:
        """Do the work of `backward`, on a d_y that is 0 in its padding."""


def _json(value: Any) -> Any:
    """Return a value with its tuples as lists, as JSON would give it back."""
    return [_json(each) for each in value] if type(value) in (tuple, list) else value


def blank(x: Array, valid: Valid | None, *, xp: Namespace) -> Array:
    """Return x (T, B, D) or (T, B) with 0 in the padding, whatever stood there."""
    if valid is None:
        return x
    mask = valid.mask[:, :, None] if x.ndim == 3 else valid.mask
    blanked: Array = xp.where(mask, x, xp.zeros((), dtype=x.dtype, device=x.device))
    return blanked
