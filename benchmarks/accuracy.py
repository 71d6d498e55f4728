"""Accuracy on six archive data sets: rnn_xp, PyTorch on the same budget, and what others have published.

    python benchmarks/accuracy.py [--only NAME ...] [--seeds 5] [--epochs N] [--out FILE]
    python benchmarks/accuracy.py --choose [--only NAME ...] [--out FILE]

It needs the packages aeon, whose wheel holds the data, and torch. One recipe (`accuracy_runs.sets.Recipe`)
learns all the sets; it and the samples in a step were chosen by cross-validation of the training parts, which
--choose does again. The test parts are looked at once for each seed, at the end.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from statistics import mean, stdev
from typing import Any

from accuracy_runs import choice, published
from accuracy_runs.sets import TASKS, Recipe, Task, framed, read, scaled
from record import write

import rnn_xp as rx

Learner = Callable[..., Any]
"""(recipe, train, test, seed, epochs) -> probabilities for the test part, last loss."""


def run(
    learn: Learner, recipe: Recipe, train: rx.data.Dataset, test: rx.data.Dataset, seed: int, epochs: int
) -> dict[str, Any]:
    """Train once; return what it reached."""
    start = time.perf_counter()
    probabilities, loss = learn(recipe, train, test, seed, epochs)
    seconds = time.perf_counter() - start
    accuracy = float((probabilities.argmax(axis=1) == test.y).mean())
    return {"seed": seed, "accuracy": accuracy, "last_loss": loss, "seconds": seconds}


def measure(
    task: Task,
    parts: tuple[rx.data.Dataset, rx.data.Dataset],
    learners: Mapping[str, Learner],
    seeds: int,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Let each library learn a data set from each seed."""
    recipe = Recipe()
    train, test = scaled(*(framed(part, task.frame) for part in parts))
    epochs = recipe.epochs(len(train.X)) if epochs is None else epochs
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in learners}
    for seed in range(seeds):
        for name, learn in learners.items():
            runs[name].append(run(learn, recipe, train, test, seed, epochs))
            told = "accuracy {accuracy:.4f}  last loss {last_loss:.4f}  {seconds:.1f} s".format(
                **runs[name][-1]
            )
            print(f"  seed {seed}  {name:8s} {told}", flush=True)
    return {
        "title": task.title,
        "train": len(train.X),
        "test": len(test.X),
        "longest": max(part.X.shape[1] for part in parts),
        "channels": parts[0].X.shape[2],
        "frame": task.frame,
        "epochs": epochs,
        "mean": summed_up(runs),
        "runs": runs,
    }


def summed_up(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return means, sample standard deviations, and how far apart two libraries are beside their noise."""
    own = {name: [each["accuracy"] for each in each_run] for name, each_run in runs.items()}
    spread = {name: stdev(values) if len(values) > 1 else math.nan for name, values in own.items()}
    ours, theirs = own
    return {
        **{name: {"accuracy": mean(values), "deviation": spread[name]} for name, values in own.items()},
        "difference": mean(own[ours]) - mean(own[theirs]),
        "standard_error": math.hypot(*spread.values()) / math.sqrt(len(own[ours])),
    }


def table(record: dict[str, Any]) -> list[str]:
    """Return the lines of the page's table."""
    seeds = record["seeds"]
    lines = [
        f"| data (training + test) | rnn_xp, {seeds} seeds | PyTorch, same budget | recurrent, published "
        "| recurrent and convolutional, published | convolutional, published |",
        "|---|---|---|---|---|---|",
    ]
    for name, task in record["tasks"].items():
        both = task["mean"]
        cells = [
            f"{name}: {task['title']} ({task['train']} + {task['test']})",
            *(
                f"{both[side]['accuracy']:.3f} ± {both[side]['deviation']:.3f}"
                for side in ("rnn_xp", "PyTorch")
            ),
            *(cited(results.get(name)) for results in published.GROUPS),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    told = [beside_pytorch(record["tasks"]), behind(record["tasks"]), recipe_in_words(record["recipe"])]
    return [*lines, "", *told, "", *sources(record["tasks"])]


def cited(result: published.Result | None) -> str:
    """Return a published number as a cell."""
    if result is None:
        return "none found"
    digits = 2 if result.source == 3 else 3
    spread = "" if result.deviation is None else f" ± {result.deviation:.{digits}f}"
    return f"{result.accuracy:.{digits}f}{spread} {result.model} [{result.source}]"


def beside_pytorch(tasks: dict[str, Any]) -> str:
    """Say in how many sets the two libraries are level, and where they are not."""
    outside = {
        name: task["mean"]["difference"]
        for name, task in tasks.items()
        if abs(task["mean"]["difference"]) > 2 * task["mean"]["standard_error"]
    }
    apart = "".join(f"; {name}: {difference:+.3f}" for name, difference in outside.items())
    average = mean(task["mean"]["difference"] for task in tasks.values())
    return (
        f"rnn_xp less PyTorch: {average:+.3f} on average; within two standard errors on "
        f"{len(tasks) - len(outside)} of {len(tasks)} sets{apart}."
    )


def behind(tasks: dict[str, Any]) -> str:
    """Say where a published number is higher, and by how much."""
    told = []
    for name, task in tasks.items():
        results = [group[name] for group in published.GROUPS if name in group]
        gaps = [(result.accuracy - task["mean"]["rnn_xp"]["accuracy"], result.model) for result in results]
        if ahead := [f"{gap:.3f} ({model})" for gap, model in gaps if gap >= 0.0005]:
            told.append(f"{name} by {', '.join(ahead)}")
    return f"Behind a published number: {'; '.join(told) or 'nowhere'}."


def recipe_in_words(recipe: dict[str, Any]) -> str:
    """Say how every set was learnt, and how that was chosen."""
    return (
        f"One recipe for all: a {recipe['cell']} of {recipe['hidden']} units that reads both ways, the "
        f"largest state of each unit, dropout {recipe['dropout']:g}, Adam at {recipe['lr']:g} with a cosine, "
        f"batches of {recipe['batch_size']}, about {recipe['steps']} steps. It and the samples in a step "
        "were chosen by cross-validation of the training parts "
        "([accuracy_choice.json](benchmarks/results/accuracy_choice.json)). ± is the standard deviation."
    )


def sources(tasks: dict[str, Any]) -> list[str]:
    """Say where the published numbers stand."""
    used = {group[name].source for group in published.GROUPS for name in tasks if name in group}
    return [f"[{number}] {published.SOURCES[number]}<br>" for number in sorted(used)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="fewer than the recipe's: a trial")
    parser.add_argument("--choose", action="store_true", help="cross-validate the training parts instead")
    parser.add_argument("--out", metavar="FILE", help="write a JSON record")
    arguments = parser.parse_args()

    if arguments.choose:
        found = choice.compared({name: read(name)[0] for name in arguments.only})
        write(arguments.out, "accuracy --choose", ["rnn_xp", "numpy", "aeon"], found)
        return
    import torch
    from accuracy_runs import by_rnn_xp, by_torch

    torch.set_num_threads(1)
    learners = {"rnn_xp": by_rnn_xp.learn, "PyTorch": by_torch.learn}
    results: dict[str, Any] = {}
    for name in arguments.only:
        print(f"{name}: {TASKS[name].title}", flush=True)
        results[name] = measure(TASKS[name], read(name), learners, arguments.seeds, arguments.epochs)
        both = results[name]["mean"]
        for side in learners:
            print("  {:8s} {accuracy:.4f}, deviation {deviation:.4f}".format(side, **both[side]))
        print(
            f"  difference {both['difference']:+.4f}, standard error {both['standard_error']:.4f}", flush=True
        )
    what = {"seeds": arguments.seeds, "recipe": Recipe()._asdict(), "tasks": results}
    write(arguments.out, "accuracy", ["rnn_xp", "numpy", "torch", "aeon"], what)


if __name__ == "__main__":
    main()
