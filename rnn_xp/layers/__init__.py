"""The layers: a new one is one file here, and a line in `LAYERS`."""

from rnn_xp.layers.base import Context as Context
from rnn_xp.layers.base import Layer as Layer
from rnn_xp.layers.base import Signal as Signal
from rnn_xp.layers.dropout import Dropout as Dropout
from rnn_xp.layers.linear import Embedding as Embedding
from rnn_xp.layers.linear import EmbeddingParams as EmbeddingParams
from rnn_xp.layers.linear import Linear as Linear
from rnn_xp.layers.linear import LinearParams as LinearParams
from rnn_xp.layers.named import GRU as GRU
from rnn_xp.layers.named import LSTM as LSTM
from rnn_xp.layers.named import RNN as RNN
from rnn_xp.layers.pooling import LastStep as LastStep
from rnn_xp.layers.pooling import MaxPool as MaxPool
from rnn_xp.layers.pooling import MeanPool as MeanPool
from rnn_xp.layers.recurrent import Recurrent as Recurrent
from rnn_xp.layers.residual import Residual as Residual

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        RNN,
        GRU,
        LSTM,
        Recurrent,
        Linear,
        Embedding,
        Dropout,
        Residual,
        LastStep,
        MeanPool,
        MaxPool,
    )
}
