"""The benchmark of accuracy: its arithmetic, that it runs on made data without PyTorch, and its table."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from rnn_xp import data

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def accuracy(monkeypatch):
    """Load the benchmark as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("accuracy", BENCHMARKS / "accuracy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parts():
    """Make thirty training and thirty test sequences of unequal length."""
    made = [data.sign_of_sum(30, 12, seed) for seed in range(2)]
    lengths = [np.random.default_rng(seed).integers(2, 13, 30) for seed in range(2)]
    return tuple(part._replace(lengths=own) for part, own in zip(made, lengths, strict=True))


def first_class(recipe, train, test, seed, epochs):
    """Answer the first class always, without training."""
    return np.tile([1.0, 0.0], (len(test.X), 1)), 0.7


def test_frames_hold_the_samples_in_order(accuracy):
    X = np.arange(1.0, 13.0).reshape(1, 6, 2)[:, :5]
    framed = accuracy.framed(data.Dataset(X, lengths=np.array([3])), size=2)
    assert framed.X.tolist() == [[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]]]
    assert framed.lengths.tolist() == [2]
    assert accuracy.framed(data.Dataset(X), size=2).lengths is None


def test_the_training_part_says_how_both_are_scaled(accuracy):
    train, test = (data.Dataset(np.array(values)[:, None, None]) for values in ([1.0, 5.0], [3.0, 9.0]))
    train, test = accuracy.scaled(train, test)
    np.testing.assert_allclose(train.X[:, 0, 0], [-1, 1])  # mean 3, deviation 2
    np.testing.assert_allclose(test.X[:, 0, 0], [0, 3])


def test_what_lies_past_the_ends_is_not_read(accuracy, parts):
    from accuracy_runs import by_rnn_xp

    def probabilities(filling):
        filled = []
        for part in parts:
            past = np.arange(12) >= part.lengths[:, None]
            filled.append(part._replace(X=np.where(past[:, :, None], filling, part.X)))
        return by_rnn_xp.learn(accuracy.Recipe(), *filled, seed=0, epochs=2)[0]

    np.testing.assert_array_equal(probabilities(0.0), probabilities(7.0))


def test_both_libraries_learn_from_each_seed(accuracy, parts, capsys):
    from accuracy_runs import by_rnn_xp

    task = accuracy.Task("signs", 2)
    learners = {"rnn_xp": by_rnn_xp.learn, "PyTorch": first_class}
    result = accuracy.measure(task, parts, learners, seeds=2, epochs=15)
    sizes = [result[name] for name in ("train", "test", "longest", "channels", "frame", "epochs")]
    assert sizes == [30, 30, 12, 1, 2, 15]
    assert [run["seed"] for run in result["runs"]["rnn_xp"]] == [0, 1]
    share = float((parts[1].y == 0).mean())
    assert result["mean"]["PyTorch"] == {"accuracy": share, "deviation": 0}
    assert result["mean"]["rnn_xp"]["accuracy"] > 0.65 > share  # the sums are of longer sequences
    assert result["runs"]["rnn_xp"][0]["last_loss"] < 0.3
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["rnn_xp", "PyTorch"] * 2


def test_a_recipe_takes_about_as_many_steps_of_any_set(accuracy):
    recipe = accuracy.Recipe(batch_size=16, steps=400)
    assert recipe.epochs(270) == 24  # of 17 batches
    assert recipe.epochs(16) == 400
    assert recipe.epochs(10**6) == 1


def test_means_and_noise(accuracy):
    runs = {
        "rnn_xp": [{"accuracy": 0.5}, {"accuracy": 0.7}],
        "PyTorch": [{"accuracy": 0.65}, {"accuracy": 0.5}],
    }
    both = accuracy.summed_up(runs)
    assert both["rnn_xp"] == pytest.approx({"accuracy": 0.6, "deviation": 0.2 / math.sqrt(2)})
    assert both["difference"] == pytest.approx(0.025)
    assert both["standard_error"] == pytest.approx(0.125)  # of 0.1 and 0.075, half the distances


def made_task(ours, theirs, error):
    both = {
        "rnn_xp": {"accuracy": ours, "deviation": 0.01},
        "PyTorch": {"accuracy": theirs, "deviation": 0.02},
    }
    own = {"title": "made", "train": 3, "test": 4, "mean": both}
    both.update(difference=ours - theirs, standard_error=error)
    return own


def test_the_table_says_who_is_ahead(accuracy):
    tasks = {"GunPoint": made_task(0.98, 0.99, 0.01), "BasicMotions": made_task(1.0, 0.9, 0.02)}
    lines = accuracy.table({"seeds": 5, "recipe": accuracy.Recipe(lr=0.25)._asdict(), "tasks": tasks})
    assert all(line.count("|") == 7 for line in lines[:4])
    assert lines[2] == (
        "| GunPoint: made (3 + 4) | 0.980 ± 0.010 | 0.990 ± 0.020 | 0.989 ± 0.004 TWIESN [1] "
        "| 1.000 LSTM-FCN [2] | 1.000 ± 0.000 FCN [1] |"
    )
    assert lines[3].endswith("| none found | none found | none found |")
    told = "+0.045 on average; within two standard errors on 1 of 2 sets; BasicMotions: +0.100."
    assert lines[5] == f"rnn_xp less PyTorch: {told}"
    assert lines[6] == (
        "Behind a published number: GunPoint by 0.009 (TWIESN), 0.020 (LSTM-FCN), 0.020 (FCN)."
    )
    assert "a GRU of 64 units" in lines[7]
    assert "Adam at 0.25 with" in lines[7]
    assert [line[:3] for line in lines[8:]] == ["", "[1]", "[2]"]  # the third source is of another set
    assert accuracy.behind({"BasicMotions": tasks["BasicMotions"]}).endswith(": nowhere.")


def test_every_published_number_has_a_set_and_a_source(accuracy):
    published = accuracy.published
    for results in published.GROUPS:
        assert results.keys() <= accuracy.TASKS.keys()
        assert all(result.source in published.SOURCES for result in results.values())
        assert all(0.5 < result.accuracy <= 1 for result in results.values())


def test_folds_leave_every_sequence_out_once(accuracy):
    y = np.repeat([0, 1, 2], [5, 10, 7])
    folds = np.array(list(accuracy.choice.folds(y, 5, seed=3)))
    assert folds.sum(axis=0).tolist() == [1] * 22
    assert folds[:, y == 0].sum(axis=1).tolist() == [1] * 5
    assert folds[:, y == 1].sum(axis=1).tolist() == [2] * 5
    others = [np.array(list(accuracy.choice.folds(y, 5, seed=seed))) for seed in range(10)]
    together = [bool((other[:, 5] == other[:, 10]).all()) for other in others]  # left out at the same time
    assert len(set(together)) == 2


def test_of_equal_accuracies_the_one_of_least_loss_is_chosen(accuracy):
    scores = {
        "a": {"accuracy": 0.9, "loss": 0.2},
        "b": {"accuracy": 0.9, "loss": 0.1},
        "c": {"accuracy": 0.8, "loss": 0.0},
    }
    assert accuracy.choice.best(scores) == "b"


def test_choosing_looks_at_the_training_part_alone(accuracy, parts, monkeypatch, capsys):
    choice = accuracy.choice
    monkeypatch.setattr(choice, "FRAMES", {"signs": (1, 6)})
    small = choice.START._replace(hidden=2)
    monkeypatch.setattr(choice, "RECIPES", {"as it starts": choice.START, "2 units": small})
    seen = []

    def learn(recipe, train, test, seed, epochs):
        seen.append((train.X.shape[2], recipe.hidden, (len(train.X), len(test.X)), seed))
        truth = np.eye(2)[test.y]
        return (truth if train.X.shape[2] == 6 else 1 - truth), 0.0

    monkeypatch.setattr(choice.by_rnn_xp, "learn", learn)
    found = choice.compared({"signs": parts[0]})
    assert found["best"] == {"frames": {"signs": 6}, "recipe": choice.START._asdict()}
    assert found["frames"]["signs"][1]["accuracy"] == 0
    assert {sum(sizes) for _, _, sizes, _ in seen} == {30}
    assert all(train > 3 * test for _, _, (train, test), _ in seen)
    assert [seed for _, _, _, seed in seen[:15]] == [0] * 5 + [1] * 5 + [2] * 5  # about a hundred sequences
    assert {(channels, hidden) for channels, hidden, _, _ in seen[30:]} == {(6, 2)}
    assert len(capsys.readouterr().out.splitlines()) == 4


RECORDS = BENCHMARKS / "results"


@pytest.mark.skipif(not (RECORDS / "accuracy_choice.json").exists(), reason="no record of the choice")
def test_the_sets_are_learnt_as_was_chosen(accuracy):
    found = json.loads((RECORDS / "accuracy_choice.json").read_text(encoding="utf-8"))
    assert found["best"]["frames"] == {name: task.frame for name, task in accuracy.TASKS.items()}
    assert found["best"]["recipe"] == accuracy.Recipe()._asdict()
    record = json.loads((RECORDS / "accuracy.json").read_text(encoding="utf-8"))
    assert record["recipe"] == accuracy.Recipe()._asdict()
    assert {name: task["frame"] for name, task in record["tasks"].items()} == found["best"]["frames"]
    assert all(
        len(runs) == record["seeds"] == 5
        for task in record["tasks"].values()
        for runs in task["runs"].values()
    )
