"""How a training went: loss, scores, gradient and learning rate, epoch by epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_xp.plot import style
from rnn_xp.plot.style import Floats
from rnn_xp.safetensors import CheckpointError

FILE, NORM = "history.jsonl", "mean norm of the steps"


class History(NamedTuple):
    """What was recorded of E epochs, and its picture."""

    epochs: Floats  # (E,)
    series: dict[str, Floats]  # by the names of the records, (E,): "loss", "val_loss", ...; nan where absent
    best_epoch: int | None  # that of the least validation loss, where there is one
    figure: Any = None
    axes: tuple[Any, ...] = ()

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows."""
        return style.shown(self.figure)


class Panel(NamedTuple):
    """What stands together in a picture of a training."""

    title: str
    unit: str
    lines: dict[str, str]  # the name of the record, and the name of the line

    def is_logarithmic(self, lines: Iterable[Floats]) -> bool:
        """Whether the logarithm shows more: of a loss or a norm above 0, the largest 20 times the least."""
        values = np.concatenate([line[np.isfinite(line)] for line in lines])
        fit = self.unit in ("loss", NORM) and values.size > 0
        return fit and bool(0 < 20 * values.min() < values.max())


def history(source: Any, ax: Any = None, *, draw: bool = True) -> History:
    """Show a training: its loss, the validation's scores, the norm of the gradient and the learning rate.

    Parameters
    ----------
    source : Result, Epoch, list of dict, or path
        What `fit` returned, or its `history`; or the directory of a run, or the history.jsonl in it.
    ax : matplotlib Axes, or several, optional
        Where to draw the panels, in order: the loss, each score, the gradient, the learning rate; as many as
        there are axes. A new figure with all of them by default.
    draw : bool
        False for the numbers alone, which need no matplotlib.

    Returns
    -------
    History
        `series`: an array (E,) for each number that was recorded.

    Raises
    ------
    TypeError, ValueError
        If the source is none of these, or holds no epoch.
    FileNotFoundError, CheckpointError
        If there is no such file, or it is damaged.
    ModuleNotFoundError
        If there is no matplotlib to draw with.

    Examples
    --------
    >>> import rnn_xp as rx
    >>> records = [{"epoch": 1, "loss": 0.5, "lr": 0.1}, {"epoch": 2, "loss": 0.25, "lr": 0.1}]
    >>> rx.plot.history(records, draw=False).series["loss"]
    array([0.5 , 0.25])
    """
    records = _records(source)
    names = [name for name in dict.fromkeys(name for record in records for name in record) if name != "epoch"]
    series = {name: _numbers(records, name) for name in names}
    best = getattr(source, "best_epoch", None)
    epochs = _numbers(records, "epoch")
    if best is None and np.isfinite(series.get("val_loss", np.array([np.nan]))).any():
        best = int(epochs[np.nanargmin(series["val_loss"])])
    found = History(epochs, series, best if "val_loss" in series else None)
    return _drawn(found, ax) if draw else found


def panels(found: History) -> list[Panel]:
    """Return what there is to be drawn."""
    loss = {"loss": "training", "val_loss": "validation"}
    scores = [name for name in found.series if name.startswith("val_") and name != "val_loss"]
    words = [name.removeprefix("val_").replace("_", " ") for name in scores]
    every = [
        Panel("Loss", "loss", loss),
        *[Panel(f"Validation: {word}", word, {name: word}) for name, word in zip(scores, words, strict=True)],
        Panel("Gradient, before clipping", NORM, {"gradient_norm": "norm"}),
        Panel("Learning rate", "learning rate", {"lr": "learning rate"}),
    ]
    there = [
        panel._replace(lines={name: label for name, label in panel.lines.items() if name in found.series})
        for panel in every
    ]
    return [panel for panel in there if panel.lines]


def _records(source: Any) -> list[Mapping[str, Any]]:
    """Return the records of whatever tells of a training."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return _read(path / FILE if path.is_dir() else path)
    records = getattr(source, "history", source)
    if not isinstance(records, Sequence) or not all(isinstance(each, Mapping) for each in records):
        must = "a Result, its history, or the path of a run"
        msg = f"`source` must be {must}; got {type(source).__name__}."
        raise TypeError(msg)
    if not all("epoch" in record and "loss" in record for record in records) or not records:
        msg = "`source` must hold a record with `epoch` and `loss` for each of one epoch or more; got others."
        raise ValueError(msg)
    for value in (value for record in records for value in record.values()):
        if not isinstance(value, Real | None):
            msg = f"`source` must hold numbers; got {value!r}."
            raise ValueError(msg)
    return list(records)


def _read(path: Path) -> list[Mapping[str, Any]]:
    """Return the records of a file of JSON lines."""
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return _records(records)
    except (TypeError, ValueError) as error:
        msg = f"`{path}` cannot be read: it does not hold the history of a training."
        raise CheckpointError(msg) from error


def _numbers(records: Sequence[Mapping[str, Any]], name: str) -> Floats:
    """Return a column, (E,)."""
    values = (record.get(name) for record in records)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _drawn(found: History, ax: Any) -> History:
    """Draw a panel for each kind of number."""
    every = panels(found)
    count = len(every)
    figure, axes = style.panels(ax, count, 2 if count in (2, 4) else 3, 4.2, 3.0)
    for each, panel in zip(axes, every, strict=False):
        lines = [found.series[name] for name in panel.lines]
        few = "o" if len(found.epochs) < 30 else ""
        for (name, label), colour in zip(panel.lines.items(), style.COLOURS, strict=False):
            line = {"linestyle": "--" if name == "val_loss" else "-", "linewidth": 1.8, "label": label}
            each.plot(found.epochs, found.series[name], color=colour, marker=few, markersize=3, **line)
        style.frame(each, panel.title, "epoch", panel.unit)
        if panel.is_logarithmic(lines):
            style.logarithmic(each)
        if found.best_epoch is not None:
            best = f"best: epoch {found.best_epoch}"
            each.axvline(found.best_epoch, color=style.FAINT, linewidth=1, linestyle=":", label=best)
        if len(lines) > 1 or (found.best_epoch is not None and panel is every[0]):
            style.legend(each)
        each.set_xlim(found.epochs[0] - 0.5, found.epochs[-1] + 0.5)
        style.whole_numbers(each.xaxis)
    return found._replace(figure=figure, axes=tuple(axes))
