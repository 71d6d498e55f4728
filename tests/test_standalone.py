"""A model as one Python file: the bits of `rx.predict`, where rnn_xp cannot be imported."""

import ast
import dataclasses
import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.functional import sigmoid
from rnn_xp.interop.standalone import source
from rnn_xp.interop.standalone.fold import fold
from rnn_xp.interop.standalone.modules import Library

RUN = """
import pathlib, runpy, sys
sys.path.append(sys.argv[1])
sys.modules["rnn_xp"] = None
import numpy as np
for path in sorted(pathlib.Path(sys.argv[2]).glob("*.py")):
    own = runpy.run_path(str(path))
    given = dict(np.load(path.with_suffix(".npz")))
    X, lengths = given["X"], given.get("lengths")
    if "apart" in given:
        X, lengths = [x[:end] for x, end in zip(X, lengths)], None
    answers = {"outputs": own["predict"](X, lengths, **{"batch_size": int(given["batch_size"])})}
    if "Stream" in own:
        stream = own["Stream"](batch_size=len(given["X"]))
        stream.step(given["X"][:, 0])
        stream.reset()
        answers["stream"] = np.stack([stream.step(given["X"][:, t]) for t in range(given["X"].shape[1])])
    if "labels" in own:
        answers["labels"] = own["labels"](answers["outputs"])
    np.savez(path.with_suffix(".answers.npz"), **answers)
"""


def isolated(folder):
    """Answer with every file of a folder, in a Python that has NumPy and nothing of ours."""
    where = Path(np.__file__).parents[1]
    subprocess.run([sys.executable, "-I", "-S", "-c", RUN, where, folder], check=True)


class Case(NamedTuple):
    """A model, what it is given, and what the package answers."""

    model: rx.Sequential
    params: Any
    X: Any
    lengths: Any = None
    options: dict[str, Any] = {}  # noqa: RUF012
    batch_size: int = 256
    apart: bool = False  # as a list of sequences

    def write(self, path):
        path.with_suffix(".py").write_text(source(self.model, self.params, **self.options))
        given = {"X": self.X, "batch_size": self.batch_size}
        given |= {} if self.lengths is None else {"lengths": self.lengths}
        np.savez(path.with_suffix(".npz"), **given, **({"apart": True} if self.apart else {}))

    def expected(self):
        X, scaling, loss = self.X, self.options.get("scaling"), self.options.get("loss")
        X = X if scaling is None else scaling.apply(X)
        how = {"lengths": self.lengths, "loss": loss, "batch_size": self.batch_size}
        return rx.predict(self.model, self.params, X, **how)

    def streamed(self):
        scaling, loss = self.options.get("scaling"), self.options.get("loss")
        X = self.X if scaling is None else scaling.apply(self.X)
        backend = rx.get_backend("numpy", dtype=rx.tree.leaves(self.params)[0].dtype.name)
        stream = self.model.stream(self.params, batch_size=len(X))
        return np.stack([activated(stream.step(backend.asarray(x)), loss) for x in X.swapaxes(0, 1)])


def activated(y, loss):
    """Return probabilities."""
    if loss == "cross_entropy":
        return rx.functional.softmax(y, xp=np)
    return sigmoid(y, xp=np) if loss == "binary_cross_entropy" else y


def drawn(model, seed, dtype="float32"):
    """Return parameters none of which is what it begins with, as gains of 1 and shifts of 0."""
    rng = np.random.default_rng(seed)
    params = model.init(rx.get_backend("numpy", dtype=dtype), seed=seed)
    return rx.tree.map(lambda leaf: leaf + rng.normal(0, 0.1, leaf.shape).astype(dtype), params)


ACTIVATIONS = (
    "tanh",
    "sigmoid",
    ("elu", 0.5),
    "softsign",
    "hard_sigmoid",
    ("scaled_tanh", 0.9, 1.1),
    "softplus",
)


def one_in(rng, count):
    return bool(rng.integers(count) == 0)


def random_layer(rng, size):
    """Return a recurrent layer of any cell and options."""
    kind = rng.choice(["LSTM", "GRU", "RNN"])
    both = one_in(rng, 3)
    options = {
        "num_layers": int(rng.integers(1, 3)),
        "bidirectional": both,
        "reverse": not both and one_in(rng, 5),
        "bias": (True, "input", False)[rng.integers(3)],
        "dropout": 0.25 * one_in(rng, 3),
        "variational": one_in(rng, 4),
        "recurrent_dropout": 0.25 * one_in(rng, 4),
        "zoneout": 0.125 * one_in(rng, 3),
        "learn_state": one_in(rng, 3),
        "clip": 0.75 if one_in(rng, 4) else None,
        "layer_norm": one_in(rng, 4),
    }
    pick = [ACTIVATIONS[rng.integers(len(ACTIVATIONS))] for _ in range(3)]
    if kind == "LSTM":
        options |= {"peepholes": one_in(rng, 3), "coupled": one_in(rng, 3), "proj_size": 3 * one_in(rng, 3)}
        options |= {"activations": pick} if one_in(rng, 3) else {}
        if options["zoneout"] and one_in(rng, 2):
            options["zoneout"] = (0.125, 0.5)
    elif kind == "GRU":
        options |= {"reset": ("after", "before")[rng.integers(2)]}
        options |= {"activations": pick[:2]} if one_in(rng, 3) else {}
    else:
        options |= {"nonlinearity": ("relu", *pick)[rng.integers(4)]}
    return getattr(rx, kind)(size, int(rng.integers(4, 8)), **options)


def random_case(seed):
    """Return a model of any layers, in any precision, and sequences for it."""
    rng = np.random.default_rng(seed)
    tokens, size = one_in(rng, 4), int(rng.integers(1, 5))
    layers: list[Any] = [rx.Embedding(7, size)] if tokens else []
    layers += [rx.Linear(size, 5)] if one_in(rng, 5) else []
    layers.append(random_layer(rng, 5 if type(layers[-1:] and layers[-1]) is rx.Linear else size))
    layers += [rx.Dropout(0.5)] if one_in(rng, 3) else []
    width = layers[-1].output_size if hasattr(layers[-1], "output_size") else layers[-2].output_size
    match rng.integers(4):
        case 0:
            layers.append(rx.Residual(rx.Sequential(rx.GRU(width, 6), rx.Dropout(0.1), rx.Linear(6, width))))
        case 1:
            layers.append(rx.Sequential(rx.RNN(width, width), rx.Residual(rx.LSTM(width, width))))
    pool = [None, rx.LastStep(), rx.LastStep(), rx.MeanPool(), rx.MaxPool()][rng.integers(5)]
    layers += [] if pool is None else [pool]
    K = int(rng.integers(2, 4)) if one_in(rng, 2) else 1
    layers += [rx.Linear(width, K, bias=not one_in(rng, 4))]
    model = rx.Sequential(*layers)
    dtype = ("float32", "float64")[rng.integers(2)]
    N, T = int(rng.integers(1, 9)), int(rng.integers(1, 13))
    X = rng.integers(0, 7, (N, T)) if tokens else rng.normal(0.5, 2, (N, T, size))
    if not tokens and one_in(rng, 3):
        X = X.astype(np.float32)
    lengths = rng.integers(0, T + 1, N) if one_in(rng, 2) else None
    options: dict[str, Any] = {}
    if K > 1:
        options["loss"] = ("cross_entropy", None, "binary_cross_entropy")[rng.integers(3)]
        if options["loss"] == "cross_entropy":
            options["classes"] = ["ant", "bee", "cat"][:K]
    elif one_in(rng, 2):
        options |= {"loss": "binary_cross_entropy", "classes": ["no", "yes"]}
    if not tokens and one_in(rng, 2):
        options["scaling"] = rx.data.Scaling(rng.normal(0, 1, size), rng.uniform(0.5, 2, size))
    apart = lengths is not None and len(set(lengths.tolist())) > 1 and one_in(rng, 2)
    if apart:
        X = X[:, : lengths.max()]
    return Case(model, drawn(model, seed, dtype), X, lengths, options, int(rng.integers(1, 10)), apart)


def chosen_cases():
    """Return what chance would miss."""
    rng = np.random.default_rng(0)
    lstm = rx.Sequential(rx.LSTM(3, 24), rx.LastStep(), rx.Linear(24, 4))
    both = rx.Sequential(rx.GRU(2, 3, bidirectional=True), rx.LastStep(), rx.Linear(6, 2))
    steps = rx.Sequential(rx.GRU(2, 3), rx.Linear(3, 2))
    writer = rx.Sequential(rx.Embedding(5, 4), rx.LSTM(4, 6), rx.Linear(6, 5))
    many, long = rng.normal(size=(600, 9, 3)), rng.normal(size=(3, 1100, 2))
    no_step = np.array([0, 3, 0, 4])
    text = {"loss": "cross_entropy", "classes": list("abcd\n")}
    return {
        # batches for which no BLAS takes a second thread, which another process may not have
        "many": Case(lstm, drawn(lstm, 1), many, rng.integers(0, 10, 600), {"loss": "cross_entropy"}, 100),
        "many_in_full": Case(lstm, drawn(lstm, 2, "float64"), many, batch_size=100),
        "long": Case(steps, drawn(steps, 3), long, np.array([1100, 0, 1030])),
        "long_both_ways": Case(both, drawn(both, 4), long, np.array([5, 1100, 1040])),
        "no_step": Case(lstm, drawn(lstm, 5), many[:4], no_step, {"loss": "cross_entropy"}),
        "no_step_at_all": Case(lstm, drawn(lstm, 6), many[:2], np.array([0, 0])),
        "text": Case(writer, drawn(writer, 7), rng.integers(0, 5, (2, 30)), None, text),
        "a_channel": Case(
            rx.Sequential(rx.RNN(1, 3), rx.LastStep(), rx.Linear(3, 1)),
            drawn(rx.Sequential(rx.RNN(1, 3), rx.LastStep(), rx.Linear(3, 1)), 8),
            rng.normal(size=(5, 6, 1)),
        ),
    }


CASES = {**{f"random_{seed}": random_case(seed) for seed in range(26)}, **chosen_cases()}


@pytest.fixture(scope="module", name="answers")
def fixture_answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, case in CASES.items():
        case.write(folder / name)
    isolated(folder)
    return {name: dict(np.load(folder / f"{name}.answers.npz")) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_every_bit(answers, name):
    case, own = CASES[name], answers[name]
    expected = case.expected()
    assert own["outputs"].dtype == expected.dtype
    assert own["outputs"].shape == expected.shape
    assert own["outputs"].tobytes() == expected.tobytes()
    assert ("stream" in own) == case.model.causal
    if case.model.causal:
        assert own["stream"].tobytes() == case.streamed().tobytes()
    classes = case.options.get("classes")
    if classes:
        p = expected if expected.shape[-1] > 1 else np.concatenate([1 - expected, expected], axis=-1)
        np.testing.assert_array_equal(own["labels"], np.array(classes)[p.argmax(axis=-1)])


def test_what_chance_gave():
    """Every option is there, on and off, and every layer; or the test would say less than it seems to."""
    text = " ".join(repr(case.model) for case in CASES.values())
    for word in (
        *(
            "LSTM(",
            "GRU(",
            "RNN(",
            "Linear(",
            "Embedding(",
            "Dropout(",
            "Residual(",
            "LastStep(",
            "MeanPool(",
        ),
        *("MaxPool(", "bidirectional", "reverse=True", "bias='input'", "zoneout=0.1", "zoneout=[", "clip"),
        *("learn_state", "proj_size", "peepholes", "coupled", "layer_norm", "reset='before'", "activations"),
        *("nonlinearity", "recurrent_dropout", "variational", "reverse_size", "num_layers=2"),
    ):
        assert word in text or f"{word[:-5]}2" in text, word
    assert {rx.tree.leaves(case.params)[0].dtype.name for case in CASES.values()} == {"float32", "float64"}


# the file


def classifier():
    model = rx.Sequential(rx.LSTM(3, 8), rx.LastStep(), rx.Linear(8, 2))
    return model, model.init(rx.get_backend("numpy"), seed=0)


def test_it_imports_numpy_and_the_standard_library_only():
    tree = ast.parse(source(*classifier()))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names == {"numpy"}


def test_it_holds_no_way_back_and_no_chance():
    text = source(*classifier())
    for word in ("def partials", "def backward", "def run_back", "keep_mask", "d_params", "Recomputed"):
        assert word not in text, word


def test_it_is_short():
    lines = [line for line in source(*classifier()).splitlines() if line.strip()]
    assert len(lines) < 1000


def test_the_functions_are_the_package_s_own():
    text = source(*classifier())
    for function in (rx.cells.lstm.Memory.forward, rx.sequence.Run.last, rx.layers.pooling._ends):
        *_, body = inspect.getsource(function).partition('"""\n')
        plain = "\n".join(line.split("  # type:")[0] for line in body.replace(": Planes", "").splitlines())
        assert plain in text


def test_a_changed_formula_changes_the_file(monkeypatch):
    """There is no second formula: what is written is what stands in the source of the cell."""
    read = Library.add

    def add(self, name, text, values=None):
        if name == "rnn_xp.cells.lstm":
            assert "c = f * c_prev + i * g" in text
            text = text.replace("c = f * c_prev + i * g", "c = f * c_prev - i * g")
        return read(self, name, text, values)

    model, params = classifier()
    X = np.random.default_rng(0).normal(size=(2, 5, 3))
    before, after = run(source(model, params)), None
    monkeypatch.setattr(Library, "add", add)
    text = source(model, params)
    after = run(text)
    assert "c = f * c_prev - i * g" in text
    assert not np.allclose(before["predict"](X), after["predict"](X))


def run(text, name="model"):
    """Run a file here."""
    names: dict[str, Any] = {"__name__": name}
    exec(text, names)
    return names


def test_batches_are_those_of_predict():
    own = run(source(*classifier()))
    defaults = [inspect.signature(f).parameters["batch_size"].default for f in (own["predict"], rx.predict)]
    assert defaults[0] == defaults[1]


def test_the_command(tmp_path):
    model, params = classifier()
    X = np.random.default_rng(0).normal(size=(3, 5, 3))
    np.save(tmp_path / "X.npy", X)
    for options, expected in (
        ({}, [str(row) for row in rx.predict(model, params, X).tolist()]),
        (
            {"classes": ["no", "yes"], "loss": "cross_entropy"},
            [
                f"{('no', 'yes')[p[1] > p[0]]} {p}"
                for p in rx.predict(model, params, X, loss="cross_entropy").tolist()
            ],
        ),
    ):
        (tmp_path / "model.py").write_text(source(model, params, **options))
        command = [sys.executable, tmp_path / "model.py", tmp_path / "X.npy"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == expected


def test_parameters_of_another_library():
    pytest.importorskip("array_api_strict")
    model, params = classifier()
    others = model.init(rx.get_backend("array_api_strict"), seed=0)
    assert source(model, others) == source(model, params)


@pytest.mark.parametrize(
    ("X", "lengths", "message"),
    [
        (
            np.zeros((2, 5)),
            None,
            "`X` must be numbers \\(N, T, C\\) with C = 3; got float64 of shape \\(2, 5, 1\\)",
        ),
        (np.zeros((2, 5, 4)), None, "C = 3; got float64 of shape \\(2, 5, 4\\)"),
        (np.zeros((2, 5, 3), complex), None, "got complex128"),
        (np.zeros((2, 0, 3)), None, "`lengths` must hold N = 2 integers in 0..T with T = 0"),
        (np.zeros((2, 5, 3)), [5], "N = 2 integers in 0..T with T = 5, and X a step; got \\[5\\]"),
        (np.zeros((2, 5, 3)), [5, 6], "got \\[5, 6\\]"),
        (np.zeros((2, 5, 3)), [5, -1], "got \\[5, -1\\]"),
        (np.zeros((2, 5, 3)), [5.0, 1.0], "got \\[5.0, 1.0\\]"),
        (np.full((2, 5, 3), np.nan), None, "`X` must be finite in every step that counts, and fit float32"),
        (np.full((2, 5, 3), 1e300), None, "and fit float32"),
    ],
)
def test_what_the_file_refuses(X, lengths, message):
    own = run(source(*classifier()))
    with pytest.raises(ValueError, match=message):
        own["predict"](X, lengths)


def test_what_a_file_of_tokens_refuses():
    model = rx.Sequential(rx.Embedding(4, 3), rx.GRU(3, 4), rx.Linear(4, 4))
    own = run(source(model, model.init(rx.get_backend("numpy"))))
    for X, message in (
        (np.zeros((2, 3)), "must be integer tokens \\(N, T\\); got float64 of shape \\(2, 3\\)"),
        (np.zeros((2, 3, 1), int), "of shape \\(2, 3, 1\\)"),
        ([[0, 4]], "tokens in 0..3; got 0..4"),
        ([[-1, 3]], "tokens in 0..3; got -1..3"),
    ):
        with pytest.raises(ValueError, match=message):
            own["predict"](X)
    with pytest.raises(ValueError, match="`x` must have a row for each of 2 sequences; got 1"):
        own["Stream"](2).step([1])


# cells of a user's own

SHARPNESS = 1.5
SHIFTS = (0.25, np.array([-0.5, 0.5]))


def squashed(x, xp, sharpness=SHARPNESS):
    return sigmoid(sharpness * x, xp=xp) + math.tanh(SHIFTS[0]) + REST.h


REST = rx.State(0.125)


def own_forward(a, s_prev, *, xp):
    """g = squash(a_g), c = tanh(a_c), h = g h_prev + (1 - g) c."""
    g, c = squashed(a[0], xp), np.tanh(a[1])
    return rx.State(g * s_prev.h + (1 - g) * c + SHIFTS[1][0]), (g, c)


def own_partials(kept, s_prev, s, *, xp):
    raise NotImplementedError


def own_backward(d_s, planes):
    raise NotImplementedError


class Twice(NamedTuple):
    """A state of two fields."""

    h: Any
    m: Any


@dataclasses.dataclass(frozen=True)
class Leaky:
    """A formula with an option."""

    rate: float

    def forward(self, a, s_prev, *, xp):
        """Leak."""
        m = self._leak(s_prev.m, xp.tanh(a[0]))
        return Twice(m * m, m), ()

    def _leak(self, old, new):
        return (1 - self.rate) * old + self.rate * new


PLAIN = rx.Cell("plain", (rx.Pair(own_forward, own_partials, own_backward, ("g", "c"), keeps=("g", "c")),))
LEAKY = rx.Cell("leaky", (rx.Pair(Leaky(0.125).forward, own_partials, own_backward, ("a",)),), state=Twice)


@pytest.mark.parametrize("cell", [PLAIN, LEAKY])
def test_a_cell_of_a_users_own(tmp_path, monkeypatch, cell):
    monkeypatch.setenv("RNN_XP_ENGINE", "portable")
    model = rx.Sequential(rx.Recurrent(cell, 2, 5, num_layers=2), rx.Linear(5, 1))
    params = model.init(rx.get_backend("numpy"), seed=1)
    case = Case(model, params, np.random.default_rng(0).normal(size=(4, 6, 2)), np.array([6, 2, 0, 3]))
    case.write(tmp_path / "own")
    isolated(tmp_path)
    answers = np.load(tmp_path / "own.answers.npz")
    assert answers["outputs"].tobytes() == case.expected().tobytes()
    assert answers["stream"].tobytes() == case.streamed().tobytes()


def modelled(forward):
    cell = rx.Cell("own", (rx.Pair(forward, own_partials, own_backward, ("a",)),))
    model = rx.Sequential(rx.Recurrent(cell, 2, 3), rx.Linear(3, 1))
    return model, model.init(rx.get_backend("numpy"))


def unknown_global(a, s_prev, *, xp):
    return rx.State(NOWHERE * a[0]), ()  # noqa: F821


HANDLE = object()


def strange_global(a, s_prev, *, xp):
    return rx.State(a[0]), (HANDLE,)


def other_library(a, s_prev, *, xp):
    return rx.State(pytest.approx(a[0])), ()


def test_what_cannot_be_written():
    def inner(a, s_prev, *, xp):
        return rx.State(xp.tanh(a[0])), ()

    made = run("def gone(a, s_prev, *, xp): return None", name="nowhere")["gone"]
    for forward, message in (
        (inner, "functions are defined with `def` at the top of a module; got .*inner of"),
        (lambda a, s_prev, *, xp: None, "got .*<lambda> of"),
        (made, "in a file that is still there; got gone of nowhere, whose source is not"),
        (unknown_global, "names are all known; got NOWHERE"),
        (other_library, "need NumPy and Python's own library alone; got pytest"),
        (strange_global, "functions, numbers, and dataclasses of them; got <object object"),
    ):
        with pytest.raises(ValueError, match=message):
            source(*modelled(forward))


def test_what_source_refuses():
    model, params = classifier()
    with pytest.raises(TypeError, match=r"`model` must be a rx.Sequential; got LSTM"):
        source(model.layers[0], params[0])
    with pytest.raises(ValueError, match="`params` must be those of"):
        source(model, params[:1])
    with pytest.raises(ValueError, match=r"`loss` must be one of .*; got 'mse'"):
        source(model, params, loss="mse")
    with pytest.raises(TypeError, match=r"`scaling` must be a rx.data.Scaling; got tuple"):
        source(model, params, scaling=(0.0, 1.0))
    with pytest.raises(ValueError, match="`classes` must hold a name for each of 2 outputs; got 3"):
        source(model, params, classes=["a", "b", "c"])
    with pytest.raises(TypeError, match="`classes` must"):
        source(model, params, classes=3)
    one = rx.Sequential(rx.GRU(3, 2), rx.LastStep(), rx.Linear(2, 1))
    words = "`loss` must be 'binary_cross_entropy' where one output tells two `classes` apart.*; got None"
    with pytest.raises(ValueError, match=words):
        source(one, one.init(rx.get_backend("numpy")), classes=["a", "b"])
    with pytest.raises(ValueError, match=r"`scaling` must be of C = 3 features, .*; got 2"):
        source(model, params, scaling=rx.data.Scaling(np.zeros(2), np.ones(2)))
    with pytest.raises(ValueError, match="`model` must have parameters"):
        source(rx.Sequential(rx.MeanPool()), ((),))

    class Other(rx.Linear):
        """A layer that is not the package's."""

    other = rx.Sequential(Other(3, 2))
    with pytest.raises(ValueError, match="`model` must hold layers of rnn_xp alone; got Other"):
        source(other, other.init(rx.get_backend("numpy")))


# the facts


def test_a_fact_of_nothing_is_an_error():
    tree = ast.parse("def f(x):\n    return x")
    with pytest.raises(LookupError, match="f holds nothing like rng"):
        fold(tree, {"f": {"rng": "None"}})
    with pytest.raises(LookupError, match="there is no g"):
        fold(tree, {"g": {}})
