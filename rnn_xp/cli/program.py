"""The commands of `rnn-xp`, and what becomes of their errors."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TextIO

from rnn_xp.cli.arguments import build_parser
from rnn_xp.cli.errors import DONE, FAILED, KNOWN, PIPE_CLOSED, told
from rnn_xp.cli.output import printable
from rnn_xp.cli.ranks import find, is_agreed, refuse_strangers, silence, take_part, together
from rnn_xp.distributed import Alone, Communicator

COMMANDS = {
    "train": "train",
    "evaluate": "use",
    "predict": "use",
    "generate": "generate",
    "export": "export",
    "plot": "plot",
    "diagnose": "diagnose",
    "verify": "verify",
    "doctor": "doctor",
}
"""The commands, each a function of that name, and the file that it loads from when it is asked for."""

UNWRITABLE = (errno.ENOSPC, errno.EBADF, errno.EFBIG)
"""Of an error without a file's name: standard output could not be written to."""


def run(argv: Sequence[str] | None) -> int:
    """Run a command, and return its exit code; where RNN_XP_DEBUG is set, an error keeps its traceback."""
    ranks: Communicator = Alone()
    try:
        words = sys.argv[1:] if argv is None else argv
        ranks = find(words)
        with silence(ranks):
            code = _command(words, ranks)
        sys.stdout.flush()
    except KNOWN as error:
        if ranks.size > 1 and not is_agreed(error):
            ranks.abort(told(error)[1])
        return _failed(error, ranks)
    except Exception as error:
        if ranks.size > 1:
            traceback.print_exc()
            ranks.abort(f"{type(error).__name__}: {error}")
        raise
    return code


def _failed(error: BaseException, ranks: Communicator) -> int:
    """Tell what was wrong, the first rank for all, and return the exit code."""
    if isinstance(error, BrokenPipeError):  # who read has gone, as in `rnn-xp generate DIR | head`
        _drop(sys.stdout)
        return PIPE_CLOSED
    if os.environ.get("RNN_XP_DEBUG"):
        raise error
    code, words = told(error)
    if isinstance(error, OSError) and error.filename is None and error.errno in UNWRITABLE:
        code, words = FAILED, f"standard output: {error.strerror}."
        _drop(sys.stdout)
    if ranks.rank == 0:
        try:
            sys.stderr.write(f"rnn-xp: error: {printable(words)}\n")
            sys.stderr.flush()
        except OSError:
            _drop(sys.stderr)
    ranks.barrier()  # else one that ended has the launcher end the one that tells why
    return code


def _command(words: Sequence[str], ranks: Communicator) -> int:
    """Run the command with its options."""
    with together(ranks):
        try:
            given = vars(build_parser().parse_args(words))
        except SystemExit:  # after --help and --version; errors are UsageError
            return DONE
    name = given.pop("command")
    take_part(name, given, ranks)
    if name == "train" and refuse_strangers(given):
        return DONE
    code: int = getattr(import_module(f"rnn_xp.cli.{COMMANDS[name]}"), name)(given)
    return code


def _drop(stream: TextIO) -> None:
    """Let what is still to be flushed when Python ends go nowhere."""
    with suppress(OSError, ValueError):  # not a stream of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
