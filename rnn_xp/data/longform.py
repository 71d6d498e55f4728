"""Tables in long form, a row for each time step, as comma-separated values."""

from __future__ import annotations

import csv
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnn_xp.data.labels import Task, listed, targets
from rnn_xp.data.sequences import Dataset, pad


class Table(NamedTuple):
    """Columns of text by name, and the line of the file that each row ends on."""

    columns: dict[str, tuple[str, ...]]
    lines: list[int]

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column as numbers."""
        cells = self.columns[column]
        values = np.empty(len(cells))
        for row, cell in enumerate(cells):
            try:
                values[row] = float(cell)
            except ValueError:
                msg = f"line {self.lines[row]}: column {column!r} must hold numbers; got {cell!r}."
                raise ValueError(msg) from None
        return values

    def targets(self, column: str, task: Task) -> NDArray[Any]:
        """Return a column as numbers where that is what it holds, otherwise (integers too) as text."""
        cells = self.columns[column]
        if "" in cells:
            msg = f"line {self.lines[cells.index('')]}: column {column!r} must not be empty."
            raise ValueError(msg)
        undeclared_numbers = task is None and _all_read_as(float, cells) and not _all_read_as(int, cells)
        if task == "regression" or undeclared_numbers:
            return self.numbers(column)
        return np.array(cells, dtype=np.str_)


def read_sequences(path: str, *, id: str, time: str, target: str, task: Task) -> Dataset:
    """Return the sequences of a table; `rnn_xp.data.load` says how."""
    table = read_table(path)
    features = tuple(name for name in table.columns if name not in (id, time, target))
    for wanted in (id, time):
        if wanted not in table.columns:
            msg = f"there must be a column {wanted!r}; got {listed(table.columns)}."
            raise ValueError(msg)
    if not features:
        msg = f"there must be a column beside {listed((id, time, target))}, a feature; got none."
        raise ValueError(msg)

    order, starts = _sequences(table, id, time)
    values = np.stack([table.numbers(name) for name in features], axis=1)
    X, lengths = pad(np.split(values[order], starts[1:]))
    y, classes = None, None
    if target in table.columns:
        y, classes = targets(table.targets(target, task)[order], task)
        if np.array_equal(y, np.repeat(y[starts], lengths)):
            y = y[starts]
        else:
            y = pad(np.split(y, starts[1:]))[0].reshape(X.shape[:2])
    return Dataset(X, y, None if (lengths == X.shape[1]).all() else lengths, classes, features)


def read_table(path: str) -> Table:
    """Read a header and the rows that are not blank."""
    rows, lines = [], []
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                if row:
                    rows.append(row)
                    lines.append(reader.line_num)
        except csv.Error as error:
            msg = f"line {reader.line_num}: {error}."
            raise ValueError(msg) from error
    if len(rows) < 2:
        msg = f"there must be a header and at least one more line; got {len(rows)} line(s)."
        raise ValueError(msg)
    header, *body = rows
    if len(set(header)) < len(header):
        msg = f"the columns must have different names; got {listed(header)}."
        raise ValueError(msg)
    for line, row in zip(lines[1:], body, strict=True):
        if len(row) != len(header):
            msg = f"line {line}: there must be {len(header)} cells, as in the header; got {len(row)}."
            raise ValueError(msg)
    return Table(dict(zip(header, zip(*body, strict=True), strict=True)), lines[1:])


def _sequences(table: Table, id: str, time: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows in order of sequence, then time, and where in that order each sequence starts."""
    names = table.columns[id]
    place = {name: index for index, name in enumerate(dict.fromkeys(names))}
    sequence, times = np.array([place[name] for name in names]), table.numbers(time)
    unusable = np.flatnonzero(~np.isfinite(times))
    if len(unusable):
        row = unusable[0]
        msg = f"line {table.lines[row]}: column {time!r} must be finite; got {times[row]}."
        raise ValueError(msg)
    order = np.lexsort((times, sequence))
    new_sequence = np.diff(sequence[order], prepend=-1) != 0
    again = np.flatnonzero(~new_sequence & (np.diff(times[order], prepend=np.nan) == 0))
    if len(again):
        first, second = order[again[0] - 1], order[again[0]]
        msg = (
            f"line {table.lines[second]}: sequence {names[second]!r} must have one row for each {time!r}; "
            f"line {table.lines[first]} has {table.columns[time][first]} too."
        )
        raise ValueError(msg)
    return order, np.flatnonzero(new_sequence)


def _all_read_as(kind: type, cells: tuple[str, ...]) -> bool:
    try:
        return all(kind(cell) is not None for cell in cells)
    except ValueError:
        return False
