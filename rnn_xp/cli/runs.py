"""What is to be known of a trained model, beside its weights; and both from the directory of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnn_xp import CheckpointError, Sequential, checkpoint, get_backend
from rnn_xp.cli.settings import TASKS
from rnn_xp.data import Scaling, Vocabulary
from rnn_xp.layers import Linear
from rnn_xp.model import LOSSES
from rnn_xp.typing import Tree

MODEL = "model.safetensors"


@dataclass(frozen=True)
class About:
    """What must be known of a trained model to use it; stored beside its weights."""

    task: str
    seed: int
    loss: str
    classes: tuple[str, ...] | None = None
    features: tuple[str, ...] = ()
    scaling: Scaling | None = None
    target_scaling: Scaling | None = None  # in the training; the model answers in the targets' own units
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
        vocabulary = self.vocabulary and "".join(self.vocabulary.characters)
        return {
            **asdict(self),
            "scaling": scaling_to_json(self.scaling),
            "target_scaling": scaling_to_json(self.target_scaling),
            "vocabulary": vocabulary,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> About:
        """Return what `to_json` was called on."""
        classes, characters = values["classes"], values["vocabulary"]
        return cls(
            **{
                **values,
                "classes": None if classes is None else tuple(classes),
                "features": tuple(values["features"]),
                "scaling": scaling_from_json(values["scaling"]),
                "target_scaling": scaling_from_json(values.get("target_scaling")),
                "vocabulary": characters and Vocabulary(tuple(characters)),
            }
        )


def scaling_to_json(scaling: Scaling | None) -> dict[str, list[float]] | None:
    """Return it in JSON values."""
    return None if scaling is None else {"mean": scaling.mean.tolist(), "std": scaling.std.tolist()}


def scaling_from_json(values: Mapping[str, list[float]] | None) -> Scaling | None:
    """Return what `scaling_to_json` was called with."""
    return None if values is None else Scaling(np.array(values["mean"]), np.array(values["std"]))


def faults(about: About) -> list[str]:
    """Return the names of what no training can have written."""
    scaling, of_target = about.scaling, about.target_scaling
    names, size = (*about.features, *(about.classes or ())), (len(about.features),)
    right = {
        "task": about.task in TASKS,
        "seed": isinstance(about.seed, int),
        "loss": about.loss in LOSSES,
        "classes": about.classes is None or len(set(about.classes)) == len(about.classes) > 1,
        "features": all(isinstance(name, str) for name in names),
        "scaling": scaling is None or (scaling.mean.shape == scaling.std.shape == size and scaling.is_usable),
        "target_scaling": of_target is None
        or (of_target.mean.ndim == 1 and of_target.mean.shape == of_target.std.shape and of_target.is_usable),
        "vocabulary": (about.vocabulary is not None) == (about.task == "text"),
        "dtype": about.dtype in ("float32", "float64"),
        "layout": about.layout in ("NTC", "TNC", "NCT"),
        "columns": all(isinstance(name, str) for name in (about.id, about.time, about.target)),
    }
    return [name for name, holds in right.items() if not holds]


def fits(model: Any, about: About) -> bool:
    """Return whether a model has the inputs and outputs that are described."""
    if not isinstance(model, Sequential):
        return False
    first, last, outputs = model.layers[0], model.layers[-1], model.output_size
    if about.vocabulary is not None and getattr(first, "num_tokens", None) != len(about.outputs):
        return False
    if about.features and getattr(first, "input_size", None) != len(about.features):
        return False
    scaling = about.target_scaling
    if scaling is not None and not (isinstance(last, Linear) and last.bias and outputs == len(scaling.mean)):
        return False
    if not about.outputs:
        return about.loss != "cross_entropy"
    return outputs == (len(about.outputs) if about.loss == "cross_entropy" else 1)


def home_of(run: str) -> Path:
    """Return the directory of a run, which may be given as the file of its model."""
    path = Path(run)
    return path.parent if path.is_file() else path


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
