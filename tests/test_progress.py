"""What a run shows while it trains."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from training import (
    CLASSES,
    X,
    classifier,
    train,
)

import rnn_xp as rx


class Terminal:
    """A stream that says it is a terminal, or is none."""

    def __init__(self, isatty: bool) -> None:
        self.text, self._isatty = "", isatty

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self._isatty


def test_a_plain_stream_gets_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    train(classifier(), X, CLASSES, epochs=12, validation=0.3, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert lines[0].startswith("epoch  1/12  loss ")
    assert lines[-1].startswith("epoch 12/12  loss ")
    for line in lines:
        for part in ("  val_loss ", "  val_accuracy ", "  gradient ", " sequences/s  "):
            assert part in line
        assert "\r" not in line
        assert "\033" not in line
    assert lines[0].endswith("best")
    assert lines[-1].removesuffix("  best").endswith(" s in all")
    assert not any(" in all" in line or " 0 s left" in line for line in lines[:-1])
    train(classifier(), X, CLASSES, epochs=1, verbose=False)
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop.progress import Progress

    terminal = Terminal(isatty=True)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(Progress, "due", lambda self: self.live)
    train(classifier(), X, CLASSES, epochs=2, batch_size=2, verbose=True)
    pieces = terminal.text.split("\r\033[K")[1:]
    assert len(pieces) == 2 * (4 + 1)
    assert [piece.partition("  loss ")[0] for piece in pieces[:5]] == [
        "epoch 1/2  batch 1/4",
        "epoch 1/2  batch 2/4",
        "epoch 1/2  batch 3/4",
        "epoch 1/2  batch 4/4",
        "epoch 1/2",
    ]
    assert [piece.endswith("\n") for piece in pieces] == [False] * 4 + [True] + [False] * 4 + [True]
    assert all(piece.endswith(" sequences/s") for piece in pieces[:4])  # less than a second is left


def test_a_live_line_comes_five_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop.progress import Progress

    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    terminal = Terminal(isatty=True)
    progress = Progress(2, 10, stream=terminal)  # type: ignore[arg-type]
    assert not progress.due()
    now[0] += 10.0
    assert progress.due()
    progress.batch(1, 5, 0.5, 3.0)
    assert terminal.text == "\r\033[Kepoch 1/2  batch 5/10  loss 0.5000  3 sequences/s  30 s left"
    now[0] += 0.1
    assert not progress.due()
    now[0] += 0.2
    assert progress.due()
    for stream, enabled in ((Terminal(isatty=False), True), (terminal, False)):
        silent = Progress(2, 10, enabled=enabled, stream=stream)  # type: ignore[arg-type]
        now[0] += 10.0
        assert not silent.due()


@pytest.mark.parametrize(
    ("seconds", "text", "whole"),
    [
        (0.4, "", "0.8 s"),
        (1.2, "  1 s left", "2.4 s"),
        (42.2, "  42 s left", "1:24"),
        (187.0, "  3:07 left", "6:14"),
        (3723.0, "  1:02:03 left", "2:04:06"),
    ],
)
def test_durations(seconds: float, text: str, whole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of two epochs took so long; as long is left."""
    from rnn_xp.train.loop.progress import Progress

    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    terminal = Terminal(isatty=False)
    progress = Progress(2, 1, stream=terminal)  # type: ignore[arg-type]
    now[0] += seconds
    record = {"epoch": 1, "loss": 0.5, "gradient_norm": 2.0, "sequences_per_second": 7.0, "seconds": seconds}
    progress.epoch(record)
    assert terminal.text == f"epoch 1/2  loss 0.5000  gradient 2  7 sequences/s{text}\n"
    now[0] += seconds
    progress.epoch(record | {"epoch": 2})
    assert terminal.text.endswith(f"  7 sequences/s  {whole} in all\n")


def test_the_live_line_of_batches_that_weigh_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop.progress import Progress

    terminal = Terminal(isatty=True)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(Progress, "due", lambda self: self.live)
    weights = [0.0] * (len(X) - 1) + [1.0]
    train(classifier(), X, CLASSES, weights=weights, epochs=1, batch_size=1, shuffle=False, verbose=True)
    assert "batch 1/7" not in terminal.text
    assert "epoch 1/1  batch 7/7  loss" in terminal.text


def test_the_live_line_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop.progress import Progress

    terminal = Terminal(isatty=True)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(Progress, "due", lambda self: self.live)
    model = rx.Sequential(rx.GRU(2, 3), rx.Linear(3, 3))
    y = np.zeros(X.shape[:2], dtype=int)
    train(model, X, y, epochs=1, batch_size=4, truncate=3, verbose=True)
    pieces = terminal.text.split("\r\033[K")[1:]
    assert [piece.partition("  loss ")[0] for piece in pieces] == [
        "epoch 1/1  batch 1/2 window 1/3",
        "epoch 1/1  batch 1/2 window 2/3",
        "epoch 1/1  batch 1/2",
        "epoch 1/1  batch 2/2 window 1/3",
        "epoch 1/1  batch 2/2 window 2/3",
        "epoch 1/1  batch 2/2",
        "epoch 1/1",
    ]


def test_what_is_left_of_a_run_that_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It went on after 6 of 20 batches; 4 more took ten seconds."""
    from rnn_xp.train.loop.progress import Progress

    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    terminal = Terminal(isatty=True)
    progress = Progress(2, 10, stream=terminal)  # type: ignore[arg-type]
    progress.resume(1, 6)
    now[0] += 10.0
    progress.batch(1, 10, 0.5, 3.0)
    assert terminal.text.endswith("batch 10/10  loss 0.5000  3 sequences/s  25 s left")
    progress.batch(1, 9, 0.5, 3.0, (1, 2))
    assert terminal.text.endswith("batch 9/10 window 1/2  loss 0.5000  3 sequences/s  46 s left")
    record = {"epoch": 1, "loss": 0.5, "gradient_norm": 2.0, "sequences_per_second": 7.0, "skipped": 3}
    progress.epoch(record)
    assert terminal.text.endswith("  7 sequences/s  skipped 3  25 s left\n")
    progress.epoch(record | {"epoch": 2, "skipped": 0})
    assert terminal.text.endswith("  7 sequences/s  10.0 s since it went on\n")


def test_why_a_training_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"epochs": 9, "verbose": True, "optimizer": rx.SGD(1e-300)}
    train(classifier(), X, CLASSES, **options, validation=0.3, patience=2)
    *epochs, last = capsys.readouterr().out.splitlines()
    assert len(epochs) == 3
    assert last.startswith("stopped: no better validation loss for 2 epochs  ")
    assert last.endswith(" s in all")
    train(classifier(), X, CLASSES, **options, patience=1)
    assert "stopped: no better loss for 1 epoch  " in capsys.readouterr().out
    train(classifier(), X, CLASSES, **options, callbacks=lambda epoch: epoch.record["epoch"] == 2)
    assert capsys.readouterr().out.splitlines()[2].startswith("stopped: a callback asked for it  ")
    train(classifier(), X, CLASSES, **{**options, "epochs": 2}, callbacks=lambda epoch: True)
    assert capsys.readouterr().out.count("stopped: ") == 1
    train(classifier(), X, CLASSES, **{**options, "epochs": 1}, callbacks=lambda epoch: True)
    assert "stopped" not in capsys.readouterr().out  # it was the last one anyway
    train(classifier(), X, CLASSES, **{**options, "verbose": False}, callbacks=lambda epoch: True)
    assert capsys.readouterr().out == ""


# in a terminal, by rich


class Pty:
    """A terminal of the system: what is written is read all the time, as else its writer would wait."""

    def __init__(self) -> None:
        near, far = os.openpty()
        self.stream = open(far, "w", encoding="utf-8")  # noqa: SIM115
        self._near, self._pieces = near, list[bytes]()
        self._reader = threading.Thread(target=self._drain)
        self._reader.start()

    def read(self) -> str:
        """Close it, and return all that was written."""
        self.stream.close()
        self._reader.join()
        return b"".join(self._pieces).decode()

    def _drain(self) -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while piece := os.read(self._near, 4096):
                self._pieces.append(piece)
        os.close(self._near)


@contextlib.contextmanager
def terminal(columns: int = 120) -> Iterator[Pty]:
    """Let standard output be a terminal."""
    pty = Pty()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", pty.stream)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", str(columns))
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE"):
            patch.delenv(name, raising=False)
        try:
            yield pty
        finally:
            pty.read()


def plain(text: str) -> str:
    """Return what is to be seen, without colours."""
    return re.sub(r"\033\[[0-9;]*m", "", text)


def test_a_terminal_gets_a_bar_that_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop.progress_terminal import Live

    monkeypatch.setattr(Live, "due", lambda self: True)
    with terminal() as pty:
        train(classifier(), X, CLASSES, epochs=2, batch_size=2, verbose=True, validation=0.3)
    text = pty.read()
    assert "\033[1mepoch 1/2\033[0m" in text
    assert "\033[1;32mbest\033[0m" in text
    assert "\033[?25l" not in text  # the cursor is never hidden
    pieces = plain(text).split("\r\033[K")[1:]
    assert len(pieces) == 2 * (3 + 1)
    live, ends = [piece for piece in pieces if "batch" in piece], [p for p in pieces if "batch" not in p]
    assert [piece.partition("  ")[0] for piece in live] == ["epoch 1/2"] * 3 + ["epoch 2/2"] * 3
    assert re.fullmatch(
        r"epoch 1/2  ━+╸?╺?━*  batch 1/3  loss \d\.\d{4}  gradient [\d.]+  \d+ sequences/s *", live[0]
    )
    assert live[2].count("━") == 30  # the bar is full
    assert [end.count("\n") for end in ends] == [1, 1]
    assert "val_accuracy" in ends[0]
    assert ends[1].strip().removesuffix("  best").endswith(" s in all")


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (120, "epoch 1/2 batch 5/10 window 1/4 loss 0.5000 gradient 2 3 sequences/s 52 s left"),
        (80, "epoch 1/2 loss 0.5000 gradient 2 3 sequences/s 52 s left"),
        (61, "epoch 1/2 loss 0.5000 3 sequences/s 52 s left"),
        (46, "epoch 1/2 loss 0.5000 52 s left"),
        (25, "epoch…"),
    ],
)
def test_a_narrow_terminal_gets_less(columns: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop.progress_terminal import Live

    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    with terminal(columns) as pty:
        progress = Live(2, 10)
        now[0] += 14.0
        progress.batch(1, 5, 0.5, 3.0, (1, 4), 2.0)
    (line,) = plain(pty.read()).split("\r\033[K")[1:]
    assert len(line) < columns
    if columns > 25:
        assert line.count("━") + line.count("╸") + line.count("╺") >= 10
        assert " ".join(re.sub("[━╸╺]", "", line).split()) == shown
    else:
        assert "…" in line


def test_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop import progress

    def chosen(enabled: bool = True) -> str:
        return type(progress.choose(2, 3, enabled=enabled)).__name__

    assert chosen() == "Progress"
    with terminal():
        assert chosen() == "Live"
        assert chosen(enabled=False) == "Progress"
        with monkeypatch.context() as patch:
            patch.setenv("TERM", "dumb")
            assert chosen() == "Progress"
        with monkeypatch.context() as patch:
            patch.setattr(progress, "find_spec", lambda name: None)  # nothing is installed
            assert chosen() == "Progress"
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", Terminal(isatty=True))  # it says so, and is none of the system's
            assert chosen() == "Progress"

    class ZMQInteractiveShell:
        pass

    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=ZMQInteractiveShell))
    assert chosen() == "Bar"
    assert chosen(enabled=False) == "Progress"
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert chosen() == "Progress"


def test_a_training_that_nobody_watches_loads_neither() -> None:
    program = (
        "import sys, numpy as np, rnn_xp as rx; model = rx.Sequential(rx.LastStep(), rx.Linear(1, 1));"
        "given = {'loss': 'squared_error', 'epochs': 1};"
        "[rx.fit(model, np.ones((2, 3, 1)), [1.0, 1.0], **given, verbose=v) for v in (False, True)];"
        "assert not {'rich', 'tqdm', 'IPython'} & set(sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, stdout=subprocess.DEVNULL)


# in a notebook, by tqdm


def test_a_notebook_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_xp.train.loop import progress_notebook

    made: list[Any] = []

    class Tqdm:
        """What there is of tqdm."""

        def __init__(self, total: int, initial: int, unit: str, file: Any) -> None:
            self.total, self.n, self.unit, self.said, self.closed = total, initial, unit, [], False
            self.moves: list[tuple[int, str]] = []
            made.append(self)

        def set_postfix_str(self, words: str) -> None:
            self.moves.append((self.n, words))

        def write(self, line: str, file: Any) -> None:
            self.said.append(line)

        def close(self) -> None:
            self.closed = True

    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Tqdm))
    monkeypatch.setattr(progress_notebook, "find_spec", lambda name: None)
    bar = progress_notebook.Bar(3, 4)
    bar.resume(1, 2)
    now[0] += 1.0
    bar.batch(1, 3, 0.5, 7.0, None, 2.0)
    record = {"epoch": 1, "loss": 0.25, "gradient_norm": 2.0, "sequences_per_second": 7.0}
    bar.epoch(record)
    (own,) = made
    assert (own.total, own.unit, own.closed) == (12, "batch", False)
    assert own.moves == [(3, "loss 0.5000  gradient 2  7 sequences/s"), (4, "loss 0.2500")]
    assert own.said == ["epoch 1/3  loss 0.2500  gradient 2  7 sequences/s  4 s left"]
    bar.stopped("a callback asked for it")
    assert own.said[1] == "stopped: a callback asked for it  1.0 s since it went on"
    assert own.closed


def test_a_notebook_without_widgets_gets_a_bar_of_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rnn_xp.train.loop import progress, progress_notebook

    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(progress_notebook, "find_spec", lambda name: None)
    monkeypatch.setattr(progress_notebook.Bar, "due", lambda self: True)
    train(classifier(), X, CLASSES, epochs=2, batch_size=2, verbose=True)
    out, err = capsys.readouterr()
    assert err == ""
    assert "8/8" in out
    assert [line.partition("  ")[0] for line in re.split("[\r\n]", out) if line.startswith("epoch")] == [
        "epoch 1/2",
        "epoch 2/2",
    ]
