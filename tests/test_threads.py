"""Threads and processes: several use one model at once, and each gets what it would get alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support import MAKERS, UGRNN, open_backend

import rnn_xp as rx

THREADS = 8
ROUNDS = 20
SINGLE, DOUBLE = open_backend("numpy", "float32"), open_backend("numpy")


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Return work(0), work(1), ... of threads that begin together."""
    gate = threading.Barrier(THREADS)

    def one(number: int) -> Any:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


@pytest.fixture(autouse=True)
def switching() -> Any:
    """Let the interpreter go from thread to thread as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def model_of(cell: str, *, bidirectional: bool = False) -> rx.Sequential:
    layer = MAKERS[cell](3, 4, 2, bidirectional=bidirectional)
    return rx.Sequential(layer, rx.LastStep(), rx.Linear(layer.output_size, 2))


@pytest.mark.parametrize("backend", [SINGLE, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before", "own_cell"])
def test_predictions(cell: str, bidirectional: bool, backend: Any) -> None:
    """Each thread has data of its own, one model serves them all."""
    model = model_of(cell, bidirectional=bidirectional)
    params = model.init(backend)
    X = np.random.default_rng(0).standard_normal((THREADS, 5, 9, 3))
    lengths = np.random.default_rng(1).integers(1, 10, (THREADS, 5))

    def predict(number: int) -> bytes:
        own = {"lengths": lengths[number], "loss": "cross_entropy", "batch_size": 2}
        return rx.predict(model, params, X[number], **own).tobytes()

    alone = [predict(number) for number in range(THREADS)]
    weights = [leaf.tobytes() for leaf in rx.tree.leaves(params)]
    rounds = at_once(lambda number: [predict(number) for _ in range(ROUNDS)])
    assert rounds == [[answer] * ROUNDS for answer in alone]
    assert [leaf.tobytes() for leaf in rx.tree.leaves(params)] == weights


@pytest.mark.parametrize("cell", ["lstm", "gru", "lstm_peepholes", "own_cell"])
def test_streams(cell: str) -> None:
    """Each thread has a stream of its own over the same weights."""
    model = model_of(cell)
    params = model.init(SINGLE)
    feeds = np.random.default_rng(0).standard_normal((THREADS, 50, 2, 3)).astype(np.float32)

    def follow(number: int) -> list[bytes]:
        stream = model.stream(params, batch_size=2)
        own = feeds[number]
        return [*[stream.step(x).tobytes() for x in own[:30]], stream.run(own[30:]).tobytes()]

    alone = [follow(number) for number in range(THREADS)]
    for _ in range(3):
        assert at_once(follow) == alone


FRESH = """
import sys, threading
import numpy as np
import rnn_xp as rx

sys.setswitchinterval(1e-6)
X = np.random.default_rng(0).standard_normal((5, 9, 3))
cell = {cell}
model = rx.Sequential(cell, rx.LastStep(), rx.Linear(cell.output_size, 2))
params = model.init(rx.get_backend("numpy"))
gate, answers = threading.Barrier(8), []

def first():
    gate.wait()
    answers.append(rx.predict(model, params, X).tobytes())

threads = [threading.Thread(target=first) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(answers) == 8 and set(answers) == {{rx.predict(model, params, X).tobytes()}}
"""


@pytest.mark.parametrize(
    "cell",
    [
        "rx.LSTM(3, 4, 2, peepholes=True, clip=2.0)",
        "rx.GRU(3, 4, bidirectional=True, reset='before')",
        "rx.RNN(3, 4, nonlinearity=('elu', 0.5))",
    ],
)
def test_the_first_use_of_all(cell: str) -> None:
    """In a fresh process nothing is loaded, traced or kept yet when eight threads ask at once."""
    subprocess.run([sys.executable, "-c", FRESH.format(cell=cell)], check=True)


def test_the_first_use_of_a_cell() -> None:
    """Cells that no thread has run before, round after round: the tracing of their functions is shared."""
    X = np.random.default_rng(0).standard_normal((4, 6, 3))
    for number in range(ROUNDS):
        cell = rx.Recurrent(UGRNN._replace(name=f"fresh {number}"), 3, 4)
        model = rx.Sequential(cell, rx.LastStep())
        params = model.init(DOUBLE)
        answers = at_once(lambda _, model=model, params=params: rx.predict(model, params, X).tobytes())
        assert answers == [rx.predict(model, params, X).tobytes()] * THREADS


def test_training_beside_predicting() -> None:
    """A training has weights of its own: who predicts with the old ones meanwhile sees them."""
    model = model_of("gru")
    params = model.init(DOUBLE)
    X = np.random.default_rng(0).standard_normal((16, 9, 3))
    y = np.arange(16) % 2
    alone = rx.predict(model, params, X).tobytes()

    def work(number: int) -> Any:
        if number % 2:
            return [rx.predict(model, params, X).tobytes() for _ in range(ROUNDS)] == [alone] * ROUNDS
        result = rx.fit(model, X, y, params=params, epochs=3, backend=DOUBLE, verbose=False)
        return [leaf.tobytes() for leaf in rx.tree.leaves(result.params)]

    answers = at_once(work)
    assert all(answers[1::2])
    assert answers[0::2] == [work(0)] * (THREADS // 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_predicts() -> None:
    """After its parent has trained and predicted, with all that both leave behind."""
    model = model_of("lstm")
    X = np.random.default_rng(0).standard_normal((32, 9, 3)).astype(np.float32)
    params = rx.fit(model, X, np.arange(32) % 2, epochs=1, backend=SINGLE, verbose=False).params
    expected = rx.predict(model, params, X).tobytes()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # no assertion here: the child must not go on as a test run
        try:
            answer = rx.predict(model, params, X).tobytes()
            rx.fit(model, X, np.arange(32) % 2, epochs=1, backend=SINGLE, verbose=False)
            os.write(write, answer)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert answer == expected
    assert rx.predict(model, params, X).tobytes() == expected


def test_nothing_global_changes() -> None:
    """NumPy's handling of errors, its generator and the environment are the user's."""
    state = np.random.get_state()[1].tobytes()  # type: ignore[union-attr]  # noqa: NPY002
    environment = dict(os.environ)
    model = model_of("gru")
    X = np.random.default_rng(0).standard_normal((16, 9, 3))
    with np.errstate(over="raise", invalid="print", divide="call", under="ignore"):
        errors = np.geterr()
        params = rx.fit(model, X, np.arange(16) % 2, epochs=1, backend=SINGLE, verbose=False).params
        rx.predict(model, params, X)
        model.stream(params).step(X[:1, 0].astype(np.float32))
        assert np.geterr() == errors
        with pytest.raises(FloatingPointError):
            rx.fit(
                model, X, np.arange(16) % 2, optimizer=rx.SGD(1e38), epochs=1, backend=SINGLE, verbose=False
            )
        assert np.geterr() == errors
    assert np.random.get_state()[1].tobytes() == state  # type: ignore[union-attr]  # noqa: NPY002
    assert dict(os.environ) == environment
