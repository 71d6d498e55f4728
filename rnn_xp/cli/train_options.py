"""The options of `rnn-xp train`."""

from __future__ import annotations

import argparse
from typing import Any

from rnn_xp.cli import values
from rnn_xp.cli.options import add_backend, add_columns, add_json, add_ranks
from rnn_xp.cli.settings import LR, OPTIMIZERS, TASKS, chosen
from rnn_xp.initializers import INITIALIZERS
from rnn_xp.model import LOSSES
from rnn_xp.table import table

USAGE = """%(prog)s [OPTION ...]
       %(prog)s --resume DIR [--data FILE] [--test FILE] [--recompute [BYTES]] [--save-every SECONDS]
                              [--distributed KIND] [--timeout SECONDS] [--json] [--quiet]"""


def add_train(parser: Any) -> None:
    """Add them in groups, each under a heading."""
    _data(parser.add_argument_group("what to learn"))
    _model(parser.add_argument_group("the model"))
    _training(parser.add_argument_group("the training"))
    _time(parser.add_argument_group("back-propagation through long sequences"))
    _place(parser.add_argument_group("where it runs, and what it writes"))


def defaults() -> str:
    """Write what each task chooses, as a table: a column for each task."""
    tasks = [chosen(task) for task in TASKS]
    rows = [[f"--{name.replace('_', '-')}", *(task[name] for task in tasks)] for name in tasks[0]]
    header = ["Defaults of", *("--data" if task == "data" else task for task in TASKS)]
    return table(header, rows)


def _data(group: Any) -> None:
    group.add_argument(
        "--task", choices=[task for task in TASKS if task != "data"], help="default: sign-of-sum"
    )
    group.add_argument(
        "--data", metavar="FILE", type=values.path, help=".npz, .csv or .ts; for --task text, UTF-8"
    )
    group.add_argument(
        "--test", metavar="FILE", type=values.path, help="a file like --data, to score the model on"
    )
    add_columns(group, "{}")
    group.add_argument(
        "--targets", choices=["classes", "numbers"], help="default: integers and text are classes"
    )
    group.add_argument(
        "--validation",
        metavar="SHARE",
        type=values.share("validation"),
        help="of the sequences, to find the best epoch",
    )
    group.add_argument("--window", metavar="T", type=values.whole("window"), help="steps of a window of text")
    group.add_argument(
        "--lanes",
        metavar="N",
        type=values.whole("lanes"),
        help="read a text as N contiguous lanes, window by window, the state carried; it may be larger than "
        "memory",
    )


def _model(group: Any) -> None:
    group.add_argument("--cell", choices=["rnn", "gru", "lstm"])
    group.add_argument("--hidden-size", metavar="H", type=values.whole("hidden-size"))
    group.add_argument("--embedding-size", metavar="E", type=values.whole("embedding-size"), help="of tokens")
    group.add_argument("--num-layers", metavar="L", type=values.whole("num-layers"))
    group.add_argument("--bidirectional", action=argparse.BooleanOptionalAction)
    group.add_argument("--residual", action="store_true", help="a layer adds its output to its input")
    group.add_argument("--layer-norm", action="store_true", help="normalise what goes into the gates")
    group.add_argument("--learn-state", action="store_true", help="the initial state is a parameter")
    group.add_argument(
        "--dropout",
        metavar="RATE",
        type=values.real("dropout", high=1.0),
        help="between layers and before the output",
    )
    group.add_argument(
        "--recurrent-dropout",
        metavar="RATE",
        type=values.real("recurrent-dropout", high=1.0),
        help="of the state before its matrix, the same at all steps",
    )
    group.add_argument("--variational", action="store_true", help="--dropout is the same at all steps")
    group.add_argument(
        "--zoneout",
        metavar="RATE[,RATE]",
        type=values.rates("zoneout"),
        help="of the units that keep their state; of an lstm: h,c",
    )
    group.add_argument("--pool", choices=["last", "mean", "max"], help="how steps become one vector")
    group.add_argument("--init", choices=list(INITIALIZERS))


def _training(group: Any) -> None:
    group.add_argument("--loss", choices=list(LOSSES), help="default: what the targets suggest")
    group.add_argument("--epochs", metavar="N", type=values.whole("epochs"))
    group.add_argument("--batch-size", metavar="B", type=values.whole("batch-size"))
    group.add_argument(
        "--accumulate",
        metavar="N",
        type=values.whole("accumulate"),
        help="batches to a step of the weights (1)",
    )
    group.add_argument(
        "--shuffle", action=argparse.BooleanOptionalAction, help="default: where the batch size is above 1"
    )
    group.add_argument("--bucket", action="store_true", help="batches of sequences of similar length")
    group.add_argument("--optimizer", choices=list(OPTIMIZERS))
    group.add_argument(
        "--lr",
        metavar="RATE",
        type=values.real("lr", open_low=True),
        help="of another --optimizer: " + ", ".join(f"{name} {lr:g}" for name, lr in LR.items()),
    )
    group.add_argument("--momentum", metavar="SHARE", type=values.real("momentum", high=1.0))
    group.add_argument(
        "--weight-decay", metavar="FACTOR", type=values.real("weight-decay"), help="adamw: 0.01"
    )
    group.add_argument("--schedule", choices=["constant", "cosine"], help="of the learning rate")
    for name in ("clip-norm", "clip-value"):
        group.add_argument(f"--{name}", metavar="LIMIT", type=values.limit(name), help="a number, or none")
    group.add_argument(
        "--nonfinite",
        choices=["stop", "skip", "rollback"],
        help="a loss or gradient that is not finite never reaches the weights; and then? (stop)",
    )
    group.add_argument(
        "--patience", metavar="N", type=values.whole("patience"), help="epochs without a better one"
    )
    group.add_argument("--seed", metavar="SEED", type=values.whole("seed", 0, 2**32 - 1))


def _time(group: Any) -> None:
    group.add_argument(
        "--truncate",
        metavar="K1[,K2]",
        type=values.steps("truncate"),
        help="a step of the weights every K1 time steps, its gradient through K2 (K1) of them",
    )
    group.add_argument(
        "--recompute",
        metavar="BYTES",
        type=values.whole("recompute"),
        nargs="?",
        const=True,
        help="keep so much for the way back, and compute the rest again; without BYTES, the square root",
    )


def _place(group: Any) -> None:
    group.add_argument("--dtype", choices=["float32", "float64"])
    add_backend(group, "RNN_XP_BACKEND, else as below")
    group.add_argument(
        "--out",
        metavar="DIR",
        type=values.path,
        help="write DIR/model.safetensors, DIR/history.jsonl and DIR/checkpoint.safetensors",
    )
    group.add_argument(
        "--resume",
        metavar="DIR",
        type=values.path,
        help="go on with what was interrupted, as if it never was; --data and --test say where files are now",
    )
    group.add_argument(
        "--save-every",
        metavar="SECONDS",
        type=values.real("save-every", open_low=True),
        help="between checkpoints, besides those at the end of every epoch (60)",
    )
    add_ranks(group)
    group.add_argument(
        "--blocks",
        metavar="N",
        type=values.whole("blocks"),
        help="compute batches in blocks of N sequences: the same bits for any number of processes",
    )
    add_json(group)
    group.add_argument("--quiet", action="store_true", help="write results only")
