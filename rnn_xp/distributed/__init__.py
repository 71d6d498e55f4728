"""Several processes that train one model: MPI between hosts, NCCL between GPUs, and what they agree on."""

from rnn_xp.distributed.agree import RankError as RankError
from rnn_xp.distributed.agree import together as together
from rnn_xp.distributed.choose import get_communicator as get_communicator
from rnn_xp.distributed.communicator import Alone as Alone
from rnn_xp.distributed.communicator import Communicator as Communicator
from rnn_xp.distributed.mpi import MPI as MPI
from rnn_xp.distributed.nccl import NCCL as NCCL
