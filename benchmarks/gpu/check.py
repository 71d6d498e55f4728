"""What every part gets: where to compute, how much, and the session that it reports to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import rnn_xp as rx
from gpu import peer
from gpu.device import HostDevice
from gpu.session import Session
from rnn_xp.backend import Backend
from rnn_xp.engines.choose import VARIABLE

ENGINES = ("cupy", "portable")
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Sizes:
    """How much is computed; those of the check are the defaults."""

    parity_steps: tuple[int, ...] = (10, 100, 1000)
    parity_shape: tuple[int, int, int] = (16, 24, 64)  # B, D, H
    training_steps: int = 100
    training_shape: tuple[int, int, int, int] = (50, 64, 8, 64)  # T, B, D, H
    T: tuple[int, ...] = (100, 1000)
    B: tuple[int, ...] = (1, 16, 64, 256)
    H: tuple[int, ...] = (32, 128, 256, 512, 1024)
    portable: tuple[tuple[int, ...], ...] = ((100,), (1, 64), (128, 1024))  # T, B, H where it is timed too
    agreement: tuple[int, int, int] = (100, 16, 256)  # T, B, H
    memory: tuple[tuple[int, int, int], ...] = ((100, 64, 256), (1000, 64, 256), (1000, 64, 1024))  # T, B, H
    product_steps: int = 1000
    product_H: tuple[int, ...] = (32, 128, 512, 1024)  # noqa: N815
    product_B: tuple[int, ...] = (1, 16, 64)  # noqa: N815
    step_shapes: tuple[tuple[int, int], ...] = ((32, 1), (256, 64), (1024, 64))  # H, B
    tf32: int = 512
    warm_up: int = 2
    repetitions: int = 5
    point_seconds: float = 1.0  # for the repetitions of one contender in one mode; 3 of them in any case

    def told(self) -> dict[str, Any]:
        """Return them for the record."""
        return asdict(self)


TINY = Sizes(
    parity_steps=(3, 9),
    parity_shape=(3, 2, 4),
    training_steps=20,
    training_shape=(4, 6, 2, 4),
    T=(2, 4),
    B=(1, 2, 3, 4),
    H=(2, 3, 4, 5, 6),
    portable=((2,), (1, 4), (2, 6)),
    agreement=(4, 2, 4),
    memory=((4, 2, 3),),
    product_steps=5,
    product_H=(2, 4),
    product_B=(1, 3),
    step_shapes=((4, 2),),
    tf32=128,
    warm_up=1,
    repetitions=1,
)
"""The sizes of a dry run: a grid of the same shape, with small numbers."""


@dataclass(frozen=True)
class Check:
    """One run."""

    session: Session
    device: HostDevice
    backend: str
    backend_device: str | None
    sizes: Sizes
    dry_run: bool

    @property
    def torch_device(self) -> str:
        """Where PyTorch computes."""
        return "cpu" if self.dry_run else "cuda"

    @cached_property
    def torch(self) -> Any:
        """PyTorch, or None where it cannot be had; loaded after all that does without it."""
        torch, reason = peer.load(self.torch_device)
        if torch is None:
            self.session.say(reason)
            self.session.record["cudnn_absent"] = reason
        else:
            self.device.share_with(torch)
        return torch

    def open(self, dtype: str = "float32") -> Backend:
        """Open the backend that is checked."""
        return rx.get_backend(self.backend, device=self.backend_device, dtype=dtype)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """Let every run that begins in here be done by an engine."""
    before = os.environ.get(VARIABLE, "auto")
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        os.environ[VARIABLE] = before
