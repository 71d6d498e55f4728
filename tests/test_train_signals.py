"""SIGINT and SIGTERM in a training that keeps a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import N, T, classifier, draw, train

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.train.saving import keeper
from rnn_xp.train.saving.signals import Terminated, noted

X, Y = draw(N, T, 2), np.arange(N) % 3


class Signalling(rx.SGD):
    """Sends this process a signal within a step."""

    at, number = 4, signal.SIGINT

    def update(self, *args: Any, **options: Any) -> Any:
        object.__setattr__(self, "count", getattr(self, "count", 0) + 1)
        if self.count == self.at:  # type: ignore[attr-defined]
            os.kill(os.getpid(), self.number)
        return super().update(*args, **options)


class Terminating(Signalling):
    number = signal.SIGTERM


@pytest.mark.parametrize(("kind", "error"), [(Signalling, KeyboardInterrupt), (Terminating, SystemExit)])
def test_the_step_is_finished_and_everything_kept(
    kind: Any, error: type[BaseException], tmp_path: Path
) -> None:
    path, options = tmp_path / "a", {"epochs": 3, "batch_size": 3}
    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    words = r"(interrupted|terminated) in epoch 2; .*a holds everything: resume=True goes on from there\."
    with pytest.raises(error, match=words) as caught:
        train(classifier(), X, Y, checkpoint=path, **options | {"optimizer": kind(0.1)})
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    if error is SystemExit:
        assert caught.value.code == 143  # type: ignore[attr-defined]
    calm = kind(0.1)
    object.__setattr__(calm, "at", -1)
    result = train(classifier(), X, Y, checkpoint=path, resume=True, **options | {"optimizer": calm})
    whole = train(classifier(), X, Y, **options)
    for one, other in zip(tree.leaves(result.params), tree.leaves(whole.params), strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_a_checkpoint_signals_are_the_callers() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        train(classifier(), X, Y, optimizer=Signalling(0.1))
    assert str(caught.value) == ""


def test_a_signal_after_the_last_step_is_told_too(tmp_path: Path) -> None:
    def last(epoch: rx.Epoch) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="interrupted after the last epoch"):
        train(classifier(), X, Y, epochs=1, checkpoint=tmp_path / "a", callbacks=last)
    assert len(train(classifier(), X, Y, epochs=1, checkpoint=tmp_path / "a", resume=True).history) == 1


def test_a_signal_after_the_last_save_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = keeper.Checkpoint.save

    def saving(self: Any, training: Any) -> None:
        save(self, training)
        if training.finished:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(keeper.Checkpoint, "save", saving)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after the last epoch; .* holds everything"):
        train(classifier(), X, Y, epochs=1, checkpoint=tmp_path / "a")


def test_a_handler_of_the_callers_stays() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        with noted() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert (came, signals.number) == ([signal.SIGINT], None)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_handles_no_signal() -> None:
    seen: list[Any] = []

    def body() -> None:
        with noted():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_what_a_terminated_program_says() -> None:
    error = Terminated("words")
    assert (error.code, str(error), isinstance(error, SystemExit)) == (143, "words", True)


PROGRAM = """
import os, signal, sys
import numpy as np, rnn_xp as rx

class Twice(rx.SGD):
    def update(self, *args, **options):
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        print("went on")
        return super().update(*args, **options)

model = rx.Sequential(rx.GRU(1, 2), rx.LastStep(), rx.Linear(2, 2))
rx.fit(model, np.ones((4, 2, 1)), [0, 1, 0, 1], optimizer=Twice(0.1), backend="numpy", checkpoint=sys.argv[1],
       verbose=False)
"""


@pytest.mark.parametrize(
    ("signals", "code", "out", "err"),
    [
        ([15], 143, "went on\n", ""),
        ([15, 15], -15, "", ""),
        ([2], -2, "went on\n", "holds everything"),
        ([2, 2], -2, "", "KeyboardInterrupt"),
    ],
)
def test_a_second_signal_stops_at_once(
    signals: list[int], code: int, out: str, err: str, tmp_path: Path
) -> None:
    program = PROGRAM.replace("SIGNALS", repr(signals))
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, out)
    assert err in done.stderr
    assert os.listdir(tmp_path) == ["a"]
