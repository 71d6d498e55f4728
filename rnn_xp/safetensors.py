"""The safetensors format: named arrays and a table of strings, in bytes that equal content makes equal.

Eight bytes hold the length of a JSON header, little-endian; the header gives every tensor a dtype, a shape
and a place in the block of data that follows. No file names code, and a reader believes nothing unchecked.

Our files hold the SHA-256 of all their bytes, in which the digest's own 64 characters count as zeros.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Tensor: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Stream: TypeAlias = io.BufferedReader | io.BytesIO

_KINDS = ("F64", "I64", "U64", "F32", "I32", "U32", "F16", "I16", "U16", "I8", "U8")
_DTYPES = {kind: np.dtype(f"<{kind[0].lower()}{int(kind[1:]) // 8}") for kind in _KINDS}
_DTYPES["BOOL"] = np.dtype(np.bool_)
_NAMES = {dtype: kind for kind, dtype in _DTYPES.items()}
_MAX_HEADER = 100_000_000
_MAX_NDIM = 64
_MAX_DIGITS = 100
_DIGEST = "sha256"
_ZEROS = "0" * 64
_MIB = 1 << 20


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
    return b"".join(pieces(tensors, metadata))


def pieces(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """Return what `write` returns piece by piece: the header, then the tensors, copied only where need be."""
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
    header: dict[str, Any] = {"__metadata__": {**dict(sorted(metadata.items())), _DIGEST: _ZEROS}}
    blocks, end = [], 0
    for name in order:
        tensor, kind = tensors[name], kinds[name]
        # In C order, whatever its strides; asarray keeps the shape (), which ascontiguousarray does not.
        blocks.append(_bytes(np.asarray(tensor, _DTYPES[kind], order="C")))
        begin, end = end, end + len(blocks[-1])
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    digest = hashlib.sha256(head)
    for block in blocks:
        digest.update(block)
    return [head.replace(_spelling(_ZEROS), _spelling(digest.hexdigest()), 1), *blocks]


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
    stream = io.BytesIO(file)
    header = read_header(stream, len(file))
    return dict(read_tensors(stream, header)), header.metadata


class Place(NamedTuple):
    """Where a tensor lies in the block of data, and how it is to be read."""

    name: str
    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that it has in the file."""
        return _DTYPES[self.kind]


class Header(NamedTuple):
    """What stands before the data of a file."""

    places: list[Place]  # in the order of the data
    metadata: dict[str, str]  # without the digest
    digest: str | None
    raw: bytes


def read_header(stream: Stream, size: int, limit: int = _MAX_HEADER) -> Header:
    """Read the header, of at most `limit` bytes, of a file of `size`; CheckpointError where it is none.

    Its places fill what follows it without holes and overlaps: `size` bounds what its tensors can take.
    """
    head = stream.read(8)
    if len(head) < 8:
        msg = f"it holds {len(head)} bytes, too few for a safetensors file"
        raise CheckpointError(msg)
    length = int.from_bytes(head, "little")
    if length > limit or length > size - 8:
        msg = (
            f"its header would take {length} bytes of {size}, and may take {limit}: "
            "it is cut off, or no safetensors file"
        )
        raise CheckpointError(msg)
    raw = head + stream.read(length)
    header = parse(raw[8:], "its header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        msg = "its metadata must map strings to strings"
        raise CheckpointError(msg)
    places = sorted((_place(name, entry) for name, entry in header.items()), key=lambda p: (p.begin, p.end))
    end = 0
    for place in places:
        if place.begin != end:
            msg = f"its tensor {place.name!r} must begin where another ends, at {end}, not at {place.begin}"
            raise CheckpointError(msg)
        end = place.end
    if end != size - 8 - length:
        msg = f"its header describes {end} bytes of data; {size - 8 - length} are there"
        raise CheckpointError(msg)
    digest = metadata.pop(_DIGEST, None)
    return Header(places, metadata, digest, raw)


def read_tensors(stream: Stream, header: Header) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors one by one from a stream that stands behind its header.

    After the last one the digest is checked, where there is one, with CheckpointError: use none before.
    """
    spelling = _spelling(header.digest or "")
    digest = hashlib.sha256(header.raw.replace(spelling, _spelling(_ZEROS), 1))
    for place in header.places:
        tensor = np.empty(place.shape, place.dtype)
        rest = _bytes(tensor)
        while rest:
            count = stream.readinto(rest[:_MIB])
            if not count:
                msg = f"its tensor {place.name!r} is cut off"
                raise CheckpointError(msg)
            digest.update(rest[:count])
            rest = rest[count:]
        if place.kind == "BOOL" and (tensor.view(np.uint8) > 1).any():
            msg = f"its tensor {place.name!r} is of dtype BOOL and holds bytes other than 0 and 1"
            raise CheckpointError(msg)
        yield place.name, tensor.astype(tensor.dtype.newbyteorder("="), copy=False)
    if header.digest is not None and header.digest != digest.hexdigest():
        msg = "its content does not match its SHA-256 digest: it was changed or damaged after it was written"
        raise CheckpointError(msg)


def parse(text: str | bytes, what: str) -> dict[str, Any]:
    """Return a JSON object that names nothing twice and whose numbers are finite; else CheckpointError."""
    try:
        value = json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        msg = f"{what} is no valid JSON: {error}"
        raise CheckpointError(msg) from None
    if not isinstance(value, dict):
        msg = f"{what} must be a JSON object; it is a {type(value).__name__}"
        raise CheckpointError(msg)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, which must not name anything twice."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            msg = f"it names {key!r} twice"
            raise ValueError(msg)
        result[key] = value
    return result


def _place(name: str, entry: Any) -> Place:
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
    return Place(name, kind, tuple(shape), begin, end)


def _kind(name: str, tensor: Any) -> str:
    """Return the format's name for a tensor's dtype."""
    dtype = tensor.dtype.newbyteorder("<") if isinstance(tensor, np.ndarray) else None
    if not isinstance(name, str) or dtype not in _NAMES:
        came = type(tensor).__name__ if dtype is None else f"dtype {dtype.name}"
        msg = f"`tensors` must map names to NumPy arrays of dtype {', '.join(_DTYPES)}; got {name!r}: {came}."
        raise TypeError(msg)
    return _NAMES[dtype]


def _integer(digits: str) -> int:
    """Return an integer; one of thousands of digits would stop at the first attempt to print it."""
    if len(digits) > _MAX_DIGITS:
        msg = f"it holds an integer of {len(digits)} digits"
        raise ValueError(msg)
    return int(digits)


def _finite(number: str) -> float:
    """Return a number that is finite, as JSON's are."""
    if not math.isfinite(value := float(number)):
        msg = f"it holds the number {number[:20]}"
        raise ValueError(msg)
    return value


def _bytes(tensor: Tensor) -> memoryview:
    """Return the memory of an array in C order as bytes."""
    return tensor.reshape(-1).view(np.uint8).data


def _spelling(digest: str) -> bytes:
    """Return how the digest is written in the header; a quote inside of another string has a backslash."""
    return f'"{_DIGEST}":"{digest}"'.encode(errors="replace")
