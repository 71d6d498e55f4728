"""The safetensors format: named arrays and a table of strings, in bytes that equal content makes equal.

Eight bytes hold the length of a JSON header, little-endian; the header gives every tensor a dtype, a shape
and a place in the block of data that follows. No file names code, and `read` believes nothing unchecked.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Tensor: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_KINDS = ("F64", "I64", "U64", "F32", "I32", "U32", "F16", "I16", "U16", "I8", "U8")
_DTYPES = {kind: np.dtype(f"<{kind[0].lower()}{int(kind[1:]) // 8}") for kind in _KINDS}
_DTYPES["BOOL"] = np.dtype(np.bool_)
_NAMES = {dtype: kind for kind, dtype in _DTYPES.items()}
_MAX_HEADER = 100_000_000
_MAX_NDIM = 64
_DIGEST = "sha256"


class CheckpointError(ValueError):
    """A file that cannot be read: damaged, of another kind, or of another version."""


def write(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file that holds `tensors` and `metadata`.

    Order of insertion, memory layout and byte order leave no trace: equal content gives equal bytes. The key
    "sha256" of the metadata is the writer's own, a digest of everything else.

    Parameters
    ----------
    tensors : mapping of str to numpy.ndarray
        Arrays of floats, integers or booleans, of any shape.
    metadata : mapping of str to str
        What else the file shall say.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError
        If a tensor is no array of a known dtype, or a metadata value no string.
    ValueError
        If a tensor or a metadata key has a name that the format keeps for itself.

    Examples
    --------
    >>> data = write({"weight": np.eye(2)}, {"made": "by hand"})
    >>> tensors, metadata = read(data)
    >>> tensors["weight"].tolist(), metadata
    ([[1.0, 0.0], [0.0, 1.0]], {'made': 'by hand'})
    """
    if "__metadata__" in tensors or _DIGEST in metadata:
        msg = f'`tensors` must not have a "__metadata__", nor `metadata` a "{_DIGEST}": both names are taken.'
        raise ValueError(msg)
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            msg = f"`metadata` must map strings to strings; got {key!r}: {value!r}."
            raise TypeError(msg)
    kinds = {name: _kind(name, tensor) for name, tensor in tensors.items()}
    # The widest first, as the library does: every tensor lies at a multiple of its item size.
    order = sorted(tensors, key=lambda name: (-_DTYPES[kinds[name]].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    blocks, end = [], 0
    for name in order:
        tensor, kind = tensors[name], kinds[name]
        blocks.append(tensor.astype(_DTYPES[kind], copy=False).tobytes())  # in C order, whatever its strides
        begin, end = end, end + len(blocks[-1])
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    data = b"".join(blocks)
    header["__metadata__"][_DIGEST] = _digest(header, data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def read(file: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file; the digest is checked where there is one.

    Parameters
    ----------
    file : bytes
        The whole file.

    Returns
    -------
    tensors : dict of str to numpy.ndarray
        Writable arrays of their own memory, in the machine's byte order.
    metadata : dict of str to str

    Raises
    ------
    CheckpointError
        If the file is no intact safetensors file, or holds a dtype that NumPy lacks.
    """
    header, data = _header(file)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        msg = "its metadata must map strings to strings"
        raise CheckpointError(msg)
    places = [_place(name, entry) for name, entry in header.items()]
    places.sort(key=lambda place: (place.begin, place.end))
    end = 0
    for place in places:
        if place.begin != end:
            msg = f"its tensor {place.name!r} must begin where another ends, at {end}, not at {place.begin}"
            raise CheckpointError(msg)
        end = place.end
    if end != len(data):
        msg = f"its header describes {end} bytes of data; {len(data)} are there"
        raise CheckpointError(msg)
    digest = metadata.pop(_DIGEST, None)
    if digest is not None and digest != _digest({"__metadata__": metadata, **header}, data):
        msg = "its content does not match its SHA-256 digest: it was changed or damaged after it was written"
        raise CheckpointError(msg)
    return {place.name: place.tensor(data) for place in places}, metadata


class _Place(NamedTuple):
    """Where a tensor lies in the block of data, and how it is to be read."""

    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def tensor(self, data: memoryview) -> Tensor:
        """Return the tensor, copied out of the file."""
        stored = np.ndarray(self.shape, _DTYPES[self.kind], data[self.begin : self.end])
        if self.kind == "BOOL" and (stored.view(np.uint8) > 1).any():
            msg = f"its tensor {self.name!r} is of dtype BOOL and holds bytes other than 0 and 1"
            raise CheckpointError(msg)
        return stored.astype(stored.dtype.newbyteorder("="))


def _header(file: bytes) -> tuple[dict[str, Any], memoryview]:
    """Split a file into its header, parsed, and its data."""
    if len(file) < 8:
        msg = f"it holds {len(file)} bytes, too few for a safetensors file"
        raise CheckpointError(msg)
    length = int.from_bytes(file[:8], "little")
    if length > min(len(file) - 8, _MAX_HEADER):
        msg = f"its header would take {length} bytes of {len(file)}: it is cut off, or no safetensors file"
        raise CheckpointError(msg)
    try:
        header = json.loads(file[8 : 8 + length].decode(), object_pairs_hook=_unique)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        msg = f"its header is no JSON: {error}"
        raise CheckpointError(msg) from None
    if not isinstance(header, dict):
        msg = f"its header must be a JSON object; it is a {type(header).__name__}"
        raise CheckpointError(msg)
    return header, memoryview(file)[8 + length :]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object of the header, which must not name anything twice."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            msg = f"its header names {key!r} twice"
            raise CheckpointError(msg)
        result[key] = value
    return result


def _place(name: str, entry: Any) -> _Place:
    """Check a tensor's entry in the header."""
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [begin, end], **rest} if not rest:
            whole = all(type(item) is int and 0 <= item < 2**63 for item in (*shape, begin, end))
        case _:
            whole = False
    if not whole:
        msg = f"its tensor {name!r} must have a dtype, a shape and two offsets, and nothing else"
        raise CheckpointError(msg)
    if kind not in _DTYPES:
        msg = f"its tensor {name!r} has the dtype {kind[:20]!r}; known are {', '.join(_DTYPES)}"
        raise CheckpointError(msg)
    itemsize = _DTYPES[kind].itemsize
    if len(shape) > _MAX_NDIM or math.prod(size or 1 for size in shape) * itemsize >= 2**63:
        msg = f"its tensor {name!r} has a shape beyond what an array can have"
        raise CheckpointError(msg)
    size = math.prod(shape) * itemsize
    if end - begin != size:
        msg = f"its tensor {name!r}, {kind} {tuple(shape)}, must take {size} bytes; it has {begin} to {end}"
        raise CheckpointError(msg)
    return _Place(name, kind, tuple(shape), begin, end)


def _kind(name: str, tensor: Any) -> str:
    """Return the format's name for a tensor's dtype."""
    dtype = tensor.dtype.newbyteorder("<") if isinstance(tensor, np.ndarray) else None
    if not isinstance(name, str) or dtype not in _NAMES:
        came = type(tensor).__name__ if dtype is None else f"dtype {dtype.name}"
        msg = f"`tensors` must map names to NumPy arrays of dtype {', '.join(_DTYPES)}; got {name!r}: {came}."
        raise TypeError(msg)
    return _NAMES[dtype]


def _digest(header: dict[str, Any], data: bytes | memoryview) -> str:
    """Return the SHA-256 of the header, in one spelling, and the data."""
    spelling = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(spelling)
    digest.update(data)
    return digest.hexdigest()
