"""Texts: read in blocks, and kept as tokens in a file where they may be larger than memory."""

from __future__ import annotations

import codecs
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp.data import Vocabulary, vocabulary

BLOCK = 2**20
"""Bytes that are read at once."""


def read_text(path: str) -> str:
    """Return the text of a file."""
    return "".join(blocks(path))


def blocks(path: str) -> Iterator[str]:
    """Yield the text of a file, part by part."""
    utf_8 = codecs.getincrementaldecoder("utf-8-sig")()
    decoder = io.IncrementalNewlineDecoder(utf_8, translate=True)
    with open(path, "rb") as file:
        while True:
            block = file.read(BLOCK)
            try:
                yield decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                byte, place = error.object[error.start], file.tell() - len(error.object) + error.start
                msg = f"{path}: a text must be in UTF-8; got the byte {byte:#04x} at position {place}."
                raise ValueError(msg) from error
            if not block:
                return


def tokens(text: Callable[[], Iterable[str]]) -> tuple[Vocabulary, NDArray[Any]]:
    """Return the characters of a text, which comes in parts and is asked for twice, and its tokens (T,).

    They lie in a nameless file where TMPDIR says, in as few bytes as they need.
    """
    characters: set[str] = set()
    for part in text():
        characters.update(part)
    known = vocabulary("".join(characters))
    dtype = np.min_scalar_type(len(characters) - 1)
    with tempfile.TemporaryFile() as file:
        for part in text():
            file.write(known.encode(part).astype(dtype).tobytes())
        file.flush()
        return known, np.asarray(np.memmap(file, dtype, mode="r"))
