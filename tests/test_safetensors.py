"""The codec against the safetensors library, in both directions, and against files that are damaged."""

import hashlib
import io
import json
import random
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnn_xp.safetensors import CheckpointError, read, read_header, read_tensors, write

DTYPES = [
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
]


def file(header, data=b"", length=None):
    """Assemble a file from parts that need not fit together."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def equal(one, other):
    """Say whether two tables of tensors hold the same bits."""

    def bits(tensors):
        return {name: (tensor.dtype, tensor.shape, tensor.tobytes()) for name, tensor in tensors.items()}

    return bits(one) == bits(other)


@pytest.fixture
def tensors():
    bits = np.random.default_rng(0)
    shapes = [(2, 3), (4,), (), (3, 0), (1, 2, 2)]
    return {
        f"{dtype}.{i}": bits.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
        for dtype in DTYPES
        for i, shape in enumerate(shapes)
    }


def test_the_library_reads_what_we_write(tensors):
    assert equal(safetensors.numpy.load(write(tensors, {"key": "value ⊙"})), tensors)


def test_the_library_finds_our_metadata(tensors, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(write(tensors, {"b": "ü", "a": ""}))
    with safetensors.safe_open(tmp_path / "a.safetensors", "numpy") as opened:
        metadata = opened.metadata()
    assert len(metadata.pop("sha256")) == 64
    assert metadata == {"a": "", "b": "ü"}


def test_we_read_what_the_library_writes(tensors):
    back, metadata = read(safetensors.numpy.save(tensors, {"a": "1", "b": "ü"}))
    assert equal(back, tensors)
    assert metadata == {"a": "1", "b": "ü"}
    assert read(safetensors.numpy.save(tensors))[1] == {}


def test_the_bytes_of_a_small_file():
    text = (
        b'{"__metadata__":{"k":"v","sha256":"%s"},"b":{"dtype":"F64","shape":[],"data_offsets":[0,8]},'
        b'"a":{"dtype":"I16","shape":[2],"data_offsets":[8,12]}}'
    )
    got = write({"a": np.array([1, -2], "i2"), "b": np.array(1.5)}, {"k": "v"})
    header = text % got[got.index(b"sha256") + 9 :][:64]
    header += b" " * (-len(header) % 8)
    assert got == struct.pack("<Q", len(header)) + header + bytes.fromhex("000000000000f83f0100feff")


def test_equal_content_gives_equal_bytes(tensors):
    expected = write(tensors, {"a": "1", "b": "2"})
    wide = {name: np.zeros((*t.shape, 3), t.dtype) for name, t in tensors.items()}
    for name, t in tensors.items():
        wide[name][..., 1] = t
    others = [
        {name: np.asfortranarray(t) if t.ndim else t for name, t in tensors.items()},
        {name: wide[name][..., 1] for name in tensors},
        {name: t.astype(t.dtype.newbyteorder(">")) for name, t in tensors.items()},
        dict(reversed(tensors.items())),
    ]
    assert all(write(other, {"b": "2", "a": "1"}) == expected for other in others)
    assert write(*read(expected)) == expected


def test_what_is_read_is_writable_and_its_own(tensors):
    back, _ = read(write(tensors, {}))
    assert all(t.flags.writeable and t.flags.owndata and t.dtype.isnative for t in back.values())


@given(
    st.dictionaries(
        st.text().filter(lambda name: name != "__metadata__"),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))
        ),
        max_size=4,
    ),
    st.dictionaries(st.text().filter(lambda key: key != "sha256"), st.text(), max_size=3),
)
def test_any_content_survives(tensors, metadata):
    back, words = read(write(tensors, metadata))
    assert equal(back, tensors)
    assert words == metadata


DAMAGED = {
    "empty": (b"", "holds 0 bytes"),
    "short": (b"\x01\x00\x00", "holds 3 bytes"),
    "header past the end": (file({}, length=100), "header would take 100 bytes of 10"),
    "header of 2**64 - 1": (file({}, length=2**64 - 1), "header would take 18446744073709551615 bytes"),
    "header above the limit": (file(b" " * 100_000_001), "header would take 100000001 bytes"),
    "no header": (file(b""), "no valid JSON"),
    "no UTF-8": (file(b'{"\xff": 1}'), "no valid JSON"),
    "no JSON": (file(b"{'a': 1}"), "no valid JSON"),
    "deep": (file(b"[" * 200_000), "no valid JSON"),
    "huge number": (file(b'{"a":' + b"9" * 5000 + b"}"), "no valid JSON"),
    "list": (file([]), "must be a JSON object; it is a list"),
    "null": (file(None), "must be a JSON object; it is a NoneType"),
    "twice a tensor": (file(b'{"a": 1, "b": 2, "a": 1}'), "names 'a' twice"),
    "twice a key": (file(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "names 'dtype' twice"),
    "metadata no object": (file({"__metadata__": ["a"]}), "must map strings to strings"),
    "metadata no string": (file({"__metadata__": {"a": 1}}), "must map strings to strings"),
    "digest": (file({"__metadata__": {"sha256": "0" * 64}}), "does not match its SHA-256 digest"),
    "entry no object": (file({"a": 3}), "'a' must have a dtype, a shape and two offsets"),
    "entry without shape": (file({"a": {"dtype": "F32", "data_offsets": [0, 8]}}), "must have a dtype"),
    "entry with more": (file({"a": {**entry(), "code": "x"}}, b"8" * 8), "and nothing else"),
    "dtype no string": (file({"a": entry(dtype=3)}, b"8" * 8), "must have a dtype"),
    "dtype unknown": (
        file({"a": entry(dtype="BF16", end=4)}, b"4" * 4),
        "has the dtype 'BF16'; known are F64",
    ),
    "shape no list": (file({"a": {**entry(), "shape": 2}}, b"8" * 8), "must have a dtype"),
    "shape a string": (file({"a": {**entry(), "shape": "2"}}, b"8" * 8), "must have a dtype"),
    "shape a float": (file({"a": entry(shape=[2.0])}, b"8" * 8), "must have a dtype"),
    "shape a boolean": (file({"a": entry(shape=[2, True])}, b"8" * 8), "must have a dtype"),
    "shape negative": (file({"a": entry(shape=[-1, -2])}, b"8" * 8), "must have a dtype"),
    "shape enormous": (file({"a": entry(shape=[2**62, 2**62])}, b"8" * 8), "beyond what an array can have"),
    "shape enormous and empty": (
        file({"a": entry(shape=[0, 2**62, 2**62], end=0)}),
        "beyond what an array can have",
    ),
    "shape of many axes": (
        file({"a": entry(shape=[1] * 65, end=4)}, b"4" * 4),
        "beyond what an array can have",
    ),
    "three offsets": (file({"a": {**entry(), "data_offsets": [0, 4, 8]}}, b"8" * 8), "two offsets"),
    "offsets backwards": (
        file({"a": entry(begin=8, end=0)}, b"8" * 8),
        "must take 8 bytes; it has 8 to 0",
    ),
    "negative offset": (file({"a": entry(begin=-8, end=0)}, b"8" * 8), "two offsets"),
    "size": (
        file({"a": entry(shape=[3])}, b"8" * 8),
        r"F32 \(3,\), must take 12 bytes; it has 0 to 8",
    ),
    "hole": (
        file({"a": entry(begin=4, end=12)}, b"0" * 12),
        "must begin where another ends, at 0, not at 4",
    ),
    "overlap": (
        file({"a": entry(), "b": entry(begin=4, end=12)}, b"0" * 12),
        "'b' must begin where another ends, at 8, not at 4",
    ),
    "same place": (file({"a": entry(), "b": entry()}, b"0" * 8), "'b' must begin"),
    "data cut off": (file({"a": entry()}, b"0" * 7), "describes 8 bytes of data; 7 are there"),
    "data too long": (file({"a": entry()}, b"0" * 9), "describes 8 bytes of data; 9 are there"),
    "boolean of 2": (file({"a": entry("BOOL", [2], 0, 2)}, b"\x01\x02"), "bytes other than 0 and 1"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused(damage):
    data, words = DAMAGED[damage]
    with pytest.raises(CheckpointError, match=words):
        read(data)


def test_every_cut_and_every_flipped_bit_is_noticed():
    tensors, metadata = {"w": np.arange(4, dtype="f4"), "b": np.ones(2)}, {"format": "x"}
    good = write(tensors, metadata)
    for length in range(len(good)):
        with pytest.raises(CheckpointError):
            read(good[:length])
    key = good.index(b"sha256")
    for bit in range(8 * len(good)):
        if key <= bit // 8 < key + 6:  # without that name the file is one without a digest
            continue
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointError):
            read(bytes(bad))


def test_the_digest_is_that_of_the_file_with_zeros_in_its_place(tensors):
    data = write(tensors, {"quoted": '"sha256":"' + "0" * 64 + '"', "\\": '\\"sha256":"'})
    digest = read_header(io.BytesIO(data), len(data)).digest.encode()
    assert data.count(digest) == 1
    assert hashlib.sha256(data.replace(digest, b"0" * 64)).hexdigest().encode() == digest


@pytest.mark.parametrize("digest", ["", "0", "0" * 64, "é", "\ud800"])
def test_another_digest(digest):
    with pytest.raises(CheckpointError, match="SHA-256"):
        read(file({"__metadata__": {"sha256": digest}}))


def test_a_stream_that_ends_too_soon():
    good = write({"a": np.ones(2), "b": np.ones(3)}, {})
    stream = io.BytesIO(good[:-1])
    header = read_header(stream, len(good))
    with pytest.raises(CheckpointError, match="its tensor 'b' is cut off"):
        dict(read_tensors(stream, header))


TOKENS = [b"0", b"-", b"9", b'"', b",", b"{", b"[", b"]", b"\x00", b"\xff", b"1e9"]


def mutate(good, bits):
    """Change a file at random: bytes, cuts, doubled and moved pieces."""
    bad = bytearray(good)
    for _ in range(bits.choice([1, 1, 1, 2, 5])):
        a, b = sorted((bits.randrange(len(bad) + 1), bits.randrange(len(bad) + 1)))
        match bits.randrange(5):
            case 0 if bad:
                bad[bits.randrange(len(bad))] = bits.randrange(256)
            case 1:
                del bad[a:b]
            case 2:
                bad[a:a] = bad[a:b]
            case 3:
                bad[a:b] = bits.randbytes(b - a)
            case _ if bad:
                place = bits.randrange(len(bad))
                bad[place : place + 1] = bits.choice(TOKENS)
    return bytes(bad)


def test_random_mutations_give_the_right_answer_or_one_error():
    tensors = {
        "0.weight": np.arange(6.0).reshape(2, 3),
        "0.bias": np.ones(3, "f4"),
        "1": np.array([True, False]),
    }
    good = write(tensors, {"format": "rnn_xp"})
    refused, cases = 0, 2000
    for seed in range(cases):
        try:
            back, metadata = read(mutate(good, random.Random(seed)))
        except CheckpointError:
            refused += 1
            continue
        assert equal(back, tensors)
        assert metadata["format"] == "rnn_xp"
    assert refused > 0.9 * cases


@pytest.mark.parametrize(
    ("tensors", "metadata", "kind", "words"),
    [
        ({"a": [1.0]}, {}, TypeError, "`tensors` must map names to NumPy arrays .*; got 'a': list"),
        ({"a": np.ones(1, "c16")}, {}, TypeError, "got 'a': dtype complex128"),
        ({"a": np.array([None])}, {}, TypeError, "got 'a': dtype object"),
        ({1: np.ones(1)}, {}, TypeError, "got 1: dtype float64"),
        ({}, {"a": 1}, TypeError, "`metadata` must map strings to strings; got 'a': 1"),
        ({}, {1: "a"}, TypeError, "`metadata` must map strings to strings; got 1: 'a'"),
        ({"__metadata__": np.ones(1)}, {}, ValueError, 'must not have a "__metadata__"'),
        ({}, {"sha256": "a"}, ValueError, 'nor `metadata` a "sha256"'),
    ],
)
def test_what_the_format_cannot_hold_is_refused(tensors, metadata, kind, words):
    with pytest.raises(kind, match=words):
        write(tensors, metadata)
