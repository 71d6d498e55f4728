"""The directory of a training: who writes to it, and what is in it at any moment."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from rnn_xp import CheckpointError, Sequential, checkpoint, tree
from rnn_xp.backend import to_numpy
from rnn_xp.cli import interrupt
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.output import json_line
from rnn_xp.cli.runs import MODEL, About
from rnn_xp.typing import Tree

try:
    import fcntl
except ImportError:  # on Windows nothing keeps a second writer away
    fcntl = None  # type: ignore[assignment]

HISTORY, CHECKPOINT = "history.jsonl", "checkpoint.safetensors"


class Directory:
    """A directory that one training at a time writes to: the last completed epoch, and all it takes to go on.

    Parameters
    ----------
    name : str
    resumed : bool
        Whether this training goes on with the one that the directory holds; else it must hold none.
    writes : bool
        Whether this is the process that writes; others leave the directory alone.
    """

    def __init__(self, name: str, *, resumed: bool = False, writes: bool = True) -> None:
        self.path, self.resumed, self.writes = Path(name), resumed, writes
        self.checkpoint = self.path / CHECKPOINT
        self.kept = 0  # the epoch that the model is of
        self._history: list[str] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Make the directory, keep others from it, and find out now whether it can be written to."""
        with ExitStack() as stack:
            if not self.writes:
                return self
            if not self.resumed:
                self._make(stack)
            elif not self.path.is_dir():
                why = CheckpointError("there is no such directory")
                raise self.not_whole(why)
            self._lock(stack)
            checkpoint.remove_stale(self.path)
            if self.resumed:
                with suppress(OSError, ValueError):  # what is lost of it is written again in the end
                    self._history = (self.path / HISTORY).read_text().splitlines(keepends=True)
                self.kept = len(self._history)
            else:
                self._refuse_a_run()
                with tempfile.TemporaryFile(dir=self.path):
                    pass
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Let others in; a directory that was made for nothing goes."""
        self._open.close()

    def state(self, *, goes_on: bool, more: str = "") -> str:
        """Say what it keeps, and how to go on, with what options more."""
        if not self.path.is_dir():
            return f"{self.path} is not there any more."
        kept = f"{self.path} keeps " + (f"epoch {self.kept}." if self.kept else "no whole epoch yet.")
        return f"{kept} {self.way_on}{more}".rstrip() if goes_on and self.way_on else kept

    @property
    def way_on(self) -> str:
        """Say what goes on with the training, where there is a checkpoint."""
        command = f"rnn-xp train --resume {shlex.quote(str(self.path))}"
        return f"Go on with: {command}" if self.checkpoint.exists() else ""

    def not_whole(self, why: CheckpointError) -> UsageError:
        """Say that there is nothing to go on with."""
        words = str(why).rstrip(".")
        return UsageError(f"argument --resume: {self.path} holds no whole checkpoint: {words}.")

    def is_complete(self) -> bool:
        """Whether the training is finished, and model and history are of the epochs that it ended with."""
        about: dict[str, Any] = {}
        with suppress(OSError, CheckpointError):
            checkpoint.read_file(self.checkpoint, "training", lambda found: about.update(found) or {})
        if about.get("finished") is not True:
            return False
        last = about.get("epoch", 0) - 1
        chosen = about.get("best_epoch") if about.get("best") else last
        return self._epoch() == chosen and len(self._history) == last

    def keep(self, model: Sequential, params: Tree, about: About, record: Mapping[str, Any]) -> None:
        """Write the weights after an epoch, then the history up to its record."""
        epoch = record["epoch"]
        self._save(model, params, about, epoch)
        self._history[epoch - 1 :] = [json_line(record)]
        checkpoint.atomic_write(self.path / HISTORY, "".join(self._history).encode())

    def complete(
        self, model: Sequential, params: Tree, about: About, history: Sequence[Mapping[str, Any]], epoch: int
    ) -> None:
        """Write the weights of the epoch that was chosen in the end, and the history, if that is not done."""
        if not self.writes:
            return
        if not self._holds(model, params, _extra(about, epoch)):
            self._save(model, params, about, epoch)
        self.kept = epoch
        lines = list(map(json_line, history))
        if self._history != lines:
            checkpoint.atomic_write(self.path / HISTORY, "".join(lines).encode())

    def _save(self, model: Sequential, params: Tree, about: About, epoch: int) -> None:
        """Write the model; nothing in it tells how often the training was interrupted, where or when."""
        checkpoint.save(self.path / MODEL, model, params, _extra(about, epoch))
        self.kept = epoch

    def _epoch(self) -> int | None:
        """Return the epoch that the model is of; None where it is not there, or not whole."""
        with suppress(OSError, CheckpointError):
            return checkpoint.read_extra(self.path / MODEL).get("epoch")
        return None

    def _holds(self, model: Sequential, params: Tree, extra: Mapping[str, Any]) -> bool:
        """Whether the model is this one, bit by bit."""
        own = {name: to_numpy(leaf) for name, leaf in tree.named_leaves(params)}
        expected = {name: (tensor.shape, tensor.dtype) for name, tensor in own.items()}
        with suppress(OSError, CheckpointError):
            description, found = checkpoint.read_file(self.path / MODEL, "model", lambda _: expected)
            words = {"model": model.config(), "extra": extra}
            there = {name: description[name] for name in words}
            same = json.dumps(words, sort_keys=True) == json.dumps(there, sort_keys=True)
            return same and all(found[name].tobytes() == tensor.tobytes() for name, tensor in own.items())
        return False

    def _make(self, stack: ExitStack) -> None:
        """Make the directory; let it go again if it stays empty."""
        if self.path.exists() and not self.path.is_dir():
            msg = f"argument --out: {self.path} must be a directory; it is a file."
            raise UsageError(msg)
        if not self.path.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            stack.callback(self._remove_if_empty)
            stack.enter_context(interrupt.undoing(self._remove_if_empty))

    def _remove_if_empty(self) -> None:
        with suppress(OSError):
            self.path.rmdir()

    def _lock(self, stack: ExitStack) -> None:
        """Keep other trainings away until this process ends, in whatever way."""
        if fcntl is None:
            return
        descriptor = os.open(self.path, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):  # else the file system has no locks
                option = "--resume" if self.resumed else "--out"
                msg = f"argument {option}: another training writes to {self.path} now."
                raise UsageError(msg) from None

    def _refuse_a_run(self) -> None:
        """Refuse to write over another training."""
        for name in (MODEL, HISTORY, CHECKPOINT):
            if (self.path / name).exists():
                msg = (
                    f"argument --out: {self.path / name} is there: {self.path} holds a run. "
                    f"Name another directory, or remove that one. {self.way_on}"
                )
                raise UsageError(msg.rstrip())


def _extra(about: About, epoch: int) -> dict[str, Any]:
    """Return what stands beside the weights."""
    return {"about": about.to_json(), "epoch": epoch}
