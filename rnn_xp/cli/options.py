"""Options that several commands have."""

from __future__ import annotations

from typing import Any

from rnn_xp.cli import values
from rnn_xp.distributed.choose import KINDS

BACKENDS = ("auto", "numpy", "cupy", "array_api_strict", "torch")


def add_columns(parser: Any, default: str) -> None:
    """Say how a file of sequences is read."""
    parser.add_argument(
        "--layout",
        choices=["NTC", "TNC", "NCT"],
        help=f"order of the axes of X in an .npz file; default: {default.format('NTC')}",
    )
    for name in ("id", "time", "target"):
        parser.add_argument(
            f"--{name}", metavar="COLUMN", help=f"of a .csv file; default: {default.format(name)}"
        )


def add_backend(parser: Any, default: str = "RNN_XP_BACKEND, else auto") -> None:
    """Say where to compute."""
    parser.add_argument("--backend", choices=BACKENDS, help=f"default: {default}")
    parser.add_argument(
        "--device", help="as the backend writes it, such as cuda:1; default: the backend's own"
    )


def add_ranks(parser: Any) -> None:
    """Have the processes of a launcher work on one thing."""
    parser.add_argument(
        "--distributed",
        choices=list(KINDS),
        help="the processes that mpiexec or srun started work together; a file name with {rank} in it is "
        "one for each of them, with its number, 0 and up",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=values.real("timeout", open_low=True),
        help="that a process waits for the others before all end (300)",
    )


def add_json(parser: Any) -> None:
    """Ask for lines that programs read."""
    parser.add_argument("--json", action="store_true", help="JSON lines on stdout, the rest on stderr")
