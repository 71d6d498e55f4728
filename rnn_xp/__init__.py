"""Recurrent networks whose numbers you can trust, on any array library.

Every part loads on first use, so that `import rnn_xp` costs next to nothing beside `import numpy`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the public names as type checkers and editors see them; `_NAMES` says the same to Python
    from rnn_xp import callbacks as callbacks
    from rnn_xp import data as data
    from rnn_xp import distributed as distributed
    from rnn_xp import initializers as initializers
    from rnn_xp import interop as interop
    from rnn_xp import layers as layers
    from rnn_xp import metrics as metrics
    from rnn_xp import plot as plot
    from rnn_xp import probe as probe
    from rnn_xp import schedules as schedules
    from rnn_xp import verify as verify
    from rnn_xp.backend import Backend as Backend
    from rnn_xp.backend import BackendError as BackendError
    from rnn_xp.backend import get_backend as get_backend
    from rnn_xp.cells import Cell as Cell
    from rnn_xp.cells import Pair as Pair
    from rnn_xp.cells import State as State
    from rnn_xp.checkpoint import CheckpointError as CheckpointError
    from rnn_xp.checkpoint import load as load
    from rnn_xp.checkpoint import read_extra as read_extra
    from rnn_xp.checkpoint import save as save
    from rnn_xp.diagnosis import diagnose as diagnose
    from rnn_xp.estimators import RNNClassifier as RNNClassifier
    from rnn_xp.estimators import RNNForecaster as RNNForecaster
    from rnn_xp.estimators import RNNRegressor as RNNRegressor
    from rnn_xp.layers import GRU as GRU
    from rnn_xp.layers import LSTM as LSTM
    from rnn_xp.layers import RNN as RNN
    from rnn_xp.layers import Dropout as Dropout
    from rnn_xp.layers import Embedding as Embedding
    from rnn_xp.layers import LastStep as LastStep
    from rnn_xp.layers import Linear as Linear
    from rnn_xp.layers import MaxPool as MaxPool
    from rnn_xp.layers import MeanPool as MeanPool
    from rnn_xp.layers import Recurrent as Recurrent
    from rnn_xp.layers import Residual as Residual
    from rnn_xp.model import Sequential as Sequential
    from rnn_xp.optim import SGD as SGD
    from rnn_xp.optim import Adam as Adam
    from rnn_xp.optim import AdamW as AdamW
    from rnn_xp.optim import RMSprop as RMSprop
    from rnn_xp.random import Rng as Rng
    from rnn_xp.stream import Stream as Stream
    from rnn_xp.train.fit import Epoch as Epoch
    from rnn_xp.train.fit import Result as Result
    from rnn_xp.train.fit import fit as fit
    from rnn_xp.train.predict import predict as predict
    from rnn_xp.train.scores import evaluate as evaluate

__version__ = "0.1.0"

_PARTS = (
    "callbacks",
    "data",
    "distributed",
    "initializers",
    "interop",
    "layers",
    "metrics",
    "plot",
    "probe",
    "schedules",
    "verify",
)
_NAMES = {
    "backend": "Backend BackendError get_backend",
    "cells": "Cell Pair State",
    "checkpoint": "CheckpointError load read_extra save",
    "diagnosis": "diagnose",
    "estimators": "RNNClassifier RNNForecaster RNNRegressor",
    "layers": "GRU LSTM RNN Dropout Embedding LastStep Linear MaxPool MeanPool Recurrent Residual",
    "model": "Sequential",
    "optim": "SGD Adam AdamW RMSprop",
    "random": "Rng",
    "stream": "Stream",
    "train": "Epoch Result evaluate fit predict",
}
_HOMES = {name: part for part, names in _NAMES.items() for name in names.split()}
__all__ = sorted([*_PARTS, *_HOMES])


def __getattr__(name: str) -> Any:
    """Load the part in which a public name lives."""
    if name in _PARTS:
        return import_module(f"rnn_xp.{name}")
    if name not in _HOMES:
        msg = f"module 'rnn_xp' has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(f"rnn_xp.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
