"""`rnn-xp doctor`: what is installed here, what is wrong with it, and whether its gradients are right."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import rnn_xp as rx
from rnn_xp import BackendError
from rnn_xp.backend.libraries import OPENERS
from rnn_xp.cli.doctor_extras import extras
from rnn_xp.cli.doctor_gpu import gpu
from rnn_xp.cli.doctor_machine import Line, required, threads
from rnn_xp.cli.doctor_ranks import ranks
from rnn_xp.cli.errors import DONE, FAILED
from rnn_xp.cli.output import Output
from rnn_xp.table import table
from rnn_xp.verify.gradients import gradcheck
from rnn_xp.verify.machine import installed, system

LAYERS = {
    "rnn": rx.RNN(2, 3),
    "gru, reset after": rx.GRU(2, 3),
    "gru, reset before": rx.GRU(2, 3, reset="before"),
    "lstm": rx.LSTM(2, 3),
}

SLOW = ("torch",)
"""Backends whose library takes seconds to load."""


def doctor(given: Mapping[str, Any]) -> int:
    """Report, check, and fail where a check does."""
    output = Output(json=given.get("json", False))
    here, backends = system(), _backends(given.get("backend") or os.environ.get("RNN_XP_BACKEND"))
    for name, value in here.items():
        output.line(f"{name:<22} {value}")
    sections = {
        "machine": [*required(here), *threads(here), *_overrides()],
        "gpu": list(gpu(backends["cupy"])),
        "ranks": list(ranks(backends["cupy"])),
        "extras": list(extras()),
        "backends": [Line(name, short(reason)) for name, reason in backends.items()],
    }
    for part in sections.values():
        _show(output, part)
    backend = rx.get_backend(given.get("backend"), device=given.get("device"), dtype="float64")
    engines = [layer.explain(backend) for layer in LAYERS.values()]
    for engine in dict.fromkeys(engine.partition(": ")[2] for engine in engines):
        output.line(engine)
    reports = {name: gradcheck(layer, mode="directional", backend=backend) for name, layer in LAYERS.items()}
    errors = {name: report.worst.value for name, report in reports.items()}
    rows = [
        [name, f"{errors[name]:.1e}", "ok" if report.passed else "WRONG"] for name, report in reports.items()
    ]
    output.line(f"gradients on {backend.name}, {backend.device}, against central differences:")
    output.line(table(["cell", "error", ""], rows))
    for report in reports.values():
        for failure in report.failures:
            output.line(f"{report.title}: {failure}")
    ok = all(report.passed for report in reports.values()) and not any(
        line.fatal for line in sections["machine"]
    )
    checked = [
        {"cell": name, "relative_error": errors[name], "ok": report.passed}
        for name, report in reports.items()
    ]
    lines = [{"section": name, **line._asdict()} for name, own in sections.items() for line in own]
    result = {
        "system": here,
        "backends": backends,
        "lines": lines,
        "backend": backend.name,
        "engines": engines,
    }
    output.record({"result": {**result, "gradients": checked, "ok": ok}})
    return DONE if ok else FAILED


def _show(output: Output, lines: list[Line]) -> None:
    """Write the lines of a section; below what is wrong, the command that mends it."""
    for line in lines:
        output.line(f"{line.name:<22} {line.found}")
        if line.wrong:
            output.line(f"{'':<22} ! {line.wrong}")
        if line.mend:
            output.line(f"{'':<22}   mend it: {line.mend}")
    output.line("")


def _backends(asked: str | None) -> dict[str, str]:
    """Say of each backend that it is available, or why not; a slow one that nobody asked for stays closed."""
    report = {}
    for name in OPENERS:
        if name in SLOW and name != asked:
            version = installed(name)
            report[name] = f"installed ({version}); --backend {name} opens it" if version else "not installed"
            continue
        try:
            backend = rx.get_backend(name)
        except BackendError as error:
            report[name] = str(error)
        else:
            report[name] = f"available ({import_module(name).__version__}, {backend.device})"
    return report


def _overrides() -> Iterator[Line]:
    """Show what of the environment changes a choice."""
    if backend := os.environ.get("RNN_XP_BACKEND"):
        yield Line("RNN_XP_BACKEND", backend)
    if (engine := os.environ.get("RNN_XP_ENGINE", "auto")) != "auto":
        yield Line("RNN_XP_ENGINE", engine, "it overrides the choice of the engine", "unset RNN_XP_ENGINE")


def short(reason: str) -> str:
    """Return the first sentence of why a backend cannot be had; anything else as it is."""
    if not reason.startswith('backend "'):
        return reason
    first = reason.partition(": ")[2].split(". ")[0]
    return re.sub(r"^ModuleNotFoundError: .*|^CuPy is not installed", "not installed", first)
