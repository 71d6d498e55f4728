"""What a training was told, as its checkpoint holds it: a file that may come from anybody."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import Any

from rnn_xp import CheckpointError, checkpoint
from rnn_xp.cli.arguments import build_parser
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.output import printable
from rnn_xp.cli.runs import scaling_from_json
from rnn_xp.cli.settings import OF_THE_CALL, Settings

NAMES = "|".join(field.name.replace("_", "-") for field in fields(Settings) if field.name not in OF_THE_CALL)
OPTION = re.compile(rf"--((no-)?({NAMES})|({NAMES})=.*)")
LONGEST, MOST = 5_000, 100  # characters of an option, which may be a path; options


def told(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the options of the training whose checkpoint this is, as parsed from a command line.

    Raises
    ------
    CheckpointError
        If there is no whole file, or its options are none that a training writes.
    """
    try:
        options = checkpoint.read_extra(path).get("options")
    except FileNotFoundError:
        msg = f"there is no {os.path.basename(path)}"
        raise CheckpointError(msg) from None
    return parsed(options, os.path.basename(path))


def parsed(options: Any, name: str) -> dict[str, Any]:
    """Return the options of `rnn-xp train` in a list, which may hold anything, of the file of this name."""
    if type(options) is list and len(options) <= MOST and all(map(_is_option, options)):
        try:
            given = vars(build_parser().parse_args(["train", *options]))
        except UsageError:  # its words hold those of the file
            pass
        else:
            del given["command"]
            return given
    msg = f"{name} is none of `rnn-xp train`"
    raise CheckpointError(msg)


def scalings(path: str | os.PathLike[str]) -> list[Any]:
    """Return those of inputs and targets, in JSON values, of a training whose ranks have files of their own.

    Raises
    ------
    CheckpointError
        If they can be none.
    """
    found = checkpoint.read_extra(path).get("scalings", [None, None])
    try:
        inputs, outputs = found
        if all(scaling is None or scaling.is_usable for scaling in map(scaling_from_json, (inputs, outputs))):
            return [inputs, outputs]
    except (KeyError, TypeError, ValueError):
        pass
    msg = f"{os.path.basename(path)} is damaged: its scalings can be none"
    raise CheckpointError(msg)


def told_if_whole(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the same; None where there is no checkpoint that tells them."""
    try:
        return told(path)
    except CheckpointError:
        return None


def _is_option(option: Any) -> bool:
    """Return whether it is a short and printable option of what is trained."""
    if type(option) is not str or len(option) > LONGEST or printable(option) != option:
        return False
    return OPTION.fullmatch(option) is not None
