"""Classes of series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnn_xp.estimators.inputs import Series, read
from rnn_xp.estimators.network import Supervised
from rnn_xp.estimators.scores import accuracy
from rnn_xp.estimators.targets import class_weights, read_labels, read_weights

_LOSS = "cross_entropy"


@dataclass(kw_only=True, repr=False, eq=False)
class RNNClassifier(Supervised):
    """A recurrent network that tells classes of series apart, as a scikit-learn estimator.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"} or Cell
    hidden_size, num_layers : int
    bidirectional : bool
    pooling : {"last", "mean", "max"}
        What is taken of the outputs at the valid steps of a series.
    dropout : float
        Rate, between layers and after pooling.
    scale : bool
        Whether each channel is shifted and divided, by mean and deviation of the valid steps of the training
        part, to which `validation` does not belong.
    layout : {"NTC", "NCT", "TNC"}
        The order of the axes of X: N series, T steps, C channels. "NCT" is that of aeon. What splits data for
        scikit-learn cuts the first axis, which must then be N.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or optimiser
        One that is given, such as ``rnn_xp.SGD(0.1, momentum=0.9)``, brings its own learning rate.
    learning_rate : float
    schedule : "cosine" or function of the step, optional
        Factor of the learning rate; "cosine" falls to 0 over the whole training.
    clip_norm : float, optional
        The largest norm of a gradient.
    batch_size, epochs : int
    validation : float, optional
        A share to hold back of each class; the weights of the epoch that is best on it are kept.
    patience : int, optional
        Stop after so many epochs without a better loss, on `validation` if there is any.
    class_weight : "balanced" or mapping from label to weight, optional
        What the losses of a class count for, times `sample_weight`. "balanced" makes all classes count alike.
    init, backend, dtype, callbacks, verbose
        As `rnn_xp.fit` takes them.
    random_state : int, RandomState or Generator, optional
        The seed of the weights, the order, the split and the dropout masks, or what draws it; None stands for
        NumPy's global generator.

    Attributes
    ----------
    classes_ : array of shape (K,)
        The labels, sorted.
    model_ : Sequential
    params_ : tree of arrays
    history_ : list of dict
        A record for each epoch, as `rnn_xp.fit` returns them.
    best_epoch_ : int
        The epoch that `params_` are of.
    seed_ : int
        What `random_state` gave.
    scaling_ : Scaling or None
        What X is scaled by before `model_` reads it.
    n_features_in_ : int
        The number of channels C, or of the columns of a table.
    feature_names_in_ : array of str
        The names of these columns, where X was a data frame.

    Notes
    -----
    X is an array of three axes (`layout`); or a list of arrays (T_i, C) of unequal length, which are (C, T_i)
    with "NCT"; or a table (N, T), or list of arrays (T_i,), whose rows are series of one channel. All must be
    finite.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> data = rx.data.sign_of_sum(200, seed=0)
    >>> labels = np.array(data.classes)[data.y]
    >>> classifier = rx.RNNClassifier(hidden_size=8, epochs=20, random_state=0)
    >>> classifier.fit(data.X, labels)
    RNNClassifier(hidden_size=8, epochs=20, random_state=0)
    >>> classifier.predict(data.X[:2]).tolist()
    ['negative', 'negative']
    >>> classifier.score(data.X, labels) > 0.9
    True
    """

    class_weight: str | Mapping[Any, float] | None = None

    _LEARNT: ClassVar[tuple[str, ...]] = (*Supervised._LEARNT, "classes_")

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Learn to tell the classes apart.

        Parameters
        ----------
        X : array (N, T, C) in the order of `layout`, list of arrays (T_i, C), or table (N, T)
        y : array of labels (N,)
            Strings, integers or whole numbers.
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
        classes, labels = read_labels(type(self).__name__, y, series, self.layout)
        weights = read_weights(sample_weight, series, self.layout)
        by_class = class_weights(self.class_weight, classes, labels, weights)
        together = [each for each in (weights, by_class) if each is not None]
        self._learn(
            X,
            series,
            labels,
            weights,
            loss=_LOSS,
            outputs=len(classes),
            labels=labels,
            loss_weights=np.prod(together, axis=0) if together else None,
        )
        self.classes_: NDArray[Any] = classes
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label of each series, (N,).

        Raises
        ------
        TypeError, ValueError
            If X is not as in `fit`, or the estimator is not fitted (NotFittedError).
        """
        return self._labels(self._read_again(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class of `classes_`, (N, K); errors as in `predict`."""
        return self._answer(self._read_again(X), _LOSS)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`, (N, K)."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))  # type: ignore[no-any-return]

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy: the share of the series whose label is predicted, each with its weight.

        Raises
        ------
        TypeError, ValueError
            As in `predict`; or if no label of `y` is known.
        """
        series, true = self._read_again(X), np.ravel(y)
        if len(true) != len(series.X):
            must = f"`y` must have one entry for each of the N = {len(series.X)} series of `X`"
            msg = f"{must}; got {len(true)}."
            raise ValueError(msg)
        if not np.isin(true, self.classes_).any():
            must = f"`y` must hold labels of `classes_`, {self.classes_.tolist()}"
            msg = f"{must}; got none of them, {np.unique(true).tolist()}."
            raise ValueError(msg)
        weights = read_weights(sample_weight, series, self.layout)
        return accuracy(self._labels(series), true, weights)

    def _labels(self, series: Series) -> NDArray[Any]:
        """Return the label that the model gives to each series."""
        labels: NDArray[Any] = self.classes_[self._answer(series).argmax(axis=1)]
        return labels

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks to be told."""
        from sklearn.utils import ClassifierTags, InputTags

        tags = self._tags("classifier", classifier_tags=ClassifierTags())
        tags.input_tags = InputTags(three_d_array=True)
        return tags
