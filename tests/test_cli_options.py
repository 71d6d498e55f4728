"""Options of `rnn-xp train` for long sequences, deep models, large texts: how they are read and refused."""

import os
from pathlib import Path

import numpy as np
import pytest

import rnn_xp as rx
from rnn_xp.cli import main
from rnn_xp.cli.arguments import build_parser
from rnn_xp.cli.settings import as_options, settle

TEXT = "the cat sat on the mat; the rat sat on the cat. " * 40


class BeginsError(Exception):
    """Ends a training where it would begin."""


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Return what `fit` is told, by position and by name, for the options of a command line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(TEXT)
    np.savez("data.npz", X=np.ones((10, 7, 2)), y=np.arange(10) % 2, lengths=np.arange(10) % 7 + 1)
    np.savez("steps.npz", X=np.ones((10, 7, 2)), y=np.arange(70).reshape(10, 7) % 2)
    calls = []

    def fit(*args, **more):
        calls.append((args, more))
        raise BeginsError

    monkeypatch.setattr(rx, "fit", fit)

    def call(options):
        with pytest.raises(BeginsError):
            main(["train", *options.split()])
        return calls[-1]

    return call


def parsed(*options):
    given = vars(build_parser().parse_args(["train", *options]))
    del given["command"]
    return given


# what they mean


def test_training(told):
    _, plain = told("--data data.npz")
    _, more = told(
        "--data data.npz --truncate 3,5 --recompute --accumulate 4 --bucket --nonfinite skip --clip-norm none"
    )
    assert (plain["truncate"], plain["recompute"], plain["accumulate"]) == (None, False, 1)
    assert (plain["bucket"], plain["nonfinite"], plain["clip_norm"]) == (False, "stop", 1.0)
    assert (more["truncate"], more["recompute"], more["accumulate"]) == ((3, 5), True, 4)
    assert (more["bucket"], more["nonfinite"], more["clip_norm"]) == (True, "skip", None)
    assert "checkpoint" not in plain
    _, more = told("--data data.npz --truncate 3 --recompute 5000 --out run --save-every 0.5")
    assert (more["truncate"], more["recompute"]) == ((3, 3), 5000)
    assert (more["checkpoint"], more["save_every"]) == (Path("run/checkpoint.safetensors"), 0.5)
    assert more["resume"] is False


def test_a_deep_model(told):
    options = "--data data.npz --cell lstm --hidden-size 5 --num-layers 3"
    (model, *_), _ = told(f"{options} --zoneout 0.1,0.2 --recurrent-dropout 0.25 --learn-state --layer-norm")
    layer = model.layers[0]
    assert (layer.num_layers, layer.zoneout, layer.recurrent_dropout) == (3, (0.1, 0.2), 0.25)
    assert layer.learn_state is True
    plain = rx.LSTM(2, 5, 3, zoneout=(0.1, 0.2), recurrent_dropout=0.25, learn_state=True, layer_norm=True)
    assert layer == plain
    (model, *_), _ = told(f"{options} --zoneout 0.1 --dropout 0.5 --variational")
    assert model.layers[0] == rx.LSTM(2, 5, 3, zoneout=0.1, dropout=0.5, variational=True)
    assert model.layers[2] == rx.Dropout(0.5, variational=True)


def test_a_residual_stack(told):
    options = "--data data.npz --cell gru --hidden-size 5 --num-layers 3 --bidirectional --residual"
    (model, *_), _ = told(options)
    deep = rx.GRU(10, 5, bidirectional=True)
    assert model.layers[:3] == (rx.GRU(2, 5, bidirectional=True), rx.Residual(deep), rx.Residual(deep))
    (model, *_), _ = told(f"{options} --dropout 0.5")
    names = " ".join(type(layer).__name__ for layer in model.layers)
    assert names == "GRU Dropout Residual Dropout Residual LastStep Dropout Linear"


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ("--data steps.npz", 5),
        ("--data steps.npz --accumulate 2", 3),
        ("--data steps.npz --truncate 3", 5 * 3),
        ("--data steps.npz --truncate 3 --accumulate 3", 2 * 3),
        ("--data steps.npz --truncate 3 --pool last --targets numbers", 5),
        ("--data data.npz --truncate 4", 5 * 2),
        ("--task text --data text --lanes 4 --window 10", 44),  # 1728 characters to learn from, 431 a lane
        ("--task text --data text --lanes 4 --truncate 20,50", 22),
    ],
)
def test_a_cosine_ends_with_the_training(told, options, steps):
    batch = "" if "lanes" in options else "--batch-size 2"
    _, more = told(f"{options} {batch} --epochs 2 --schedule cosine")
    assert more["schedule"](2 * steps) == 0 < more["schedule"](2 * steps - 1)


# texts as lanes


def test_lanes(told):
    (_, lanes, y), more = told("--task text --data text --lanes 4")
    known = [sorted(set(TEXT)).index(character) for character in TEXT[: len(TEXT) * 9 // 10]]
    assert (lanes.count, lanes.tokens.tolist(), lanes.tokens.dtype) == (4, known, np.uint8)
    assert y is None
    assert (more["truncate"], more["shuffle"], more["validation"]) == ((64, 64), False, None)
    assert told("--task text --data text --lanes 4 --window 9")[1]["truncate"] == (9, 9)
    assert told("--task text --data text --lanes 4 --truncate 9,12")[1]["truncate"] == (9, 12)


def test_lanes_hold_back_the_end(told):
    (_, lanes, _), more = told("--task text --data text --lanes 4 --validation 0.25")
    x, y, lengths = more["validation"]
    known = [sorted(set(TEXT)).index(character) for character in TEXT[: len(TEXT) * 9 // 10]]
    cut = len(known) * 3 // 4
    assert lanes.tokens.tolist() == known[:cut]
    assert (x.tolist(), y.tolist(), lengths) == ([known[cut:-1]], [known[cut + 1 :]], None)


def test_an_empty_text(capsys, tmp_path):
    (tmp_path / "text").touch()
    assert main(["train", "--task", "text", "--data", f"{tmp_path}/text"]) == 1
    expected = f"rnn-xp: error: {tmp_path}/text: a text must hold at least one character; got none.\n"
    assert capsys.readouterr().err.endswith(expected)


# what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--truncate 7,5", "argument --truncate: `truncate` must be K1,K2 with K2 >= K1; got 7,5."),
        ("--truncate 1,2,3", "argument --truncate: `truncate` must be one number or two; got 1,2,3."),
        ("--truncate 0", "argument --truncate: `truncate` must be an integer of at least 1; got 0."),
        ("--truncate x,1", "`truncate` must be an integer of at least 1; got 'x'."),
        ("--recompute 0", "`recompute` must be an integer of at least 1; got 0."),
        ("--accumulate 0", "`accumulate` must be an integer of at least 1; got 0."),
        ("--zoneout 1", "argument --zoneout: `zoneout` must be a finite number >= 0 and < 1; got 1."),
        ("--zoneout 0.1,x", "`zoneout` must be a number; got 'x'."),
        ("--zoneout 0.1,0.1,0.1", "`zoneout` must be one number or two; got 0.1,0.1,0.1."),
        ("--zoneout 0.1,0.2", "argument --zoneout: not here: the state of --cell rnn is h alone."),
        ("--save-every 0 --out x", "`save-every` must be a finite number > 0; got 0."),
        ("--save-every 5", "argument --save-every: not here: it goes with --out."),
        ("--nonfinite hope", "argument --nonfinite: invalid choice: 'hope'"),
        ("--lanes 3", "argument --lanes: not here: it goes with --task text."),
        ("--bucket", "argument --bucket: not here: its sequences are all of one length."),
        ("--task text --bucket", "argument --bucket: not here: its sequences are all of one length."),
        ("--residual", "argument --residual: not here: it goes with --num-layers above 1."),
        ("--variational", "argument --variational: not here: it goes with --dropout."),
        (
            "--bidirectional --truncate 3",
            "--truncate: not here: a bidirectional model needs whole sequences.",
        ),
        ("--pool mean --truncate 3", "argument --truncate: not here: --pool mean needs whole sequences."),
        ("--task japanese-vowels --truncate 3", "argument --truncate: not here: a bidirectional model"),
        ("--task text --lanes 3 --batch-size 4", "--batch-size: not here: the lanes are the batch."),
        ("--task text --lanes 3 --accumulate 2", "--accumulate: not here: the lanes are the batch."),
        ("--task text --lanes 3 --shuffle", "argument --shuffle: not here: lanes are read in order."),
        (
            "--task text --lanes 3 --truncate 5 --window 5",
            "argument --window: not here: --truncate says how long windows are.",
        ),
    ],
)
def test_usage(capsys, options, message):
    assert main(["train", *options.split()]) == 2
    assert message in capsys.readouterr().err


# what is stored of them


@pytest.mark.parametrize(
    "options",
    [
        ("--lr=0.1", "--clip-norm=none", "--clip-value=1e-300", "--no-shuffle", "--bidirectional"),
        ("--truncate=3,5", "--recompute", "--zoneout=0.1,0.3333333333333333", "--residual", "--bucket"),
        ("--truncate=4", "--recompute=7", "--zoneout=0.1", "--validation=0.2", "--pool=last"),
        ("--nonfinite=rollback", "--task=text", "--lanes=3", "--seed=4294967295"),
    ],
)
def test_options_are_written_as_they_were_read(options):
    given = parsed(*options)
    assert parsed(*as_options(given)) == given


def test_files_are_named_from_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = parsed("--data=-a b.npz", "--test=sub/../c.npz", "--out=run", "--json", "--quiet", "--epochs=3")
    again = parsed(*as_options(given))
    assert again == {
        "data": os.path.join(tmp_path, "-a b.npz"),
        "test": os.path.join(tmp_path, "c.npz"),
        "epochs": 3,
    }
    assert settle({**again, "out": "run"}) == settle({**given, **again, "json": False, "quiet": False})
