"""A text file as tokens on disk."""

import errno
import tempfile
import tracemalloc

import numpy as np
import pytest

from rnn_xp.data import Vocabulary, corpus, encode_file, vocabulary_of_file


@pytest.fixture(params=[3, 1 << 20], ids=["many pieces", "one piece"])
def pieces(request, monkeypatch):
    monkeypatch.setattr(corpus, "_BLOCK", request.param)


@pytest.fixture
def text(tmp_path):
    def write(content):
        path = tmp_path / "text.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.usefixtures("pieces")
def test_a_text_becomes_tokens(text, tmp_path):
    path = text("\ufeffnaïve\r\n🐍 snake\rend")
    known = vocabulary_of_file(path)
    assert known.characters == tuple(sorted(set("naïve\n🐍 snake\nend")))
    tokens = encode_file(path, tmp_path / "out.npy", known)
    assert "".join(known.characters[token] for token in tokens) == "naïve\n🐍 snake\nend"
    assert isinstance(tokens, np.memmap)
    assert not tokens.flags.writeable
    again = np.load(tmp_path / "out.npy")
    assert again.tolist() == tokens.tolist()


@pytest.mark.parametrize(("size", "dtype"), [(256, "u1"), (257, "<u2"), (65_536, "<u2"), (65_537, "<i4")])
def test_the_smallest_integers_that_hold_the_vocabulary(size, dtype, text, tmp_path):
    known = Vocabulary(tuple(map(chr, [*range(32, 0xD800), *range(0xE000, 0x11000)][:size])))
    last, first = known.characters[-1], known.characters[0]
    tokens = encode_file(text(last + first), tmp_path / "out.npy", known)
    assert (tokens.tolist(), tokens.dtype) == ([size - 1, 0], np.dtype(dtype))


@pytest.mark.usefixtures("pieces")
def test_unknown_characters(text, tmp_path):
    known, path = Vocabulary(("a", "b", "?")), text("abbaxb")
    tokens = encode_file(path, tmp_path / "out.npy", known, unknown="?")
    assert tokens.tolist() == [0, 1, 1, 0, 2, 1]
    words = r"text.txt: the text must hold only the 3 characters of the vocabulary; got 'x' at position 4"
    for unknown in (None, "!"):
        with pytest.raises(ValueError, match=words):
            encode_file(path, tmp_path / "out.npy", known, unknown)


def test_a_file_is_written_whole_or_not_at_all(text, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "_BLOCK", 2)
    path, out = text("aabb"), tmp_path / "out.npy"
    with pytest.raises(ValueError, match="got 'b' at position 2"):
        encode_file(path, out, Vocabulary(("a",)))
    assert sorted(tmp_path.iterdir()) == [path]
    encode_file(path, out, Vocabulary(("a", "b")))
    before = out.read_bytes()
    with pytest.raises(ValueError, match="got 'b' at position 2"):
        encode_file(path, out, Vocabulary(("a",)))
    assert out.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [out, path]


@pytest.mark.usefixtures("pieces")
def test_what_is_no_text(text, tmp_path):
    out, known = tmp_path / "out.npy", Vocabulary(("a",))
    for content, words in (
        (
            b"aaaa\xffa",
            "text.txt: a text must be in UTF-8; got the byte 0xff at position 4. Save it as UTF-8",
        ),
        (b"\xef\xbb\xbfaa\xc3", "got the byte 0xc3 at position 5"),
        (b"", "text.txt: a text must hold at least one character; got none"),
    ):
        path = text(content)
        with pytest.raises(ValueError, match=words):
            vocabulary_of_file(path)
        with pytest.raises(ValueError, match=words):
            encode_file(path, out, known)
    with pytest.raises(FileNotFoundError):
        vocabulary_of_file(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        encode_file(text("a"), tmp_path / "none" / "out.npy", known)
    assert not out.exists()


@pytest.mark.usefixtures("pieces")
def test_a_file_without_a_name(text, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = text("żółw\r\nto\rjest\n🐢")
    known = vocabulary_of_file(path)
    tokens = encode_file(path, None, known)
    assert known.decode(tokens) == "żółw\nto\njest\n🐢"
    assert isinstance(tokens, np.memmap)
    assert (tokens.dtype, tokens.flags.writeable) == (np.uint8, False)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="at least one character"):
        encode_file(text(""), None, known)


def test_a_folder_without_room_is_named(text, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match="No space left") as caught:
        encode_file(text("a"), tmp_path / "out.npy", Vocabulary(("a",)))
    assert caught.value.filename == str(tmp_path)


def test_a_large_file_is_never_held(tmp_path):
    path = tmp_path / "text.txt"
    with path.open("w") as file:
        for _ in range(40):
            file.write("abcdefgh" * 125_000)
    tracemalloc.start()
    try:
        tokens = encode_file(path, tmp_path / "out.npy", vocabulary_of_file(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tokens.shape == (40_000_000,)
    assert tokens[::4_999_999].tolist() == [place * 4_999_999 % 8 for place in range(9)]
    assert peak < 60_000_000  # tokens alone are 320 MB as int64
