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
        """Return a column as finite numbers."""
        cells = self.columns[column]
        values = np.empty(len(cells))
        for row, cell in enumerate(cells):
            try:
                values[row] = _read_as(float, cell)
            except ValueError:
                msg = f"line {self.lines[row]}: column {column!r} must hold numbers; got {cell!r}."
                raise ValueError(msg) from None
        unusable = np.flatnonzero(~np.isfinite(values))
        if len(unusable):
            row = unusable[0]
            msg = f"line {self.lines[row]}: column {column!r} must be finite; got {cells[row]!r}."
            raise ValueError(msg)
        return values

    def names(self, column: str) -> tuple[str, ...]:
        """Return a column as text, none of it blank."""
        cells = self.columns[column]
        for line, cell in zip(self.lines, cells, strict=True):
            if not cell.strip():
                msg = f"line {line}: column {column!r} must not be empty."
                raise ValueError(msg)
        return cells

    def targets(self, column: str, task: Task) -> NDArray[Any]:
        """Return a column as numbers where that is what it holds, otherwise (integers too) as text."""
        cells = self.names(column)
        undeclared_numbers = task is None and _all_read_as(float, cells) and not _all_read_as(int, cells)
        if task == "regression" or undeclared_numbers:
            return self.numbers(column)
        return np.array(cells, dtype=np.str_)


def read_sequences(
    path: str, *, id: str, time: str, target: str, task: Task, per_step: bool | None
) -> Dataset:
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
        changes = y != np.repeat(y[starts], lengths)
        if per_step is False and changes.any():
            line = table.lines[order[np.flatnonzero(changes)[0]]]
            msg = f"line {line}: column {target!r} must not change within a sequence of `per_step=False`."
            raise ValueError(msg)
        a_step = per_step or changes.any()
        y = pad(np.split(y, starts[1:]))[0].reshape(X.shape[:2]) if a_step else y[starts]
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
        except UnicodeDecodeError as error:
            must = "the file must be text in UTF-8"
            msg = f"{must}; got byte 0x{error.object[error.start]:02x}. Save it as UTF-8."
            raise ValueError(msg) from error
        except csv.Error as error:
            msg = f"line {reader.line_num}: {error}."
            raise ValueError(msg) from error
    if len(rows) < 2:
        msg = f"there must be a header and at least one more line; got {len(rows)} line(s)."
        raise ValueError(msg)
    header, *body = [[name.strip() for name in rows[0]], *rows[1:]]
    other = next((mark for mark in ";\t" if len(header) == 1 and mark in rows[0][0]), None)
    if other:
        msg = f"the columns must be separated by commas; got {other!r}. Save the file with commas."
        raise ValueError(msg)
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
    names = table.names(id)
    place = {name: index for index, name in enumerate(dict.fromkeys(names))}
    sequence, times = np.array([place[name] for name in names]), table.numbers(time)
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


def _read_as(kind: type[Any], cell: str) -> Any:
    """Return a cell as a number; 1_0, which Python takes for one, is none in a table."""
    return kind("" if "_" in cell else cell)


def _all_read_as(kind: type[Any], cells: tuple[str, ...]) -> bool:
    try:
        return all(_read_as(kind, cell) is not None for cell in cells)
    except ValueError:
        return False
