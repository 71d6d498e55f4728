"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks, tree
from rnn_xp.backend import Backend, get_backend
from rnn_xp.initializers import Initializer
from rnn_xp.model import LOSSES, Sequential
from rnn_xp.optim import Adam, Optimizer
from rnn_xp.schedules import Schedule
from rnn_xp.train import options
from rnn_xp.train.batches import Batches
from rnn_xp.train.predict import evaluate_prepared
from rnn_xp.train.prepare import prepare
from rnn_xp.train.progress import Progress
from rnn_xp.train.result import Epoch as Epoch
from rnn_xp.train.result import Result as Result
from rnn_xp.train.step import Stepper
from rnn_xp.train.validation import hold_back
from rnn_xp.typing import Tree

_SHUFFLE = 1  # what a seed is used for besides the weights; 2 is the validation split

_IN_ONE_SUM = 256  # losses


def fit(
    model: Sequential,
    X: Any,
    y: Any,
    *,
    loss: str = "cross_entropy",
    optimizer: Optimizer | None = None,
    backend: str | Backend | None = None,
    dtype: str | None = None,
    layout: str = "NTC",
    lengths: Any = None,
    weights: Any = None,
    epochs: int = 10,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    init: str | Initializer = "pytorch",
    params: Tree | None = None,
    validation: float | Sequence[Any] | None = None,
    patience: int | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    schedule: Schedule | None = None,
    callbacks: Sequence[Callable[[Epoch], Any]] | Callable[[Epoch], Any] = (),
    verbose: bool = True,
) -> Result:
    """Train a model by mini-batch gradient descent with exact back-propagation through time.

    Parameters
    ----------
    model : Sequential
    X : array (N, T, C), in the order of `layout`; tokens (N, T); or a list of N sequences (T_i, C) or (T_i,)
        Host data; floats (T_i,) are a single channel. It is checked, converted to `dtype` and moved to the
        device once.
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
    weights : array (N,), or (N, T) where the model gives an output a step, optional
        What the losses count for. The loss of a batch is the weighted mean over its valid steps.
    epochs, batch_size : int
    shuffle : bool
        A new order every epoch, drawn from `seed` and the epoch alone.
    seed : int
        Of the weights, the order, the validation split and the dropout masks.
    init : str or Initializer
        How weights begin, unless `params` are given.
    validation : float, (X, y), (X, y, lengths), (X, y, lengths, weights) or Dataset, optional
        A share of the sequences to hold back, with their weights, or a set of its own. Its loss, which the
        weights count in, decides which epoch is the best; its other scores count every sequence once.
    patience : int, optional
        Stop after so many epochs without a better validation loss (without validation: loss).
    clip_norm, clip_value : float, optional
        Clip the gradient by its global norm, or every component.
    schedule : function of the step, optional
        Factor of the learning rate; see `rnn_xp.schedules`.
    callbacks : functions of an Epoch, or one
        Called after every epoch; one that returns something true ends the training.
    verbose : bool
        Write a line an epoch, and a live one on a terminal.

    Returns
    -------
    Result

    Raises
    ------
    FloatingPointError
        If the loss, its gradient or a step stops being finite, which the weights never saw; or if the
        validation loss does.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> data = rx.data.sign_of_sum(200, seed=0)
    >>> model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    >>> result = rx.fit(model, data.X, data.y, optimizer=rx.Adam(0.03), epochs=5, verbose=False)
    >>> result.history[-1]["loss"] < 0.3
    True
    """
    options.check_model(model)
    backend = get_backend(backend, dtype=dtype)
    chosen = LOSSES[checks.one_of("loss", loss, LOSSES)]
    optimizer = Adam() if optimizer is None else optimizer
    options.check_optimizer(optimizer)
    options.check_schedule(schedule)
    callbacks = options.all_callbacks(callbacks)
    shuffle, verbose = checks.boolean("shuffle", shuffle), checks.boolean("verbose", verbose)
    epochs, batch_size = checks.integer("epochs", epochs), checks.integer("batch_size", batch_size)
    seed = checks.integer("seed", seed, 0, 2**32 - 1)
    limits: dict[str, Any] = {
        name: None if value is None else checks.number(name, value, open_low=True)
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value))
    }
    patience = None if patience is None else checks.integer("patience", patience)

    ready = partial(prepare, model, loss=chosen, dtype=backend.precision)
    data = ready(X, y, layout=layout, lengths=lengths, weights=weights)
    data, held = hold_back(validation, data, ready, layout, seed)
    if params is None:
        params = model.init(backend, seed, init)
    else:
        options.check_params(model, params)
        params = tree.map(backend.asarray, params)

    batches = Batches(data, backend, batch_size)
    limits["readings"] = len(batches)
    stepper = Stepper(model, params, chosen, optimizer, backend, seed=seed, schedule=schedule, **limits)
    progress = Progress(epochs, len(batches), enabled=verbose)
    history: list[dict[str, Any]] = []
    best, best_epoch, best_params = math.inf, 0, None
    train_seconds = 0.0
    for epoch in range(1, epochs + 1):
        lr = stepper.lr
        order = None
        if shuffle:
            order = np.random.default_rng([seed, epoch, _SHUFFLE]).permutation(batches.count)
        with np.errstate(all="ignore"):  # of overflow `_check_finite` tells what matters, and where
            mean_loss, norm, seconds = _one_epoch(stepper, batches, order, epoch, progress)
        train_seconds += seconds
        record = {
            "epoch": epoch,
            "loss": mean_loss,
            "gradient_norm": norm,
            "lr": lr,
            "seconds": seconds,
            "sequences_per_second": batches.count / seconds,
        }
        if held is not None:
            with np.errstate(all="ignore"):
                scores = evaluate_prepared(model, stepper.params, held, loss, backend)
            if not math.isfinite(scores["loss"]):
                msg = f"the validation loss is {scores['loss']} after epoch {epoch}. Lower the learning rate."
                raise FloatingPointError(msg)
            record |= {f"val_{name}": value for name, value in scores.items() if isinstance(value, float)}
        history.append(record)
        score = record.get("val_loss", mean_loss)
        improved = score < best
        if improved:
            best, best_epoch = score, epoch
        keeps_best = held is not None or patience is not None
        if keeps_best and improved:
            best_params = stepper.snapshot()
        progress.epoch(record, "best" if keeps_best and improved else "")
        asked = [callback(Epoch(record, stepper.snapshot(), improved)) for callback in callbacks]
        waited = epoch - best_epoch
        if any(asked) or (patience is not None and waited >= patience):
            break
    if best_params is None:
        best_epoch, best_params = len(history), stepper.snapshot()
    return Result(best_params, history, best_epoch, train_seconds)


def _one_epoch(
    stepper: Stepper, batches: Batches, order: NDArray[np.int64] | None, epoch: int, progress: Progress
) -> tuple[float, float, float]:
    """Step through the batches; return the mean loss, the mean norm of the gradient and the seconds."""
    start = time.perf_counter()
    sums: list[Any] = [0.0]  # of the losses; several, since one float32 would stop counting in a long epoch
    norm_sum: Any = 0.0
    total = 0.0
    done = 0
    for place, batch in enumerate(batches.in_order(order), 1):
        if batch.total == 0.0:  # nothing in it counts, and momentum must not move the weights for it
            continue
        loss, norm = stepper.step(batch)
        sums[-1] = sums[-1] + (loss if batch.total == 1.0 else loss * batch.total)
        norm_sum = norm_sum + norm
        total += batch.total
        done += 1
        if done % _IN_ONE_SUM == 0:
            sums.append(0.0)
        if progress.live and progress.due():  # at most five times a second: to read is to wait
            rate = min(place * batches.batch_size, batches.count) / (time.perf_counter() - start)
            progress.batch(epoch, place, sum(map(float, sums)) / total, rate)
            _check_finite(stepper, epoch, len(batches))
    mean_loss = sum(map(float, sums)) / total
    _check_finite(stepper, epoch, len(batches))
    return mean_loss, float(norm_sum) / done, time.perf_counter() - start


def _check_finite(stepper: Stepper, epoch: int, batches: int) -> None:
    """Stop where a step was not finite, and name it."""
    bad = stepper.first_bad()
    if bad is not None:
        msg = (
            f"the loss, its gradient or the step stopped being finite in epoch {epoch}, at batch "
            f"{bad % batches + 1} of {batches}; it never reached the weights. Lower the learning rate, or "
            "clip the gradient (`clip_norm`)."
        )
        raise FloatingPointError(msg)
