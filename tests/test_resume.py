"""A training that was interrupted anywhere and went on is, bit for bit, the one that was not."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PORTABLE, open_backend
from training import LENGTHS, N, T, draw

import rnn_xp as rx
from rnn_xp import safetensors, tree
from rnn_xp.backend import to_numpy
from rnn_xp.container import write_file
from rnn_xp.train.loop import policy
from rnn_xp.train.saving import keeper
from rnn_xp.train.saving.fingerprint import digest as digest_of

X, Y, STEPS = draw(N, T, 2), np.arange(N) % 3, np.random.default_rng(1).integers(0, 3, (N, T))
TIMES = ("seconds", "sequences_per_second")

LAST = rx.Sequential(rx.GRU(2, 3), rx.Dropout(0.3), rx.LastStep(), rx.Linear(3, 3))
EACH = rx.Sequential(rx.LSTM(2, 3, num_layers=2, dropout=0.3), rx.Linear(3, 3))
TOKENS = rx.Sequential(rx.Embedding(5, 2), rx.RNN(2, 3), rx.Linear(3, 5))
LANES = rx.data.Lanes(np.random.default_rng(2).integers(0, 5, 64), 3)


def wild(step: int) -> float:
    """Send the weights beyond all numbers at step 4."""
    return 1e300 if step == 4 else 0.5


RUNS: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "plain": (LAST, X, Y, {"shuffle": False, "optimizer": rx.SGD(0.1)}),
    "adam, cosine, shuffled, float64": (
        LAST,
        X,
        Y,
        {"dtype": "float64", "schedule": rx.schedules.cosine(12), "clip_norm": 1.0},
    ),
    "momentum, lengths, weights, buckets": (
        LAST,
        X,
        Y,
        {
            "optimizer": rx.SGD(0.1, momentum=0.9),
            "lengths": LENGTHS,
            "weights": np.linspace(0.5, 2, N),
            "bucket": True,
        },
    ),
    "accumulated": (EACH, X, STEPS, {"accumulate": 2, "batch_size": 2, "lengths": LENGTHS}),
    "validation, patience": (LAST, X, Y, {"validation": 0.3, "patience": 2, "optimizer": rx.RMSprop(0.3)}),
    "truncated": (EACH, X, STEPS, {"truncate": (2, 5), "lengths": LENGTHS, "accumulate": 2, "batch_size": 2}),
    "truncated, float64": (
        LAST,
        X,
        Y,
        {"truncate": (2, 3), "lengths": LENGTHS, "dtype": "float64", "batch_size": 4, "validation": (X, Y)},
    ),
    "lanes": (TOKENS, LANES, None, {"truncate": (4, 6), "batch_size": 2, "epochs": 2}),
    "skipped": (LAST, X, Y, {"nonfinite": "skip", "optimizer": rx.AdamW(0.1), "schedule": wild}),
    "rolled back": (LAST, X, Y, {"nonfinite": "rollback", "batch_size": 1, "schedule": wild}),
}


class Stopped(Exception):  # noqa: N818
    """What ends a training in these tests."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], list[int]]]:
    """Let a training end after so many saves; return a list that holds their number."""
    save = keeper.Checkpoint.save
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the disk has the time that the test has not

    def at(limit: int | None) -> list[int]:
        saves = [0]

        def saving(self: Any, training: Any) -> None:
            save(self, training)
            saves[0] += 1
            if saves[0] == limit:
                raise Stopped

        monkeypatch.setattr(keeper.Checkpoint, "save", saving)
        return saves

    return at


def train(name: str, path: Path, **more: Any) -> rx.Result:
    model, data, y, options = RUNS[name]
    given = {
        "batch_size": 3,
        "epochs": 3,
        "seed": 4,
        "backend": "numpy",
        "checkpoint": path,
        "save_every": 0.0,
        "verbose": False,
        "optimizer": rx.Adam(0.05),
    }
    return rx.fit(model, data, y, **given | options | more)


def contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the description and the tensors of a checkpoint."""
    tensors, metadata = safetensors.read(path.read_bytes())
    return json.loads(metadata["rnn_xp"]), tensors


def digest(result: rx.Result, path: Path) -> dict[str, str]:
    """Return a SHA-256 for each part of a result and of the last checkpoint; not of what the clock said."""
    description, tensors = contents(path)
    timeless = [i for i, name in enumerate(description["history"]) if name not in TIMES]
    tensors["history"] = np.ascontiguousarray(tensors["history"][:, timeless])
    tensors |= {f"params.{i}": to_numpy(leaf) for i, leaf in enumerate(tree.leaves(result.params))}
    told = {name: hashlib.sha256(tensor.tobytes()).hexdigest() for name, tensor in tensors.items()}
    records = [{key: record[key] for key in record if key not in TIMES} for record in result.history]
    return told | {"records": repr(records), "best": repr(result.best_epoch), "rest": repr(description)}


@pytest.mark.parametrize("name", RUNS)
def test_resuming_after_any_step_gives_the_same_bits(
    name: str, tmp_path: Path, stop_after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy.Rollback, "every", 3)
    saves = stop_after(None)
    expected = digest(train(name, tmp_path / "whole"), tmp_path / "whole")
    count = saves[0]
    assert count > 2 * RUNS[name][3].get("epochs", 3)
    for limit in range(1, count + 1):
        path = tmp_path / str(limit)
        stop_after(limit)
        with pytest.raises(Stopped):
            train(name, path)
        stop_after(None)
        assert digest(train(name, path, resume=True), path) == expected, limit


@pytest.mark.parametrize("backend_name", [name for name in PORTABLE if name != "numpy_readonly"])
@pytest.mark.parametrize("name", ["accumulated", "truncated", "rolled back"])
def test_on_other_libraries_too(
    name: str, backend_name: str, tmp_path: Path, stop_after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy.Rollback, "every", 3)
    own = {"backend": open_backend(backend_name, "float32")}
    expected = digest(train(name, tmp_path / "whole", **own), tmp_path / "whole")
    for limit in (2, 7):
        path = tmp_path / str(limit)
        stop_after(limit)
        with pytest.raises(Stopped):
            train(name, path, **own)
        stop_after(None)
        assert digest(train(name, path, resume=True, **own), path) == expected


def test_resuming_again_and_again_gives_the_same_bits(tmp_path: Path, stop_after: Any) -> None:
    name, path, ended = "truncated", tmp_path / "often", False
    expected = digest(train(name, tmp_path / "whole"), tmp_path / "whole")
    while not ended:
        stop_after(3)
        try:
            result = train(name, path, resume=path.exists())
            ended = True
        except Stopped:
            pass
    assert digest(result, path) == expected


def test_when_it_is_saved_changes_no_bit(tmp_path: Path) -> None:
    results, digests = [], []
    for every in (0.0, 0.001, 1e9):
        path = tmp_path / str(every)
        results.append(train("truncated", path, save_every=every))
        digests.append(digest(results[-1], path))
    assert digests[0] == digests[1] == digests[2]
    model, data, y, options = RUNS["truncated"]
    kept = {"batch_size": 3, "epochs": 3, "seed": 4, "backend": "numpy", "optimizer": rx.Adam(0.05)}
    none = rx.fit(model, data, y, **kept | options, verbose=False)
    for one, other in zip(tree.leaves(none.params), tree.leaves(results[0].params), strict=True):
        np.testing.assert_array_equal(one, other)


# --- what may not change


def halted(tmp_path: Path, stop_after: Any, name: str = "plain") -> Path:
    """Return the checkpoint of a training that was interrupted."""
    path = tmp_path / "halted"
    stop_after(4)
    with pytest.raises(Stopped):
        train(name, path)
    stop_after(None)
    return path


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("`epochs`", {"epochs": 4}),
    ("`batch_size`", {"batch_size": 2}),
    ("`accumulate`", {"accumulate": 2}),
    ("`shuffle`", {"shuffle": True}),
    ("`bucket`", {"bucket": True}),
    ("`seed`, `params`", {"seed": 5}),
    ("`params`", {"init": "glorot"}),
    ("`loss`, `y`", {"loss": "squared_error", "y": draw(N, 3)}),
    ("`optimizer`", {"optimizer": rx.SGD(0.2)}),
    ("`optimizer`", {"optimizer": rx.Adam(0.1)}),
    ("`schedule`", {"schedule": rx.schedules.cosine(100)}),
    ("`truncate`", {"truncate": 3}),
    ("`clip_norm`, `clip_value`", {"clip_norm": 1.0, "clip_value": 1.0}),
    ("`nonfinite`", {"nonfinite": "skip"}),
    ("`patience`", {"patience": 3}),
    ("`X`", {"X": X + 1e-6}),
    ("`y`", {"y": (Y + 1) % 3}),
    ("`weights`", {"weights": np.ones(N)}),
    ("`X`, `lengths`", {"lengths": [T] * 6 + [T - 1]}),
    ("`validation`", {"validation": (X, Y)}),
    ("`params`, `dtype`, `X`", {"dtype": "float64"}),
]


@pytest.mark.parametrize(("names", "changes"), CHANGES, ids=[name for name, _ in CHANGES])
def test_another_training_is_not_gone_on_with(
    names: str, changes: dict[str, Any], tmp_path: Path, stop_after: Any
) -> None:
    path = halted(tmp_path, stop_after)
    before = path.read_bytes()
    model, _, _, options = RUNS["plain"]
    given = {"batch_size": 3, "epochs": 3, "seed": 4, "backend": "numpy", "verbose": False, "X": X, "y": Y}
    given |= {**options, **changes, "checkpoint": path, "resume": True}
    were = "they were when .*; got others" if "," in names else "it was when .*; got another"
    with pytest.raises(ValueError, match=f"must be as {were}") as caught:
        rx.fit(model, **given)
    assert str(caught.value).startswith(names)
    assert not isinstance(caught.value, rx.CheckpointError)
    other = rx.Sequential(rx.GRU(2, 3), rx.Dropout(0.2), rx.LastStep(), rx.Linear(3, 3))
    with pytest.raises(ValueError, match=r"^`model` must be as it was"):
        rx.fit(other, **(given | options | UNCHANGED))
    assert path.read_bytes() == before


UNCHANGED = {
    "X": X,
    "y": Y,
    "epochs": 3,
    "batch_size": 3,
    "accumulate": 1,
    "bucket": False,
    "seed": 4,
    "init": "pytorch",
    "loss": "cross_entropy",
    "schedule": None,
    "truncate": None,
    "clip_norm": None,
    "clip_value": None,
    "nonfinite": "stop",
    "patience": None,
    "weights": None,
    "lengths": None,
    "validation": None,
    "dtype": "float32",
}


def test_a_digest_tells_shapes_and_dtypes_too() -> None:
    zeros = [None, np.zeros(6), np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(12, np.float32), np.zeros(0)]
    told = {digest_of([array]) for array in zeros} | {digest_of(zeros[:2]), digest_of([])}
    assert len(told) == 8


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, stop_after: Any) -> None:
    path = halted(tmp_path, stop_after, "truncated")
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(rx.CheckpointError, match="cannot be loaded"):
            train("truncated", path, resume=True)
    path.write_bytes(whole[:-9])
    with pytest.raises(rx.CheckpointError):
        train("truncated", path, resume=True)


DAMAGES: list[tuple[str, Any]] = [
    ("epoch", 9),
    ("batch", 99),
    ("taken", 1),
    ("taken", 10**30),
    ("window", 1),
    ("steps", -1),
    ("steps", 2**63),
    ("steps", 2),  # of which three are this epoch's
    ("skipped", 1),
    ("rollbacks", 1),
    ("in_a_row", 1),
    ("since", 4),
    ("finished", 1),
    ("finished", True),  # in the first epoch
    ("seconds", "0"),
    ("seconds", -1.0),
    ("bad", 3),
    ("history", ["a", "a"]),
    ("history", None),
    ("best_epoch", 3),
    ("best", True),
    ("carried", True),
    ("snapshot", {"sums": [0.0, 0], "optimizer": {}}),
    ("sums", [1.0, 2, 0]),
    ("sums", [1.0, 1]),
    ("sums", [0.0, 2]),
    ("sums", None),
    ("optimizer", {"steps": 1}),
    ("unknown", 1),
]


@pytest.mark.parametrize(("name", "value"), DAMAGES)
def test_a_description_that_no_training_has_is_refused(
    name: str, value: Any, tmp_path: Path, stop_after: Any
) -> None:
    path = halted(tmp_path, stop_after)
    ours, tensors = parts(path)
    write_file(path, "training", {**ours, name: value}, tensors)
    with pytest.raises(rx.CheckpointError, match=f"'{name}' is none of this training"):
        train("plain", path, resume=True)
    left_out = next(key for key in ours if key not in ("arguments", "extra"))
    write_file(path, "training", {key: ours[key] for key in ours if key != left_out}, tensors)
    with pytest.raises(rx.CheckpointError, match=f"'{left_out}' is none of this training"):
        train("plain", path, resume=True)
    write_file(path, "training", ours, {**tensors, "weights": tensors["weights"].astype(np.float64)})
    with pytest.raises(rx.CheckpointError, match="weights"):
        train("plain", path, resume=True)


def parts(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what `write_file` was given."""
    description, tensors = contents(path)
    ours = ("format", "format_version", "kind", "versions")
    return {key: description[key] for key in description if key not in ours}, tensors


def cell(name: str, value: float) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    """Return what writes a value into the first record."""

    def write(said: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        tensors["history"][0, said["history"].index(name)] = value

    return write


def change(**values: Any) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    """Return what changes a description."""
    return lambda said, _: said.update(values)


def drop(name: str) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    """Return what leaves a column of the history out."""

    def write(said: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        place = said["history"].index(name)
        said["history"].remove(name)
        tensors["history"] = np.delete(tensors["history"], place, axis=1)

    return write


def fill(name: str, value: float) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    """Return what fills a tensor."""

    def write(_: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        tensors[name][...] = value

    return write


def rename(name: str, other: str) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    """Return what renames a column of the history."""
    return lambda said, _: said["history"].__setitem__(said["history"].index(name), other)


def without_best(said: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Leave the best weights out."""
    said["best"] = False
    del tensors["best"]


def worsen_the_best(said: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Give the best epoch the largest loss."""
    tensors["history"][said["best_epoch"] - 1, said["history"].index("val_loss")] = 1e9


IMPOSSIBLE: list[tuple[str, str, Any]] = [
    ("validation, patience", "finished", change(finished=False)),
    ("validation, patience", "epoch", change(epoch=5)),
    ("validation, patience", "best", without_best),
    ("validation, patience", "best", fill("best", np.nan)),
    ("validation, patience", "best_epoch", change(best_epoch=0)),
    ("validation, patience", "weights", fill("weights", np.inf)),
    ("validation, patience", "optimizer", fill("optimizer.square", np.nan)),
    ("validation, patience", "sums", fill("sums", np.nan)),
    ("validation, patience", "batch", change(batch=1)),
    *[
        ("validation, patience", "history", cell(name, value))
        for name, value in (
            ("epoch", 2.0),
            ("epoch", np.nan),
            ("loss", np.inf),
            ("lr", np.nan),
            ("seconds", -1.0),
        )
    ],
    *[("validation, patience", "history", drop(name)) for name in ("epoch", "loss", "seconds", "val_loss")],
    ("validation, patience", "history", rename("val_accuracy", "accuracy")),
    ("validation, patience", "best_epoch", worsen_the_best),
    ("skipped", "history", cell("skipped", 0.5)),
    ("skipped", "history", cell("skipped", 2.0**32)),
    ("adam, cosine, shuffled, float64", "optimizer", change(optimizer={"steps": -1})),
    ("adam, cosine, shuffled, float64", "optimizer", change(optimizer={"steps": 2**32})),
]


@pytest.mark.parametrize(("name", "what", "damage"), IMPOSSIBLE)
def test_an_end_that_no_training_has_is_refused(name: str, what: str, damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "done"
    train(name, path, save_every=1e9)
    said, tensors = parts(path)
    tensors = {key: tensor.copy() for key, tensor in tensors.items()}
    damage(said, tensors)
    write_file(path, "training", said, tensors)
    with pytest.raises(rx.CheckpointError, match=rf"`{path}` cannot be loaded: its '{what}[^ ]*' is none of"):
        train(name, path, resume=True)


WINDOWS: list[tuple[str, dict[str, Any]]] = [
    ("window", {"window": 99}),
    ("carried", {"carried": False}),
    ("taken", {"taken": 0}),
]


@pytest.mark.parametrize(("what", "values"), WINDOWS)
def test_a_window_that_no_training_is_at_is_refused(
    what: str, values: dict[str, Any], tmp_path: Path, stop_after: Any
) -> None:
    path = tmp_path / "halted"
    stop_after(2)
    with pytest.raises(Stopped):
        train("lanes", path)
    stop_after(None)
    said, tensors = parts(path)
    assert (said["window"], said["carried"]) == (1, True)
    write_file(path, "training", {**said, **values}, tensors)
    with pytest.raises(rx.CheckpointError, match=f"'{what}' is none of this training"):
        train("lanes", path, resume=True)
    spoilt = {
        key: np.full_like(value, np.nan) if "carried" in key else value for key, value in tensors.items()
    }
    write_file(path, "training", said, spoilt)
    with pytest.raises(rx.CheckpointError, match=r"'carried\.0.*' is none of this training"):
        train("lanes", path, resume=True)


def test_what_a_callback_writes_into_is_its_own(tmp_path: Path, stop_after: Any) -> None:
    def write(epoch: rx.Epoch) -> None:
        epoch.record["loss"] = "mine"
        epoch.record.pop("lr")
        epoch.history[0].clear()
        epoch.history.clear()

    stop_after(None)  # the disk has the time that the test has not
    expected = train("plain", tmp_path / "a")
    path = tmp_path / "b"
    result = train("plain", path, callbacks=[write, lambda epoch: epoch.record["lr"] < 0])
    assert [record["loss"] for record in result.history] == [record["loss"] for record in expected.history]
    assert train("plain", path, resume=True).history == result.history


def test_a_callback_may_go_to_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: Any
) -> None:
    stop_after(None)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    train("plain", Path("own"), callbacks=lambda _: os.chdir(tmp_path / "elsewhere"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["elsewhere", "own"]
    os.chdir(tmp_path)
    assert len(train("plain", Path("own"), resume=True).history) == 3


# --- the file


def test_a_finished_training_gives_its_result_again_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "done"
    first = train("validation, patience", path)
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    again = train("validation, patience", path, resume=True, callbacks=lambda _: pytest.fail("trained"))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, written)
    assert (again.history, again.best_epoch) == (first.history, first.best_epoch)
    assert again.train_seconds == pytest.approx(first.train_seconds)
    for one, other in zip(tree.leaves(again.params), tree.leaves(first.params), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_callback_that_ends_the_training_ends_it_for_good(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    told: list[rx.Epoch] = []

    def second(epoch: rx.Epoch) -> bool:
        told.append(epoch)
        return epoch.record["epoch"] == 2

    assert len(train("plain", path, callbacks=second).history) == 2
    assert len(train("plain", path, callbacks=second, resume=True).history) == 2
    assert [len(epoch.history) for epoch in told] == [1, 2]


def test_what_is_there_is_not_written_over_and_what_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError, match="there is no checkpoint to go on from"):
        train("plain", path, resume=True)
    path.write_bytes(b"mine")
    with pytest.raises(
        ValueError, match=r"`checkpoint` must be a new file, or `resume` True, .* which is there"
    ):
        train("plain", path)
    assert path.read_bytes() == b"mine"
    with pytest.raises(rx.CheckpointError, match="cannot be loaded"):
        train("plain", path, resume=True)
    with pytest.raises(FileNotFoundError):
        train("plain", tmp_path / "none" / "a", callbacks=lambda _: pytest.fail("trained"))
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_else_the_checkpoint_holds(tmp_path: Path, stop_after: Any) -> None:
    path = tmp_path / "a"
    stop_after(2)
    with pytest.raises(Stopped):
        train("plain", path, extra={"options": ["--epochs", 3]})
    stop_after(None)
    assert rx.read_extra(path) == {"options": ["--epochs", 3]}
    for extra in ([1], {"a": object()}, {"a": float("nan")}):
        with pytest.raises(TypeError, match="`extra` must be a mapping that JSON can hold"):
            train("plain", tmp_path / "b", extra=extra)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"resume": True}, ValueError, "`checkpoint` must be the path of a file where `resume` is given"),
        ({"extra": {}}, ValueError, "`checkpoint` must be the path of a file where `extra` is given"),
        ({"checkpoint": 3}, TypeError, "`checkpoint` must be the path of a file; got 3"),
        ({"checkpoint": b"a"}, TypeError, "`checkpoint` must be the path of a file; got b'a'"),
        (
            {"checkpoint": ""},
            ValueError,
            "`checkpoint` must be the path of a file; got '', which no file can",
        ),
        (
            {"checkpoint": "a\0b"},
            ValueError,
            r"`checkpoint` must be the path of a file; got 'a\\x00b', which",
        ),
        ({"save_every": -1}, ValueError, "`save_every` must be a finite number >= 0; got -1"),
        ({"resume": 1}, TypeError, "`resume` must be True or False; got 1"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rx.fit(LAST, X, Y, verbose=False, **options)
