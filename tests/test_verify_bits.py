"""The pinned digest against a Philox of unsigned 64-bit integers, written anew; every library against it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from support import PORTABLE, open_backend

from rnn_xp.verify import bits


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Return the words of counters (N, 4), as the paper's Figure draws a round."""
    c = counter.astype(np.uint64)
    k = [np.uint64(word) for word in key]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        first, second = c[:, 0] * np.uint64(0xD2511F53), c[:, 2] * np.uint64(0xCD9E8D57)
        c = np.stack(
            [
                (second >> np.uint64(32)) ^ c[:, 1] ^ k[0],
                second & low,
                (first >> np.uint64(32)) ^ c[:, 3] ^ k[1],
                first & low,
            ],
            axis=1,
        )
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return c


def test_what_is_pinned_is_philox() -> None:
    for counter, key, words in bits.KNOWN:
        assert philox(np.asarray([counter]), key)[0].tolist() == list(words)
    counters = np.zeros((bits.COUNTERS, 4), np.int64)
    counters[:, 0] = np.arange(bits.COUNTERS)
    digest = hashlib.sha256(philox(counters, (0, 0)).astype("<u4").tobytes()).hexdigest()
    assert digest == bits.SHA256
    assert bits.COUNTERS * 4 == 10**6


@pytest.mark.parametrize("name", ["numpy", *PORTABLE])
def test_every_library_draws_the_same_bits(name: str) -> None:
    report = bits.random_bits(open_backend(name)).require()
    assert [finding.check for finding in report] == ["known answer"] * 3 + ["SHA-256"]


def test_other_bits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = bits.philox

    def off_by_a_bit(counter: Any, key: Any) -> Any:
        first, *rest = real(counter, key)
        return (first ^ 1, *rest)

    monkeypatch.setattr(bits, "philox", off_by_a_bit)
    report = bits.random_bits("numpy")
    assert [finding.outcome for finding in report] == ["failed"] * 4
    assert report.failures[-1].detail.endswith(f"not {bits.SHA256}")
