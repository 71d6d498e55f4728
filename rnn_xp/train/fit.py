"""Training: from the arguments to a model that has learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_xp import tree
from rnn_xp.atomic import PathLike
from rnn_xp.backend import Backend, get_backend
from rnn_xp.distributed import Communicator, get_communicator, together
from rnn_xp.initializers import Initializer
from rnn_xp.model import Sequential
from rnn_xp.optim import Optimizer
from rnn_xp.schedules import Schedule
from rnn_xp.train import options
from rnn_xp.train.faults.memory import explain_weights
from rnn_xp.train.feed.order import Order
from rnn_xp.train.feed.sets import sets
from rnn_xp.train.loop import progress
from rnn_xp.train.loop.policy import POLICIES
from rnn_xp.train.loop.result import Epoch as Epoch
from rnn_xp.train.loop.result import Result as Result
from rnn_xp.train.loop.step import Stepper
from rnn_xp.train.loop.training import Plan, Training
from rnn_xp.train.saving import keeper
from rnn_xp.train.saving.fingerprint import check_calls
from rnn_xp.typing import Tree


def fit(
    model: Sequential,
    X: Any,
    y: Any = None,
    *,
    loss: str = "cross_entropy",
    optimizer: Optimizer | None = None,
    backend: str | Backend | None = None,
    dtype: str | None = None,
    layout: str = "NTC",
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    weights: Any = None,
    epochs: int = 10,
    batch_size: int = 32,
    accumulate: int = 1,
    shuffle: bool = True,
    bucket: bool = False,
    truncate: int | Sequence[int] | None = None,
    recompute: bool | int = False,
    seed: int = 0,
    init: str | Initializer = "pytorch",
    params: Tree | None = None,
    validation: float | Sequence[Any] | None = None,
    patience: int | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    schedule: Schedule | None = None,
    nonfinite: str = "stop",
    checkpoint: PathLike | None = None,
    save_every: float = 60.0,
    resume: bool = False,
    extra: Mapping[str, Any] | None = None,
    distributed: str | Communicator | None = None,
    sharded: bool = False,
    blocks: int | None = None,
    callbacks: Sequence[Callable[[Epoch], Any]] | Callable[[Epoch], Any] = (),
    verbose: bool = True,
) -> Result:
    """Train a model by mini-batch gradient descent with back-propagation through time, exact or truncated.

    Parameters
    ----------
    model : Sequential
    X : array (N, T, C), in the order of `layout`; tokens (N, T); or a list of N sequences (T_i, C) or (T_i,)
        Host data; floats (T_i,) are a single channel. It is checked, converted to `dtype` and moved to the
        device once. Or `rx.data.Lanes`, for a model that predicts the next token: y is then None, each lane
        is a sequence, and `truncate` says how much of it is read at once.
    y : array
        For "cross_entropy" integer classes (N,), or (N, T) where the model gives an output a step; else
        numbers (N, K) or (N, T, K), with K = 1 left out at will. Its axes are in the order of `layout` too.
        Where X is a list, what belongs to its steps may be a list as well.
    loss : {"cross_entropy", "binary_cross_entropy", "squared_error", "huber"}
        From the model's raw outputs. "binary_cross_entropy" with K > 1 is the multi-label one.
    optimizer : default Adam(1e-3)
    backend, dtype
        As `get_backend` takes them; no dtype is that of a given Backend, else "float32".
    layout : {"NTC", "TNC", "NCT"}
    lengths : array (N,), optional
        Valid steps of every sequence; what X holds past them is ignored.
    mask : bool array (N, T), in the order of `layout`, optional
        Which steps are valid, in whatever pattern, instead of `lengths`. The others are as if not there.
    reset : bool array (N, T), in the order of `layout`, optional
        Where in its row a new sequence begins; for a model that gives an output a step. An array, also where
        X is a list.
    weights : array (N,), or (N, T) where the model gives an output a step, optional
        What the losses count for. The loss of a step is the weighted mean over its valid steps.
    epochs, batch_size : int
    accumulate : int
        Batches whose gradients are added up for a step: the same as batches so many times as large, in the
        memory of one.
    shuffle : bool
        A new order every epoch, drawn from `seed` and the epoch alone.
    bucket : bool
        Batches of sequences of similar length, in an order of their own: less padding.
    truncate : (k1, k2), or an int for both, optional
        Truncated back-propagation, for a model each of whose outputs comes from what it has read. Windows end
        at k1, 2 * k1, ... and at T, and each is a step: its loss is that of the steps since the last window's
        end, and its gradient goes back k2 >= k1 steps from its end, where the state is a constant.
    recompute : bool or int
        Keep about sqrt(T) steps for the way back, or so many bytes, which the model's layers and directions
        share, and compute the rest again: the same bits in less memory.
    seed : int
        Of the weights, the order, the validation split and the dropout masks.
    init : str or Initializer
        How weights begin, unless `params` are given.
    params : tree, optional
        Weights to begin with, as the model's `init` returns them; they are copied.
    validation : float, (X, y), (X, y, lengths), (X, y, lengths, weights) or Dataset, optional
        A share of the sequences to hold back, with their weights, or a set of its own. Its loss, which the
        weights count in, decides which epoch is the best; its other scores count every sequence once.
    patience : int, optional
        Stop after so many epochs without a better validation loss (without validation: loss).
    clip_norm, clip_value : float, optional
        Clip the gradient by its global norm, or every component.
    schedule : function of the step, optional
        Factor of the learning rate; see `rnn_xp.schedules`.
    nonfinite : {"stop", "skip", "rollback"}
        What becomes of a step whose loss, gradient or result is not finite; none reaches the weights. "stop":
        the training ends with an error that names the place. "skip": such a step is left out, of weights and
        optimiser alike, and counted in the history, and a state that it would carry on begins anew; each step
        then waits for the device. "rollback": the device is asked every 100 steps and at the end of an epoch;
        if one was not finite, weights and optimiser go back by these steps, and the next batches follow.
        Three rollbacks in a row, or an epoch of which no step is left, are an error.
    checkpoint : path, optional
        A file that holds everything: written at first, every `save_every` seconds, after each epoch, and when
        SIGINT or SIGTERM comes (in the main thread, unless you handle it: a second one stops at once). One
        that is there already is a ValueError, unless it is to be resumed.
    save_every : float
        Seconds.
    resume : bool
        Go on from `checkpoint`, with the arguments as they were (but for `recompute`, which changes no bit,
        `save_every` and what is shown): the result is, byte for byte, that of a training that was never
        interrupted. One that had finished gives its result again.
    extra : mapping, optional
        What else the checkpoint holds, in JSON values; `read_extra` returns it.
    distributed : {"mpi", "nccl"} or a communicator, optional
        The processes that train together, each of which makes this call: those that ``mpiexec`` started. They
        end with the weights that one process would have, but for rounding: `batch_size` counts the sequences
        of all. NCCL adds up on GPUs, one a process. The first one writes the lines and the checkpoint, and
        calls the `callbacks`.
    sharded : bool
        Each process has a part of the data: X, and what goes with it, a validation set too. Together they are
        the parts rank by rank. Without it each has all of them.
    blocks : int, optional
        Run the sequences of a step in blocks of so many, by their places in the step, and add up their
        gradients in pairs: the bits of the result are then the same for any number of processes, one too.
    callbacks : functions of an Epoch, or one
        Called after every epoch, before the checkpoint is written; one that returns something true ends the
        training.
    verbose : bool
        Write a line an epoch; in between, a live one on a terminal (drawn by rich where that is installed),
        and a bar in a notebook (by tqdm).

    Returns
    -------
    Result

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or not as it was when `checkpoint` was written.
    FloatingPointError
        If the loss, its gradient or a step stops being finite, which the weights never saw; or if the
        validation loss does.
    MemoryError
        If a batch takes more than there is; the message says what would fit.
    FileNotFoundError, CheckpointError, OSError
        If there is no `checkpoint` to go on from, if it is damaged, or if it cannot be read or written.
    RankError
        If another process of a distributed training cannot go on.
    KeyboardInterrupt, SystemExit
        If SIGINT or SIGTERM came, and the checkpoint holds everything.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> data = rx.data.sign_of_sum(200, seed=0)
    >>> model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> result = rx.fit(model, data.X, data.y, optimizer=rx.Adam(0.03), epochs=5, verbose=False)
    >>> result.history[-1]["loss"] < 0.3
    True
    """
    arguments = locals()
    ranks = get_communicator(distributed)
    with together(ranks):
        given = options.settle(arguments, ranks)
        backend = get_backend(backend, dtype=dtype)
    check_calls(given, backend.precision, ranks)
    data = sets(given, backend, ranks)
    slots = 1 if blocks is None else -(-min(given.batch_size * given.accumulate, data.source.count) // blocks)
    try:
        stepper = _stepper(given, backend, params, init, ranks, slots)
    except MemoryError as error:
        itemsize = np.dtype(backend.precision).itemsize
        raise explain_weights(error, model, itemsize, lambda: backend.free_memory) from None
    plan = Plan(
        data.source,
        Order(data.source.count, given.batch_size * given.accumulate, given.seed, shuffle, data.lengths),
        given.epochs,
        POLICIES[nonfinite](),
        progress.choose(given.epochs, len(data.source), enabled=verbose and ranks.rank == 0),
        data.score,
        given.patience,
        given.callbacks,
    )
    training = Training(plan, stepper)
    if given.checkpoint is None:
        return training.run()
    return keeper.run(training, given, data.fingerprint())


def _stepper(
    given: options.Given,
    backend: Backend,
    params: Tree | None,
    init: str | Initializer,
    ranks: Communicator,
    slots: int,
) -> Stepper:
    """Return the weights, drawn or given, and what moves them."""
    with together(ranks):
        if params is None:
            params = given.model.init(backend, given.seed, init)
        else:
            options.check_params(given.model, params)
            options.check_finite(params)
            params = tree.map(backend.asarray, params)
    return Stepper(
        given.model,
        params,
        given.loss,
        given.optimizer,
        backend,
        seed=given.seed,
        schedule=given.schedule,
        clip_norm=given.clip_norm,
        clip_value=given.clip_value,
        recompute=given.recompute,
        waits=given.nonfinite == "skip",
        ranks=ranks,
        slots=slots,
    )
