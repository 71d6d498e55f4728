"""What a run shows while it trains."""

from __future__ import annotations

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
