"""Forecasts of series, by windows of what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks
from rnn_xp.data import fit_scaling
from rnn_xp.data.sliding import as_channels, sliding_windows
from rnn_xp.estimators.arguments import build, draw_seed
from rnn_xp.estimators.holdout import hold_back_end
from rnn_xp.estimators.inputs import are_several
from rnn_xp.estimators.network import Floats, Network
from rnn_xp.estimators.size import check_size
from rnn_xp.train.predict import predict


class Backtest(NamedTuple):
    """Forecasts from every origin in a series, beside those that need no model."""

    origins: NDArray[np.int64]  # (N,): how many steps of the series are known
    truth: Floats  # (N, horizon, C)
    forecasts: dict[str, Floats]  # "model", "last" and "seasonal": (N, horizon, C)
    mean_absolute_error: dict[str, Floats]  # of the same, for each step ahead: (horizon,)
    root_mean_squared_error: dict[str, Floats]


@dataclass(kw_only=True, repr=False, eq=False)
class RNNForecaster(Network):
    """A recurrent network that reads the last steps of a series and forecasts the next, all at once.

    Parameters
    ----------
    window : int
        Steps that are read.
    horizon : int
        Steps that are forecast.
    relative : bool
        Whether a window and what follows it are counted from the window's last value: for series whose level
        drifts. A network whose outputs are 0 then forecasts that value.
    scale : bool
        Whether each channel is divided by its deviation, and unless `relative` shifted by its mean, both in
        the windows of the training part, to which `validation` does not belong.
    validation : float, optional
        A share of each series, its end, to hold back; the weights of the epoch that is best on it are kept.
        No window that is trained on reaches into it.
    cell, hidden_size, num_layers, bidirectional, dropout
    optimizer, learning_rate, schedule, clip_norm, batch_size, epochs, patience
    init, backend, dtype, random_state, callbacks, verbose
        As in `RNNClassifier`.

    Attributes
    ----------
    scaling_ : Scaling or None
        What windows are scaled by before `model_` reads them, and forecasts scaled back by.
    n_channels_ : int
    model_, params_, history_, best_epoch_, seed_
        As in `RNNClassifier`.

    Notes
    -----
    A series is an array (T, C), or (T,) for a single channel; several are a list of them. Every value must be
    finite: fill what is missing first.

    With scikit-learn, `GridSearchCV(RNNForecaster(...), grid, cv=TimeSeriesSplit())` goes by `score`.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> series = np.sin(np.arange(200) / 5)
    >>> forecaster = rx.RNNForecaster(window=20, horizon=3, hidden_size=16, epochs=10, random_state=0)
    >>> forecaster = forecaster.fit(series)
    >>> bool(np.abs(forecaster.predict() - np.sin(np.arange(200, 203) / 5)).max() < 0.1)
    True
    """

    window: int = 24
    horizon: int = 1
    relative: bool = True

    _LEARNT: ClassVar[tuple[str, ...]] = (*Network._LEARNT, "n_channels_")

    def fit(self, series: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Learn to go on with a series, or with each of several.

        Parameters
        ----------
        series : array (T, C) or (T,), or list of them
        y : ignored; it is there for scikit-learn

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If an argument, here or of the constructor, is not as described. What was learnt before is kept.
        FloatingPointError
            If the training diverges.
        """
        window, horizon = checks.integer("window", self.window), checks.integer("horizon", self.horizon)
        seed, scale = draw_seed(self.random_state), checks.boolean("scale", self.scale)
        known = _read(series, window + horizon)
        parts, tails = known, None
        if self.validation is not None:
            pairs = [hold_back_end(self.validation, each, window, horizon) for each in known]
            parts, tails = [known for known, _ in pairs], [tail for _, tail in pairs]
        X, target = self._windows(parts)
        scaling = fit_scaling(X.swapaxes(0, 1)) if scale else None
        if scaling is not None and self.relative:
            scaling = scaling._replace(mean=np.zeros_like(scaling.mean))  # the last value stays 0

        def ready(X: Floats, target: Floats) -> tuple[Floats, Floats]:
            if scaling is not None:
                X, target = scaling.apply(X), scaling.apply(target)
            return X, target.reshape(len(target), -1)

        C = X.shape[2]
        model = build(self, "last", C, horizon * C)
        held = None if tails is None else ready(*self._windows(tails))
        result = self._train(model, *ready(X, target), seed, "squared_error", validation=held)
        self._keep(model, result, seed, scaling)
        self.n_channels_: int = C
        several = are_several(series)
        self._ends = [np.array(each[-window:]) for each in map(np.asarray, series if several else [series])]
        self._several = several
        return self

    def predict(self, series: Any = None) -> Any:
        """Return the steps that follow a series.

        Parameters
        ----------
        series : array (T, C) or (T,), or list of them, optional
            What is known, at least `window` steps; by default what `fit` was given.

        Returns
        -------
        array (horizon, C) or (horizon,), as the series is; or list of them

        Raises
        ------
        TypeError, ValueError
            If `series` is not as described, or the estimator is not fitted (NotFittedError), or came from a
            file, which keeps no series, and none is given.
        """
        self._check_fitted()
        several, given = are_several(series), series
        if series is None:
            if not hasattr(self, "_ends"):
                msg = "`series` must be given to a forecaster from a file, which keeps none; got None."
                raise ValueError(msg)
            several, given = self._several, self._ends
        items = list(given) if several or series is None else [given]
        known = self._known(items, self.window)
        answers = self._forecast(np.stack([each[-self.window :] for each in known]))
        shaped = [y[:, 0] if np.ndim(item) == 1 else y for y, item in zip(answers, items, strict=True)]
        return shaped if several else shaped[0]

    def backtest(self, series: ArrayLike, season: int | None = None, stride: int = 1) -> Backtest:
        """Forecast from every origin in a series, with what is known by then; nothing is learnt anew.

        Parameters
        ----------
        series : array (T, C) or (T,)
            To test what comes after the training: `rnn_xp.data.split_series(whole, held, window)[1]`.
        season : int, optional
            Steps of a season, at most `window`: beside the model and the last value, forecast the value one
            season earlier.
        stride : int
            Steps from one origin to the next.

        Returns
        -------
        Backtest

        Raises
        ------
        TypeError, ValueError
            As in `predict`; or if `season` is longer than `window`.
        """
        self._check_fitted()
        (known,) = self._known([series], self.window + self.horizon)
        X, truth = sliding_windows(known, self.window, self.horizon, stride)
        ahead = np.arange(self.horizon)
        forecasts = {"model": self._forecast(X), "last": np.repeat(X[:, -1:], self.horizon, axis=1)}
        if season is not None:
            season = checks.integer("season", season, 1, self.window)
            forecasts["seasonal"] = X[:, self.window - season + ahead % season]
        error = {name: truth - each for name, each in forecasts.items()}
        return Backtest(
            self.window + checks.integer("stride", stride) * np.arange(len(X)),
            truth,
            forecasts,
            {name: np.abs(each).mean(axis=(0, 2)) for name, each in error.items()},
            {name: np.sqrt((each**2).mean(axis=(0, 2))) for name, each in error.items()},
        )

    def score(self, series: Any, y: Any = None) -> float:  # noqa: ARG002
        """Return 1 - the squared error over that of the last value as the forecast: above 0 it is better.

        Every window in the series, or in each of a list, counts alike; errors as in `predict`.
        """
        self._check_fitted()
        items = list(series) if are_several(series) else [series]
        pairs = [
            sliding_windows(each, self.window, self.horizon)
            for each in self._known(items, self.window + self.horizon)
        ]
        X, truth = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        naive = np.sum((truth - X[:, -1:]) ** 2)
        if naive == 0:
            msg = "`series` must change: the last value forecasts a constant without an error."
            raise ValueError(msg)
        return float(1.0 - np.sum((truth - self._forecast(X)) ** 2) / naive)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks to be told."""
        from sklearn.utils import InputTags

        tags = self._tags(required=False)
        tags.input_tags = InputTags(one_d_array=True)
        return tags

    def _windows(self, known: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Return the windows of all series and what follows each, less its last value where `relative`."""
        pairs = [sliding_windows(each, self.window, self.horizon) for each in known]
        X, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        if not checks.boolean("relative", self.relative):
            return X, y
        last = X[:, -1:]
        return X - last, y - last

    def _forecast(self, X: Floats) -> Floats:
        """Return what follows windows (N, window, C): (N, horizon, C)."""
        last = X[:, -1:] if self.relative else np.zeros(1)
        X = X - last
        scaling = self.scaling_
        y = predict(self.model_, self.params_, X if scaling is None else scaling.apply(X))
        steps: Floats = y.reshape(len(X), -1, self.n_channels_).astype(np.float64)
        return (steps if scaling is None else steps * scaling.std + scaling.mean) + last

    def _known(self, items: Sequence[Any], least: int) -> list[Floats]:
        """Return series of as many channels as in `fit`."""
        known = [_one(item, least) for item in items]
        for each in known:
            if each.shape[1] != self.n_channels_:
                must = f"`series` must have C = {self.n_channels_} channels, as in `fit`"
                msg = f"{must}; got shape {each.shape}."
                raise ValueError(msg)
        return known


def _read(series: Any, least: int) -> list[Floats]:
    """Return one series, or several, as arrays (T, C) of one C and of at least so many steps."""
    known = [_one(item, least) for item in (series if are_several(series) else [series])]
    if len({each.shape[1] for each in known}) > 1:
        msg = f"`series` must all have one C; got shapes {', '.join(str(each.shape) for each in known)}."
        raise ValueError(msg)
    return known


def _one(series: ArrayLike, least: int) -> Floats:
    """Return a series (T, C) of finite float64, of at least so many steps."""
    array = as_channels("series", series).astype(np.float64)
    if len(array) < least or array.shape[1] == 0:
        msg = f"`series` must have at least {least} steps of a channel, here; got shape {array.shape}."
        raise ValueError(msg)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        step, channel = bad[0].tolist()
        came = f"{array[step, channel]} at step {step}, channel {channel}"
        msg = f"`series` must be finite; got {came}. Fill what is missing first."
        raise ValueError(msg)
    check_size("series", array, "(t, c)")
    return array
