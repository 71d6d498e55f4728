"""What the probe tells of a run, against formulas written out and finite differences."""

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cells.activations import ACTIVATIONS, BOUNDS

RNG = np.random.default_rng(7)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm(p, x):
    """Return gates and states of one sequence (T, D), in the order of the steps."""
    H = p.weight_hh.shape[1]
    h, c, found = np.zeros(H), np.zeros(H), []
    for x_t in x:
        i, f, g, o = np.split(p.weight_ih @ x_t + p.bias_ih + p.weight_hh @ h + p.bias_hh, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        found.append((i, f, g, o, np.tanh(c), h, c))
    return [np.array(each) for each in zip(*found, strict=True)]


def gru(p, x):
    H = p.weight_hh.shape[1]
    h, found = np.zeros(H), []
    for x_t in x:
        (r, z, n), (r_h, z_h, n_h) = (
            np.split(a, 3) for a in (p.weight_ih @ x_t + p.bias_ih, p.weight_hh @ h + p.bias_hh)
        )
        r, z = sigmoid(r + r_h), sigmoid(z + z_h)
        n = np.tanh(n + r * n_h)
        h = (1 - z) * n + z * h
        found.append((r, z, n, n_h, h))
    return [np.array(each) for each in zip(*found, strict=True)]


def drawn(*layers, seed=1):
    model = rx.Sequential(*layers)
    return model, model.init(rx.get_backend("numpy", dtype="float64"), seed=seed)


@pytest.mark.parametrize("engine", ["numpy", "portable"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gates_and_states_are_those_of_the_formula(kind, engine, monkeypatch):
    monkeypatch.setenv("RNN_XP_ENGINE", engine)
    model, params = drawn(getattr(rx, kind)(3, 4, bidirectional=True), rx.LastStep(), rx.Linear(8, 2))
    X, lengths = RNG.normal(size=(3, 6, 3)), [6, 2, 5]
    levels = rx.probe.look(model, params, X, lengths=lengths)
    assert [level.name for level in levels] == ["layer 0, forward", "layer 0, backward"]
    for level, p in zip(levels, params[0], strict=True):
        names, own = (
            (("i", "f", "g", "o", "tanh_c"), lstm) if kind == "LSTM" else (("r", "z", "n", "p_n"), gru)
        )
        assert tuple(level.gates) == names
        for row, length in enumerate(lengths):
            x = X[row, :length]
            expected = own(p, x[::-1] if level.reverse else x)
            found = [*level.gates.values(), *level.states.values()]
            for got, want in zip(found, expected, strict=True):
                np.testing.assert_allclose(
                    got[row, :length], want[::-1] if level.reverse else want, atol=1e-13
                )
                assert not got[row, length:].any()
        np.testing.assert_array_equal(level.params.weight_hh, p.weight_hh)


def nudged(model, params, X, y, lengths, level, field, t, d):
    """Return the loss after d was added to the state that the first layer's step t leaves."""
    recurrent, rest = model.layers[0], model.layers[1:]
    backend = rx.get_backend("numpy", dtype="float64")
    x = backend.asarray(X.swapaxes(0, 1))
    T = x.shape[0]
    head, tail = slice(0, t + 1), slice(t + 1, T)
    ends = np.array(lengths)
    y_1, state, _ = recurrent.forward(params[0], x[head], lengths=np.minimum(ends, t + 1))
    shifted = state._replace(**{field: getattr(state, field) + d[None]})
    if field == "h":
        y_1 = y_1.copy()
        y_1[t] += np.where((ends > t)[:, None], d, 0)
    outputs = y_1
    if t + 1 < T:
        y_2, *_ = recurrent.forward(params[0], x[tail], shifted, lengths=np.maximum(ends - t - 1, 0))
        outputs = np.concatenate([y_1, y_2])
    for layer, p in zip(rest, params[1:], strict=True):
        outputs, *_ = layer.forward(p, outputs, lengths=lengths if outputs.ndim == 3 else None)
    z = outputs - outputs.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -np.mean(log_p[np.arange(len(y)), y])


@pytest.mark.parametrize(
    "layer",
    [
        rx.LSTM(2, 3),
        rx.GRU(2, 3, reset="before"),
        rx.RNN(2, 3),
        rx.LSTM(2, 3, proj_size=2),
        rx.GRU(2, 3, layer_norm=True),
    ],
    ids=repr,
)
def test_the_gradient_of_a_state_is_what_a_nudge_of_it_does(layer):
    size = layer.output_size
    model, params = drawn(layer, rx.MeanPool(), rx.Linear(size, 2))
    X, y, lengths = RNG.normal(size=(3, 5, 2)), np.array([0, 1, 1]), [5, 2, 4]
    (level,) = rx.probe.look(model, params, X, y, lengths=lengths)
    step = 1e-6
    for field, gradient in level.gradient.items():
        for row, t in [(0, 0), (0, 4), (1, 1), (2, 2)]:
            for unit in range(gradient.shape[2]):
                d = np.zeros((3, gradient.shape[2]))
                d[row, unit] = step
                up, down = (nudged(model, params, X, y, lengths, level, field, t, s * d) for s in (1, -1))
                assert gradient[row, t, unit] == pytest.approx((up - down) / (2 * step), abs=1e-9)
        assert not gradient[1, 2:].any()


def test_a_run_against_time_is_that_of_the_reversed_sequences():
    layer, X, y = rx.GRU(2, 3), RNG.normal(size=(4, 6, 2)), [0, 1, 1, 0]
    model, params = drawn(layer, rx.LastStep(), rx.Linear(3, 2))
    other = rx.Sequential(rx.GRU(2, 3, reverse=True), rx.LastStep(), rx.Linear(3, 2))
    (level,), (turned,) = (
        rx.probe.look(each, params, x, y) for each, x in ((model, X), (other, X[:, ::-1].copy()))
    )
    np.testing.assert_allclose(turned.gradient["h"], level.gradient["h"][:, ::-1], atol=1e-15)
    np.testing.assert_allclose(turned.states["h"], level.states["h"][:, ::-1], atol=1e-15)


def test_a_mask_says_which_steps_there_are():
    model, params = drawn(rx.LSTM(2, 3), rx.LastStep(), rx.Linear(3, 2))
    mask = np.array([[1, 0, 1, 1, 0], [0, 1, 1, 0, 0]], dtype=bool)
    X, y = RNG.normal(size=(2, 5, 2)), [0, 1]
    (level,) = rx.probe.look(model, params, X, y, mask=mask)
    rows = [X[0, mask[0]], X[1, mask[1]]]
    (plain,) = rx.probe.look(model, params, rows, y)
    for row in range(2):
        got, want = level.gradient["c"][row, mask[row]], plain.gradient["c"][row, : mask[row].sum()]
        np.testing.assert_allclose(got, want, atol=1e-15)
        assert want.any()
    assert not level.states["h"][~mask].any()


def test_levels_are_named_by_their_place():
    inner = rx.Sequential(rx.GRU(4, 4, num_layers=2), rx.Dropout(0.5))
    model, params = drawn(rx.Linear(2, 4), rx.Residual(inner), rx.RNN(4, 3), rx.LastStep())
    X = RNG.normal(size=(1, 4, 2))
    names = [level.name for level in rx.probe.look(model, params, X)]
    assert names == ["layer 1.0, depth 0", "layer 1.0, depth 1", "layer 2"]


@pytest.mark.parametrize(
    ("layer", "bounds"),
    [
        (
            rx.LSTM(2, 3),
            {"i": (0, 1), "f": (0, 1), "g": (-1, 1), "o": (0, 1), "tanh_c": (-1, 1), "h": (-1, 1)},
        ),
        (
            rx.LSTM(2, 3, proj_size=2),
            {"i": (0, 1), "f": (0, 1), "g": (-1, 1), "o": (0, 1), "tanh_c": (-1, 1)},
        ),
        (rx.GRU(2, 3), {"r": (0, 1), "z": (0, 1), "n": (-1, 1), "h": (-1, 1)}),
        (rx.RNN(2, 3), {"h": (-1, 1)}),
        (rx.RNN(2, 3, nonlinearity="relu"), {}),
        (rx.RNN(2, 3, nonlinearity=("elu", 0.5)), {}),
        (rx.RNN(2, 3, nonlinearity=("hard_sigmoid", 0.5)), {"h": (0, 1)}),
    ],
    ids=repr,
)
def test_bounds_hold(layer, bounds):
    model, params = drawn(layer, rx.LastStep())
    (level,) = rx.probe.look(model, params, 50 * RNG.normal(size=(4, 6, 2)))
    assert level.bounds == bounds
    for name, (low, high) in bounds.items():
        values = level.states.get(name, level.gates.get(name))
        assert low <= values.min() <= values.max() <= high


def test_what_it_cannot_look_into():
    model, params = drawn(rx.Linear(2, 3))
    with pytest.raises(ValueError, match=r"`model` must have a recurrent layer to look into; got Sequential"):
        rx.probe.look(model, params, np.zeros((1, 2, 2)))
    model, params = drawn(rx.GRU(2, 3))
    with pytest.raises(ValueError, match=r"`X` must have C = 2 features"):
        rx.probe.look(model, params, np.zeros((1, 2, 4)))


def test_a_learnt_state_and_zoneout_are_in_it():
    model, params = drawn(rx.LSTM(2, 3, learn_state=True, zoneout=0.3), rx.LastStep(), rx.Linear(3, 2))
    X, y = RNG.normal(size=(2, 4, 2)), [0, 1]
    (level,) = rx.probe.look(model, params, X, y)
    reference = rx.predict(rx.Sequential(*model.layers[:1]), params[:1], X)
    np.testing.assert_allclose(level.states["h"], reference, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_bounds_of_activations_are_those_that_they_come_to(name):
    y = ACTIVATIONS[name](np.linspace(-1e6, 1e6, 20001), xp=np)
    if name in BOUNDS:
        np.testing.assert_allclose((y.min(), y.max()), BOUNDS[name], atol=1e-5)
    elif name != "scaled_tanh":  # whose bounds are its constants'
        assert y.max() - y.min() > 1e3
