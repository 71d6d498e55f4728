"""What all estimators share: the arguments of a network and of its training, and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.atomic import PathLike
from rnn_xp.backend import Backend
from rnn_xp.cells import Cell
from rnn_xp.data import Scaling, fit_scaling
from rnn_xp.estimators import saving
from rnn_xp.estimators.arguments import build, build_optimizer, build_schedule, draw_seed
from rnn_xp.estimators.base import Estimator
from rnn_xp.estimators.holdout import hold_back
from rnn_xp.estimators.inputs import Series, check_alike, check_names, column_names, read
from rnn_xp.initializers import Initializer
from rnn_xp.model import Sequential
from rnn_xp.optim import Optimizer
from rnn_xp.schedules import Schedule
from rnn_xp.train.fit import Epoch, Result, fit
from rnn_xp.train.predict import predict
from rnn_xp.typing import Tree

Floats = NDArray[np.float64]


@dataclass(kw_only=True, repr=False, eq=False)
class Network(Estimator):
    """A recurrent network with a linear map after it, trained by `rnn_xp.fit`."""

    cell: str | Cell = "gru"
    hidden_size: int = 64
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    scale: bool = True
    optimizer: str | Optimizer = "adam"
    learning_rate: float = 0.01
    schedule: str | Schedule | None = "cosine"
    clip_norm: float | None = 1.0
    batch_size: int = 16
    epochs: int = 50
    validation: float | None = None
    patience: int | None = None
    init: str | Initializer = "pytorch"
    backend: str | Backend | None = None
    dtype: str | None = None
    random_state: Any = None
    callbacks: Sequence[Callable[[Epoch], Any]] | Callable[[Epoch], Any] = ()
    verbose: bool = False

    _LEARNT: ClassVar[tuple[str, ...]] = (
        "scaling_",
        "best_epoch_",
        "seed_",
    )  # what a file holds beside model and params

    def save(self, path: PathLike) -> None:
        """Write the fitted estimator to one safetensors file, without pickle; `load` reads it.

        All is kept but `history_` and, of a forecaster, the series. `rnn_xp.load` reads the model in it.

        Raises
        ------
        TypeError
            If an argument is an object that a file cannot describe, such as a function; pickle can.
        ValueError
            If the estimator is not fitted (NotFittedError).
        OSError
            If the file cannot be written.
        """
        self._check_fitted()
        saving.save(path, self)

    @classmethod
    def load(
        cls, path: PathLike, backend: str | Backend | None = None, cells: Mapping[str, Cell] | None = None
    ) -> Self:
        """Return the estimator that `save` wrote.

        Parameters
        ----------
        path : str or path
        backend : str or Backend, optional
            Where the parameters shall live, as `rnn_xp.get_backend` takes it.
        cells : mapping of str to Cell, optional
            Cells of one's own by their names: a file names cells and never holds their code.

        Raises
        ------
        CheckpointError
            If the file is damaged, or holds something else than such an estimator.
        OSError
            FileNotFoundError, PermissionError or what else the system says.
        """
        return saving.load(path, cls, backend, cells)

    def _train(
        self, model: Sequential, X: Floats, y: NDArray[Any], seed: int, loss: str, **more: Any
    ) -> Result:
        """Train a model on series (N, T, C) with the arguments of this estimator."""
        return fit(
            model,
            X,
            y,
            loss=loss,
            optimizer=build_optimizer(self.optimizer, self.learning_rate),
            backend=self.backend,
            dtype=self.dtype,
            epochs=self.epochs,
            batch_size=self.batch_size,
            seed=seed,
            init=self.init,
            patience=self.patience,
            clip_norm=self.clip_norm,
            schedule=build_schedule(self, len(X)),
            callbacks=self.callbacks,
            verbose=self.verbose,
            **more,
        )

    def _keep(self, model: Sequential, result: Result, seed: int, scaling: Scaling | None) -> None:
        """Store what was learnt."""
        self.model_: Sequential = model
        self.params_: Tree = result.params
        self.history_: list[dict[str, Any]] = result.history
        self.best_epoch_: int = result.best_epoch
        self.seed_: int = seed
        self.scaling_: Scaling | None = scaling


@dataclass(kw_only=True, repr=False, eq=False)
class Supervised(Network):
    """A network with one answer for each series."""

    pooling: str = "max"
    layout: str = "NTC"
    epochs: int = 100

    _LEARNT: ClassVar[tuple[str, ...]] = (*Network._LEARNT, "n_features_in_", "feature_names_in_")

    def _learn(
        self,
        X: Any,
        series: Series,
        y: NDArray[Any],
        weights: Floats | None,
        *,
        loss: str,
        outputs: int,
        labels: NDArray[np.int64] | None = None,
        loss_weights: Floats | None = None,
    ) -> Scaling | None:
        """Split, scale, build, train and store; return the scaling of targets that are numbers."""
        seed, scale = draw_seed(self.random_state), checks.boolean("scale", self.scale)
        names, X, lengths = column_names(X), series.X, series.lengths
        rows: Any = slice(None)
        held = None
        if self.validation is not None:
            rows, held = hold_back(self.validation, len(X), seed, labels)
        for part, what in ((rows, "train on"), (held, "hold back for `validation`")):
            if part is not None and loss_weights is not None and not loss_weights[part].any():
                what_counts = (
                    "`sample_weight`" if labels is None else "`sample_weight`, times `class_weight`,"
                )
                must = f"{what_counts} must count a series among those to"
                msg = f"{must} {what}; got 0 for all {len(loss_weights[part])}."
                raise ValueError(msg)
        scaling = of_target = None
        if scale:
            own = _take(weights, rows)
            scaling = fit_scaling(X[rows].swapaxes(0, 1), _take(lengths, rows), weights=own)
            X = scaling.apply(X)
            if labels is None:
                of_target = fit_scaling(y[np.newaxis, rows], weights=own)
                y = of_target.apply(y)
        model = build(self, self.pooling, X.shape[2], outputs)
        result = self._train(
            model,
            X[rows],
            y[rows],
            seed,
            loss,
            lengths=_take(lengths, rows),
            weights=_take(loss_weights, rows),
            validation=None if held is None else tuple(_take(p, held) for p in (X, y, lengths, loss_weights)),
        )
        self._keep(model, result, seed, scaling)
        self.n_features_in_: int = series.features
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_: NDArray[np.object_] = names
        return of_target

    def _read_again(self, X: Any) -> Series:
        """Return series to answer to, of the features that were learnt from."""
        self._check_fitted()
        check_names(self, X)
        series = read(X, self.layout)
        check_alike(self, series)
        return series

    def _answer(self, series: Series, loss: str | None = None) -> NDArray[Any]:
        """Return the outputs of the model, or its probabilities, (N, K)."""
        scaled = series.X if self.scaling_ is None else self.scaling_.apply(series.X)
        return predict(self.model_, self.params_, scaled, lengths=series.lengths, loss=loss)


def _take(array: NDArray[Any] | None, rows: Any) -> NDArray[Any] | None:
    """Return rows of what may be None."""
    return None if array is None else array[rows]
