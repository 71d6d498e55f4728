"""The command line: what there is to say, and what is refused before anything is done."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from rnn_xp import __version__
from rnn_xp.cli import values
from rnn_xp.cli.errors import UsageError
from rnn_xp.cli.options import add_backend, add_columns, add_json, add_ranks
from rnn_xp.cli.train_options import USAGE, add_train, defaults


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

    add_train(
        command(
            "train",
            "Train a model. Without arguments: the tutorial's job, the sign of the sum of a sequence.",
            usage=USAGE,
            epilog=defaults(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _evaluate(command("evaluate", "Score a trained model: on --data, or on its task's own test data."))
    _predict(command("predict", "Write what a trained model predicts for every sequence, as CSV."))
    _generate(command("generate", "Let a trained language model write."))
    _export(
        command("export", "Write a trained model for another library, and check that it answers the same.")
    )
    _plot(command("plot", "Draw a run: its history, and what its model does inside, as PNG files."))
    _diagnose(command("diagnose", "Say why a model does not learn: from its data, history and inside."))
    _verify(command("verify", "Check every number that can be checked here, and write a certificate."))
    _doctor(command("doctor", "Show what is installed, and check gradients against central differences."))
    return parser


def _evaluate(parser: Parser) -> None:
    _run(parser)
    parser.add_argument(
        "--data", metavar="FILE", type=values.path, help="a file like the one of the training"
    )
    add_columns(parser, "that of the training")
    add_backend(parser)
    add_ranks(parser)
    add_json(parser)


def _predict(parser: Parser) -> None:
    _run(parser)
    parser.add_argument(
        "--data", metavar="FILE", type=values.path, required=True, help="a file like the one of the training"
    )
    parser.add_argument("--out", metavar="FILE", type=values.path, help="default: standard output")
    add_columns(parser, "that of the training")
    add_backend(parser)
    add_ranks(parser)


def _generate(parser: Parser) -> None:
    _run(parser)
    parser.add_argument(
        "--prompt", metavar="TEXT", type=values.prompt, default=None, help="what the text begins with"
    )
    parser.add_argument(
        "--length", metavar="N", type=values.whole("length"), default=400, help="characters (400)"
    )
    parser.add_argument(
        "--temperature",
        metavar="F",
        type=values.real("temperature"),
        default=0.7,
        help="0: always the likeliest (0.7)",
    )
    parser.add_argument("--seed", metavar="SEED", type=values.whole("seed", 0), default=0, help="0")
    add_backend(parser)


def _plot(parser: Parser) -> None:
    _run(parser)
    parser.add_argument(
        "--data", metavar="FILE", type=values.path, help="a file like the one of the training"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=values.path, help="default: plots, in the run's directory"
    )
    parser.add_argument(
        "--terminal", action="store_true", help="the history as a chart of characters, and no files"
    )
    add_columns(parser, "that of the training")
    add_backend(parser)


def _diagnose(parser: Parser) -> None:
    _run(parser)
    parser.add_argument(
        "--data", metavar="FILE", type=values.path, help="default: what it was trained on, where it was then"
    )
    add_columns(parser, "that of the training")
    add_backend(parser)
    add_json(parser)


def _verify(parser: Parser) -> None:
    parser.add_argument(
        "--count",
        metavar="N",
        type=values.whole("count"),
        default=2000,
        help="random configurations against 50 digits (2000)",
    )
    parser.add_argument(
        "--seed", metavar="SEED", type=values.whole("seed", 0, 2**32 - 1), default=0, help="0"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=values.path,
        default="certificate.json",
        help="certificate.json, and a .txt",
    )
    add_backend(parser)
    add_json(parser)


def _doctor(parser: Parser) -> None:
    add_backend(parser)
    add_json(parser)


def _export(parser: Parser) -> None:
    _run(parser)
    kinds = {
        "onnx": "a graph with scaling and probabilities in it",
        "torch": "weights, .safetensors",
        "keras": "weights, .weights.h5",
        "numpy": "one Python file that needs NumPy alone",
    }
    parser.add_argument(
        "--to",
        choices=list(kinds),
        required=True,
        help="; ".join(f"{kind}: {words}" for kind, words in kinds.items()),
    )
    parser.add_argument("--out", metavar="FILE", type=values.path, required=True, help="what to write")
    parser.add_argument(
        "--layout", choices=["NTC", "TNC", "NCT"], help="of --to onnx: order of the axes of X; default: NTC"
    )
    parser.add_argument(
        "--states", action="store_true", help="of --to onnx: states go in and come out, for streaming"
    )
    parser.add_argument("--dtype", choices=["float32", "float64"], help="of --to onnx; default: float32")
    add_json(parser)


def _run(parser: Parser) -> None:
    parser.add_argument("run", metavar="DIR", help="what `rnn-xp train --out DIR` wrote")
