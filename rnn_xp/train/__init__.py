"""Training a model, and using it."""

from rnn_xp.train.fit import Epoch as Epoch
from rnn_xp.train.fit import Result as Result
from rnn_xp.train.fit import fit as fit
from rnn_xp.train.predict import predict as predict
from rnn_xp.train.scores import evaluate as evaluate
