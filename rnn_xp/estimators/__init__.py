"""Estimators for classes, numbers and forecasts, in scikit-learn's protocol and without scikit-learn."""

from rnn_xp.estimators.base import NotFittedError
from rnn_xp.estimators.classifier import RNNClassifier
from rnn_xp.estimators.forecaster import Backtest, RNNForecaster
from rnn_xp.estimators.regressor import RNNRegressor

__all__ = ["Backtest", "NotFittedError", "RNNClassifier", "RNNForecaster", "RNNRegressor"]
