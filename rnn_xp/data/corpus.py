"""A text file as tokens on disk: read and written in pieces, so that neither need fit in memory."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.data import arguments
from rnn_xp.data.text import Vocabulary

_BLOCK = 1 << 20  # bytes that are read at once


def vocabulary_of_file(path: str | os.PathLike[str]) -> Vocabulary:
    """Return the characters of a text file in UTF-8, in the order of their code points.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    OSError
        If the file cannot be read.
    ValueError
        If it is not in UTF-8, or empty.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "text.txt")
    ...     _ = path.write_text("abba", encoding="utf-8")
    ...     vocabulary_of_file(path)
    Vocabulary(characters=('a', 'b'))
    """
    characters: set[str] = set()
    for piece in pieces(path):
        characters.update(piece)
    if not characters:
        msg = f"{path}: a text must hold at least one character; got none."
        raise ValueError(msg)
    return Vocabulary(tuple(sorted(characters)))


def encode_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    vocabulary: Vocabulary,
    unknown: str | None = None,
) -> NDArray[Any]:
    """Write the tokens of a text file in UTF-8 to a ``.npy`` file, whole or not at all.

    Parameters
    ----------
    path : str or path
        A byte order mark is left out; ends of lines become single newlines, as Python reads text.
    out : str or path
        A file that is there is replaced, once the new one is complete.
    vocabulary : Vocabulary
        `vocabulary_of_file` gives the file's own.
    unknown : str, optional
        The known character that stands for every unknown one.

    Returns
    -------
    tokens : array of shape (L,), uint8, uint16 or int32, the smallest that holds V
        A read-only ``numpy.memmap``, for `Lanes`; ``numpy.load(out, mmap_mode="r")`` gives it again.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    OSError
        If a file cannot be read or written.
    ValueError
        If the text is empty, not in UTF-8, or holds an unknown character while `unknown` is not given or is
        unknown itself.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "text.txt")
    ...     _ = path.write_text("abba", encoding="utf-8")
    ...     encode_file(path, path.with_suffix(".npy"), vocabulary_of_file(path)).tolist()
    [0, 1, 1, 0]
    """
    source, target = arguments.path("path", path), Path(arguments.path("out", out))
    if not isinstance(vocabulary, Vocabulary):
        msg = f"`vocabulary` must be a Vocabulary; got {type(vocabulary).__name__}."
        raise TypeError(msg)
    if unknown is not None:
        arguments.text("unknown", unknown)
    length = sum(map(len, pieces(path)))
    if length == 0:
        msg = f"{source}: a text must hold at least one character; got none."
        raise ValueError(msg)
    size = len(vocabulary.characters)
    dtype = np.dtype("<u1" if size <= 256 else "<u2" if size <= 65_536 else "<i4")
    header = {"descr": dtype.str, "fortran_order": False, "shape": (length,)}
    part = target.parent / f".{os.urandom(8).hex()}.tmp"
    try:
        with open(part, "xb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            start = 0
            for piece in pieces(path):
                file.write(_tokens(vocabulary, piece, unknown, source, start).astype(dtype).data)
                start += len(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    tokens: NDArray[Any] = np.load(target, mmap_mode="r", allow_pickle=False)
    return tokens


def _tokens(
    vocabulary: Vocabulary, piece: str, unknown: str | None, source: str, start: int
) -> NDArray[np.int64]:
    """Encode a piece; what is unknown is named by its position in the file."""
    try:
        return vocabulary.encode(piece, unknown)
    except ValueError:
        known = set(vocabulary.characters)
        place = next(index for index, character in enumerate(piece) if character not in known)
        msg = (
            f"{source}: the text must hold only the {len(known)} characters of the vocabulary; got "
            f"{piece[place]!r} at position {start + place}. `unknown` names one to put in its place."
        )
        raise ValueError(msg) from None


def pieces(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the text of a file in UTF-8, a megabyte at a time; its lines end in one newline.

    The errors are those of `vocabulary_of_file`, but that an empty file gives nothing.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    with open(arguments.path("path", path), "rb") as file:
        more = True
        while more:
            block = file.read(_BLOCK)
            more = bool(block)
            try:
                yield decoder.decode(block, final=not more)
            except UnicodeDecodeError as error:
                byte, place = error.object[error.start], file.tell() - len(error.object) + error.start
                must = f"{path}: a text must be in UTF-8"
                msg = f"{must}; got the byte {byte:#04x} at position {place}. Save it as UTF-8."
                raise ValueError(msg) from None
