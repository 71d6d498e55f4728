"""The instrument: checks of gradients, numbers and properties, of this package and of anybody's.

Every check returns a `Report`, which is written by ``print``, and raises by ``require()`` where it failed.
"""

from rnn_xp.verify.adapters.choose import adapt as adapt
from rnn_xp.verify.adapters.function import FunctionAdapter as FunctionAdapter
from rnn_xp.verify.adapters.layer import LayerAdapter as LayerAdapter
from rnn_xp.verify.adapters.protocol import Adapter as Adapter
from rnn_xp.verify.backends import parity as parity
from rnn_xp.verify.bits import random_bits as random_bits
from rnn_xp.verify.certificates import Certificate as Certificate
from rnn_xp.verify.certificates import certificate as certificate
from rnn_xp.verify.differences import gradcheck_function as gradcheck_function
from rnn_xp.verify.gradients import gradcheck as gradcheck
from rnn_xp.verify.own_cell import cell as cell
from rnn_xp.verify.pairs import gradcheck_cell as gradcheck_cell
from rnn_xp.verify.report import FAILED as FAILED
from rnn_xp.verify.report import PASSED as PASSED
from rnn_xp.verify.report import SKIPPED as SKIPPED
from rnn_xp.verify.report import Finding as Finding
from rnn_xp.verify.report import Report as Report
from rnn_xp.verify.report import VerificationError as VerificationError
from rnn_xp.verify.rounding import oracle as oracle
from rnn_xp.verify.suite.run import properties as properties
from rnn_xp.verify.survey import certify as certify
