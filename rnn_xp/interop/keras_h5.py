"""The files ``*.weights.h5`` of Keras 3: HDF5; the weights of a place are ``.../vars/0``, ``/1``, ..."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_xp import checks
from rnn_xp.atomic import PathLike, atomic_write
from rnn_xp.interop.weights import Host
from rnn_xp.safetensors import CheckpointError

_BESIDE = re.compile(r"(^|/)(optimizer|compile_metrics|metrics|seed_generator)/")
"""What a file may hold beside a model's weights."""


def read(path: PathLike) -> dict[str, Host]:
    """Return the weights of a file by their places in it, in the file's order."""
    check_suffix("source", path)
    h5py = _h5py()
    with open(path, "rb"):  # a file that is not there, in the system's words
        pass
    try:
        with h5py.File(path, "r") as file:
            sets: dict[str, Any] = {}
            file.visititems(lambda name, item: sets.update({name: item}))  # it follows no links
            is_weight = {name: isinstance(item, h5py.Dataset) for name, item in sets.items()}
            names = [name for name in sets if is_weight[name] and not _BESIDE.search(name)]
            return {name: _plain(name, sets[name]) for name in names}
    except Exception as error:  # whatever HDF5 has against it
        msg = f"`{os.fspath(path)}` cannot be read: {str(error).rstrip('.')}."
        raise CheckpointError(msg) from error


def write(path: PathLike, weights: Mapping[str, Host]) -> None:
    """Write weights by their places, whole or not at all."""
    check_suffix("path", path)
    buffer = io.BytesIO()
    with _h5py().File(buffer, "w") as file:
        for name, array in weights.items():
            file[name] = array
    atomic_write(path, buffer.getvalue())


def check_suffix(name: str, path: PathLike) -> None:
    """Raise unless a path names a file of weights."""
    if not os.fspath(path).endswith(".weights.h5"):
        way_out = "Where Keras is: model.save_weights('model.weights.h5')."
        msg = f"`{name}` must be the path of a .weights.h5 file; got {os.fspath(path)!r}. {way_out}"
        raise ValueError(msg)


def _h5py() -> Any:
    """Return h5py."""
    return checks.optional("h5py", "keras", "A .weights.h5 file")


def _plain(name: str, item: Any) -> Host:
    """Return the data of an HDF5 data set, stored as Keras does: what it says takes what is there."""
    if item.dtype.kind != "f":
        msg = f"its {name} must hold floats of 16, 32 or 64 bits; it holds {item.dtype}"
        raise CheckpointError(msg)
    if item.external or item.is_virtual or item.id.get_storage_size() != item.nbytes:
        msg = f"its {name} must be stored in the file itself, uncompressed"
        raise CheckpointError(msg)
    return np.array(item[...], dtype=item.dtype.newbyteorder("="))
