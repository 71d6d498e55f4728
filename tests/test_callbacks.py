"""Callbacks that write: CSV files, and events for TensorBoard, read back."""

from __future__ import annotations

import copy
import csv
import pickle
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import CLASSES, X, classifier, train

import rnn_xp as rx

MODEL = classifier()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_text(history: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in record.items()} for record in history]


# CSV


def test_every_epoch_is_a_row_that_gives_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    seen = []

    def look(epoch: rx.Epoch) -> None:
        seen.append(len(rows(path)))

    result = train(MODEL, X, CLASSES, epochs=3, validation=0.3, callbacks=[rx.callbacks.CSV(path), look])
    assert seen == [1, 2, 3]  # whole after each
    assert rows(path) == as_text(result.history)
    for row, record in zip(rows(path), result.history, strict=True):
        assert {name: float(value) for name, value in row.items()} == record
    assert path.read_bytes().count(b"\r") == 0


def test_a_training_that_goes_on_goes_on_in_the_file(tmp_path: Path) -> None:
    path, checkpoint = tmp_path / "history.csv", tmp_path / "checkpoint"

    class PowerCutError(Exception):
        pass

    def cut(epoch: rx.Epoch) -> None:
        if epoch.record["epoch"] == 3:
            raise PowerCutError

    options = {"epochs": 5, "checkpoint": checkpoint}
    with pytest.raises(PowerCutError):  # of epoch 3 the file tells, the checkpoint does not
        train(MODEL, X, CLASSES, **options, callbacks=[rx.callbacks.CSV(path), cut])
    assert [row["epoch"] for row in rows(path)] == ["1", "2", "3"]
    result = train(MODEL, X, CLASSES, **options, resume=True, callbacks=rx.callbacks.CSV(path))
    assert rows(path) == as_text(result.history)
    assert [row["epoch"] for row in rows(path)] == ["1", "2", "3", "4", "5"]


def test_new_columns_come_last_and_are_empty_before(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "new": "a,b", "loss": None}]
    rx.callbacks.CSV(path)(rx.Epoch(history[-1], (), False, history))
    assert path.read_text() == 'epoch,loss,new\n1,0.5,\n2,,"a,b"\n'


def test_csv_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write = rx.callbacks.CSV("history.csv")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    write(rx.Epoch({"epoch": 1}, (), False, [{"epoch": 1}]))
    assert (tmp_path / "history.csv").exists()


# TensorBoard


def events(directory: Path) -> list[Any]:
    """Return the events of all files in a directory: records of a length, its sum, the message, its sum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(directory.iterdir()):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            found.append(Event.FromString(content[place + 12 : place + 12 + length]))
            place += length + 16
    return found


def scalars(directory: Path) -> dict[tuple[str, int], float]:
    """Return the scalars by name and epoch."""
    values = [(event, value) for event in events(directory) for value in event.summary.value]
    found = {(value.tag, event.step): value.simple_value for event, value in values}
    assert len(found) == len(values)  # none twice
    return found


def expected(history: list[dict[str, Any]]) -> dict[tuple[str, int], float]:
    return {
        (name, record["epoch"]): float(np.float32(value))
        for record in history
        for name, value in record.items()
        if name != "epoch"
    }


def test_scalars_are_those_of_the_history(tmp_path: Path) -> None:
    counts = []

    def look(epoch: rx.Epoch) -> None:
        counts.append(len(scalars(tmp_path / "runs")))

    with rx.callbacks.TensorBoard(tmp_path / "runs") as board:
        result = train(MODEL, X, CLASSES, epochs=3, validation=0.3, callbacks=[board, look])
    assert scalars(tmp_path / "runs") == expected(result.history)
    names = {"loss", "gradient_norm", "lr", "seconds", "sequences_per_second", "val_loss", "val_accuracy"}
    assert {name for name, _ in scalars(tmp_path / "runs")} - {"padding"} == names
    assert counts == [7, 14, 21]  # on the disk after each epoch


def test_a_training_that_goes_on_takes_back_what_it_repeats(tmp_path: Path) -> None:
    runs, options = tmp_path / "runs", {"epochs": 4, "checkpoint": tmp_path / "checkpoint"}

    def cut(epoch: rx.Epoch) -> None:
        if epoch.record["epoch"] == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), rx.callbacks.TensorBoard(runs) as board:
        train(MODEL, X, CLASSES, **options, callbacks=[board, cut])
    with rx.callbacks.TensorBoard(runs) as board:
        train(MODEL, X, CLASSES, **options, resume=True, callbacks=board)
    found = events(runs)
    assert [event.step for event in found if event.session_log.status == 1] == [1, 2]  # readers drop the rest
    assert [event.step for event in found if event.summary.value] == [1, 2, 2, 3, 4]
    assert [event.file_version for event in found if event.file_version] == ["brain.Event:2"] * 2


def test_a_board_that_was_closed_begins_another_file(tmp_path: Path) -> None:
    board = rx.callbacks.TensorBoard(tmp_path)
    for epoch in (1, 2):
        board(rx.Epoch({"epoch": epoch, "loss": 0.5}, (), False, []))
        board.close()
        board.close()
    assert scalars(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 0.5}


@pytest.mark.parametrize("again", [copy.deepcopy, lambda board: pickle.loads(pickle.dumps(board))])
def test_a_copy_of_an_open_board_writes_a_file_of_its_own(again: Any, tmp_path: Path) -> None:
    with rx.callbacks.TensorBoard(tmp_path) as board:
        board(rx.Epoch({"epoch": 1, "loss": 0.5}, (), False, []))
        with again(board) as other:
            other(rx.Epoch({"epoch": 2, "loss": 0.25}, (), False, []))
        board(rx.Epoch({"epoch": 3, "loss": 0.125}, (), False, []))  # it is still open
    assert len(list(tmp_path.iterdir())) == 2
    assert scalars(tmp_path) == {("loss", 1): 0.5, ("loss", 2): 0.25, ("loss", 3): 0.125}


def test_an_estimator_with_callbacks_is_cloned(tmp_path: Path) -> None:
    """As cross-validation does, which copies every argument."""
    sklearn = pytest.importorskip("sklearn.base")
    callbacks = [rx.callbacks.TensorBoard(tmp_path / "runs"), rx.callbacks.CSV(tmp_path / "history.csv")]
    estimator = rx.RNNClassifier(hidden_size=3, epochs=2, random_state=0, callbacks=callbacks)
    estimator.fit(X, CLASSES)
    own = sklearn.clone(estimator).fit(X, CLASSES)
    assert rows(tmp_path / "history.csv") == as_text(own.history_)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    for board in (estimator.callbacks[0], own.callbacks[0]):
        board.close()


def test_tensorboard_needs_its_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("tensorboardX.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"rx\.callbacks\.TensorBoard needs tensorboardX"):
        rx.callbacks.TensorBoard(tmp_path)


def test_refusals() -> None:
    with pytest.raises(TypeError, match="`path` must be a path; got int"):
        rx.callbacks.CSV(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`directory` must be a path; got NoneType"):
        rx.callbacks.TensorBoard(None)  # type: ignore[arg-type]
