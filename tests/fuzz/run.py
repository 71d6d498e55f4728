"""Change files of ours at random and read them: each must give what fits its description, or CheckpointError.

    python tests/fuzz/run.py --seconds 300

A quarter of the cases are files damaged anywhere; in the others the header, the description or the tensors'
entries are changed and the digest is made to fit, so that what stands behind it is reached. The number of a
case makes it again: `--first N --cases 1`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import hashlib
import json
import random
import re
import struct
import sys
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import rnn_xp as rx
from rnn_xp.checkpoint import read_file, write_file
from rnn_xp.tree import leaves

MAX_MEMORY = 100_000_000
ZEROS = b"0" * 64
MODELS = (
    rx.Sequential(rx.LSTM(2, 3, num_layers=2, bidirectional=True), rx.LastStep(), rx.Linear(6, 2)),
    rx.Sequential(rx.Embedding(5, 2), rx.GRU(2, 3, reset="before", dropout=0.5), rx.Linear(3, 5)),
    rx.RNN(1, 1, bias=False),
)
TOKENS = [b"0", b"-", b"9", b'"', b",", b"{", b"[", b"]", b"}", b"\x00", b"\xff", b"1e9", b"\\", b"NaN"]
NUMBERS = [0, 1, -1, 2, 7, 2**31, 2**53, 2**63, 2**64, 10**30, 10**101, 0.5, -0.0, 1e308, True, False]
TEXTS = ["", "../x", "/dev/null", "os.system", "LSTM", "cell", "F64", "BF16", "\ud800", "\x00", "x" * 10_000]
EVIL = [*NUMBERS, *TEXTS, None, [], {}, [1, 2], {"type": "LSTM"}, {"num_layers": 10**9}]


class Found(NamedTuple):
    """What a campaign came to."""

    cases: int
    refused: int
    peak: int  # bytes
    slowest: float  # seconds


def files(folder: Path) -> list[bytes]:
    """Return good files."""
    backend = rx.get_backend("numpy")
    for number, model in enumerate(MODELS):
        extra = {"classes": ["a", "ü"], "mean": [0.5, None]}
        rx.save(folder / str(number), model, model.init(backend, seed=number), extra)
    tensors = {"a": np.ones((2, 3)), "b": np.arange(4), "c": np.array(True)}
    shapes = {name: [tensor.shape, str(tensor.dtype)] for name, tensor in tensors.items()}
    write_file(folder / "training", "training", {"shapes": shapes, "step": 3}, tensors)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def seal(text: bytes, data: bytes) -> bytes:
    """Return a file of this header and data whose length and digest are right."""
    text = re.sub(rb'"sha256":"[^"]*"', b'"sha256":"' + ZEROS + b'"', text)
    head = struct.pack("<Q", len(text)) + text
    return head.replace(ZEROS, hashlib.sha256(head + data).hexdigest().encode(), 1) + data


def shake(good: bytes, bits: random.Random) -> bytes:
    """Change bytes; cut, double, overwrite or insert a piece."""
    bad = bytearray(good)
    for _ in range(bits.choice([1, 1, 1, 2, 5])):
        begin = bits.randrange(len(bad) + 1)
        end = min(len(bad), begin + bits.choice([1, 4, 100, len(bad)]))
        match bits.randrange(5):
            case 0 if begin < len(bad):
                bad[begin] ^= 1 << bits.randrange(8)
            case 1:
                del bad[begin:end]
            case 2:
                bad[begin:begin] = bad[begin:end]
            case 3:
                bad[begin:end] = bits.randbytes(end - begin)
            case _:
                bad[begin : begin + bits.randrange(2)] = bits.choice(TOKENS)
    return bytes(bad)


def spoil(value: Any, bits: random.Random) -> Any:
    """Change one place of a JSON value."""
    if not isinstance(value, dict | list) or not value or bits.random() < 0.1:
        return evil(bits)
    key = bits.choice(list(value)) if isinstance(value, dict) else bits.randrange(len(value))
    match bits.randrange(8):
        case 0:
            del value[key]
        case 1 if isinstance(value, dict):
            value[bits.choice(TEXTS)] = value.pop(key)
        case 2 if isinstance(value, dict):
            value[bits.choice([*TEXTS, *value])] = evil(bits)
        case 3 if isinstance(value, list):
            value[key:key] = value[: bits.choice([1, 2, 100])] * bits.choice([1, 1, 1000])
        case 4:
            value[key] = evil(bits)
        case _:
            value[key] = spoil(value[key], bits)
    return value


def evil(bits: random.Random) -> Any:
    """Return a value that seldom belongs where it is put."""
    value = copy.deepcopy(bits.choice(EVIL))
    for _ in range(bits.choice([0, 0, 0, 1, 2, 300])):
        value = bits.choice([lambda v: [v], lambda v: {"layers": [v], "type": "Sequential"}])(value)
    return value


def mutant(good: bytes, bits: random.Random) -> bytes:
    """Return a file that is wrong somewhere, or, seldom, right in another way."""
    length = int.from_bytes(good[:8], "little")
    text, data = good[8 : 8 + length], good[8 + length :]
    match bits.randrange(4):
        case 0:
            return shake(good, bits)
        case 1:
            return seal(shake(text, bits), data)
        case kind:
            header = json.loads(text)
            about = json.loads(header["__metadata__"]["rnn_xp"])
            for _ in range(bits.choice([1, 1, 2, 4])):
                if kind == 2 and isinstance(about, dict):
                    about = spoil(about, bits)
                elif kind == 3 and isinstance(header, dict):
                    header = spoil(header, bits)
            if kind == 2:
                header["__metadata__"]["rnn_xp"] = json.dumps(about)
            return seal(json.dumps(header, separators=(",", ":")).encode(), data)


def attempt(path: Path, good: bytes, data: bytes) -> bool:
    """Read a file in every way, and return whether all refuse it; other failures propagate."""
    path.write_bytes(data)
    results: list[list[np.ndarray]] = []
    with contextlib.suppress(rx.CheckpointError):
        model, params = rx.load(path, "numpy")
        model.check_params(params)
        results.append(leaves(params))
    with contextlib.suppress(rx.CheckpointError):
        results.append([*read_file(path, "training", lambda about: about["shapes"])[1].values()])
    with contextlib.suppress(rx.CheckpointError):
        rx.read_extra(path)
    for arrays in results:
        length = 8 + int.from_bytes(data[:8], "little")
        assert sorted(array.tobytes() for array in arrays) == sorted(
            split(data[length:], json.loads(data[8:length]))
        )
        assert data == good or digest(data) != digest(good), "a change that its digest does not tell"
    return not results


def split(data: bytes, header: dict[str, Any]) -> list[bytes]:
    """Return the bytes of each tensor."""
    places = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
    return [data[begin:end] for begin, end in places]


def digest(data: bytes) -> bytes:
    """Return the digest that a file holds."""
    return re.findall(rb'"sha256":"([^"]*)"', data)[0]


def campaign(cases: int | None = None, seconds: float | None = None, first: int = 0) -> Found:
    """Try so many cases, or as many as the time allows."""
    number, refused, peak, slowest = first, 0, 0, 0.0
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # weights that are not finite load with a warning
        good = files(Path(name))
        tracemalloc.start()
        try:
            while (cases is None or number < first + cases) and (
                seconds is None or time.monotonic() - start < seconds
            ):
                bits = random.Random(number)
                chosen = bits.choice(good)
                data = mutant(chosen, bits)
                tracemalloc.reset_peak()
                before, began = tracemalloc.get_traced_memory()[0], time.process_time()
                try:
                    refused += attempt(Path(name, "file"), chosen, data)
                except BaseException as error:
                    error.add_note(f"case {number}")
                    raise
                peak = max(peak, tracemalloc.get_traced_memory()[1] - before)
                slowest = max(slowest, time.process_time() - began)
                number += 1
        finally:
            tracemalloc.stop()
    return Found(number - first, refused, peak, slowest)


def main() -> None:
    """Run a campaign and tell what it found."""
    parser = argparse.ArgumentParser(description="Load files that were changed at random.")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    if options.seconds is None and options.cases is None:
        options.seconds = 60.0
    found = campaign(options.cases, options.seconds, options.first)
    sys.stdout.write(
        f"{found.cases} cases, {found.refused} refused, the rest good models; no other exception. "
        f"At most {found.peak / 1e6:.1f} MB and {found.slowest:.3f} s a case.\n"
    )
    if found.peak > MAX_MEMORY:
        sys.exit(f"More than {MAX_MEMORY / 1e6:.0f} MB.")


if __name__ == "__main__":
    main()
