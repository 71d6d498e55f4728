"""`rnn-xp plot`: pictures of a run, as PNG files, or its history as a chart in the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnn_xp as rx
from rnn_xp import checks
from rnn_xp.atomic import atomic_write
from rnn_xp.cli import interrupt, recall, targets
from rnn_xp.cli.directory import CHECKPOINT, HISTORY
from rnn_xp.cli.errors import DONE, UsageError, naming
from rnn_xp.cli.output import Output
from rnn_xp.cli.runs import About, home_of, open_run
from rnn_xp.cli.settings import refuse_no_files
from rnn_xp.cli.use import labelled_data
from rnn_xp.data import Dataset
from rnn_xp.plot.style import png

STEPS = 20_000
"""Of the data, as many sequences as have so many steps in all are looked into."""

CHARACTERS = 400
"""Of a text, so many characters."""


def plot(given: Mapping[str, Any]) -> int:
    """Draw what there is to be drawn."""
    output = Output()
    history = home_of(given["run"]) / HISTORY
    if given.get("terminal") or not find_spec("matplotlib"):
        return _chart(given, history, output)
    refuse_no_files(given)
    out = Path(given.get("out") or history.parent / "plots")
    if out.exists() and not out.is_dir():
        msg = f"argument --out: {out} must be a directory; it is a file."
        raise UsageError(msg)
    with interrupt.gently():
        if history.exists():
            _write(out, "history", rx.plot.history(history), output)
        else:
            output.note(f"there is no {history}: no picture of the training")
        model, params, about = open_run(given)
        for name, picture in _inside(given, model, params, about, output):
            _write(out, name, picture, output)
    return DONE


def _chart(given: Mapping[str, Any], history: Path, output: Output) -> int:
    """Draw the history in characters; in colours where somebody watches."""
    if not find_spec("plotext"):
        ways = f"a chart here, {checks.install('ui')}"
        if not given.get("terminal"):
            ways = f"PNG files, {checks.install('plot')}; or for {ways}"
        msg = f"`rnn-xp plot` has nothing to draw with. For {ways}."
        raise UsageError(msg)
    for option in ("data", "out"):
        if option in given and given.get("terminal"):
            msg = f"argument --{option}: not here: --terminal shows the history alone."
            raise UsageError(msg)
    if not given.get("terminal"):
        sys.stderr.write(f"no matplotlib here, so no PNG files: {checks.install('plot')}\n")
    watched = sys.stdout.isatty()
    columns = max(40, shutil.get_terminal_size().columns) if watched else 80
    color = watched and not os.environ.get("NO_COLOR")
    output.line(rx.plot.terminal(history, width=columns, color=color))
    return DONE


def _inside(
    given: Mapping[str, Any], model: rx.Sequential, params: Any, about: About, output: Output
) -> Iterator[tuple[str, Any]]:
    """Yield the name and the picture of everything that is to be seen inside the model."""
    yield "spectrum", rx.plot.spectrum(model, params)
    given, why = _with_data(given, about)
    if why:
        output.note(f"{why}: --data FILE shows gradient norms, states and gates, too")
        return
    with naming(given.get("data")):
        data = _few(labelled_data(given, about, model.per_step))
        weights = _last(data) if model.per_step else None
        more: dict[str, Any] = {"loss": about.loss, "lengths": data.lengths, "weights": weights}
        params = targets.unfold(params, about.target_scaling)  # as the training had them
        data = targets.scale(data, about.target_scaling, model.per_step)
        levels = rx.probe.look(model, params, data.X, data.y, **more)
    norms = rx.plot.gradient_norms(levels)
    if model.per_step:
        norms.axes[0].set_ylabel(norms.axes[0].get_ylabel() + ", L at the last step")
    yield "gradient_norms", norms
    yield "states", rx.plot.states(levels)
    if any(level.bounds for level in levels):
        yield "gates", rx.plot.gates(levels)
    if about.vocabulary is not None:
        yield "text", rx.plot.text(levels, characters=about.vocabulary.decode(data.X[0]))


def _with_data(given: Mapping[str, Any], about: About) -> tuple[Mapping[str, Any], str]:
    """Return the options with the file that it was trained on, if any; or why that is not to be had."""
    if "data" in given:
        return given, ""
    told = recall.told_if_whole(home_of(given["run"]) / CHECKPOINT)
    source = None if told is None else told.get("data")
    if source is None:
        return given, "no checkpoint says where the data of the training are" if about.task == "data" else ""
    if not os.path.isfile(source):
        return given, f"{source} is not there any more"
    return {**given, "data": source}, ""


def _few(data: Dataset) -> Dataset:
    """Return what can be looked into at once: the beginning of a text, or some sequences from everywhere."""
    N, T = data.X.shape[:2]
    if data.X.ndim == 2 and N == 1:
        return data._replace(X=data.X[:, :CHARACTERS], y=None if data.y is None else data.y[:, :CHARACTERS])
    some = np.linspace(0, N - 1, max(1, min(N, STEPS // T))).round().astype(int)
    parts = {name: getattr(data, name) for name in ("X", "y", "lengths")}
    return data._replace(**{name: part[some] for name, part in parts.items() if part is not None})


def _last(data: Dataset) -> NDArray[np.float64]:
    """Return weights (N, T) by which the losses at the last steps alone count: they show how far back."""
    N, T = data.X.shape[:2]
    ends = np.full(N, T) if data.lengths is None else data.lengths
    last: NDArray[np.bool_] = np.arange(T) == ends[:, np.newaxis] - 1
    return last.astype(np.float64)


def _write(out: Path, name: str, picture: Any, output: Output) -> None:
    """Write a picture whole, and say so."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.png"
    atomic_write(path, png(picture.figure))
    output.line(f"written: {path}")
