"""Lanes of a corpus, in memory and on disk."""

import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_xp.data import Lanes


def by_hand(tokens, count, start, stop, reset_at=None):
    """Return (x, target, where a document begins) of a window, token by token."""
    steps = (len(tokens) - 1) // count
    rows = []
    for t in range(start, stop):
        places = [lane * steps + t for lane in range(count)]
        begins = [place == 0 or tokens[place - 1] == reset_at for place in places]
        rows.append(([tokens[p] for p in places], [tokens[p + 1] for p in places], begins))
    return [list(part) for part in zip(*rows, strict=True)]


def test_lanes_are_contiguous_and_predict_the_next_token():
    lanes = Lanes(np.arange(100, 111), 3)  # 10 steps to read, in lanes of 3: one is left over
    assert (lanes.count, lanes.steps, lanes.dropped, lanes.reset_at) == (3, 3, 1, None)
    x, target = lanes.window(0, 3)
    assert x.tolist() == [[100, 103, 106], [101, 104, 107], [102, 105, 108]]
    assert target.tolist() == [[101, 104, 107], [102, 105, 108], [103, 106, 109]]
    assert lanes.resets(0, 3) is None


@settings(deadline=None)
@given(st.data())
def test_any_window(data):
    tokens = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=40))
    count = data.draw(st.integers(1, len(tokens) - 1))
    lanes = Lanes(np.array(tokens, dtype=np.uint8), count, reset_at=2)
    assert lanes.steps * count + lanes.dropped == len(tokens) - 1
    assert 0 <= lanes.dropped < count
    start = data.draw(st.integers(0, lanes.steps - 1))
    stop = data.draw(st.integers(start + 1, lanes.steps))
    x, target = lanes.window(start, stop)
    assert [x.tolist(), target.tolist(), lanes.resets(start, stop).tolist()] == by_hand(
        tokens, count, start, stop, reset_at=2
    )


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i4", "i8"])
def test_windows_are_int64_whatever_the_corpus_is(dtype):
    lanes = Lanes(np.arange(9).astype(dtype), 2, reset_at=4)
    x, target = lanes.window(1, 3)
    assert (x.tolist(), target.tolist()) == ([[1, 5], [2, 6]], [[2, 6], [3, 7]])
    assert x.dtype == target.dtype == np.int64
    assert x.flags.c_contiguous
    assert target.flags.c_contiguous
    assert lanes.resets(1, 3).tolist() == [[False, True], [False, False]]
    assert lanes.resets(1, 3).dtype == np.bool_


def test_windows_are_copies():
    tokens = np.arange(9)
    x, target = Lanes(tokens, 2).window(0, 4)
    assert not np.shares_memory(x, target)
    x[:], target[:] = -1, -2
    assert tokens.tolist() == list(range(9))


def test_the_corpus_begins_a_document_and_every_lane_looks_back():
    lanes = Lanes([1, 9, 2, 9, 3, 9, 4], 3, reset_at=9)
    assert lanes.window(0, 2)[0].tolist() == [[1, 2, 3], [9, 9, 9]]
    assert lanes.resets(0, 2).tolist() == [[True, True, True], [False, False, False]]
    assert Lanes([1, 9, 2, 8, 3], 2, reset_at=8).resets(0, 1).tolist() == [[True, False]]


def digest_by_hand(tokens, count, reset_at=None):
    """Follow the documented words, block by block."""
    text = f"{tokens.dtype.str} {len(tokens)} {count} {reset_at}\n".encode()
    if len(tokens) <= 4_194_304:
        return hashlib.sha256(text + tokens.tobytes()).hexdigest()
    starts = [block * (len(tokens) - 65_536) // 63 for block in range(64)]
    blocks = b"".join(tokens[start : start + 65_536].tobytes() for start in starts)
    return hashlib.sha256(text + blocks).hexdigest()


@pytest.mark.parametrize("size", [10, 4_194_304, 4_194_305, 6_000_000])
def test_a_fingerprint_is_what_it_says(size):
    tokens = np.random.default_rng(0).integers(0, 200, size, dtype=np.uint8)
    assert Lanes(tokens, 2).fingerprint() == digest_by_hand(tokens, 2)
    assert Lanes(tokens, 2, reset_at=3).fingerprint() == digest_by_hand(tokens, 2, 3)


def test_a_fingerprint_tells_corpora_apart():
    tokens = np.arange(100, dtype=np.uint8)
    changed = tokens.copy()
    changed[57] += 1
    others = [
        Lanes(tokens, 4),
        Lanes(tokens, 5),
        Lanes(tokens, 4, reset_at=0),
        Lanes(tokens[:-1], 4),
        Lanes(changed, 4),
        Lanes(tokens.astype(np.uint16), 4),
    ]
    assert len({lanes.fingerprint() for lanes in others}) == 6
    assert Lanes(tokens.copy(), 4).fingerprint() == others[0].fingerprint()


def test_a_strided_corpus_reads_as_its_copy():
    tokens = np.arange(40, dtype=np.int32)[::2]
    lanes, same = Lanes(tokens, 3), Lanes(tokens.copy(), 3)
    assert lanes.window(2, 5)[1].tolist() == same.window(2, 5)[1].tolist()
    assert lanes.fingerprint() == same.fingerprint()


def test_a_corpus_of_gigabytes_is_never_held(tmp_path):
    size = 3 * 2**30
    tokens = np.memmap(
        tmp_path / "corpus", dtype=np.uint16, mode="w+", shape=size
    )  # a hole: it costs no disk
    tokens[1_000_000] = 7
    tracemalloc.start()
    try:
        lanes = Lanes(tokens, 64, reset_at=7)
        x, _ = lanes.window(1_000_000, 1_000_128)
        begins = lanes.resets(1_000_000, 1_000_128)
        lanes.fingerprint()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.shares_memory(lanes.tokens, tokens)
    assert x[0, 0] == 7
    assert np.argwhere(begins).tolist() == [[1, 0]]
    assert x.sum() == 7
    assert peak < 1_000_000  # the two arrays of a window are 128 kB


@pytest.mark.parametrize(
    ("tokens", "count", "error", "words"),
    [
        ([0.0, 1.0, 2.0], 1, TypeError, "`tokens` must hold integers that fit in int64; got dtype float64"),
        ([True, False], 1, TypeError, "got dtype bool"),
        ("text", 1, TypeError, "got dtype <U4"),
        (np.zeros(3, dtype=np.uint64), 1, TypeError, "got dtype uint64"),
        (np.ma.zeros(3, dtype=int), 1, TypeError, "`tokens` must be a plain array; got a masked one"),
        ([[0, 1], [2, 3]], 1, ValueError, r"`tokens` must have shape \(L,\); got \(2, 2\)"),
        (np.array(1), 1, ValueError, r"`tokens` must have shape \(L,\); got \(\)"),
        ([0, 1, 2], 3, ValueError, r"`tokens` must hold at least count \+ 1 = 4 tokens; got 3"),
        (np.zeros(0, dtype=int), 1, ValueError, r"at least count \+ 1 = 2 tokens; got 0"),
        ([0, 1], 0, ValueError, "`count` must be an integer of at least 1; got 0"),
        ([0, 1], 1.0, TypeError, "`count` must be an integer of at least 1; got 1.0"),
    ],
)
def test_what_is_no_corpus(tokens, count, error, words):
    with pytest.raises(error, match=words):
        Lanes(tokens, count)


@pytest.mark.parametrize(
    ("reset_at", "error", "words"),
    [
        (-1, ValueError, "`reset_at` must be an integer of at least 0; got -1"),
        ("\n", TypeError, r"`reset_at` must be an integer of at least 0; got '\\n'"),
    ],
)
def test_what_ends_no_document(reset_at, error, words):
    with pytest.raises(error, match=words):
        Lanes([0, 1], 1, reset_at=reset_at)


@pytest.mark.parametrize("method", ["window", "resets"])
@pytest.mark.parametrize(
    ("bounds", "error", "words"),
    [
        ((-1, 2), ValueError, "`start` must be an integer of at least 0 and at most 3; got -1"),
        ((4, 5), ValueError, "`start` must be an integer of at least 0 and at most 3; got 4"),
        ((2, 2), ValueError, "`stop` must be an integer of at least 3 and at most 4; got 2"),
        ((2, 5), ValueError, "`stop` must be an integer of at least 3 and at most 4; got 5"),
        ((0.0, 2), TypeError, "`start` must be an integer"),
        ((0, None), TypeError, "`stop` must be an integer"),
    ],
)
def test_windows_that_are_not_there(method, bounds, error, words):
    lanes = Lanes(np.arange(9), 2)
    with pytest.raises(error, match=words):
        getattr(lanes, method)(*bounds)
