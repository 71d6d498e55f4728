"""Files made to do harm, and single flipped bits: one kind of error, in little memory and time."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import struct
import time
import tracemalloc
import zlib

import pytest
from fuzz.run import MAX_MEMORY, campaign

import rnn_xp as rx

MODEL = rx.Sequential(rx.LSTM(8, 8), rx.LastStep(), rx.Linear(8, 3))
LSTM = {"type": "LSTM", "input_size": 1, "hidden_size": 1}
DROPOUT = {"type": "Dropout", "rate": 0.5}
EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
MIB = 1 << 20


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a good file, whose header ends in padding."""
    path = tmp_path_factory.mktemp("good") / "model.safetensors"
    params = MODEL.init(rx.get_backend("numpy"), seed=1)
    for length in range(8):
        rx.save(path, MODEL, params, {"x": "x" * length})
        data = path.read_bytes()
        if parts(data)[0].endswith(b" " * 7):
            return data
    raise AssertionError


def parts(data):
    """Return the header, as text, and the data."""
    length = int.from_bytes(data[:8], "little")
    return data[8 : 8 + length], data[8 + length :]


def about_of(good):
    """Return its description, as a JSON value."""
    return json.loads(json.loads(parts(good)[0])["__metadata__"]["rnn_xp"])


def seal(text, data=b"", length=None):
    """Return a file with this header, made so that its digest fits."""
    text = text if isinstance(text, bytes) else json.dumps(text, separators=(",", ":")).encode()
    raw = struct.pack("<Q", len(text) if length is None else length) + text + data
    digest = hashlib.sha256(raw).hexdigest().encode()
    return raw.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest, 1)


def described(about, tensors=None, **more):
    """Return a header: a description, as a JSON value or as text, and entries of tensors."""
    about = about if isinstance(about, str) else json.dumps(about)
    return {"__metadata__": {"rnn_xp": about, **more, "sha256": "0" * 64}, **(tensors or {})}


def edited(good, place, value):
    """Return the good file with another value at a place of its description."""
    text, data = parts(good)
    header = json.loads(text)
    about = json.loads(header.pop("__metadata__")["rnn_xp"])
    inner = about
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return seal(described(about, header), data)


def retensored(good, change):
    """Return the good file after `change` of its tensors' entries."""
    text, data = parts(good)
    header = json.loads(text)
    about = header.pop("__metadata__")["rnn_xp"]
    more = change(header)
    return seal(described(about, header), data + (more or b""))


def set_entry(name, **changes):
    return lambda good: retensored(good, lambda header: header[name].update(changes))


def renamed(new):
    return lambda good: retensored(good, lambda header: header.update({new: header.pop("2.bias")}))


def model(config, *layers):
    """Return what gives a file another model, and the order of the gates in its layers of these names."""

    def change(good):
        gates = {name: list("ifgo") for name in layers}
        return edited(edited(good, ["gate_order"], gates), ["model"], config)

    return change


def replaced(old, new):
    return lambda good: seal(*(part.replace(old, new) for part in unsealed(good)))


def unsealed(good):
    text, data = parts(good)
    return re.sub(rb'"sha256":"\w+"', b'"sha256":"' + b"0" * 64 + b'"', text), data


def about_text(text):
    return lambda good: seal(described(text))


def nested(depth):
    config = LSTM
    for _ in range(depth):
        config = {"type": "Sequential", "layers": [config]}
    return config


def many_tensors(good):
    return seal(described(about_of(good), {f"{i}": EMPTY for i in range(30_000)}))


HOSTILE = {
    "empty": lambda good: b"",
    "seven bytes": lambda good: good[:7],
    "zeros": lambda good: bytes(MIB),
    "ones": lambda good: b"\xff" * MIB,
    "a pickle": lambda good: b"cos\nsystem\n(S'touch pwned'\ntR.",
    "a zip": lambda good: b"PK\x03\x04" + good,
    "compressed": lambda good: zlib.compress(good),
    "header of 2**64 - 1": lambda good: b"\xff" * 8 + good[8:],
    "header of 2**63": lambda good: struct.pack("<Q", 2**63) + good[8:],
    "header past the end": lambda good: struct.pack("<Q", len(good) - 7) + good[8:],
    "header of 3 MB": lambda good: seal(described("x" * 3_000_000)),
    "header without end": lambda good: good[: len(parts(good)[0])],
    "cut by a byte": lambda good: good[:-1],
    "a byte too many": lambda good: seal(unsealed(good)[0], unsealed(good)[1] + b"\x00"),
    "two files": lambda good: good + good,
    "lists 2 MB deep": lambda good: seal(b"[" * 1_999_000),
    "objects 2 MB deep": lambda good: seal(b'{"a":' * 400_000),
    "lists 2 MB wide": lambda good: seal(b'{"__metadata__":{},"a":[' + b"[]," * 600_000 + b"[]]}"),
    "objects 2 MB wide": lambda good: seal(b'{"__metadata__":{},"a":[' + b"{}," * 600_000 + b"{}]}"),
    "description deep": about_text("[" * 1_900_000),
    "description wide": about_text('{"a":[' + "[]," * 600_000 + "[]]}"),
    "description of strings": about_text(json.dumps([f"{i:x}" for i in range(150_000)])),
    "description twice": replaced(rb'{\"extra\"', rb'{\"extra\": 1, \"extra\"'),
    "NaN": replaced(rb'\"x\": \"', rb'\"y\": NaN, \"x\": \"'),
    "infinity": replaced(rb'\"x\": \"', rb'\"y\": 1e999, \"x\": \"'),
    "a number of 4000 digits": replaced(rb'\"x\": \"', rb'\"y\": 1' + b"9" * 4000 + rb', \"x\": \"'),
    "no digest": lambda good: seal(re.sub(rb',"sha256":"\w+"', b"", parts(good)[0]), parts(good)[1]),
    "digest in capitals": lambda good: re.sub(rb"[0-9a-f]{64}", lambda m: m[0].upper(), good),
    "digest of zeros": lambda good: struct.pack("<Q", len(parts(good)[0])) + b"".join(unsealed(good)),
    "metadata a list": lambda good: seal({"__metadata__": ["rnn_xp"]}),
    "more metadata": lambda good: seal(described(about_of(good), pickle="x")),
    "another format": lambda good: edited(good, ["format"], "pt"),
    "a later version": lambda good: edited(good, ["format_version"], 2),
    "another kind": lambda good: edited(good, ["kind"], "training"),
    "a kind of list": lambda good: edited(good, ["kind"], [[]]),
    "a key too many": lambda good: edited(good, ["code"], "import os"),
    "gates in another order": lambda good: edited(good, ["gate_order", "0.0"], list("ifog")),
    "extra no object": lambda good: edited(good, ["extra"], "x"),
    "name twice": replaced(b'"2.bias":', b'"2.weight":'),
    "name of a path": renamed("../../../etc/passwd"),
    "name of a root": renamed("/etc/passwd"),
    "name with a NUL": renamed("2.bias\x00"),
    "name of half a character": renamed("\ud800"),
    "name of a megabyte": renamed("x" * 1_500_000),
    "tensor missing": lambda good: retensored(good, lambda header: header.pop("2.bias") and None),
    "thirty thousand tensors": many_tensors,
    "shape enormous": set_entry("2.bias", shape=[2**62, 2**62]),
    "shape enormous and empty": set_entry("2.bias", shape=[2**62, 2**62, 0]),
    "shape negative": set_entry("2.bias", shape=[-3]),
    "shape of another size": set_entry("2.bias", shape=[4]),
    "shape of many axes": set_entry("2.bias", shape=[1] * 99 + [3]),
    "shape turned": set_entry("2.weight", shape=[8, 3]),
    "offsets overlapping": set_entry("0.0.bias_hh", data_offsets=[128, 256]),
    "offsets beyond the end": set_entry("2.bias", data_offsets=[10**15, 10**15 + 12]),
    "offsets negative": set_entry("2.bias", data_offsets=[-12, 0]),
    "offsets no integers": set_entry("2.bias", data_offsets=[0.0, 12.0]),
    "a hole": lambda good: retensored(good, lambda h: h.update(x={**EMPTY, "data_offsets": [9**9] * 2})),
    "integers for weights": set_entry("2.bias", dtype="I32"),
    "dtype unknown": set_entry("2.bias", dtype="OBJECT"),
    "a billion layers": model({"type": "Sequential", "layers": [{**LSTM, "num_layers": 10**9}]}),
    "thirteen thousand layers": model({**LSTM, "num_layers": 13_000}, *map(str, range(13_000))),
    "many layers of many layers": model({"type": "Sequential", "layers": [{**LSTM, "num_layers": 99}] * 999}),
    "thirteen thousand models": model({"type": "Sequential", "layers": [LSTM] * 13_000}),
    "six thousand models": model(
        {"type": "Sequential", "layers": [LSTM] * 6_000}, *(f"{i}.0" for i in range(6_000))
    ),
    "six thousand dropouts": model({"type": "Sequential", "layers": [DROPOUT] * 6_000}),
    "a model in twenty models": model(nested(22)),
    "a model in twenty models, and minus a billion layers": model(
        {"type": "Sequential", "layers": [nested(21), {**LSTM, "num_layers": -(10**9)}]}
    ),
    "a model in four hundred models": model(nested(400)),
    "a model in a few models": model(nested(12), "0" + ".0" * 12),
    "units enormous": model({**LSTM, "hidden_size": 10**98}, "0"),
    "units no integer": model({**LSTM, "hidden_size": 1e308}),
    "tokens enormous": model({"type": "Embedding", "num_tokens": 2**62, "size": 2**62}),
    "layer of code": model({"type": "os.system"}),
    "layer unhashable": model({"type": []}),
    "cell of code": model({**LSTM, "type": "Recurrent", "cell": "__import__('os')"}),
    "activation of code": model({**LSTM, "activations": ["eval", "exec", "os"]}),
    "an argument unknown": model({**LSTM, "__class__": "x"}),
    "a name of a megabyte": model({"type": "x" * 1_000_000}),
    "model no object": model([1]),
    "model null": model(None),
}  # fmt: skip


def refused(path):
    """Load a file, which must be refused, and return the memory that it took."""
    backend = rx.get_backend("numpy")
    start = time.process_time()
    with pytest.raises(rx.CheckpointError, match=r"cannot be loaded: .{1,500}\.$") as caught:
        rx.load(path, backend)
    assert time.process_time() - start < 30  # what grows with the square of a file takes minutes
    assert str(caught.value).isprintable()
    caught = None
    tracemalloc.start()
    try:
        with pytest.raises(rx.CheckpointError):
            rx.load(path, backend)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_there_are_enough():
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_little_memory_and_time(case, good, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(HOSTILE[case](good))
    assert path.read_bytes() != good
    assert refused(path) < MAX_MEMORY


def test_the_good_file_loads(good, tmp_path):
    for data in (good, seal(*unsealed(good)), edited(good, ["extra"], {})):
        (tmp_path / "model.safetensors").write_bytes(data)
        assert rx.load(tmp_path / "model.safetensors", "numpy")[0] == MODEL


@pytest.mark.parametrize("described_too", [False, True])
def test_a_file_of_terabytes_that_are_not_there(described_too, good, tmp_path):
    path, units = tmp_path / "model.safetensors", 750_000
    text = good[8:]
    if described_too:  # a model whose weights would be as large
        shapes = {"weight_hh": [4 * units, units], "weight_ih": [4 * units, 1]}
        config, entries, end = {**LSTM, "hidden_size": units, "bias": False}, {}, 0
        for name, shape in shapes.items():
            begin, end = end, end + 4 * shape[0] * shape[1]
            entries[f"0.{name}"] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
        about = {**about_of(good), "model": config}
        about["gate_order"] = {"0": list("ifgo")}
        data = seal(described(about, entries))
        size = len(data) + end
    else:
        data, size = struct.pack("<Q", 2**40) + text, 10 * 2**40
    path.write_bytes(data)
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("the file system has no files of terabytes")
    assert refused(path) < MAX_MEMORY
    if described_too:
        with pytest.raises(rx.CheckpointError, match="the rest are holes"):
            rx.read_extra(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize("kind", ["directory", "pipe", "device", "link to a device"])
def test_what_is_no_file_is_refused(kind, tmp_path):
    path = tmp_path / "model.safetensors"
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = "/dev/zero"
        case _:
            path.symlink_to("/dev/zero")
    for function in (lambda path: rx.load(path, "numpy"), rx.read_extra):
        with pytest.raises(rx.CheckpointError, match="it is no regular file"):
            function(path)


def test_no_flipped_bit_loads(good, tmp_path):
    text, _ = parts(good)
    padding = len(text) - len(text.rstrip(b" "))
    begin = 8 + len(text)
    ranges = {"length": (0, 8), "padding": (begin - padding, begin)}
    bits = [bit for start, end in ranges.values() for bit in range(8 * start, 8 * end)]
    chosen = random.Random(0)
    bits += chosen.sample(range(64, 8 * (begin - padding)), 700)
    bits += chosen.sample(range(8 * begin, 8 * len(good)), 700)
    assert len(bits) >= 1_500
    path, backend = tmp_path / "model.safetensors", rx.get_backend("numpy")
    for bit in bits:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        with pytest.raises(rx.CheckpointError):
            rx.load(path, backend)


def test_what_a_short_campaign_of_the_fuzzer_finds():
    found = campaign(cases=400)
    assert found.cases == 400
    assert 300 < found.refused < 400  # some are good in another way
    assert found.peak < MAX_MEMORY
