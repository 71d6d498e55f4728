"""A text file as tokens on disk: read and written in pieces, so that neither need fit in memory."""

from __future__ import annotations

import codecs
import io
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.atomic import atomic_write
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
    out: str | os.PathLike[str] | None,
    vocabulary: Vocabulary,
    unknown: str | None = None,
) -> NDArray[Any]:
    """Write the tokens of a text file in UTF-8 to a ``.npy`` file, whole or not at all, or to a nameless one.

    Parameters
    ----------
    path : str or path
        A byte order mark is left out; ends of lines become single newlines, as Python reads text.
    out : str, path or None
        A file that is there is replaced, once the new one is complete; until then both take their room. None:
        a file where TMPDIR says, which goes with the last array that looks into it.
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
    source, target = arguments.path("path", path), None if out is None else arguments.path("out", out)
    if not isinstance(vocabulary, Vocabulary):
        msg = f"`vocabulary` must be a Vocabulary; got {type(vocabulary).__name__}."
        raise TypeError(msg)
    if unknown is not None:
        arguments.text("unknown", unknown)
    folder = tempfile.gettempdir() if target is None else os.path.dirname(target) or "."
    tokens = _nameless(source, folder, vocabulary, unknown)
    if target is None:
        return tokens
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(tokens))
    atomic_write(target, header.getvalue(), tokens.data)
    written: NDArray[Any] = np.load(target, mmap_mode="r", allow_pickle=False)
    return written


def _nameless(source: str, folder: str, vocabulary: Vocabulary, unknown: str | None) -> NDArray[Any]:
    """Return the tokens of a file in another one, without a name, in as few bytes as they need."""
    size = len(vocabulary.characters)
    dtype = np.dtype("<u1" if size <= 256 else "<u2" if size <= 65_536 else "<i4")
    length = 0
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for piece in pieces(source):
                file.write(_tokens(vocabulary, piece, unknown, source, length).astype(dtype).data)
                length += len(piece)
            if length:
                file.flush()
                return np.memmap(file, dtype, mode="r")
    except OSError as error:
        if error.filename is None:  # the system names no file where it cannot write
            error.filename = folder
        raise
    msg = f"{source}: a text must hold at least one character; got none."
    raise ValueError(msg)


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
