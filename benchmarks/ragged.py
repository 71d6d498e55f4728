"""Recorded sequences of unequal length, in batches of similar length and in any: accuracy, padding, seconds.

    python benchmarks/ragged.py [--only NAME ...] [--seeds 5] [--epochs N] [--out FILE]

The sequences lie in the wheels of aeon and sktime. Both ways of batching train in turns, from the same seeds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from statistics import mean, median, stdev
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from record import write

import rnn_xp as rx

WAYS = {"any": False, "similar": True}  # the lengths in a batch; what `fit(bucket=...)` is


class Task(NamedTuple):
    """Two parts of a data set, and how it is learnt."""

    title: str
    read: Callable[[], tuple[rx.data.Dataset, rx.data.Dataset]]
    model: Callable[[int, int], rx.Sequential]  # of channels and classes
    lr: float
    batch_size: int
    epochs: int


def gestures(channels: int, classes: int) -> rx.Sequential:
    """Return a network that reads both ways."""
    return rx.Sequential(rx.GRU(channels, 32, bidirectional=True), rx.MeanPool(), rx.Linear(64, classes))


def appliances(channels: int, classes: int) -> rx.Sequential:
    """Return a network that reads both ways, and answers at the ends."""
    return rx.Sequential(rx.GRU(channels, 128, bidirectional=True), rx.LastStep(), rx.Linear(256, classes))


def framed_plaid() -> tuple[rx.data.Dataset, rx.data.Dataset]:
    """Return PLAID, 20 samples a step, their range compressed: currents differ by powers of ten."""
    train, test = rx.data.plaid()
    return framed(train), framed(test)


def framed(data: rx.data.Dataset, size: int = 20) -> rx.data.Dataset:
    """Put so many samples into one step."""
    N, T, _ = data.X.shape
    steps = -(-T // size)
    X = np.zeros((N, steps * size))
    X[:, :T] = np.arcsinh(data.X[:, :, 0])
    assert data.lengths is not None
    return data._replace(X=X.reshape(N, steps, size), lengths=-(-data.lengths // size), features=())


TASKS = {
    "pickup_gesture": Task(
        "PickupGestureWiimoteZ: ten gestures", rx.data.pickup_gesture, gestures, 0.01, 10, 150
    ),
    "plaid": Task("PLAID: eleven appliances, 20 samples a step", framed_plaid, appliances, 0.003, 16, 100),
}


def run(
    task: Task, train: rx.data.Dataset, test: rx.data.Dataset, seed: int, bucket: bool, epochs: int
) -> dict[str, Any]:
    """Train once; return what it reached, and what an epoch took."""
    assert train.classes is not None
    model = task.model(train.X.shape[2], len(train.classes))
    batches = -(-len(train.X) // task.batch_size)
    result = rx.fit(
        model,
        train.X,
        train.y,
        lengths=train.lengths,
        optimizer=rx.Adam(task.lr),
        schedule=rx.schedules.cosine(epochs * batches),
        clip_norm=1.0,
        epochs=epochs,
        batch_size=task.batch_size,
        bucket=bucket,
        seed=seed,
        backend="numpy",
        verbose=False,
    )
    scores = rx.evaluate(model, result.params, test.X, test.y, lengths=test.lengths)
    return {
        "seed": seed,
        "accuracy": scores["accuracy"],
        "last_loss": result.history[-1]["loss"],
        "padding": mean(epoch["padding"] for epoch in result.history),
        "seconds": median(epoch["seconds"] for epoch in result.history),
    }


def scaled(train: rx.data.Dataset, test: rx.data.Dataset) -> tuple[rx.data.Dataset, rx.data.Dataset]:
    """Shift and divide the channels of both by what the training part says."""
    scaling = rx.data.fit_scaling(train.X.swapaxes(0, 1), train.lengths)
    return train._replace(X=scaling.apply(train.X)), test._replace(X=scaling.apply(test.X))


def about(train: rx.data.Dataset, test: rx.data.Dataset) -> dict[str, Any]:
    """Return the sizes of a data set."""
    lengths: NDArray[np.int64] = np.concatenate([part.lengths for part in (train, test)])  # type: ignore[list-item]
    return {
        "train": len(train.X),
        "test": len(test.X),
        "shortest": int(lengths.min()),
        "longest": int(lengths.max()),
        "padding_of_the_whole": 1 - float(np.mean(train.lengths)) / train.X.shape[1],  # type: ignore[arg-type]
    }


def summed_up(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return each way's means, and how far apart their accuracies are in what the seeds alone would do."""
    ways = {
        way: {
            "accuracy": mean(each["accuracy"] for each in own),
            "padding": mean(each["padding"] for each in own),
            "seconds": median(each["seconds"] for each in own),
        }
        for way, own in runs.items()
    }
    pairs = zip(runs["similar"], runs["any"], strict=True)
    differences = [similar["accuracy"] - usual["accuracy"] for similar, usual in pairs]
    noise = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    return {
        **ways,
        "accuracy_difference": mean(differences),
        "standard_error": noise,
        "times_as_fast": ways["any"]["seconds"] / ways["similar"]["seconds"],
    }


def measure(task: Task, seeds: int, epochs: int | None) -> dict[str, Any]:
    """Train both ways from each seed, in turns."""
    parts = task.read()
    train, test = scaled(*parts)
    epochs = task.epochs if epochs is None else epochs
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        for way in list(WAYS) if seed % 2 == 0 else list(WAYS)[::-1]:  # neither is always first
            runs[way].append(run(task, train, test, seed, WAYS[way], epochs))
            print(f"  seed {seed}, {way:8s} " + told(runs[way][-1]), flush=True)
    settings = {"lr": task.lr, "batch_size": task.batch_size, "epochs": epochs}
    return {"title": task.title, **about(*parts), "settings": settings, "mean": summed_up(runs), "runs": runs}


def told(numbers: dict[str, Any]) -> str:
    """Return accuracy, padding and seconds in words."""
    return "accuracy {accuracy:.3f}  padding {padding:.1%}  {seconds:.3f} s an epoch".format(**numbers)


def table(record: dict[str, Any]) -> list[str]:
    """Return the lines of the README's table."""
    lines = [
        "| data | lengths | batches of | padding | s an epoch | accuracy of the seeds |",
        "|---|---|---|---|---|---|",
    ]
    for task in record["tasks"].values():
        both = task["mean"]
        first = f"{task['title']} ({task['train']} + {task['test']})"
        lengths = f"{task['shortest']} to {task['longest']}"
        for way, words in (("any", "any lengths"), ("similar", "similar lengths (`bucket=True`)")):
            own, seeds = both[way], [each["accuracy"] for each in task["runs"][way]]
            error = stdev(seeds) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan
            faster = f", {both['times_as_fast']:.1f} times as fast" if way == "similar" else ""
            lines.append(
                f"| {first} | {lengths} | {words} | {own['padding']:.0%} | {own['seconds']:.2f}{faster} | "
                f"{own['accuracy']:.3f} ± {error:.3f} |"
            )
            first = lengths = ""
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="fewer than each task's own: a trial")
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()

    results: dict[str, Any] = {}
    for name in arguments.only:
        print(TASKS[name].title, flush=True)
        results[name] = measure(TASKS[name], arguments.seeds, arguments.epochs)
        both = results[name]["mean"]
        for way in WAYS:
            print(f"{way:8s} " + told(both[way]))
        difference, noise = both["accuracy_difference"], both["standard_error"]
        print(
            f"accuracy: {difference:+.3f}, standard error {noise:.3f}; {both['times_as_fast']:.2f} x as fast"
        )
    packages = ["rnn_xp", "numpy", "aeon", "sktime"]
    write(arguments.out, "ragged", packages, {"seeds": arguments.seeds, "tasks": results})


if __name__ == "__main__":
    main()
