"""The commands of `rnn-xp`, and what becomes of their errors."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TextIO

from rnn_xp.cli.arguments import build_parser
from rnn_xp.cli.errors import DONE, FAILED, KNOWN, PIPE_CLOSED, told
from rnn_xp.cli.output import printable

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
    try:
        code = _command(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # who read has gone, as in `rnn-xp generate DIR | head`
        _drop(sys.stdout)
        return PIPE_CLOSED
    except KNOWN as error:
        if os.environ.get("RNN_XP_DEBUG"):
            raise
        code, words = told(error)
        if isinstance(error, OSError) and error.filename is None and error.errno in UNWRITABLE:
            code, words = FAILED, f"standard output: {error.strerror}."
            _drop(sys.stdout)
        try:
            sys.stderr.write(f"rnn-xp: error: {printable(words)}\n")
            sys.stderr.flush()
        except OSError:
            _drop(sys.stderr)
    return code


def _command(argv: Sequence[str] | None) -> int:
    """Run the command with its options."""
    try:
        given = vars(build_parser().parse_args(argv))
    except SystemExit:  # after --help and --version; errors are UsageError
        return DONE
    name = given.pop("command")
    code: int = getattr(import_module(f"rnn_xp.cli.{COMMANDS[name]}"), name)(given)
    return code


def _drop(stream: TextIO) -> None:
    """Let what is still to be flushed when Python ends go nowhere."""
    with suppress(OSError, ValueError):  # not a stream of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
