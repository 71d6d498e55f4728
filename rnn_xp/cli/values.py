"""From what stands on a command line to values, and what is said of a text that is none."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from rnn_xp import checks


def whole(name: str, minimum: int = 1, maximum: int | None = None) -> Callable[[str], int]:
    """Read an integer."""

    def read(text: str) -> int:
        try:
            return checks.integer(name, int(text), minimum, maximum)
        except ValueError as error:
            return _wrong(error, f"`{name}` must be an integer of at least {minimum}; got {text!r}.")

    return read


def real(name: str, high: float = float("inf"), *, open_low: bool = False) -> Callable[[str], float]:
    """Read a finite number."""

    def read(text: str) -> float:
        try:
            return checks.number(name, float(text), high=high, open_low=open_low)
        except ValueError as error:
            return _wrong(error, f"`{name}` must be a number; got {text!r}.")

    return read


def limit(name: str) -> Callable[[str], float | None]:
    """Read a limit, or none."""
    return lambda text: None if text == "none" else real(name, open_low=True)(text)


def share(name: str) -> Callable[[str], float]:
    """Read a number above 0 and below 1."""
    return real(name, 1.0, open_low=True)


def rates(name: str) -> Callable[[str], float | tuple[float, ...]]:
    """Read a rate, or two with a comma between them."""

    def read(text: str) -> float | tuple[float, ...]:
        values = tuple(map(real(name, 1.0), _parts(name, text)))
        return values if len(values) > 1 else values[0]

    return read


def steps(name: str) -> Callable[[str], tuple[int, int]]:
    """Read K1,K2, or one number for both."""

    def read(text: str) -> tuple[int, int]:
        values = tuple(map(whole(name), _parts(name, text)))
        k1, k2 = values[0], values[-1]
        if k2 < k1:
            _wrong(ValueError(f"`{name}` must be K1,K2 with K2 >= K1; got {text}."))
        return k1, k2

    return read


def prompt(text: str) -> str:
    """Read what is not empty."""
    return text or _wrong(ValueError("`prompt` must hold at least one character; got none."))


def path(text: str) -> str:
    """Read the name of a file or a directory."""
    return text or _wrong(ValueError("must not be empty."), "must not be empty.")


def _parts(name: str, text: str) -> list[str]:
    """Cut at the comma, of which there is one at most."""
    parts = text.split(",")
    if len(parts) > 2:
        _wrong(ValueError(f"`{name}` must be one number or two; got {text}."))
    return parts


def _wrong(error: ValueError, unreadable: str = "") -> NoReturn:
    """Say what is wrong with a value, in the words of the check that it failed."""
    words = str(error)
    raise argparse.ArgumentTypeError(words if words.startswith("`") else unreadable) from None
