"""How a cell's pairs are run at one step of time. Every engine gives the numbers of the portable one."""

from rnn_xp.engines.base import Engine as Engine
from rnn_xp.engines.base import Forward as Forward
from rnn_xp.engines.base import Gradients as Gradients
from rnn_xp.engines.base import Memory as Memory
from rnn_xp.engines.base import Stage as Stage
from rnn_xp.engines.base import extra_planes as extra_planes
from rnn_xp.engines.base import plans as plans
from rnn_xp.engines.base import rows as rows
from rnn_xp.engines.base import stages as stages
from rnn_xp.engines.choose import choose as choose
