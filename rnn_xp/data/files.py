"""Data sets in files: .npz, .csv in long form, and the .ts of the UEA/UCR archive."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import checks
from rnn_xp.data import arguments
from rnn_xp.data.labels import Task, are_numbers, encode_labels, listed, targets
from rnn_xp.data.longform import read_sequences
from rnn_xp.data.sequences import Dataset, Layout, pad, to_time_major, valid_steps

NEEDS_AEON = 'needs the aeon package; install it with: pip install "rnn-xp[aeon]"'


def load(
    path: str | os.PathLike[str],
    *,
    layout: Layout = "NTC",
    id: str = "id",
    time: str = "time",
    target: str = "target",
    task: Task = None,
    per_step: bool | None = None,
) -> Dataset:
    """Read a data set, by the extension of its name.

    Parameters
    ----------
    path : str or path
        ``.npz``: arrays ``X``, ``y`` (optional) and ``lengths`` (optional). X has three axes in the order of
        `layout`, or two: floats are then a single channel, integers tokens. In every layout y begins with N:
        (N,), (N, T), or (N, K) for numbers. Nothing is ever unpickled.

        ``.csv``: a header, then a row for each time step, in any order. Sequences come in the order in which
        their ids first appear, their steps by ascending time. All columns but `id`, `time` and `target` are
        features. A target that is constant within every sequence belongs to the sequence, y (N,); if it
        changes within any, it belongs to the step, y (N, T), zero past a sequence's end.

        ``.ts``: read through the optional aeon package.
    layout : {"NTC", "TNC", "NCT"}
        The order of the axes of X in an ``.npz`` file.
    id, time, target : str
        Columns of a ``.csv`` file. Without a column `target` the file is read for prediction: y is None.
    task : {"classification", "regression"}, optional
        What the targets are. By default integers and text are names of classes, other numbers are numbers (in
        a ``.ts`` file its header decides).

    per_step : bool, optional
        Whether the targets of a ``.csv`` file belong to its steps, y (N, T), or to its sequences, y (N,). By
        default as above; in other files the shape of y says it.

    Returns
    -------
    Dataset
        X is (N, T, C) whatever the layout of the file; `lengths` is None where every sequence has T steps.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    OSError
        If the file cannot be opened.
    ValueError
        If it does not hold what its extension promises, with the path and the place; or if aeon is missing.
    """
    source = arguments.path("path", path)
    for name, column in (("id", id), ("time", time), ("target", target)):
        arguments.text(name, column)
    checks.one_of("layout", layout, ("NTC", "TNC", "NCT"))
    checks.one_of("task", task, (None, "classification", "regression"))
    if per_step is not None:
        checks.boolean("per_step", per_step)
    suffix = os.path.splitext(source)[1].lower()
    if suffix not in (".npz", ".csv", ".ts"):
        msg = f"{source}: the name of a data file must end in .npz, .csv or .ts; got {suffix!r}."
        raise ValueError(msg)
    with open(source, "rb"):
        pass  # what cannot be opened fails here, in the words of the operating system
    try:
        if suffix == ".npz":
            return _load_npz(source, layout, task)
        if suffix == ".csv":
            return read_sequences(source, id=id, time=time, target=target, task=task, per_step=per_step)
        return _load_ts(source, task)
    except (TypeError, ValueError) as error:
        msg = f"{source}: {error}"
        raise ValueError(msg) from error


def _load_npz(path: str, layout: Layout, task: Task) -> Dataset:
    arrays = _npz_arrays(path)
    if "X" not in arrays:
        msg = f"there must be an array 'X'; got {listed(arrays) or 'none'}."
        raise ValueError(msg)
    X = arrays["X"]
    if X.ndim == 2 and X.dtype.kind == "f" and layout != "NCT":
        X = X[:, :, np.newaxis]
    X = to_time_major("X", X, layout).swapaxes(0, 1)
    if X.size == 0:
        msg = f"`X` must hold at least one sequence, step and channel; got shape {arrays['X'].shape}."
        raise ValueError(msg)
    count, steps = X.shape[:2]
    lengths = np.array(checks.lengths(arrays.get("lengths", [steps] * count), count, steps), dtype=np.int64)
    y, classes = _npz_targets(arrays["y"], lengths, steps, task) if "y" in arrays else (None, None)
    return _dataset(X, lengths, y, classes)


def _npz_arrays(path: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of the archive, by name."""
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            msg = "the file is no .npz archive; write it with numpy.savez(path, X=X, y=y, lengths=lengths)."
            raise ValueError(msg)
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except Exception as error:  # a damaged archive makes NumPy raise any of half a dozen kinds
            msg = "the archive is damaged; write it anew with numpy.savez(path, X=X, y=y, lengths=lengths)."
            if "Object arrays" in str(error):
                msg = (
                    "the arrays must hold numbers or text, never objects; "
                    "sequences of unequal length go in padded, with `lengths`."
                )
            raise ValueError(msg) from None
    foreign = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if foreign:
        msg = f"the archive must hold NumPy's arrays alone; got {listed(foreign)}."
        raise ValueError(msg)
    return arrays


def _npz_targets(
    y: NDArray[Any], lengths: NDArray[np.int64], steps: int, task: Task
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return class indices and names, or numbers and None; what pads the labels of steps is no class."""
    count, numbers = len(lengths), are_numbers(y, task)
    if y.ndim not in (1, 2) or len(y) != count or not (numbers or y.shape[1:] in ((), (steps,))):
        msg = (
            f"`y` must have shape (N,), (N, T), or (N, K) for numbers, with N = {count}, T = {steps}; "
            f'got {y.shape}. Yes-or-no labels, several for each sequence, are numbers: task="regression".'
        )
        raise ValueError(msg)
    if numbers or y.ndim == 1:
        return targets(y, task)
    valid = valid_steps(steps, count, lengths).T
    indices = np.zeros(y.shape, dtype=np.int64)
    indices[valid], classes = encode_labels(y[valid])
    return indices, classes


def _load_ts(path: str, task: Task) -> Dataset:
    try:
        from aeon.datasets import load_from_ts_file
    except ImportError as error:
        msg = f"reading .ts {NEEDS_AEON}"
        raise ValueError(msg) from error
    try:
        sequences, labels = load_from_ts_file(path)
    except Exception as error:  # what aeon raises depends on what is wrong with the file
        msg = f"the file cannot be read as .ts: {error}"
        raise ValueError(msg) from error
    if len(sequences) == 0:
        msg = "there must be at least one sequence after a line '@data'; got none."
        raise ValueError(msg)
    X, lengths = pad([sequence.T for sequence in sequences])
    y, classes = targets(labels, task) if len(labels) else (None, None)
    return _dataset(X, lengths, y, classes)


def _dataset(
    X: NDArray[Any], lengths: NDArray[np.int64], y: NDArray[Any] | None, classes: tuple[str, ...] | None
) -> Dataset:
    """Return a data set of channels without names, or of tokens."""
    tokens = X.ndim == 2
    return Dataset(
        np.ascontiguousarray(X, dtype=np.int64 if tokens else np.float64),
        y,
        None if (lengths == X.shape[1]).all() else lengths,
        classes,
        () if tokens else tuple(f"x{channel}" for channel in range(X.shape[2])),
    )
