"""Targets that are numbers: learnt scaled, while the model that is kept answers in their own units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.backend import backend_of, to_numpy
from rnn_xp.cli.errors import naming
from rnn_xp.cli.job import Job
from rnn_xp.cli.ranks import together
from rnn_xp.cli.settings import Settings
from rnn_xp.cli.shards import fit_scaling
from rnn_xp.data import Dataset, Scaling
from rnn_xp.layers.linear import LinearParams
from rnn_xp.typing import Tree

SCALED = ("squared_error", "huber")
"""Losses of targets that are numbers of any size; those of others are probabilities or classes."""

COARSE = 0.01
"""Of a deviation: answers that can only be so far apart lose what there is to learn."""


def fit(job: Job, per_step: bool, settings: Settings) -> Job:
    """Return the job with what its targets are to be scaled by; they stay as they are."""
    about = job.about
    if about.outputs or about.loss not in SCALED:
        return job
    assert isinstance(job.train, Dataset)
    y, lengths = _components(job.targets, per_step), job.train.lengths if per_step else None
    K = y.shape[-1]
    names = [about.target] if K == 1 else [f"{about.target} {k}" for k in range(K)]
    steps = y.swapaxes(0, 1) if per_step else y[np.newaxis]
    source, parts, ranks = settings.own_data, settings.parts, settings.ranks
    scaling = settings.scalings[1]
    if scaling is None:
        scaling = fit_scaling(steps, lengths, names, source, parts, ranks)
    with together(ranks), naming(source):
        _check_size(scaling, about.dtype)
    return job._replace(about=replace(about, target_scaling=scaling))


def scale_job(job: Job, per_step: bool) -> Job:
    """Return the job with the targets that are learnt."""
    scaling = job.about.target_scaling
    if scaling is None:
        return job
    assert isinstance(job.train, Dataset)
    held = None if job.validation is None else scale(job.validation, scaling, per_step)
    return job._replace(train=scale(job.train, scaling, per_step), validation=held)


def scale(dataset: Dataset, scaling: Scaling | None, per_step: bool) -> Dataset:
    """Scale the targets."""
    if scaling is None or dataset.y is None:
        return dataset
    return dataset._replace(y=scaling.apply(_components(dataset.y, per_step)).reshape(dataset.y.shape))


def fold(params: Tree, scaling: Scaling | None) -> Tree:
    """Return the weights of a model that answers in the units of the targets, not in deviations."""
    return params if scaling is None else _mapped(params, scaling.std, scaling.mean)


def unfold(params: Tree, scaling: Scaling | None) -> Tree:
    """Undo `fold`, but for rounding."""
    return params if scaling is None else _mapped(params, 1 / scaling.std, -scaling.mean / scaling.std)


def in_words(scaling: Scaling, loss: str) -> str:
    """Say what losses are of."""
    if len(scaling.mean) > 1:
        by = "each by its mean and deviation"
    else:
        by = f"by mean {scaling.mean[0]:.4g} and deviation {scaling.std[0]:.4g}"
    of_mean = "; a loss of 1 is that of the mean for all" if loss == "squared_error" else ""
    return f"the targets are scaled, {by}: losses and errors of the epochs are in deviations{of_mean}"


def is_coarse(scaling: Scaling, dtype: str) -> bool:
    """Return whether numbers of this dtype lie too far apart, at the mean, for the deviation around it."""
    number = np.finfo(dtype)
    apart = np.maximum(number.eps * np.abs(scaling.mean), number.smallest_subnormal)
    return bool((apart > COARSE * scaling.std).any())


def _check_size(scaling: Scaling, dtype: str) -> None:
    """Refuse targets the squares of whose errors overflow."""
    size, most = float(np.max(np.abs(scaling))), float(np.sqrt(np.finfo(dtype).max))
    if size > most:
        way_out = ", or train with --dtype float64" if dtype == "float32" else ""
        msg = (
            f"the targets must be below {most:.2g} for {dtype}, which must hold squares of errors; "
            f"got a size of {size:.2g}. Scale them down{way_out}."
        )
        raise ValueError(msg)


def _components(y: NDArray[Any], per_step: bool) -> NDArray[Any]:
    """Return targets (N,), (N, K) or, a step each, (N, T) with an axis of components at the end."""
    return y[..., np.newaxis] if per_step or y.ndim == 1 else y


def _mapped(params: Tree, factor: NDArray[np.float64], shift: NDArray[np.float64]) -> Tree:
    """Return weights whose last layer, a Linear, answers `factor * y + shift`."""
    *others, last = params
    backend = backend_of(last.weight)
    weight, bias = (to_numpy(leaf).astype(np.float64) for leaf in last)
    mapped = (weight * factor[:, np.newaxis], bias * factor + shift)
    return (*others, LinearParams(*map(backend.asarray, mapped)))
