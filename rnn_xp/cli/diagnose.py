"""`rnn-xp diagnose`: why the model of a run does not learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rnn_xp as rx
from rnn_xp import CheckpointError
from rnn_xp.cli import recall, targets
from rnn_xp.cli.directory import CHECKPOINT, HISTORY
from rnn_xp.cli.errors import DONE, UsageError, naming
from rnn_xp.cli.job import Job
from rnn_xp.cli.jobs import load_job
from rnn_xp.cli.models import build_model, build_optimizer
from rnn_xp.cli.output import Output, printable
from rnn_xp.cli.runs import MODEL, About, home_of, open_run
from rnn_xp.cli.settings import Settings, refuse_columns, refuse_no_files, settle
from rnn_xp.cli.use import labelled_data
from rnn_xp.data import Dataset, Lanes
from rnn_xp.typing import Tree


def diagnose(given: Mapping[str, Any]) -> int:
    """Look at a run; a finding is no failure."""
    output = Output(json=given.get("json", False))
    refuse_no_files(given)
    home = home_of(given["run"])
    settings = _settings(home, given, output)
    job: Job | None = None
    records = _history(home / HISTORY)
    if settings is not None and ("data" not in given or not (home / MODEL).exists()):
        job = _job(settings)
    if settings is not None and job is not None and not (home / MODEL).exists():
        output.line(f"{home} keeps no whole epoch: this is about the weights that it begins with\n")
        model, params, about = _begin(settings, job, given)
    else:
        model, params, about = open_run(given)
        params = targets.unfold(params, about.target_scaling)  # as the training had them
    with naming(given.get("data")):
        data = labelled_data(given, about, model.per_step) if job is None else _training_data(job)
        data = targets.scale(data, about.target_scaling, model.per_step)
        found = rx.diagnose(
            model,
            params,
            *_in_windows(data, 64 if settings is None else settings.window),
            lengths=data.lengths,
            history=records,
            loss=about.loss,
            optimizer=None if settings is None else build_optimizer(settings),
            clip_norm=None if settings is None else settings.clip_norm,
        )
    output.line(_printable(str(found)))
    output.record({"result": {"task": about.task, **found.to_json()}})
    return DONE


def _printable(page: str) -> str:
    """Return lines in which nothing commands a terminal."""
    return "\n".join(map(printable, page.splitlines()))


def _settings(home: Path, given: Mapping[str, Any], output: Output) -> Settings | None:
    """Return what the training was told, but for --data where it kept no model; None where unknown."""
    own = {name: given[name] for name in ("data", "layout", "id", "time", "target") if name in given}
    if "data" in own:
        refuse_columns(given, [own["data"]])
    elif own:
        option = next(iter(own))
        msg = f"argument --{option}: not here: it goes with --data; those of the training are read as then."
        raise UsageError(msg)
    try:
        told = recall.told(home / CHECKPOINT)
    except CheckpointError as error:
        words = str(error).rstrip(".")
        where = "" if str(home) in words else f" in {home}"
        output.note(f"{words}{where}: how it was trained is not known; taken as with Adam, and unclipped\n")
        return None
    settings = settle(told)
    if "data" not in own or (home / MODEL).exists():
        return settings
    return settle({**told, "task": settings.task, **own})


def _job(settings: Settings) -> Job:
    """Load what was trained on, from where it was then."""
    try:
        return load_job(replace(settings, test=None))
    except FileNotFoundError as error:
        msg = f"{error.filename} is not there any more: say where the data are now, with --data FILE."
        raise UsageError(msg) from error


def _begin(settings: Settings, job: Job, given: Mapping[str, Any]) -> tuple[rx.Sequential, Tree, About]:
    """Return the model, the weights that its training began with, and what is to be known of it."""
    backend = rx.get_backend(given.get("backend"), device=given.get("device"), dtype=settings.dtype)
    model = build_model(settings, job, {})
    about = targets.fit(job, model.per_step, settings).about
    return model, model.init(backend, settings.seed, settings.init), about


def _training_data(job: Job) -> Dataset:
    """Return the sequences that it was trained on; of lanes, all as one."""
    if not isinstance(job.train, Lanes):
        return job.train
    tokens: NDArray[Any] = np.asarray(job.train.tokens)
    return Dataset(tokens[np.newaxis, :-1], tokens[np.newaxis, 1:])


def _in_windows(data: Dataset, window: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return X and y; a text that is one long sequence as windows of it."""
    X, y = data.X, data.y
    assert y is not None
    if X.ndim != 2 or len(X) > 1 or X.shape[1] <= window:
        return X, y
    count = X.shape[1] // window * window
    return X[0, :count].reshape(-1, window), y[0, :count].reshape(-1, window)


def _history(path: Path) -> list[dict[str, Any]]:
    """Return the records of the epochs; none where there is no such file."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return [_record(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _record(line: bytes, where: str) -> dict[str, Any]:
    """Return the record of an epoch: numbers by name."""
    try:
        record = json.loads(line)
        if isinstance(record, dict) and all(isinstance(each, int | float | None) for each in record.values()):
            return record
    except (ValueError, RecursionError):
        pass
    msg = f"{where}: damaged: it must be the record of an epoch, numbers by name in JSON."
    raise CheckpointError(msg)
