"""The directory of a run: the model and the history of its training."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnn_xp import CheckpointError, Sequential, checkpoint, get_backend
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.output import json_line
from rnn_xp.cli.settings import TASKS
from rnn_xp.data import Scaling, Vocabulary
from rnn_xp.model import LOSSES
from rnn_xp.typing import Tree

MODEL, HISTORY = "model.safetensors", "history.jsonl"


@dataclass(frozen=True)
class About:
    """What must be known of a trained model to use it; stored beside its weights."""

    task: str
    seed: int
    loss: str
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] = ()
    scaling: Scaling | None = None
    vocabulary: Vocabulary | None = None
    dtype: str = "float32"
    layout: str = "NTC"
    id: str = "id"
    time: str = "time"
    target: str = "target"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what is to be told apart: classes or characters; none for numbers."""
        return self.vocabulary.characters if self.vocabulary else self.classes or ()

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON values."""
        scaling = self.scaling and {"mean": self.scaling.mean.tolist(), "std": self.scaling.std.tolist()}
        vocabulary = self.vocabulary and "".join(self.vocabulary.characters)
        return {**asdict(self), "scaling": scaling, "vocabulary": vocabulary}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> About:
        """Return what `to_json` was called on."""
        scaling, characters = values["scaling"], values["vocabulary"]
        classes = values["classes"]
        return cls(
            **{
                **values,
                "classes": None if classes is None else tuple(classes),
                "features": tuple(values["features"]),
                "scaling": scaling and Scaling(np.array(scaling["mean"]), np.array(scaling["std"])),
                "vocabulary": characters and Vocabulary(tuple(characters)),
            }
        )


class Run:
    """A directory that a training writes to; at any moment it holds the last completed epoch."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.kept = 0
        self._new = not self.directory.exists()
        if not self._new and not self.directory.is_dir():
            msg = f"argument --out: {directory} must be a directory; it is a file."
            raise UsageError(msg)
        for name in (MODEL, HISTORY):
            if (self.directory / name).exists():
                msg = (
                    f"argument --out: {self.directory / name} is there: {directory} holds a run. "
                    "Name another directory, or remove that one."
                )
                raise UsageError(msg)

    def __str__(self) -> str:
        """Say what it keeps."""
        return f"{self.directory} keeps " + (f"epoch {self.kept}." if self.kept else "nothing yet.")

    def open(self) -> None:
        """Make the directory, and find out now whether it can be written to."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.directory):
            pass

    def close(self) -> None:
        """Take the directory away if it was made for nothing."""
        if self._new and not self.kept:
            with suppress(OSError):
                self.directory.rmdir()

    def keep(
        self, model: Sequential, params: Tree, about: About, history: Sequence[Mapping[str, Any]], epoch: int
    ) -> None:
        """Write the weights of an epoch, then the history up to now."""
        checkpoint.save(self.directory / MODEL, model, params, {"about": about.to_json(), "epoch": epoch})
        self.kept = epoch
        checkpoint.atomic_write(self.directory / HISTORY, "".join(map(json_line, history)).encode())


def faults(about: About) -> list[str]:
    """Return the names of what no training can have written."""
    scaling, names = about.scaling, (*about.features, *(about.classes or ()))
    size = (len(about.features),)
    right = {
        "task": about.task in TASKS,
        "seed": isinstance(about.seed, int),
        "loss": about.loss in LOSSES,
        "classes": about.classes is None or len(set(about.classes)) == len(about.classes) > 1,
        "features": all(isinstance(name, str) for name in names),
        "scaling": scaling is None
        or (scaling.mean.shape == scaling.std.shape == size and is_usable(scaling)),
        "vocabulary": (about.vocabulary is not None) == (about.task == "text"),
        "dtype": about.dtype in ("float32", "float64"),
        "layout": about.layout in ("NTC", "TNC", "NCT"),
        "columns": all(isinstance(name, str) for name in (about.id, about.time, about.target)),
    }
    return [name for name, holds in right.items() if not holds]


def is_usable(scaling: Scaling) -> bool:
    """Return whether it makes numbers of numbers."""
    return bool(np.isfinite(scaling).all() and (scaling.std > 0).all())


def fits(model: Any, about: About) -> bool:
    """Return whether a model has the inputs and outputs that are described."""
    if not isinstance(model, Sequential):
        return False
    first, outputs = model.layers[0], model.output_size
    if about.vocabulary is not None and getattr(first, "num_tokens", None) != len(about.outputs):
        return False
    if about.features and getattr(first, "input_size", None) != len(about.features):
        return False
    if not about.outputs:
        return about.loss != "cross_entropy"
    return outputs == (len(about.outputs) if about.loss == "cross_entropy" else 1)


def open_run(given: Mapping[str, Any]) -> tuple[Sequential, Tree, About]:
    """Return the model in the directory of a run, its weights and what is to be known of it."""
    path = Path(given["run"])
    if not path.is_file():
        path /= MODEL
    extra = checkpoint.read_extra(path)
    try:
        about = About.from_json(extra["about"])
        wrong = faults(about)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"{path} does not say what it was trained on; `rnn-xp train --out` writes models that do."
        raise CheckpointError(msg) from error
    if wrong:
        msg = f"{path} is damaged: in its description these cannot be right: {', '.join(wrong)}."
        raise CheckpointError(msg)
    backend = get_backend(given.get("backend"), device=given.get("device"), dtype=about.dtype)
    model, params = checkpoint.load(path, backend)
    if not fits(model, about):
        msg = f"{path} is damaged: its description does not fit its model, {model!r}."
        raise CheckpointError(msg)
    return model, params, about
