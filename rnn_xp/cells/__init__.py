"""The cells: a new one is one file here, and a line in `CELLS`."""

from rnn_xp.cells import gru, lstm, rnn
from rnn_xp.cells.base import Cell as Cell
from rnn_xp.cells.base import Pair as Pair
from rnn_xp.cells.base import State as State
from rnn_xp.cells.base import check as check

CELLS = {cell.name: cell for cell in (rnn.TANH, rnn.RELU, lstm.LSTM, gru.AFTER, gru.BEFORE)}
