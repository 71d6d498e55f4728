"""The history of a training, drawn and in characters."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import plot

RECORDS = [
    {"epoch": 1, "loss": 1.0, "gradient_norm": 4.0, "lr": 0.1, "val_loss": 0.9, "val_accuracy": 0.5},
    {"epoch": 2, "loss": 0.5, "gradient_norm": 2.0, "lr": 0.1, "val_loss": 0.3, "val_accuracy": 0.75},
    {"epoch": 3, "loss": 0.25, "gradient_norm": 1.0, "lr": 0.1, "val_loss": 0.6, "val_accuracy": 0.7},
]


@pytest.mark.parametrize("kind", ["list", "result", "epoch", "directory", "file"])
def test_from_whatever_tells_of_a_training(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    source: Any = {
        "list": RECORDS,
        "result": rx.Result((), RECORDS, 2, 1.0),
        "epoch": rx.Epoch(RECORDS[-1], (), False, RECORDS),
        "directory": tmp_path,
        "file": str(file),
    }[kind]
    found = plot.history(source, draw=False)
    assert found.epochs.tolist() == [1, 2, 3]
    assert list(found.series) == ["loss", "gradient_norm", "lr", "val_loss", "val_accuracy"]
    assert found.series["val_loss"].tolist() == [0.9, 0.3, 0.6]
    assert found.best_epoch == 2
    assert found.figure is None


def test_what_was_not_recorded_is_no_number() -> None:
    records = [{"epoch": 1, "loss": 1.0, "val_loss": None}, {"epoch": 2, "loss": 2.0, "padding": 0.5}]
    found = plot.history(records, draw=False)
    np.testing.assert_array_equal(found.series["padding"], [np.nan, 0.5])
    assert np.isnan(found.series["val_loss"]).all()
    assert found.best_epoch is None


def test_panels() -> None:
    found = plot.history(RECORDS)
    titles = [ax.get_title(loc="left") for ax in found.axes]
    assert titles == ["Loss", "Validation: accuracy", "Gradient, before clipping", "Learning rate"]
    loss = found.axes[0]
    assert [line.get_label() for line in loss.lines] == ["training", "validation", "best: epoch 2"]
    assert loss.lines[1].get_ydata().tolist() == [0.9, 0.3, 0.6]
    assert {ax.get_xlabel() for ax in found.axes} == {"epoch"}
    assert loss.get_yscale() == "linear"
    png = found._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_a_loss_over_decades_has_a_logarithmic_axis_with_plain_numbers() -> None:
    records = [{"epoch": i + 1, "loss": 10.0 ** (1 - i), "lr": 10.0**-i} for i in range(4)]
    found = plot.history(records)
    loss, lr = found.axes
    assert (loss.get_yscale(), lr.get_yscale()) == ("log", "linear")
    found.figure.canvas.draw()
    assert {"0.01", "0.1", "1", "10"} <= {label.get_text() for label in loss.get_yticklabels()}


def test_one_axes_takes_the_loss_alone() -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert plot.history(RECORDS, ax).axes == (ax,)
    assert ax.get_title(loc="left") == "Loss"


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (3, TypeError, "`source` must be a Result, its history, or the path of a run; got int"),
        ([], ValueError, "`source` must hold a record with `epoch` and `loss` for each"),
        ([{"loss": 1.0}], ValueError, "`source` must hold a record with `epoch`"),
        ([{"epoch": 1, "loss": "low"}], ValueError, "`source` must hold numbers; got 'low'"),
    ],
)
def test_refusals(source: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plot.history(source)


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"history\.jsonl"):
        plot.history(tmp_path)
    file = tmp_path / "history.jsonl"
    for text in ("{", "3\n", "", '{"epoch": 1}\n', '{"epoch": 1, "loss": "high"}\n', "\xff"):
        file.write_bytes(text.encode("latin-1"))
        with pytest.raises(rx.CheckpointError, match="does not hold the history of a training"):
            plot.history(tmp_path)


# in a terminal


def test_a_chart_of_characters() -> None:
    chart = plot.terminal(RECORDS, width=60, height=10)
    lines = chart.splitlines()
    assert len(lines) == 4 * 10 + 3
    assert max(map(len, lines)) == 60
    assert chart.replace("\n", "").isprintable()
    assert lines[0].strip() == "Loss"
    assert "validation" in chart
    assert lines[2].lstrip().startswith("1┤")  # the highest loss
    assert "Learning rate" in chart
    assert "\033[" in plot.terminal(RECORDS, color=True)


def test_a_chart_of_decades_has_their_numbers() -> None:
    records = [{"epoch": i + 1, "loss": 10.0 ** (1 - i)} for i in range(4)]
    chart = plot.terminal(records)
    for number in ("10┤", "1┤", "0.1┤", "0.01┤"):
        assert number in chart


@pytest.mark.parametrize("value", [np.nan, None, np.inf])
def test_a_chart_of_what_is_not_finite(value: Any) -> None:
    records = [{"epoch": i + 1, "loss": value, "val_loss": value, "lr": 0.1} for i in range(2)]
    first, *rest = plot.terminal(records, height=8).splitlines()
    assert first == "Loss: no finite number in 2 epochs"
    assert rest[0].strip() == "Learning rate"
    assert len(rest) == 8
    assert plot.history(records)._repr_png_()


def test_a_chart_leaves_out_what_is_not_finite() -> None:
    losses = [np.inf, 4.0, np.nan, 1.0]
    chart = plot.terminal([{"epoch": i + 1, "loss": loss} for i, loss in enumerate(losses)])
    for number in ("4┤", "3┤", "2┤", "1┤"):
        assert number in chart


def test_a_chart_needs_plotext(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotext", None)
    with pytest.raises(ModuleNotFoundError, match=r"rx.plot.terminal needs plotext, .*rnn-xp\[ui\]"):
        plot.terminal(RECORDS)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"width": 39}, ValueError, "`width` must be an integer of at least 40; got 39"),
        ({"height": 7}, ValueError, "`height` must be an integer of at least 8; got 7"),
        ({"color": 1}, TypeError, "`color` must be True or False; got 1"),
    ],
)
def test_refusals_of_a_chart(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plot.terminal(RECORDS, **options)
