"""Characters, windows, and the trigram."""

import math
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_xp.data import Vocabulary, python_text, split, trigram_bits, vocabulary, windows
from rnn_xp.data.text import _estimates


@settings(deadline=None)
@given(st.text(min_size=1))
def test_decoding_undoes_encoding(text):
    known = vocabulary(text)
    tokens = known.encode(text)
    assert tokens.dtype == np.int64
    assert [known.characters[token] for token in tokens] == list(text)
    assert known.decode(tokens) == text


def test_tokens_are_places_in_the_vocabulary():
    assert vocabulary("banana").characters == ("a", "b", "n")
    assert Vocabulary(("n", "a", "🐍", "b")).encode("ban🐍").tolist() == [3, 1, 0, 2]
    assert vocabulary("a").encode("").tolist() == []


def test_unknown_characters():
    known = Vocabulary(("b", "a", "?"))
    assert known.encode("abc\ud800a", unknown="?").tolist() == [1, 0, 2, 2, 1]
    with pytest.raises(ValueError, match=r"`text` must hold only the 3 characters .* got 'x' at position 1"):
        known.encode("axy")
    with pytest.raises(ValueError, match="got 'x' at position 1"):
        known.encode("axy", unknown="!")


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([0, -1], "`tokens` must hold tokens in 0..V - 1 with V = 2; got -1"),
        ([0, 2], "got 2"),
        ([[0]], r"`tokens` must have shape \(T,\); got \(1, 1\)"),
    ],
)
def test_decode_refuses(tokens, words):
    with pytest.raises(ValueError, match=words):
        Vocabulary(("a", "b")).decode(tokens)


def test_no_text_has_no_vocabulary():
    with pytest.raises(ValueError, match="`text` must hold at least one character; got none"):
        vocabulary("")


def test_python_text_is_what_help_prints():
    text = python_text()
    assert "Boolean operations" in text
    if sys.version_info[:3] == (3, 11, 7):  # its text changes with every release
        assert len(text) == 465_126


def test_split_holds_back_the_end():
    assert split("0123456789" * 2) == ("012345678901234567", "89")
    train, held_out = split(np.arange(8), 0.25)
    assert (train.tolist(), held_out.tolist()) == ([0, 1, 2, 3, 4, 5], [6, 7])


def test_split_refuses():
    with pytest.raises(
        ValueError, match=r"`text` must be long enough to hold back 0.1 of it; got 9 character\(s\)"
    ):
        split("012345678")
    for share in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="`held_out` must be a finite number > 0 and < 1"):
            split("0123456789", share)


def test_windows_predict_the_next_token_and_drop_the_rest():
    X, y = windows(np.arange(10), 4)
    assert X.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert y.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert windows(np.arange(9), 4)[0].shape == (2, 4)
    assert windows(np.arange(8), 4)[0].shape == (1, 4)


def test_windows_refuse():
    with pytest.raises(ValueError, match=r"`tokens` must hold at least length \+ 1 = 5 tokens; got 4"):
        windows(np.arange(4), 4)
    with pytest.raises(ValueError, match="`length` must be an integer of at least 1; got 0"):
        windows(np.arange(4), 0)


def test_a_coin_has_one_bit():
    coin = np.random.default_rng(0).integers(0, 2, 60_000)
    # Each of the 4 contexts was seen over 10,000 times: what the estimates lose is far below 1e-3.
    assert trigram_bits(coin[:50_000], coin[50_000:], size=2) == pytest.approx(1, abs=1e-3)


def test_a_second_order_source_has_its_own_entropy():
    # x[t] = x[t-1] xor x[t-2] xor noise of probability 0.1: only triples tell anything.
    rng = np.random.default_rng(1)
    noise = (rng.random(100_000) < 0.1).astype(int)
    x = [0, 1]
    for error in noise.tolist():
        x.append(x[-1] ^ x[-2] ^ error)
    held_out = np.array(x[90_000:])
    share = noise[90_000:].mean()
    expected = -(share * math.log2(0.1) + (1 - share) * math.log2(0.9))
    assert trigram_bits(np.array(x[:90_000]), held_out, size=2) == pytest.approx(expected, abs=2e-3)


def test_the_estimates_are_those_of_plain_counting():
    rng = np.random.default_rng(2)
    counted, scored = rng.integers(0, 4, 60).tolist(), rng.integers(0, 5, 200).tolist()
    singles, pairs = Counter(counted), Counter(pairwise(counted))
    triples = Counter(zip(counted, counted[1:], counted[2:], strict=False))
    rows = []
    for a, b, c in zip(scored, scored[1:], scored[2:], strict=False):
        one = singles[c] / 60
        after_b = sum(pairs[b, x] for x in range(5))
        two = pairs[b, c] / after_b if after_b else one
        after_ab = sum(triples[a, b, x] for x in range(5))
        rows.append((1 / 5, one, two, triples[a, b, c] / after_ab if after_ab else two))
    np.testing.assert_allclose(
        _estimates(np.array(counted), np.array(scored), 5), np.transpose(rows), rtol=1e-15
    )


def test_a_character_never_seen_still_has_a_probability():
    assert math.isfinite(trigram_bits(np.arange(1000) % 2, np.array([0, 2, 2, 1]), size=3))


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the text is that of Python 3.11")
def test_the_trigram_on_python_text():
    text = python_text()
    known = vocabulary(text)
    train, held_out = split(known.encode(text))
    assert 2.5 < trigram_bits(train, held_out, len(known.characters)) < 2.62


@pytest.mark.parametrize(
    ("train", "held_out", "words"),
    [
        ([0] * 29, [0] * 3, "`train` must hold at least 30 tokens; got 29"),
        ([0] * 30, [0] * 2, "`held_out` must hold at least 3 tokens; got 2"),
        ([0] * 30, [0, 0, 2], "`held_out` must hold tokens in 0..V - 1 with V = 2; got 2"),
        ([-1] * 30, [0] * 3, "`train` must hold tokens in 0..V - 1 with V = 2; got -1"),
    ],
)
def test_trigram_refuses(train, held_out, words):
    with pytest.raises(ValueError, match=words):
        trigram_bits(train, held_out, size=2)
