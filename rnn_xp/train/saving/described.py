"""What the checkpoint of a training may say: all that no training can have written is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import tree
from rnn_xp.safetensors import CheckpointError
from rnn_xp.train.feed.windows import Group
from rnn_xp.train.loop.policy import ROLLBACKS
from rnn_xp.train.loop.training import Training

COUNTERS = ("epoch", "batch", "window", "taken", "skipped", "rollbacks", "since", "in_a_row", "best_epoch")
KEYS = {
    *COUNTERS,
    *("finished", "seconds", "steps", "bad", "sums", "optimizer", "history", "carried", "best", "snapshot"),
    *("arguments", "extra"),
}
INTEGERS = ("epoch", "skipped", "rollbacks")  # of the history; the rest of it are floats
MOST = 2**32  # of whatever is counted

_RECORD = ("epoch", "loss", "gradient_norm", "lr", "seconds", "sequences_per_second")


def check(training: Training, said: Mapping[str, Any]) -> None:
    """Refuse a description that no training with these arguments has."""
    plan = training.plan
    unlike = sorted(KEYS ^ set(said))
    _check(unlike[0] if unlike else "", not unlike)
    for name in (*COUNTERS, "steps"):
        _check(name, _counts(said[name]))
    for name in ("finished", "carried", "best"):
        _check(name, type(said[name]) is bool)
    _check("seconds", _positive(said["seconds"]))
    epoch, done, counts = said["epoch"], said["epoch"] - 1, plan.policy.counts
    _check("epoch", 1 <= epoch <= plan.epochs + 1)
    _check("finished", epoch > 1 if said["finished"] else epoch <= plan.epochs)
    _check("best_epoch", min(1, done) <= said["best_epoch"] <= done)
    _check("best", said["best"] == (training.keeps_best and done > 0))
    _check("history", type(said["history"]) is list)
    _check("history", said["history"] == (_names(training, said["history"]) if done else []))

    taken, since = said["taken"], said["since"]
    _place(training, said)
    _check("steps", taken + done <= said["steps"] and (done > 0 or taken == said["steps"]))
    _check("since", since <= taken and since < plan.policy.every)
    for name in ("skipped", "rollbacks"):
        _check(name, said[name] <= (taken if name in counts else 0))
    _check("in_a_row", said["in_a_row"] < (ROLLBACKS if "rollbacks" in counts else 1))
    bad = said["bad"]
    patient = since if plan.policy.patient else 0
    _check("bad", bad is None or (_counts(bad) and 0 < said["steps"] - bad <= patient))
    begun = (said["batch"], said["window"]) != (0, 0)
    _check("snapshot", (said["snapshot"] is not None) == (plan.policy.patient and begun))
    _state(training, said)
    steps = said["sums"][1]
    _check("sums", steps <= taken if plan.policy.patient else steps == taken - said["skipped"])
    if said["snapshot"] is not None:
        _check("snapshot", set(said["snapshot"]) == {"sums", "optimizer"})
        _state(training, said["snapshot"])
        _check("snapshot", said["snapshot"]["sums"][1] <= steps)


def check_values(said: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Refuse tensors that no training with this description has: what is kept is finite."""
    undecided = said["bad"] is not None  # a stretch that will be rolled back: its own sums and states may be
    for name, tensor in tensors.items():
        own = undecided and name.startswith(("sums", "optimizer.", "carried."))
        _check(name, own or bool(np.isfinite(tensor).all()))
    table = dict(zip(said["history"], tensors["history"].T, strict=True))
    if not table:
        return
    _check("history", table["epoch"].tolist() == list(range(1, said["epoch"])))
    for name in (*INTEGERS, "seconds", "padding"):
        column = table.get(name, np.zeros(0))
        fine = column >= 0 if name not in INTEGERS else (column >= 0) & (column < MOST) & (column % 1 == 0)
        _check("history", bool(fine.all()))
    scores = table["val_loss" if "val_loss" in table else "loss"]
    _check("best_epoch", said["best_epoch"] == 1 + int(np.argmin(scores)))


def counters(leaves: Mapping[str, Any]) -> dict[str, int]:
    """Return what of a state the host counts."""
    return {name: leaf for name, leaf in leaves.items() if not hasattr(leaf, "dtype")}


def _place(training: Training, said: Mapping[str, Any]) -> None:
    """Check that there is such a place in the epoch, with so many steps before it, and what it carries."""
    plan, batch, window = training.plan, said["batch"], said["window"]
    if said["finished"]:
        _check("batch", batch == 0)
    _check("batch", batch <= len(plan.source))
    _check("window", window == 0 or batch < len(plan.source))
    order = plan.order.of(said["epoch"])
    carry = 0
    if window:
        group = next(iter(plan.source.groups(order, batch)))
        there = isinstance(group, Group) and window < len(group) and group.counts_from(window)
        _check("window", there)
        carry = group.window(window - 1).carry
    must = bool(carry) and not plan.policy.counts  # others begin anew after a step that was left out
    _check("carried", must <= said["carried"] <= bool(carry))
    before = sum(place < (batch, window) for place in plan.source.places(order))
    _check("taken", said["taken"] == before)


def _state(training: Training, part: Mapping[str, Any]) -> None:
    """Check the optimiser's counters and the sums."""
    known = counters(dict(tree.named_leaves(training.stepper.state)))
    _check("optimizer", part["optimizer"].keys() == known.keys())
    _check("optimizer", all(map(_counts, part["optimizer"].values())))
    _check("sums", type(part["sums"]) is list and len(part["sums"]) == 2)
    total, steps = part["sums"]
    _check("sums", _positive(total) and _counts(steps) and (total > 0) == (steps > 0))


def _names(training: Training, names: list[Any]) -> list[str]:
    """Return what the records of this training hold, with the scores of its own that `names` tell."""
    plan = training.plan
    padding = () if plan.source.padding(None) is None else ("padding",)
    known = [*_RECORD, *padding, *plan.policy.counts]
    if plan.score is None:
        return known
    scores = [str(name) for name in names[len(known) :]]
    fine = scores[:1] == ["val_loss"] and all(name.startswith("val_") for name in scores)
    return [*known, *(scores if fine and len(set(scores)) == len(scores) else ["val_loss"])]


def _counts(value: Any) -> bool:
    """Say whether a value is a number of things."""
    return type(value) is int and 0 <= value < MOST


def _positive(value: Any) -> bool:
    """Say whether a value is a finite float of at least 0."""
    return type(value) is float and math.isfinite(value) and value >= 0


def _check(name: str, holds: bool) -> None:
    """Refuse a description that no training has."""
    if not holds:
        msg = f"its {name!r} is none of this training"
        raise CheckpointError(msg)
