"""`rnn-xp plot`: pictures of a run, as PNG files, or its history as a chart in the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
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
    try:
        if given.get("terminal") or not find_spec("matplotlib"):
            return _chart(given, history, output)
        return _pictures(given, history, output)
    except ModuleNotFoundError as error:  # a library that is there and does not load
        raise UsageError(str(error)) from None


def _pictures(given: Mapping[str, Any], history: Path, output: Output) -> int:
    """Draw everything, and then write it: what is wrong is told before there is any file."""
    refuse_no_files(given)
    out = Path(given.get("out") or history.parent / "plots")
    if out.exists() and not out.is_dir():
        msg = f"argument --out: {out} must be a directory; it is a file."
        raise UsageError(msg)
    with interrupt.gently():
        model, params, about = open_run(given)
        given, why = _with_data(given, about)
        _refuse_columns(given, about)
        pictures: dict[str, Any] = {"history": rx.plot.history(history)} if history.exists() else {}
        pictures["spectrum"] = rx.plot.spectrum(model, params)
        if not why:
            pictures |= _inside(given, model, params, about)
        if "history" not in pictures:
            output.note(f"there is no {history}: no picture of the training")
        for name, picture in pictures.items():
            _write(out, name, picture, output)
        if why:
            output.note(f"{why}: --data FILE shows gradient norms, states and gates, too")
    return DONE


def _chart(given: Mapping[str, Any], history: Path, output: Output) -> int:
    """Draw the history in characters; in colours where somebody watches."""
    if not find_spec("plotext"):
        ways = f"a chart here, {checks.install('ui')}"
        if not given.get("terminal"):
            ways = f"PNG files, {checks.install('plot')}; or for {ways}"
        msg = f"`rnn-xp plot` has nothing to draw with. For {ways}."
        raise UsageError(msg)
    no_files = f"no matplotlib here, so no PNG files: {checks.install('plot')}"
    for option in given:
        if option not in ("run", "terminal"):
            why = "--terminal shows the history alone" if given.get("terminal") else no_files
            msg = f"argument --{option}: not here: {why}."
            raise UsageError(msg)
    if not given.get("terminal"):
        sys.stderr.write(f"{no_files}\n")
    watched = sys.stdout.isatty()
    columns = max(40, shutil.get_terminal_size().columns) if watched else 80
    color = watched and not os.environ.get("NO_COLOR")
    output.line(rx.plot.terminal(history, width=columns, color=color))
    return DONE


def _inside(given: Mapping[str, Any], model: rx.Sequential, params: Any, about: About) -> dict[str, Any]:
    """Return pictures, by name, of what data do inside the model."""
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
    pictures: dict[str, Any] = {"gradient_norms": norms, "states": rx.plot.states(levels)}
    if any(level.bounds for level in levels):
        pictures["gates"] = rx.plot.gates(levels)
    if about.vocabulary is not None:
        pictures["text"] = rx.plot.text(levels, characters=about.vocabulary.decode(data.X[0]))
    return pictures


def _with_data(given: Mapping[str, Any], about: About) -> tuple[Mapping[str, Any], str]:
    """Return the options with the file that it was trained on, if any; or why that is not to be had."""
    if "data" in given:
        return given, ""
    told = recall.told_if_whole(home_of(given["run"]) / CHECKPOINT)
    if told is None and not _has_own_data(about):
        return given, "no checkpoint says where the data of the training are"
    source = None if told is None else told.get("data")
    if source is None:
        return given, ""
    if not os.path.isfile(source):
        return given, f"{source} is not there any more"
    return {**given, "data": source}, ""


def _has_own_data(about: About) -> bool:
    """Whether the data of the training need no file; of texts, Python's own has its characters."""
    if about.vocabulary is None:
        return about.task != "data"
    return about.vocabulary == rx.data.vocabulary(rx.data.python_text())


def _refuse_columns(given: Mapping[str, Any], about: About) -> None:
    """Say which options are about a file that is not read, or is none of sequences."""
    for option in ("layout", "id", "time", "target"):
        if option in given and ("data" not in given or about.vocabulary is not None):
            msg = f"argument --{option}: not here: it goes with --data, a file of sequences."
            raise UsageError(msg)


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
