"""Memory: the most that a first training step needs beside weights, x and d_y, each in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from itertools import product
from statistics import median
from typing import Any

from cpu_speed.contenders import KINDS, PEERS, FailedError, environment
from cpu_speed.session import Session
from cpu_speed.sizes import GATES, Shape

PLANES = {"RNN": 1 + 1, "GRU": 3 + 1 + 1, "LSTM": 4 + 1 + 2}
"""Planes (H, B) a step that a run keeps: the gates, what the cell keeps besides, and its states."""

BACK = {"RNN": 1 + 1, "GRU": 6 + 4, "LSTM": 4 + 6}
"""Planes a step of a part: the gradients of the gates, the partial derivatives and what lies between."""

VIEWS = {"RNN": 1700, "GRU": 5100, "LSTM": 5400}
"""Bytes of Python objects a step: the views that its calls write to."""

TILE, PART = 1024, 16384
"""Columns, steps times batch, of one product of the weights' gradients; elements of a plane of a part."""


def formula(cell: str, T: int, B: int, D: int, H: int, itemsize: int = 4) -> int:
    """Return the bytes that a training step of one layer needs beside weights, x and d_y.

    For every step and sequence: x in the engine's order, with a 1 for the bias; the planes; and y, in the
    caller's order. Back in time, for one part, what its steps write; for one tile the gradients of the gates,
    twice where a gate stands apart (in a GRU), and h. Once, W_ih beside the bias; at the end the weights'
    gradients: one tile's, the sum so far and the sum of the two.
    """
    G, sets = GATES[cell], 2 if cell == "GRU" else 1
    tile = min(T, max(1, TILE // B))
    forward = T * B * (D + 1 + (PLANES[cell] + 1) * H) + G * H * (D + 1)
    back = min(tile, max(1, PART // (H * B))) * BACK[cell] * H * B + tile * B * (sets * G * H + H)
    gradients = (3 if tile < T else 1) * G * H * (D + 1 + H)
    return itemsize * (forward + back + gradients) + T * VIEWS[cell]


def run(session: Session, results: dict[str, Any]) -> None:
    """Measure each cell at some shapes."""
    rows = results["points"] = []
    if sys.platform != "linux":
        session.leave_out("memory", "only Linux tells a process its peak")
        return
    there = session.roster.call(("rnn_xp", *PEERS))
    for cell, shape in session.each(product(session.sizes.cells, session.sizes.memory)):
        session.attempt(f"{cell}, {shape}", partial(point, session, list(there), cell, shape, rows))


def point(session: Session, names: list[str], cell: str, shape: Shape, rows: list[dict[str, Any]]) -> None:
    """Measure each contender."""
    spec = {"cell": cell, **shape._asdict()}
    runs = {name: [peak(name, spec) for _ in range(session.sizes.peaks)] for name in names}
    peaks = {name: median(own) for name, own in runs.items()}
    rows.append({**spec, "formula": formula(**spec), "bytes": peaks, "runs": runs})
    told = ", ".join(f"{name} {own / 1e6:.1f}" for name, own in peaks.items())
    session.say(f"{cell}, {shape}: MB: {told}; formula {rows[-1]['formula'] / 1e6:.1f}")


def peak(name: str, spec: dict[str, Any]) -> int:
    """Return the bytes that a new process needs for its first training step."""
    process = subprocess.run(
        [sys.executable, "-m", "cpu_speed.peak", KINDS[name].library, json.dumps(spec)],
        env=environment(name, 1),
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        msg = f"{name} ended with exit code {process.returncode}: {' '.join(process.stderr.split())[-300:]}"
        raise FailedError(msg)
    return int(process.stdout.split()[-1])
