"""The numbers that a diagnosis goes by, against closed forms and written-out loops."""

import math

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp import tree
from rnn_xp.backend import get_backend
from rnn_xp.diagnosis import axes, flow, padding, readout
from rnn_xp.diagnosis.constant import constant_outputs
from rnn_xp.diagnosis.finding import Diagnosis, Finding
from rnn_xp.losses import LOSSES
from rnn_xp.train.feed.prepare import prepare

NUMPY = get_backend("numpy", dtype="float64")


def one_unit(w):
    """h = relu(w h_prev + x), and y = h."""
    model = rx.Sequential(
        rx.RNN(1, 1, nonlinearity="relu", bias=False), rx.LastStep(), rx.Linear(1, 1, bias=False)
    )
    return model, tree.unflatten(model.init(NUMPY), [np.array([[each]]) for each in (1.0, w, 1.0)])


@pytest.mark.parametrize("w", [1.5, 0.5])
def test_the_gradient_of_a_line(w):
    model, params = one_unit(w)
    X = np.ones((3, 8, 1))
    (level,) = rx.probe.look(model, params, X, np.zeros(3), loss="squared_error", lengths=[8, 8, 5])
    found = flow.of(level)
    np.testing.assert_allclose(found.norm, w ** np.arange(8), rtol=1e-12)
    assert found.growth == pytest.approx(max(1.0, w**7))
    assert found.reach == 8


def test_how_far_a_gradient_reaches():
    model, params = one_unit(0.1)
    (level,) = rx.probe.look(model, params, np.ones((2, 9, 1)), np.zeros(2), loss="squared_error")
    assert flow.of(level).reach == 4  # 0.1^4 is the first below a thousandth


def test_the_gradient_against_time():
    model, params = one_unit(2.0)
    model = rx.Sequential(rx.RNN(1, 1, nonlinearity="relu", bias=False, reverse=True), *model.layers[1:])
    (level,) = rx.probe.look(
        model, params, np.ones((2, 6, 1)), np.zeros(2), loss="squared_error", lengths=[6, 4]
    )
    np.testing.assert_allclose(flow.of(level).norm, 2.0 ** np.arange(6), rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "target", "expected"),
    [
        ("cross_entropy", np.array([0, 0, 0, 2]), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))),
        ("binary_cross_entropy", np.array([[1.0], [0.0]]), math.log(2)),
        ("squared_error", np.array([[1.0], [2.0], [6.0]]), 14 / 3),
        ("huber", np.array([[1.0], [2.0], [9.0]]), (0.5 + 0 + 6.5) / 3),
    ],
)
def test_the_best_answer_for_all(loss, target, expected):
    outputs = constant_outputs(loss, target, np.ones(len(target)), 3 if target.ndim == 1 else 1)
    assert LOSSES[loss].forward(outputs, target, xp=np)[0].mean() == pytest.approx(expected)


def test_the_best_answer_counts_by_weight():
    target = np.array([[0.0], [1.0]])
    outputs = constant_outputs("squared_error", target, np.array([3.0, 1.0]), 1)
    np.testing.assert_allclose(outputs, 0.25)


def ready(X, y, **more):
    model = rx.Sequential(rx.RNN(X.shape[2], 2), rx.LastStep(), rx.Linear(2, 1))
    return prepare(model, X, y, loss=LOSSES["squared_error"], dtype="float64", **more)


def test_a_linear_map_finds_what_is_linear_and_where():
    X = np.random.default_rng(0).standard_normal((1500, 16, 2))
    noise = np.random.default_rng(1).standard_normal(1500)
    found = readout.read(ready(X, X[:, -1, 0] + 2 * X[:, -6:-4, 1].mean(axis=1) + noise), "squared_error", 1)
    # of variance 4 in all, 1 is of the last step, 2 of two steps of a bin of four, whose mean sees half of it
    assert found.bins == ((0, 1), (1, 2), (2, 4), (4, 8), (8, 16))
    assert np.argsort(found.shares)[-2:].tolist() == [0, 3]
    assert found.shares[0] == pytest.approx(1 / 4, abs=0.05)
    assert found.shares[3] == pytest.approx(1 / 4, abs=0.05)
    assert found.share == pytest.approx(1 / 2, abs=0.05)


def test_a_linear_map_finds_nothing_in_noise():
    rng = np.random.default_rng(2)
    found = readout.read(
        ready(rng.standard_normal((400, 10, 3)), rng.standard_normal(400)), "squared_error", 1
    )
    assert abs(found.share) < 0.02


def test_explained_share():
    target = np.array([[0.0], [2.0]])
    assert readout.share(target, target) == 1
    assert readout.share(target, np.ones((2, 1))) == 0
    assert readout.share(target, np.array([[0.0], [1.0]])) == 0.5


@pytest.mark.parametrize("value", ["zero", "last"])
def test_the_padding_that_is_found_is_that_planted(value):
    rng = np.random.default_rng(3)
    X, lengths = rng.standard_normal((50, 20, 2)), rng.integers(8, 21, 50)
    for row, length in zip(X, lengths, strict=True):
        row[length:] = 0 if value == "zero" else row[length - 1]
    expected = np.where(
        lengths < 19, 20 - lengths + (value == "last"), 1 + (lengths < 20) * (value == "last")
    )
    np.testing.assert_array_equal(padding.tail(X.swapaxes(0, 1)), expected)


@pytest.mark.parametrize(
    "x",
    [
        np.random.default_rng(4).standard_normal((20, 30, 2)),
        (np.random.default_rng(5).random((20, 30, 1)) < 0.2).astype(float),  # zero everywhere
        np.random.default_rng(6).integers(0, 4, (20, 30)),
        np.tile(np.eye(20)[:1].T[:, :, None], (1, 30, 1)),  # a pulse at the start of each
    ],
    ids=["noise", "events", "tokens", "pulses"],
)
def test_no_padding_where_none_is(x):
    assert padding.tail(x) is None


def test_how_smooth_an_axis_is():
    """An autoregression: steps d apart are correlated by 0.9^d."""
    rng = np.random.default_rng(7)
    x = np.zeros((40, 500, 3))
    for t in range(1, 40):
        x[t] = 0.9 * x[t - 1] + rng.standard_normal((500, 3))
    values = axes._standard(x, np.ones((40, 500), bool))[10:]
    near, far = axes._neighbours(values, 0)
    assert near == pytest.approx(0.9, abs=0.03)
    assert far == pytest.approx(0.9**15, abs=0.05)
    assert axes._neighbours(values, 1)[0] == pytest.approx(0, abs=0.02)


# what is said


def test_findings_stand_with_causes_first():
    made = [
        Finding(kind, "what", "where", "evidence", "remedy") for kind in ("underfitting", "scale", "labels")
    ]
    found = Diagnosis(made, {"loss": 0.5, "layer 0": {"reach": 3}})
    assert found.kinds == ["labels", "scale", "underfitting"]
    assert repr(found) == "Diagnosis(labels, scale, underfitting)"
    assert str(found).splitlines()[:4] == [
        "1. labels that X does not tell (where)",
        "   what",
        "   evidence: evidence.",
        "   remedy: remedy",
    ]
    assert str(found).splitlines()[-2:] == ["   loss     0.5", "   layer 0  reach 3"]


MODEL = rx.Sequential(rx.GRU(2, 4), rx.LastStep(), rx.Linear(4, 2))
PARAMS = MODEL.init(rx.get_backend("numpy"))


def draw(N):
    return np.random.default_rng(0).standard_normal((N, 6, 2))


def test_steps_that_are_nan_at_the_ends_are_padding():
    X = np.random.default_rng(8).standard_normal((5, 6, 2))
    X[1, 4:] = X[3, 2:] = np.nan
    (found,) = rx.diagnose(MODEL, PARAMS, X, np.zeros(5, int)).findings
    assert (found.kind, found.where) == ("padding", "sample 3, step 2, feature 0")
    assert rx.diagnose(MODEL, PARAMS, X, [0, 1, 0, 1, 0], lengths=[6, 4, 6, 2, 6]).kinds != ["padding"]


def test_values_that_are_nan_elsewhere_are_named():
    X = np.random.default_rng(9).standard_normal((5, 6, 2))
    X[2, 3, 1] = np.nan
    (found,) = rx.diagnose(MODEL, PARAMS, X, np.zeros(5, int)).findings
    assert (found.kind, found.where) == ("not-finite", "sample 2, step 3, feature 1")
    assert found.evidence == "1 of 60 values; the first is nan"


@pytest.mark.parametrize("history", [3, [1.0], {"loss": 1.0}])
def test_a_history_is_a_list_of_records(history):
    with pytest.raises(
        TypeError, match=r"`history` must be a list of records, as `fit` returns it in `.history`; got"
    ):
        rx.diagnose(MODEL, PARAMS, np.zeros((3, 4, 2)), [0, 1, 0], history=history)


@pytest.mark.parametrize("value", ["0.7", [0.7], np.zeros(2)])
def test_a_history_holds_numbers(value):
    history = [{"epoch": 1, "loss": 0.7}, {"epoch": 2, "loss": value}]
    with pytest.raises(TypeError, match=r"`history` must hold numbers; got .* as 'loss' of record 1"):
        rx.diagnose(MODEL, PARAMS, np.zeros((3, 4, 2)), [0, 1, 0], history=history)


def test_a_loss_that_is_not_finite_is_named():
    history = [{"epoch": 1, "loss": 0.7}, {"epoch": 2, "loss": math.nan}, {"epoch": 3, "loss": math.inf}]
    found = rx.diagnose(MODEL, PARAMS, draw(30), [0, 1, 1] * 10, history=history).findings[0]
    assert (found.kind, found.where) == ("not-finite", "epoch 2")
    assert found.evidence == "training loss nan in 2 of 3 epochs"


def test_weights_that_are_not_finite_are_named():
    params = tree.map(np.copy, PARAMS)
    params[2].weight[1, 3] = np.inf
    (found,) = rx.diagnose(MODEL, params, draw(30), [0, 1, 1] * 10).findings
    assert (found.kind, found.where, found.evidence) == ("not-finite", "2.weight", "1 of 106 weights")


@pytest.mark.parametrize(
    ("losses", "kind"),
    [((0.69, 0.75), "rate-high"), ((0.69, 0.6902), "underfitting"), ((0.6902, 0.69), "untrained")],
)
def test_a_loss_that_rose_asks_for_no_more_epochs(losses, kind):
    data = rx.data.sign_of_sum(300, 8, seed=0)
    model = rx.Sequential(rx.GRU(1, 8), rx.LastStep(), rx.Linear(8, 2))
    history = [{"epoch": place, "loss": loss, "lr": 0.01} for place, loss in enumerate(losses, 1)]
    found = rx.diagnose(model, model.init(NUMPY), data.X, data.y, history=history)
    assert found.kinds == [kind]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"optimizer": 3}, TypeError, "`optimizer` must be an optimiser such as rnn_xp.Adam.*; got 3"),
        ({"optimizer": "adam"}, TypeError, "`optimizer` must be an optimiser such as"),
        ({"clip_norm": -1}, ValueError, "`clip_norm` must be a finite number > 0; got -1"),
        ({"clip_norm": "1"}, TypeError, "`clip_norm` must be a finite number > 0; got '1'"),
        ({"loss": [1]}, ValueError, r"`loss` must be one of .*; got \[1\]"),
    ],
)
def test_arguments_that_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        rx.diagnose(MODEL, PARAMS, draw(30), [0, 1, 1] * 10, **arguments)


def test_the_other_arguments_are_those_of_fit():
    with pytest.raises(ValueError, match="`loss` must be"):
        rx.diagnose(MODEL, PARAMS, np.zeros((3, 4, 2)), [0, 1, 0], loss="hinge")
    with pytest.raises(ValueError, match="`X` must have C = 2 features"):
        rx.diagnose(MODEL, PARAMS, np.zeros((3, 4, 5)), [0, 1, 0])


def test_a_mask_is_no_padding():
    """What the mask leaves out is not looked at, whatever it holds."""
    data = rx.data.sign_of_sum(200, 8, seed=0)
    mask = np.arange(12) < np.random.default_rng(0).integers(5, 9, 200)[:, None]
    X = np.concatenate([data.X, np.full((200, 4, 1), np.nan)], axis=1)
    model = rx.Sequential(rx.GRU(1, 4), rx.LastStep(), rx.Linear(4, 2))
    found = rx.diagnose(model, model.init(rx.get_backend("numpy")), X, data.y, mask=mask)
    assert "padding" not in found.kinds
    assert found.numbers["steps"] == 8


def test_nothing_changes():
    data = rx.data.sign_of_sum(150, 8, seed=0)
    model = rx.Sequential(rx.GRU(1, 4), rx.LastStep(), rx.Linear(4, 2))
    params = model.init(rx.get_backend("numpy"))
    before = tree.map(np.copy, params)
    rx.diagnose(model, params, data.X, data.y, history=[{"loss": 0.7, "lr": 0.1}, {"loss": 0.69, "lr": 0.1}])
    for a, b in zip(tree.leaves(before), tree.leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["array_api_strict", "torch"])
def test_on_other_arrays(name):
    """The same findings and numbers, whatever library the weights are of."""
    pytest.importorskip(name)
    data = rx.data.sign_of_sum(150, 8, seed=0)
    model = rx.Sequential(rx.LSTM(1, 4, bidirectional=True), rx.LastStep(), rx.Linear(8, 2))
    how = {"history": [{"loss": 0.7, "lr": 1e-6}, {"loss": 0.7, "lr": 1e-6}], "clip_norm": 1.0}
    found = [
        rx.diagnose(model, model.init(get_backend(each, dtype="float64")), data.X, data.y, **how)
        for each in ("numpy", name)
    ]
    assert found[0].kinds == found[1].kinds == ["rate-low"]
    for a, b in zip(found[0].numbers.values(), found[1].numbers.values(), strict=True):
        assert a == pytest.approx(b, rel=1e-9)


@pytest.mark.parametrize("share", [0.45, 0.2])
def test_the_best_constant_of_the_huber_loss_is_found(share):
    """Against a fine grid, for targets 0 and 1 and a few far ones."""
    target = np.concatenate([np.arange(100) < 100 * share, np.full(3, 7.0)])[:, None].astype(float)
    weight = np.linspace(1, 2, len(target))
    grid = np.linspace(-1, 8, 90001)
    error = np.abs(grid - target)
    losses = weight @ np.where(error < 1, error * error / 2, error - 0.5)
    (found,) = constant_outputs("huber", target, weight, 1)[0]
    assert found == pytest.approx(grid[losses.argmin()], abs=1e-4)
