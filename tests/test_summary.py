"""The summary of a model: layers, shapes, parameters, bytes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.layers.summary import _bytes

DEEP = rx.Sequential(
    rx.layers.Embedding(7, 3),
    rx.LSTM(3, 4, 2, bidirectional=True, bias="input"),
    rx.Residual(rx.Sequential(rx.GRU(8, 5, reset="before"), rx.Linear(5, 8))),
    rx.LastStep(),
    rx.Linear(8, 2, bias=False),
)


def cells(text: str) -> list[list[str]]:
    """Return the table's rows, cut where there are two spaces or more."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()[:-1]]


def test_a_deep_model_by_hand() -> None:
    lstm = 2 * (16 * 3 + 16 * 4 + 16) + 2 * (16 * 8 + 16 * 4 + 16)  # two directions, then two more
    gru, linear = 15 * 8 + 15 * 5 + 15 + 15, 8 * 5 + 8
    total = 21 + lstm + gru + linear + 16
    assert cells(DEEP.summary()) == [
        ["layer", "out", "parameters", "bytes"],
        ["Embedding(7, 3)", "(T, B, 3)", "21", "84 B"],
        ["LSTM(3, 4, num_layers=2, bias='input', bidirectional=True)", "(T, B, 8)", "672", "2.69 kB"],
        ["Residual", "(T, B, 8)", f"{gru + linear}", "1.09 kB"],
        ["Sequential", "(T, B, 8)", f"{gru + linear}", "1.09 kB"],
        ["GRU(8, 5, reset='before')", "(T, B, 5)", f"{gru}", "900 B"],
        ["Linear(5, 8)", "(T, B, 8)", f"{linear}", "192 B"],
        ["LastStep()", "(B, 8)", "0", "0 B"],
        ["Linear(8, 2, bias=False)", "(B, 2)", "16", "64 B"],
        ["total", f"{total}", f"{4 * total / 1000:.3g} kB"],
    ]
    lines = DEEP.summary().splitlines()
    assert lines[4].startswith("  Sequential")
    assert lines[5].startswith("    GRU(8, 5")


def test_the_parameters_are_those_that_init_draws() -> None:
    params = DEEP.init(rx.get_backend("numpy", dtype="float64"))
    numbers = sum(leaf.size for leaf in tree.leaves(params))
    size = sum(leaf.nbytes for leaf in tree.leaves(params))
    assert cells(DEEP.summary(dtype="float64"))[-1] == ["total", f"{numbers:,}", _bytes(size)]


def test_shapes_in_numbers_are_those_that_come_out() -> None:
    backend = rx.get_backend("numpy")
    layers = (rx.GRU(3, 6, bidirectional=True), rx.Linear(12, 5), rx.MaxPool(), rx.Linear(5, 2))
    for count in range(1, 5):
        model = rx.Sequential(*layers[:count])
        y = model.forward(model.init(backend), backend.asarray(np.zeros((4, 2, 3))))[0]
        assert cells(model.summary(T=4, B=2))[-2][1] == str(tuple(y.shape))


def test_the_memory_of_a_step() -> None:
    model = rx.Sequential(rx.GRU(3, 8), rx.LastStep(), rx.Linear(8, 2))
    last = model.summary(T=50, B=32, dtype="float64").splitlines()[-1]
    weights = _bytes(4 * 8 * (24 * 3 + 24 * 8 + 24 + 24 + 18))
    kept = _bytes(model.kept_bytes(50, 32, 8))
    assert (
        last
        == f"a training step with Adam takes {weights} for the weights, and about {kept} for the way back"
    )
    assert model.summary(T=50).splitlines()[-1].endswith("and what T and B ask for the way back")


def test_a_layer_alone() -> None:
    assert cells(rx.RNN(2, 3).summary()) == [
        ["layer", "out", "parameters", "bytes"],
        ["RNN(2, 3)", "(T, B, 3)", "21", "84 B"],
        ["total", "21", "84 B"],
    ]
    assert cells(rx.MeanPool().summary(B=4))[1] == ["MeanPool()", "(4, D)", "0", "0 B"]


class Page(HTMLParser):
    """Collects the cells of a table, and what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_notebook_shows_the_same_table() -> None:
    page = Page()
    text = DEEP._repr_html_()
    page.feed(text)
    assert page.open == []
    assert [[cell for cell in row if cell] for row in page.rows] == cells(DEEP.summary())
    assert "http" not in text
    assert not re.search(r"color|background", text)  # it takes those of the page, dark or light


def test_what_a_repr_holds_is_text_in_html() -> None:
    class Odd(rx.layers.LastStep):
        def __repr__(self) -> str:
            return "<script>&"

    assert "&lt;script&gt;&amp;" in Odd()._repr_html_()
    assert "<script>" not in Odd()._repr_html_()


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_400, "999 kB"), (999_600, "1 MB"), (10**9, "1 GB")],
)
def test_bytes_in_words(number: int, words: str) -> None:
    assert _bytes(number) == words


def test_refusals() -> None:
    for options, error, words in (
        ({"T": 0}, ValueError, "`T` must be an integer of at least 1; got 0"),
        ({"B": "x"}, TypeError, "`B` must be an integer of at least 1; got 'x'"),
        ({"dtype": "int8"}, ValueError, "`dtype` must be one of 'float32', 'float64'; got 'int8'"),
    ):
        with pytest.raises(error, match=words):
            rx.GRU(1, 1).summary(**options)
