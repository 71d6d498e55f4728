"""The command line: what there is to say, and what is refused before anything is done."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from rnn_xp import __version__, checks
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.settings import LR, OPTIMIZERS, TASKS, chosen
from rnn_xp.initializers import INITIALIZERS
from rnn_xp.model import LOSSES
from rnn_xp.table import table

BACKENDS = ("auto", "numpy", "cupy", "array_api_strict", "torch")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are told in the one voice of the program, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of writing and leaving."""
        msg = f"{message.rstrip('.')}. See: {self.prog} --help"
        raise UsageError(msg)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write the help; unlike argparse, not in silence where that fails."""
        (file or sys.stdout).write(message)


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="rnn-xp", description="Train recurrent networks, and use them.")
    parser.add_argument("--version", action="version", version=f"rnn-xp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str, **more: Any) -> Parser:
        return commands.add_parser(
            name,
            help=summary,
            description=summary,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
            **more,
        )

    _train(
        command(
            "train",
            "Train a model. Without arguments: the tutorial's job, the sign of the sum of a sequence.",
            epilog=_defaults(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _evaluate(command("evaluate", "Score a trained model: on --data, or on its task's own test data."))
    _predict(command("predict", "Write what a trained model predicts for every sequence, as CSV."))
    _generate(command("generate", "Let a trained language model write."))
    _verify(command("verify", "Check every number that can be checked here, and write a certificate."))
    _doctor(command("doctor", "Show what is installed, and check gradients against central differences."))
    return parser


def _train(parser: Parser) -> None:
    data = parser.add_argument_group("what to learn")
    data.add_argument(
        "--task", choices=[task for task in TASKS if task != "data"], help="default: sign-of-sum"
    )
    data.add_argument("--data", metavar="FILE", type=_path, help=".npz, .csv or .ts; for --task text, UTF-8")
    data.add_argument("--test", metavar="FILE", type=_path, help="a file like --data, to score the model on")
    _columns(data, "{}")
    data.add_argument(
        "--targets", choices=["classes", "numbers"], help="default: integers and text are classes"
    )
    data.add_argument(
        "--validation", metavar="SHARE", type=_share, help="of the sequences, to find the best epoch"
    )
    data.add_argument("--window", metavar="T", type=_whole("window"), help="steps of a window of text")

    model = parser.add_argument_group("the model")
    model.add_argument("--cell", choices=["rnn", "gru", "lstm"])
    model.add_argument("--hidden-size", metavar="H", type=_whole("hidden-size"))
    model.add_argument("--embedding-size", metavar="E", type=_whole("embedding-size"), help="of tokens")
    model.add_argument("--num-layers", metavar="L", type=_whole("num-layers"))
    model.add_argument("--bidirectional", action=argparse.BooleanOptionalAction)
    model.add_argument(
        "--dropout",
        metavar="RATE",
        type=_real("dropout", high=1.0),
        help="between layers and before the output",
    )
    model.add_argument("--pool", choices=["last", "mean", "max"], help="how steps become one vector")
    model.add_argument("--init", choices=list(INITIALIZERS))

    training = parser.add_argument_group("the training")
    training.add_argument("--loss", choices=list(LOSSES), help="default: what the targets suggest")
    training.add_argument("--epochs", metavar="N", type=_whole("epochs"))
    training.add_argument("--batch-size", metavar="B", type=_whole("batch-size"))
    training.add_argument(
        "--shuffle", action=argparse.BooleanOptionalAction, help="default: where the batch size is above 1"
    )
    training.add_argument("--optimizer", choices=list(OPTIMIZERS))
    training.add_argument(
        "--lr",
        metavar="RATE",
        type=_real("lr", open_low=True),
        help="of another --optimizer: " + ", ".join(f"{name} {lr:g}" for name, lr in LR.items()),
    )
    training.add_argument("--momentum", metavar="SHARE", type=_real("momentum", high=1.0))
    training.add_argument("--weight-decay", metavar="FACTOR", type=_real("weight-decay"), help="adamw: 0.01")
    training.add_argument("--schedule", choices=["constant", "cosine"], help="of the learning rate")
    training.add_argument("--clip-norm", metavar="LIMIT", type=_limit("clip-norm"), help="a number, or none")
    training.add_argument(
        "--clip-value", metavar="LIMIT", type=_limit("clip-value"), help="a number, or none"
    )
    training.add_argument(
        "--patience", metavar="N", type=_whole("patience"), help="epochs without a better one"
    )
    training.add_argument("--seed", metavar="SEED", type=_whole("seed", 0, 2**32 - 1))

    place = parser.add_argument_group("where it runs, and what it writes")
    place.add_argument("--dtype", choices=["float32", "float64"])
    _backend(place, "RNN_XP_BACKEND, else as below")
    place.add_argument(
        "--out", metavar="DIR", type=_path, help="write DIR/model.safetensors and DIR/history.jsonl"
    )
    _json(place)
    place.add_argument("--quiet", action="store_true", help="write results only")


def _evaluate(parser: Parser) -> None:
    _run(parser)
    parser.add_argument("--data", metavar="FILE", type=_path, help="a file like the one of the training")
    _columns(parser, "that of the training")
    _backend(parser)
    _json(parser)


def _predict(parser: Parser) -> None:
    _run(parser)
    parser.add_argument(
        "--data", metavar="FILE", type=_path, required=True, help="a file like the one of the training"
    )
    parser.add_argument("--out", metavar="FILE", type=_path, help="default: standard output")
    _columns(parser, "that of the training")
    _backend(parser)


def _generate(parser: Parser) -> None:
    _run(parser)
    parser.add_argument(
        "--prompt", metavar="TEXT", type=_text, default=None, help="what the text begins with"
    )
    parser.add_argument("--length", metavar="N", type=_whole("length"), default=400, help="characters (400)")
    parser.add_argument(
        "--temperature",
        metavar="F",
        type=_real("temperature"),
        default=0.7,
        help="0: always the likeliest (0.7)",
    )
    parser.add_argument("--seed", metavar="SEED", type=_whole("seed", 0), default=0, help="0")
    _backend(parser)


def _verify(parser: Parser) -> None:
    parser.add_argument(
        "--count",
        metavar="N",
        type=_whole("count"),
        default=2000,
        help="random configurations against 50 digits (2000)",
    )
    parser.add_argument("--seed", metavar="SEED", type=_whole("seed", 0, 2**32 - 1), default=0, help="0")
    parser.add_argument(
        "--out", metavar="FILE", type=_path, default="certificate.json", help="certificate.json, and a .txt"
    )
    _backend(parser)
    _json(parser)


def _doctor(parser: Parser) -> None:
    _backend(parser)
    _json(parser)


def _run(parser: Parser) -> None:
    parser.add_argument("run", metavar="DIR", help="what `rnn-xp train --out DIR` wrote")


def _columns(parser: Any, default: str) -> None:
    parser.add_argument(
        "--layout",
        choices=["NTC", "TNC", "NCT"],
        help=f"order of the axes of X in an .npz file; default: {default.format('NTC')}",
    )
    for name in ("id", "time", "target"):
        parser.add_argument(
            f"--{name}", metavar="COLUMN", help=f"of a .csv file; default: {default.format(name)}"
        )


def _backend(parser: Any, default: str = "RNN_XP_BACKEND, else auto") -> None:
    parser.add_argument("--backend", choices=BACKENDS, help=f"default: {default}")
    parser.add_argument(
        "--device", help="as the backend writes it, such as cuda:1; default: the backend's own"
    )


def _json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="JSON lines on stdout, the rest on stderr")


def _whole(name: str, minimum: int = 1, maximum: int | None = None) -> Callable[[str], int]:
    """Read an integer."""

    def read(text: str) -> int:
        try:
            return checks.integer(name, int(text), minimum, maximum)
        except ValueError as error:
            return _wrong(error, f"`{name}` must be an integer of at least {minimum}; got {text!r}.")

    return read


def _real(name: str, high: float = float("inf"), *, open_low: bool = False) -> Callable[[str], float]:
    """Read a finite number."""

    def read(text: str) -> float:
        try:
            return checks.number(name, float(text), high=high, open_low=open_low)
        except ValueError as error:
            return _wrong(error, f"`{name}` must be a number; got {text!r}.")

    return read


def _limit(name: str) -> Callable[[str], float | None]:
    """Read a limit, or none."""
    return lambda text: None if text == "none" else _real(name, open_low=True)(text)


def _share(text: str) -> float:
    return _real("validation", 1.0, open_low=True)(text)


def _text(text: str) -> str:
    if not text:
        msg = "`prompt` must hold at least one character; got none."
        raise argparse.ArgumentTypeError(msg)
    return text


def _path(text: str) -> str:
    if not text:
        msg = "must not be empty."
        raise argparse.ArgumentTypeError(msg)
    return text


def _wrong(error: ValueError, unreadable: str) -> NoReturn:
    """Say what is wrong with a value, in the words of the check that it failed."""
    words = str(error)
    raise argparse.ArgumentTypeError(words if words.startswith("`") else unreadable) from None


def _defaults() -> str:
    """Write what each task chooses, as a table: a column for each task."""
    tasks = [chosen(task) for task in TASKS]
    rows = [[f"--{name.replace('_', '-')}", *(task[name] for task in tasks)] for name in tasks[0]]
    header = ["Defaults of", *("--data" if task == "data" else task for task in TASKS)]
    return table(header, rows)
