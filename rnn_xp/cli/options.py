"""Options that several commands have."""

from __future__ import annotations

from typing import Any

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


def add_json(parser: Any) -> None:
    """Ask for lines that programs read."""
    parser.add_argument("--json", action="store_true", help="JSON lines on stdout, the rest on stderr")
