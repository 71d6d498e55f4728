"""A training as a description and tensors, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_xp import tree
from rnn_xp.container import read_extra, read_file, write_file
from rnn_xp.distributed import together
from rnn_xp.distributed.agree import tell
from rnn_xp.layers import Context
from rnn_xp.safetensors import CheckpointError
from rnn_xp.train.loop.sums import Snapshot, Sums
from rnn_xp.train.loop.training import Training
from rnn_xp.train.saving import described
from rnn_xp.typing import Tree

Host = NDArray[Any]
Packed = tuple[dict[str, Any], dict[str, Host]]
Shapes = dict[str, tuple[tuple[int, ...], str]]


def write(path: Any, packed: Packed, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Write everything that a training needs to go on, and what it must be asked for again."""
    description, tensors = packed
    write_file(path, "training", {**description, "arguments": arguments, "extra": extra}, tensors)


def read(path: Any, training: Training, arguments: Mapping[str, Any]) -> None:
    """Put a training that has not begun where a file says, which the first rank reads.

    Raises
    ------
    ValueError
        If its arguments are others.
    CheckpointError
        If the file is damaged or cannot be one of this training.
    """
    ranks = training.stepper.total.ranks
    packed: Packed = ({}, {})
    with together(ranks):
        if ranks.rank == 0:
            packed = _read(path, training, arguments)
    description, tensors = packed
    if ranks.size > 1:
        description = json.loads(tell(ranks, json.dumps(description)))
        for name, (shape, dtype) in shapes(training, description).items():
            tensors.setdefault(name, np.empty(shape, dtype))
            ranks.broadcast(tensors[name])
    unpack(training, description, tensors)


def _read(path: Any, training: Training, arguments: Mapping[str, Any]) -> Packed:
    """Return what a file says of a training."""
    other: list[str] = []

    def expect(description: dict[str, Any]) -> Shapes:
        stored = description["arguments"]
        if stored.keys() != arguments.keys():
            msg = "its arguments are none of a training"
            raise CheckpointError(msg)
        other.extend(name for name in arguments if stored[name] != arguments[name])
        if other:
            msg = "it is of another training"
            raise CheckpointError(msg)
        return shapes(training, description)

    try:
        description, tensors = read_file(path, "training", expect)
    except CheckpointError:
        if other:
            read_extra(path)  # whose digest tells whether it is the file that is wrong
            names = ", ".join(f"`{name}`" for name in other)
            were, others, ones = (
                ("it was", "another", "one") if len(other) == 1 else ("they were", "others", "ones")
            )
            must = f"{names} must be as {were} when the checkpoint {path} was written"
            msg = f"{must}; got {others}. Give the same {ones}, or another `checkpoint`."
            raise ValueError(msg) from None
        raise
    try:
        described.check_values(description, tensors)
    except CheckpointError as error:
        msg = f"`{path}` cannot be loaded: {error}."
        raise CheckpointError(msg) from None
    return description, tensors


def pack(training: Training) -> Packed:
    """Return what describes the state of a training, as JSON values and tensors: the same on all ranks."""
    stepper, sums = training.stepper, training.sums
    names = list(training.history[0]) if training.history else []
    optimizer = dict(tree.named_leaves(stepper.state))
    description: dict[str, Any] = {name: getattr(training, name) for name in described.COUNTERS}
    description |= {
        "finished": training.finished,
        "seconds": training.seconds,
        "steps": stepper.steps,
        "bad": stepper.first_bad() if training.plan.policy.patient else None,
        "sums": _numbers(sums),
        "optimizer": described.counters(optimizer),
        "history": names,
        "carried": training.carried is not None,
        "best": training.best is not None,
        "snapshot": None,
    }
    arrays = {"weights": stepper.flat, **_named("optimizer", optimizer)}
    if training.best is not None:
        arrays["best"] = training.best
    tensors = {"sums": _floats(sums), "history": _table(training.history, names)}
    if training.snapshot is not None:
        before = training.snapshot
        own = dict(tree.named_leaves(before.state))
        description["snapshot"] = {"sums": _numbers(before.sums), "optimizer": described.counters(own)}
        arrays |= {"snapshot.weights": before.flat, **_named("snapshot.optimizer", own)}
        tensors["snapshot.sums"] = _floats(before.sums)
    if training.carried is not None:
        for part, state in enumerate(_collected(training)):
            tensors |= _named(f"carried.{part}", dict(tree.named_leaves(state)))
    return description, tensors | {name: stepper.backend.to_numpy(array) for name, array in arrays.items()}


def shapes(training: Training, description: Mapping[str, Any]) -> Shapes:
    """Return the shapes and dtypes of the tensors that belong to a description; check it."""
    described.check(training, description)
    stepper = training.stepper
    precision = stepper.backend.precision
    flat = (tuple(stepper.flat.shape), precision)
    state = dict(tree.named_leaves(stepper.state))

    def of(prefix: str) -> Shapes:
        """Return those of weights, optimiser and sums."""
        leaves = _named(f"{prefix}optimizer", state)
        own = {name: (tuple(leaf.shape), precision) for name, leaf in leaves.items()}
        return {f"{prefix}weights": flat, f"{prefix}sums": ((2,), "float64"), **own}

    expected = of("")
    expected["history"] = ((description["epoch"] - 1, len(description["history"])), "float64")
    if description["best"]:
        expected["best"] = flat
    if description["snapshot"] is not None:
        expected |= of("snapshot.")
    if description["carried"]:
        for part, state_0 in enumerate(_states(training, description["batch"])):
            for name, leaf in tree.named_leaves(state_0):
                expected[f"carried.{part}.{name}"] = (tuple(leaf.shape), precision)
    return expected


def unpack(training: Training, description: Mapping[str, Any], tensors: Mapping[str, Host]) -> None:
    """Put a training that has not begun where a description and its tensors say."""
    stepper, own = training.stepper, training.stepper.backend.asarray
    fresh = stepper.state

    def optimizer(prefix: str, part: Mapping[str, Any]) -> Any:
        def one(name: str, leaf: Any) -> Any:
            return own(tensors[f"{prefix}{name}"]) if hasattr(leaf, "dtype") else part["optimizer"][name]

        return tree.unflatten(fresh, [one(name, leaf) for name, leaf in tree.named_leaves(fresh)])

    def sums(prefix: str, part: Mapping[str, Any]) -> Sums:
        wide = stepper.xp.float64
        norm, loss = (own(value, wide) for value in tensors[f"{prefix}sums"])
        return Sums(loss, norm, *part["sums"])

    for name in (*described.COUNTERS, "finished", "seconds"):
        setattr(training, name, description[name])
    stepper.steps = description["steps"]
    stepper.flat[...] = own(tensors["weights"])
    stepper.state = optimizer("optimizer.", description)
    stepper.mark(description["bad"])
    training.sums = sums("", description)
    training.history = _records(tensors["history"], description["history"])
    training.best = own(tensors["best"]) if description["best"] else None
    before = description["snapshot"]
    if before is not None:
        state = optimizer("snapshot.optimizer.", before)
        training.snapshot = Snapshot(own(tensors["snapshot.weights"]), state, sums("snapshot.", before))
    if description["carried"]:
        like = _states(training, training.batch)
        leaves = [
            tensors[f"carried.{part}.{name}"]
            for part, state_0 in enumerate(like)
            for name, _ in tree.named_leaves(state_0)
        ]
        training.carried = _own(training, tree.unflatten(like, leaves))


def _states(training: Training, batch: int) -> list[Tree]:
    """Return host states of the batches that one process makes of a step, of whatever values."""
    stepper, source = training.stepper, training.plan.source
    model, backend = stepper.model, stepper.backend
    count, unit = len(source.chosen(None, batch)), source.unit
    kind, size, _ = model.intake
    states = []
    for start in range(0, count, unit):
        B = min(unit, count - start)
        x = np.zeros((1, B), np.int64) if kind == "tokens" else np.zeros((1, B, size or 1))
        state = model.run(stepper.params, backend.asarray(x), None, Context(backend.xp))[1]
        states.append(tree.map(backend.to_numpy, state))
    return states


def _whole(states: list[Tree]) -> list[Host]:
    """Return the leaves (L, B, H) of states, those of all batches of a step side by side."""
    return [np.concatenate(leaves, axis=1) for leaves in zip(*map(tree.leaves, states), strict=True)]


def _collected(training: Training) -> list[Tree]:
    """Return the states that are carried, in all processes, by the batches of one."""
    assert training.carried is not None
    like = _states(training, training.batch)
    whole = [np.zeros_like(leaf) for leaf in _whole(like)]
    for own, state in zip(_places(training), training.carried, strict=True):
        for leaf, part in zip(whole, tree.leaves(state), strict=True):
            leaf[:, own] = training.stepper.backend.to_numpy(part)
    for leaf in whole:
        training.stepper.total.ranks.sum(leaf)
    starts = np.cumsum([tree.leaves(state)[0].shape[1] for state in like])[:-1]
    parts = zip(*(np.split(leaf, starts, axis=1) for leaf in whole), strict=True)
    return [tree.unflatten(state, list(own)) for state, own in zip(like, parts, strict=True)]


def _own(training: Training, states: list[Tree]) -> list[Tree]:
    """Return, of the states of all, those that this process carries on."""
    whole, asarray = _whole(states), training.stepper.backend.asarray
    return [tree.unflatten(states[0], [asarray(leaf[:, own]) for leaf in whole]) for own in _places(training)]


def _places(training: Training) -> list[NDArray[np.int64]]:
    """Return the places in the step of the sequences of each batch of this process, also before `run`."""
    order = training.plan.order.of(training.epoch)
    return training.plan.source.samples(order, training.batch)


def _named(prefix: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays among the leaves of a state, under their names."""
    return {f"{prefix}.{name}": leaf for name, leaf in leaves.items() if hasattr(leaf, "dtype")}


def _numbers(sums: Sums) -> list[Any]:
    """Return what of the sums the host knows."""
    return [sums.total, sums.steps]


def _floats(sums: Sums) -> Host:
    """Return what of the sums the device knows."""
    return np.array([float(sums.norm), float(sums.loss)])


def _table(history: list[dict[str, Any]], names: list[str]) -> Host:
    """Return records, which all have these names, as rows."""
    rows = [[record[name] for name in names] for record in history]
    return np.array(rows, np.float64).reshape(len(history), len(names))


def _records(table: Host, names: list[str]) -> list[dict[str, Any]]:
    """Return rows as records."""
    kinds = [int if name in described.INTEGERS else float for name in names]
    return [{name: kind(x) for name, kind, x in zip(names, kinds, row, strict=True)} for row in table]
