"""What a training can be told, and what each task chooses where it is told nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from rnn_xp import optim
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.ranks import file_of, is_cut
from rnn_xp.data import Scaling
from rnn_xp.distributed import Alone, Communicator

OPTIMIZERS = {"sgd": optim.SGD, "rmsprop": optim.RMSprop, "adam": optim.Adam, "adamw": optim.AdamW}

LR = {"sgd": 1e-2, "rmsprop": 1e-3, "adam": 3e-3, "adamw": 3e-3}
"""Of an optimiser that is not the task's own."""

OF_THE_CALL = ("out", "json", "quiet", "save_every", "distributed", "timeout", "scalings")
"""Options that are no matter of what is trained, nor of how."""

THE_SAME = (
    *("task", "data", "device", "test", "targets", "id", "time", "target", "lanes"),
    *("residual", "layer_norm", "learn_state", "recurrent_dropout", "variational", "zoneout"),
    *("accumulate", "bucket", "nonfinite", "truncate", "recompute", "blocks"),
)
"""Options whose defaults are the same whatever the task: off, or in the help beside them."""

OF_FILES = ("test", "targets", "layout", "id", "time", "target")
"""Options that say how to read files of sequences."""


@dataclass(frozen=True)
class Settings:
    """The options of `rnn-xp train`, by their names; the defaults are those for the user's own data."""

    task: str = "data"
    data: str | None = None
    test: str | None = None
    layout: str = "NTC"
    id: str = "id"
    time: str = "time"
    target: str = "target"
    targets: str | None = None  # what they look like
    loss: str | None = None  # what the targets suggest
    cell: str = "gru"
    hidden_size: int = 64
    embedding_size: int = 64
    num_layers: int = 1
    bidirectional: bool = False
    residual: bool = False
    layer_norm: bool = False
    learn_state: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    variational: bool = False
    zoneout: float | tuple[float, ...] = 0.0
    pool: str | None = None  # the last step, or an output a step where there is a target a step
    window: int = 64
    lanes: int | None = None
    epochs: int = 30
    batch_size: int = 32
    accumulate: int = 1
    bucket: bool = False
    truncate: tuple[int, int] | None = None
    recompute: bool | int = False
    optimizer: str = "adam"
    momentum: float = 0.0
    lr: float = LR["adam"]
    schedule: str = "constant"
    clip_norm: float | None = 1.0
    clip_value: float | None = None
    nonfinite: str = "stop"
    weight_decay: float | None = None  # the optimiser's own
    init: str = "pytorch"
    shuffle: bool = True
    dtype: str = "float32"
    backend: str | None = None
    device: str | None = None
    seed: int = 0
    validation: float | None = None
    patience: int | None = None
    save_every: float = 60.0
    out: str | None = None
    distributed: Communicator | None = None
    timeout: float = 300.0
    blocks: int | None = None
    json: bool = False
    quiet: bool = False
    scalings: tuple[Scaling | None, Scaling | None] = (None, None)  # of a training that goes on: known

    @property
    def ranks(self) -> Communicator:
        """The processes that train together, or this one alone."""
        return self.distributed or Alone()

    @property
    def parts(self) -> Communicator:
        """Those of them that have a part of the data each; this one alone where each has all."""
        return self.ranks if is_cut(self.data) else Alone()

    @property
    def own_data(self) -> str | None:
        """The name of the file that this process reads."""
        return None if self.data is None else file_of(self.data, self.ranks)


TASKS: dict[str, dict[str, Any]] = {
    "sign-of-sum": {
        "cell": "rnn",
        "hidden_size": 32,
        "loss": "binary_cross_entropy",
        "epochs": 10,
        "batch_size": 1,
        "optimizer": "sgd",
        "lr": 0.01,
        "clip_norm": None,
        "init": "tutorial",
        "dtype": "float64",
        "backend": "numpy",
    },
    "japanese-vowels": {
        "cell": "gru",
        "hidden_size": 64,
        "bidirectional": True,
        "dropout": 0.3,
        "pool": "mean",
        "epochs": 40,
        "batch_size": 16,
        "lr": 0.005,
        "schedule": "cosine",
        "backend": "numpy",
    },
    "text": {
        "cell": "lstm",
        "hidden_size": 256,
        "embedding_size": 64,
        "window": 64,
        "epochs": 4,
        "lr": 0.005,
        "schedule": "cosine",
    },
    "data": {},
}


def settle(given: Mapping[str, Any]) -> Settings:
    """Fill in what was not given, and refuse what does not go together."""
    task = given.get("task") or ("sign-of-sum" if given.get("data") is None else "data")
    values = {**TASKS[task], **given, "task": task}
    own = TASKS[task].get("optimizer", Settings.optimizer)
    if "lr" not in given and given.get("optimizer", own) != own:
        values["lr"] = LR[given["optimizer"]]
    if "shuffle" not in given:
        values["shuffle"] = "lanes" not in given and values.get("batch_size", Settings.batch_size) > 1
    if "backend" not in given and ("RNN_XP_BACKEND" in os.environ or "device" in given):
        values["backend"] = None  # a task's own backend is for those who don't care
    settings = Settings(**values)
    _refuse(settings, given)
    return settings


def as_options(given: Mapping[str, Any]) -> list[str]:
    """Write what was given as on a command line, so that it says the same in any directory."""
    options = []
    for name, value in given.items():
        if name in OF_THE_CALL:
            continue
        option = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{option}" if value else f"--no-{option}")
        else:
            parts = value if isinstance(value, tuple) else (value,)
            text = os.path.abspath(value) if name in ("data", "test") else ",".join(map(str, parts))
            options.append(f"--{option}={'none' if value is None else text}")
    return options


def chosen(task: str) -> dict[str, str]:
    """Return the defaults of a task in words, by the names of their options; "-" where it has no such one."""
    settings = settle({"task": task})
    without = unfit(settings)
    names = [field.name for field in fields(settings) if field.name not in THE_SAME + OF_THE_CALL]
    return {name: "-" if name in without else _in_a_word(name, getattr(settings, name)) for name in names}


def _in_a_word(name: str, value: Any) -> str:
    """Write a default."""
    if value is None:
        return {"pool": "last", "backend": "auto", "loss": "auto", "weight_decay": "0.0"}.get(name, "none")
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def unfit(settings: Settings) -> dict[str, str]:
    """Return the options that have no effect, and why."""
    task, text, data = settings.task, settings.task == "text", settings.task == "data"
    still = settings.optimizer not in ("sgd", "rmsprop")
    two = isinstance(settings.zoneout, tuple)
    whole, lanes = settings.pool in ("mean", "max"), settings.lanes is not None
    rules = (
        ("data", not (text or data), f"--task {task} has data of its own"),
        *((name, not data, "it goes with --data, a file of sequences") for name in OF_FILES),
        ("embedding_size", not (text or data), f"--task {task} has no tokens"),
        *((name, not text, "it goes with --task text") for name in ("window", "lanes")),
        ("momentum", still, f"--optimizer {settings.optimizer} has none"),
        ("pool", text, "a language model has an output for every step"),
        ("loss", text, "a language model has the cross-entropy"),
        ("bidirectional", text, "a language model must not read what it is to predict"),
        ("bucket", text or task == "sign-of-sum", "its sequences are all of one length"),
        ("residual", settings.num_layers == 1, "it goes with --num-layers above 1"),
        ("variational", not settings.dropout, "it goes with --dropout"),
        ("zoneout", two and settings.cell != "lstm", f"the state of --cell {settings.cell} is h alone"),
        ("truncate", whole, f"--pool {settings.pool} needs whole sequences"),
        ("truncate", settings.bidirectional, "a bidirectional model needs whole sequences"),
        ("window", lanes and settings.truncate is not None, "--truncate says how long windows are"),
        *((name, lanes, "the lanes are the batch") for name in ("batch_size", "accumulate")),
        ("shuffle", lanes, "lanes are read in order"),
        ("save_every", settings.out is None, "it goes with --out"),
        ("timeout", settings.distributed is None, "it goes with --distributed"),
        ("blocks", is_cut(settings.data), "the sequences of a block may lie in the files of several ranks"),
    )
    return {option: why for option, holds, why in rules if holds}


def _refuse(settings: Settings, given: Mapping[str, Any]) -> None:
    """Say which options do not go together."""
    for option, why in unfit(settings).items():
        if given.get(option):
            msg = f"argument --{option.replace('_', '-')}: not here: {why}."
            raise UsageError(msg)
    refuse_no_files(given)
    refuse_columns(given, [name for name in (settings.data, settings.test) if name])


def refuse_no_files(given: Mapping[str, Any]) -> None:
    """Say what is no file: a pipe or a device may have no end, or wait for ever."""
    for option in ("data", "test"):
        path = file_of(given.get(option) or "", given.get("distributed") or Alone())
        if path and os.path.exists(path) and not os.path.isfile(path):
            msg = f"argument --{option}: {path} must be a file; it is a directory, a pipe or a device."
            raise UsageError(msg)


def refuse_columns(given: Mapping[str, Any], files: Iterable[str]) -> None:
    """Say which options are about files of another kind."""
    endings = {os.path.splitext(name)[1].lower() for name in files}
    for option, ending in {"layout": ".npz", "id": ".csv", "time": ".csv", "target": ".csv"}.items():
        if option in given and endings and ending not in endings:
            msg = f"argument --{option}: not here: it goes with {ending} files; got {', '.join(endings)}."
            raise UsageError(msg)
