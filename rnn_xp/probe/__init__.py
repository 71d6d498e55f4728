"""What a network does inside: its gates, its states, and the gradients that reach them, as host arrays."""

from rnn_xp.probe.look import look as look
from rnn_xp.probe.watch import Level as Level

__all__ = ["Level", "look"]
