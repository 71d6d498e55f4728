"""`rnn-xp plot`: which pictures of a run there are, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import main
from rnn_xp.cli import plot as command

PNG = b"\x89PNG\r\n\x1a\n"
INSIDE = ["gates", "gradient_norms", "history", "spectrum", "states"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the directory of two runs: of a file, and of a text."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", X=rng.normal(size=(6, 5, 2)), y=[0, 1] * 3, lengths=[5, 2, 3, 4, 5, 1])
    (folder / "text").write_text("the cat sat on the mat.\n" * 40)
    common = ["--epochs", "2", "--hidden-size", "3", "--quiet"]
    for name, options in (
        ("file", ["--data", str(folder / "data.npz")]),
        ("letters", ["--task", "text", "--data", str(folder / "text"), "--window", "8"]),
    ):
        assert main(["train", *options, *common, "--out", str(folder / name)]) == 0
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command; return its exit code, and what it wrote."""

    def call(*argv: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["plot", *map(str, argv)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without the seconds that it takes to draw them: a figure is its titles here."""
    monkeypatch.setattr(command, "png", lambda figure: PNG + repr(titles(figure)).encode())


def titles(figure: Any) -> list[str]:
    return [ax.get_title(loc="left") for ax in figure.axes]


def pictures(directory: Path) -> list[str]:
    return sorted(path.stem for path in directory.iterdir())


@pytest.fixture(params=["file", "letters"])
def gone(request: Any, runs: Path) -> Iterator[tuple[Path, Path]]:
    """Move the data of a run away, for as long as a test takes; return the run, and where they were."""
    source = runs / {"file": "data.npz", "letters": "text"}[request.param]
    source.rename(runs / "elsewhere")
    yield runs / request.param, source
    (runs / "elsewhere").rename(source)


def test_without_the_data_there_is_the_history_and_the_spectrum(run: Any, gone: Any, tmp_path: Path) -> None:
    directory, source = gone
    code, out, _ = run(directory, "--out", tmp_path / "here")
    assert code == 0
    assert pictures(tmp_path / "here") == ["history", "spectrum"]
    assert out.splitlines() == [
        f"written: {tmp_path}/here/history.png",
        f"written: {tmp_path}/here/spectrum.png",
        f"{source} is not there any more: --data FILE shows gradient norms, states and gates, too",
    ]


@pytest.mark.parametrize(("name", "more"), [("file", []), ("letters", ["text"])])
def test_the_data_of_the_training_are_found(
    run: Any, runs: Path, tmp_path: Path, monkeypatch: Any, name: str, more: list[str]
) -> None:
    monkeypatch.setattr(command, "CHARACTERS", 30)
    monkeypatch.chdir(tmp_path)
    code, _, err = run(runs / name, "--out", tmp_path / "all")
    assert code == 0, err
    assert pictures(tmp_path / "all") == sorted([*INSIDE, *more])


def test_of_numbers_it_looks_at_what_was_learnt(run: Any, tmp_path: Path, looked: Any) -> None:
    X = np.random.default_rng(0).normal(size=(12, 5, 2))
    y = 172 + 32 * X[:, :, 0].sum(axis=1)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    options = ("--epochs", "1", "--hidden-size", "3", "--quiet", "--out", str(tmp_path / "run"))
    assert main(["train", "--data", str(tmp_path / "data.npz"), *options]) == 0
    assert run(tmp_path / "run")[0] == 0
    [((model, params, scaled, learnt), more)] = looked
    np.testing.assert_allclose(learnt, (y - y.mean()) / y.std(), rtol=1e-12)
    loss = rx.evaluate(model, params, scaled, learnt, loss=more["loss"])["loss"]
    assert loss == pytest.approx(np.mean((rx.predict(model, params, scaled)[:, 0] - learnt) ** 2), rel=1e-5)
    assert 0.1 < loss < 3


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """Return what `look` is told, by position and by name."""
    calls: list[tuple[Any, Any]] = []
    look = rx.probe.look

    def watch(*args: Any, **more: Any) -> Any:
        calls.append((args, more))
        return look(*args, **more)

    monkeypatch.setattr(rx.probe, "look", watch)
    return calls


def test_with_the_data_there_is_everything(run: Any, runs: Path, looked: Any) -> None:
    code, out, _ = run(runs / "file", "--data", runs / "data.npz")
    assert code == 0
    assert pictures(runs / "file" / "plots") == INSIDE
    assert out.count("written: ") == 5
    [((_, _, X, y), more)] = looked
    with np.load(runs / "data.npz") as arrays:
        steps = np.concatenate([x[:n] for x, n in zip(arrays["X"], arrays["lengths"], strict=True)])
        scaled = (arrays["X"] - steps.mean(axis=0)) / steps.std(axis=0)
    np.testing.assert_allclose(X[0], scaled[0], rtol=1e-6)  # as the training saw it
    assert y.tolist() == [0, 1] * 3
    assert more["lengths"].tolist() == [5, 2, 3, 4, 5, 1]
    assert (more["loss"], more["weights"]) == ("cross_entropy", None)


def test_a_text_is_coloured(
    run: Any, runs: Path, tmp_path: Path, looked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CHARACTERS", 30)
    drawn = []
    text = rx.plot.text
    monkeypatch.setattr(rx.plot, "text", lambda *args, **more: drawn.append(text(*args, **more)) or drawn[-1])
    code, _, err = run(runs / "letters", "--data", runs / "text", "--out", tmp_path)
    assert code == 0, err
    assert pictures(tmp_path) == sorted([*INSIDE, "text"])
    assert drawn[0].characters == "the cat sat on the mat.\nthe ca"
    assert looked[-1][1]["weights"].tolist() == [[0.0] * 29 + [1.0]]
    assert (tmp_path / "text.png").read_bytes().startswith(PNG)


def test_of_losses_at_every_step_the_last_ones_count() -> None:
    data = rx.data.sequences.Dataset(np.zeros((2, 3, 1)), lengths=np.array([3, 2]))
    assert command._last(data).tolist() == [[0, 0, 1], [0, 1, 0]]
    assert command._last(data._replace(lengths=None)).tolist() == [[0, 0, 1]] * 2


def test_of_many_sequences_some_from_everywhere_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "STEPS", 15)
    X = np.arange(100.0).repeat(5).reshape(100, 5, 1)
    few = command._few(rx.data.sequences.Dataset(X, X[:, 0, 0], np.arange(100)))
    assert few.X[:, 0, 0].tolist() == [0, 50, 99]
    assert few.y is not None
    assert few.y.tolist() == [0, 50, 99]
    assert few.lengths is not None
    assert few.lengths.tolist() == [0, 50, 99]


# the chart in the terminal


def test_a_chart_of_the_history(run: Any, runs: Path) -> None:
    code, out, err = run(runs / "file", "--terminal")
    assert (code, err) == (0, "")
    assert out.replace("\n", "").isprintable()
    assert max(map(len, out.splitlines())) == 80
    assert "Learning rate" in out


def nothing_but(*names: str) -> Callable[[str], Any]:
    return lambda name: name in names or None


def test_where_there_is_no_matplotlib_there_is_a_chart(
    run: Any, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", nothing_but("plotext"))
    code, out, err = run(runs / "file")
    assert code == 0
    assert "Loss" in out
    install = 'pip install "rnn-xp[plot]" (in a clone: pip install ".[plot]")'
    assert err == f"no matplotlib here, so no PNG files: {install}\n"
    for option, value in (("out", tmp_path / "none"), ("data", runs / "data.npz"), ("target", "y")):
        code, out, err = run(runs / "file", f"--{option}", value)
        assert (code, out) == (2, "")
        told = f"argument --{option}: not here: no matplotlib here, so no PNG files: {install}."
        assert err == f"rnn-xp: error: {told}\n"
    assert not (tmp_path / "none").exists()


def test_where_there_is_neither(run: Any, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", nothing_but())
    code, _, err = run(runs / "file")
    assert code == 2
    assert 'has nothing to draw with. For PNG files, pip install "rnn-xp[plot]"' in err
    assert err.endswith('for a chart here, pip install "rnn-xp[ui]" (in a clone: pip install ".[ui]").\n')
    code, _, err = run(runs / "file", "--terminal")
    assert code == 2
    assert 'For a chart here, pip install "rnn-xp[ui]"' in err
    assert "rnn-xp[plot]" not in err


# what is refused


def test_a_library_that_does_not_load(
    run: Any, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for library, options in (("matplotlib", ()), ("plotext", ("--terminal",))):
        (tmp_path / f"{library}.py").write_text("raise ImportError('built for another Python')")
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(command, "find_spec", nothing_but(library))
        code, out, err = run(runs / "file", *options)
        assert (code, out) == (2, "")
        assert f"needs {library}, which is installed and cannot be imported: built for another Python." in err


def test_nothing_is_written_before_the_data_are_read(run: Any, runs: Path, tmp_path: Path) -> None:
    with np.load(runs / "data.npz") as arrays:
        np.savez(tmp_path / "other.npz", **{**arrays, "X": arrays["X"][:, :, :1]})
    for data, words in (("other.npz", "the features must be those"), ("none.npz", "No such file")):
        code, out, err = run(runs / "file", "--data", tmp_path / data, "--out", tmp_path / "here")
        assert (code, out) == (1, "")
        assert f"{tmp_path / data}: {words}" in err
        assert not (tmp_path / "here").exists()


def test_how_a_file_is_read_goes_with_a_file(
    run: Any, runs: Path, gone: Any, tmp_path: Path, looked: Any
) -> None:
    """Where it is the file of the training, too."""
    told = "not here: it goes with --data, a file of sequences."
    for option, value in (("target", "y"), ("id", "i"), ("time", "t"), ("layout", "TNC")):
        code, _, err = run(gone[0], f"--{option}", value, "--out", tmp_path / "here")
        assert (code, err) == (2, f"rnn-xp: error: argument --{option}: {told}\n")
    text = runs / "text"
    other = ("--data", text if text.exists() else runs / "elsewhere", "--target", "y")
    code, _, err = run(runs / "letters", *other, "--out", tmp_path / "here")
    assert (code, err) == (2, f"rnn-xp: error: argument --target: {told}\n")
    assert not (tmp_path / "here").exists()


def test_how_the_file_of_the_training_is_read_is_heard(run: Any, runs: Path, tmp_path: Path) -> None:
    code, _, err = run(runs / "file", "--target", "y", "--out", tmp_path / "here")
    assert code == 2
    assert "argument --target: not here: it goes with .csv files; got .npz." in err
    assert not (tmp_path / "here").exists()


def test_a_model_of_text_without_its_checkpoint(
    run: Any, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes((runs / "letters" / model.name).read_bytes())
    code, out, err = run(model)
    assert (code, err) == (0, "")
    assert pictures(tmp_path / "plots") == ["spectrum"]
    assert "no checkpoint says where the data of the training are: --data FILE shows" in out
    monkeypatch.setattr(command, "CHARACTERS", 20)
    monkeypatch.setattr(rx.data, "python_text", (runs / "text").read_text)  # the one that it may have learnt
    assert run(model)[0] == 0
    assert "text" in pictures(tmp_path / "plots")


def test_usage(run: Any, runs: Path) -> None:
    for options, words in (
        (("--terminal", "--target", "x"), "argument --target: not here: --terminal shows the history alone."),
        (("--terminal", "--out", "x"), "argument --out: not here: --terminal shows the history alone."),
        (("--terminal", "--data", "x"), "argument --data: not here: --terminal shows the history alone."),
        (("--out", runs / "text"), "must be a directory; it is a file."),
        (("--data", runs), "must be a file; it is a directory"),
    ):
        code, _, err = run(runs / "file", *options)
        assert code == 2
        assert words in err


def test_what_is_no_run(run: Any, runs: Path, tmp_path: Path) -> None:
    code, _, err = run(tmp_path)
    assert code == 1
    assert "model.safetensors: No such file or directory." in err
    assert run(tmp_path, "--terminal")[0] == 1
    (tmp_path / "history.jsonl").write_text("{")
    code, _, err = run(tmp_path, "--terminal")
    assert code == 1
    assert "does not hold the history of a training" in err


def test_a_model_without_its_history(run: Any, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((runs / "file" / "model.safetensors").read_bytes())
    code, out, _ = run(tmp_path / "model.safetensors")
    assert code == 0
    assert out.startswith(f"there is no {tmp_path}/history.jsonl: no picture of the training\n")
    assert pictures(tmp_path / "plots") == ["spectrum"]
    assert out.endswith(
        "no checkpoint says where the data of the training are: "
        "--data FILE shows gradient norms, states and gates, too\n"
    )
