"""Time: one direction of one layer, forward and back.

Every matrix product is here or in the engines; the cell owns the formula. Arrays are feature-first,
(T, features, B): the sequential product ``R @ h`` then runs at the speed of the machine, and every gate of a
step is one contiguous block.
"""

from rnn_xp.sequence.advance import advance as advance
from rnn_xp.sequence.params import Noise as Noise
from rnn_xp.sequence.params import Params as Params
from rnn_xp.sequence.params import Valid as Valid
from rnn_xp.sequence.params import valid_steps as valid_steps
from rnn_xp.sequence.recompute import Recomputed as Recomputed
from rnn_xp.sequence.recompute import segment_steps as segment_steps
from rnn_xp.sequence.recompute import state_size as state_size
from rnn_xp.sequence.recompute import step_size as step_size
from rnn_xp.sequence.run import QUIET as QUIET
from rnn_xp.sequence.run import Run as Run
