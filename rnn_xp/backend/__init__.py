"""Which library computes, on which device, in which precision; and the namespace of given arrays."""

from rnn_xp.backend.base import Backend as Backend
from rnn_xp.backend.base import BackendError as BackendError
from rnn_xp.backend.base import backend_of as backend_of
from rnn_xp.backend.base import to_numpy as to_numpy
from rnn_xp.backend.choose import available as available
from rnn_xp.backend.choose import get_backend as get_backend
from rnn_xp.backend.libraries import check_writable_views as check_writable_views
from rnn_xp.backend.namespaces import namespace as namespace
