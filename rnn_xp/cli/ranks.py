"""The processes that run one command together: who they are, how they stop together, and who speaks."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import pairwise
from typing import Any

import numpy as np

from rnn_xp import BackendError, get_backend
from rnn_xp.cli import interrupt
from rnn_xp.cli.errors import KNOWN, UsageError, told
from rnn_xp.distributed import MPI, NCCL, Alone, Communicator, RankError
from rnn_xp.distributed.agree import gather, tell
from rnn_xp.distributed.choose import KINDS
from rnn_xp.distributed.launched import LAUNCHERS, launched

LOCAL = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
"""By which variables a launcher tells a process which of those on its machine it is."""

ERRORS: tuple[type[BaseException], ...] = (BrokenPipeError, FileNotFoundError, *KNOWN)
"""What a rank may stop with; the others then stop with the same."""


TOLD: tuple[type[BaseException], ...] = (*ERRORS, RankError)
"""That, or what rnn_xp says of another rank."""


class AgreedError(Exception):
    """Every rank stops, with the same words: the cause of what each raises."""


def asked(words: Sequence[str]) -> str | None:
    """Return what --distributed names on a command line, whose other options may be wrong.

    Examples
    --------
    >>> asked(["train", "--distributed", "mpi", "--epochs", "many"])
    'mpi'
    """
    for word, after in pairwise([*words, ""]):
        option, _, value = word.partition("=")
        if option == "--distributed" and (value or after) in KINDS:
            return value or after
    return None


def find(words: Sequence[str]) -> Communicator:
    """Return this process among those that a command line asks for; NCCL's find each other by MPI, too."""
    if asked(words) is None:
        return Alone()
    with _usage():
        return MPI()


def take_part(command: str, given: dict[str, Any], ranks: Communicator) -> None:
    """Put this process in the place of the name of --distributed, and have only the first rank tell of it."""
    if "distributed" not in given:
        refuse_cut(given)
        return
    _check_the_same(command, given, ranks)
    kind = given["distributed"]
    timeout = {"timeout": given["timeout"]} if "timeout" in given else {}
    vars(ranks).update(timeout)
    if kind == "nccl" or given.get("backend") == "cupy":
        with together(ranks):
            _use_own_gpu(given.get("device"))
    if kind == "nccl":
        with together(ranks), _usage():
            ranks = NCCL(ranks, **timeout)
        if "resume" not in given:
            given.setdefault("backend", "cupy")
    given["distributed"] = ranks
    if ranks.rank > 0:
        given.pop("json", None)
        given |= {"quiet": True} if command == "train" else {}


def refuse_strangers(given: Mapping[str, Any]) -> bool:
    """Refuse to train beside others that do the same; return whether this is for another one to tell."""
    if "distributed" in given:
        return False
    count = launched()
    if count == 1:
        return False
    names = [name for name in LAUNCHERS if name in os.environ]
    if any(os.environ.get(LAUNCHERS[name], "0") != "0" for name in names):
        return True
    alone = " ".join(f"-u {name}" for name in names)
    msg = (
        f"{count} processes were started together, and each would train by itself: "
        "--distributed mpi has them train one model. "
        f"For a training in each: env {alone} rnn-xp ..."
    )
    raise UsageError(msg)


@contextmanager
def together(ranks: Communicator) -> Iterator[None]:
    """Have all ranks stop where one does in the block: with its words, which name it, and its exit code.

    What the ranks compute together is no part of such a block, but for calls that stop on all of them.
    """
    if ranks.size == 1:
        yield
        return
    own: BaseException | None = None
    try:
        yield
    except TOLD as error:
        if isinstance(error, KeyboardInterrupt) and not error.args:
            interrupt.leave(signal.SIGINT)  # it came somewhere, and elsewhere to the others
        own = error
    failed = gather(ranks, [own is not None])[:, 0] > 0
    if not failed.any():
        return
    nearest = next((kind for kind in type(own).__mro__ if kind in ERRORS), None)
    kinds = gather(ranks, [kind is nearest for kind in ERRORS]) > 0
    causes = kinds.any(axis=1)  # the others know of them by a RankError
    first = int(np.argmax(causes if causes.any() else failed))
    words = tell(ranks, "" if own is None else told(own)[1], first)
    if causes.any() and not causes.all():
        words = f"rank {first} of {ranks.size}: {words}"
    kind = ERRORS[int(np.argmax(kinds[first]))] if causes.any() else ValueError
    raise _error(kind, words) from AgreedError()


def is_agreed(error: BaseException | None) -> bool:
    """Return whether all ranks stop with an error, not this one alone."""
    while error is not None:
        if isinstance(error, AgreedError):
            return True
        error = error.__cause__
    return False


@contextmanager
def silence(ranks: Communicator) -> Iterator[None]:
    """Let the first rank alone write to standard output, and speak of signals."""
    if ranks.rank == 0:
        yield
        return
    with redirect_stdout(io.StringIO()), interrupt.silently():
        yield


def is_cut(path: str | None) -> bool:
    """Return whether every rank has a file of its own."""
    return path is not None and "{rank}" in path


def refuse_cut(given: Mapping[str, Any]) -> None:
    """Refuse the names of as many files as there are ranks where nothing was said of them."""
    for option in ("data", "test"):
        if is_cut(given.get(option)) and "distributed" not in given:
            msg = f"argument --{option}: {{rank}} in a name goes with --distributed; got {given[option]}."
            raise UsageError(msg)


def file_of(path: str, ranks: Communicator) -> str:
    """Return the name of this rank's file.

    Examples
    --------
    >>> file_of("part-{rank}-of-{ranks}.npz", Alone())
    'part-0-of-1.npz'
    """
    return path.replace("{rank}", str(ranks.rank)).replace("{ranks}", str(ranks.size))


def _error(kind: type[BaseException], words: str) -> BaseException:
    """Return an error of a kind."""
    from rnn_xp.train.saving.signals import Terminated

    return Terminated(words) if issubclass(kind, SystemExit) else kind(words)


def _check_the_same(command: str, given: Mapping[str, Any], ranks: Communicator) -> None:
    """Refuse options that are not those of all ranks, but for the device."""
    own = {name: repr(value) for name, value in sorted(given.items()) if name != "device"}
    first = tell(ranks, json.dumps([command, own]))
    with together(ranks):
        if json.loads(first) != [command, own]:
            msg = "every rank must be started with the same options; these are others than those of rank 0."
            raise UsageError(msg)


def _use_own_gpu(device: Any) -> None:
    """Compute on the GPU that was named, or that with this process' number on its machine."""
    local = next((os.environ[name] for name in LOCAL if name in os.environ), "0")
    if device is None and local != "0":
        try:
            get_backend("cupy", device=f"cuda:{local}")
            return
        except BackendError:  # it may see one alone, as cuda:0
            pass
    get_backend("cupy", device=device)


@contextmanager
def _usage() -> Iterator[None]:
    """Turn what is not installed, or started in the wrong way, into what cannot be asked for."""
    try:
        yield
    except (ModuleNotFoundError, RuntimeError) as error:
        raise UsageError(str(error)) from None
