"""What `fit` may call after every epoch besides functions of your own: the history as CSV, TensorBoard."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rnn_xp import checks
from rnn_xp.atomic import PathLike, atomic_write

if TYPE_CHECKING:
    from rnn_xp.train.loop.result import Epoch


class CSV:
    """Writes the history to a file of comma-separated values, a row for every epoch.

    After each epoch the file is replaced by one with all epochs of the training, whole at any moment. So a
    training that is resumed from a checkpoint goes on in the same file.

    Parameters
    ----------
    path : path
        A file in a directory that is there. What it holds is replaced.

    Raises
    ------
    TypeError
        If `path` is none.
    OSError
        While training, if the file cannot be written.

    Notes
    -----
    The columns are the names of the history, in the order in which they came; a cell is empty where an epoch
    has no such number. Floats are written so that reading them gives the same bits.

    Examples
    --------
    >>> import tempfile, rnn_xp as rx
    >>> data = rx.data.sign_of_sum(50, seed=0)
    >>> model = rx.Sequential(rx.GRU(1, 4), rx.LastStep(), rx.Linear(4, 2))
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "history.csv")
    ...     result = rx.fit(model, data.X, data.y, epochs=3, callbacks=rx.callbacks.CSV(path), verbose=False)
    ...     lines = path.read_text().splitlines()
    >>> len(lines), lines[0]
    (4, 'epoch,loss,gradient_norm,lr,seconds,sequences_per_second')
    """

    def __init__(self, path: PathLike) -> None:
        self.path = _path("path", path)

    def __call__(self, epoch: Epoch) -> None:
        """Write all epochs up to this one."""
        names = dict.fromkeys(name for record in epoch.history for name in record)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(epoch.history)
        atomic_write(self.path, text.getvalue().encode())


class TensorBoard:
    """Writes the numbers of every epoch as scalars for TensorBoard.

    Parameters
    ----------
    directory : path
        Where TensorBoard looks; it is made where it is not there. A training that is resumed goes on in it:
        of the epochs from there on, what is there already is no longer shown.

    Raises
    ------
    TypeError
        If `directory` is no path.
    ModuleNotFoundError
        If there is no tensorboardX to write with.
    OSError
        While training, if the directory cannot be written to.

    Notes
    -----
    The scalars have the names of the history: loss, val_loss, gradient_norm, lr, sequences_per_second, ...;
    steps are epochs. They are on the disk after each epoch. The file is closed by `close`, or at the end of a
    `with` statement::

        with rx.callbacks.TensorBoard("runs/gru") as board:
            rx.fit(model, X, y, callbacks=board)
    """

    def __init__(self, directory: PathLike) -> None:
        self.directory = _path("directory", directory)
        _events()
        self._file: Any = None

    def __call__(self, epoch: Epoch) -> None:
        """Write the numbers of an epoch."""
        number = epoch.record["epoch"]
        if self._file is None:
            self._open(number)
        numbers = {name: value for name, value in epoch.record.items() if name != "epoch"}
        values = [{"tag": name, "simple_value": value} for name, value in numbers.items()]
        self._write(step=number, summary={"value": values})
        self._file.flush()

    def close(self) -> None:
        """Close the file; another epoch would begin a new one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, number: int) -> None:
        """Begin a file, from this epoch on: what other files say of it and later ones is void."""
        from tensorboardX import RecordWriter

        self.directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        self._file = RecordWriter(str(self.directory / name))
        self._write(file_version="brain.Event:2")
        self._write(step=number, session_log={"status": _events().SessionLog.START})

    def _write(self, **content: Any) -> None:
        """Write an event; unlike tensorboardX's own writer, without a thread that may be behind."""
        self._file.write(_events().Event(wall_time=time.time(), **content).SerializeToString())

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy begins with: it opens a file of its own."""
        return {**self.__dict__, "_file": None}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _events() -> Any:
    """Return the messages that TensorBoard reads."""
    return checks.optional("tensorboardX.proto.event_pb2", "tensorboard", "rx.callbacks.TensorBoard")


def _path(name: str, value: Any) -> Path:
    """Return a path that stays the same when a callback goes to another directory."""
    if not isinstance(value, str | os.PathLike):
        msg = f"`{name}` must be a path; got {type(value).__name__}."
        raise TypeError(msg)
    return Path(value).absolute()
