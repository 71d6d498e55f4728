"""How the samples in a step and the recipe were chosen: by cross-validation within the training parts.

First the frames, set by set, with the recipe that it starts from; then that recipe beside its neighbours,
over the sets. The highest accuracy wins, and of equal ones the one with the least loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import Any

import numpy as np

import rnn_xp as rx
from accuracy_runs import by_rnn_xp
from accuracy_runs.sets import Recipe, framed, part, scaled

FOLDS = 5

FRAMES = {
    "JapaneseVowels": (1, 2),
    "BasicMotions": (2, 5, 10),
    "ItalyPowerDemand": (1, 2, 3),
    "GunPoint": (3, 6, 10, 15),
    "PickupGestureWiimoteZ": (4, 8, 16),
    "ACSF1": (10, 20, 40, 60),
}

START = Recipe("GRU", 64, "MaxPool", 0.2, 0.01, 16, 400)

RECIPES = {
    "as it starts": START,
    "LSTM": START._replace(cell="LSTM"),
    "128 units": START._replace(hidden=128),
    "no dropout": START._replace(dropout=0.0),
    "dropout 0.5": START._replace(dropout=0.5),
    "learning rate 0.003": START._replace(lr=0.003),
    "the mean state": START._replace(pool="MeanPool"),
}


def compared(parts: dict[str, rx.data.Dataset]) -> dict[str, Any]:
    """Compare all of them on training parts; return their scores, and the best of each kind."""
    frames: dict[str, dict[int, Any]] = {}
    for name, train in parts.items():
        frames[name] = {}
        for size in FRAMES[name]:
            frames[name][size] = validated(START, framed(train, size))
            told(f"{name}, {size} in a step", frames[name][size])
    sizes = {name: best(scores) for name, scores in frames.items()}
    recipes: dict[str, Any] = {}
    for title, recipe in RECIPES.items():
        own = {
            name: frames[name][size] if recipe == START else validated(recipe, framed(parts[name], size))
            for name, size in sizes.items()
        }
        means = {key: mean(scores[key] for scores in own.values()) for key in ("accuracy", "loss")}
        recipes[title] = {**means, "sets": own}
        told(title, means)
    found = {"frames": sizes, "recipe": RECIPES[best(recipes)]._asdict()}
    return {"folds": FOLDS, "frames": frames, "recipes": recipes, "best": found}


def best(scores: dict[Any, Any]) -> Any:
    """Return the name of the highest accuracy, or, of equal ones, the least loss."""
    return max(scores, key=lambda name: (scores[name]["accuracy"], -scores[name]["loss"]))


def validated(recipe: Recipe, data: rx.data.Dataset) -> dict[str, float]:
    """Return accuracy and loss on the sequences left out, about a hundred of them or all."""
    accuracies, losses = [], []
    for repeat in range(max(1, round(100 / len(data.X)))):
        for left_out in folds(data.y, FOLDS, repeat):
            train, held = scaled(*(part(data, rows) for rows in (np.flatnonzero(~left_out), left_out)))
            probabilities, _ = by_rnn_xp.learn(recipe, train, held, repeat, recipe.epochs(len(train.X)))
            of_truth = probabilities[np.arange(len(held.y)), held.y]
            accuracies.extend(probabilities.argmax(axis=1) == held.y)
            losses.extend(-np.log(np.maximum(of_truth, 1e-9)))
    return {"accuracy": float(np.mean(accuracies)), "loss": float(np.mean(losses))}


def folds(y: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yield what to leave out each time: (N,) of bool, every class in as equal shares as can be."""
    random = np.random.default_rng(seed)
    fold = np.empty(len(y), int)
    for label in np.unique(y):
        rows = random.permutation(np.flatnonzero(y == label))
        fold[rows] = (np.arange(len(rows)) + random.integers(count)) % count
    for each in range(count):
        yield fold == each


def told(what: str, scores: dict[str, Any]) -> None:
    """Print a line of progress."""
    print(f"{what:40s} accuracy {scores['accuracy']:.3f}  loss {scores['loss']:.3f}", flush=True)
