"""The files of rnn_xp: a safetensors file whose metadata are a description, in JSON, and a digest.

What a file says is compared with what its reader expects before any of its data is read: whatever a few bytes
claim, they cost no more than they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from rnn_xp import safetensors
from rnn_xp.atomic import PathLike, atomic_write
from rnn_xp.safetensors import CheckpointError, Tensor

FORMAT = "rnn_xp"
FORMAT_VERSION = 1
KINDS = ("model", "training")
MAX_HEADER = 2_000_000
_MAX_SPARSE = 1 << 26
_MAX_WORDS = 500
_OURS = ("format", "format_version", "kind", "versions")

Dtypes: TypeAlias = "np.dtype[Any] | str | type | tuple[np.dtype[Any] | str | type, ...]"
Expected: TypeAlias = Mapping[str, tuple[tuple[int, ...], Dtypes]]


def write_file(
    path: PathLike, kind: str, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a file, whole or not at all; equal content gives equal bytes.

    Parameters
    ----------
    path : str or path
        See `rnn_xp.atomic.atomic_write`.
    kind : {"model", "training"}
    description : mapping
        In JSON values. The format, its version, the kind and the versions of rnn_xp and NumPy are added.
    tensors : mapping of str to numpy.ndarray
        Arrays of floats, integers or booleans, of any shape.

    Raises
    ------
    TypeError
        If JSON cannot hold the description, or the format a tensor.
    ValueError
        If `kind` is another one, a key of the description is taken, or the header gets too long.
    OSError
        If the file cannot be written; what was there before is still there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     write_file(directory + "/file", "training", {"epoch": 3}, {"loss": np.array([0.5, 0.25])})
    ...     read_file(directory + "/file", "training", lambda description: {"loss": ((2,), "float64")})
    ({'epoch': 3}, {'loss': array([0.5 , 0.25])})
    """
    from rnn_xp import __version__  # at the top it would be a circle

    _check_kind(kind)
    taken = [key for key in _OURS if key in description]
    if taken:
        msg = f"`description` must leave {', '.join(_OURS)} to the file; got {', '.join(taken)}."
        raise ValueError(msg)
    versions = {"numpy": np.__version__, "rnn_xp": __version__}
    ours = dict(zip(_OURS, (FORMAT, FORMAT_VERSION, kind, versions), strict=True))
    words = to_json("description", {**ours, **description})
    pieces = safetensors.pieces(tensors, {FORMAT: words})
    if len(pieces[0]) > MAX_HEADER:
        msg = (
            f"`description` and the names of `tensors` must fit into {MAX_HEADER} bytes; they take "
            f"{len(pieces[0])}. What is long belongs into a tensor."
        )
        raise ValueError(msg)
    atomic_write(path, *pieces)


def read_file(
    path: PathLike, kind: str, expect: Callable[[dict[str, Any]], Expected]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the description and the tensors that `write_file` was given.

    Parameters
    ----------
    path : str or path
        Of a regular file.
    kind : {"model", "training"}
    expect : function from the description to a mapping of names to (shape, dtype) or (shape, (dtype, ...))
        Called when the header is read, and not yet any data: the tensors must be these. What it raises is
        taken as the file's fault.

    Returns
    -------
    description : dict
    tensors : dict of str to numpy.ndarray
        Writable arrays of their own memory.

    Raises
    ------
    CheckpointError
        If the file is damaged, of another kind or version, or its tensors are not what is expected.
    OSError
        FileNotFoundError, PermissionError or what else the system says.

    Examples
    --------
    See `write_file`.
    """
    _check_kind(kind)
    with _opened(path) as (stream, header, about):
        if about["kind"] != kind:
            msg = f"its kind must be {kind!r}; it is {about['kind']!r}"
            raise CheckpointError(msg)
        description = {key: value for key, value in about.items() if key not in _OURS}
        found = {place.name: (place.shape, place.dtype.newbyteorder("=")) for place in header.places}
        try:
            wrong = difference(found, expect(description))
        except CheckpointError:
            raise
        except Exception as error:
            msg = f"its description does not fit: {type(error).__name__}: {error}"
            raise CheckpointError(msg) from error
        if wrong:
            msg = f"its tensors are not those that it must have; {wrong}"
            raise CheckpointError(msg)
        return description, dict(safetensors.read_tensors(stream, header))


def read_extra(path: PathLike) -> dict[str, Any]:
    """Return what was given as `extra` to `save` or to `fit`; an empty dict where nothing was.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    dict

    Raises
    ------
    CheckpointError
        If the file is damaged, or of another format or version.
    OSError
        FileNotFoundError, PermissionError or what else the system says.
    """
    with _opened(path) as (stream, header, about):
        for _ in safetensors.read_tensors(stream, header):
            pass  # the digest is checked at their end
        extra: dict[str, Any] = about.get("extra", {})
        return extra


def to_json(name: str, value: Mapping[str, Any]) -> str:
    """Return `value` as JSON that will be read again."""
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False)
        safetensors.parse(text, "it")
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"`{name}` must be a mapping that JSON can hold; {error}."
        raise TypeError(msg) from None
    return text


def difference(found: Expected, expected: Expected) -> str:
    """Say in what the tensors that were found differ from those expected; nothing where they do not."""
    both = [(name, *found[name], *expected[name]) for name in expected if name in found]
    wrong = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [repr(name) for name in found if name not in expected],
        "of another shape": [f"{name} {a} for {b}" for name, a, _, b, _ in both if a != tuple(b)],
        "of another dtype": [f"{name} {a}" for name, _, a, _, b in both if not _is_one_of(a, b)],
    }
    return "; ".join(f"{what}: {some(names)}" for what, names in wrong.items() if names)


def some(names: list[str]) -> str:
    """Name the first of many."""
    rest = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + rest


def _is_one_of(dtype: Any, dtypes: Dtypes) -> bool:
    """Return whether a dtype is the one, or one of those, that may be."""
    return any(dtype == np.dtype(each) for each in (dtypes if isinstance(dtypes, tuple) else (dtypes,)))


def _check_kind(kind: str) -> None:
    """Refuse another kind."""
    if kind not in KINDS:
        msg = f"`kind` must be one of {', '.join(KINDS)}; got {kind!r}."
        raise ValueError(msg)


@contextlib.contextmanager
def _opened(path: PathLike) -> Iterator[tuple[safetensors.Stream, safetensors.Header, dict[str, Any]]]:
    """Open a file of ours and check its header; what is wrong with it then or later is said with its path."""
    try:
        # Without O_NONBLOCK the opening of a pipe would wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with contextlib.ExitStack() as stack:
            descriptor = os.open(path, flags)
            stack.callback(os.close, descriptor)
            size = _size(descriptor)
            stream = stack.enter_context(open(descriptor, "rb", closefd=False))
            header = safetensors.read_header(stream, size, MAX_HEADER)
            yield stream, header, _about(header)
    except CheckpointError as error:
        words = "".join(c if c.isprintable() else "?" for c in str(error)[:_MAX_WORDS]).rstrip(".")
        msg = f"`{os.fspath(path)}` cannot be loaded: {words}."
        raise CheckpointError(msg) from error.__cause__
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _size(descriptor: int) -> int:
    """Return the size of a regular file whose content is there."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        msg = "it is no regular file"
        raise CheckpointError(msg)
    stored = 512 * getattr(about, "st_blocks", 0)  # 0 where the system does not tell
    if about.st_size > _MAX_SPARSE and 0 < 64 * stored < about.st_size:
        msg = f"of its {about.st_size} bytes the disk holds {stored}: the rest are holes"
        raise CheckpointError(msg)
    return about.st_size


def _about(header: safetensors.Header) -> dict[str, Any]:
    """Return the one entry of the metadata of a file of ours."""
    if FORMAT not in header.metadata:
        msg = f"its metadata have no entry {FORMAT!r}: another program wrote it"
        raise CheckpointError(msg)
    about = safetensors.parse(header.metadata[FORMAT], "its description")
    if about.get("format") != FORMAT:
        msg = f"its format must be {FORMAT!r}; it is {about.get('format')!r}"
        raise CheckpointError(msg)
    version = about.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        msg = f"its format version is {version!r}; this rnn_xp reads {FORMAT_VERSION}: update it"
        raise CheckpointError(msg)
    if about.get("kind") not in KINDS or not isinstance(about.get("versions"), dict):
        msg = f"its description must tell its kind, {' or '.join(KINDS)}, and versions"
        raise CheckpointError(msg)
    if len(header.metadata) > 1 or header.digest is None:
        msg = f"its metadata must be {FORMAT!r} and 'sha256', a digest, and nothing else"
        raise CheckpointError(msg)
    if not isinstance(about.get("extra", {}), dict):
        msg = f"its extra must be a JSON object; it is a {type(about['extra']).__name__}"
        raise CheckpointError(msg)
    return about
