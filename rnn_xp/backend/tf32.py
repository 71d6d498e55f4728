"""TF32, which rounds the factors of float32 products to 10 bits after the point: nobody gets it unasked."""

from __future__ import annotations

import os

from rnn_xp import checks
from rnn_xp.backend.base import BackendError

ASKED = "RNN_XP_TF32"
_SWITCHES = ("CUPY_TF32", "NVIDIA_TF32_OVERRIDE")  # CuPy reads its own at the first product, cuBLAS the other


class TF32Error(BackendError):
    """A device is there, and its products would be rounded."""


def switched_on() -> str:
    """Return the environment variable that turns TF32 on, with its value; empty where none does."""
    given = ((name, os.environ.get(name, "").strip()) for name in _SWITCHES)
    return next((f"{name}={value}" for name, value in given if value not in ("", "0")), "")


def refuse(precision: str) -> None:
    """Raise where float32 products would be rounded and nobody has asked for it."""
    asked = checks.one_of(ASKED, os.environ.get(ASKED, ""), ("", "0", "1"))
    switch = switched_on()
    if switch and precision == "float32" and asked != "1":
        name, _, value = switch.partition("=")
        msg = (
            f'backend "cupy": `{name}` must be 0 or unset, for TF32 rounds the factors of float32 products '
            f"to three digits; got {value!r}. Unset it; or say that it is meant: export {ASKED}=1."
        )
        raise TF32Error(msg)
