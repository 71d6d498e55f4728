"""Pictures of what a model does inside: their numbers against others, and what stands on them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import plot
from rnn_xp.plot.gradients import told
from rnn_xp.sequence import Params

NUMPY = rx.get_backend("numpy", dtype="float64")
RNG = np.random.default_rng(0)
N, T, D, H, K = 3, 6, 2, 4, 3
X, Y, LENGTHS = RNG.normal(size=(N, T, D)), np.array([0, 2, 1]), [6, 2, 4]
MODEL = rx.Sequential(rx.RNN(D, H), rx.LastStep(), rx.Linear(H, K))
PARAMS = MODEL.init(NUMPY, seed=1)


def level(valid: Any = None, **more: Any) -> rx.probe.Level:
    """Make a level by hand: 2 sequences of 3 steps in a layer of 2 units."""
    valid = np.ones((2, 3), dtype=bool) if valid is None else np.array(valid)
    nothing = np.zeros((*valid.shape, 2))
    given = {
        "name": "layer 0",
        "layer": rx.RNN(1, 2),
        "params": Params(np.zeros((2, 1)), np.zeros((2, 2))),
        "reverse": False,
        "valid": valid,
        "states": {"h": nothing},
        "gates": {},
        "bounds": {"h": (-1.0, 1.0)},
        "gradient": {"h": nothing},
    }
    return rx.probe.Level(**{**given, **more})


def run(h: np.ndarray, first: int, n: int) -> np.ndarray:
    """Return the states of the sequence n after the steps from `first` on, by hand."""
    weights, states = PARAMS[0][0], []
    for x in X[n, first : LENGTHS[n]]:
        h = np.tanh(weights.weight_ih @ x + weights.bias_ih + weights.weight_hh @ h + weights.bias_hh)
        states.append(h)
    return np.array(states).reshape(-1, H)


def loss(h: np.ndarray, n: int) -> float:
    """Return what the sequence n adds to the loss, by its last state."""
    y = PARAMS[2].weight @ h + PARAMS[2].bias
    return float(np.log(np.exp(y).sum()) - y[Y[n]]) / N


def differences() -> np.ndarray:
    """Return dL/dh_t (N, T, H) by central differences: the state is moved, and the rest runs on."""
    d, eps = np.zeros((N, T, H)), 1e-5
    for n in range(N):
        states = run(np.zeros(H), 0, n)
        for t in range(LENGTHS[n]):
            for unit in range(H):
                ends = []
                for side in (eps, -eps):
                    h = states[t] + side * np.eye(H)[unit]
                    ends.append(loss(np.vstack([h, run(h, t + 1, n)])[-1], n))
                d[n, t, unit] = (ends[0] - ends[1]) / (2 * eps)
    return d


# gradient norms


def test_gradient_norms_are_those_of_differences() -> None:
    found = plot.gradient_norms(MODEL, PARAMS, X, Y, lengths=LENGTHS, draw=False)
    d = differences()
    having = np.array([3, 3, 2, 2, 1, 1])
    norms = np.sqrt(N / having * (d**2).sum(axis=(0, 2)))
    assert found.names == ("layer 0",)
    np.testing.assert_allclose(found.norms, norms[np.newaxis], rtol=1e-7)
    last = [d[n, LENGTHS[n] - 1] for n in range(N)]
    np.testing.assert_allclose(found.ratios, [np.linalg.norm(d[:, 0]) / np.linalg.norm(last)], rtol=1e-7)
    assert found.figure is None
    assert found.axes == ()


def test_ratios_go_by_the_direction_of_reading() -> None:
    valid = [[True, True, True], [True, True, False], [False, False, False]]
    d = np.zeros((3, 3, 2))
    d[0, 0], d[1, 0] = (3.0, 0.0), (0.0, 4.0)  # norm 5 at the first steps
    d[0, 2], d[1, 1] = (6.0, 0.0), (0.0, 8.0)  # norm 10 at the last ones
    for reverse, ratio in ((False, 0.5), (True, 2.0)):
        own = level(valid, reverse=reverse, gradient={"h": d})
        assert plot.gradient_norms([own], draw=False).ratios.tolist() == [ratio]
    nothing = level(valid, gradient={"h": 0 * d})
    assert np.isnan(plot.gradient_norms([nothing], draw=False).ratios[0])


def test_ratios_begin_where_a_gradient_comes_in() -> None:
    """At the last step h alone is read: c has a gradient up to the one before it."""
    model = rx.Sequential(rx.LSTM(D, H), rx.LastStep(), rx.Linear(H, K))
    found = plot.gradient_norms(model, model.init(NUMPY, seed=1), X, Y, state="c", draw=False)
    assert found.norms[0, -1] == 0
    np.testing.assert_allclose(found.ratios, found.norms[0, 0] / found.norms[0, -2], rtol=1e-12)
    d = np.zeros((2, 3, 2))
    d[0, 0], d[0, 1], d[1, 1] = 6.0, 3.0, 5.0  # of the second sequence, the first step has none
    expected = np.linalg.norm([6, 6]) / np.linalg.norm([3, 3, 5, 5])
    np.testing.assert_allclose(plot.gradient_norms([level(gradient={"h": d})], draw=False).ratios, expected)


def test_gradients_too_small_for_their_dtype_squared_are_seen() -> None:
    d = np.full((2, 3, 2), 1e-30, dtype=np.float32)
    found = plot.gradient_norms([level(gradient={"h": d})], draw=False)
    np.testing.assert_allclose(found.norms, 2e-30, rtol=1e-6)


def test_the_gradient_of_another_state() -> None:
    model = rx.Sequential(rx.LSTM(D, H), rx.LastStep(), rx.Linear(H, K))
    levels = rx.probe.look(model, model.init(NUMPY), X, Y)
    found = plot.gradient_norms(levels, state="c", draw=False)
    assert levels[0].gradient is not None
    np.testing.assert_allclose(found.norms[0], np.linalg.norm(levels[0].gradient["c"], axis=(0, 2)))


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.0, "vanishes wholly"),
        (np.inf, "grows beyond all numbers"),
        (np.nan, "is 0, or not finite"),
        (1.02, "stays as it is"),
        (1 / 20263, "shrinks 20,000-fold"),
        (1.5, "grows 1.5-fold"),
        (8.4e-22, "shrinks 1.2×10²¹-fold"),
    ],
)
def test_what_a_ratio_means(ratio: float, words: str) -> None:
    assert told(ratio) == words


# states


def test_states_are_those_of_the_formula_up_to_the_end() -> None:
    found = plot.states(MODEL, PARAMS, X, lengths=LENGTHS, sequence=2, draw=False)
    np.testing.assert_allclose(found.values[0], run(np.zeros(H), 0, 2).T, rtol=1e-12)
    assert found.values[0].shape == (H, LENGTHS[2])
    assert found.limits == (1.0,)


def test_states_that_a_mask_leaves_out_are_no_numbers() -> None:
    h = np.arange(12.0).reshape(2, 3, 2)
    own = level([[True] * 3, [False, True, False]], states={"h": h}, bounds={})
    found = plot.states([own], sequence=1, draw=False)
    np.testing.assert_array_equal(found.values[0], [[np.nan, 8.0], [np.nan, 9.0]])
    assert found.limits == (9.0,)
    assert plot.states([level(bounds={})], draw=False).limits == (1.0,)  # where all is 0


# gates


def test_gates_are_counted_at_valid_steps() -> None:
    z = np.zeros((2, 3, 2))
    z[0] = [[0.06, 0.96], [0.51, 0.91], [0.99, 0.11]]
    z[1] = 0.001  # its first step is valid alone
    valid = [[True] * 3, [True, False, False]]
    own = level(valid, gates={"z": z, "p": z}, bounds={"z": (0.0, 1.0), "h": (-1.0, 1.0)})
    (gate,) = plot.gates([own], draw=False).gates
    assert (gate.level, gate.name) == ("layer 0", "z")
    assert (gate.low, gate.high) == (3 / 8, 3 / 8)
    assert gate.edges[[0, -1]].tolist() == [0.0, 1.0]
    expected = np.zeros(40)
    expected[[0, 2, 4, 20, 36, 38, 39]] = np.array([2, 1, 1, 1, 1, 1, 1]) / 8  # bins of 1/40
    np.testing.assert_array_equal(gate.shares, expected)
    (gate,) = plot.gates([own], margin=0.45, draw=False).gates
    assert (gate.low, gate.high) == (0.5, 3 / 8)


def test_a_cell_without_gates_shows_its_state() -> None:
    h = np.array([[[-0.9, 0.9], [-0.81, 0.5], [0.0, 0.79]], [[0.0, 0.0]] * 3])
    (gate,) = plot.gates([level(states={"h": h})], draw=False).gates
    assert (gate.name, gate.low, gate.high) == ("h", 2 / 12, 1 / 12)


# spectrum


def test_eigenvalues_of_each_gate() -> None:
    turn, stretch = [[0.0, -0.5], [0.5, 0.0]], [[2.0, 1.0], [0.0, -0.25]]
    weights = np.array([*stretch, *turn, *turn])
    own = level(layer=rx.GRU(1, 2), params=Params(np.zeros((6, 1)), weights))
    r, z, _ = plot.spectrum([own], draw=False).blocks
    assert (r.gate, r.radius) == ("r", 2.0)
    np.testing.assert_allclose(np.sort(r.eigenvalues.real), [-0.25, 2.0])
    np.testing.assert_allclose(z.eigenvalues[np.argsort(z.eigenvalues.imag)], [-0.5j, 0.5j])
    assert z.radius == pytest.approx(0.5)


def test_the_spectrum_of_a_projection_is_that_of_what_h_goes_through() -> None:
    model = rx.Sequential(rx.LSTM(D, H, proj_size=2))
    params = model.init(NUMPY, seed=3)
    weights = params[0][0]
    blocks = plot.spectrum(model, params, draw=False).blocks
    assert [block.gate for block in blocks] == ["i", "f", "g", "o"]
    trace = np.trace(weights.weight_hh[:H] @ weights.weight_hr)  # the sum of the eigenvalues
    np.testing.assert_allclose(blocks[0].eigenvalues.sum(), trace)
    assert blocks[0].eigenvalues.shape == (2,)


def test_the_spectrum_of_a_model_of_tokens_needs_no_data() -> None:
    model = rx.Sequential(rx.layers.Embedding(5, 2), rx.RNN(2, 4), rx.Linear(4, 5))
    params = model.init(NUMPY, init="orthogonal")
    (block,) = plot.spectrum(model, params, draw=False).blocks
    np.testing.assert_allclose(np.abs(block.eigenvalues), 1.0)


# text


def written(**more: Any) -> Any:
    h = np.array([[[0.0, -0.5], [0.1, 1.0], [0.2, 0.25]]])
    own = level(np.ones((1, 3), dtype=bool), states={"h": h}, **more)
    return plot.text([own], characters="<\n\x07", draw=False)


def test_text_takes_the_unit_that_varies_most() -> None:
    found = written()
    assert (found.unit, found.limit, found.name) == (1, 1.0, "layer 0: h")
    assert found.values.tolist() == [-0.5, 1.0, 0.25]


def test_text_as_html_and_for_a_terminal() -> None:
    found = written()
    page = found._repr_html_()
    assert page.count("<span") == 3
    assert ">&lt;</span>" in page
    assert ">⏎</span>\n" in page
    assert ">·</span>" in page  # a bell is not rung
    assert "background:#d65e00" in page  # 1, the most there is: the end of the scale
    assert "background:#8cafd1" in page  # -0.5: half way from white to blue
    assert "http" not in page
    assert found.ansi().count("\033[48;2;214;94;0m") == 1
    assert "\x07" not in found.ansi()
    plain = found.ansi().replace("\033[0m", "").split("m")
    assert [part for part in plain if not part.startswith("\033")][:1] == ["<\033[48;2;214;94;0"]


# what is refused


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: plot.states(3), TypeError, "`source` must be a list of levels, .* or a model; got int"),
        (
            lambda: plot.spectrum(rx.Linear(2, 3), ()),
            TypeError,
            r"`source` must be levels, or a rnn_xp\.Sequential; got Linear\. A layer alone: rnn_xp\.Seq",
        ),
        (
            lambda: plot.spectrum(rx.Sequential(rx.Linear(D, K)), rx.Sequential(rx.Linear(D, K)).init(NUMPY)),
            ValueError,
            r"`model` must have a recurrent layer to look into; got Sequential\(Linear\(2, 3\)\)",
        ),
        (lambda: plot.states([]), ValueError, "`source` must hold at least one level; got none"),
        (lambda: plot.states([level()], PARAMS), TypeError, "`source` must be a model where more follows"),
        (lambda: plot.states([level()], sequence=2), ValueError, "`sequence` must be .* at most 1; got 2"),
        (lambda: plot.states([level()], state="c"), ValueError, "of `layer 0` must be one of 'h'; got 'c'"),
        (
            lambda: plot.gradient_norms([level(gradient=None)]),
            ValueError,
            "`source` must hold gradients: give rx.probe.look the targets",
        ),
        (
            lambda: plot.gradient_norms([level()], state="c"),
            ValueError,
            "`state` of `layer 0` must be one of 'h'; got 'c'",
        ),
        (
            lambda: plot.states(rx.Sequential(rx.GRU(1, 2))),
            TypeError,
            "`source` must be followed by what `look` takes where it is a model: params and X; got less",
        ),
        (lambda: plot.gates([level()], margin=0.5), ValueError, "`margin` must be .* < 0.5; got 0.5"),
        (lambda: plot.gates([level(bounds={})]), ValueError, "`source` must have gates with bounds; got RNN"),
        (
            lambda: plot.text([level()], characters="ab"),
            ValueError,
            "`characters` must hold one for each of the 3 steps; got 2",
        ),
        (lambda: plot.text([level()], characters=3), TypeError, "`characters` must be a string; got int"),
        (
            lambda: plot.text([level()], characters="abc", unit=2),
            ValueError,
            "`unit` must be an integer of at least 0 and at most 1; got 2",
        ),
        (lambda: plot.text([level()], characters="abc", level=1), ValueError, "`level` must be"),
        (
            lambda: plot.states([level()], ax="left"),
            TypeError,
            "`ax` must be matplotlib Axes, or several; got str",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_without_matplotlib_the_numbers_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert plot.states([level()], draw=False).values[0].shape == (2, 3)
    with pytest.raises(
        ModuleNotFoundError, match=r'rx.plot needs matplotlib, .* pip install "rnn-xp\[plot\]"'
    ):
        plot.states([level()])


# how it looks


def titles(picture: Any) -> list[str]:
    return [ax.get_title(loc="left") for ax in picture.axes]


def test_what_stands_on_the_pictures() -> None:
    model = rx.Sequential(rx.GRU(D, H, bidirectional=True), rx.LastStep(), rx.Linear(2 * H, K))
    levels = rx.probe.look(model, model.init(NUMPY), X, Y, lengths=LENGTHS)
    norms = plot.gradient_norms(levels)
    (ax,) = norms.axes
    assert ax.get_xlabel() == "time step t"
    assert ax.get_yscale() == "log"
    labels = [each.get_text() for each in ax.get_legend().get_texts()]
    for name, label, ratio in zip(norms.names, labels, norms.ratios, strict=True):
        assert label == f"{name}: {told(ratio)}"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), norms.norms[0])
    gates = plot.gates(levels)
    assert titles(gates) == ["layer 0, forward\nr", "z", "n", "layer 0, backward\nr", "z", "n"]
    assert {ax.get_xlabel() for ax in gates.axes} == {"value"}
    states = plot.states(levels)
    assert titles(states) == ["layer 0, forward: h of sequence 0", "layer 0, backward: h of sequence 0"]
    assert (states.axes[0].get_xlabel(), states.axes[0].get_ylabel()) == ("time step t", "unit")
    spectrum = plot.spectrum(levels[:1])
    assert titles(spectrum)[0] == f"layer 0, forward\nr: radius {spectrum.blocks[0].radius:.3g}"
    text = plot.text(levels, characters="abc\nde")
    assert [each.get_text() for each in text.axes[0].texts] == list("abc⏎de")
    assert [round(each.get_position()[1]) for each in text.axes[0].texts] == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("name", ["gradient_norms", "states", "gates", "spectrum"])
def test_a_notebook_shows_the_picture(name: str) -> None:
    picture = getattr(plot, name)([level()])
    assert picture._repr_png_().startswith(b"\x89PNG\r\n\x1a\n")
    assert picture._replace(figure=None)._repr_png_() is None


def test_axes_that_are_given_are_drawn_on() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    found = plot.states([level(), level(name="layer 1")], ax=(left, right))
    assert found.figure is figure
    assert found.axes == (left, right)
    assert titles(found) == ["layer 0: h of sequence 0", "layer 1: h of sequence 0"]
    (ax,) = plot.gradient_norms([level()], ax=right).axes
    assert ax is right


def test_a_gradient_of_nothing_and_a_sequence_of_nothing_can_be_drawn() -> None:
    empty = level([[False] * 3, [True] * 3])
    assert plot.gradient_norms([empty])._repr_png_()
    assert plot.states([empty])._repr_png_()
    assert plot.gates([level([[False] * 3] * 2)]).gates[0].low == 0.0


def test_no_window_and_no_pyplot() -> None:
    """Nor a setting of matplotlib that is another afterwards."""
    program = """
import sys, numpy as np, rnn_xp as rx
model = rx.Sequential(rx.RNN(1, 3), rx.LastStep(), rx.Linear(3, 2))
levels = rx.probe.look(model, model.init(rx.get_backend("numpy")), np.ones((2, 4, 1)), [0, 1])
rx.plot.gates(levels, draw=False)
assert "matplotlib" not in sys.modules
import matplotlib
def settings():
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = settings()
rx.plot.gates(levels)._repr_png_(), rx.plot.states(levels), rx.plot.gradient_norms(levels)
assert "matplotlib.pyplot" not in sys.modules
assert settings() == before
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})
