"""The random bits of dropout: the published answers, and a million words by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from rnn_xp.backend import Backend, get_backend
from rnn_xp.random import philox
from rnn_xp.verify.report import FAILED, PASSED, Finding, Report

KNOWN = (
    ((0x00000000,) * 4, (0x00000000,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
"""Random123's known answers of Philox-4x32-10: counter, key, words."""

COUNTERS = 250_000
SHA256 = "b3efaf8b49053c8345caaf5718651c6f4179eef628873760fb9199d1c8baf768"
"""Of the words of the counters (n, 0, 0, 0), n < 250,000, under the key (0, 0): 32 bits, little-endian."""


def random_bits(backend: str | Backend = "numpy") -> Report:
    """Check that a backend draws the random bits that every other one draws.

    Parameters
    ----------
    backend : str or Backend

    Returns
    -------
    Report
        Random123's three known answers, and the SHA-256 of a million words.

    Examples
    --------
    >>> random_bits("numpy").passed
    True
    """
    backend = get_backend(backend)
    findings = []
    for counter, key, expected in KNOWN:
        a, b, c, d = (_own(backend, [word]) for word in counter)
        came = tuple(int(backend.to_numpy(word)[0]) for word in philox((a, b, c, d), key))
        told = "" if came == expected else f"got {came}, not {expected}"
        findings.append(_equal("known answer", f"counter {counter[0]:#010x}...", told))
    n = _own(backend, np.arange(COUNTERS))
    zero = _own(backend, [0])
    million = [backend.to_numpy(word) for word in philox((n, zero, zero, zero), (0, 0))]
    digest = hashlib.sha256(np.stack(million, axis=1).astype("<u4").tobytes()).hexdigest()
    told = "" if digest == SHA256 else f"got {digest}, not {SHA256}"
    findings.append(_equal("SHA-256", f"{4 * COUNTERS} words", told))
    return Report(f"random bits on {backend.name} ({backend.device})", tuple(findings))


def _own(backend: Backend, words: Any) -> Any:
    """Return words as an int64 array of the backend."""
    return backend.asarray(np.asarray(words, dtype=np.int64))


def _equal(check: str, subject: str, told: str) -> Finding:
    return Finding(check, subject, FAILED if told else PASSED, detail=told)
