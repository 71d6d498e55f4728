"""State dicts in safetensors files, as the library safetensors writes and reads them, without it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from rnn_xp import safetensors
from rnn_xp.atomic import PathLike, atomic_write
from rnn_xp.safetensors import CheckpointError

Host: TypeAlias = NDArray[Any]

_CONVERT = (
    "A pickle (.pt, .pth) can run code, so none is read. Convert it where PyTorch is: "
    "safetensors.torch.save_file(module.state_dict(), 'model.safetensors')."
)
_WIDEN = "Where PyTorch is, store module.float().state_dict()."


def read(path: PathLike) -> dict[str, Host]:
    """Return the tensors of a file by their names."""
    check_suffix("source", path)
    with open(path, "rb") as stream:
        try:
            header = safetensors.read_header(stream, os.fstat(stream.fileno()).st_size)
            if "rnn_xp" in header.metadata:
                msg = "rnn_xp.save wrote it: rnn_xp.load gives its model and parameters"
                raise CheckpointError(msg)
            return dict(safetensors.read_tensors(stream, header))
        except CheckpointError as error:
            way_out = f" {_WIDEN}" if "BF16" in str(error) else ""
            msg = f"`{os.fspath(path)}` cannot be read: {str(error).rstrip('.')}.{way_out}"
            raise CheckpointError(msg) from error.__cause__


def write(path: PathLike, tensors: Mapping[str, Host]) -> None:
    """Write tensors, whole or not at all."""
    check_suffix("path", path)
    atomic_write(path, *safetensors.pieces(tensors, {"format": "pt"}))


def check_suffix(name: str, path: PathLike) -> None:
    """Raise unless a path names a safetensors file."""
    if not os.fspath(path).endswith(".safetensors"):
        msg = f"`{name}` must be the path of a .safetensors file; got {os.fspath(path)!r}. {_CONVERT}"
        raise ValueError(msg)
