"""Pictures of trainings and models. Each returns its data too; matplotlib is loaded where one is drawn."""

from rnn_xp.plot.gates import gates as gates
from rnn_xp.plot.gradients import gradient_norms as gradient_norms
from rnn_xp.plot.history import history as history
from rnn_xp.plot.spectrum import spectrum as spectrum
from rnn_xp.plot.states import states as states
from rnn_xp.plot.terminal import terminal as terminal
from rnn_xp.plot.text import text as text

__all__ = ["gates", "gradient_norms", "history", "spectrum", "states", "terminal", "text"]
