"""`rnn-xp export`: a trained model for another library, or for NumPy alone, that answers the same."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import rnn_xp as rx
from rnn_xp.cli import interrupt, parity, recipes
from rnn_xp.cli.directory import CHECKPOINT, HISTORY
from rnn_xp.cli.errors import DONE, UsageError
from rnn_xp.cli.output import Output
from rnn_xp.cli.parity import Runtime
from rnn_xp.cli.runs import MODEL, About, home_of, open_run
from rnn_xp.cli.use import write
from rnn_xp.interop import keras, onnx, torch
from rnn_xp.interop.standalone import source
from rnn_xp.typing import Tree

CLOSE = {"float32": 1e-4, "float64": 1e-10}
"""How far outputs of about 1 may be from ours: sums are taken in other orders."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a place with no room left."""

ONLY_ONNX = ("layout", "states", "dtype")


class Asked(NamedTuple):
    """What is exported, and how."""

    model: rx.Sequential
    params: Tree
    about: About
    given: Mapping[str, Any]
    name: str  # of the file

    @property
    def dtype(self) -> str:
        """That of an ONNX graph: ONNX Runtime's recurrent operators know float32 alone."""
        return str(self.given.get("dtype", "float32"))


class Kind(NamedTuple):
    """A kind of file: how it ends, how it is written, what runs it, and the code that takes it."""

    suffix: str
    save: Callable[[Path, Asked], None]
    runtime: Callable[[Asked], Runtime]
    code: Callable[[Asked, Path], str]
    is_told: bool  # whether the user needs the code, since the file holds weights alone


def export(given: Mapping[str, Any]) -> int:
    """Write the file, once it has been found to answer as the model does."""
    output = Output(json=given.get("json", False))
    kind, target = KINDS[given["to"]], given["out"]
    _refuse(given, kind)
    model, params, about = open_run({**given, "backend": "numpy"})
    asked = Asked(model, params, about, given, os.path.basename(target))
    with _folder() as folder:
        path = folder / f"export{kind.suffix}"
        try:
            kind.save(path, asked)
        except ModuleNotFoundError as error:
            raise UsageError(str(error)) from None
        inside = asked._replace(name=path.name)
        how = {"layout": given.get("layout", "NTC")}
        code = kind.code(inside, path)
        verdict = parity.check(folder, code, kind.runtime(asked), model, params, about, **how)
        if verdict.is_too_far:
            msg = f"{target} is not written: it would not answer as the model does: {verdict.words}."
            raise ValueError(msg)
        content = path.read_bytes()
    with interrupt.gently():
        write(target, content)
    output.line(f"written: {target}\nparity: {verdict.words}")
    told = kind.code(asked, path) if kind.is_told else None
    if told is not None:
        output.line(f"The file holds the weights alone. This takes them:\n{told.rstrip()}")
    record = {"out": target, "to": given["to"], "difference": verdict.difference, "parity": verdict.words}
    output.record({"result": {**record, "code": told}})
    return DONE


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a directory that goes when the command ends, whatever ends it; say where it is if that is full."""
    folder = Path(tempfile.mkdtemp(prefix="rnn-xp-"))

    def remove() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    with interrupt.hearing(), interrupt.undoing(remove):
        try:
            yield folder
        except OSError as error:
            if error.errno not in FULL:
                raise
            why = f"{os.strerror(error.errno)}; TMPDIR names another directory"
            raise OSError(error.errno, why, str(folder.parent)) from error
        finally:
            remove()


def _refuse(given: Mapping[str, Any], kind: Kind) -> None:
    """Say which options do not go together."""
    target, run = given["out"], given["run"]
    for option in ONLY_ONNX:
        if option in given and given["to"] != "onnx":
            msg = f"argument --{option}: not here: it goes with --to onnx."
            raise UsageError(msg)
    if not target.endswith(kind.suffix):
        msg = f"argument --out: must end in {kind.suffix} for --to {given['to']}; got {target}."
        raise UsageError(msg)
    own = [run, *(home_of(run) / name for name in (MODEL, HISTORY, CHECKPOINT))]
    if any(os.path.realpath(path) == os.path.realpath(target) for path in own):
        msg = f"argument --out: {target} is a file of the run itself. Name another file."
        raise UsageError(msg)


def _save_numpy(path: Path, asked: Asked) -> None:
    about = asked.about
    text = source(
        asked.model,
        asked.params,
        loss=about.loss,
        scaling=about.scaling,
        classes=about.outputs or None,
    )
    path.write_text(text, encoding="utf-8")


def _save_onnx(path: Path, asked: Asked) -> None:
    about = asked.about
    notes = {"loss": about.loss, "features": json.dumps(about.features)}
    notes |= {} if about.classes is None else {"classes": json.dumps(about.classes)}
    notes |= {} if about.vocabulary is None else {"vocabulary": "".join(about.vocabulary.characters)}
    onnx.save(
        path,
        asked.model,
        asked.params,
        layout=asked.given.get("layout", "NTC"),
        states=asked.given.get("states", False),
        loss=about.loss,
        scaling=about.scaling,
        dtype=asked.dtype,
        metadata=notes,
    )


def _onnx_code(asked: Asked, _: Path) -> str:
    return recipes.onnx(asked.model, asked.name, asked.dtype, asked.given.get("states", False))


KINDS = {
    "numpy": Kind(
        ".py",
        _save_numpy,
        lambda _: Runtime("numpy", "NumPy", 0.0, must_run=True),
        lambda _, path: path.read_text(encoding="utf-8"),
        False,
    ),
    "onnx": Kind(
        ".onnx",
        _save_onnx,
        lambda _: Runtime("onnxruntime", "ONNX Runtime", CLOSE["float32"]),
        _onnx_code,
        False,
    ),
    "torch": Kind(
        ".safetensors",
        lambda path, asked: torch.save(path, asked.model, asked.params),
        lambda asked: Runtime("torch", "PyTorch", CLOSE[asked.about.dtype], padded=False),
        lambda asked, _: recipes.torch(asked.model, asked.about, asked.name),
        True,
    ),
    "keras": Kind(
        ".weights.h5",
        lambda path, asked: keras.save(path, asked.model, asked.params),
        lambda _: Runtime("keras", "Keras", CLOSE["float32"], padded=False),  # some backends multiply so
        lambda asked, _: recipes.keras(asked.model, asked.about, asked.name),
        True,
    ),
}
"""The kinds of files, by what is said to --to."""
