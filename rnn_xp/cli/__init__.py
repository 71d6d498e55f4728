"""The command line, `rnn-xp`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_xp.cli.arguments import build_parser
from rnn_xp.cli.doctor import doctor
from rnn_xp.cli.errors import FAILED, KNOWN, told
from rnn_xp.cli.generate import generate
from rnn_xp.cli.train import train
from rnn_xp.cli.use import evaluate, predict

COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict, "generate": generate, "doctor": doctor}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    Where the environment sets RNN_XP_DEBUG, an error keeps its traceback.
    """
    try:
        code = _run(vars(build_parser().parse_args(argv)))
        sys.stdout.flush()
    except BrokenPipeError:  # who read has gone, as in `rnn-xp generate DIR | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush, when Python ends
        return FAILED
    except KNOWN as error:
        if os.environ.get("RNN_XP_DEBUG"):
            raise
        code, words = told(error)
        sys.stderr.write(f"rnn-xp: error: {words}\n")
    return code


def _run(given: Mapping[str, Any]) -> int:
    """Run the command with its options."""
    return COMMANDS[given["command"]]({name: value for name, value in given.items() if name != "command"})
