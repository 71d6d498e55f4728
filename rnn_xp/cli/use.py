"""`rnn-xp evaluate` and `rnn-xp predict`: a trained model meets new data."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import rnn_xp as rx
from rnn_xp import checkpoint, data
from rnn_xp.cli import interrupt, jobs, scores, texts
from rnn_xp.cli.errors import UsageError, naming
from rnn_xp.cli.output import Output
from rnn_xp.cli.ranks import file_of, is_cut, together
from rnn_xp.cli.runs import About, open_run
from rnn_xp.cli.settings import refuse_columns, refuse_no_files
from rnn_xp.cli.shards import everyone, places
from rnn_xp.data import Dataset
from rnn_xp.data.longform import read_table
from rnn_xp.distributed import Alone


def evaluate(given: Mapping[str, Any]) -> int:
    """Score a model."""
    output, ranks = Output(json=given.get("json", False)), given.get("distributed") or Alone()
    apart, source = is_cut(given.get("data")), None
    if "data" in given:
        source = file_of(given["data"], ranks)
        given = {**given, "data": source}
    with together(ranks):
        refuse_no_files(given)
        model, params, about = open_run(given)
        with naming(source):
            dataset = labelled_data(given, about, model.per_step)
    metrics = scores.score(model, params, about, dataset, ranks, apart=apart, source=source)
    with together(ranks):
        output.line(scores.in_words(metrics))
        if "confusion" in metrics:
            output.line(f"\n{scores.per_class(metrics, about)}\n\n{scores.confused(metrics, about)}")
        output.record({"result": {"task": about.task, "metrics": metrics}})
    return 0


def predict(given: Mapping[str, Any]) -> int:
    """Write the predictions for every sequence, or for every step of each."""
    ranks = given.get("distributed") or Alone()
    apart, source, target = is_cut(given["data"]), file_of(given["data"], ranks), given.get("out")
    given = {**given, "data": source}
    with together(ranks):
        if target and os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
            msg = f"argument --out: {target} is --data itself. Name another file."
            raise UsageError(msg)
        refuse_no_files(given)
        model, params, about = open_run(given)
        if about.vocabulary is not None:
            msg = f"argument DIR: {given['run']} holds a language model; `rnn-xp generate` lets it write."
            raise UsageError(msg)
        dataset = _load(given, about, labels=False)
    parts = ranks if apart else Alone()
    first = places(parts, len(dataset.X))[0]
    with together(ranks), naming(source):
        X, lengths, shared = dataset.X, dataset.lengths, None if apart else ranks
        outputs = rx.predict(model, params, X, lengths=lengths, loss=about.loss, distributed=shared)
    text = ""
    with together(ranks):
        if apart or ranks.rank == 0:
            names = _ids(source, given.get("id", about.id), range(first, first + len(dataset.X)))
            text = _table(_rows(outputs, names, about, dataset), header=ranks.rank == 0)
    text = "".join(everyone(parts, text))
    with together(ranks):
        if ranks.rank == 0:
            _put(text, target)
    return 0


def _put(text: str, target: str | None) -> None:
    """Write to a file, or to standard output."""
    if target is None:
        sys.stdout.write(text)
        return
    with interrupt.gently():
        write(target, text.encode())


def write(target: str, content: bytes) -> None:
    """Replace a file, that which a link names; write into what is no file, as a pipe or /dev/null."""
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb", buffering=0) as stream:
            stream.write(content)
    else:
        checkpoint.atomic_write(os.path.realpath(target), content)


def labelled_data(given: Mapping[str, Any], about: About, per_step: bool) -> Dataset:
    """Load --data, or what belongs to the task."""
    if about.vocabulary is not None:
        return texts.text_test(about.vocabulary, given.get("data"))
    if "data" in given:
        return _load(given, about, labels=True, per_step=per_step)
    if about.task == "sign-of-sum":
        return jobs.sign_of_sum_test(about.seed)
    if about.task == "japanese-vowels":
        return jobs.rescale(data.japanese_vowels()[1], about.scaling)
    msg = "argument --data: must be given: this model was trained on a file, which it does not hold."
    raise UsageError(msg)


def _load(given: Mapping[str, Any], about: About, *, labels: bool, per_step: bool = False) -> Dataset:
    """Read --data as the training read its own, unless told otherwise."""
    refuse_columns(given, [given["data"]])
    options = {name: given.get(name, getattr(about, name)) for name in ("layout", "id", "time", "target")}
    options["per_step"] = per_step or None  # where labels happen to be constant, they are of steps still
    return jobs.load_new(given["data"], about, options, labels=labels)


def _ids(path: str, column: str, numbers: range) -> list[str]:
    """Return the names of the sequences: those of a table, else their numbers."""
    if path.lower().endswith(".csv"):
        return list(dict.fromkeys(read_table(path).columns[column]))
    return list(map(str, numbers))


def _table(rows: Iterator[list[Any]], *, header: bool) -> str:
    """Write rows as CSV, with or without the first."""
    text = io.StringIO()
    if not header:
        next(rows)
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _rows(outputs: Any, ids: list[str], about: About, dataset: Dataset) -> Iterator[list[Any]]:
    """Yield the header, then a row for every sequence, or for every valid step."""
    per_step = outputs.ndim == 3
    classes = about.classes
    if classes is not None and outputs.shape[-1] == 1:  # one output for two classes
        outputs = np.concatenate([1 - outputs, outputs], axis=-1)
    if classes is not None:
        names = ["label", *(f"p_{name}" for name in classes)]
    else:
        count = outputs.shape[-1]
        names = ["prediction"] if count == 1 else [f"prediction_{place}" for place in range(count)]
    yield ["id", *(["step"] if per_step else []), *names]
    lengths = [outputs.shape[1]] * len(ids) if dataset.lengths is None else dataset.lengths.tolist()
    for name, output, length in zip(ids, outputs, lengths, strict=True):
        for step, values in enumerate(output[:length] if per_step else [output]):
            label = [] if classes is None else [classes[int(np.argmax(values))]]
            yield [name, *([step] if per_step else []), *label, *map(str, values)]
