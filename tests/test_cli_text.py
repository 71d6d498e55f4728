"""The character model of the command line, against one written out here step by step."""

import itertools
import json

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import language, main

TEXT = "the cat sat on the mat; the rat sat on the cat. " * 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Train a small LSTM on a tiny text."""
    path = tmp_path_factory.mktemp("text")
    (path / "text").write_text(TEXT)
    options = [
        "--hidden-size",
        "12",
        "--embedding-size",
        "5",
        "--window",
        "20",
        "--epochs",
        "6",
        "--lr",
        "0.02",
        "--batch-size",
        "8",
    ]
    command = ["train", "--task", "text", "--data", str(path / "text"), *options, "--dtype", "float64"]
    assert main([*command, "--out", str(path / "run")]) == 0
    return path


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class Reader:
    """The model of `folder`, one character at a time, from the numbers in its file alone."""

    def __init__(self, folder):
        from safetensors.numpy import load_file

        tensors = load_file(folder / "run/model.safetensors")
        named = {name.split(".")[0] + name.rsplit(".", 1)[1]: tensor for name, tensor in tensors.items()}
        self.table, self.out, self.out_bias = named["0weight"], named["2weight"], named["2bias"]
        self.ih, self.hh = named["1weight_ih"], named["1weight_hh"]
        self.bias = named["1bias_ih"] + named["1bias_hh"]
        self.h = self.c = np.zeros(12)

    def __call__(self, token):
        """Return the probabilities of the next character."""
        i, f, g, o = np.split(self.ih @ self.table[token] + self.hh @ self.h + self.bias, 4)
        self.c = sigmoid(f) * self.c + sigmoid(i) * np.tanh(g)
        self.h = sigmoid(o) * np.tanh(self.c)
        e = np.exp(self.out @ self.h + self.out_bias)
        return e / e.sum()


def bits(folder, text):
    """Return the mean of -log2 p of every character but the first."""
    pytest.importorskip("safetensors")
    reader = Reader(folder)
    tokens = [sorted(set(TEXT)).index(character) for character in text]
    return np.mean([-np.log2(reader(a)[b]) for a, b in itertools.pairwise(tokens)])


def out(capsys, *argv):
    code = main([str(argument) for argument in argv])
    told = capsys.readouterr()
    assert code == 0, told.err
    return told.out


def test_bits_per_character(folder, capsys, monkeypatch):
    for chunk in (language.CHUNK, 7):  # the state is carried from chunk to chunk
        monkeypatch.setattr(language, "CHUNK", chunk)
        (folder / "new").write_text(TEXT[5:260])
        metrics = json.loads(out(capsys, "evaluate", folder / "run", "--data", folder / "new", "--json"))
        expected = bits(folder, TEXT[5:260])
        assert metrics["result"]["metrics"]["bits_per_character"] == pytest.approx(expected, rel=1e-10)
        assert metrics["result"]["metrics"]["loss"] == pytest.approx(expected * np.log(2), rel=1e-10)


def test_training_reports_the_held_out_tenth(folder, capsys):
    command = ("train", "--task", "text", "--data", folder / "text", "--window", "20", "--epochs", "6")
    sizes = (
        "--hidden-size",
        "12",
        "--embedding-size",
        "5",
        "--lr",
        "0.02",
        "--batch-size",
        "8",
        "--dtype",
        "float64",
    )
    lines = out(capsys, *command, *sizes, "--json").splitlines()
    result = json.loads(lines[-1])["result"]
    cut = len(TEXT) - len(TEXT) // 10
    expected = bits(folder, TEXT[cut:])
    assert result["metrics"]["bits_per_character"] == pytest.approx(expected, rel=1e-10)
    assert result["metrics"]["bits_per_character"] < 2.5  # a uniform guess: 4 bits
    assert 0 < result["metrics"]["trigram_bits_per_character"] < 1
    assert len(result["sample"]) == 400
    assert set(result["sample"]) <= set(TEXT)


def test_the_vocabulary_is_that_of_the_whole_text(tmp_path, capsys):
    (tmp_path / "text").write_text("ab" * 200 + "z")
    told = out(
        capsys, "train", "--task", "text", "--data", tmp_path / "text", "--epochs", "1", "--hidden-size", "2"
    )
    assert "3 different characters in the whole text" in told


def test_the_likeliest_text(folder, capsys):
    prompt = "the cat sat"
    reader, text = Reader(folder), prompt
    characters = sorted(set(TEXT))
    for character in prompt:
        p = reader(characters.index(character))
    for _ in range(30):
        text += characters[int(np.argmax(p))]
        p = reader(characters.index(text[-1]))
    options = ("--prompt", prompt, "--length", "30", "--temperature", "0")
    assert out(capsys, "generate", folder / "run", *options) == text + "\n"


def test_samples_follow_the_seed(folder, capsys):
    first, again, other = (
        out(capsys, "generate", folder / "run", "--seed", seed, "--length", "60") for seed in "112"
    )
    assert first == again != other
    assert len(first) == 61


def test_samples_are_distributed_as_the_model_says(folder):
    model, params = rx.load(folder / "run/model.safetensors", rx.get_backend("numpy", dtype="float64"))
    vocabulary = rx.data.vocabulary(TEXT)
    options = {"length": 1, "temperature": 2.0}
    draws = [
        next(language.sample(model, params, vocabulary, "the ", **options, seed=seed)) for seed in range(500)
    ]
    reader = Reader(folder)
    for character in "the ":
        p = reader(vocabulary.characters.index(character))
    p = np.sqrt(p) / np.sqrt(p).sum()
    counts = np.array([draws.count(character) for character in vocabulary.characters])
    # Within 4.5 standard deviations of the binomial: wider for one in ten thousand sets of seeds.
    assert np.all(np.abs(counts - 500 * p) < 4.5 * np.sqrt(500 * p * (1 - p)) + 1)


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (
            ["generate", "run", "--prompt", "tħe cæt"],
            2,
            "argument --prompt: 'æ', 'ħ' not among the 13 characters that the model knows.",
        ),
        (
            ["evaluate", "run", "--data", "strange"],
            1,
            "strange: there are characters that the model does not know: '?'.",
        ),
        (
            ["evaluate", "run", "--data", "tiny"],
            1,
            "tiny: a text must have at least two characters to predict one; got 1.",
        ),
        (
            ["predict", "run", "--data", "tiny"],
            2,
            "argument DIR: run holds a language model; `rnn-xp generate` lets it write.",
        ),
    ],
)
def test_errors(folder, capsys, monkeypatch, argv, code, message):
    monkeypatch.chdir(folder)
    (folder / "strange").write_text("the cat?")
    (folder / "tiny").write_text("t")
    assert main(argv) == code
    assert capsys.readouterr().err.splitlines()[-1] == f"rnn-xp: error: {message}"
