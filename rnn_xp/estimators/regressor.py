"""Numbers for series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from numpy.typing import ArrayLike, NDArray

from rnn_xp import checks
from rnn_xp.data import Scaling
from rnn_xp.estimators.inputs import Series, read
from rnn_xp.estimators.network import Supervised
from rnn_xp.estimators.scores import r2
from rnn_xp.estimators.targets import read_numbers, read_weights

LOSSES = ("squared_error", "huber")


@dataclass(kw_only=True, repr=False, eq=False)
class RNNRegressor(Supervised):
    """A recurrent network that gives one number, or several, for each series, as a scikit-learn estimator.

    Parameters
    ----------
    loss : {"squared_error", "huber"}
        Of targets that are scaled too, where `scale` is True.
    cell, hidden_size, num_layers, bidirectional, pooling, dropout, layout
    optimizer, learning_rate, schedule, clip_norm, batch_size, epochs, patience
    init, backend, dtype, random_state, callbacks, verbose
        As in `RNNClassifier`.
    scale : bool
        Whether each channel, and each target, is shifted and divided, by mean and deviation in the training
        part, to which `validation` does not belong. Predictions are in the units of y.
    validation : float, optional
        A share of the series to hold back; the weights of the epoch that is best on it are kept.

    Attributes
    ----------
    n_outputs_ : int
    target_scaling_ : Scaling or None
        What the outputs of `model_` are scaled back by.
    model_, params_, history_, best_epoch_, seed_, scaling_, n_features_in_, feature_names_in_
        As in `RNNClassifier`.

    Notes
    -----
    X is as in `RNNClassifier`.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> X = rx.data.sign_of_sum(200, seed=0).X
    >>> y = 100 + 10 * X.sum(axis=(1, 2))
    >>> regressor = rx.RNNRegressor(hidden_size=8, epochs=50, random_state=0).fit(X, y)
    >>> regressor.predict(X).shape, regressor.score(X, y) > 0.95
    ((200,), True)
    """

    loss: str = "squared_error"

    _LEARNT: ClassVar[tuple[str, ...]] = (*Supervised._LEARNT, "n_outputs_", "target_scaling_")

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the numbers.

        Parameters
        ----------
        X : array (N, T, C) in the order of `layout`, list of arrays (T_i, C), or table (N, T)
        y : array of numbers (N,) or (N, K)
        sample_weight : array (N,), optional
            What each series counts for: 2 is as if it were there twice.

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
        series = read(X, self.layout)
        y = read_numbers(type(self).__name__, y, series, self.layout)
        y = y.reshape(len(y), -1)
        weights = read_weights(sample_weight, series, self.layout)
        loss = checks.one_of("loss", self.loss, LOSSES)
        scaling = self._learn(X, series, y, weights, loss=loss, outputs=y.shape[1], loss_weights=weights)
        self.target_scaling_: Scaling | None = scaling
        self.n_outputs_: int = y.shape[1]
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the number of each series, (N,), or numbers (N, K) where there are several.

        Raises
        ------
        TypeError, ValueError
            If X is not as in `fit`, or the estimator is not fitted (NotFittedError).
        """
        numbers = self._numbers(self._read_again(X))
        return numbers[:, 0] if self.n_outputs_ == 1 else numbers

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return R², the share of the variance of y that is explained, averaged over its columns.

        Raises
        ------
        TypeError, ValueError
            As in `predict`, or if `y` or `sample_weight` is not as in `fit`.
        """
        series = self._read_again(X)
        true = read_numbers(type(self).__name__, y, series, self.layout)
        true = true.reshape(len(true), -1)
        weights = read_weights(sample_weight, series, self.layout)
        if true.shape[1] != self.n_outputs_:
            msg = f"`y` must have K = {self.n_outputs_} columns, as in `fit`; got {true.shape[1]}."
            raise ValueError(msg)
        return r2(self._numbers(series), true, weights)

    def _numbers(self, series: Series) -> NDArray[Any]:
        """Return what the model gives to each series, (N, K), in the units of y."""
        outputs, scaling = self._answer(series), self.target_scaling_
        return outputs if scaling is None else outputs * scaling.std + scaling.mean

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks to be told."""
        from sklearn.utils import InputTags, RegressorTags

        tags = self._tags("regressor", regressor_tags=RegressorTags())
        tags.target_tags.multi_output = True
        tags.input_tags = InputTags(three_d_array=True)
        return tags
